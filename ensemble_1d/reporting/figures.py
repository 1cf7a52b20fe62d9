"""Figures as SVG that stands in a page: the colours are the page's, the ids its own, the bytes always equal."""

import re
import warnings
from collections.abc import Callable, Sequence
from io import StringIO
from typing import TYPE_CHECKING
from unicodedata import east_asian_width

import numpy as np
import numpy.typing as npt

from ensemble_1d._html import Markup, html_text
from ensemble_1d._require import require
from ensemble_1d.charts import draw_pareto
from ensemble_1d.errors import MissingBackendError

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from ensemble_1d.budget_search import ParetoTable
    from ensemble_1d.reporting.importance import Importance
    from ensemble_1d.reporting.sizes import Form

N_COLORS = 6
"""Colours that the page gives to curves and bars."""

_WIDTH, _HEIGHT = 4.4, 3.3
_BAR_INCHES, _AXIS_INCHES = 0.26, 0.55
_INCHES_A_COLUMN = 0.085
_LABEL_COLUMNS = 22
_WIDE_LETTERS = "MWmw@%"
_MOST_POINTS = 500
_COLORS = {"text": "#010203", "muted": "#010204", "line": "#010205"} | {f"c{i}": f"#01021{i}" for i in range(N_COLORS)}
"""What stands for a colour of the page while matplotlib draws: no colour of its own is one of these."""

Floats64 = npt.NDArray[np.float64]


def figure(name: str, caption: str, draw: Callable[["Axes"], None], *, bars: Sequence[str] = ()) -> Markup:
    """Return a figure with its caption, or a note where matplotlib is not installed.

    Args:
        name: What the ids of the SVG begin with; unlike that of any other figure of the page.
        caption: What it shows, in words; also read aloud in its place.
        draw: Draws into the axes it is given.
        bars: For bars that lie, what stands on the left of each: they decide the height, and the room for labels.
    """
    try:
        drawing = _svg(name, caption, draw, bars)
    except MissingBackendError as error:
        drawing = Markup(f'<p class="note">{html_text(f"Not drawn: {error}")}</p>')
    return Markup(f"<figure>{drawing}<figcaption>{html_text(caption)}</figcaption></figure>")


def shortened(label: str, columns: int = _LABEL_COLUMNS) -> str:
    """Return a label that takes no more than so many columns, a wide letter or an ideograph being two.

    Args:
        label: Any text.
        columns: How many there are.

    Example:
        >>> shortened("mean concave points", 8), shortened("area", 8)
        ('mean c…', 'area')
    """
    printable = "".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in label)
    if columns_of(printable) <= columns:
        return printable
    while columns_of(printable) > columns - 1:
        printable = printable[:-1]
    return printable + "…"


def columns_of(label: str) -> int:
    """Return the columns that a text takes at most."""
    return sum(2 if each in _WIDE_LETTERS or east_asian_width(each) in "WF" else 1 for each in label)


def draw_importance(ax: "Axes", importance: "Importance", labels: Sequence[str], score_name: str) -> None:
    """Draw the mean drop of the score for each feature as a bar, with its spread, the first on top."""
    places = range(len(labels))[::-1]
    ax.barh(places, importance.mean, xerr=importance.spread, color="C0", ecolor=_COLORS["muted"], capsize=2)
    ax.set_yticks(places, labels=labels, parse_math=False)
    ax.axvline(0, color=_COLORS["muted"], linewidth=0.8)
    ax.set(xlabel=f"Drop of {score_name}")


def draw_predicted(ax: "Axes", truth: Floats64, values: Floats64, rng: np.random.Generator) -> None:
    """Draw predicted against true values, of 500 rows at most, and the line on which both are equal."""
    rows = np.sort(rng.permutation(len(truth))[:_MOST_POINTS])
    ax.axline((float(truth[0]), float(truth[0])), slope=1, color=_COLORS["muted"], linestyle="--", linewidth=1)
    ax.scatter(truth[rows], values[rows], s=12, color="C0", alpha=0.6, linewidths=0)
    ax.set(xlabel="True value", ylabel="Predicted value")


def draw_errors(ax: "Axes", errors: Floats64) -> None:
    """Draw how often errors of each size are."""
    ax.hist(errors, bins=min(30, max(5, round(len(errors) ** 0.5))), color="C0")
    ax.axvline(0, color=_COLORS["muted"], linewidth=1)
    ax.set(xlabel="Predicted less true value", ylabel="Rows")


def draw_forms(ax: "Axes", forms: "Sequence[Form]", scores: Sequence[str]) -> None:
    """Draw the flash of each integer form as a bar, the first on top, with its score beside it."""
    places = range(len(forms))[::-1]
    colors = ["C1" if form.compact else "C0" for form in forms]
    bars = ax.barh(places, [form.flash / 1024 for form in forms], color=colors)
    ax.bar_label(bars, labels=list(scores), padding=3)
    ax.set_yticks(places, labels=[form.name for form in forms])
    ax.margins(x=0.22)  # Room for the score at the longest bar.
    ax.set(xlabel="Flash (KB)")


