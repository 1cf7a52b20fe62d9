"""Numbers in words: how scores, shares and sizes are written in a report."""

import math
from collections.abc import Sequence

from ensemble_1d._html import Markup, html_text
from ensemble_1d.reporting.figures import N_COLORS, shortened

DASH = "\N{EN DASH}"
"""Stands for a number that there is none of."""
PERCENT = "\N{NO-BREAK SPACE}%"


def percent(share: float, digits: int = 1) -> str:
    """Return a share of one, for example "96.5 %"."""
    return DASH if math.isnan(share) else f"{100 * share:.{digits}f}{PERCENT}"


def decimal(value: float | None, digits: int = 3) -> str:
    """Return a number with so many decimals, or with as many digits where it is large; a dash for none."""
    if value is None or math.isnan(value):
        return DASH
    return f"{value:.{digits}f}" if abs(value) < 1000 else f"{value:,.0f}" if abs(value) < 1e9 else f"{value:.3g}"


def score_text(score: float | None, *, is_regression: bool) -> str:
    """Return R2 with three decimals, or accuracy in percent; a dash for none."""
    if score is None:
        return DASH
    return decimal(score) if is_regression else percent(score)


def counted(number: int, noun: str, plural: str | None = None) -> str:
    """Return a number with its noun."""
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def listed(names: Sequence[object], n_most: int = 6) -> str:
    """Return the first names, and how many more there are."""
    shown = ", ".join(shortened(str(name), 40) for name in names[:n_most])
    return shown + (f" and {len(names) - n_most:,} more" if len(names) > n_most else "")


def keyed(position: int, name: str) -> Markup:
    """Return a name behind a patch in the colour of its curve."""
    patch = f'<span class="swatch" style="background:var(--c{position % N_COLORS})"></span>'
    return Markup(f'<span class="key">{patch}{html_text(shortened(name, 40))}</span>')
