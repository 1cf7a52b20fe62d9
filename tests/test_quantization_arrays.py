"""Arrays to few bits and back: what a round trip may cost, and what it must never do."""

import copy
import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.quantization.arrays import (
    QuantizationConfig,
    QuantizationMode,
    QuantizedTensor,
    Quantizer,
    dynamic_matmul,
    symmetric_scale,
)

FLOAT32_MAX = float(np.finfo(np.float32).max)
BITS = {"int16": 16, "int8": 8, "int4": 4, "dynamic": 8}
INTEGER_CASES = [
    (mode, granularity, symmetric)
    for mode in BITS
    for granularity in ("per_tensor", "per_channel")
    for symmetric in (True, False)
]
CALIBRATIONS = ["minmax", "percentile", "mse"]
some = settings(deadline=None, max_examples=40)
few = settings(deadline=None, max_examples=15)


ANY_FLOAT32 = st.floats(width=32, allow_nan=False, allow_infinity=False)


def arrays(elements=ANY_FLOAT32, min_dims=1):
    """Return float32 arrays of up to three dimensions, subnormals and the largest finite values among them."""
    return hnp.arrays(np.float32, hnp.array_shapes(min_dims=min_dims, max_dims=3, max_side=6), elements=elements)


def plain_floats(limit=1e6):
    """Return floats that are zero or large enough for float32 to carry their codes."""
    return st.one_of(st.just(0.0), st.floats(2.0**-20, limit, width=32), st.floats(-limit, -(2.0**-20), width=32))


def quantizer(mode, **options):
    return Quantizer(QuantizationConfig(mode, **options))


def spread(parameter, tensor):
    """Return a scale or zero point shaped to broadcast against the original array."""
    if tensor.axis is None:
        return parameter
    return np.expand_dims(parameter, [i for i in range(len(tensor.shape)) if i != tensor.axis])


def mean_squared_error(values, quantizer, **options):
    kept = quantizer.dequantize(quantizer.quantize(values, **options))
    return np.mean(np.square(kept.astype(np.float64) - values))


# ---------------------------------------------------------------- round trip


@pytest.mark.parametrize(("mode", "granularity", "symmetric"), INTEGER_CASES)
@some
@given(values=arrays(), axis=st.sampled_from([0, -1]))
def test_round_trip_loses_at_most_half_a_step(mode, granularity, symmetric, values, axis):
    """With min-max every value is inside the range, so each is half a step away at most, plus float32 rounding."""
    quantize = quantizer(mode, granularity=granularity, symmetric=symmetric, axis=axis)
    tensor = quantize.quantize(values)
    kept = quantize.dequantize(tensor)
    error = np.abs(kept.astype(np.float64) - values)
    to_float32 = np.maximum(np.abs(kept.astype(np.float64)) * 2.0**-24, 2.0**-150)
    allowed = spread(tensor.scale, tensor) * (0.5 + 1e-9) + to_float32
    assert kept.dtype == np.float32
    assert kept.shape == values.shape
    assert np.isfinite(kept).all()
    assert (error <= allowed).all()


@pytest.mark.parametrize("mode", BITS)
def test_symmetric_codes_follow_a_definition_in_plain_python(mode):
    """Each code is round-half-even(x / scale), with the largest magnitude at the largest code."""
    values = np.random.default_rng(0).normal(size=200).astype(np.float32)
    tensor = quantizer(mode).quantize(values)
    last = 2 ** (BITS[mode] - 1) - 1
    scale = max(abs(float(value)) for value in values) / last
    assert float(tensor.scale) == pytest.approx(scale, rel=1e-15)
    assert tensor.codes.tolist() == [round(float(value) / scale) for value in values]
    assert np.abs(tensor.codes.astype(int)).max() == last
    assert int(tensor.zero_point) == 0


def test_ties_are_rounded_to_the_even_code():
    """Half a step rounds to the even neighbour, on both sides of zero."""
    values = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 127.0]
    assert quantizer("int8").quantize(values).data.tolist() == [-2, -2, 0, 0, 2, 2, 127]


