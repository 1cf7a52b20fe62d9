"""The NumPy runtime against a plain Python oracle, and the integer functions against the real ones.

That integers are right to the last bit is the matter of test_integer_specification.
"""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from integer_strategies import float_rows, integer_programs, quantizer
from oracle import float_row, tree_row
from small_nodes import constants, integer_dense, integer_regression, integer_trees, requantize, stump
from strategies import INF, NAN, SEEDS, examples, inputs, programs, tree_tables

from ensemble_1d import runtime
from ensemble_1d.errors import InvalidProgramError
from ensemble_1d.ir import (
    Affine,
    Combine,
    Concat,
    Dense,
    IntegerCombine,
    IntegerLink,
    IntegerLog,
    Link,
    Log,
    Program,
    Select,
)
from ensemble_1d.ir.fixed_point import EXP2_TABLE, LOG2_TABLE
from ensemble_1d.runtime import combine_outputs, evaluate, leaves_of_rows, run, run_codes
from ensemble_1d.runtime_integer import affine_step, exp2_negative, link, log2_probability, normalise, quantize

ONE = 2**15


# ---------------------------------------------------------------- float


@examples(150)
@given(data=st.data())
def test_trees_equal_the_oracle_to_the_last_bit(data):
    """Ties, NaN, infinities, shared leaves and the order and dtype of additions are those of the oracle."""
    n_outputs = data.draw(st.integers(1, 3))
    leaves = data.draw(st.sampled_from(["scalar", "vector"]))
    table = data.draw(tree_tables(2, n_outputs, leaves=leaves, scales=(1.0, 1e30)))
    X = float_rows(2, np.random.default_rng(data.draw(SEEDS)), 20)
    X[np.isnan(X)] = NAN  # Random bits may be a signalling NaN, of which NumPy warns when it compares in float64.
    X[:5] = data.draw(st.sampled_from([NAN, INF, -INF, np.float32(0.5)]))
    if len(table.threshold):
        X[5:10, 0] = table.threshold[:5].astype(np.float32)[0]
    found = evaluate(table, X)
    assert found.dtype == table.value.dtype
    np.testing.assert_array_equal(found, [tree_row(table, row) for row in X])


@examples(100)
@given(data=st.data())
def test_programs_equal_the_oracle(data):
    """Whole float programs agree with the oracle; 1e-9 allows for another order of additions in matrix products."""
    program = data.draw(programs())
    X = data.draw(inputs(program, max_rows=8))
    expected = np.array([float_row(program.root, row) for row in X], np.float64)
    found = run(program, X)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9 * max(1.0, np.abs(expected).max()))


@pytest.mark.parametrize(("comparison", "on_a_tie"), [("le", 1.0), ("lt", 2.0)])
def test_a_tie_goes_left_for_le_and_right_for_lt(comparison, on_a_tie):
    """The comparison decides rows that lie on the threshold."""
    table = stump(0.5, comparison)
    below, above = np.nextafter(np.float32(0.5), -INF), np.nextafter(np.float32(0.5), INF)
    assert evaluate(table, np.array([[below], [0.5], [above]], np.float32)).ravel().tolist() == [1.0, on_a_tie, 2.0]


def test_float32_is_compared_with_the_float64_threshold():
    """A "le" threshold is not rounded: 0.1 in float32 is above 0.1 in float64."""
    assert evaluate(stump(0.1, "le"), np.array([[0.1]], np.float32)).item() == 2.0
    assert evaluate(stump(float(np.float32(0.1)), "le"), np.array([[0.1]], np.float32)).item() == 1.0


@pytest.mark.parametrize("comparison", ["le", "lt"])
@pytest.mark.parametrize("default_left", [True, False])
def test_missing_values_go_where_default_left_says(comparison, default_left):
    """NaN ignores the threshold, even an infinite one."""
    for threshold in (0.0, np.inf, -np.inf):
        table = stump(threshold, comparison, default_left)
        assert evaluate(table, np.array([[NAN]])).item() == (1.0 if default_left else 2.0)


def test_infinite_thresholds_send_every_number_one_way():
    """Nothing but infinity itself is beyond an infinite threshold."""
    X = np.array([[-INF], [-3e38], [0], [3e38], [INF]], np.float32)
    assert evaluate(stump(np.inf, "le"), X).ravel().tolist() == [1, 1, 1, 1, 1]
    assert evaluate(stump(np.inf, "lt"), X).ravel().tolist() == [1, 1, 1, 1, 2]
    assert evaluate(stump(-np.inf, "le"), X).ravel().tolist() == [1, 2, 2, 2, 2]
    assert evaluate(stump(-np.inf, "lt"), X).ravel().tolist() == [2, 2, 2, 2, 2]


