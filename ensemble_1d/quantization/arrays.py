"""Arrays to few bits and back.

A code `q` means the real number `scale * (q - zero_point)` (Jacob et al., CVPR 2018, arXiv:1712.05877, eq. 1). Reals
are rounded half to even. Everything is computed in float64, after values beyond the range of float32 saturate to it,
so that no finite input can overflow; what comes back is float32.
"""

import math
import operator
from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, field
from enum import StrEnum
from numbers import Real
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidInputError

__all__ = [
    "QuantizationConfig",
    "QuantizationMode",
    "QuantizedTensor",
    "Quantizer",
    "dynamic_matmul",
    "symmetric_scale",
]

Reals = npt.NDArray[np.float64]
Granularity = Literal["per_tensor", "per_channel"]
Calibration = Literal["minmax", "percentile", "mse"]


class QuantizationMode(StrEnum):
    """How a number is stored; each mode equals its string.

    Attributes:
        FLOAT32: As float32, unchanged; values beyond its range saturate.
        FLOAT16: As float16; values beyond +-65504 saturate.
        INT16: 16-bit codes.
        INT8: 8-bit codes.
        INT4: 4-bit codes, two in a byte.
        DYNAMIC: 8-bit symmetric weights, for activations that are scaled when they arrive (see `dynamic_matmul`).

    Example:
        >>> QuantizationMode("int8") is QuantizationMode.INT8
        True
    """

    FLOAT32 = "float32"
    FLOAT16 = "float16"
    INT16 = "int16"
    INT8 = "int8"
    INT4 = "int4"
    DYNAMIC = "dynamic"


_BITS: Final = {
    QuantizationMode.INT16: 16,
    QuantizationMode.INT8: 8,
    QuantizationMode.INT4: 4,
    QuantizationMode.DYNAMIC: 8,
}
_STORED_AS: Final = {QuantizationMode.INT4: "uint8", QuantizationMode.DYNAMIC: "int8"}
_DTYPE: Final = {mode: np.dtype(_STORED_AS.get(mode, mode.value)) for mode in QuantizationMode}
_FLOAT32_MAX: Final = float(np.finfo(np.float32).max)
_FLOAT16_MAX: Final = float(np.finfo(np.float16).max)
_SMALLEST_SCALE: Final = float(np.finfo(np.float64).smallest_normal)
"""Below it a quotient by the scale would lose digits, or divide by zero."""

_SHARES: Final = [2.0 ** (-eighth / 8) for eighth in range(65)]
"""Shares of the min-max range that "mse" tries: an eighth of an octave apart, because the error is flat around its
minimum (steps eight times finer gained 4 % at most on normal, Laplace, t and log-normal samples), down to 1/256, where
min-max with 8 bits would round to zero all that is kept. One comes first: the error is never above that of min-max."""
_saturating: Final = np.errstate(over="ignore", under="ignore")
"""What overflows is clipped, and what underflows is far below half a step: neither needs a warning."""
_LONGEST_INT32_SUM: Final = (2**31 - 1) // (127 * 128)
"""Products of an activation (at most 127) and a weight (at most 128 in magnitude) whose sum fits in 32 bits."""


