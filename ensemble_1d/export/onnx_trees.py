"""Trees in ONNX: an operator that finds the leaf of each tree, and sums that add leaves in the order of the runtime."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import UnsupportedModelError
from ensemble_1d.export.onnx_builder import Attribute, GraphBuilder
from ensemble_1d.ir import TreeTable

MOST_LEAVES = 1 << 24
"""Leaves whose numbers float32 holds: the operator for trees gives no other type."""

_TERMS = 256
"""Leaf values of a row that are added at once, so that a row takes some kilobytes, not all trees times all classes."""

_INT32 = 6
"""TensorProto.INT32, fixed by the format."""


def add_trees(graph: GraphBuilder, table: TreeTable, x: str, *, is_double: bool) -> str:
    """Add the operators that compute a TreeTable.

    A runtime adds trees in any order and in float32, so that sums that are equal in Python would differ. Here its
    operator for trees only finds leaves: each tree has an output of its own, the number of the leaf reached. The values
    of these leaves are then added with CumSum, which has an order: that of the TreeTable.

    Args:
        graph: Where to add them.
        table: The trees.
        x: Name of the rows, of shape (n_samples, n_inputs).
        is_double: Whether the rows are float64 instead of float32.

    Returns:
        The name of the sums, of shape (n_samples, n_outputs) and the dtype of `table.value`.

    Raises:
        UnsupportedModelError: If there are more leaves than float32 can number.
    """
    n_leaves = len(table.value)
    if n_leaves > MOST_LEAVES:
        rule = f"ONNX's operator for trees tells {MOST_LEAVES:,} apart"
        raise UnsupportedModelError(f"the trees have {n_leaves:,} leaves, and {rule}; fit fewer or smaller trees")
    attributes = tree_attributes(table, is_double=is_double)
    found = graph.add_node("TreeEnsembleRegressor", [x], attributes, domain="ai.onnx.ml")
    leaf = graph.add("Cast", found, to=_INT32)
    # One flat table, so that columns may take different trees: leaf values, then a zero, then the bias.
    terms = np.concatenate([table.value.ravel(), np.zeros(1, table.value.dtype), table.bias])
    values = graph.constant(terms)
    tree, factor, offset = _places(table, len(terms) - len(table.bias) - 1)
    total = ""
    n_steps = max(1, _TERMS // len(table.bias))
    for begin in range(0, len(tree), n_steps):
        steps = slice(begin, begin + n_steps)
        place = graph.add("Gather", leaf, graph.constant(tree[steps]), axis=1)
        place = graph.add("Mul", place, graph.constant(factor[steps]))
        place = graph.add("Add", place, graph.constant(offset[steps]))
        value = graph.add("Gather", values, place, axis=0)
        if total:
            before = graph.add("Unsqueeze", total, graph.constant(np.array([1])))
            value = graph.add("Concat", before, value, axis=1)
        sums = graph.add("CumSum", value, graph.constant(np.array(1)))
        total = graph.add("Gather", sums, graph.constant(np.array(-1)), axis=1)
    if table.average:
        total = graph.add("Div", total, graph.constant(np.array(len(table.root), table.value.dtype)))
    return total


def tree_attributes(table: TreeTable, *, is_double: bool) -> dict[str, Attribute]:
    """Return the attributes of a TreeEnsembleRegressor that gives, for each tree, the number of the leaf reached.

    Args:
        table: The trees.
        is_double: Whether the rows are float64: then thresholds are too, and else float32.

    Returns:
        The attributes of ai.onnx.ml's TreeEnsembleRegressor, version 3.
    """
    n_trees, n_splits = len(table.root), len(table.feature)
    # Every root and every child is one node of ONNX, so that a leaf that several splits share becomes several.
    reference = np.concatenate([table.root, table.left, table.right]).astype(np.int64)
    tree = np.concatenate([np.arange(n_trees), *[_tree_of_splits(table)] * 2])
    is_split = reference >= 0
    order = np.lexsort((np.where(is_split, reference, n_splits), tree))  # The root has the lowest number of its splits.
    reference, tree, is_split = reference[order], tree[order], is_split[order]
    number = np.arange(len(order)) - np.searchsorted(tree, tree)
    place = np.empty(len(order), np.int64)
    place[order] = number
    split = reference[is_split]
    left, right = np.zeros((2, len(order)), np.int64)
    left[is_split], right[is_split] = place[n_trees + split], place[n_trees + n_splits + split]
    threshold = np.zeros(len(order), np.float64 if is_double else np.float32)
    threshold[is_split] = table.threshold[split] if is_double else as_float32(table.threshold[split])
    feature = np.zeros(len(order), np.int64)
    feature[is_split] = table.feature[split]
    leaf = (~reference[~is_split]).astype(threshold.dtype)
    missing_left = np.zeros(len(order), np.int64)
    missing_left[is_split] = table.default_left[split]
    mode = "BRANCH_LT" if table.comparison == "lt" else "BRANCH_LEQ"
    suffix = "_as_tensor" if is_double else ""
    return {
        "n_targets": n_trees,
        "aggregate_function": "SUM",
        "post_transform": "NONE",
        "nodes_treeids": tree,
        "nodes_nodeids": number,
        "nodes_modes": [mode if each else "LEAF" for each in is_split.tolist()],
        "nodes_featureids": feature,
        f"nodes_values{suffix}": threshold,
        # Not left out even where all are 0: ONNX's own interpreter reads it for every NaN.
        "nodes_missing_value_tracks_true": missing_left,
        "nodes_truenodeids": left,
        "nodes_falsenodeids": right,
        "target_treeids": tree[~is_split],
        "target_nodeids": number[~is_split],
        "target_ids": tree[~is_split],
        f"target_weights{suffix}": leaf,
    }


def as_float32(threshold: npt.NDArray[Any]) -> npt.NDArray[np.float32]:
    """Return the largest float32 that is not above each threshold: `x <= threshold` is the same for any float32 x.

    Args:
        threshold: Of shape (n_nodes,), without NaN.

    Returns:
        Of shape (n_nodes,), float32.
    """
    with np.errstate(over="ignore"):  # Beyond float32 lies infinity, and the largest number below it.
        near = threshold.astype(np.float32)
        return np.where(near > threshold, np.nextafter(near, np.float32(-np.inf)), near)


def _tree_of_splits(table: TreeTable) -> npt.NDArray[np.int64]:
    """Return the tree to which each split belongs, level after level."""
    tree = np.zeros(len(table.feature), np.int64)
    node, owner = table.root, np.arange(len(table.root))
    while len(node):
        node, owner = node[node >= 0], owner[node >= 0]
        tree[node] = owner
        node, owner = np.concatenate([table.left[node], table.right[node]]), np.concatenate([owner, owner])
    return tree


def _places(table: TreeTable, zero: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return where each term of each column stands in the flat table: at `leaf[tree] * factor + offset`.

    Terms are the bias, then the trees that write the column, in order; zeros fill up columns that have fewer.
    """
    width, n_outputs = table.value.shape[1], len(table.bias)
    writers = [
        np.flatnonzero((table.output <= column) & (column < table.output + width)) for column in range(n_outputs)
    ]
    shape = 1 + max(map(len, writers)), n_outputs
    tree, factor, offset = np.zeros(shape, np.int64), np.zeros(shape, np.int32), np.full(shape, zero, np.int32)
    offset[0] = zero + 1 + np.arange(n_outputs)
    for column, trees in enumerate(writers):
        rows = slice(1, 1 + len(trees))
        tree[rows, column], factor[rows, column] = trees, width
        offset[rows, column] = column - table.output[trees]
    return tree, factor, offset
