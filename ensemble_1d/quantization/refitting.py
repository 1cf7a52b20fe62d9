"""Leaves fitted anew, so that a compressed program gives the outputs of the program it came from."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.ir import Program, TreeTable
from ensemble_1d.quantization.compression import are_distributions
from ensemble_1d.quantization.tree_edits import Reals, contracted, leaf_of_each_row, with_leaf_values, with_own_leaves
from ensemble_1d.quantization.tree_sites import tree_sites, with_tables
from ensemble_1d.runtime import evaluate

_MAX_SWEEPS = 50
_TOLERANCE = 1e-3
"""A sweep over all trees that moves the leaves less than this share of the first one is the last."""


def refitted(program: Program, reference: Program, X: npt.NDArray[np.float32], *, ridge: float = 1.0) -> Program:
    """Return the program with leaf values that bring its tables' outputs close to those of the reference.

    The squared distance to the outputs of the reference's tables, summed over the rows, is made smallest together with
    `ridge` times the squared distance of the leaves to their present values: each tree in turn, given all others, which
    has a closed form, until nothing moves (after Ren et al., Global refinement of random forest, CVPR 2015; block
    coordinate descent needs no matrix of rows by leaves). Leaves of averaged trees stay what they were: distributions
    over classes, or within the range of their table.

    Args:
        program: A float program. Not changed.
        reference: A float program with as many tables, of the same outputs: what `program` was made from.
        X: Rows of shape (n_samples, n_features), float32, NaN where the program accepts missing values.
        ridge: Rows that the present value of a leaf counts for, from 0 on.

    Returns:
        The program with other leaves.

    Raises:
        InvalidInputError: If `ridge` is negative, or the reference has other tables.
        UnsupportedModelError: If a program is integer.
    """
    if not (isinstance(ridge, int | float | np.number) and 0 <= ridge < math.inf):
        raise InvalidInputError(f"ridge={ridge!r} is no number of rows; use a finite number from 0 on")
    sites, wanted = tree_sites(program, X), tree_sites(reference, X)
    shapes, wanted_shapes = ([len(site.table.bias) for site in each] for each in (sites, wanted))
    if shapes != wanted_shapes:
        rule = "give the program that this one was made from"
        raise InvalidInputError(f"reference has tables of {wanted_shapes} outputs, and program of {shapes}; {rule}")
    tables = [
        _refitted(site.table, site.X, np.asarray(evaluate(goal.table, goal.X), np.float64), float(ridge))
        for site, goal in zip(sites, wanted, strict=True)
    ]
    return with_tables(program, tables)


@dataclass(frozen=True, slots=True, eq=False)
class _TreeRows:
    """Which rows each leaf of one tree has.

    Attributes:
        leaves: The leaves with rows, of shape (n_reached,), int64.
        place: The place in `leaves` of each row's leaf, of shape (n_samples,), int64.
        count: Rows of each leaf, of shape (n_reached, 1).
    """

    leaves: npt.NDArray[np.int64]
    place: npt.NDArray[np.int64]
    count: Reals

    def sums(self, rows: Reals) -> Reals:
        """Return the sum of the rows of each leaf, of shape (n_reached, n_columns)."""
        columns = [np.bincount(self.place, column, len(self.leaves)) for column in rows.T]
        return np.stack(columns, axis=1)


def _tree_rows(leaf: npt.NDArray[np.int32]) -> _TreeRows:
    """Return the rows of each leaf of one tree."""
    leaves, place, count = np.unique(leaf, return_inverse=True, return_counts=True)
    return _TreeRows(leaves.astype(np.int64), place.ravel(), count[:, np.newaxis].astype(np.float64))


def _refitted(table: TreeTable, X: npt.NDArray[Any], goal: Reals, ridge: float) -> TreeTable:
    """Return the trees with leaves whose sum is nearest to `goal`."""
    own = with_own_leaves(table)
    before = own.value.astype(np.float64)
    value, width = before.copy(), before.shape[1]
    leaf = leaf_of_each_row(own, X)
    trees = [_tree_rows(leaf[:, tree]) for tree in range(len(own.root))]
    columns = [slice(first, first + width) for first in own.output.tolist()]
    project = _projection(own)
    missing = goal * (len(own.root) if own.average else 1) - own.bias
    for rows, column in zip(trees, columns, strict=True):
        missing[:, column] -= value[rows.leaves][rows.place]
    first_step = 0.0
    for _ in range(_MAX_SWEEPS):
        step = 0.0
        for rows, column in zip(trees, columns, strict=True):
            now = value[rows.leaves]
            pull = rows.sums(missing[:, column]) + ridge * (before[rows.leaves] - now)
            # All rows of a leaf weigh the same in every column: to project the free minimum is to find the bound one.
            move = project(now + pull / (rows.count + ridge)) - now
            value[rows.leaves] = now + move
            missing[:, column] -= move[rows.place]
            step += float((rows.count * move**2).sum())
        first_step = first_step or step
        if step <= _TOLERANCE**2 * first_step:
            break
    return contracted(with_leaf_values(own, value))


def _projection(table: TreeTable) -> Callable[[Reals], Reals]:
    """Return the map to the nearest leaves that the table may hold."""
    if not table.average:
        return lambda value: value
    if are_distributions(table):
        return _on_simplex
    low, high = table.value.min(axis=0).astype(np.float64), table.value.max(axis=0).astype(np.float64)
    return lambda value: np.clip(value, low, high)


def _on_simplex(value: Reals) -> Reals:
    """Return the nearest distribution to each row (Duchi et al., Efficient projections onto the l1-ball, ICML 2008)."""
    descending = -np.sort(-value, axis=1)
    surplus = np.cumsum(descending, axis=1) - 1
    rank = np.arange(1, value.shape[1] + 1)
    n_positive = (descending * rank > surplus).sum(axis=1)
    offset = surplus[np.arange(len(value)), n_positive - 1] / n_positive
    return np.asarray(np.maximum(value - offset[:, np.newaxis], 0))