def draw_budgets(ax: "Axes", table: "ParetoTable", budgets: Sequence[int]) -> None:
    """Draw score against flash of the forms that no other beats, and a line for each budget."""
    draw_pareto(ax, table, budgets)
    handles, labels = ax.get_legend_handles_labels()
    ax.legend(handles, [{"chosen": "the best of all"}.get(label, label) for label in labels])
    ax.set(title="")


def _svg(name: str, label: str, draw: Callable[["Axes"], None], bars: Sequence[str]) -> Markup:
    """Return what is drawn, as an SVG element of an HTML page."""
    style = require("matplotlib.style", extra="viz", caller="report")
    height = _BAR_INCHES * len(bars) + _AXIS_INCHES if bars else _HEIGHT
    canvas = require("matplotlib.backends.backend_svg", extra="viz", caller="report").FigureCanvasSVG
    drawn = require("matplotlib.figure", extra="viz", caller="report").Figure(figsize=(_WIDTH, height))
    canvas(drawn)
    file = StringIO()
    with style.context(["default", _style(name)], after_reset=True), warnings.catch_warnings():
        # Letters that matplotlib's own font lacks are there in the reader's.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        drawn.set_facecolor("none")
        axes = drawn.add_subplot()
        if bars:
            # matplotlib measures ideographs as it would the boxes that stand in for them: too narrow.
            left = (max(map(columns_of, bars)) * _INCHES_A_COLUMN + 0.15) / _WIDTH
            drawn.subplots_adjust(left=left, right=0.97, top=1 - 0.06 / height, bottom=(_AXIS_INCHES - 0.1) / height)
            axes.grid(visible=False, axis="y")
        else:
            drawn.set_layout_engine("constrained")
        draw(axes)
        drawn.savefig(file, format="svg", metadata=dict.fromkeys(("Creator", "Date", "Format", "Type")))
    return _embedded(file.getvalue(), name, label)


def _style(name: str) -> dict[str, object]:
    """Return matplotlib's settings."""
    text, muted, line = _COLORS["text"], _COLORS["muted"], _COLORS["line"]
    cycle = [_COLORS[f"c{i}"] for i in range(N_COLORS)]
    return {
        "svg.hashsalt": name,
        "svg.fonttype": "none",
        "font.size": 9,
        "text.color": text,
        "axes.labelcolor": text,
        "axes.edgecolor": muted,
        "axes.facecolor": "none",
        "axes.grid": True,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.prop_cycle": f"cycler('color', {cycle})",
        "axes.formatter.use_mathtext": False,
        "grid.color": line,
        "grid.linewidth": 0.6,
        "xtick.color": muted,
        "ytick.color": muted,
        "xtick.labelcolor": text,
        "ytick.labelcolor": text,
        "legend.frameon": False,
        "legend.fontsize": 8,
        "savefig.facecolor": "none",
        "savefig.edgecolor": "none",
    }


def _embedded(source: str, name: str, label: str) -> Markup:
    """Return an SVG file as an element of a page: nothing in it reaches beyond it, and the page's colours hold."""
    body = source[source.index("<svg") :]
    body = re.sub(r"<metadata>.*?</metadata>|<style[^>]*>.*?</style>|<!--.*?-->", "", body, flags=re.DOTALL)
    box = re.search(r'viewBox="[^"]*"', body)
    head = f'<svg {box.group() if box else ""} role="img" aria-label="{html_text(label)}">'
    body = head + body[body.index(">") + 1 :]
    used = set(re.findall(r'(?:url\(#|href="#)([^")]+)', body))
    # Labels stay as they are, even one that looks like an attribute.
    body = re.sub(r"<[^>]*>", lambda tag: _tag(tag[0], name, used), body)
    return Markup(re.sub(r">\s+<", "><", body).replace("\n", " ").strip())


def _tag(tag: str, name: str, used: set[str]) -> str:
    """Return one tag with ids of its own, the ones that something refers to, and with the page's font and colours."""
    tag = re.sub(r' id="([^"]*)"', lambda found: f' id="{name}-{found[1]}"' if found[1] in used else "", tag)
    tag = re.sub(r'(url\(#|xlink:href="#)', rf"\g<1>{name}-", tag).replace("xlink:href", "href")
    tag = re.sub(r"'DejaVu Sans'[^;\"]*", "inherit", tag)
    for color, stand_in in _COLORS.items():
        tag = tag.replace(stand_in, f"var(--{color})")
    return tag.replace("#808080", "var(--muted)")