@pytest.mark.parametrize("mode", ["int16", "int8", "int4"])
def test_asymmetric_codes_use_the_whole_range(mode):
    """The smallest value has the smallest code, the largest the largest."""
    tensor = quantizer(mode, symmetric=False).quantize(np.linspace(-1.0, 3.0, 101))
    half = 2 ** (BITS[mode] - 1)
    assert (tensor.codes.min(), tensor.codes.max()) == (-half, half - 1)


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("mode", ["int16", "int8", "int4"])
@few
@given(values=arrays())
def test_zero_is_exact_when_asymmetric(mode, calibration, values):
    """Real zero has a code of its own, whatever the range: the zero point, an integer among the codes."""
    quantize = quantizer(mode, symmetric=False, calibration=calibration)
    tensor = quantize.quantize([0.0, 0.0], calibration_data=values)
    assert tensor.zero_point.dtype == np.int32
    assert -(2 ** (BITS[mode] - 1)) <= int(tensor.zero_point) < 2 ** (BITS[mode] - 1)
    assert (tensor.codes == tensor.zero_point).all()
    assert quantize.dequantize(tensor).tolist() == [0.0, 0.0]


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize(("mode", "granularity", "symmetric"), INTEGER_CASES)
@few
@given(values=arrays(plain_floats()))
def test_quantizing_again_with_the_same_range_changes_no_code(mode, granularity, symmetric, calibration, values):
    """What comes back lies on the grid, so the same grid gives the same codes."""
    quantize = quantizer(mode, granularity=granularity, symmetric=symmetric, calibration=calibration)
    tensor = quantize.quantize(values)
    again = quantize.quantize(quantize.dequantize(tensor), calibration_data=values)
    np.testing.assert_array_equal(again.data, tensor.data)
    np.testing.assert_array_equal(again.scale, tensor.scale)


@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
@pytest.mark.parametrize("mode", BITS)
@some
@given(values=arrays(plain_floats()))
def test_symmetric_minmax_is_idempotent(mode, granularity, values):
    """The largest magnitude survives, so that the range of what comes back is the same range."""
    quantize = quantizer(mode, granularity=granularity)
    tensor = quantize.quantize(values)
    again = quantize.quantize(quantize.dequantize(tensor))
    np.testing.assert_array_equal(again.data, tensor.data)
    np.testing.assert_allclose(again.scale, tensor.scale, rtol=2e-7)  # float32 keeps 24 bits of the largest value


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize(("mode", "symmetric"), list(itertools.product(BITS, [True, False])))
@few
@given(values=arrays())
def test_codes_keep_the_order_of_values(mode, symmetric, calibration, values):
    """A larger value never has a smaller code."""
    ordered = np.sort(values.ravel())
    codes = quantizer(mode, symmetric=symmetric, calibration=calibration).quantize(ordered).codes
    assert (np.diff(codes.astype(int)) >= 0).all()


@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("mode", BITS)
@few
@given(values=arrays())
def test_symmetric_codes_of_the_negative_are_negative(mode, calibration, values):
    """Symmetric quantization commutes with the sign."""
    quantize = quantizer(mode, calibration=calibration)
    np.testing.assert_array_equal(quantize.quantize(-values).codes, -quantize.quantize(values).codes)


# ---------------------------------------------------------------- storage


