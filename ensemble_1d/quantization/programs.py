"""quantize_program: from a float Program to an integer one that the same consumers run, store and export."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

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
    Dense,
    Dequantize,
    IntegerCombine,
    IntegerLink,
    Link,
    Node,
    Program,
    Quantize,
    Requantize,
    Select,
    TreeTable,
)
from ensemble_1d.ir.fixed_point import INT32_MAX, LOGIT_BITS
from ensemble_1d.quantization.arrays import QuantizationMode
from ensemble_1d.quantization.fixed_point_scales import Scores, apportion, rescale
from ensemble_1d.quantization.inputs import InputCodes, TreeUse, choose_codes
from ensemble_1d.quantization.network import quantize_network, with_affine_meaning
from ensemble_1d.quantization.trees import quantize_trees, value_bounds
from ensemble_1d.runtime import evaluate

_BITS = {QuantizationMode.INT4: 4, QuantizationMode.INT8: 8, QuantizationMode.INT16: 16}
_VALUE_HIGH = 32767
_LOGIT_HIGH = 2**28
_ONE = 2.0**PROBABILITY_BITS


Features = npt.NDArray[np.int64]
Splits = Iterator[tuple[Features, npt.NDArray[np.int16]]]


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
        X: Calibration rows.
        bits: Bits of leaves and weights.
        values: The common scale of a regression; None for classification.
    """

    quantize: Quantize
    X: npt.NDArray[np.float32]
    bits: int
    values: ValueScale | None


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
    branches = list(_branches(program.root, np.arange(program.n_features)))
    tables = [TreeUse(step, each[step.feature]) for steps, each in branches if isinstance(step := steps[0], TreeTable)]
    networks = [each for steps, each in branches if not isinstance(steps[0], TreeTable)]
    codes = choose_codes(X, tables, np.concatenate(networks) if networks else np.empty(0, np.int64))
    values = _value_scale(branches, X) if program.task == "regression" else None
    context = _Context(codes.node, X, bits, values)
    splits = iter(zip(codes.column, codes.cut, strict=True))
    body = _lower(program.root, np.arange(program.n_features), splits, context)
    if values:
        body = (*body, _add(round(values.center * 2.0**values.fraction_bits)))
    last = Dequantize(fraction_bits=values.fraction_bits if values else PROBABILITY_BITS)
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
    if any(isinstance(step, Combine | Select) for step in steps[1:]) or not steps:
        raise UnsupportedModelError("a combination or selection within a chain has no integer form; put it first")
    if isinstance(steps[0], Combine) and len(steps) > 1:
        raise UnsupportedModelError(f"{type(steps[1]).__name__} after a combination has no integer form")
    return steps, features


def _branches(node: Node, features: Features) -> Iterator[tuple[list[Node], Features]]:
    """Yield the steps and features of each member, left to right."""
    steps, features = _route(node, features)
    if isinstance(first := steps[0], Combine):
        for member in first.members:
            yield from _branches(member, features)
    else:
        yield steps, features


def _lower(node: Node, features: Features, splits: Splits, context: _Context) -> tuple[Node, ...]:
    """Return the integer nodes of a member or of a combination; `splits` gives each tree table its columns and cuts."""
    steps, features = _route(node, features)
    if isinstance(first := steps[0], Combine):
        members = tuple(Chain(steps=_lower(member, features, splits, context)) for member in first.members)
        weights = _integer_weights(first.weights, is_mean_of_values=context.values is not None)
        return (IntegerCombine(members=members, weights=weights, rule=first.rule, names=first.names),)
    link = steps[-1] if isinstance(steps[-1], Link) else None
    core = steps[:-1] if link else steps
    if len(core) == 1 and isinstance(first, TreeTable):
        column, cut = next(splits)
        quantize = context.quantize
        scores = quantize_trees(
            first, column, cut, n_columns=quantize.n_columns, bits=context.bits, missing=quantize.missing
        )
    else:
        scores = quantize_network(
            _network_steps(core), _selected_codes(features, context), context.X[:, features], bits=context.bits
        )
    return _finish(scores, link, context.values)


