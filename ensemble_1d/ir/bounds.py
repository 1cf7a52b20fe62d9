"""The proof that an integer program cannot overflow: interval arithmetic over its nodes.

Every partial sum is bounded by the sum of the magnitudes of its terms, so the order of additions does not matter, and
a program that passes computes the same integers in 32 bits on every target and in 64 bits in NumPy.
"""

from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidProgramError
from ensemble_1d.ir._arrays import ensure
from ensemble_1d.ir.fixed_point import INT32_MAX, LOGIT_BITS, PROBABILITY_BITS
from ensemble_1d.ir.nodes import (
    Affine,
    Chain,
    Combine,
    Concat,
    Dense,
    Dequantize,
    IntegerCombine,
    IntegerDense,
    IntegerLink,
    IntegerLog,
    IntegerTreeTable,
    Link,
    Log,
    Node,
    Quantize,
    Requantize,
    Select,
    TreeTable,
)

Bounds = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]


def output_bounds(node: Node, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> Bounds:
    """Return the smallest and largest integers that each output column of `node` can take.

    Args:
        node: An integer node below the input quantizer.
        low: Smallest value of each input column, of shape (n_inputs,), int64.
        high: Largest value of each input column, of shape (n_inputs,), int64.

    Returns:
        Two int64 arrays of shape (n_outputs,).

    Raises:
        InvalidProgramError: If an intermediate could exceed 32 bits, or a node is not integer.
    """
    match node:
        case Chain():
            for step in node.steps:
                low, high = output_bounds(step, low, high)
            return low, high
        case Select():
            return low[node.column], high[node.column]
        case IntegerTreeTable():
            return _tree_bounds(node)
        case IntegerDense():
            weight, bias = node.weight.astype(np.int64), node.bias.astype(np.int64)
            # Exact up to 2**53 and never wrapped: any number of inputs of 32 bits is too much for 64.
            reach = np.maximum(np.abs(low), np.abs(high)).astype(np.float64)
            _fits(np.abs(weight).astype(np.float64) @ reach + np.abs(bias), "IntegerDense")
            rising: npt.NDArray[np.int64] = np.maximum(weight, 0)
            falling: npt.NDArray[np.int64] = np.minimum(weight, 0)
            return rising @ low + falling @ high + bias, rising @ high + falling @ low + bias
        case Requantize():
            return _requantize_bounds(node, low, high)
        case IntegerLink():
            if node.kind == "complement":
                proper = int(low.min()) >= 0 and int(high.max()) <= 2**PROBABILITY_BITS
                ensure(proper, f"complement gets {low.min()}..{high.max()}; it takes a Q15 probability, 0..32768")
            _fits(np.array([max(high.max(), 0) - min(low.min(), 0)]), "IntegerLink")
            if node.kind != "softmax":
                return _probability_bounds(2)
            # Equal scores have a power of one each, and all powers are added up.
            _fits(np.array([len(low) << PROBABILITY_BITS]), "IntegerLink")
            return _probability_bounds(len(low))
        case IntegerLog():
            proper = int(low.min()) >= 0 and int(high.max()) <= 2**PROBABILITY_BITS
            ensure(proper, f"IntegerLog gets {low.min()}..{high.max()}; it takes Q15 probabilities, 0..32768")
            return np.full(len(low), log2_floor(node.floor), np.int64), np.zeros(len(low), np.int64)
        case Concat():
            bounds = [output_bounds(member, low, high) for member in node.members]
            return np.concatenate([each[0] for each in bounds]), np.concatenate([each[1] for each in bounds])
        case IntegerCombine():
            return _combine_bounds(node, low, high)
        case TreeTable() | Dense() | Affine() | Link() | Log() | Combine() | Quantize() | Dequantize():
            raise InvalidProgramError(f"{type(node).__name__} has no place between Quantize and Dequantize")
        case _:
            assert_never(node)


def _fits(magnitude: npt.NDArray[np.int64] | npt.NDArray[np.float64], name: str) -> None:
    """Refuse an intermediate of more than 32 bits."""
    largest = int(magnitude.max())
    ensure(largest <= INT32_MAX, f"{name} could reach {largest}, beyond 32 bits; use fewer bits or a smaller model")


def log2_floor(floor: int) -> int:
    """Return a lower bound of the logarithm of a Q15 probability: that of the power of two below it."""
    return (floor.bit_length() - 1 - PROBABILITY_BITS) << LOGIT_BITS


def _probability_bounds(n_outputs: int) -> Bounds:
    """Return 0 and 32768 for each output."""
    return np.zeros(n_outputs, np.int64), np.full(n_outputs, 2**PROBABILITY_BITS, np.int64)


def tree_of_node(
    left: npt.NDArray[np.signedinteger[Any]],
    right: npt.NDArray[np.signedinteger[Any]],
    root: npt.NDArray[np.signedinteger[Any]],
) -> npt.NDArray[np.int64]:
    """Return the tree that each node belongs to, of shape (n_nodes,)."""
    tree = np.zeros(len(left), np.int64)
    trees = np.flatnonzero(root >= 0)
    nodes = root[trees].astype(np.int64)
    while nodes.size:
        tree[nodes] = trees
        children = np.concatenate([left[nodes], right[nodes]]).astype(np.int64)
        trees = np.concatenate([trees, trees])[children >= 0]
        nodes = children[children >= 0]
    return tree


def _tree_bounds(table: IntegerTreeTable) -> Bounds:
    """Return the sums over all trees of the smallest and largest leaf that each can reach."""
    n_trees, width = len(table.root), table.value.shape[1]
    tree = tree_of_node(table.left, table.right, table.root)
    owners = np.concatenate([np.arange(n_trees), tree, tree])
    children = np.concatenate([table.root, table.left, table.right]).astype(np.int64)
    owners, leaves = owners[children < 0], ~children[children < 0]
    low, high, magnitude = (np.zeros(table.n_outputs, np.int64) for _ in range(3))
    # One column at a time: memory for the leaves of all trees once, and `at` is fast on one axis alone.
    for column in range(width):
        value = table.value[:, column].astype(np.int64)[leaves]
        smallest = np.full_like(table.root, INT32_MAX, np.int64)
        largest = -smallest
        np.minimum.at(smallest, owners, value)
        np.maximum.at(largest, owners, value)
        target = table.output.astype(np.int64) + column
        np.add.at(low, target, smallest)
        np.add.at(high, target, largest)
        np.add.at(magnitude, target, np.maximum(np.abs(smallest), np.abs(largest)))
    _fits(magnitude, "IntegerTreeTable")
    return low, high


def _requantize_bounds(node: Requantize, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> Bounds:
    """Return the limits after shift, product, shift, offset and saturation."""
    multiplier, shift_out = node.multiplier.astype(np.int64), node.shift_out.astype(np.int64)
    half = (1 << shift_out) >> 1
    first, second = (low >> node.shift_in) * multiplier, (high >> node.shift_in) * multiplier
    _fits(np.maximum(np.abs(first), np.abs(second)) + half, "Requantize")
    offset = node.offset.astype(np.int64)
    first, second = ((first + half) >> shift_out) + offset, ((second + half) >> shift_out) + offset
    _fits(np.maximum(np.abs(first), np.abs(second)), "Requantize")
    return (
        np.clip(np.minimum(first, second), node.low, node.high),
        np.clip(np.maximum(first, second), node.low, node.high),
    )


def _combine_bounds(node: IntegerCombine, low: npt.NDArray[np.int64], high: npt.NDArray[np.int64]) -> Bounds:
    """Return the weighted limits of the members."""
    bounds = [output_bounds(member, low, high) for member in node.members]
    if node.rule == "vote":
        return _probability_bounds(len(bounds[0][0]))
    weights = node.weights.astype(np.int64)[:, np.newaxis]
    lows, highs = np.stack([each[0] for each in bounds]), np.stack([each[1] for each in bounds])
    half = 1 << (PROBABILITY_BITS - 1)
    _fits((weights * np.maximum(np.abs(lows), np.abs(highs))).sum(axis=0) + half, "IntegerCombine")
    return (
        ((weights * lows).sum(axis=0) + half) >> PROBABILITY_BITS,
        ((weights * highs).sum(axis=0) + half) >> PROBABILITY_BITS,
    )
