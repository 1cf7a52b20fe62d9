"""Regression in integers: one fixed-point scale for all members, around any center and over any range."""

import dataclasses

import numpy as np
import pytest
from small_nodes import constants, layer, regression, rows, stump, votes

from ensemble_1d.ir import Combine
from ensemble_1d.quantization.programs import quantize_program
from ensemble_1d.runtime import run

BITS = {"int4": 4, "int8": 8, "int16": 16}


def quantized(program, X, mode):
    return quantize_program(program, X, mode).program


@pytest.mark.parametrize("center", [0.0, 1.0, -1e3, 1e6, 1e20, -1e20])
@pytest.mark.parametrize("half_range", [0.0, 1e-6, 1.0, 1e6])
@pytest.mark.parametrize("n_rows", [1, 50])
def test_the_scale_of_values_follows_center_and_range(center, half_range, n_rows):
    """Values around any center are off by 2**-13 of their range, and by what 29 bits lose of the center."""
    X = np.linspace(-1, 1, n_rows, dtype=np.float32)[:, np.newaxis]
    program = regression(layer([[half_range]], [center]))
    before = run(program, X)
    found = run(quantized(program, X, "int16"), X)
    assert np.abs(found - before).max() <= 2.0**-12 * half_range + 2.0**-28 * abs(center) + 2.0**-40


@pytest.mark.parametrize("values", [[0.0], [5.0], [-1e6], [1e-3, 1e-3]])
def test_constant_targets(values):
    """A model of one constant gives it for every row, seen or not."""
    program = regression(constants(values, 0.0, np.float64))
    found = run(quantized(program, rows(1, 2), "int8"), rows(1, 2, 1e30, -5))
    np.testing.assert_allclose(found, sum(values), rtol=2.0**-19, atol=1e-9)


@pytest.mark.parametrize("mode", BITS)
@pytest.mark.parametrize("n_trees", [1, 3, 10, 100])
def test_one_calibration_row_is_enough_for_values(n_trees, mode):
    """The range of one row says nothing of the leaves; the row itself keeps its value."""
    numbers = np.arange(n_trees, dtype=np.int32)
    value = np.where(numbers.repeat(2)[:, np.newaxis] % 2, 0.5, -2.0)
    table = votes(n_trees, 0, vector=False)
    program = regression(dataclasses.replace(table, average=False, value=value * table.value))
    X = rows(-1)
    np.testing.assert_allclose(run(quantized(program, X, mode), X), run(program, X), rtol=0.01, atol=1e-6)


def test_members_that_cancel_on_the_calibration_rows():
    """Trees whose values cancel leave no range to scale by: zero stays close to zero."""
    one = stump(0.0, "lt")
    both = dataclasses.replace(
        one,
        feature=np.zeros(2, np.int32),
        threshold=np.zeros(2, np.float32),
        left=np.array([-1, -3], np.int32),
        right=np.array([-2, -4], np.int32),
        default_left=np.zeros(2, np.bool_),
        value=np.concatenate([one.value, -one.value]),
        root=np.array([0, 1], np.int32),
        output=np.zeros(2, np.int32),
    )
    X = rows(-1, 1)
    np.testing.assert_allclose(run(quantized(regression(both), X, "int8"), X), 0, atol=0.02)
    members = (one, dataclasses.replace(one, value=-one.value))
    program = regression(Combine(members=members, weights=np.array([0.5, 0.5]), rule="mean"))
    np.testing.assert_allclose(run(quantized(program, X, "int16"), X), 0, atol=1e-3)
