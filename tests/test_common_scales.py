"""The scales at which members meet, to the last bit: Q15, logits, logarithms, and the one of values."""

import dataclasses
import math

import numpy as np
import pytest
from small_nodes import constants, layer, rows, stump

from ensemble_1d.ir import IntegerLink, IntegerLog, Link, Log, Requantize
from ensemble_1d.quantization.common_scales import (
    ValueScale,
    as_probabilities,
    as_values,
    logarithms,
    probabilities,
    value_scale,
)
from ensemble_1d.quantization.fixed_point_scales import Scores, rescale

ONE = 2.0**15
FEATURE = np.zeros(1, np.int64)


def scores_of(low, high, scale=1 / ONE, offset=0.0, width=2):
    """Return scores of equal columns."""
    bounds = np.full(width, low, np.int64), np.full(width, high, np.int64)
    return Scores((), bounds, np.full(width, scale), np.full(width, offset))


def scale_of(*nodes):
    """Return fraction bits and center of the scale that nodes of one feature share, which is -1 and 1."""
    found = value_scale(nodes, FEATURE, rows(-1, 1))
    return found.fraction_bits, found.center


# ---------------------------------------------------------------- values


@pytest.mark.parametrize(
    ("half_range", "bits"),
    [(1.0, 13), (0.5, 14), (0.49, 15), (32767 / 4, 1), (32767 / 2, 0), (16384.0, -1), (2.0**30, -17)],
)
def test_twice_the_range_fits_in_16_bits(half_range, bits):
    """The most fraction bits at which twice the range is at most 32767 steps."""
    assert scale_of(layer([[half_range]], [0.0])) == (bits, 0.0)
    assert scale_of(layer([[half_range / 2]], [0.0]), layer([[half_range]], [0.0])) == (bits, 0.0)


def test_the_center_is_the_middle_of_the_range_in_whole_steps():
    """Members of -3..1 and 1..2 lie around -0.5, and a center between two steps goes to the nearest."""
    assert scale_of(layer([[2.0]], [-1.0]), layer([[0.5]], [1.5])) == (12, -0.5)
    bits, center = scale_of(layer([[1.0]], [1 / 3]))
    assert (bits, center) == (13, round(float(np.float32(1 / 3)) * 2**13) / 2**13)


@pytest.mark.parametrize(("center", "bits"), [(1e6, 11), (-1e6, 11), (2.0**17, 13), (2.0**18, 12), (2.0**40, -10)])
def test_a_center_far_from_zero_leaves_room_in_32_bits(center, bits):
    """Center and twice the largest value together stay below 2**31, and no fraction bit is given away."""
    found, center = scale_of(layer([[1.0]], [center]))
    assert found == bits
    assert abs(center) * 2.0**bits + 2 * 32767 <= 2**31 - 1 < abs(center) * 2.0 ** (bits + 1) + 2 * 32767 or bits == 13


def test_a_constant_has_a_scale():
    """Zero has 53 fraction bits; any other constant as many as 32 bits allow, with room for 16 bits beside it."""
    assert scale_of(layer([[0.0]], [0.0])) == (math.floor(math.log2(32767 / 2 * 2.0**40)), 0.0)
    assert scale_of(constants([1.0], 0.0, np.float64)) == (30, 1.0)
    assert scale_of(layer([[0.0]], [1024.0])) == (20, 1024.0)
    largest = 2**31 - 1 - 2 * 32767
    assert scale_of(constants([largest / 2**10], 0.0, np.float64))[0] == 10
    assert scale_of(constants([(largest + 1) / 2**10], 0.0, np.float64))[0] == 9


def test_trees_may_reach_further_than_the_calibration_rows_did():
    """A leaf that no row reached is within 2**13 times the range; a leaf beyond makes steps coarser."""

    def bits_with(leaf):
        tree = dataclasses.replace(stump(5.0, "lt"), value=np.array([[1.0], [leaf]], np.float32))
        return scale_of(layer([[1.0]], [0.0]), tree)[0]

    assert [bits_with(leaf) for leaf in (2.0, 2.0**12, 2.0**13, 2.0**14)] == [13, 13, 13, 12]
    assert bits_with(-(2.0**20)) == 6


