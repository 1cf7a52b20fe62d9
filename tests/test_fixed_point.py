"""The conventions that headers already exported rely on: codes, fraction bits, and every entry of the two tables."""

import math

import pytest

from ensemble_1d.ir import fixed_point
from ensemble_1d.ir.fixed_point import EXP2_TABLE, LOG2_TABLE

# Written down, not computed: another entry, on whatever platform, would part Python from every header in the field.
POWERS = """
    32768 32065 31378 30705 30048 29404 28774 28157 27554 26963 26385 25820 25267 24725 24196 23677 23170
    22673 22187 21712 21247 20792 20346 19910 19483 19066 18657 18258 17866 17484 17109 16742 16384
"""
LOGARITHMS = """
    0 182 359 530 696 858 1016 1169 1319 1465 1607 1746 1882 2015 2145 2272 2396
    2518 2637 2754 2869 2982 3092 3201 3307 3412 3514 3615 3715 3812 3908 4003 4096
"""


def test_the_tables_are_those_of_every_header():
    """Both are computed when the module is loaded, and always to the same integers."""
    written = tuple(map(int, POWERS.split())), tuple(map(int, LOGARITHMS.split()))
    assert written == (EXP2_TABLE, LOG2_TABLE)
    assert (fixed_point._exp2_table(), fixed_point._log2_table()) == written


@pytest.mark.parametrize("i", range(33))
def test_inner_entries_are_corrected_by_half_the_error_of_a_chord(i):
    """Lowered for the convex power, raised for the concave logarithm, and not at the ends."""
    h, inner = 1 / 32, 0 < i < 32
    power, curvature = 2.0 ** (15 - i * h), math.log(2) ** 2
    assert EXP2_TABLE[i] == round(power - inner * power * h**2 / 8 * curvature / 2)
    logarithm, curvature = math.log2(1 + i * h), 1 / (math.log(2) * (1 + i * h) ** 2)
    assert LOG2_TABLE[i] == round(2**12 * (logarithm + inner * h**2 / 8 * curvature / 2))


def test_codes_and_scales_are_those_of_every_header():
    """A saved program and a generated header hold integers in these units."""
    codes = (fixed_point.MISSING_CODE, fixed_point.CODE_LOW, fixed_point.CODE_HIGH, fixed_point.NARROW_HIGH)
    assert codes == (-32768, -32767, 32767, 255)
    assert fixed_point.CODE_STEPS == 65534
    bits = (fixed_point.PROBABILITY_BITS, fixed_point.LOGIT_BITS, fixed_point.EXP2_BITS, fixed_point.LOG2_BITS)
    assert bits == (15, 12, 5, 5)
    assert fixed_point.INT32_MAX == 2147483647
