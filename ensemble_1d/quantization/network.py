"""Networks in integers: per-channel weights, int32 accumulators, activations scaled to what calibration rows reach."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import CODE_LOW, Affine, Dense, IntegerDense, Quantize
from ensemble_1d.quantization.fixed_point_scales import Scores, rescale
from ensemble_1d.runtime import evaluate

_ACTIVATION_HIGH = 32767
_HEADROOM = 4.0
"""How far beyond the calibration rows an activation may go before it saturates, unless outliers set their range."""
_OUTLIER_RATIO = 32.0
"""A range of this many root mean squares needs no headroom: its largest value is an outlier."""
_BIAS_ROOM = 2.0**28
"""A bias takes at most an eighth of the 32-bit accumulator ..."""
_SUM_HIGH = 2**31 - 1 - 2 * 2**28
"""... and products at most three quarters."""
_UNSEEN = 2.0**-8
"""A column keeps at least this share of what it could ever be, however little of it the calibration rows reach."""
_TINY = float(np.finfo(np.float32).smallest_normal)
_NARROW_BITS = 8
"""Beside weights of so few bits, multipliers that share a shift are exact enough."""
_SAME_SCALE = 2.0**-16
"""Two scales that differ by less part by half a step, at most, over 16 bits."""
_ENOUGH_ACTIVATION = 2**14
"""Activations of 14 bits are worth more than weights of more than 8."""


def with_affine_meaning(
    scores: Scores, node: Quantize, columns: npt.NDArray[np.int64], X: npt.NDArray[np.float32]
) -> Scores:
    """Return input codes with what the affine code of each of `columns` means: the middle of its step.

    A feature that is constant on the calibration rows means its constant, whatever the code: a step of it, which is
    coarse for a large constant, would count as a change.
    """
    values = X[:, node.feature[columns]].astype(np.float64)
    constant = values.min(axis=0) == values.max(axis=0)
    step = 1 / node.scale[columns].astype(np.float64)
    middle = node.offset[columns].astype(np.float64) + (0.5 - CODE_LOW) * step
    return Scores(scores.steps, scores.bounds, np.where(constant, 0.0, step), np.where(constant, values[0], middle))


def at_network_scale(
    node: Quantize, steps: Sequence[Affine | Dense], X: npt.NDArray[np.float32], *, bits: int
) -> Quantize:
    """Return the input quantizer at the scale of the activations of a network that alone reads it.

    A value is then rounded once instead of twice, and no change of scale is left for the device.

    Args:
        node: The input quantizer: one affine column for each feature.
        steps: An optional Affine, then any Dense layers; together they read every feature, in order.
        X: Calibration rows of shape (n_samples, n_features), float32.
        bits: Bits of a weight.

    Returns:
        The quantizer with other ranges; as it was, where no layer reads it or its activations get fewer than 16 bits.
    """
    layers = [step for step in steps if isinstance(step, Dense)]
    if not layers:
        return node
    first = steps[0]
    values, scale, zero = X.astype(np.float64), np.ones(node.n_columns), np.zeros(node.n_columns)
    if isinstance(first, Affine):
        scale, zero = first.scale.astype(np.float64), first.offset.astype(np.float64)
        values = evaluate(first, X)
    unit = _ACTIVATION_HIGH / float(_range_of(values))
    # A constant feature keeps its range, and one that the scale flattens has none.
    moves = (X.min(axis=0) < X.max(axis=0)) & (scale > 0)
    codes_per_unit = np.where(moves, scale, 1.0) * unit
    with np.errstate(over="ignore", under="ignore"):
        offset = np.where(moves, zero + (CODE_LOW - 0.5) / codes_per_unit, node.offset).astype(np.float32)
        codes_per_unit = np.where(moves, codes_per_unit, node.scale).astype(np.float32)
    is_float32 = bool((np.isfinite(offset) & np.isfinite(codes_per_unit) & (codes_per_unit >= _TINY)).all())
    fills = _activation_high(layers[0].weight.astype(np.float64), bits) == _ACTIVATION_HIGH
    return replace(node, offset=offset, scale=codes_per_unit.astype(np.float32)) if is_float32 and fills else node


def quantize_network(
    steps: Sequence[Affine | Dense], codes: Scores, X: npt.NDArray[np.floating[Any]], *, bits: int, apart: bool = False
) -> Scores:
    """Return the integer form of a network and the meaning of its last sums.

    Weights have a scale for each output (Jacob et al., CVPR 2018, arXiv:1712.05877, section 2.4). Inputs and
    activations have 16 bits and one scale for each layer: a microcontroller multiplies 16 by 8 bits in the time of 8
    by 8, and the other 8 bits hold rows beyond the calibration rows and outliers among them. In a layer so wide that
    32 bits could overflow, weights of more than 8 bits give way first, then activations.

    Args:
        steps: An optional Affine, then Dense layers.
        codes: The scores of the input columns.
        X: What these columns hold for the calibration rows, of shape (n_samples, n_inputs).
        bits: Bits of a weight, 2 to 16.
        apart: Whether each input column has a range of its own, as members have, and not one scale for all.

    Returns:
        The scores of shape (n_outputs,).
    """
    first = steps[0]
    values = evaluate(first, X) if isinstance(first, Affine) else X
    layers = [step for step in steps if isinstance(step, Dense)]
    if isinstance(first, Affine):
        scale = first.scale.astype(np.float64)
        codes = Scores(codes.steps, codes.bounds, codes.scale * scale, (codes.offset - first.offset) * scale)
    scores = codes
    rectified = False
    for layer in layers:
        weight, bias = layer.weight.astype(np.float64), layer.bias.astype(np.float64)
        limit = float(_range_of(values))
        if apart and layer is layers[0]:
            center, reach = _own_ranges(scores, values)
            scores = Scores(scores.steps, scores.bounds, scores.scale / reach, (scores.offset - center) / reach)
            weight, bias, limit = weight * reach, bias + weight @ center, 1.0
        largest = _largest_weight(weight, bits)
        high = _activation_high(weight, bits)
        unit = high / limit
        if high == _ACTIVATION_HIGH and _is_at_scale(scores, unit):
            bias = bias + weight @ scores.offset
            weight = np.where(scores.scale == 0, 0.0, weight)
        else:
            low, zeros = 0 if rectified else -high, np.zeros(weight.shape[1])
            scores = rescale(scores, zeros + unit, zeros, low, high, is_common=bits <= _NARROW_BITS)
        # The last bias joins the offset of the scores: in 32 bits it would cost a far-off target its digits.
        offset = bias if layer is layers[-1] else np.zeros_like(bias)
        integers, step = _quantize_weight(weight, bias - offset, largest, unit)
        node = IntegerDense(weight=integers, bias=np.rint((bias - offset) / step * unit).astype(np.int32))
        scores = scores.then(node, step / unit, offset)
        values = evaluate(layer, values)
        rectified = layer.activation == "relu"
    if rectified:
        width = len(scores.scale)
        unit = _ACTIVATION_HIGH / float(_range_of(values))
        return rescale(scores, np.full(width, unit), np.zeros(width), 0, _ACTIVATION_HIGH)
    return scores


def _is_at_scale(scores: Scores, unit: float) -> bool:
    """Return whether input codes are activations of so many units already, but for those of constant features."""
    counts = scores.scale != 0
    is_there = np.abs(scores.scale[counts] * unit - 1) < _SAME_SCALE
    return not scores.steps and bool(counts.any()) and bool(is_there.all())


def _activation_high(weight: npt.NDArray[np.float64], bits: int) -> int:
    """Return the largest activation that a layer can take without going beyond 32 bits."""
    integers, _ = _quantize_weight(weight, np.zeros(len(weight)), _largest_weight(weight, bits), 0.0)
    longest = int(np.abs(integers.astype(np.int64)).sum(axis=1).max())
    return int(min(_ACTIVATION_HIGH, _SUM_HIGH // max(longest, 1)))


def _range_of(values: npt.NDArray[np.floating[Any]], axis: int | None = None) -> npt.NDArray[np.float64]:
    """Return the magnitude at which activations saturate, of all or along an axis; 1 where all are zero."""
    largest = np.abs(values).max(axis=axis, initial=0.0).astype(np.float64)
    typical = np.sqrt(np.mean(np.square(values, dtype=np.float64), axis=axis))
    limit = np.maximum(largest, np.minimum(_HEADROOM * largest, _OUTLIER_RATIO * typical))
    return np.where(limit > 0, limit, 1.0)


def _own_ranges(
    scores: Scores, values: npt.NDArray[np.floating[Any]]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the middle and the half of each column's range: all it could ever be, where that fits in 16 bits.

    A column of more bits has the range of its values, with headroom: far from zero or beside columns of another
    magnitude, it keeps its digits.
    """
    low, high = scores.bounds
    middle = ((low + high) >> 1) * scores.scale + scores.offset
    step = np.abs(scores.scale)
    possible = ((high - low + 1) >> 1) * step
    seen = values.min(axis=0) / 2.0 + values.max(axis=0) / 2.0
    reach = np.maximum(_range_of(values - seen, axis=0), np.maximum(_ACTIVATION_HIGH * step, _UNSEEN * possible))
    reach = np.minimum(reach, possible)
    center = np.where(reach < possible, seen, middle)
    return center, np.where(reach > 0, reach, 1.0)


def _largest_weight(weight: npt.NDArray[np.float64], bits: int) -> int:
    """Return the largest integer weight: of `bits`, or fewer (down to 8) where activations would have too few."""
    weight = np.abs(weight)
    most = weight.max(axis=1)
    ratio = float((weight.sum(axis=1) / np.where(most > 0, most, 1.0)).max())
    full: int = 2 ** (bits - 1) - 1
    return min(full, max(127, int(_SUM_HIGH / (_ENOUGH_ACTIVATION * max(ratio, 1.0)))))


def _quantize_weight(
    weight: npt.NDArray[np.float64], bias: npt.NDArray[np.float64], largest: int, unit: float
) -> tuple[npt.NDArray[np.int8 | np.int16], npt.NDArray[np.float64]]:
    """Return integer weights and the real value of one step, for each output.

    Where a bias dwarfs its weights, their step grows until the bias fits, in `unit` steps of the input.
    """
    step = np.abs(weight).max(axis=1) / largest
    step = np.maximum(step, np.abs(bias) * unit / _BIAS_ROOM)
    step = np.where(step > 0, step, 1.0)
    integers = np.rint(weight / step[:, np.newaxis])
    return (integers.astype(np.int8) if largest <= 127 else integers.astype(np.int16)), step
