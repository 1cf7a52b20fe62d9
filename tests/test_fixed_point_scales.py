"""Multipliers and shifts: every integer of a change of scale, against its definition in Python's own numbers."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import SEEDS, examples

from ensemble_1d.quantization.fixed_point_scales import Scores, bit_length, rescale
from ensemble_1d.runtime_integer import requantize

HIGH = 2**30


def scores_of(low, high, scale, offset=0.0):
    """Return scores of columns with these bounds and this meaning."""
    bounds = np.array(low, np.int64), np.array(high, np.int64)
    zero = np.zeros(len(bounds[0]))
    return Scores((), bounds, zero + scale, zero + offset)


def parts(node):
    """Return shift_in, multiplier, shift_out and offset of each column."""
    fields = (node.shift_in, node.multiplier, node.shift_out, node.offset)
    return [tuple(map(int, column)) for column in zip(*fields, strict=True)]


def column_of(magnitude, scale, shift, target):
    """Return the same for one column: the operand's 17 first bits, and the most fraction bits that fit beside them."""
    shift_in = max(magnitude.bit_length() - 17, 0)
    operand = (magnitude >> shift_in) + 1
    factor = scale * target * 2.0**shift_in
    shift_out = max(bits for bits in range(31) if bits == 0 or operand * abs(factor) * 2**bits <= HIGH)
    most = HIGH // operand
    multiplier = max(-most, min(most, round(factor * 2**shift_out)))
    return shift_in, multiplier, shift_out, max(1 - HIGH, min(HIGH - 1, round(shift * target)))


@examples(200)
@given(seed=SEEDS, n_columns=st.integers(1, 4))
def test_a_change_of_scale_keeps_as_many_bits_as_32_hold(seed, n_columns):
    """Shifts, multipliers and offsets are those of the definition, for bounds of any size and scales of either sign."""
    rng = np.random.default_rng(seed)
    ends = np.sort(np.rint(rng.normal(size=(2, n_columns)) * 2.0 ** rng.uniform(0, 26, n_columns)).astype(np.int64), 0)
    magnitude = np.abs(ends).max(axis=0)
    scale, target = rng.normal(size=n_columns), 2.0 ** rng.uniform(-20, 20, n_columns)
    target = np.minimum(target, HIGH / np.maximum(magnitude * np.abs(scale), 1e-9))
    before, after = rng.normal(size=(2, n_columns)) * rng.choice([1.0, 1e9])
    done = rescale(scores_of(*ends, scale, before), target, after, -(2**20), 2**20)
    (node,) = done.steps
    columns = zip(magnitude.tolist(), scale.tolist(), (before - after).tolist(), target.tolist(), strict=True)
    assert parts(node) == [column_of(*column) for column in columns]
    assert (node.low, node.high) == (-(2**20), 2**20)
    np.testing.assert_array_equal(done.scale, 1 / target)
    np.testing.assert_array_equal(done.offset, after)


def test_a_scale_of_nothing_has_a_multiplier_of_nothing():
    """A column that means its offset alone is that offset afterwards."""
    (node,) = rescale(scores_of([-5], [5], 0.0, 3.0), np.full(1, 4.0), np.ones(1), -100, 100).steps
    assert parts(node) == [(0, 0, 30, 8)]


def test_integers_of_17_bits_are_multiplied_as_they_are():
    """One bit more, and the last is dropped before the product."""
    (node,) = rescale(scores_of([0, 0], [2**17 - 1, 2**17], 1.0), np.ones(2), np.zeros(2), 0, 2**20).steps
    assert parts(node) == [(0, 2**13, 13, 0), (1, 2**13, 12, 0)]


def test_offsets_saturate_below_30_bits():
    """However far a score is from the new zero: the sum still fits in 32 bits."""
    (node,) = rescale(scores_of([-1, -1], [1, 1], 1.0, [1e30, -1e30]), np.ones(2), np.zeros(2), -9, 9).steps
    assert node.offset.tolist() == [HIGH - 1, 1 - HIGH]


# ---------------------------------------------------------------- columns that share their shifts


