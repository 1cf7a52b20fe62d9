"""Questions about a tree of nodes: widths, bytes, and whether missing values are accepted."""

from collections.abc import Iterator
from dataclasses import fields
from typing import assert_never

import numpy as np

from ensemble_1d.ir._arrays import ensure
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


def descendants(node: Node) -> Iterator[Node]:
    """Yield `node` and everything below it, parents first."""
    yield node
    match node:
        case Chain():
            children = node.steps
        case Combine() | IntegerCombine() | Concat():
            children = node.members
        case _:
            children = ()
    for child in children:
        yield from descendants(child)


def node_bytes(node: Node) -> int:
    """Return the bytes of all arrays in `node` and below it."""
    return sum(
        value.nbytes
        for each in descendants(node)
        for field in fields(each)
        if isinstance(value := getattr(each, field.name), np.ndarray)
    )


def accepts_missing(node: Node) -> bool:
    """Return whether a NaN among the features has a meaning: only trees give it one, whatever follows them."""
    return all(
        isinstance(each, TreeTable | IntegerTreeTable) or (isinstance(each, Quantize) and each.missing)
        for each in _readers(node)
    )


def _readers(node: Node) -> list[Node]:
    """Return the nodes that compute with the input of `node`, and each Select through which it comes out as it is."""
    match node:
        case Chain():
            first, *rest = node.steps
            readers = _readers(first)
            if rest and any(isinstance(each, Select) for each in readers):
                further = _readers(Chain(steps=tuple(rest)))
                return [each for each in readers if not isinstance(each, Select)] + further
            return readers
        case Combine() | IntegerCombine() | Concat():
            return [each for member in node.members for each in _readers(member)]
        case _:
            return [node]


def output_width(node: Node, n_inputs: int) -> int:
    """Return how many columns `node` makes of `n_inputs` columns.

    Raises:
        InvalidProgramError: If `node`, or one below it, cannot take that many columns.
    """
    match node:
        case TreeTable():
            return _width_after_reading(int(node.feature.max(initial=0)), n_inputs, len(node.bias), "TreeTable")
        case IntegerTreeTable():
            return _width_after_reading(int(node.column.max(initial=0)), n_inputs, node.n_outputs, "IntegerTreeTable")
        case Dense() | IntegerDense():
            return _match_width(type(node).__name__, node.weight.shape[1], n_inputs, node.weight.shape[0])
        case Affine():
            return _match_width("Affine", len(node.offset), n_inputs, n_inputs)
        case Requantize():
            return _match_width("Requantize", len(node.multiplier), n_inputs, n_inputs)
        case Quantize():
            return _match_width("Quantize", node.n_features, n_inputs, node.n_columns)
        case Link() | IntegerLink():
            if node.kind == "softmax":
                ensure(n_inputs >= 2, f"softmax got {n_inputs} column; it needs two or more")
                return n_inputs
            return _match_width(node.kind, 1, n_inputs, 2)
        case Log() | IntegerLog() | Dequantize():
            return n_inputs
        case Select():
            return _width_after_reading(int(node.column.max()), n_inputs, len(node.column), "Select")
        case Chain():
            for step in node.steps:
                n_inputs = output_width(step, n_inputs)
            return n_inputs
        case Concat():
            return sum(output_width(member, n_inputs) for member in node.members)
        case Combine() | IntegerCombine():
            widths = {output_width(member, n_inputs) for member in node.members}
            ensure(
                len(widths) == 1, f"{type(node).__name__} has members with {sorted(widths)} outputs; make them equal"
            )
            return widths.pop()
        case _:
            assert_never(node)


def _width_after_reading(last_column: int, n_inputs: int, n_outputs: int, name: str) -> int:
    """Return `n_outputs` after checking the last column that is read."""
    ensure(last_column < n_inputs, f"{name} reads column {last_column}, and there are {n_inputs}")
    return n_outputs


def _match_width(name: str, expected: int, n_inputs: int, n_outputs: int) -> int:
    """Return `n_outputs` after checking the number of inputs."""
    ensure(expected == n_inputs, f"{name} takes {expected} columns and gets {n_inputs}")
    return n_outputs
