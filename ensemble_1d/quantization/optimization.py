"""What compression has done to a program: every step tried, with sizes and scores before and after, as a table."""

from dataclasses import dataclass

import numpy as np

from ensemble_1d._html import html_facts, html_table
from ensemble_1d.ir import Program
from ensemble_1d.quantization.tree_edits import distinct_rows
from ensemble_1d.quantization.tree_sites import tree_sites

_HEADS = ("trees", "splits", "thresholds", "leaves", "score", "regret")
"""The columns of the table."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TreeSizes:
    """How much there is of the trees of a program.

    Attributes:
        n_trees: Trees of all tables.
        n_splits: Splits of all trees.
        n_thresholds: Distinct thresholds: counted once for each feature and comparison, whatever table they stand in.
        n_leaves: Distinct leaves, counted once for each table.

    Example:
        >>> sizes = TreeSizes(n_trees=10, n_splits=80, n_thresholds=60, n_leaves=12)
        >>> TreeSizes(n_trees=10, n_splits=70, n_thresholds=60, n_leaves=12).is_smaller_than(sizes)
        True
    """

    n_trees: int
    n_splits: int
    n_thresholds: int
    n_leaves: int

    def is_smaller_than(self, other: "TreeSizes") -> bool:
        """Return whether there are fewer trees or splits, or as many of both and fewer thresholds or leaves.

        Args:
            other: The sizes to compare with.
        """
        if (self.n_trees, self.n_splits) == (other.n_trees, other.n_splits):
            return self.n_thresholds < other.n_thresholds or self.n_leaves < other.n_leaves
        return self.n_trees <= other.n_trees and self.n_splits <= other.n_splits


def tree_sizes(program: Program) -> TreeSizes:
    """Return the sizes of the trees of a float program.

    Raises:
        UnsupportedModelError: If the program is integer.
    """
    sites = tree_sites(program, np.zeros((1, program.n_features), np.float32))
    thresholds = {
        (site.table.comparison, column, threshold)
        for site in sites
        for column, threshold in zip(
            site.column[site.table.feature].tolist(), site.table.threshold.tolist(), strict=True
        )
    }
    return TreeSizes(
        n_trees=sum(len(site.table.root) for site in sites),
        n_splits=sum(len(site.table.left) for site in sites),
        n_thresholds=len(thresholds),
        n_leaves=sum(len(distinct_rows(site.table.value)[0]) for site in sites),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Measurement:
    """How large a program's trees are, and how well it answers.

    Attributes:
        sizes: Its sizes.
        score: Accuracy, or R2, on the held-out rows.
        regret: What it gives up, by the original's own expectation, on rows mixed from neighbours.

    Example:
        >>> sizes = TreeSizes(n_trees=10, n_splits=80, n_thresholds=60, n_leaves=12)
        >>> Measurement(sizes=sizes, score=0.96, regret=0.001).sizes.n_splits
        80
    """

    sizes: TreeSizes
    score: float
    regret: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OptimizationStep:
    """One step that was tried.

    Attributes:
        name: What it does.
        before: The program it was tried on.
        after: What it made of it.
        accepted: Whether the program goes on with it.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import RandomForestModel
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RandomForestModel(n_estimators=10, random_state=0).fit(X[::2], y[::2])
        >>> result = model.optimize(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2]).optimization
        >>> first = result.steps[0]
        >>> first.after.sizes.is_smaller_than(first.before.sizes)
        True
    """

    name: str
    before: Measurement
    after: Measurement
    accepted: bool


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class OptimizationResult:
    """A compressed program beside the original; printed as a table of the steps tried.

    Attributes:
        program: The compressed float program.
        original: The program it was made from.
        before: How the original measures.
        after: How the program does.
        steps: Every step tried that made something smaller, in order.
        score_name: "accuracy" or "R2" against given labels or values; without them "agreement", or "R2 of the
            original's values", with what the original answers.
        n_samples: Held-out rows that the scores were measured on.
        max_accuracy_drop: How far the score was allowed to fall.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import RandomForestModel
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RandomForestModel(n_estimators=10, random_state=0).fit(X[::2], y[::2])
        >>> result = model.optimize(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2]).optimization
        >>> result.score_name, result.n_samples
        ('accuracy', 75)
        >>> result.after.sizes.n_splits < result.before.sizes.n_splits
        True
    """

    program: Program
    original: Program
    before: Measurement
    after: Measurement
    steps: tuple[OptimizationStep, ...]
    score_name: str
    n_samples: int
    max_accuracy_drop: float

    def __str__(self) -> str:
        """Return the steps as lines of text."""
        if not self.before.sizes.n_trees:
            return f"{self._title()}\n  no trees to compress"
        lines = [("", *_HEADS, ""), *self._lines()]
        return "\n".join([self._title(), *(_line(*cells) for cells in lines)])

    def _repr_html_(self) -> str:
        """Return the steps as a table in HTML."""
        if not self.before.sizes.n_trees:
            return html_facts([("trees", "none to compress")], caption=self._title())
        return html_table(["step", *_HEADS, ""], self._lines(), caption=self._title(), words=(7,))

    def _title(self) -> str:
        """Return the scores before and after."""
        scores = f"{self.before.score:.4f} before, {self.after.score:.4f} after"
        allowed = f"may fall by {self.max_accuracy_drop:g}"
        return f"{self.score_name} on {self.n_samples} held-out rows: {scores} ({allowed})"

    def _lines(self) -> list[tuple[str, ...]]:
        """Return the cells of each line of the table."""
        steps = [(*_cells(step.name, step.after), "" if step.accepted else "rejected") for step in self.steps]
        return [(*_cells("original", self.before), ""), *steps, (*_cells("result", self.after), "")]


def _cells(name: str, measured: Measurement) -> tuple[str, ...]:
    """Return a name, counts, score and regret as text."""
    sizes = measured.sizes
    counts = (sizes.n_trees, sizes.n_splits, sizes.n_thresholds, sizes.n_leaves)
    return (name, *(f"{count:,}" for count in counts), f"{measured.score:.4f}", f"{measured.regret:.4f}")


def _line(name: str, *cells: str) -> str:
    """Return one line of the table in plain text; the last cell is a note."""
    *counts, score, regret, note = cells
    return f"  {name:<36}{''.join(f'{count:>11}' for count in counts)}{score:>9}{regret:>9}  {note}".rstrip()