@some
@given(values=arrays(min_dims=0), symmetric=st.booleans())
def test_int4_takes_half_a_byte_for_each_value(values, symmetric):
    """Two codes share a byte, and an odd one out has a byte to itself."""
    tensor = quantizer("int4", symmetric=symmetric).quantize(values)
    assert tensor.data.dtype == np.uint8
    assert tensor.data.shape == ((values.size + 1) // 2,)
    assert tensor.nbytes == (values.size + 1) // 2 + 8 + 4
    assert tensor.codes.shape == values.shape
    assert tensor.codes.dtype == np.int8


@pytest.mark.parametrize(
    ("values", "symmetric", "packed"),
    [
        ([1, -1, 7], True, [0xF1, 0x07]),
        ([[-7, 7], [0, 2]], True, [0x79, 0x20]),
        ([0, 15], False, [0x78]),
        ([7], True, [0x07]),
    ],
)
def test_int4_bytes_are_these(values, symmetric, packed):
    """The first code is in the low nibble, in two's complement; an odd last byte has a zero high nibble."""
    assert quantizer("int4", symmetric=symmetric).quantize(values).data.tolist() == packed


@pytest.mark.parametrize(
    ("mode", "dtype", "n_bytes"),
    [("float32", "float32", 4), ("float16", "float16", 2), ("int16", "int16", 2), ("int8", "int8", 1)],
)
def test_bytes_counted_are_data_scale_and_zero_point(mode, dtype, n_bytes):
    """One scale is 8 bytes and one zero point 4."""
    tensor = quantizer(mode).quantize(np.ones((10, 10)))
    assert tensor.data.dtype == dtype
    assert tensor.nbytes == 100 * n_bytes + 12


def test_per_channel_has_one_scale_for_each_index_of_the_axis():
    """A channel's codes do not depend on the other channels, and a negative axis counts from the end."""
    values = np.random.default_rng(1).normal(size=(3, 4, 5)) * np.array([1.0, 10.0, 100.0, 0.0])[:, np.newaxis]
    for axis in (1, -2):
        tensor = quantizer("int8", granularity="per_channel", axis=axis).quantize(values)
        assert tensor.axis == 1
        assert tensor.scale.shape == tensor.zero_point.shape == (4,)
        assert tensor.scale[3] == 1.0
        for channel in range(4):
            alone = quantizer("int8").quantize(values[:, channel])
            np.testing.assert_array_equal(tensor.data[:, channel], alone.data)
            assert tensor.scale[channel] == alone.scale


@some
@given(values=arrays())
def test_per_channel_steps_are_never_coarser(values):
    """No channel's range exceeds the range of all."""
    whole = quantizer("int8").quantize(values).scale
    channels = quantizer("int8", granularity="per_channel").quantize(values).scale
    assert (channels[np.abs(values).reshape(len(values), -1).any(axis=1)] <= whole).all()


@pytest.mark.parametrize("mode", BITS)
def test_per_channel_error_is_below_per_tensor_error(mode):
    """Channels of different size gain most from a scale of their own: the error falls by more than half."""
    values = np.random.default_rng(2).normal(size=(16, 200)) * np.logspace(0, 2, 16)[:, np.newaxis]
    whole, channels = (
        mean_squared_error(values, quantizer(mode, granularity=g)) for g in ("per_tensor", "per_channel")
    )
    assert channels < whole / 2


# ---------------------------------------------------------------- ranges


@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
@pytest.mark.parametrize(("mode", "symmetric"), list(itertools.product(["int16", "int8", "int4"], [True, False])))
@few
@given(values=arrays(plain_floats()))
def test_mse_range_is_never_worse_than_minmax(mode, symmetric, granularity, values):
    """The min-max range is among those tried."""
    least, plain = (
        mean_squared_error(values, quantizer(mode, symmetric=symmetric, granularity=granularity, calibration=c))
        for c in ("mse", "minmax")
    )
    assert least <= plain * (1 + 1e-4) + 1e-14 * np.square(values.astype(np.float64)).mean()  # float32 of the output


@pytest.mark.parametrize("symmetric", [True, False])
def test_mse_range_of_four_bits_clips_a_normal_sample(symmetric):
    """For 4 bits and a normal sample the best range clips, and at least a third of the error goes."""
    values = np.random.default_rng(3).normal(size=10_000)
    least, plain = (
        mean_squared_error(values, quantizer("int4", symmetric=symmetric, calibration=c)) for c in ("mse", "minmax")
    )
    assert least < plain * 2 / 3


def test_mse_range_follows_a_one_sided_outlier():
    """When asymmetric, the end without outliers keeps its place while the other shrinks."""
    values = np.append(np.linspace(-1.0, 1.0, 10_001), 20.0)
    tensor = quantizer("int4", symmetric=False, calibration="mse").quantize(values)
    low, high = (float(tensor.scale) * (code - int(tensor.zero_point)) for code in (-8, 7))
    assert -1.3 < low < -0.7
    assert 0.7 < high < 10


def test_percentile_range_is_the_percentile():
    """Symmetric takes the percentile of magnitudes; asymmetric cuts both tails; 100 is min-max."""
    values = np.arange(-100.0, 301.0)
    symmetric = quantizer("int8", calibration="percentile", percentile=90).quantize(values)
    assert float(symmetric.scale) == pytest.approx(np.percentile(np.abs(values), 90) / 127)
    assert symmetric.data[0] < 0 < symmetric.data[-1] == 127
    asymmetric = quantizer("int8", calibration="percentile", percentile=90, symmetric=False).quantize(values)
    assert float(asymmetric.scale) == pytest.approx((260.0 + 60.0) / 255)
    assert (asymmetric.data[0], asymmetric.data[-1]) == (-128, 127)
    whole = quantizer("int8", calibration="percentile", percentile=100).quantize(values)
    assert whole.scale == quantizer("int8").quantize(values).scale


@pytest.mark.parametrize("symmetric", [True, False])
def test_percentile_of_mostly_zeros_falls_back_to_minmax(symmetric):
    """Where the percentile leaves only zero, the few other values keep their range."""
    values = np.zeros(10_000)
    values[17] = 0.25
    quantize = quantizer("int8", calibration="percentile", symmetric=symmetric)
    assert float(quantize.dequantize(quantize.quantize(values))[17]) == 0.25


def test_calibration_data_decides_the_range_and_the_rest_saturates():
    """Values beyond the calibrated range take the last code."""
    tensor = Quantizer().quantize([-5.0, 0.5, 1e38], calibration_data=np.array([[1.27, 0.0]]))
    assert float(tensor.scale) == pytest.approx(0.01)
    assert tensor.data.tolist() == [-127, 50, 127]


def test_calibration_data_may_be_far_smaller_than_the_array():
    """A quotient beyond float64 saturates as well, without a warning."""
    tensor = Quantizer().quantize([-3e38, 3e38, 0.0], calibration_data=[5e-324])
    assert tensor.data.tolist() == [-127, 127, 0]


# ---------------------------------------------------------------- extreme and plain inputs


EXTREMES = [
    [FLOAT32_MAX, -FLOAT32_MAX],
    [FLOAT32_MAX, 1.0, -1.0],
    [1e308, -1e308, 0.0],
    [np.finfo(np.float64).max] * 3,
    [5e-324, -5e-324],
    [1e-45, 3e-45, -7e-45],
    [1e-40, FLOAT32_MAX],
    [0.0, -0.0],
    [-3.5],
    [2.5, 2.5, 2.5],
]


@pytest.mark.parametrize("values", EXTREMES, ids=str)
@pytest.mark.parametrize("calibration", CALIBRATIONS)
@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize("mode", QuantizationMode)
def test_extreme_finite_values_stay_finite(mode, symmetric, calibration, values):
    """No overflow, no warning even if NumPy raises all of them, and a scale that is finite and positive."""
    quantize = quantizer(mode, symmetric=symmetric, calibration=calibration)
    with np.errstate(all="raise"):
        tensor = quantize.quantize(values)
        kept = quantize.dequantize(tensor)
    assert np.isfinite(tensor.scale).all()
    assert (tensor.scale > 0).all()
    assert np.isfinite(kept).all()
    assert (np.sign(kept) * np.sign(values) >= 0).all()


@some
@given(
    values=hnp.arrays(
        np.float64, hnp.array_shapes(max_dims=2, max_side=5), elements=st.floats(allow_nan=False, allow_infinity=False)
    ),
    mode=st.sampled_from(list(QuantizationMode)),
    granularity=st.sampled_from(["per_tensor", "per_channel"]),
    symmetric=st.booleans(),
    calibration=st.sampled_from(CALIBRATIONS),
)
def test_any_finite_float64_stays_finite(values, mode, granularity, symmetric, calibration):
    """Values beyond float32 saturate; nothing becomes NaN or infinite."""
    quantize = quantizer(mode, granularity=granularity, symmetric=symmetric, calibration=calibration)
    with np.errstate(all="raise"):
        kept = quantize.dequantize(quantize.quantize(values))
    assert np.isfinite(kept).all()


@pytest.mark.parametrize("constant", [0.0, 2.5, -3.5, 1e-30, FLOAT32_MAX])
@pytest.mark.parametrize(("mode", "symmetric"), list(itertools.product(QuantizationMode, [True, False])))
def test_constants_survive(mode, symmetric, constant):
    """A constant array comes back as it was: exactly, but for the float modes' own precision."""
    quantize = quantizer(mode, symmetric=symmetric)
    kept = quantize.dequantize(quantize.quantize(np.full((2, 3), constant)))
    wanted = np.float32(np.clip(constant, -65504, 65504).astype(np.float16) if mode == "float16" else constant)
    np.testing.assert_array_equal(kept, np.full((2, 3), wanted))


def test_an_all_zero_array_has_scale_one():
    """Zero needs no range, and any scale but zero would do."""
    assert float(quantizer("int8").quantize(np.zeros(4)).scale) == 1.0
    assert float(quantizer("int8", symmetric=False).quantize(np.zeros(4)).scale) == 1.0


@some
@given(values=arrays(min_dims=0))
def test_float32_is_the_identity(values):
    """Every bit of a float32 array comes back, in new memory."""
    tensor = quantizer("float32").quantize(values)
    kept = Quantizer().dequantize(tensor)
    assert kept.tobytes() == values.tobytes()
    assert not np.shares_memory(kept, tensor.data)
    assert (float(tensor.scale), int(tensor.zero_point)) == (1.0, 0)


def test_float16_saturates_and_is_numpys_rounding_otherwise():
    """Beyond 65504 the largest finite float16 stands in, never infinity."""
    quantize = quantizer("float16")
    kept = quantize.dequantize(quantize.quantize([65519.0, 65520.0, 1e5, -1e300, 0.1, 1e-9]))
    assert kept.tolist() == [65504.0, 65504.0, 65504.0, -65504.0, float(np.float16(0.1)), 0.0]


@pytest.mark.parametrize(
    "values",
    [True, 3, 2.5, [1, 2, 3], [[True], [False]], np.arange(6, dtype=np.uint64).reshape(2, 3), np.float16(2.0)],
    ids=repr,
)
@pytest.mark.parametrize("mode", QuantizationMode)
def test_any_real_array_like_of_any_dimension_is_taken(mode, values):
    """Numbers, lists, bools and integers keep their shape, and their values to the precision of the mode."""
    quantize = quantizer(mode)
    kept = quantize.dequantize(quantize.quantize(values))
    assert kept.shape == np.shape(values)
    np.testing.assert_allclose(kept, np.asarray(values, np.float64), atol=np.max(values) / 14 + 1e-6)


def test_int64_minimum_has_a_magnitude():
    """Regression guard: the absolute value of the smallest int64 overflows in int64."""
    assert quantizer("int8").quantize(np.array([np.iinfo(np.int64).min, 0])).data.tolist() == [-127, 0]


def test_strides_and_order_do_not_matter():
    """A transposed, strided view quantizes as its contiguous copy."""
    values = np.random.default_rng(4).normal(size=(6, 8))[::2, ::-1].T
    for mode in ("int4", "int8"):
        one, two = (quantizer(mode, granularity="per_channel").quantize(v) for v in (values, values.copy(order="C")))
        np.testing.assert_array_equal(one.data, two.data)
        assert one.data.flags.c_contiguous


# ---------------------------------------------------------------- immutability


def test_tensor_is_immutable_and_owns_its_arrays():
    """Fields cannot be set, arrays cannot be written, and the caller's array is neither changed nor shared."""
    values = np.ones((2, 2), np.float32)
    tensor = quantizer("float32").quantize(values)
    values[0, 0] = 9.0
    assert tensor.data[0, 0] == 1.0
    with pytest.raises(dataclasses.FrozenInstanceError):
        tensor.scale = np.ones(())
    for array in (tensor.data, tensor.scale, tensor.zero_point, tensor.codes):
        with pytest.raises(ValueError, match="read-only"):
            array[...] = 0


@pytest.mark.parametrize("duplicate", [copy.copy, copy.deepcopy])
@pytest.mark.parametrize("mode", ["int4", "float16"])
def test_copies_are_equal_and_read_only(mode, duplicate):
    """A copy, made through the same protocol as a pickle, is as immutable as the first."""
    tensor = quantizer(mode).quantize([[1.0, 2.0, -4.0]])
    again = duplicate(tensor)
    np.testing.assert_array_equal(again.data, tensor.data)
    assert (again.scale, again.zero_point, again.mode, again.shape) == (tensor.scale, 0, tensor.mode, (1, 3))
    assert not again.data.flags.writeable


def test_repr_is_short():
    """However large the array, the text names mode, shape, granularity and bytes."""
    tensor = quantizer("int4", granularity="per_channel").quantize(np.ones((100, 101)))
    assert repr(tensor) == "QuantizedTensor(int4, shape=(100, 101), per_channel on axis 0, 6250 bytes)"


def test_config_is_a_value():
    """Strings become modes; equal configurations are equal and hash alike; they are frozen."""
    config = QuantizationConfig("int4", percentile=99)
    assert config == QuantizationConfig(QuantizationMode.INT4, percentile=99.0)
    assert config.mode is QuantizationMode.INT4
    assert len({config, QuantizationConfig("int4", percentile=99.0), QuantizationConfig()}) == 2
    assert Quantizer().config == QuantizationConfig(mode="int8", granularity="per_tensor", symmetric=True)
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.axis = 1


# ---------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([], r"array is empty \(shape \(0,\)\); give at least one value"),
        (np.zeros((3, 0)), r"array is empty \(shape \(3, 0\)\)"),
        (
            [1.0, np.nan, np.nan],
            r"array holds 2 NaN and 0 infinite values, the first at index \(1,\).*finite.*nan_to_num",
        ),
        ([[1.0, 2.0], [np.inf, np.nan]], r"1 NaN and 1 infinite values, the first at index \(1, 0\)"),
        (-np.inf, r"0 NaN and 1 infinite values, the first at index \(\)"),
        ([1j], r"array has dtype complex128; give real numbers"),
        (["a"], r"array has dtype <U1; give real numbers"),
        ([None, 1.0], r"array has dtype object; give real numbers"),
        (np.array(["2024-01-01"], "datetime64[D]"), r"array has dtype datetime64\[D\]; give real numbers"),
        ([[1.0], [1.0, 2.0]], r"array cannot be read as an array \(.*give rows of equal length"),
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", QuantizationMode)
def test_bad_arrays_are_refused(mode, values, message):
    """The message names what was found, the rule and the remedy, in every mode and for both arrays."""
    with pytest.raises(InvalidInputError, match=message):
        quantizer(mode).quantize(values)
    with pytest.raises(InvalidInputError, match=message.replace("array ", "calibration_data ", 1)):
        quantizer(mode).quantize([1.0], calibration_data=values)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"mode": "int3"},
            r"mode='int3' is unknown; use one of 'float32', 'float16', 'int16', 'int8', 'int4', 'dynamic'",
        ),
        ({"mode": 8}, r"mode=8 is unknown; use one of 'float32'"),
        ({"granularity": "per_row"}, r"granularity='per_row' is unknown; use one of 'per_tensor', 'per_channel'"),
        ({"calibration": "kl"}, r"calibration='kl' is unknown; use one of 'minmax', 'percentile', 'mse'"),
        ({"symmetric": "no"}, r"symmetric='no' is unknown; use one of True, False"),
        ({"percentile": 50}, r"percentile=50 must be a number in \(50, 100\]"),
        ({"percentile": 100.5}, r"percentile=100.5 must be a number in \(50, 100\]"),
        ({"percentile": float("nan")}, r"percentile=nan must be a number in \(50, 100\]"),
        ({"percentile": "99"}, r"percentile='99' must be a number in \(50, 100\]"),
        ({"percentile": True}, r"percentile=True must be a number in \(50, 100\]"),
        ({"axis": 0.5}, r"axis=0.5 must be an integer"),
    ],
    ids=str,
)
def test_bad_options_are_refused(options, message):
    """The message names the value and those allowed."""
    with pytest.raises(InvalidInputError, match=message):
        QuantizationConfig(**options)