@dataclass(frozen=True, slots=True)
class QuantizationConfig:
    """What a Quantizer does; only `mode` may be given by position.

    The float modes read nothing but `mode`. DYNAMIC is always symmetric.

    Args:
        mode: A QuantizationMode or its string.
        granularity: "per_tensor" has one scale, "per_channel" one for each index along `axis`.
        symmetric: Codes in [-(2**(b-1) - 1), 2**(b-1) - 1] and zero point 0; otherwise all 2**b codes and an integer
            zero point among them. Real zero is always represented exactly.
        calibration: "minmax" clips nothing. "percentile" takes that percentile of the magnitudes, or if asymmetric
            cuts both tails; where that leaves only zero, the range is min-max. "mse" takes the share of the min-max
            range with the least mean squared error, each end in turn if asymmetric (by search on the data; Banner
            et al., NeurIPS 2019, arXiv:1810.05723, solve the same problem for a fitted distribution).
        percentile: In (50, 100]; 100 is min-max.
        axis: The channel axis; negative counts from the end.

    Raises:
        InvalidInputError: If a value is not one of those above.

    Example:
        >>> QuantizationConfig("int4", granularity="per_channel").mode
        <QuantizationMode.INT4: 'int4'>
    """

    mode: QuantizationMode | str = QuantizationMode.INT8
    _: KW_ONLY
    granularity: Granularity = "per_tensor"
    symmetric: bool = True
    calibration: Calibration = "minmax"
    percentile: float = 99.9
    axis: int = 0

    def __post_init__(self) -> None:
        """Turn a mode's string into the mode, and refuse what has no meaning."""
        object.__setattr__(self, "mode", _mode(self.mode))
        choices = (get_args(Granularity), (True, False), get_args(Calibration))
        for name, allowed in zip(("granularity", "symmetric", "calibration"), choices, strict=True):
            value = getattr(self, name)
            _ensure(value in allowed, f"{name}={value!r} is unknown; use one of {', '.join(map(repr, allowed))}")
        good = _is_number(self.percentile) and 50 < self.percentile <= 100
        _ensure(good, f"percentile={self.percentile!r} must be a number in (50, 100], for example 99.9")
        object.__setattr__(self, "percentile", float(self.percentile))
        good = hasattr(self.axis, "__index__")
        _ensure(good, f"axis={self.axis!r} must be an integer: the axis of the channels, for example 0")


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class QuantizedTensor:
    """An array in few bits, with what its codes mean. Immutable; its arrays are read-only copies.

    Attributes:
        data: float32, float16, int16 or int8 of shape `shape`. INT4: uint8 of shape (ceil(size / 2),), two codes to
            a byte in C order, the first in the low nibble.
        scale: float64 of shape () or (n_channels,), finite and positive; 1 for the float modes.
        zero_point: int32, shaped like `scale`, the code of real zero; 0 for the float modes and DYNAMIC.
        mode: How `data` is stored.
        shape: Of the original array.
        axis: The channel axis, or None for one scale.

    Raises:
        InvalidInputError: If the parts contradict each other.

    Example:
        >>> QuantizedTensor(np.array([-127, 127], np.int8), 0.5, 0, QuantizationMode.INT8, (2,))
        QuantizedTensor(int8, shape=(2,), per_tensor, 14 bytes)
    """

    data: npt.NDArray[Any]
    scale: Reals
    zero_point: npt.NDArray[np.int32]
    mode: QuantizationMode
    shape: tuple[int, ...]
    axis: int | None = None

    def __post_init__(self) -> None:
        """Store read-only copies and check that they fit together."""
        mode, shape = _mode(self.mode), tuple(operator.index(length) for length in self.shape)
        _ensure(min(shape, default=1) > 0, f"shape={shape} is empty; quantize at least one value")
        axis = None if self.axis is None else _channel_axis(self.axis, shape, "shape")
        data, scale, zero = (_frozen(part) for part in (self.data, self.scale, self.zero_point))
        dtype, stored = _DTYPE[mode], ((math.prod(shape) + 1) // 2,) if mode is QuantizationMode.INT4 else shape
        found = f"data is {data.dtype} of shape {data.shape}"
        fits = data.dtype == dtype and data.shape == stored
        _ensure(fits, f"{found}; mode {mode} with shape={shape} needs {dtype} of shape {stored}")
        wanted = () if axis is None else (shape[axis],)
        found = f"scale and zero_point have shapes {scale.shape} and {zero.shape}"
        _ensure(scale.shape == zero.shape == wanted, f"{found}; with shape={shape} and axis={axis} both need {wanted}")
        low, high = _code_limits(_BITS[mode], symmetric=False) if mode in _BITS and mode != "dynamic" else (0, 0)
        good = zero.dtype.kind in "iu" and bool(((zero >= low) & (zero <= high)).all())
        _ensure(good, f"zero_point={zero} must be an integer in [{low}, {high}] for mode {mode}")
        good = scale.dtype.kind in "iuf" and bool((np.isfinite(scale) & (scale > 0)).all())
        _ensure(good, f"scale={scale} must be finite and positive")
        if mode not in _BITS:
            good = bool((scale == 1).all() and np.isfinite(data).all())
            _ensure(good, f"mode {mode} needs scale 1 and finite data; quantize the array with Quantizer")
        scale, zero = _frozen(scale, np.float64), _frozen(zero, np.int32)
        fields = {"data": data, "scale": scale, "zero_point": zero, "mode": mode, "shape": shape, "axis": axis}
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[type["QuantizedTensor"], tuple[object, ...]]:
        """Rebuild copies and pickles through the constructor: their arrays are checked and read-only too."""
        return type(self), (self.data, self.scale, self.zero_point, self.mode, self.shape, self.axis)

    def __repr__(self) -> str:
        """Name what matters, without the data."""
        kind = "per_tensor" if self.axis is None else f"per_channel on axis {self.axis}"
        return f"QuantizedTensor({self.mode}, shape={self.shape}, {kind}, {self.nbytes} bytes)"

    @property
    def nbytes(self) -> int:
        """Bytes of data, scale and zero point together."""
        return self.data.nbytes + self.scale.nbytes + self.zero_point.nbytes

    @property
    def codes(self) -> npt.NDArray[Any]:
        """The data in the original shape: unpacked to int8 if INT4, else `data` itself."""
        if self.mode is not QuantizationMode.INT4:
            return self.data
        return _unpack_int4(self.data, math.prod(self.shape)).reshape(self.shape)


@dataclass(frozen=True, slots=True)
class Quantizer:
    """Turns arrays into QuantizedTensors as one QuantizationConfig says, and back.

    Args:
        config: INT8, per tensor, symmetric, min-max unless given.

    Raises:
        InvalidInputError: If `config` is not a QuantizationConfig.

    Example:
        >>> quantizer = Quantizer(QuantizationConfig("int4"))
        >>> small = quantizer.quantize([[-0.7, 0.1], [0.3, 0.7]])
        >>> quantizer.dequantize(small)
        array([[-0.7,  0.1],
               [ 0.3,  0.7]], dtype=float32)
    """

    config: QuantizationConfig = field(default_factory=QuantizationConfig)

    def __post_init__(self) -> None:
        """Refuse what is not a configuration."""
        is_config = issubclass(type(self.config), QuantizationConfig)
        _ensure(is_config, f"config={self.config!r} must be a QuantizationConfig, e.g. QuantizationConfig('int8')")

    def quantize(self, array: npt.ArrayLike, *, calibration_data: npt.ArrayLike | None = None) -> QuantizedTensor:
        """Return `array` in few bits; values outside the calibrated range saturate.

        Args:
            array: Finite reals (bool, integer or float) of any shape that is not empty. Not changed.
            calibration_data: Finite reals from which the range is taken instead, with the same number of channels if
                per channel, else of any shape. The float modes have no range and only check it.

        Returns:
            The codes, which within the range are at most half a step from `array`.

        Raises:
            InvalidInputError: If an array is empty, not real or not finite, or lacks the channel axis.

        Example:
            >>> Quantizer().quantize([-1.0, 0.0, 0.5, 1.0]).data
            array([-127,    0,   64,  127], dtype=int8)
        """
        values = _as_reals(array, "array")
        reference = values if calibration_data is None else _as_reals(calibration_data, "calibration_data")
        mode = _mode(self.config.mode)
        if mode in _BITS:
            return _to_codes(values, reference, self.config)
        limit = _FLOAT16_MAX if mode is QuantizationMode.FLOAT16 else _FLOAT32_MAX
        with np.errstate(under="ignore"):
            data = np.clip(values, -limit, limit).astype(_DTYPE[mode])
        return QuantizedTensor(data, np.ones(()), np.zeros((), np.int32), mode, values.shape)

    def dequantize(self, tensor: QuantizedTensor) -> npt.NDArray[np.float32]:
        """Return the reals that the codes of `tensor` mean, whatever configuration made it.

        Args:
            tensor: What `quantize` returned.

        Returns:
            A new float32 array of shape `tensor.shape`, finite.

        Example:
            >>> float(Quantizer().dequantize(Quantizer().quantize(2.5)))
            2.5
        """
        scale, zero = (_along(part, tensor.axis, len(tensor.shape)) for part in (tensor.scale, tensor.zero_point))
        return _to_float32(tensor.codes.astype(np.float64) - zero, scale)


def symmetric_scale(array: npt.ArrayLike, bits: int, axis: int | None = None) -> Reals:
    """Return the real step with which the largest magnitude becomes the largest symmetric code.

    Args:
        array: Finite reals of any shape that is not empty.
        bits: Of a code, sign included, 2 to 32.
        axis: The channel axis, or None for one scale.

    Returns:
        Positive and finite float64 of shape () or (n_channels,); 1 where all values are zero.

    Raises:
        InvalidInputError: If the array is empty, not real or not finite, lacks the axis, or `bits` is out of range.

    Example:
        >>> symmetric_scale([[1.0, -12.7], [0.0, 0.0]], bits=8, axis=0)
        array([0.1, 1. ])
    """
    values = _as_reals(array, "array")
    _ensure(bits in range(2, 33), f"bits={bits!r} must be an integer from 2 to 32, for example 8")
    channel = None if axis is None else _channel_axis(axis, values.shape, "array")
    peak = np.abs(_rows(values, channel)).max(axis=1)
    scale, _ = _affine_map(-peak, peak, _code_limits(bits, symmetric=True))
    return scale.reshape(() if channel is None else (-1,))


def dynamic_matmul(x: npt.ArrayLike, tensor: QuantizedTensor) -> npt.NDArray[np.float32]:
    """Return `x @ W.T` with 8-bit activations, each row scaled by its own largest magnitude, and 8-bit weights.

    The sums of products are exact integers (Jacob et al., CVPR 2018, arXiv:1712.05877, eq. 4 with both zero points
    0), of 32 bits unless the rows are so long that those could overflow; only rounding to codes loses precision.

    Args:
        x: Finite reals of shape (n_samples, n_inputs).
        tensor: Weights W of shape (n_outputs, n_inputs), DYNAMIC, with one scale or one for each output (axis 0).

    Returns:
        Of shape (n_samples, n_outputs), float32.

    Raises:
        InvalidInputError: If `x` is empty, not real, not finite or of another width, or `tensor` is not as above.

    Example:
        >>> weights = Quantizer(QuantizationConfig("dynamic")).quantize([[1.0, -1.0], [0.0, 1.0]])
        >>> dynamic_matmul([[2.0, 1.0]], weights).round(2)
        array([[0.99, 1.01]], dtype=float32)
    """
    rows = _as_reals(x, "x")
    usable = tensor.mode is QuantizationMode.DYNAMIC and len(tensor.shape) == 2 and tensor.axis in (None, 0)
    _ensure(usable, f"{tensor} must be DYNAMIC, of shape (n_outputs, n_inputs), per tensor or per channel on axis 0")
    n_inputs = tensor.shape[1]
    fits = rows.ndim == 2 and rows.shape[1] == n_inputs
    _ensure(fits, f"x has shape {rows.shape}; these weights need (n_samples, {n_inputs}): reshape a row to (1, -1)")
    scale = symmetric_scale(rows, 8, axis=0)[:, np.newaxis]
    codes = _round_to_codes(rows, scale, 0, _code_limits(8, symmetric=True))
    sums: npt.NDArray[np.int32] | npt.NDArray[np.int64]
    if n_inputs <= _LONGEST_INT32_SUM:
        sums = codes.astype(np.int32) @ tensor.data.astype(np.int32).T
    else:
        sums = codes.astype(np.int64) @ tensor.data.astype(np.int64).T
    return _to_float32(sums.astype(np.float64), scale, tensor.scale)


def _to_codes(values: Reals, reference: Reals, config: QuantizationConfig) -> QuantizedTensor:
    """Quantize `values` to integers with the range of `reference`."""
    axis, rows = None, _rows(reference, None)
    if config.granularity == "per_channel":
        axis = _channel_axis(config.axis, values.shape, "array")
        rows = _rows(reference, _channel_axis(config.axis, reference.shape, "calibration_data"))
        found = f"calibration_data has {len(rows)} channels on axis {config.axis}"
        _ensure(len(rows) == values.shape[axis], f"{found}; give as many as array has: {values.shape[axis]}")
    mode = _mode(config.mode)
    limits = _code_limits(_BITS[mode], symmetric=config.symmetric or mode is QuantizationMode.DYNAMIC)
    parameters = _affine_map(*_find_range(rows, config, limits), limits)
    scale, zero = (part.reshape(() if axis is None else (-1,)) for part in parameters)
    codes = _round_to_codes(values, _along(scale, axis, values.ndim), _along(zero, axis, values.ndim), limits)
    data = _pack_int4(codes) if mode is QuantizationMode.INT4 else codes.astype(_DTYPE[mode])
    return QuantizedTensor(data, scale, zero.astype(np.int32), mode, values.shape, axis)


@_saturating
def _find_range(rows: Reals, config: QuantizationConfig, limits: tuple[int, int]) -> tuple[Reals, Reals]:
    """Return the ends of each row's range, of shape (n_rows, 1); zero lies between them."""
    symmetric = limits[0] == -limits[1]
    measured = np.abs(rows) if symmetric else rows
    low = np.minimum(measured.min(axis=1, keepdims=True), 0.0)
    high = np.maximum(measured.max(axis=1, keepdims=True), 0.0)
    if config.calibration == "percentile":
        tails = np.percentile(measured, [100 - config.percentile, config.percentile], axis=1, keepdims=True)
        inner_low, inner_high = np.minimum(tails[0], 0.0), np.maximum(tails[1], 0.0)
        some = inner_high > inner_low  # not where nearly all values are zero: there the others matter
        low, high = np.where(some, inner_low, low), np.where(some, inner_high, high)
    if config.calibration != "mse":
        return -high if symmetric else low, high
    if symmetric:
        return _least_error_range(rows, [(-high * share, high * share) for share in _SHARES], limits)
    # One turn for each end came within 8 % of all 1600 pairs tried, which would cost twenty times as much.
    low, high = _least_error_range(rows, [(low, high * share) for share in _SHARES], limits)
    return _least_error_range(rows, [(low * share, high) for share in _SHARES], limits)


def _least_error_range(
    rows: Reals, ranges: Sequence[tuple[Reals, Reals]], limits: tuple[int, int]
) -> tuple[Reals, Reals]:
    """Return for each row the first of `ranges` whose round trip has the least mean squared error."""
    best_low, best_high = ranges[0]
    least = np.full_like(best_high, np.inf)
    for low, high in ranges:
        scale, zero = _affine_map(low, high, limits)
        kept = scale * (_round_to_codes(rows, scale, zero, limits) - zero)
        error = np.mean(np.square(kept - rows), axis=1, keepdims=True)
        better = error < least
        least, best_low, best_high = (
            np.where(better, new, old) for new, old in ((error, least), (low, best_low), (high, best_high))
        )
    return best_low, best_high


@_saturating
def _affine_map(low: Reals, high: Reals, limits: tuple[int, int]) -> tuple[Reals, Reals]:
    """Return scale and zero point of the codes that span [low, high], with scale 1 where the range is only zero."""
    first, last = limits
    scale = np.where(high > low, np.maximum((high - low) / (last - first), _SMALLEST_SCALE), 1.0)
    # Rounding the zero point moves the range by at most half a step: its ends are no further from a code.
    zero = np.clip(np.rint(first - low / scale), first, last)
    return scale, np.zeros_like(scale) if first == -last else zero


@_saturating
def _round_to_codes(values: Reals, scale: Reals, zero: Reals | int, limits: tuple[int, int]) -> Reals:
    """Return the nearest codes, as float64; a quotient that overflows is beyond every code and saturates."""
    return np.asarray(np.clip(np.rint(values / scale) + zero, *limits))


def _code_limits(bits: int, *, symmetric: bool) -> tuple[int, int]:
    """Return the smallest and largest code."""
    half = 2 ** (bits - 1)
    return (1 - half if symmetric else -half), half - 1


def _pack_int4(codes: Reals) -> npt.NDArray[np.uint8]:
    """Return codes in [-8, 7] two to a byte, the first in the low nibble; an odd last byte ends in a zero nibble."""
    nibbles = np.zeros(codes.size + codes.size % 2, np.uint8)
    nibbles[: codes.size] = codes.ravel().astype(np.int8).view(np.uint8) & np.uint8(15)
    packed: npt.NDArray[np.uint8] = nibbles[::2] | nibbles[1::2] << np.uint8(4)
    return packed


def _unpack_int4(packed: npt.NDArray[Any], size: int) -> npt.NDArray[np.int8]:
    """Return the first `size` codes that were packed, flat."""
    nibbles = np.stack([packed & 15, packed >> 4], axis=1).ravel()[:size].astype(np.int8)
    return (nibbles ^ np.int8(8)) - np.int8(8)  # flips the sign bit, then moves the range: 15 -> 7 -> -1


@_saturating
def _to_float32(steps: Reals, *scales: Reals) -> npt.NDArray[np.float32]:
    """Return the product as float32; what is beyond its range saturates."""
    return np.asarray(np.clip(math.prod(scales, start=steps), -_FLOAT32_MAX, _FLOAT32_MAX)).astype(np.float32)


def _frozen(array: npt.ArrayLike, dtype: npt.DTypeLike | None = None) -> npt.NDArray[Any]:
    """Return a read-only copy in C order."""
    copy = np.array(array, dtype=dtype, order="C", copy=True)
    copy.flags.writeable = False
    return copy


def _rows(values: Reals, axis: int | None) -> Reals:
    """Return the values of each channel as a row."""
    return values.reshape(1, -1) if axis is None else np.moveaxis(values, axis, 0).reshape(values.shape[axis], -1)


def _along(parameter: npt.NDArray[Any], axis: int | None, ndim: int) -> npt.NDArray[Any]:
    """Return a scale or zero point shaped to broadcast against an array."""
    return parameter if axis is None else parameter.reshape([-1 if i == axis else 1 for i in range(ndim)])


@_saturating
def _as_reals(array: npt.ArrayLike, name: str) -> Reals:
    """Return an array as float64 within the range of float32, after checking kind, size and finiteness."""
    try:
        given = np.asarray(array)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"{name} cannot be read as an array ({error}); give rows of equal length") from error
    remedy = "give real numbers (bool, integer or float), for example by astype(float)"
    _ensure(given.dtype.kind in "biuf", f"{name} has dtype {given.dtype}; {remedy}")
    _ensure(given.size > 0, f"{name} is empty (shape {given.shape}); give at least one value")
    finite = np.isfinite(given)
    if not finite.all():
        n_nan, first = int(np.isnan(given).sum()), tuple(np.argwhere(~finite)[0].tolist())
        counts = f"{n_nan} NaN and {int((~finite).sum()) - n_nan} infinite values"
        raise InvalidInputError(
            f"{name} holds {counts}, the first at index {first}; every value must be finite: remove or impute them, "
            "for example with numpy.nan_to_num"
        )
    return np.asarray(np.clip(given.astype(np.float64), -_FLOAT32_MAX, _FLOAT32_MAX))


def _channel_axis(axis: int, shape: tuple[int, ...], name: str) -> int:
    """Return the axis counted from the front, if an array of that shape has it."""
    exists = -len(shape) <= axis < len(shape)
    _ensure(exists, f"axis={axis} does not exist in {name} {shape}; give one below {len(shape)}, or use 'per_tensor'")
    return axis % len(shape)


def _mode(value: str) -> QuantizationMode:
    """Return the mode of that name."""
    try:
        return QuantizationMode(value)
    except ValueError as error:
        names = ", ".join(repr(mode.value) for mode in QuantizationMode)
        raise InvalidInputError(f"mode={value!r} is unknown; use one of {names}") from error


def _is_number(value: object) -> bool:
    """Return whether a value is a real number and no bool."""
    return isinstance(value, Real) and not isinstance(value, bool)


def _ensure(condition: bool, message: str) -> None:
    """Raise InvalidInputError with `message` unless `condition` holds."""
    if not condition:
        raise InvalidInputError(message)