def test_scores_at_the_scale_of_values_stay_as_they_are():
    """Nothing is added where meaning and limits are right already; one step more, and a Requantize follows."""
    values = ValueScale(3, 0.5)
    for low, high, scale, offset, n_steps in (
        (-32767, 32767, 1 / 8, 0.5, 0),
        (-32768, 32767, 1 / 8, 0.5, 1),
        (-32767, 32768, 1 / 8, 0.5, 1),
        (0, 1, 1 / 4, 0.5, 1),
        (0, 1, 1 / 8, 0.25, 1),
    ):
        done = as_values(scores_of(low, high, scale, offset), values)
        assert len(done.steps) == n_steps
        assert (done.scale.tolist(), done.offset.tolist()) == ([1 / 8] * 2, [0.5] * 2)
        assert all((step.low, step.high) == (-32767, 32767) for step in done.steps)
    mixed = Scores((), (np.array([0, 0]), np.array([1, 1])), np.array([1 / 8, 1 / 4]), np.full(2, 0.5))
    assert len(as_values(mixed, values).steps) == 1


# ---------------------------------------------------------------- probabilities and logarithms


def test_probabilities_in_q15_stay_as_they_are():
    """0..32768 is the whole range: a step beyond saturates, and so does another scale or zero."""
    for low, high, scale, offset, n_steps in (
        (0, 32768, 1 / ONE, 0.0, 0),
        (-1, 32768, 1 / ONE, 0.0, 1),
        (0, 32769, 1 / ONE, 0.0, 1),
        (0, 255, 1 / 255, 0.0, 1),
        (0, 255, 1 / ONE, 0.5, 1),
    ):
        done = as_probabilities(scores_of(low, high, scale, offset))
        assert len(done.steps) == n_steps
        assert (done.scale.tolist(), done.offset.tolist()) == ([1 / ONE] * 2, [0.0] * 2)
        assert all((step.low, step.high) == (0, 32768) for step in done.steps)


@pytest.mark.parametrize(("kind", "width", "n_outputs"), [("softmax", 3, 3), ("sigmoid", 1, 2)])
def test_links_take_logits_in_base_two(kind, width, n_outputs):
    """4096 steps double the odds; what is beyond 2**28 of them saturates."""
    scores = scores_of(-1000, 1000, 0.01, 0.25, width)
    done = probabilities(scores, Link(kind=kind))
    expected = rescale(scores, np.full(width, 4096 / math.log(2)), np.zeros(width), -(2**28), 2**28).steps[0]
    change, link = done.steps
    assert isinstance(link, IntegerLink)
    assert link.kind == kind
    for field in ("shift_in", "multiplier", "shift_out", "offset", "low", "high"):
        np.testing.assert_array_equal(getattr(change, field), getattr(expected, field))
    assert (done.scale.tolist(), done.offset.tolist()) == ([1 / ONE] * n_outputs, [0.0] * n_outputs)


def test_a_complement_takes_the_probability_itself():
    """One column in Q15 needs no change of scale and becomes two."""
    done = probabilities(scores_of(0, 32768, width=1), Link(kind="complement"))
    assert [type(step) for step in done.steps] == [IntegerLink]
    assert done.steps[0].kind == "complement"
    assert (done.scale.tolist(), done.offset.tolist()) == ([1 / ONE] * 2, [0.0] * 2)
    done = probabilities(scores_of(0, 255, 1 / 255, width=1), Link(kind="complement"))
    assert [type(step) for step in done.steps] == [Requantize, IntegerLink]


@pytest.mark.parametrize(
    ("floor", "steps"), [(1e-9, 1), (0.4 / 2**15, 1), (2.0**-15, 1), (1.6 / 2**15, 2), (0.01, 328), (1.0, 32768)]
)
def test_logarithms_are_of_probabilities_in_q15(floor, steps):
    """The floor is the nearest step, at least one; a step of the result is ln(2) / 4096 times the scale."""
    done = logarithms(scores_of(0, 255, 1 / 255), Log(floor=floor, scale=0.5))
    change, node = done.steps
    assert (change.low, change.high) == (0, 32768)
    assert isinstance(node, IntegerLog)
    assert node.floor == steps
    np.testing.assert_allclose(done.scale, [math.log(2) / 4096 * 0.5] * 2, rtol=1e-15)
    assert done.offset.tolist() == [0.0, 0.0]
