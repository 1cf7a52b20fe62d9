"""Edits of a tree table: splits replaced by a side or a leaf, what became equal or unused left out."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import TreeTable
from ensemble_1d.runtime import leaves_of_rows, row_blocks

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]

KEEP, LEFT, RIGHT, LEAF = range(4)
"""What becomes of a split: it stays, gives way to one of its sides, or becomes a leaf."""


@dataclass(frozen=True, slots=True, eq=False)
class SplitStatistics:
    """What the splits of a table do with given rows.

    Attributes:
        left: Rows that go left, of shape (n_nodes,), int64.
        right: Rows that go right.
        mean: Mean leaf value of the rows at each split, of shape (n_nodes, width); zero where there is none.
        gain: How far, in squares summed over these rows and all columns, the means of the two sides lie from it.
    """

    left: Integers
    right: Integers
    mean: Reals
    gain: Reals


def levels(table: TreeTable) -> list[Integers]:
    """Return the splits of all trees, level by level from the roots."""
    return _levels(table.left, table.right, table.root)


def with_own_leaves(table: TreeTable) -> TreeTable:
    """Return the same trees with a leaf for every reference to one."""
    children = np.concatenate([table.root, table.left, table.right]).astype(np.int64)
    is_leaf = children < 0
    value = table.value[~children[is_leaf]]
    children[is_leaf] = ~np.arange(len(value))
    root, left, right = np.split(children.astype(np.int32), np.cumsum([len(table.root), len(table.left)]))
    return replace(table, root=root, left=left, right=right, value=value)


def with_leaf_values(table: TreeTable, value: npt.NDArray[Any], bias: npt.NDArray[Any] | None = None) -> TreeTable:
    """Return the same trees with other values in their leaves, and perhaps another bias, in the dtype they had."""
    dtype = table.value.dtype
    start = table.bias if bias is None else bias
    values: tuple[Any, Any] = (np.asarray(value, dtype), np.asarray(start, dtype))
    return replace(table, value=values[0], bias=values[1])


def leaf_of_each_row(table: TreeTable, X: npt.NDArray[Any]) -> npt.NDArray[np.int32]:
    """Return the leaf that each row reaches in each tree, of shape (n_samples, n_trees)."""
    n_trees = len(table.root)
    blocks = [leaves_of_rows(table, X[rows]).astype(np.int32) for rows in row_blocks(len(X), n_trees)]
    return np.concatenate(blocks)


def split_statistics(table: TreeTable, X: npt.NDArray[Any]) -> SplitStatistics:
    """Return what the splits do with the rows; every reference to a leaf must have a leaf of its own."""
    reached = np.zeros(len(table.value), np.int64)
    for rows in row_blocks(len(X), len(table.root)):
        reached += np.bincount(leaves_of_rows(table, X[rows]).ravel(), minlength=len(reached))
    leaf_sum = reached[:, np.newaxis] * table.value.astype(np.float64)
    n_nodes = len(table.left)
    left, right = np.zeros(n_nodes, np.int64), np.zeros(n_nodes, np.int64)
    total, mean = np.zeros((n_nodes, table.value.shape[1])), np.zeros((n_nodes, table.value.shape[1]))
    gain = np.zeros(n_nodes)

    def side(child: Integers) -> tuple[Integers, Reals]:
        node, leaf = np.maximum(child, 0), ~np.minimum(child, -1)
        is_leaf = child < 0
        rows = np.where(is_leaf, reached[leaf], left[node] + right[node])
        return rows, np.where(is_leaf[:, np.newaxis], leaf_sum[leaf], total[node])

    for nodes in reversed(levels(table)):
        n_left, sum_left = side(table.left[nodes].astype(np.int64))
        n_right, sum_right = side(table.right[nodes].astype(np.int64))
        left[nodes], right[nodes], total[nodes] = n_left, n_right, sum_left + sum_right
        mean[nodes] = total[nodes] / np.maximum(n_left + n_right, 1)[:, np.newaxis]
        apart = sum_left / np.maximum(n_left, 1)[:, np.newaxis] - sum_right / np.maximum(n_right, 1)[:, np.newaxis]
        gain[nodes] = (apart**2).sum(axis=1) * n_left * n_right / np.maximum(n_left + n_right, 1)
    return SplitStatistics(left, right, mean, gain)


def contracted(table: TreeTable, choice: Integers | None = None, node_value: Reals | None = None) -> TreeTable:
    """Return the trees after a choice for each split; then equal leaves are one, and splits between one leaf are gone.

    Args:
        table: The trees.
        choice: KEEP, LEFT, RIGHT or LEAF for each split, of shape (n_nodes,); None keeps all.
        node_value: The leaf that each split would become, of shape (n_nodes, width); needed for LEAF alone.

    Returns:
        The trees, in the same order and with the same outputs wherever no split became a leaf of another value.
    """
    n_leaves, n_nodes = len(table.value), len(table.left)
    value = table.value
    if node_value is not None:
        value = np.concatenate([value, node_value.astype(value.dtype)])
    first, leaf = distinct_rows(value)
    left, right = _renumbered(table.left, leaf), _renumbered(table.right, leaf)
    choice = np.zeros(n_nodes, np.int64) if choice is None else choice
    place = np.arange(n_nodes)
    for nodes in reversed(levels(table)):
        left[nodes], right[nodes] = _moved(left[nodes], place), _moved(right[nodes], place)
        is_one = (left[nodes] < 0) & (left[nodes] == right[nodes])
        own_leaf = ~leaf[n_leaves + nodes] if node_value is not None else nodes
        options = [np.where(is_one, left[nodes], nodes), left[nodes], right[nodes], own_leaf]
        place[nodes] = np.choose(choice[nodes], options)
    root = _moved(_renumbered(table.root, leaf), place)
    return _compact(table, left, right, root, output=table.output, value=value[first])


def with_some_trees(table: TreeTable, keep: npt.NDArray[np.intp]) -> TreeTable:
    """Return the table with these trees alone."""
    left, right, root = (each.astype(np.int64) for each in (table.left, table.right, table.root))
    return _compact(table, left, right, root[keep], output=table.output[keep], value=table.value)


def _compact(
    table: TreeTable,
    left: Integers,
    right: Integers,
    root: Integers,
    *,
    output: npt.NDArray[np.int32],
    value: npt.NDArray[Any],
) -> TreeTable:
    """Return a table of the nodes and leaves that the roots lead to, in their present order."""
    found = _levels(left, right, root)
    nodes = np.sort(np.concatenate(found)) if found else np.empty(0, np.int64)
    children = np.concatenate([root, left[nodes], right[nodes]])
    leaves = np.unique(~children[children < 0])
    is_leaf = children < 0
    children[is_leaf] = ~np.searchsorted(leaves, ~children[is_leaf])
    children[~is_leaf] = np.searchsorted(nodes, children[~is_leaf])
    new_root, new_left, new_right = np.split(children.astype(np.int32), np.cumsum([len(root), len(nodes)]))
    return replace(
        table,
        feature=table.feature[nodes],
        threshold=table.threshold[nodes],
        left=new_left,
        right=new_right,
        default_left=table.default_left[nodes],
        value=value[leaves],
        root=new_root,
        output=output,
    )


def _levels(left: npt.NDArray[Any], right: npt.NDArray[Any], root: npt.NDArray[Any]) -> list[Integers]:
    """Return the nodes below the roots, level by level."""
    found = []
    nodes = root[root >= 0].astype(np.int64)
    while nodes.size:
        found.append(nodes)
        children = np.concatenate([left[nodes], right[nodes]]).astype(np.int64)
        nodes = children[children >= 0]
    return found


def distinct_rows(value: npt.NDArray[Any]) -> tuple[Integers, Integers]:
    """Return the first of each set of rows equal to the bit, in order, and the set that each row belongs to."""
    rows = np.ascontiguousarray(value).view(np.dtype((np.void, value.itemsize * value.shape[1]))).ravel()
    _, first, inverse = np.unique(rows, return_index=True, return_inverse=True)
    order = np.argsort(first)
    return first[order].astype(np.int64), np.argsort(order)[inverse.ravel()].astype(np.int64)


def _renumbered(child: npt.NDArray[Any], leaf: Integers) -> Integers:
    """Return children whose leaves have new numbers."""
    child = child.astype(np.int64)
    return np.where(child < 0, ~leaf[~np.minimum(child, -1)], child)


def _moved(child: Integers, place: Integers) -> Integers:
    """Return children, nodes replaced by what stands in their place."""
    return np.where(child < 0, child, place[np.maximum(child, 0)]) if len(place) else child
