"""Input codes: every split decision of the calibration rows is kept, and with rank codes that of any row."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from integer_strategies import float_rows
from small_nodes import dense, regression, rows, stump
from split_decisions import assert_same_decisions, forest
from strategies import (
    FLOAT32_MAX,
    INF,
    MODES,
    NAN,
    SEEDS,
    SUBNORMAL,
    examples,
    inputs,
    programs,
    tables_of,
    tree_tables,
)

from ensemble_1d.ir import Combine, Dense
from ensemble_1d.quantization.cuts import TreeUse
from ensemble_1d.quantization.inputs import choose_codes
from ensemble_1d.quantization.programs import quantize_program
from ensemble_1d.runtime import run
from ensemble_1d.runtime_integer import quantize

# ---------------------------------------------------------------- calibration rows


@examples(250)
@given(data=st.data())
def test_calibration_rows_take_the_same_way_through_every_tree(data):
    """Exact by construction: ties, NaN, duplicates, constants, extremes, single rows, and networks beside the trees."""
    program = data.draw(programs())
    X = data.draw(inputs(program))
    done = quantize_program(program, X, data.draw(MODES))
    assert_same_decisions(program, done, X)
    assert done.codes.n_inexact_splits == 0
    assert done.codes.n_splits == sum(len(table.feature) for table, _ in tables_of(program))
    assert np.isfinite(run(done.program, X)).all()


@pytest.mark.parametrize("magnitude", [FLOAT32_MAX, 1e30, 1.0, 1e-30, 1e-38, SUBNORMAL])
@pytest.mark.parametrize("comparison", ["le", "lt"])
def test_any_magnitude_is_exact(magnitude, comparison):
    """From the largest float32 to subnormals, every threshold between or on two values still parts them."""
    values = (np.array([-1, -0.5, -0.25, 0, 0.125, 0.5, 1]) * np.float64(magnitude)).astype(np.float32)
    thresholds = np.concatenate([values, (values[1:].astype(np.float64) + values[:-1]) / 2])
    program = regression(forest(thresholds, comparison))
    done = quantize_program(program, rows(*values), "int8")
    assert_same_decisions(program, done, rows(*values))


def test_a_column_without_values_has_codes():
    """Where every calibration value is missing, NaN still goes by default, and numbers by the threshold."""
    program = regression(forest([1.0, 2.0], "lt", [0, 1]), n_features=2)
    X = np.array([[NAN, 5], [NAN, 1]], np.float32)
    done = quantize_program(program, X, "int8")
    assert_same_decisions(program, done, X)
    assert_same_decisions(program, done, np.array([[0, 5], [2, 1]], np.float32))


def test_a_column_that_nothing_reads_has_codes():
    """An empty range, a constant and an unused feature are quantized all the same."""
    program = regression(forest([1.0], "lt", [1]), n_features=3)
    X = np.array([[7, 0, NAN], [7, 2, NAN]], np.float32)
    done = quantize_program(program, X, "int8")
    assert_same_decisions(program, done, X)
    assert done.codes.node.n_columns == 3


@examples(100)
@given(data=st.data(), seed=SEEDS)
def test_on_a_grid_unseen_combinations_are_exact_too(data, seed):
    """Where all values are known, a cut lies between the two around its threshold, whichever rows reach its node.

    Here thresholds lie on values, or so close beside them that they share their code.
    """
    table = data.draw(tree_tables(3))
    rng = np.random.default_rng(seed)
    X = (rng.integers(-6, 7, (12, 3)) / 4).astype(np.float32)
    near = rng.choice(X.ravel(), len(table.threshold))
    near = np.choose(rng.integers(0, 3, len(near)), [near, np.nextafter(near, INF), np.nextafter(near, -INF)])
    table = dataclasses.replace(table, threshold=near.astype(table.threshold.dtype))
    program = regression(table, n_features=3)
    done = quantize_program(program, X, "int8")
    assert_same_decisions(program, done, rng.permuted(X, axis=0))
    assert not done.codes.node.is_rank().any()
    # Compact cuts move to a grid that few bytes hold, but never out of the gap between the rows that they part.
    assert_same_decisions(program, quantize_program(program, X, "int8", compact=True), X)


@pytest.mark.parametrize("comparison", ["le", "lt"])
def test_values_far_beyond_the_calibration_rows_saturate_on_the_right_side(comparison):
    """A threshold beyond all values has a margin around it: what lies on it or beyond goes its own way."""
    program = regression(forest([10.0, -10.0], comparison))
    done = quantize_program(program, rows(-1, 1), "int8")
    assert_same_decisions(program, done, rows(-FLOAT32_MAX, -11, -10, -9, 0, 9, 10, 11, FLOAT32_MAX))


@pytest.mark.parametrize("comparison", ["le", "lt"])
def test_infinite_thresholds_send_every_number_one_way(comparison):
    """Nothing finite is beyond them, however it saturates; a missing value goes by default."""
    program = regression(forest([np.inf, -np.inf, 0.0], comparison))
    for X in (rows(-1, 0, 1), rows(-1, 0, 1, NAN)):
        done = quantize_program(program, X, "int8")
        assert_same_decisions(program, done, np.concatenate([X, rows(FLOAT32_MAX, -FLOAT32_MAX)]))


# ---------------------------------------------------------------- affine ranges

NONE = np.empty(0, np.int64)


def ranges(X, tables=(), network_features=NONE):
    """Return start and width of the range of each affine code."""
    uses = [TreeUse(table, table.feature.astype(np.int64)) for table in tables]
    node = choose_codes(X, uses, network_features).node
    assert not node.is_rank().any()
    assert not node.narrow.any()
    return node.offset.tolist(), (65534 / node.scale.astype(np.float64)).tolist()


def test_a_range_holds_values_and_thresholds_with_room_on_either_side():
    """A 64th of it for trees, the whole of it for a network; an infinite threshold does not count."""
    X = np.column_stack([rows(-1, 3, 2), rows(10, 30, 20)])
    tree = forest([5.0, -np.inf, 25.0, np.inf], "le", [0, 0, 1, 1])
    offset, width = ranges(X, [tree])
    np.testing.assert_allclose(offset, [-1 - 6 / 64, 10 - 20 / 64], rtol=1e-6)
    np.testing.assert_allclose(width, [6 * 66 / 64, 20 * 66 / 64], rtol=1e-6)
    offset, width = ranges(X, [tree], np.array([1]))
    np.testing.assert_allclose(offset, [-1 - 6 / 64, 10 - 20], rtol=1e-6)
    np.testing.assert_allclose(width, [6 * 66 / 64, 20 * 3], rtol=1e-6)


def test_a_constant_has_a_range_that_float32_resolves():
    """A 1024th of the constant, and 2**-100 around zero; values that are all missing count as zero."""
    X = np.column_stack([rows(-1000, -1000), rows(0, 0), rows(NAN, NAN)])
    offset, width = ranges(X)
    room = 1 / 64
    spans = [1000 / 1024, 2.0**-100, 2.0**-100]
    np.testing.assert_allclose(offset, [-1000 - spans[0] * room, *(-span * room for span in spans[1:])], rtol=1e-6)
    np.testing.assert_allclose(width, [span * (1 + 2 * room) for span in spans], rtol=1e-6)


def test_a_range_starts_within_float32():
    """Its room below the smallest number would lie beyond; no infinity is stored."""
    offset, _ = ranges(rows(-FLOAT32_MAX, -FLOAT32_MAX / 2), (), np.array([0]))
    assert offset == [-FLOAT32_MAX]


@pytest.mark.parametrize(("ratio", "is_heavy"), [(15.0, False), (17.0, True)])
@pytest.mark.parametrize("magnitude", [1e-3, 1e3])
def test_a_tail_is_cut_off_where_it_stretches_the_range_of_a_network_16_times(ratio, is_heavy, magnitude):
    """The outermost 0.1 % on either side then saturate; for trees alone, every value counts."""
    column = np.linspace(magnitude, 2 * magnitude, 5001)
    core = np.percentile(column.astype(np.float32).astype(np.float64), [0.1, 99.9])
    column[-1] = core[0] + ratio * (core[1] - core[0])
    X = np.column_stack([column, column, rows(*np.zeros(5001)).ravel(), np.linspace(0, 7, 5001)]).astype(np.float32)
    low, high = float(X[:, 1].min()), float(X[:, 1].max())
    offset, width = ranges(X, (), np.array([0]))
    start, end = core if is_heavy else (low, high)
    np.testing.assert_allclose([offset[0], width[0]], [2 * start - end, 3 * (end - start)], rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose([offset[1], width[1]], [low - (high - low) / 64, (high - low) * 66 / 64], rtol=1e-5)
    np.testing.assert_allclose([offset[3], width[3]], [-7 / 64, 7 * 66 / 64], rtol=1e-5)


def test_a_tail_of_exactly_16_times_is_kept():
    """Only what stretches the range further than that is cut off."""
    _, width = ranges(rows(*np.repeat([0.0, 1.0], 1000), 16.0), (), np.array([0]))
    np.testing.assert_allclose(width, [48.0], rtol=1e-6)


def test_codes_are_wide_unless_compact_ones_are_asked_for():
    """A byte would be enough for this one split."""
    X, use = rows(0, 1), TreeUse(forest([0.5], "le"), np.zeros(1, np.int64))
    assert not choose_codes(X, [use], NONE).node.narrow.any()
    assert choose_codes(X, [use], NONE, compact=True).node.narrow.all()


def test_thresholds_in_a_tail_that_is_cut_off_do_not_stretch_the_range_again():
    """The trees get ranks where they need them."""
    column = np.append(np.linspace(0, 1, 5000), 1e6).astype(np.float32)[:, np.newaxis]
    _, width = ranges(column, [forest([5e5], "le")], np.array([0]))
    assert width[0] < 3.1


def test_a_feature_of_one_value_and_outliers_keeps_its_range():
    """Its inner values have no range that could be kept instead."""
    X = rows(*np.zeros(5000), 8.0)
    _, width = ranges(X, (), np.array([0]))
    np.testing.assert_allclose(width, [24.0], rtol=1e-6)


def test_members_read_their_own_parts_of_compact_codes():
    """Three tables of one, two and three splits: columns and cuts are those of each, and none is inexact."""
    tables = forest([0.5], "le"), forest([1.5, 0.5], "lt", [1, 0]), forest([2.5, 0.5, 1.5], "le", [1, 1, 0])
    program = regression(Combine(members=tables, weights=np.full(3, 1 / 3), rule="mean"), n_features=2)
    X = np.stack(np.meshgrid(range(4), range(4)), -1).reshape(-1, 2).astype(np.float32)
    done = quantize_program(program, X, "int8", compact=True)
    assert_same_decisions(program, done, X)
    assert done.codes.node.narrow.all()
    assert [len(each) for each in done.codes.column] == [len(each) for each in done.codes.cut] == [1, 2, 3]
    assert {each.dtype.name for each in done.codes.cut} == {"int16"}
    assert (done.codes.n_splits, done.codes.n_inexact_splits) == (6, 0)


# ---------------------------------------------------------------- rank codes


@examples(60)
@given(data=st.data())
def test_a_shared_code_gives_ranks_that_are_exact_for_any_row(data):
    """Neighbours parted by a split share an affine code here: the trees read ranks, right for every float32."""
    comparison = data.draw(st.sampled_from(["le", "lt"]))
    rng = np.random.default_rng(data.draw(SEEDS))
    thresholds = rng.normal(size=data.draw(st.integers(1, 12)))
    features = rng.integers(0, 2, len(thresholds))
    program = regression(forest(thresholds, comparison, features), n_features=2)
    near = thresholds.astype(np.float32)
    X = np.concatenate([near, np.nextafter(near, -INF), np.nextafter(near, INF), rows(1e30, -1e30).ravel()])
    X = np.column_stack([X, X])
    has_missing = data.draw(st.booleans())
    X[-1] = NAN if has_missing else X[-1]
    done = quantize_program(program, X, "int8")
    others = float_rows(2, rng, 60)
    others[:20] = rng.choice(X[np.isfinite(X)], (20, 2))
    others[np.isnan(others)] = NAN if has_missing else 0.0
    assert done.codes.node.is_rank()[np.unique(features)].all()
    assert done.codes.node.n_columns == 2
    assert_same_decisions(program, done, X)
    assert_same_decisions(program, done, others)


def test_no_shared_code_needs_no_rank():
    """Values apart by more than a code keep their one affine column."""
    done = quantize_program(regression(forest([0.5, 1.5], "le")), rows(0, 1, 2), "int8")
    assert not done.codes.node.is_rank().any()
    assert len(done.codes.node.thresholds) == 0


def test_one_shared_code_gives_all_trees_of_that_comparison_the_rank():
    """A rank column holds each distinct threshold of the feature once, ascending."""
    X = rows(0, np.nextafter(np.float32(0), INF), 1e6)
    done = quantize_program(regression(forest([5.0, 0.0, 5.0, -3.0], "le")), X, "int8")
    assert done.codes.node.thresholds.tolist() == [-3, 0, 5]
    assert (done.codes.node.offset.tolist(), done.codes.node.scale.tolist()) == ([0], [0])
    assert quantize(done.codes.node, rows(-9, -3, -2, 0, 1, 5, 6)).ravel().tolist() == [
        code - 32767 for code in (0, 0, 1, 1, 2, 2, 3)
    ]


def test_both_comparisons_on_one_feature_have_ranks_of_their_own():
    """A row on a threshold lies left of "le" and right of "lt": two columns."""
    tables = (forest([0.0], "le"), forest([0.0], "lt"))
    program = regression(Combine(members=tables, weights=np.array([0.5, 0.5]), rule="mean"))
    X = rows(0, np.nextafter(np.float32(0), INF), np.nextafter(np.float32(0), -INF), 1e6)
    done = quantize_program(program, X, "int8")
    assert done.codes.node.feature.tolist() == [0, 0]
    assert done.codes.node.strict.tolist() == [False, True]
    assert_same_decisions(program, done, X)


def test_a_network_keeps_the_affine_code_and_the_trees_get_a_further_column():
    """What both read has two columns; the first stays affine."""
    tree = forest([0.0], "le")
    program = regression(Combine(members=(dense(1, 1), tree), weights=np.array([0.5, 0.5]), rule="mean"))
    X = rows(0, np.nextafter(np.float32(0), INF), 1e4)
    done = quantize_program(program, X, "int8")
    assert done.codes.node.feature.tolist() == [0, 0]
    assert done.codes.node.is_rank().tolist() == [False, True]
    assert_same_decisions(program, done, X)


def test_outliers_of_a_network_feature_saturate_and_trees_stay_exact():
    """Three rows in 4000 stretch the range 1e5 times: the network sees the others, and trees part the outliers."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(4000, 1)).astype(np.float32)
    X[:3, 0] = 1e5, 2e5, 3e5
    layer = Dense(weight=np.ones((1, 1), np.float32), bias=np.zeros(1, np.float32), activation="identity")
    members = (layer, forest([1.5e5, 0.0, 2.5e5], "le"))
    program = regression(Combine(members=members, weights=np.array([0.5, 0.5]), rule="mean"))
    done = quantize_program(program, X, "int16")
    assert_same_decisions(program, done, X)
    step = 1 / float(done.codes.node.scale[0])
    assert step < 2 * 3 * np.ptp(X[3:]) / 65534  # Twice the step that three times the inner range would need.
    assert quantize(done.codes.node, X)[:3, 0].tolist() == [32767] * 3


