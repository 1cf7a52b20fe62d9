"""Steps that make the trees of a float program fewer and smaller: each a function from Program to Program."""

import math
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.ir import Program, TreeTable
from ensemble_1d.quantization.fixed_point_scales import apportion
from ensemble_1d.quantization.tree_edits import (
    KEEP,
    LEAF,
    LEFT,
    RIGHT,
    Integers,
    Reals,
    contracted,
    leaf_of_each_row,
    levels,
    split_statistics,
    with_leaf_values,
    with_own_leaves,
    with_some_trees,
)
from ensemble_1d.quantization.tree_sites import TreeSite, tables_of, with_each_table, with_tables

_BISECTIONS = 60
"""Halvings of the price of a split: enough to tell any two prices that differ."""


def pruned(program: Program, X: npt.NDArray[np.float32], min_samples: int = 1) -> Program:
    """Return the program without splits that send fewer than `min_samples` rows to a side.

    Such a split gives way to its other side; where both sides have too few rows, to a leaf with the mean over them.
    With `min_samples=1`, what goes is what no row reaches, and the outputs for these rows stay equal to the bit.

    Args:
        program: A float program. Not changed.
        X: Rows of shape (n_samples, n_features), float32, NaN where the program accepts missing values.
        min_samples: Fewest rows on each side of a split.

    Returns:
        The smaller program.

    Raises:
        InvalidInputError: If `min_samples` is no whole number of at least 1.
        UnsupportedModelError: If the program is integer.

    Example:
        >>> import numpy as np
        >>> from ensemble_1d import RandomForestModel
        >>> from ensemble_1d.runtime import run
        >>> X = np.arange(20, dtype=np.float32).reshape(10, 2)
        >>> program = RandomForestModel(n_estimators=5, random_state=0).fit(X, [0, 1] * 5).program()
        >>> few = X[:3]
        >>> small = pruned(program, few)
        >>> bool((run(small, few) == run(program, few)).all()), small.nbytes < program.nbytes
        (True, True)
    """
    if not isinstance(min_samples, int | np.integer) or min_samples < 1:
        raise InvalidInputError(f"min_samples={min_samples!r} is no number of rows; use a whole number from 1 on")
    return with_each_table(program, X, lambda site: _pruned(site.table, site.X, int(min_samples)))


def thinned(program: Program, X: npt.NDArray[np.float32], share: float) -> Program:
    """Return the program with at most this share of the splits of each tree table: those that matter most.

    A split matters as far as its rows' mean leaf values differ from side to side, in squares summed over the rows; what
    is cut becomes a leaf with the mean over its rows. Every split has one price, and each tree keeps the subtree worth
    most above it (Breiman et al., Classification and Regression Trees, 1984, chapter 3: cost-complexity pruning, with
    the trees' own answers in place of the labels).

    Args:
        program: A float program. Not changed.
        X: Rows of shape (n_samples, n_features), float32, NaN where the program accepts missing values.
        share: Of the splits, from 0 to 1.

    Returns:
        The smaller program. `refitted` brings its outputs closer to those of the larger one.

    Raises:
        InvalidInputError: If `share` is not from 0 to 1.
        UnsupportedModelError: If the program is integer.
    """
    share = checked_share(share, "share")
    return with_each_table(program, X, lambda site: _thinned(site, share))


def with_merged_leaves(program: Program, bits: int) -> Program:
    """Return the program with leaf values on a grid of 2**bits steps, and without splits between two equal leaves.

    Distributions over classes become multiples of 2**-bits that still add up to one (the method of largest remainders).
    Other leaves become multiples of their table's range over `2**bits - 1`, so that zero stays zero.

    Args:
        program: A float program. Not changed.
        bits: From 1 to 16.

    Returns:
        The program with fewer distinct leaves, and perhaps fewer splits.

    Raises:
        InvalidInputError: If `bits` is not from 1 to 16.
    """
    if not isinstance(bits, int | np.integer) or not 1 <= bits <= 16:
        raise InvalidInputError(f"bits={bits!r} makes no grid of leaves; use a whole number from 1 to 16")
    return with_tables(program, [contracted(_on_grid(table, int(bits))) for table in tables_of(program)])


def with_trees(program: Program, X: npt.NDArray[np.float32], share: float) -> Program:
    """Return the program with this share of the trees of each table, rounded up.

    Of an averaged table it keeps trees chosen one by one, so that their mean on the rows lies nearest to that of all
    (after Caruana et al., Ensemble selection from libraries of models, ICML 2004). Of a boosted table it keeps the
    first rounds, and the mean of what the others add on the rows becomes part of the bias.

    Args:
        program: A float program. Not changed.
        X: Rows of shape (n_samples, n_features), float32, NaN where the program accepts missing values.
        share: Of the trees, above 0 and at most 1.

    Returns:
        The program with fewer trees. `refitted` brings its outputs closer to those of the larger one.

    Raises:
        InvalidInputError: If `share` is not above 0 and at most 1.
        UnsupportedModelError: If the program is integer.
    """
    share = checked_share(share, "share")
    if share == 0:
        raise InvalidInputError("share=0 keeps no tree, and every table needs one; use a share above 0")
    return with_each_table(program, X, partial(_with_trees, share=share))


def checked_share(share: float, name: str) -> float:
    """Return a share as a float.

    Raises:
        InvalidInputError: If it is no number from 0 to 1.
    """
    try:
        number = float(share)
    except (TypeError, ValueError):
        number = math.nan
    if not 0 <= number <= 1:
        raise InvalidInputError(f"{name}={share!r} is no share; use a number from 0 to 1")
    return number


