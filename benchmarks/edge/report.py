"""The tables: for each workload what every output costs, and in front how the best of the peers compares with ours."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from measuring import Figures
from outputs import Output, Refusal
from sklearn.metrics import accuracy_score, r2_score
from tables import table
from targets import Target
from workloads import Rows

LARGEST_LOSS = 0.01
"""An output may be the best of a column only if its score is within a point of that of its own Python model."""


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """One output with its figures by target."""

    output: Output
    figures: dict[Target, Figures]

    def answers(self) -> Rows:
        """Return its answers to the most rows that any target answered: none if it ran nowhere."""
        written = max((each.run.answers if each.run else b"" for each in self.figures.values()), key=len)
        if self.output.step:
            return np.frombuffer(written, np.int32) * self.output.step
        return np.frombuffer(written, np.float32 if self.output.expected.dtype.kind == "f" else np.int32)

    def scores(self) -> tuple[float, float] | None:
        """Return accuracy or R^2 of its answers, and of its Python model on the same rows."""
        found = self.answers()
        if not len(found):
            return None
        score: Callable[..., float] = r2_score if self.output.expected.dtype.kind == "f" else accuracy_score
        truth, expected = self.output.truth[: len(found)], self.output.expected[: len(found)]
        return float(score(truth, found)), float(score(truth, expected))

    def difference(self) -> str:
        """Return on how many rows it says another label than its Python model, or the largest difference in value."""
        found = self.answers()
        expected = self.output.expected[: len(found)]
        if expected.dtype.kind == "f":
            return f"{float(np.abs(found - expected).max(initial=0.0)):.2g}"
        return f"{int((found != expected).sum())} of {len(found)}"

    def is_eligible(self) -> bool:
        """Whether it may be the best of a column."""
        scores = self.scores()
        return self.output.is_stock and scores is not None and scores[0] >= scores[1] - LARGEST_LOSS


@dataclass(frozen=True, slots=True)
class Column:
    """One quantity on one target: what is compared."""

    target: Target
    quantity: str

    def value(self, measured: Measured) -> float | None:
        """Return the quantity of a program that ran, or None."""
        found = measured.figures[self.target]
        if found.weight is None or found.run is None:
            return None
        return found.weight.flash if self.quantity == "flash" else float(found.run.counts.mean())

    def best(self, measured: Iterable[Measured]) -> tuple[float, Measured] | None:
        """Return the smallest value of an eligible output, and that output."""
        pairs = [(self.value(each), each) for each in measured if each.is_eligible()]
        return min(((value, each) for value, each in pairs if value is not None), key=lambda p: p[0], default=None)


def columns(targets: Sequence[Target]) -> list[Column]:
    """Return everything that is compared."""
    return [Column(target, quantity) for target in targets for quantity in ("flash", target.unit)]


def summary(by_workload: dict[str, list[Measured]], targets: Sequence[Target]) -> str:
    """Return the table of ratios: best peer by best of ours."""
    compared = columns(targets)
    rows = []
    for key, measured in by_workload.items():
        ours = [each for each in measured if each.output.is_ours]
        peers = [each for each in measured if not each.output.is_ours]
        rows.append([key, *(_ratio(column, ours, peers) for column in compared)])
    return table(["best peer / ours", *(f"{each.target.name} {each.quantity}" for each in compared)], rows)


def _ratio(column: Column, ours: Sequence[Measured], peers: Sequence[Measured]) -> str:
    """Return by how much our best beats theirs in one column."""
    mine, theirs = column.best(ours), column.best(peers)
    if mine is None:
        return "neither fits" if theirs is None else "ours does not fit"
    return "no peer" if theirs is None else f"{theirs[0] / mine[0]:.2f}"


def details(key: str, measured: Sequence[Measured], refused: Sequence[Refusal], targets: Sequence[Target]) -> str:
    """Return the table of one workload, the best of ours and of the peers in bold, and what was refused."""
    best = {
        (column, is_ours): column.best(each for each in measured if each.output.is_ours == is_ours)
        for column in columns(targets)
        for is_ours in (True, False)
    }
    winners = {(place[0], id(found[1])) for place, found in best.items() if found}
    header = ["output", "score", "of its model", "differs"]
    for target in targets:
        header += [f"{target.name}: flash", f"{target.unit}, mean (worst)", "RAM + stack"]
    rows = []
    for each in measured:
        scores = [f"{score:.4f}" for score in each.scores() or ()] or ["", ""]
        line = [each.output.name + ("" if each.output.is_stock else " †"), *scores, each.difference()]
        for target in targets:
            won = {q for q in ("flash", target.unit) if (Column(target, q), id(each)) in winners}
            line += _cells(each.figures[target], target, won)
        rows.append(line)
    return "\n\n".join([f"## {key}", table(header, rows), *_notes(measured, refused)])


def _cells(found: Figures, target: Target, won: set[str]) -> list[str]:
    """Return flash, count and memory of one output on one target."""
    if found.weight is None:
        return [found.obstacle.partition(":")[0], "", ""]
    flash = _bold(f"{found.weight.flash:,}", is_best="flash" in won)
    if found.run is None:
        return [flash, found.obstacle, f"{found.weight.ram:,}"]
    count = _bold(f"{found.run.counts.mean():,.0f}", is_best=target.unit in won)
    return [flash, f"{count} ({found.run.counts.max():,})", f"{found.weight.ram:,} + {found.run.stack:,}"]


def _bold(text: str, *, is_best: bool) -> str:
    """Return text, in bold if it is the best."""
    return f"**{text}**" if is_best else text


def _notes(measured: Sequence[Measured], refused: Sequence[Refusal]) -> Iterator[str]:
    """Yield what exporters refused, and what compilers did."""
    if refused:
        yield "Refused, or left out: " + "; ".join(f"{each.name} (`{each.reason[:120]}`)" for each in refused) + "."
    failed: dict[str, list[str]] = {}
    for each in measured:
        for target, found in each.figures.items():
            if found.weight is None:
                failed.setdefault(f"{each.output.name} {found.obstacle}", []).append(target.name)
    for what, names in failed.items():
        yield f"{what} ({', '.join(names)})."