def test_options_in_place_of_a_config_are_refused():
    """A Quantizer takes a configuration, not its mode."""
    with pytest.raises(InvalidInputError, match=r"config='int8' must be a QuantizationConfig"):
        Quantizer("int8")


@pytest.mark.parametrize(("values", "axis"), [(1.0, 0), ([1.0], 1), ([[1.0]], -3)])
def test_a_missing_channel_axis_is_refused(values, axis):
    """Per channel needs the axis to be there."""
    with pytest.raises(InvalidInputError, match=rf"axis={axis} does not exist in array .*use 'per_tensor'"):
        quantizer("int8", granularity="per_channel", axis=axis).quantize(values)


def test_calibration_data_needs_the_same_channels():
    """Two channels of calibration data say nothing about three."""
    quantize = quantizer("int8", granularity="per_channel")
    with pytest.raises(InvalidInputError, match=r"calibration_data has 2 channels on axis 0; give as many .*: 3"):
        quantize.quantize(np.ones((3, 2)), calibration_data=np.ones((2, 9)))
    assert quantize.quantize(np.ones((3, 2)), calibration_data=np.ones((3, 9))).scale.shape == (3,)


GOOD = {"data": np.zeros(3, np.int8), "scale": 1.0, "zero_point": 0, "mode": "int8", "shape": (3,)}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"mode": "int7"}, "mode='int7' is unknown"),
        ({"shape": (4,)}, r"data is int8 of shape \(3,\); mode int8 with shape=\(4,\) needs int8 of shape \(4,\)"),
        ({"mode": "int16"}, "needs int16"),
        ({"mode": "int4", "data": np.zeros(3, np.uint8)}, r"needs uint8 of shape \(2,\)"),
        ({"shape": (0,), "data": np.zeros(0, np.int8)}, "is empty"),
        ({"scale": 0.0}, "scale=0.0 must be finite and positive"),
        ({"scale": np.nan}, "must be finite and positive"),
        ({"scale": [1.0, 1.0]}, r"shapes \(2,\) and \(\); with shape=\(3,\) and axis=None both need \(\)"),
        ({"axis": 0}, r"both need \(3,\)"),
        ({"axis": 1}, "axis=1 does not exist"),
        ({"zero_point": 128}, r"zero_point=128 must be an integer in \[-128, 127\]"),
        ({"zero_point": 0.5}, "zero_point=0.5 must be an integer"),
        ({"mode": "dynamic", "zero_point": 1}, r"zero_point=1 must be an integer in \[0, 0\]"),
        ({"mode": "float32", "data": np.array([1, np.nan, 2], np.float32)}, "finite data"),
        ({"mode": "float32", "data": np.ones(3, np.float32), "scale": 2.0}, "needs scale 1"),
    ],
    ids=str,
)
def test_tensors_that_contradict_themselves_are_refused(changes, message):
    """A tensor built by hand is checked as one that was quantized."""
    assert QuantizedTensor(**GOOD).mode is QuantizationMode.INT8
    with pytest.raises(InvalidInputError, match=message):
        QuantizedTensor(**GOOD | changes)