@pytest.mark.parametrize(("scale", "shifts"), [(1.0, [3, 3]), (1.001, [3, 0])])
def test_the_first_shift_is_shared_up_to_four_steps_of_the_result(scale, shifts):
    """A column of few bits then loses 4 steps of the result at most, and no more."""
    scores, target = scores_of([0, -7], [2**20 - 1, 7], scale), np.full(2, 0.5)
    (node,) = rescale(scores, target, np.zeros(2), 0, 2**20, is_common=True).steps
    assert node.shift_in.tolist() == shifts
    (node,) = rescale(scores, target, np.zeros(2), 0, 2**20).steps
    assert node.shift_in.tolist() == [3, 0]


@pytest.mark.parametrize(("scale", "shifts"), [(2.0, [12, 12]), (2.001, [11, 25])])
def test_the_last_shift_is_shared_down_to_12_fraction_bits(scale, shifts):
    """A shared shift is the smallest one; with fewer bits than 12 each column keeps its own."""
    scores = scores_of([0, -7], [2**17 - 1, 7], scale)
    (node,) = rescale(scores, np.ones(2), np.zeros(2), 0, 2**20, is_common=True).steps
    assert node.shift_out.tolist() == shifts
    assert node.multiplier.tolist() == [round(scale * 2**bits) for bits in shifts]


def test_what_counts_is_the_largest_scale_of_either_sign():
    """A negative scale is as coarse as a positive one."""
    scores = scores_of([0, -7], [2**18 - 1, 7], [-2.5, 1.0])
    (node,) = rescale(scores, np.ones(2), np.zeros(2), 0, 2**20, is_common=True).steps
    assert node.shift_in.tolist() == [1, 0]


# ---------------------------------------------------------------- integers far beyond the limits


def test_integers_up_to_30_bits_beyond_take_one_step():
    """At 2**30 times the step a product still fits; the next integer saturates in coarser steps first."""
    for magnitude, n_steps in ((2**20, 1), (2**20 + 1, 2)):
        done = rescale(scores_of([0], [magnitude], 1.0), np.full(1, 2.0**10), np.zeros(1), -100, 100)
        assert len(done.steps) == n_steps


@pytest.mark.parametrize(("factor", "coarser"), [(2.0, 1), (3.0, 2), (4.0, 2), (2.0**20, 14), (2.0**40, 14)])
@pytest.mark.parametrize("is_common", [False, True])
def test_coarser_steps_saturate_first_and_are_made_fine_again(factor, coarser, is_common):
    """As much coarser as the product needs, but never so coarse that the largest result is less than one step."""
    scores = scores_of([-(2**20), -3], [2**20, 3], 1.0, 5.0)
    target = np.full(2, 2.0**10 * factor)
    done = rescale(scores, target, np.full(2, 4.0), -32767, 32767, is_common=is_common)
    first, second = done.steps
    assert (first.low, first.high) == (-32767 >> coarser, 32767 >> coarser)
    assert (second.low, second.high) == (-32767, 32767)
    assert parts(second) == [(0, 1 << coarser, 0, 0)] * 2
    coarse = target / 2.0**coarser
    expected = rescale(scores, coarse, np.full(2, 4.0), first.low, first.high, is_common=is_common).steps[0]
    assert parts(first) == parts(expected)
    np.testing.assert_array_equal(done.scale, 1 / target)
    np.testing.assert_array_equal(done.offset, [4.0, 4.0])


def test_the_magnitude_of_a_negative_score_counts():
    """A column that reaches far below zero alone saturates in coarser steps too, whatever the sign of its scale."""
    for scale in (1.0, -1.0):
        done = rescale(scores_of([-(2**21)], [0], scale), np.full(1, 2.0**10), np.zeros(1), -100, 100)
        assert len(done.steps) == 2


def test_bit_length_is_that_of_python():
    """Powers of two and their neighbours, and zero."""
    numbers = [0, *(2**k + d for k in range(1, 52) for d in (-1, 0, 1))]
    assert bit_length(np.array(numbers)).tolist() == [each.bit_length() for each in numbers]


def test_a_score_is_off_by_a_step_at_most():
    """The middle of the range, its ends, and negative scores, which round as positive ones do: half a step upwards."""
    scores = scores_of([-1000], [1000], 1 / 7)
    (node,) = rescale(scores, np.full(1, 3.0), np.zeros(1), -(2**20), 2**20).steps
    x = np.arange(-1000, 1001)[:, np.newaxis]
    found = requantize(node, x).ravel()
    assert found.tolist() == [math.floor(each * 3 / 7 + 0.5) for each in x.ravel().tolist()]