def _integer_weights(weights: npt.NDArray[np.float64], *, is_mean_of_values: bool) -> npt.NDArray[np.int32]:
    """Return Q15 weights: with a sum of exactly one for values, and for classes with equal weights kept equal.

    Three equal members must stay equal, or a draw between their classes would go to the one whose weight was rounded
    up; a sum that is two steps short of one moves no class before another. A mean of values has no draws.
    """
    if is_mean_of_values:
        return apportion(weights, 2**PROBABILITY_BITS).astype(np.int32)
    return np.floor(weights * _ONE + 1e-9).astype(np.int32)


def _network_steps(steps: list[Node]) -> list[Affine | Dense]:
    """Return the steps if they are an optional Affine and then Dense layers."""
    network = [step for i, step in enumerate(steps) if isinstance(step, Dense) or (i == 0 and isinstance(step, Affine))]
    if len(network) < len(steps) or not any(isinstance(step, Dense) for step in network):
        names = " -> ".join(type(step).__name__ for step in steps)
        raise UnsupportedModelError(f"the nodes {names} have no integer form; use trees, or Affine and Dense layers")
    return network


def _selected_codes(features: Features, context: _Context) -> Scores:
    """Return the affine codes that a network reads."""
    n_columns = context.quantize.n_columns
    low, high = np.full(n_columns, MISSING_CODE, np.int64), np.full(n_columns, CODE_HIGH, np.int64)
    everything = np.zeros(n_columns)
    codes = Scores((), (low, high), everything, everything)
    if not np.array_equal(features, np.arange(n_columns)):
        codes = codes.then(Select(column=features.astype(np.int32)), everything[features], everything[features])
    return with_affine_meaning(codes, context.quantize, features, context.X)


def _finish(scores: Scores, link: Link | None, values: ValueScale | None) -> tuple[Node, ...]:
    """Return the member's nodes with its last scale: Q15 probabilities, or the common scale of values."""
    n_outputs = len(scores.scale)
    zero = np.zeros(n_outputs)
    if values:
        target = np.full(n_outputs, 2.0**values.fraction_bits)
        return rescale(scores, target, zero + values.center, -_VALUE_HIGH, _VALUE_HIGH).steps
    if link is None:
        return rescale(scores, zero + _ONE, zero, 0, int(_ONE)).steps
    link_node = IntegerLink(kind=link.kind)
    if link.kind == "complement":
        return (*rescale(scores, zero + _ONE, zero, 0, int(_ONE)).steps, link_node)
    logits = rescale(scores, zero + 2.0**LOGIT_BITS / np.log(2), zero, -_LOGIT_HIGH, _LOGIT_HIGH)
    return (*logits.steps, link_node)


def _value_scale(branches: list[tuple[list[Node], Features]], X: npt.NDArray[np.float32]) -> ValueScale:
    """Return a power-of-two scale at which twice the members' range on the calibration rows fits in 16 bits."""
    outputs = np.hstack([evaluate(Chain(steps=tuple(steps)), X[:, features]) for steps, features in branches])
    low, high = float(outputs.min()), float(outputs.max())
    center = low / 2 + high / 2
    tables = [step for steps, _ in branches if isinstance(step := steps[0], TreeTable)]
    possible = max((abs(bound - center) for table in tables for bound in value_bounds(table)), default=0.0)
    # What no calibration row reached saturates, but never so early that steps would have to be coarser first.
    reach = max(high / 2 - low / 2, possible * 2.0**-13, abs(center) * 2.0**-20, 2.0**-40)
    fraction_bits = math.floor(math.log2(_VALUE_HIGH / (2 * reach)))
    if center:
        fraction_bits = min(fraction_bits, math.floor(math.log2((INT32_MAX - 2 * _VALUE_HIGH) / abs(center))))
    return ValueScale(fraction_bits, round(center * 2.0**fraction_bits) * 2.0**-fraction_bits)


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