def test_a_huge_scale_built_by_hand_saturates():
    """Even a scale near the largest float64 gives finite float32."""
    tensor = QuantizedTensor(np.array([-2, 0, 2], np.int8), 1e308, 0, QuantizationMode.INT8, (3,))
    assert Quantizer().dequantize(tensor).tolist() == [-FLOAT32_MAX, 0.0, FLOAT32_MAX]


# ---------------------------------------------------------------- symmetric_scale and dynamic_matmul


@some
@given(values=arrays(), bits=st.integers(2, 32))
def test_symmetric_scale_puts_the_largest_magnitude_at_the_largest_code(values, bits):
    """Largest magnitude over largest code; one where all is zero."""
    peak = np.abs(values.astype(np.float64)).max()
    assert float(symmetric_scale(values, bits)) == pytest.approx(peak / (2 ** (bits - 1) - 1) or 1.0, rel=1e-15)
    assert symmetric_scale(values, bits, axis=-1).shape == (values.shape[-1],)


@pytest.mark.parametrize("bits", [1, 33, 2.5, None])
def test_symmetric_scale_refuses_odd_widths(bits):
    """One bit leaves no largest code."""
    with pytest.raises(InvalidInputError, match=r"bits=.* must be an integer from 2 to 32"):
        symmetric_scale([1.0], bits)