def test_leaves_are_added_to_the_bias_in_order_and_in_their_dtype():
    """In float32, (2**24 + 1) + 1 loses both ones, and 2**24 + 2 would not."""
    X = np.zeros((1, 1), np.float32)
    assert evaluate(constants([1.0, 1.0], 2.0**24, np.float32), X).item() == 2.0**24
    assert evaluate(constants([1.0, 1.0], 2.0**24, np.float64), X).item() == 2.0**24 + 2
    assert evaluate(constants([1.0, 1.0, 2.0**24], 0.0, np.float32), X).item() == 2.0**24 + 2


def test_the_average_divides_bias_and_leaves_by_the_number_of_trees():
    """The average of a bias of 6 and leaves 1 and 2 in two trees is 9 / 2."""
    table = constants([1.0, 2.0], 6.0, np.float32, average=True)
    assert evaluate(table, np.zeros((1, 1), np.float32)).item() == 4.5


def test_blocks_of_rows_do_not_change_the_answers(monkeypatch):
    """Rows are walked in blocks; one row at a time gives the same sums."""
    program = Program(n_features=1, task="regression", root=stump(0.0, "lt"))
    X = np.linspace(-1, 1, 50, dtype=np.float32)[:, np.newaxis]
    whole = run(program, X)
    monkeypatch.setattr(runtime, "_BLOCK", 1)
    np.testing.assert_array_equal(run(program, X), whole)
    assert whole.ravel().tolist() == [1.0] * 25 + [2.0] * 25


def test_leaves_of_rows_reports_every_decision():
    """`visit` sees each row at each node it stands at, and the leaf follows from it."""
    seen = []
    X = np.array([[-1.0], [1.0]], np.float32)
    leaves = leaves_of_rows(
        stump(0.0, "lt"), X, lambda *each: seen.extend(zip(*(a.tolist() for a in each), strict=True))
    )
    assert leaves.tolist() == [[0], [1]]
    assert seen == [(0, 0, True), (1, 0, False)]


def test_affine_subtracts_before_it_multiplies_in_float32():
    """2**24 + 1 is no float32: the difference is rounded before the product."""
    node = Affine(offset=np.array([-1.0], np.float32), scale=np.array([3.0], np.float32))
    found = evaluate(node, np.array([[2.0**24]], np.float32))
    assert (found.dtype, found.item()) == (np.float32, 3 * 2.0**24)


def test_dense_computes_in_float64():
    """2**24 + 1 survives; relu cuts at zero."""
    layer = Dense(weight=np.ones((2, 1), np.float32), bias=np.array([1, -(2.0**25)], np.float32), activation="relu")
    assert evaluate(layer, np.array([[2.0**24]], np.float32)).tolist() == [[2.0**24 + 1, 0.0]]


@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_links_stay_finite_and_sum_to_one(kind):
    """Scores of 1e4 neither overflow nor lose the smaller probability's digits."""
    scores = np.array([[1e4], [-1e4], [0.0], [700.0], [-700.0]])
    X = scores if kind == "sigmoid" else np.hstack([np.zeros_like(scores), scores])
    found = evaluate(Link(kind=kind), X)
    np.testing.assert_allclose(found.sum(axis=1), 1, rtol=1e-15)
    np.testing.assert_allclose(found[:, 1], [1, 0, 0.5, 1, np.exp(-700.0)], rtol=1e-12)


def test_votes_go_to_the_first_of_equal_classes():
    """A member whose largest output is shared votes for the lower index, and members vote with their weight."""
    outputs = [np.array([[0.4, 0.4, 0.2]]), np.array([[0.1, 0.1, 0.8]]), np.array([[0.0, 0.5, 0.5]])]
    assert combine_outputs("vote", np.array([0.5, 0.3, 0.2]), outputs).tolist() == [[0.5, 0.2, 0.3]]
    members = tuple(Select(column=np.array([i, i], np.int32)) for i in range(2))
    node = Combine(members=members, weights=np.array([0.25, 0.75]), rule="mean")
    assert evaluate(node, np.array([[1.0, 2.0]])).tolist() == [[1.75, 1.75]]


def test_logarithms_stop_at_the_floor_and_are_scaled():
    """Zero and what is below the floor count as the floor, in float64 though the input be float32."""
    x = np.array([[0.0, 1e-9, 0.25, 0.5, 1.0]], np.float32)
    found = evaluate(Log(floor=0.25, scale=2.0), x)
    assert found.dtype == np.float64
    np.testing.assert_allclose(found, 2 * np.log([[0.25, 0.25, 0.25, 0.5, 1.0]]), rtol=1e-15)
    smallest = evaluate(Log(floor=5e-324), x)
    assert np.isfinite(smallest).all()
    assert smallest[0, 0] < -744