def test_more_thresholds_than_codes_are_counted_as_inexact():
    """One feature with 65535 thresholds has no rank column; its parted neighbours are the only loss, and reported."""
    thresholds = np.arange(65535, dtype=np.float32)
    thresholds[0] = np.nextafter(np.float32(1e9), INF)
    X = rows(0.5, 1e9, thresholds[0])
    members = forest(thresholds, "lt"), forest([0.75], "lt")
    program = regression(Combine(members=members, weights=np.array([0.5, 0.5]), rule="mean"))
    done = quantize_program(program, X, "int8")
    assert not done.codes.node.is_rank().any()
    assert done.codes.n_inexact_splits == 1
    fewer = quantize_program(regression(forest(thresholds[:-1], "lt")), X, "int8")
    assert fewer.codes.node.is_rank().all()
    assert fewer.codes.n_inexact_splits == 0


def test_nothing_given_is_changed():
    """Quantization leaves the program and the rows as they were."""
    X = rows(0, 1, 2)
    X.flags.writeable = False
    table = stump(0.5, "lt")
    fields = {field.name: np.copy(getattr(table, field.name)) for field in dataclasses.fields(table)}
    program = regression(table)
    quantize_program(program, X, "int8")
    assert program.root is table
    for name, before in fields.items():
        np.testing.assert_array_equal(getattr(table, name), before)