@pytest.mark.parametrize("granularity", ["per_tensor", "per_channel"])
@few
@given(data=st.data())
def test_dynamic_matmul_is_exact_in_integers_and_bounded_in_reals(granularity, data):
    """The result is the exact integer product times both scales, and half a step of each factor away at most."""
    n_inputs = data.draw(st.integers(1, 40))
    seed = data.draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(5, n_inputs)) * rng.lognormal(sigma=3, size=(5, 1))).astype(np.float32)
    weights = rng.normal(size=(4, n_inputs)).astype(np.float32)
    tensor = quantizer("dynamic", granularity=granularity).quantize(weights)
    result = dynamic_matmul(x, tensor)
    assert result.dtype == np.float32
    assert result.shape == (5, 4)

    x_scale = symmetric_scale(x, 8, axis=0)[:, np.newaxis]
    codes = [[round(value) for value in row] for row in (x.astype(np.float64) / x_scale).tolist()]
    sums = [[sum(a * b for a, b in zip(row, column, strict=True)) for column in tensor.data.tolist()] for row in codes]
    wanted = np.array(sums) * x_scale * tensor.scale
    np.testing.assert_allclose(result, wanted, rtol=1e-7)

    kept = Quantizer().dequantize(tensor).astype(np.float64)
    bound = x_scale / 2 * np.abs(kept).sum(axis=1) + np.abs(x).sum(axis=1, keepdims=True) * tensor.scale / 2
    exact = x.astype(np.float64) @ weights.astype(np.float64).T
    assert (np.abs(result - exact) <= bound * (1 + 1e-6) + 1e-6 * np.abs(exact)).all()


