"""Trees as the kernels take them: ranks instead of thresholds, nodes for walks, operations for selection."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import IntegerTreeTable, TreeTable
from ensemble_1d.native.structs import BLOCK, FLOAT32, FLOAT64, INT32, NODE, SELECT, Kept, PlainTrees, Trees

Ints = npt.NDArray[np.int64]

SELECT_NODES = 512
"""Trees of more nodes are walked: selection evaluates all nodes, a walk only those of one path."""

_CONSTANTS = 256
_NARROW = 255
_LAST_RANK = 65533
_LEAF_RANK = 65535


@dataclass(frozen=True, slots=True, eq=False)
class _Splits:
    """Splits by column of ranks: one for each feature and each side to which missing values go.

    Attributes:
        feature: Feature of each column.
        missing_high: Whether a missing value goes right in that column.
        start: Where the thresholds of each column start, of shape (n_columns + 1,).
        key: Thresholds as ordered integers: a value goes right where its own is larger.
        column: Column of each node.
        rank: Rank of each node's threshold in its column.
    """

    feature: Ints
    missing_high: npt.NDArray[np.bool_]
    start: Ints
    key: Ints
    column: Ints
    rank: Ints


@dataclass(frozen=True, slots=True, eq=False)
class _Order:
    """Nodes and leaves of all trees, level by level; the children of the k-th split are n_trees + 2k and the next.

    Attributes:
        reference: Node, or `~leaf`.
        tree: Tree of each.
        level: Where each level starts, and the end.
        first_child: For each split, the left child; -1 for a leaf.
    """

    reference: Ints
    tree: Ints
    level: list[int]
    first_child: Ints


def pack_trees(
    kept: Kept, table: TreeTable | IntegerTreeTable, columns: npt.NDArray[Any], source_type: int
) -> tuple[str, Trees | PlainTrees]:
    """Return the kind of step and the struct that answer with `table`.

    Args:
        kept: Takes the arrays.
        table: The trees.
        columns: For each column that the trees read, the column of their source.
        source_type: Type of the source: FLOAT32, FLOAT64 or INT32.

    Returns:
        "trees", or "plain_trees" where ranks of 16 bits do not do, and the struct.
    """
    if source_type != FLOAT64:
        splits = _splits(table, columns)
        if len(splits.feature) < _LEAF_RANK and int(np.diff(splits.start).max(initial=0)) <= _LAST_RANK:
            return "trees", _ranked(kept, table, splits)
    return "plain_trees", _plain(kept, table, columns)


def _features(table: TreeTable | IntegerTreeTable, columns: npt.NDArray[Any]) -> Ints:
    """Return the source column of each node."""
    return columns[table.feature if isinstance(table, TreeTable) else table.column].astype(np.int64)


def _value_type(table: TreeTable | IntegerTreeTable) -> int:
    """Return the type in which leaves are summed."""
    if isinstance(table, IntegerTreeTable):
        return INT32
    return FLOAT32 if table.value.dtype == np.float32 else FLOAT64


def _outputs(kept: Kept, table: TreeTable | IntegerTreeTable) -> dict[str, int]:
    """Return the fields of both structs that say where sums go."""
    dtype = (np.float32, np.float64, np.int32)[_value_type(table)]
    bias = table.bias if isinstance(table, TreeTable) else np.zeros(table.n_outputs)
    return {
        "n_trees": len(table.root),
        "width": table.value.shape[1],
        "n_outputs": len(bias),
        "value_type": _value_type(table),
        "average": int(isinstance(table, TreeTable) and table.average),
        "has_missing": int(isinstance(table, TreeTable) or len(table.default_left) > 0),
        "output": kept.array(table.output, np.int32),
        "bias": kept.array(bias, dtype),
    }


def _plain(kept: Kept, table: TreeTable | IntegerTreeTable, columns: npt.NDArray[Any]) -> PlainTrees:
    """Return trees as they are, thresholds in double: exact for float32 and for integers."""
    default = table.default_left if len(table.default_left) else np.zeros(len(table.left), np.bool_)
    strict = isinstance(table, TreeTable) and table.comparison == "lt"
    return PlainTrees(
        strict=int(strict),
        feature=kept.array(_features(table, columns), np.int32),
        threshold=kept.array(table.threshold if isinstance(table, TreeTable) else table.cut, np.float64),
        left=kept.array(table.left, np.int32),
        right=kept.array(table.right, np.int32),
        default_left=kept.array(default, np.uint8),
        root=kept.array(table.root, np.int32),
        value=kept.array(table.value, (np.float32, np.float64, np.int32)[_value_type(table)]),
        **_outputs(kept, table),
    )


def ordered_keys(values: npt.NDArray[np.float32]) -> Ints:
    """Return integers in the order of float32 values; both zeros have the same."""
    bits = np.where(values == 0, np.float32(0), values).astype(np.float32).view(np.int32).astype(np.int64)
    return np.where(bits < 0, bits ^ 0x7FFFFFFF, bits)


def threshold_keys(table: TreeTable | IntegerTreeTable) -> Ints:
    """Return an integer for each threshold: a value goes right where its own (`ordered_keys`, or code) is larger."""
    if isinstance(table, IntegerTreeTable):
        return table.cut.astype(np.int64)
    if table.comparison == "lt":
        return ordered_keys(np.asarray(table.threshold, np.float32)) - 1
    with np.errstate(over="ignore"):
        below = table.threshold.astype(np.float32)
    # The largest float32 that does not exceed the threshold parts float32 values as the threshold does.
    below = np.where(below > table.threshold, np.nextafter(below, np.float32(-np.inf)), below)
    return ordered_keys(below)


def _splits(table: TreeTable | IntegerTreeTable, columns: npt.NDArray[Any]) -> _Splits:
    """Return the splits with ranks for thresholds."""
    right = np.zeros(len(table.left), np.int64) if not len(table.default_left) else 1 - table.default_left
    pairs, column = np.unique(2 * _features(table, columns) + right, return_inverse=True)
    column = column.ravel()
    if not len(pairs):  # A leaf looks at the first column, whatever is in it.
        pairs = 2 * columns[:1].astype(np.int64)
    distinct, place = np.unique((column << 34) + threshold_keys(table) + (1 << 33), return_inverse=True)
    start = np.searchsorted(distinct >> 34, np.arange(len(pairs) + 1))
    return _Splits(
        feature=pairs >> 1,
        missing_high=(pairs & 1).astype(np.bool_),
        start=start,
        key=(distinct & ((1 << 34) - 1)) - (1 << 33),
        column=column,
        rank=place.ravel() - start[column],
    )


def _by_level(table: TreeTable | IntegerTreeTable) -> _Order:
    """Return all nodes and leaves, level by level over all trees."""
    reference, tree = table.root.astype(np.int64), np.arange(len(table.root))
    references, trees, level = [], [], [0]
    while reference.size:
        references.append(reference)
        trees.append(tree)
        level.append(level[-1] + len(reference))
        is_split = reference >= 0
        nodes = reference[is_split]
        reference = np.column_stack([table.left[nodes], table.right[nodes]]).ravel().astype(np.int64)
        tree = np.repeat(tree[is_split], 2)
    all_references = np.concatenate(references)
    first_child = np.full(len(all_references), -1)
    inner = np.flatnonzero(all_references >= 0)
    first_child[inner] = len(table.root) + 2 * np.arange(len(inner))
    return _Order(reference=all_references, tree=np.concatenate(trees), level=level, first_child=first_child)


def _ranked(kept: Kept, table: TreeTable | IntegerTreeTable, splits: _Splits) -> Trees:
    """Return trees on ranks, the small ones for selection too."""
    order = _by_level(table)
    n_trees = len(table.root)
    inner, outer = np.flatnonzero(order.reference >= 0), np.flatnonzero(order.reference < 0)
    pairs, local = np.unique(order.tree[outer] * len(table.value) + ~order.reference[outer], return_inverse=True)
    leaf_tree, leaf = np.divmod(pairs, len(table.value))
    leaf_start = np.searchsorted(leaf_tree, np.arange(n_trees))
    post, slot = _post_order(order)
    small = np.asarray(np.bincount(order.tree[inner], minlength=n_trees) <= SELECT_NODES)
    small &= np.bincount(leaf_tree, minlength=n_trees) <= _CONSTANTS
    high = np.zeros(n_trees, np.int64)
    np.maximum.at(high, order.tree[inner], slot[inner])
    small &= high < _CONSTANTS
    group, narrow = _groups(order, splits, small)

    # Leaves of selected trees stand together, tree by tree; those of walked trees once each, as first met.
    selected = group[leaf_tree] >= 0
    base: Ints = np.cumsum(selected) - selected
    _, first, walked = np.unique(leaf[~selected], return_index=True, return_inverse=True)
    met = np.empty(len(first), np.int64)
    met[np.argsort(first)] = np.arange(len(first))
    place = np.where(selected, base, 0)
    place[~selected] = int(selected.sum()) + met[walked.ravel()]
    value = np.concatenate([table.value[leaf[selected]], table.value[leaf[~selected][np.sort(first)]]])

    nodes, leaf_of_node, roots = _walk_nodes(order, splits, n_trees, outer, place[local.ravel()])
    operand = np.zeros(len(order.reference), np.int64)
    operand[outer] = local.ravel() - leaf_start[order.tree[outer]]
    operand[inner] = _CONSTANTS + slot[inner]
    select_start, operations = _operations(order, splits, group, narrow, post=post, slot=slot, operand=operand)
    return Trees(
        n_columns=len(splits.feature),
        n_groups=len(narrow),
        n_walks=int((group < 0).sum()),
        feature=kept.array(splits.feature, np.int32),
        missing_high=kept.array(splits.missing_high, np.uint8),
        start=kept.array(splits.start, np.int32),
        key=kept.array(splits.key, np.int32),
        node=kept.array(nodes, NODE),
        leaf=kept.array(leaf_of_node, np.int32),
        root=kept.array(roots, np.int32),
        value=kept.array(value, (np.float32, np.float64, np.int32)[_value_type(table)]),
        group=kept.array(group, np.int32),
        select_start=kept.array(select_start, np.int32),
        select=kept.array(operations, SELECT),
        leaf_base=kept.array(place[np.minimum(leaf_start, len(place) - 1)], np.int32),
        narrow=kept.array(narrow, np.int8),
        **_outputs(kept, table),
    )


def _walk_nodes(
    order: _Order, splits: _Splits, n_trees: int, outer: Ints, leaf: Ints
) -> tuple[npt.NDArray[Any], Ints, Ints]:
    """Return the nodes tree by tree and level by level, siblings side by side; their leaves; and the roots.

    One unused node before each root lets pairs of siblings start at even places, within one line of the cache.
    """
    by_tree = np.argsort(order.tree, kind="stable")
    place = np.empty(len(by_tree), np.int64)
    place[by_tree] = np.arange(len(by_tree)) + order.tree[by_tree] + 1
    inner = np.flatnonzero(order.reference >= 0)
    node = order.reference[inner]
    nodes = np.zeros(len(by_tree) + n_trees, NODE)
    nodes["column"][place[inner]] = splits.column[node]
    nodes["rank"][place[inner]] = splits.rank[node]
    nodes["child"][place[inner]] = place[order.first_child[inner]]
    nodes["rank"][place[outer]] = _LEAF_RANK
    nodes["child"][place[outer]] = place[outer]
    leaf_of_node = np.zeros(len(nodes), np.int64)
    leaf_of_node[place[outer]] = leaf
    return nodes, leaf_of_node, place[:n_trees]


def _post_order(order: _Order) -> tuple[Ints, Ints]:
    """Return when each split is evaluated within its tree, children first, and the slot of its result.

    A split and its left child share a slot; the right child takes the next one if the left child needs it.
    """
    size = np.zeros(len(order.reference), np.int64)
    begin, slot = size.copy(), size.copy()
    bounds = list(zip(order.level[:-1], order.level[1:], strict=True))
    inners = [low + np.flatnonzero(order.reference[low:high] >= 0) for low, high in bounds]
    for inner in reversed(inners):
        child = order.first_child[inner]
        size[inner] = 1 + size[child] + size[child + 1]
    for inner in inners:
        child = order.first_child[inner]
        begin[child], begin[child + 1] = begin[inner], begin[inner] + size[child]
        slot[child], slot[child + 1] = slot[inner], slot[inner] + (size[child] > 0)
    return begin + size - 1, slot


def _groups(order: _Order, splits: _Splits, small: npt.NDArray[np.bool_]) -> tuple[Ints, npt.NDArray[np.int8]]:
    """Return the group of each tree, -1 where it is walked, and for each group its ranks, less 128, by rank.

    Trees join a group while no column has more than 255 thresholds in it: the ranks within a group take one byte.
    """
    n_columns, group = len(splits.feature), np.full(len(small), -1)
    inner = np.flatnonzero((order.reference >= 0) & small[order.tree])
    inner = inner[np.argsort(order.tree[inner], kind="stable")]
    node = order.reference[inner]
    threshold = splits.start[splits.column[node]] + splits.rank[node]
    bounds = np.searchsorted(order.tree[inner], np.arange(len(small) + 1))
    column_of = np.repeat(np.arange(n_columns), np.diff(splits.start))
    used = np.zeros(len(splits.key), np.bool_)
    counts = np.zeros(n_columns, np.int64)
    members: list[npt.NDArray[np.bool_]] = []
    for tree in np.flatnonzero(small):
        mine = np.unique(threshold[bounds[tree] : bounds[tree + 1]])
        own = np.bincount(column_of[mine], minlength=n_columns)
        if int(own.max(initial=0)) > _NARROW:
            continue
        more = np.bincount(column_of[mine[~used[mine]]], minlength=n_columns)
        if not members or int((counts + more).max(initial=0)) > _NARROW:
            used, counts = np.zeros_like(used), np.zeros_like(counts)
            members.append(used)
            more = own
        used[mine] = True
        counts += more
        group[tree] = len(members) - 1
    narrow = np.empty((len(members), len(splits.key) + n_columns), np.int8)
    for row, each in zip(narrow, members, strict=True):
        row[:] = _narrow(each, splits)
    return group, narrow


def _narrow(used: npt.NDArray[np.bool_], splits: _Splits) -> npt.NDArray[np.int8]:
    """Return for each column and rank how many of the used thresholds lie below, less 128."""
    below = np.concatenate([[0], np.cumsum(used)])
    columns = [below[a : b + 1] - below[a] for a, b in zip(splits.start[:-1], splits.start[1:], strict=True)]
    return (np.concatenate(columns) - 128).astype(np.int8) if columns else np.zeros(0, np.int8)


def _operations(
    order: _Order,
    splits: _Splits,
    group: Ints,
    narrow: npt.NDArray[np.int8],
    *,
    post: Ints,
    slot: Ints,
    operand: Ints,
) -> tuple[Ints, npt.NDArray[Any]]:
    """Return where the operations of each tree start, and the operations in the order of evaluation."""
    inner = np.flatnonzero((order.reference >= 0) & (group[order.tree] >= 0))
    tree, node, child = order.tree[inner], order.reference[inner], order.first_child[inner]
    start = np.concatenate([[0], np.cumsum(np.bincount(tree, minlength=len(group)))])
    column = splits.column[node]
    operations = np.zeros(len(inner), SELECT)
    if len(inner):
        at = start[tree] + post[inner]
        operations["left"][at], operations["right"][at] = BLOCK * operand[child], BLOCK * operand[child + 1]
        operations["code"][at], operations["out"][at] = BLOCK * column, BLOCK * (_CONSTANTS + slot[inner])
        operations["threshold"][at] = narrow[group[tree], splits.start[column] + column + splits.rank[node]]
    return start, operations
