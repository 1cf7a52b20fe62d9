"""Leaderboard: what each member scores, costs and weighs, as a list of dicts that prints as a table."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ensemble_1d._html import html_table
from ensemble_1d.errors import UnsupportedModelError
from ensemble_1d.ir import node_bytes
from ensemble_1d.models.base import BaseModel, Floats64, Task

_SCORES = {
    "classification": {"accuracy": "score", "log_loss": "log_loss"},
    "regression": {"r2": "score", "rmse": "rmse"},
}
"""The metrics that are shown, and their names in the table."""


class Leaderboard(list[dict[str, Any]]):
    """Rows of a table, best first: a list of dicts with the same keys.

    Printed it is a table in plain text, and in a notebook one in HTML. `pandas.DataFrame(leaderboard)` takes it as it
    is. A value of None was not measured.

    Example:
        >>> print(Leaderboard([{"name": "forest", "score": 0.9}, {"name": "net", "score": None}]))
        name    score
        forest  0.9000
        net          -
    """

    def __str__(self) -> str:
        """Return the table in plain text."""
        lines = self._cells()
        numeric = [any(isinstance(row[key], int | float) for row in self) for key in self[0]] if self else []
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        return "\n".join(
            "  ".join(
                cell.rjust(width) if right and i else cell.ljust(width)
                for cell, width, right in zip(line, widths, numeric, strict=True)
            ).rstrip()
            for i, line in enumerate(lines)
        )

    def _repr_html_(self) -> str:
        """Return the table in HTML."""
        header, *lines = self._cells() or [[]]
        return html_table(header, lines)

    def _cells(self) -> list[list[str]]:
        """Return the header and the rows as text."""
        return [list(self[0]), *([_text(value) for value in row.values()] for row in self)] if self else []


def _text(value: object) -> str:
    """Return a number with four decimals or digits, or the value as it is."""
    if value is None:
        return "-"
    if isinstance(value, float):
        return f"{value:.4f}" if abs(value) < 1000 else f"{value:.4g}"
    return str(value)


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """What is known of one model; None stands for what is not.

    Attributes:
        name: Its name.
        model: The fitted model.
        weight: Its weight in the ensemble.
        fit_seconds: Time of all its fits.
        predict_seconds: Time it took to predict the rows it is scored on.
        output: Its probabilities or values for these rows.
    """

    name: str
    model: BaseModel
    weight: float | None
    fit_seconds: float
    predict_seconds: float | None
    output: Floats64 | None


def ranked(entries: Sequence[Entry], metrics: Callable[[Floats64], dict[str, float]], *, task: Task) -> Leaderboard:
    """Return the leaderboard of some models, the best score first.

    Args:
        entries: What is known of each.
        metrics: From probabilities or values to metrics by name.
        task: "classification" or "regression".
    """
    lines = []
    for entry in entries:
        found = None if entry.output is None else metrics(entry.output)
        scores = {title: None if found is None else found[name] for name, title in _SCORES[task].items()}
        times = {"fit_seconds": entry.fit_seconds, "predict_seconds": entry.predict_seconds}
        lines.append({"name": entry.name, **scores, "weight": entry.weight, **times, "bytes": _bytes_of(entry.model)})
    return Leaderboard(sorted(lines, key=lambda line: -line["score"] if isinstance(line["score"], float) else 0.0))


def _bytes_of(model: BaseModel) -> int | None:
    """Return the bytes of a model's nodes, or None where it has none."""
    try:
        return node_bytes(model._lower())
    except UnsupportedModelError:
        return None