def are_distributions(table: TreeTable) -> bool:
    """Return whether the leaves are class probabilities: several values, none negative, with a sum of one."""
    value = table.value.astype(np.float64)
    return value.shape[1] > 1 and bool((value >= 0).all()) and np.allclose(value.sum(axis=1), 1.0, atol=1e-6)


def _pruned(table: TreeTable, X: npt.NDArray[Any], min_samples: int) -> TreeTable:
    """Return the trees without splits that send too few rows to a side."""
    own = with_own_leaves(table)
    seen = split_statistics(own, X)
    few_left, few_right = seen.left < min_samples, seen.right < min_samples
    choice = np.select([few_left & few_right, few_left, few_right], [LEAF, RIGHT, LEFT], KEEP)
    return contracted(own, choice, seen.mean)


def _thinned(site: TreeSite, share: float) -> TreeTable:
    """Return the trees with the splits that are worth more than the price at which few enough are."""
    own = with_own_leaves(_pruned(site.table, site.X, 1))
    seen = split_statistics(own, site.X)
    most = math.floor(share * len(site.table.left) + 1e-9)
    by_level = levels(own)
    low, high = 0.0, 1.0 + float(seen.gain.sum())
    kept = _worth_keeping(own, seen.gain, by_level, low)
    if int(kept.sum()) > most:
        kept = np.zeros(len(own.left), np.bool_)
        for _ in range(_BISECTIONS):
            price = low / 2 + high / 2
            candidate = _worth_keeping(own, seen.gain, by_level, price)
            if int(candidate.sum()) > most:
                low = price
            else:
                high, kept = price, candidate
    return contracted(own, np.where(kept, KEEP, LEAF), seen.mean)


def _worth_keeping(table: TreeTable, gain: Reals, by_level: list[Integers], price: float) -> npt.NDArray[np.bool_]:
    """Return which splits belong to the subtrees, from the roots on, that are worth most above their price."""
    worth = np.zeros(len(gain) + 1)  # The last entry, which a child of -1 or less finds, is that of every leaf.
    left, right = np.maximum(table.left, -1), np.maximum(table.right, -1)
    for nodes in reversed(by_level):
        worth[nodes] = np.maximum(gain[nodes] - price + worth[left[nodes]] + worth[right[nodes]], 0)
    kept = np.zeros(len(gain) + 1, np.bool_)
    reached = np.zeros(len(gain) + 1, np.bool_)
    reached[np.maximum(table.root, -1)] = True
    for nodes in by_level:
        kept[nodes] = reached[nodes] & (worth[nodes] > 0)
        reached[left[nodes]] = kept[nodes]
        reached[right[nodes]] = kept[nodes]
    return kept[:-1]


def _on_grid(table: TreeTable, bits: int) -> TreeTable:
    """Return the table with its leaf values rounded."""
    value = table.value.astype(np.float64)
    if are_distributions(table):
        rounded = apportion(value, 2**bits) / 2.0**bits
    else:
        step = (float(value.max()) - float(value.min())) / (2**bits - 1)
        rounded = np.rint(value / step) * step if step > 0 else value
    return with_leaf_values(table, rounded)


def _with_trees(site: TreeSite, share: float) -> TreeTable:
    """Return the table with fewer trees."""
    table = site.table
    if not table.average:
        return _first_rounds(site, share)
    most = math.ceil(share * len(table.root) - 1e-9)
    # A mean over trees of several outputs would change with the number of trees of each.
    if most == len(table.root) or (table.output != table.output[0]).any():
        return table
    return with_some_trees(table, np.sort(_nearest_to_all(site, most)))


def _first_rounds(site: TreeSite, share: float) -> TreeTable:
    """Return a sum of trees without the last ones of each output."""
    table = site.table
    keep = np.zeros(len(table.root), np.bool_)
    for output in np.unique(table.output):
        mine = np.flatnonzero(table.output == output)
        keep[mine[: math.ceil(share * len(mine) - 1e-9)]] = True
    if keep.all():
        return table
    leaf = leaf_of_each_row(table, site.X)
    bias = table.bias.astype(np.float64)
    width = table.value.shape[1]
    for tree in np.flatnonzero(~keep):
        first = table.output[tree]
        bias[first : first + width] += table.value[leaf[:, tree]].mean(axis=0, dtype=np.float64)
    return with_some_trees(with_leaf_values(table, table.value, bias), np.flatnonzero(keep))


def _nearest_to_all(site: TreeSite, most: int) -> npt.NDArray[np.intp]:
    """Return the trees, chosen one by one, whose mean output on the rows is nearest to the mean of all.

    The squared distance of a mean of trees is a sum over the products of their deviations from the mean of all, so one
    product for each pair of trees is all that has to be kept.
    """
    table = site.table
    n_trees = len(table.root)
    product = np.zeros((n_trees, n_trees))
    leaf = leaf_of_each_row(table, site.X)
    size = max(1, 2**20 // (n_trees * table.value.shape[1]))
    for begin in range(0, len(leaf), size):
        outputs = table.value[leaf[begin : begin + size].T].astype(np.float64).reshape(n_trees, -1)
        outputs -= outputs.mean(axis=0)
        product += outputs @ outputs.T
    chosen: list[int] = []
    is_free = np.ones(n_trees, np.bool_)
    beside = np.zeros(n_trees)
    for _ in range(most):
        cost = 2 * beside + product.diagonal()
        best = int(np.where(is_free, cost, np.inf).argmin())
        chosen.append(best)
        is_free[best] = False
        beside += product[best]
    return np.array(chosen, np.intp)
