"""quantize_program: from a float Program to an integer one that the same consumers run, store and export."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidInputError, UnsupportedModelError
from ensemble_1d.ir import (
    CODE_HIGH,
    MISSING_CODE,
    PROBABILITY_BITS,
    Affine,
    Chain,
    Combine,
    Concat,
    Dense,
    Dequantize,
    IntegerCombine,
    IntegerLink,
    IntegerLog,
    Link,
    Log,
    Node,
    Program,
    Quantize,
    Requantize,
    Select,
    TreeTable,
    output_bounds,
)
from ensemble_1d.ir.bounds import Bounds
from ensemble_1d.ir.fixed_point import INT32_MAX, LOGIT_BITS
from ensemble_1d.quantization.arrays import QuantizationMode
from ensemble_1d.quantization.fixed_point_scales import Reals, Scores, apportion, rescale
from ensemble_1d.quantization.inputs import InputCodes, TreeUse, choose_codes
from ensemble_1d.quantization.network import quantize_network, with_affine_meaning
from ensemble_1d.quantization.trees import quantize_trees, value_bounds
from ensemble_1d.runtime import evaluate

_BITS = {QuantizationMode.INT4: 4, QuantizationMode.INT8: 8, QuantizationMode.INT16: 16}
_VALUE_HIGH = 32767
_LOGIT_HIGH = 2**28
_ONE = 2.0**PROBABILITY_BITS
_META_BITS = 16
"""Bits of the weights of a layer over members: it is small, and every error of a member passes through it."""


Features = npt.NDArray[np.int64]
Splits = Iterator[tuple[Features, npt.NDArray[np.int16]]]
Columns = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class ValueScale:
    """The fixed-point scale that the members of a regression ensemble share: `real = center + v * 2**-fraction_bits`.

    Attributes:
        fraction_bits: Fraction bits of every output.
        center: The real value of zero, a whole number of steps.
    """

    fraction_bits: int
    center: float


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedProgram:
    """An integer program and how its inputs are coded.

    Attributes:
        program: The integer program.
        codes: The input quantizer, with what it has to say of the splits.
    """

    program: Program
    codes: InputCodes


@dataclass(frozen=True, slots=True, eq=False)
class _Context:
    """What every member's quantization needs.

    Attributes:
        quantize: The input quantizer.
        splits: Code columns and cuts of each tree table, left to right.
        X: Calibration rows.
        bits: Bits of leaves and weights.
        is_regression: Whether outputs are values.
    """

    quantize: Quantize
    splits: Splits
    X: npt.NDArray[np.float32]
    bits: int
    is_regression: bool


def bits_of_mode(mode: QuantizationMode | str) -> int:
    """Return the bits of leaves and weights in a quantized program.

    Raises:
        InvalidInputError: If the mode is unknown, or is one for arrays only.
    """
    try:
        return _BITS[QuantizationMode(mode)]
    except (ValueError, KeyError):
        known = [each.value for each in _BITS]
        raise InvalidInputError(f"mode={mode!r} quantizes no program; use one of {known}") from None


def quantize_program(program: Program, X: npt.NDArray[np.float32], mode: QuantizationMode | str) -> QuantizedProgram:
    """Return `program` in integers: exact splits, few-bit leaves and weights, fixed-point combination.

    Args:
        program: A float program. Not changed.
        X: Calibration rows of shape (n_samples, n_features), float32, NaN where the program accepts missing values.
            Their ranges become the ranges of the input codes and of the activations.
        mode: "int8", "int16" or "int4": the bits of leaves and weights.

    Returns:
        The integer program and its input codes.

    Raises:
        InvalidInputError: If the mode is unknown.
        UnsupportedModelError: If the program is integer already, or joins nodes in a way that has no integer form.
    """
    bits = bits_of_mode(mode)
    if program.is_integer:
        raise UnsupportedModelError("the program is integer already; quantize the float model it came from")
    features = np.arange(program.n_features)
    members = list(_members(program.root, features))
    tables = [TreeUse(step, each[step.feature]) for steps, each in members if isinstance(step := steps[0], TreeTable)]
    networks = [each for steps, each in members if not isinstance(steps[0], TreeTable)]
    codes = choose_codes(X, tables, np.concatenate(networks) if networks else np.empty(0, np.int64))
    splits = iter(zip(codes.column, codes.cut, strict=True))
    context = _Context(codes.node, splits, X, bits, is_regression=program.task == "regression")
    body: tuple[Node, ...]
    if context.is_regression:
        values = _value_scale(program.root, features, X)
        body = _as_values(_scores(program.root, features, context, values), values).steps
        body = (*body, _add(round(values.center * 2.0**values.fraction_bits)))
        last = Dequantize(fraction_bits=values.fraction_bits)
    else:
        body = _as_probabilities(_scores(program.root, features, context)).steps
        last = Dequantize(fraction_bits=PROBABILITY_BITS)
    return QuantizedProgram(replace(program, root=Chain(steps=(codes.node, *body, last))), codes)


def _route(node: Node, features: Features) -> tuple[list[Node], Features]:
    """Return the steps of a member, chains dissolved, and the features its first step reads, selections applied."""
    steps: list[Node] = []
    todo = [node]
    while todo:
        step = todo.pop(0)
        if isinstance(step, Chain):
            todo[:0] = step.steps
        elif isinstance(step, Select) and not steps:
            features = features[step.column]
        else:
            steps.append(step)
    if any(isinstance(step, Combine | Concat | Select | TreeTable) for step in steps[1:]) or not steps:
        rule = "only the first node of a member may read features"
        raise UnsupportedModelError(f"{_arrows(steps)} has no integer form: {rule}")
    return steps, features


def _arrows(steps: list[Node]) -> str:
    """Return the names of nodes in order."""
    return " -> ".join(type(step).__name__ for step in steps) or "a selection alone"


def _members(node: Node, features: Features) -> Iterator[tuple[list[Node], Features]]:
    """Yield the steps and features of each member that reads features, left to right."""
    steps, features = _route(node, features)
    if isinstance(first := steps[0], Combine | Concat):
        for member in first.members:
            yield from _members(member, features)
    else:
        yield steps, features


def _scores(node: Node, features: Features, context: _Context, values: ValueScale | None = None) -> Scores:
    """Return the integer form of a member or of a combination.

    Args:
        node: What to quantize.
        features: The features it reads.
        context: What is common to all members.
        values: The scale of a mean of values that stands last; None where it has one of its own.
    """
    steps, features = _route(node, features)
    first = steps[0]
    bits, done = context.bits, 1
    if isinstance(first, TreeTable):
        scores = _trees(first, context)
    elif isinstance(first, Combine):
        shared = values if len(steps) == 1 else None
        scores = _combination(first, features, context, shared)
    elif isinstance(first, Concat):
        bits = _META_BITS
        scores = _side_by_side([_scores(member, features, context) for member in first.members], first.names)
    else:
        scores, done = _selected_codes(features, context), 0
    columns: Columns = context.X[:, features]
    while True:
        for step in steps[:done]:
            columns = evaluate(step, columns)
        steps = steps[done:]
        if not steps:
            return scores
        network = _leading_network(steps)
        done = len(network) or 1
        if network:
            scores = quantize_network(network, scores, columns, bits=bits)
        elif isinstance(step := steps[0], Link):
            scores = _probabilities(scores, step)
        elif isinstance(step, Log):
            scores = _logarithms(scores, step)
        else:
            raise UnsupportedModelError(f"{_arrows(steps)} has no integer form here")


def _leading_network(steps: list[Node]) -> list[Affine | Dense]:
    """Return an optional Affine and the Dense layers after it that `steps` begin with."""
    network: list[Affine | Dense] = []
    for step in steps:
        if not isinstance(step, Dense) and not (isinstance(step, Affine) and not network):
            break
        network.append(step)
    return network


def _trees(table: TreeTable, context: _Context) -> Scores:
    """Return the integer form of the next tree table."""
    column, cut = next(context.splits)
    quantize = context.quantize
    return quantize_trees(table, column, cut, n_columns=quantize.n_columns, bits=context.bits, missing=quantize.missing)


def _combination(node: Combine, features: Features, context: _Context, values: ValueScale | None) -> Scores:
    """Return the weighted mean or the votes of members that are brought to one scale."""
    if context.is_regression:
        values = values or _value_scale(node, features, context.X)
        members = [_as_values(_scores(member, features, context, values), values) for member in node.members]
    else:
        members = [_as_probabilities(_scores(member, features, context)) for member in node.members]
    weights = _integer_weights(node.weights, is_mean_of_values=context.is_regression)
    chains = tuple(Chain(steps=member.steps) for member in members)
    integer = IntegerCombine(members=chains, weights=weights, rule=node.rule, names=node.names)
    return Scores((integer,), _bounds(integer, context), members[0].scale, members[0].offset)


def _side_by_side(members: list[Scores], names: tuple[str, ...]) -> Scores:
    """Return the scores of all members, each with its own meaning."""
    low, high = (np.concatenate([member.bounds[side] for member in members]) for side in (0, 1))
    # Features that pass through as their codes have no step of their own.
    chains = [member.steps or (Select(column=np.arange(len(member.scale), dtype=np.int32)),) for member in members]
    return Scores(
        (Concat(members=tuple(Chain(steps=steps) for steps in chains), names=names),),
        (low, high),
        np.concatenate([member.scale for member in members]),
        np.concatenate([member.offset for member in members]),
    )


def _integer_weights(weights: npt.NDArray[np.float64], *, is_mean_of_values: bool) -> npt.NDArray[np.int32]:
    """Return Q15 weights: with a sum of exactly one for values, and for classes with equal weights kept equal.

    Three equal members must stay equal, or a draw between their classes would go to the one whose weight was rounded
    up; a sum that is two steps short of one moves no class before another. A mean of values has no draws.
    """
    if is_mean_of_values:
        return apportion(weights, 2**PROBABILITY_BITS).astype(np.int32)
    return np.floor(weights * _ONE + 1e-9).astype(np.int32)


def _selected_codes(features: Features, context: _Context) -> Scores:
    """Return the affine codes that a network reads."""
    n_columns = context.quantize.n_columns
    everything = np.zeros(n_columns)
    codes = Scores((), _code_bounds(n_columns), everything, everything)
    if not np.array_equal(features, np.arange(n_columns)):
        codes = codes.then(Select(column=features.astype(np.int32)), everything[features], everything[features])
    return with_affine_meaning(codes, context.quantize, features, context.X)


def _code_bounds(n_columns: int) -> Bounds:
    """Return the smallest and largest input code of each column."""
    return np.full(n_columns, MISSING_CODE, np.int64), np.full(n_columns, CODE_HIGH, np.int64)


def _bounds(node: Node, context: _Context) -> Bounds:
    """Return the bounds of a node that reads the input codes."""
    return output_bounds(node, *_code_bounds(context.quantize.n_columns))


def _probabilities(scores: Scores, link: Link) -> Scores:
    """Return Q15 probabilities of scores."""
    zero = np.zeros(len(scores.scale))
    if link.kind == "complement":
        scores = _as_probabilities(scores)
    else:
        scores = rescale(scores, zero + 2.0**LOGIT_BITS / np.log(2), zero, -_LOGIT_HIGH, _LOGIT_HIGH)
    n_outputs = len(zero) if link.kind == "softmax" else 2
    return scores.then(IntegerLink(kind=link.kind), np.full(n_outputs, 1 / _ONE), np.zeros(n_outputs))


def _logarithms(scores: Scores, node: Log) -> Scores:
    """Return logarithms of probabilities."""
    scores = _as_probabilities(scores)
    floor = min(max(1, round(node.floor * _ONE)), int(_ONE))
    scale = np.full(len(scores.scale), np.log(2) / 2.0**LOGIT_BITS * node.scale)
    return scores.then(IntegerLog(floor=floor), scale, np.zeros(len(scale)))


def _as_probabilities(scores: Scores) -> Scores:
    """Return the scores in Q15, saturated to 0..1."""
    zero = np.zeros(len(scores.scale))
    return _at_scale(scores, zero + _ONE, zero, 0, int(_ONE))


def _as_values(scores: Scores, values: ValueScale) -> Scores:
    """Return the scores at the common scale of values."""
    zero = np.zeros(len(scores.scale))
    return _at_scale(scores, zero + 2.0**values.fraction_bits, zero + values.center, -_VALUE_HIGH, _VALUE_HIGH)


def _at_scale(scores: Scores, target: Reals, offset: Reals, low: int, high: int) -> Scores:
    """Return the scores rescaled, or as they are where that would change nothing."""
    is_there = np.array_equal(scores.scale, 1 / target) and np.array_equal(scores.offset, offset)
    if is_there and low <= int(scores.bounds[0].min()) and int(scores.bounds[1].max()) <= high:
        return scores
    return rescale(scores, target, offset, low, high)


def _value_scale(node: Node, features: Features, X: npt.NDArray[np.float32]) -> ValueScale:
    """Return a power-of-two scale at which twice the members' range on the calibration rows fits in 16 bits."""
    terms = list(_terms(node, features))
    outputs = np.hstack([evaluate(Chain(steps=tuple(steps)), X[:, each]) for steps, each in terms])
    low, high = float(outputs.min()), float(outputs.max())
    center = low / 2 + high / 2
    tables = [step for steps, _ in terms if len(steps) == 1 and isinstance(step := steps[0], TreeTable)]
    possible = max((abs(bound - center) for table in tables for bound in value_bounds(table)), default=0.0)
    # What no calibration row reached saturates, but never so early that steps would have to be coarser first.
    reach = max(high / 2 - low / 2, possible * 2.0**-13, abs(center) * 2.0**-20, 2.0**-40)
    fraction_bits = math.floor(math.log2(_VALUE_HIGH / (2 * reach)))
    if center:
        fraction_bits = min(fraction_bits, math.floor(math.log2((INT32_MAX - 2 * _VALUE_HIGH) / abs(center))))
    return ValueScale(fraction_bits, round(center * 2.0**fraction_bits) * 2.0**-fraction_bits)


def _terms(node: Node, features: Features) -> Iterator[tuple[list[Node], Features]]:
    """Yield the steps and features of what a mean of values is the mean of, left to right."""
    steps, features = _route(node, features)
    if len(steps) == 1 and isinstance(first := steps[0], Combine):
        for member in first.members:
            yield from _terms(member, features)
    else:
        yield steps, features


def _add(offset: int) -> Requantize:
    """Return a node that adds a constant to the one output."""
    zero = np.zeros(1, np.uint8)
    return Requantize(
        shift_in=zero,
        multiplier=np.ones(1, np.int32),
        shift_out=zero,
        offset=np.array([offset], np.int32),
        low=-(2**31),
        high=2**31 - 1,
    )