def test_members_stand_side_by_side_in_order():
    """Their widths may differ, and float64 outputs keep their digits beside float32 ones."""
    last = Select(column=np.array([1], np.int32))
    layer = Dense(weight=np.array([[1.0, 0], [0, 3]], np.float32), bias=np.full(2, 0.1, np.float32), activation="relu")
    x = np.array([[2.0**24, -1.0], [5.0, 7.0]], np.float32)
    found = evaluate(Concat(members=(last, layer, last)), x)
    tenth = float(np.float32(0.1))
    assert found.tolist() == [[-1, 2.0**24 + tenth, 0, -1], [7, 5 + tenth, 21 + tenth, 7]]


# ---------------------------------------------------------------- integer


@examples(50)
@given(program=integer_programs(), seed=SEEDS)
def test_run_applies_the_scale_to_the_integers(program, seed):
    """`run` quantizes the rows, computes in int64 and scales exactly."""
    X = float_rows(program.n_features, np.random.default_rng(seed), 12)
    first, _, last = program.integer_parts()
    found = run_codes(program, quantize(first, X))
    assert (found.dtype, run(program, X).dtype) == (np.int64, np.float64)
    np.testing.assert_array_equal(run(program, X), np.ldexp(found.astype(float), -last.fraction_bits))


def test_a_code_counts_whole_steps():
    """Rounded down, one on the step itself, 0 below the range and for what is no number, and the most beyond it."""
    x, one = np.array([-1, 0, 0.5, 1, 1.5, 2, 99, INF, -INF, NAN], np.float32), np.float32(1)
    found = affine_step(x, np.zeros(10, np.float32), np.full(10, one), np.float32(9))
    assert found.dtype == np.int32
    assert found.tolist() == [0, 0, 0, 1, 1, 2, 9, 9, 0, 0]


def test_integers_have_64_bits_even_where_they_are_the_codes():
    """A program that hands a code on answers in int64, as every other does."""
    program = integer_regression(Select(column=np.array([0], np.int32)))
    found = run_codes(program, np.array([[-32767]], np.int16))
    assert (found.dtype, found.tolist()) == (np.int64, [[-32767]])


def test_codes_are_of_float32_rows():
    """A row in float64 counts as the nearest float32, as a device would get it: just below one is one."""
    program = integer_regression(integer_dense([[1]], [0]))
    assert run(program, np.array([[1 - 1e-12]])).item() == 1 - 32767


@pytest.mark.parametrize(("narrow", "ends"), [(False, (-32767, 32767)), (True, (0, 255))])
def test_input_codes_saturate_and_do_not_decrease(narrow, ends):
    """Codes rise with the value, from -32767 to 32767 or from 0 to 255, infinities included."""
    node = dataclasses.replace(quantizer(np.random.default_rng(0), 1, 0, missing=False), narrow=np.array([narrow]))
    assert not node.is_rank().any()
    x = np.sort(np.concatenate([[-np.inf, np.inf], np.random.default_rng(1).normal(size=999) * 1e6])).astype(np.float32)
    codes = quantize(node, x[:, np.newaxis]).ravel()
    assert (codes[0], codes[-1]) == ends
    assert (np.diff(codes.astype(int)) >= 0).all()


@pytest.mark.parametrize(
    "node",
    [
        integer_dense([[3, -2]], [1]),
        integer_trees([(0, 5)]),
        requantize(2),
        IntegerLink(kind="softmax"),
        IntegerLog(floor=1),
        IntegerCombine(members=(requantize(2),), weights=np.array([ONE], np.int32), rule="mean"),
        IntegerCombine(members=(requantize(2),), weights=np.array([ONE], np.int32), rule="vote"),
    ],
    ids=lambda node: type(node).__name__,
)
def test_integer_nodes_give_integers_of_64_bits(node):
    """No sum passes through a float, whatever comes next."""
    assert evaluate(node, np.array([[1, 2]], np.int16)).dtype == np.int64


@pytest.mark.parametrize("kind", ["sigmoid", "complement"])
def test_links_of_one_column_give_integers_of_64_bits(kind):
    """Both columns of the result."""
    assert evaluate(IntegerLink(kind=kind), np.array([[1]], np.int16)).dtype == np.int64


def test_run_codes_refuses_a_float_program():
    """Only an integer program takes codes."""
    program = Program(n_features=1, task="regression", root=stump(0.0, "lt"))
    with pytest.raises(InvalidProgramError, match="float"):
        run_codes(program, np.zeros((1, 1), np.int16))


def test_exp2_negative_is_close_and_monotone_over_its_whole_range():
    """Every distance to 2**-18: within 6e-5 of the exact power, never rising, 1 at 0 and 0 at the end."""
    distance = np.arange(18 * 4096)
    found = exp2_negative(distance)
    assert np.abs(found / ONE - 2.0 ** (-distance / 4096)).max() < 6e-5
    assert (np.diff(found) <= 0).all()
    assert (found[0], found[-1]) == (ONE, 0)
    assert exp2_negative(np.array([2**29, 2**31 - 1])).tolist() == [0, 0]
    assert exp2_negative(4096 * np.arange(16)).tolist() == [2 ** (15 - i) for i in range(16)]
    assert len(EXP2_TABLE) == 33


