"""The integer nodes in NumPy: this file is the specification that generated C must equal bit for bit."""

from typing import assert_never

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import (
    MISSING_CODE,
    PROBABILITY_BITS,
    IntegerCombine,
    IntegerDense,
    IntegerLink,
    IntegerLog,
    Quantize,
    Requantize,
)
from ensemble_1d.ir.fixed_point import (
    CODE_STEPS,
    EXP2_BITS,
    EXP2_TABLE,
    LOG2_BITS,
    LOG2_TABLE,
    LOGIT_BITS,
    NARROW_HIGH,
)

Integers = npt.NDArray[np.int64]
_ONE = 1 << PROBABILITY_BITS
_TABLE = np.array(EXP2_TABLE, np.int64)
_LOG2 = np.array(LOG2_TABLE, np.int64)


def quantize(node: Quantize, x: npt.NDArray[np.float32]) -> npt.NDArray[np.int16]:
    """Return the input codes of float32 rows; infinities saturate.

    Args:
        node: The input quantizer.
        x: Of shape (n_samples, n_features), float32.

    Returns:
        Of shape (n_samples, n_columns), int16.
    """
    codes = np.empty((len(x), node.n_columns), np.int16)
    rank, first = node.is_rank(), node.first_codes()
    affine = np.flatnonzero(~rank)
    steps = np.where(node.narrow[affine], np.float32(NARROW_HIGH), np.float32(CODE_STEPS))
    step = affine_step(x[:, node.feature[affine]], node.offset[affine], node.scale[affine], steps)
    codes[:, affine] = step + first[affine]
    for column in np.flatnonzero(rank):
        thresholds = node.thresholds[node.start[column] : node.start[column + 1]]
        values = x[:, node.feature[column]]
        values = np.where(np.isnan(values), np.float32(-np.inf), values)
        below = np.searchsorted(thresholds, values, side="right" if node.strict[column] else "left")
        codes[:, column] = below + first[column]
    if node.missing:
        codes[np.isnan(x[:, node.feature])] = MISSING_CODE
    return codes


def affine_step(
    x: npt.NDArray[np.float32],
    offset: npt.NDArray[np.float32],
    scale: npt.NDArray[np.float32],
    most: npt.NDArray[np.float32] | np.float32,
) -> npt.NDArray[np.int32]:
    """Return `floor((x - offset) * scale)`, in float32 and saturated to 0..most."""
    with np.errstate(over="ignore", invalid="ignore"):
        steps = (x - offset) * scale
    # The comparison is written so that a NaN (from the input, or from 0 * infinity) becomes 0, as in C.
    steps = np.where(steps > 0, np.minimum(steps, most), np.float32(0))
    return np.asarray(np.floor(steps).astype(np.int32))


def dense(node: IntegerDense, x: Integers) -> Integers:
    """Return `x @ weight.T + bias`."""
    return np.asarray(x @ node.weight.T.astype(np.int64) + node.bias)


def requantize(node: Requantize, x: Integers) -> Integers:
    """Return x in another fixed-point scale; `>>` rounds towards minus infinity."""
    half = (1 << node.shift_out.astype(np.int64)) >> 1
    scaled = ((x >> node.shift_in) * node.multiplier.astype(np.int64) + half) >> node.shift_out
    return np.asarray(np.clip(scaled + node.offset, node.low, node.high))


def exp2_negative(distance: Integers) -> Integers:
    """Return 2**-d in Q15 for `distance` = d in steps of 2**-12, d >= 0; within 6e-5 of the exact value.

    The fraction selects two neighbouring entries of the table, between which it interpolates; the whole part shifts.
    """
    whole, fraction = distance >> LOGIT_BITS, distance & ((1 << LOGIT_BITS) - 1)
    step_bits = LOGIT_BITS - EXP2_BITS
    index, rest = fraction >> step_bits, fraction & ((1 << step_bits) - 1)
    drop = (_TABLE[index] - _TABLE[index + 1]) * rest
    mantissa = _TABLE[index] - ((drop + (1 << (step_bits - 1))) >> step_bits)
    shift = np.minimum(whole, PROBABILITY_BITS + 2)
    return np.asarray((mantissa + ((1 << shift) >> 1)) >> shift)


def normalise(part: Integers, total: Integers) -> Integers:
    """Return `part / total` in Q15, for 0 <= part <= 2**15 <= total < 2**31: one division, then products.

    The total is shifted down to 16 bits; its reciprocal in Q31 then needs no more than 17.
    """
    n_bits = np.frexp(total.astype(np.float64))[1].astype(np.int64)
    shift = np.maximum(n_bits - 16, 0)
    reciprocal = (1 << 31) // (total >> shift)
    return np.asarray((part * reciprocal + (1 << (15 + shift))) >> (16 + shift))


def link(node: IntegerLink, score: Integers) -> Integers:
    """Return Q15 class probabilities of integer scores."""
    match node.kind:
        case "softmax":
            power = exp2_negative(score.max(axis=1, keepdims=True) - score)
            return normalise(power, power.sum(axis=1, keepdims=True))
        case "sigmoid":
            larger = normalise(np.full_like(score, _ONE), _ONE + exp2_negative(np.abs(score)))
            second = np.where(score > 0, larger, _ONE - larger)
            return np.hstack([_ONE - second, second])
        case "complement":
            return np.hstack([_ONE - score, score])
        case _:
            assert_never(node.kind)


def log2_probability(node: IntegerLog, probability: Integers) -> Integers:
    """Return log2(p) in steps of 2**-12 for p in Q15, not below the floor; within 3e-4 of the exact value.

    Shifted left until its first bit is that of one, p is a power of two times a number in [1, 2); the next 5 bits
    select two neighbouring entries of the table, between which the last 10 interpolate.
    """
    kept = np.maximum(probability, node.floor)
    shift = PROBABILITY_BITS + 1 - np.frexp(kept.astype(np.float64))[1].astype(np.int64)
    fraction = (kept << shift) - _ONE
    step_bits = PROBABILITY_BITS - LOG2_BITS
    index, rest = fraction >> step_bits, fraction & ((1 << step_bits) - 1)
    # The index of one itself is 0: no entry beyond the last is read.
    rise = (_LOG2[index + 1] - _LOG2[index]) * rest
    return np.asarray(_LOG2[index] + ((rise + (1 << (step_bits - 1))) >> step_bits) - (shift << LOGIT_BITS))


def combine_members(node: IntegerCombine, outputs: list[Integers]) -> Integers:
    """Return the Q15-weighted mean or the votes of the members' outputs."""
    total = np.zeros(outputs[0].shape, np.int64)
    for weight, output in zip(node.weights, outputs, strict=True):
        if node.rule == "mean":
            total += int(weight) * output
        else:
            total[np.arange(len(output)), output.argmax(axis=1)] += int(weight)
    return (total + (1 << (PROBABILITY_BITS - 1))) >> PROBABILITY_BITS if node.rule == "mean" else total
