"""run(program, X): the executable meaning of a Program, in NumPy; every other consumer must agree with it."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal, TypeAlias, assert_never

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import (
    MISSING_CODE,
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
    Program,
    Quantize,
    Requantize,
    Select,
    TreeTable,
)
from ensemble_1d.runtime_integer import combine_members, dense, link, log2_probability, quantize, requantize

Numbers: TypeAlias = npt.NDArray[Any]
Visit: TypeAlias = Callable[[npt.NDArray[np.intp], npt.NDArray[np.intp], npt.NDArray[np.bool_]], None]

_BLOCK = 1 << 19
"""Row-tree pairs walked at once: their state stays within a few megabytes."""


def run(program: Program, X: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return what `program` computes for each row of `X`.

    Args:
        program: A float or integer program.
        X: Of shape (n_samples, n_features), float32; NaN where the program accepts missing values.

    Returns:
        Of shape (n_samples, n_outputs), float64: class probabilities, or values in one column. An integer program
        gives its exact integers times their scale.

    Example:
        >>> import numpy as np
        >>> from ensemble_1d import Program
        >>> from ensemble_1d.ir import Dense
        >>> layer = Dense(weight=np.ones((1, 2), np.float32), bias=np.ones(1, np.float32), activation="relu")
        >>> run(Program(n_features=2, task="regression", root=layer), np.array([[1, 2], [-3, 1]], np.float32))
        array([[4.],
               [0.]])
    """
    return np.asarray(evaluate(program.root, X), np.float64)


def run_codes(program: Program, codes: npt.NDArray[np.int16]) -> npt.NDArray[np.int64]:
    """Return the integers that an integer program computes from input codes.

    Args:
        program: An integer program.
        codes: Of shape (n_samples, n_columns), int16.

    Returns:
        Of shape (n_samples, n_outputs), int64 that fit in int32: Q15 probabilities, or fixed-point values.

    Raises:
        InvalidProgramError: If the program is float.
    """
    _, body, _ = program.integer_parts()
    return np.asarray(evaluate(body, codes), np.int64)


def evaluate(node: Node, x: Numbers) -> Numbers:
    """Return the output of one node for the rows of `x`."""
    match node:
        case Chain():
            for step in node.steps:
                x = evaluate(step, x)
            return x
        case Select():
            return x[:, node.column]
        case TreeTable():
            return _sum_leaves(node, x, node.bias)
        case Dense():
            result = x.astype(np.float64) @ node.weight.T.astype(np.float64) + node.bias
            return np.maximum(result, 0) if node.activation == "relu" else result
        case Affine():
            return (x.astype(np.float32) - node.offset) * node.scale
        case Link():
            return _link(node, x.astype(np.float64))
        case Log():
            return np.log(np.maximum(x.astype(np.float64), node.floor)) * node.scale
        case Concat():
            return np.hstack([evaluate(member, x) for member in node.members])
        case Combine():
            return combine_outputs(node.rule, node.weights, [evaluate(member, x) for member in node.members])
        case Quantize():
            return quantize(node, x.astype(np.float32))
        case IntegerTreeTable():
            return _sum_leaves(node, x, np.zeros(node.n_outputs, np.int64))
        case IntegerDense():
            return dense(node, x.astype(np.int64))
        case Requantize():
            return requantize(node, x.astype(np.int64))
        case IntegerLink():
            return link(node, x.astype(np.int64))
        case IntegerLog():
            return log2_probability(node, x.astype(np.int64))
        case IntegerCombine():
            return combine_members(node, [evaluate(member, x).astype(np.int64) for member in node.members])
        case Dequantize():
            return np.ldexp(x.astype(np.float64), -node.fraction_bits)
        case _:
            assert_never(node)


def leaves_of_rows(table: TreeTable | IntegerTreeTable, x: Numbers, visit: Visit | None = None) -> npt.NDArray[np.intp]:
    """Return the leaf that each row reaches in each tree.

    Args:
        table: The trees.
        x: Of shape (n_samples, n_inputs): float32 features, or int16 codes for an integer table.
        visit: Called on every level with the rows, the nodes they stand at, and whether they go left.

    Returns:
        Leaf indices of shape (n_samples, n_trees).
    """
    column: Numbers
    threshold: Numbers
    if isinstance(table, TreeTable):
        column, threshold, strict = table.feature, table.threshold, table.comparison == "lt"
    else:
        column, threshold, strict = table.column, table.cut, False
    n_trees = len(table.root)
    state = np.repeat(table.root.astype(np.intp)[np.newaxis], len(x), axis=0).ravel()
    active = np.flatnonzero(state >= 0)
    while active.size:
        rows, nodes = active // n_trees, state[active]
        value = x[rows, column[nodes]]
        left = value < threshold[nodes] if strict else value <= threshold[nodes]
        if len(table.default_left):
            missing = np.isnan(value) if isinstance(table, TreeTable) else value == MISSING_CODE
            left = np.where(missing, table.default_left[nodes], left)
        if visit is not None:
            visit(rows, nodes, left)
        state[active] = np.where(left, table.left[nodes], table.right[nodes])
        active = active[state[active] >= 0]
    return ~state.reshape(len(x), n_trees)


def row_blocks(n_samples: int, n_trees: int) -> Iterator[slice]:
    """Yield slices of rows that keep the walk's state small."""
    size = max(1, _BLOCK // n_trees)
    for begin in range(0, n_samples, size):
        yield slice(begin, begin + size)


def _sum_leaves(table: TreeTable | IntegerTreeTable, x: Numbers, start: Numbers) -> Numbers:
    """Return `start` plus the leaves of all trees, added tree after tree in the dtype of `start`."""
    total = np.repeat(start[np.newaxis], len(x), axis=0)
    width = table.value.shape[1]
    for block in row_blocks(len(x), len(table.root)):
        leaves = leaves_of_rows(table, x[block])
        for tree, first in enumerate(table.output):
            total[block, first : first + width] += table.value[leaves[:, tree]]
    if isinstance(table, TreeTable) and table.average:
        total /= len(table.root)
    return total


def _link(node: Link, score: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return class probabilities of float scores."""
    match node.kind:
        case "softmax":
            power = np.exp(score - score.max(axis=1, keepdims=True))
            return np.asarray(power / power.sum(axis=1, keepdims=True))
        case "sigmoid":
            # exp of a non-positive number cannot overflow; the smaller of the two probabilities keeps its digits.
            small = np.exp(-np.abs(score))
            low, high = small / (1 + small), 1 / (1 + small)
            return np.hstack([np.where(score > 0, low, high), np.where(score > 0, high, low)])
        case "complement":
            return np.hstack([1 - score, score])
        case _:
            assert_never(node.kind)


def combine_outputs(
    rule: Literal["mean", "vote"], weights: npt.NDArray[np.float64], outputs: Sequence[Numbers]
) -> npt.NDArray[np.float64]:
    """Return the members' outputs combined.

    Args:
        rule: "mean" or "vote", as in Combine.
        weights: Of shape (n_members,), with a sum of one.
        outputs: For each member, of shape (n_samples, n_outputs).

    Returns:
        Of shape (n_samples, n_outputs), float64.
    """
    total = np.zeros(outputs[0].shape)
    for weight, output in zip(weights, outputs, strict=True):
        if rule == "mean":
            total += weight * output
        else:
            total[np.arange(len(output)), output.argmax(axis=1)] += weight
    return total
