"""Trees in integers: exact splits on input codes, and leaves of a few bits."""

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import UnsupportedModelError
from ensemble_1d.ir import IntegerTreeTable, TreeTable, output_bounds, smallest_dtype
from ensemble_1d.ir.bounds import tree_of_node
from ensemble_1d.ir.nodes_integer import CHILD, INDEX, LEAF
from ensemble_1d.quantization.fixed_point_scales import Reals, Scores, apportion
from ensemble_1d.quantization.inputs import InputCodes

Integers = npt.NDArray[np.int64]
N_COMPLEMENTARY = 2
"""Classes whose shares are each other's complement: one number says both."""


def quantize_trees(
    table: TreeTable, column: Integers, cut: npt.NDArray[np.int16], codes: InputCodes, *, bits: int
) -> Scores:
    """Return the integer form of `table` and the meaning of its sums.

    A forest's leaf that is a distribution over several classes becomes integers that add up to `2**bits - 1`, so that
    every tree keeps one equal vote; of two classes only the second one's share is kept, less one half. Any other leaf
    becomes a signed integer around the middle of its own tree's values; the middles move into the offset, and trees of
    one leaf with them.

    Args:
        table: The float trees.
        column: Code column of each split.
        cut: Largest code that goes left at each split.
        codes: The input quantizer, and what makes the codes that the splits read.
        bits: Bits of a leaf value, 2 to 16.

    Returns:
        The scores of shape (n_outputs,); for distributions over two classes of shape (1,).
    """
    bias = table.bias
    if table.value.shape[1] > 1:
        _check_distributions(table)
        is_pair = table.value.shape[1] == len(bias) == N_COMPLEMENTARY
        # Unsigned, so that one leaf of one class fills the byte; even, so that half of it is a number.
        total = 2**bits - (2 if is_pair else 1)
        leaves = apportion(table.value.astype(np.float64), total)
        if is_pair:
            # Around one half: a draw is zero then, and stays one whatever multiplier rescales it.
            leaves, bias = leaves[:, 1:] - total // 2, bias[1:]
        left, right, root = (each.astype(np.int64) for each in (table.left, table.right, table.root))
        keep = np.arange(len(root))
        scale = np.full(len(bias), 1 / total)
        offset = np.full(len(bias), len(root) / 2 if is_pair else 0.0)
    else:
        left, right, root, keep, leaves, scale, offset = _center_leaves(table, 2 ** (bits - 1) - 1)
    divisor = len(table.root) if table.average else 1
    unique, place = np.unique(leaves, axis=0, return_inverse=True)
    node = IntegerTreeTable(
        column=smallest_dtype(column, INDEX),
        cut=cut,
        left=smallest_dtype(_moved(left, place.ravel()), CHILD),
        right=smallest_dtype(_moved(right, place.ravel()), CHILD),
        default_left=table.default_left if codes.node.missing else np.empty(0, np.bool_),
        value=smallest_dtype(unique, LEAF),
        root=smallest_dtype(_moved(root, place.ravel()), CHILD),
        output=smallest_dtype(table.output[keep], INDEX),
        n_outputs=len(bias),
    )
    return Scores(
        (*codes.maker, node), output_bounds(node, *codes.limits()), scale / divisor, (offset + bias) / divisor
    )


def _moved(child: Integers, place: Integers) -> Integers:
    """Return children whose leaves are renumbered."""
    return np.where(child < 0, ~place[~np.minimum(child, -1)], child)


def leaf_table(table: TreeTable) -> tuple[Integers, Integers, npt.NDArray[np.bool_], npt.NDArray[np.bool_]]:
    """Return every reference to a leaf: the tree it belongs to, the leaf, and whether a left child or root holds it."""
    n_nodes, n_trees = len(table.left), len(table.root)
    tree = tree_of_node(table.left, table.right, table.root)
    owner = np.concatenate([np.arange(n_trees), tree, tree])
    child = np.concatenate([table.root, table.left, table.right]).astype(np.int64)
    kind = np.repeat(np.arange(3), [n_trees, n_nodes, n_nodes])
    held = child < 0
    return owner[held], ~child[held], kind[held] == 0, kind[held] == 1


def _check_distributions(table: TreeTable) -> None:
    """Refuse leaves of several values that are no votes: they would need a scale for each column."""
    votes = bool((table.value >= 0).all()) and np.allclose(table.value.sum(axis=1), 1.0, atol=1e-6)
    if not (votes and table.average and not table.bias.any()):
        rule = "their leaves must be distributions (not negative, with a sum of one), averaged, without bias"
        raise UnsupportedModelError(f"trees with {table.value.shape[1]} values in a leaf have no integer form: {rule}")


def value_bounds(table: TreeTable) -> tuple[float, float]:
    """Return the smallest and largest value that any row could get from a table with one output."""
    low, high = _tree_ranges(table)
    divisor = len(table.root) if table.average else 1
    bias = float(table.bias[0])
    return (float(low.sum()) + bias) / divisor, (float(high.sum()) + bias) / divisor


def _tree_ranges(table: TreeTable) -> tuple[Reals, Reals]:
    """Return the smallest and largest leaf of each tree of scalar leaves."""
    owner, leaf, _, _ = leaf_table(table)
    value = table.value[leaf, 0].astype(np.float64)
    low, high = np.full(len(table.root), np.inf), np.full(len(table.root), -np.inf)
    np.minimum.at(low, owner, value)
    np.maximum.at(high, owner, value)
    return low, high


def _center_leaves(
    table: TreeTable, largest: int
) -> tuple[Integers, Integers, Integers, Integers, Integers, Reals, Reals]:
    """Return children, roots, kept trees, one leaf per reference, and the scale and offset of each output.

    Leaves may be shared between trees, and each tree has a middle of its own: so every reference gets a leaf.
    """
    owner, leaf, is_root, is_left = leaf_table(table)
    value = table.value[leaf, 0].astype(np.float64)
    n_outputs = len(table.bias)
    low, high = _tree_ranges(table)
    middle = low / 2 + high / 2
    half_range = float((high / 2 - low / 2).max())
    step = half_range / largest if half_range > 0 else 1.0
    leaves = np.rint((value - middle[owner]) / step).astype(np.int64)
    offset = np.zeros(n_outputs)
    np.add.at(offset, table.output, middle)
    number = ~np.arange(len(leaf))
    left, right, root = (each.astype(np.int64) for each in (table.left, table.right, table.root))
    root[root < 0] = number[is_root]
    left[left < 0] = number[is_left]
    right[right < 0] = number[~is_root & ~is_left]
    keep = np.flatnonzero(root >= 0)
    # A table keeps one tree, so that a model of constants still has something to sum.
    keep = keep if keep.size else np.array([0])
    return left, right, root[keep], keep, leaves[:, np.newaxis], np.full(n_outputs, step), offset