@examples(100)
@given(total=st.integers(ONE, 2**31 - 1), part=st.integers(0, ONE))
def test_normalise_is_close_to_the_quotient(total, part):
    """Within 2.5 steps of 2**-15: one for the bits dropped of the total, one for the reciprocal, half for rounding."""
    found = int(normalise(np.array([part]), np.array([total]))[0])
    assert abs(found - part * ONE / total) <= 2.5
    assert 0 <= found <= ONE


@examples(100)
@given(scores=st.lists(st.integers(-(2**28), 2**28) | st.integers(-20000, 20000), min_size=2, max_size=6))
def test_integer_softmax_is_close_to_the_real_one(scores):
    """Within 1e-4 of softmax in base 2, extreme logits included; equal logits have equal probabilities."""
    found = link(IntegerLink(kind="softmax"), np.array([scores]))[0]
    real = 2.0 ** ((np.array(scores) - max(scores)) / 4096)
    assert np.abs(found / ONE - real / real.sum()).max() < 1e-4
    assert found.argmax() == np.argmax(scores)
    assert all(found[i] == found[j] for i in range(len(scores)) for j in range(i) if scores[i] == scores[j])
    assert (np.diff(found[np.argsort(scores)]) >= 0).all()


def test_integer_softmax_of_many_equal_classes():
    """Of n equal logits each class gets 1 / n, within 2.5 steps."""
    for n in (2, 3, 10, 1000):
        found = link(IntegerLink(kind="softmax"), np.full((1, n), -7))
        assert np.abs(found - ONE / n).max() <= 2.5
        assert len(np.unique(found)) == 1


def test_integer_sigmoid_is_close_symmetric_and_monotone():
    """Within 1e-4 of the logistic function in base 2; 0 is an exact tie; p(-x) = 1 - p(x); rows sum to one."""
    scores = np.concatenate([np.arange(-70000, 70001, 7), [-(2**28), 2**28, -1, 0, 1]])[:, np.newaxis]
    found = link(IntegerLink(kind="sigmoid"), scores)
    real = 1 / (1 + 2.0 ** np.clip(-scores / 4096, -1000, 1000))
    assert np.abs(found[:, 1:] / ONE - real).max() < 1e-4
    assert (found.sum(axis=1) == ONE).all()
    assert (np.diff(found[:20001, 1]) >= 0).all()
    np.testing.assert_array_equal(link(IntegerLink(kind="sigmoid"), -scores)[:, ::-1], found)
    assert found[-5:, 1].tolist()[:2] == [0, ONE]
    assert found[-2].tolist() == [ONE // 2, ONE // 2]


def test_integer_logarithm_is_close_and_monotone_over_its_whole_range():
    """Every Q15 probability: within 2.9e-4 of the exact logarithm, never falling, and exact at powers of two."""
    probability = np.arange(1, ONE + 1)
    found = log2_probability(IntegerLog(floor=1), probability[:, np.newaxis])[:, 0]
    assert np.abs(found / 4096 - np.log2(probability / ONE)).max() < 2.9e-4
    assert (np.diff(found) >= 0).all()
    powers = 2 ** np.arange(16)
    assert found[powers - 1].tolist() == [4096 * (i - 15) for i in range(16)]
    assert (len(LOG2_TABLE), LOG2_TABLE[0], LOG2_TABLE[-1]) == (33, 0, 4096)


@pytest.mark.parametrize("floor", [1, 2, 3, 1000, ONE - 1, ONE])
def test_integer_logarithm_stops_at_the_floor(floor):
    """Below the floor, zero included, it is that of the floor; above it nothing changes."""
    probability = np.arange(ONE + 1)[:, np.newaxis]
    found = log2_probability(IntegerLog(floor=floor), probability)
    whole = log2_probability(IntegerLog(floor=1), probability)
    assert (found[:floor] == whole[floor]).all()
    np.testing.assert_array_equal(found[floor:], whole[floor:])


def test_integer_votes_go_to_the_first_of_equal_classes():
    """The lower index wins a tie, and weights count in Q15."""
    members = tuple(Select(column=np.array(columns, np.int32)) for columns in ([0, 0, 0], [0, 1, 1], [1, 0, 1]))
    node = IntegerCombine(members=members, weights=np.array([16384, 8192, 8192], np.int32), rule="vote")
    assert evaluate(node, np.array([[1, 5]], np.int16)).tolist() == [[16384 + 8192, 8192, 0]]