@pytest.mark.parametrize("n_inputs", [132_104, 132_105, 140_000])
def test_dynamic_matmul_does_not_overflow(n_inputs):
    """The longest 32-bit sum of the largest codes is exact, and one input more takes 64 bits."""
    data = np.full((1, n_inputs), -128, np.int8)
    tensor = QuantizedTensor(data, 1.0, 0, QuantizationMode.DYNAMIC, data.shape)
    assert float(dynamic_matmul(np.full((1, n_inputs), 127.0), tensor)[0, 0]) == np.float32(-128 * 127 * n_inputs)


def test_dynamic_matmul_scales_each_row_alone():
    """A row's result does not depend on the other rows, and a row of zeros gives zeros."""
    weights = quantizer("dynamic").quantize(np.random.default_rng(5).normal(size=(3, 7)))
    x = np.random.default_rng(6).normal(size=(4, 7)) * np.array([[1e-3], [1.0], [1e6], [0.0]])
    together = dynamic_matmul(x, weights)
    for row in range(4):
        np.testing.assert_array_equal(together[row], dynamic_matmul(x[row : row + 1], weights)[0])
    assert not together[3].any()


def test_dynamic_matmul_of_the_largest_floats_saturates():
    """The product of the largest values is beyond float32, and stays finite."""
    weights = quantizer("dynamic").quantize([[FLOAT32_MAX, FLOAT32_MAX]])
    with np.errstate(all="raise"):
        assert dynamic_matmul([[1e308, -1e308], [1e308, 1e308]], weights).tolist() == [[0.0], [FLOAT32_MAX]]


