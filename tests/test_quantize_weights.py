"""Weights of members and shares of leaves in integers: sums are exact, and equal ones stay equal."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from small_nodes import classification, layer, regression, rows, stump
from strategies import examples

from ensemble_1d.ir import Chain, Combine, IntegerCombine, Link, Select, descendants
from ensemble_1d.quantization.fixed_point_scales import apportion
from ensemble_1d.quantization.programs import quantize_program
from ensemble_1d.runtime import run


def quantized(program, X, mode):
    return quantize_program(program, X, mode).program


def test_weights_of_values_sum_to_exactly_one():
    """Thirds become 10923, 10923 and 10922: a mean of equal values is that value."""
    members = (stump(0.0, "lt"),) * 3
    program = regression(Combine(members=members, weights=np.full(3, 1 / 3), rule="mean"))
    combined = next(
        node for node in descendants(quantized(program, rows(-1, 1), "int16").root) if isinstance(node, IntegerCombine)
    )
    assert combined.weights.tolist() == [10923, 10923, 10922]


@pytest.mark.parametrize("rule", ["mean", "vote"])
def test_equal_members_keep_equal_weights_for_classes(rule):
    """Three equal members that each prefer another class draw, in integers as in float: the first class wins."""
    members = [
        Chain(
            steps=(Select(column=np.array(columns, np.int32)), layer(np.eye(3) * 9, np.zeros(3)), Link(kind="softmax"))
        )
        for columns in ([0, 1, 2], [1, 2, 0], [2, 0, 1])
    ]
    X = np.eye(3, dtype=np.float32)
    for order in ([0, 1, 2], [2, 1, 0]):
        chosen = tuple(members[i] for i in order)
        root = Combine(members=chosen, weights=np.full(3, 1 / 3), rule=rule, names=("a", "b", "c"))
        integer = quantized(classification(root, classes=np.arange(3), n_features=3), X, "int16")
        combined = next(node for node in descendants(integer.root) if isinstance(node, IntegerCombine))
        assert len(set(combined.weights.tolist())) == 1
        assert combined.names == ("a", "b", "c")
        assert run(integer, X).argmax(axis=1).tolist() == [0, 0, 0]


@examples(200)
@given(shares=st.lists(st.floats(0, 1e6), min_size=1, max_size=12), total=st.sampled_from([3, 255, 32768, 65535]))
def test_apportion_rounds_each_share_by_less_than_one(shares, total):
    """The integers sum to the total, lie within one of the exact share, and keep the order of the shares."""
    assume(sum(shares) > 0)
    found = apportion(np.array(shares), total)
    exact = np.array(shares) / sum(shares) * total
    assert found.sum() == total
    assert (found >= 0).all()
    assert np.abs(found - exact).max() < 1 + 1e-6
    larger = np.subtract.outer(exact, exact) > 1e-6
    assert (np.subtract.outer(found, found)[larger] >= 0).all()


def test_apportion_of_rows_and_of_equal_remainders():
    """Each row has the total; equal remainders favour the lower index, rounding noise or not."""
    assert apportion(np.array([[0.5, 0.5], [0.1 + 0.2, 0.7]]), 255).tolist() == [[128, 127], [77, 178]]
    assert apportion(np.array([0.1 + 0.2, 0.3, 0.4]), 5).tolist() == [2, 1, 2]


def test_apportion_of_many_equal_remainders_favours_the_first():
    """Of 400 shares of 1.5, the first 200 get one more after the 200 of 1.75: the total has no more left over."""
    shares = np.tile([1.5, 1.25, 1.5, 1.75], (2, 200))
    found = apportion(shares, 1200)
    expected = 1 + (shares == 1.75) + ((shares == 1.5) & (np.cumsum(shares == 1.5, axis=1) <= 200))
    assert found.dtype == np.int64
    np.testing.assert_array_equal(found, expected)