def test_dynamic_weights_are_symmetric_whatever_the_config_says():
    """An activation's row sum would be needed to undo a zero point, so there is none."""
    one, two = (quantizer("dynamic", symmetric=s).quantize([[1.0, 5.0]]) for s in (True, False))
    assert one.data.tolist() == two.data.tolist() == [[25, 127]]
    assert int(two.zero_point) == 0


@pytest.mark.parametrize(
    ("x", "config", "weights", "message"),
    [
        ([[1.0, 2.0]], QuantizationConfig("int8"), [[1.0, 2.0]], r"QuantizedTensor\(int8.*must be DYNAMIC"),
        ([[1.0]], QuantizationConfig("dynamic"), [1.0], r"of shape \(n_outputs, n_inputs\)"),
        (
            [[1.0]],
            QuantizationConfig("dynamic", granularity="per_channel", axis=1),
            [[1.0]],
            "per_channel on axis 1.*must be DYNAMIC.*on axis 0",
        ),
        ([[1.0]], QuantizationConfig("dynamic"), [[1.0, 2.0]], r"x has shape \(1, 1\); .* need \(n_samples, 2\)"),
        ([1.0, 2.0], QuantizationConfig("dynamic"), [[1.0, 2.0]], r"reshape a row to \(1, -1\)"),
        ([[1.0, np.nan]], QuantizationConfig("dynamic"), [[1.0, 2.0]], "x holds 1 NaN"),
        (np.zeros((0, 2)), QuantizationConfig("dynamic"), [[1.0, 2.0]], "x is empty"),
    ],
)
def test_dynamic_matmul_refuses_what_does_not_fit(x, config, weights, message):
    """The message names what was given and what is needed."""
    with pytest.raises(InvalidInputError, match=message):
        dynamic_matmul(x, Quantizer(config).quantize(weights))
