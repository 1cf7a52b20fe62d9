"""Narrow codes: one byte a feature on which all calibration rows part as in float, or exact wide codes instead."""

import dataclasses
import re

import numpy as np
import pytest
from c_harness import need
from hypothesis import given
from hypothesis import strategies as st
from integer_strategies import float_rows
from small_nodes import classification, dense, regression, requantize, rows
from split_decisions import assert_same_decisions, forest, tree_inputs
from strategies import FLOAT32_MAX, INF, MODES, NAN, SEEDS, SUBNORMAL, examples, inputs, programs, tables_of

from ensemble_1d import InvalidInputError, Predictor, RandomForestModel
from ensemble_1d.export.verification import verify_header
from ensemble_1d.ir import Chain, Combine, IntegerTreeTable, Link, Requantize, Select, descendants
from ensemble_1d.quantization.narrow import CodeScale, FloatScale, SplitGaps, narrow_columns
from ensemble_1d.quantization.programs import quantize_program
from ensemble_1d.quantization.report import out_of_range
from ensemble_1d.runtime import run
from ensemble_1d.runtime_integer import quantize
from ensemble_1d.runtime_integer import requantize as requantized


def narrow(program, X, mode="int8"):
    """Return a program quantized with narrow codes, after asserting that all rows part as in float."""
    done = quantize_program(program, X, mode, compact=True)
    assert_same_decisions(program, done, X)
    assert done.codes.n_inexact_splits == 0
    assert done.codes.n_splits == sum(len(table.feature) for table, _ in tables_of(program))
    return done


def is_narrow(done):
    """Return whether the trees of a quantized program read bytes alone."""
    tables = [node for node in descendants(done.program.root) if isinstance(node, IntegerTreeTable)]
    low, high = done.codes.limits()
    columns = np.concatenate([table.column for table in tables])
    cuts = np.concatenate([table.cut for table in tables])
    bytes_alone = bool((low[columns] == 0).all() and (high[columns] == 255).all())
    assert not bytes_alone or ((cuts >= 0) & (cuts < 255)).all()
    return bytes_alone


def beside_a_network(table, n_features=1):
    """Return a program of trees and of a network that reads every feature."""
    members = (dense(n_features, 1), table)
    root = Combine(members=members, weights=np.array([0.5, 0.5]), rule="mean")
    return regression(root, n_features=n_features)


# ---------------------------------------------------------------- calibration rows


@examples(120)
@given(data=st.data())
def test_calibration_rows_take_the_same_way_through_every_tree(data):
    """Ties, duplicates, constants, extremes, single rows, both comparisons, and networks that share the features."""
    program = data.draw(programs())
    X = data.draw(inputs(program, missing=False))
    done = narrow(program, X, data.draw(MODES))
    assert np.isfinite(run(done.program, X)).all()


@examples(60)
@given(data=st.data())
def test_missing_values_leave_the_codes_wide(data):
    """A byte has no code to spare for them."""
    program = data.draw(programs(kinds=("trees",)))
    X = data.draw(inputs(program, missing=True))
    X[0, 0] = NAN
    done = narrow(program, X)
    assert done.codes.node.missing
    assert not done.codes.node.narrow.any()


@pytest.mark.parametrize("magnitude", [FLOAT32_MAX, 1e30, 1.0, 1e-30, 1e-38, SUBNORMAL])
@pytest.mark.parametrize("comparison", ["le", "lt"])
@pytest.mark.parametrize("has_network", [False, True])
def test_any_magnitude_is_exact(magnitude, comparison, has_network):
    """Thresholds between values and on them, from the largest float32 to subnormals; usual ones are bytes."""
    values = (np.array([-1, -0.5, -0.25, 0, 0.125, 0.5, 1]) * np.float64(magnitude)).astype(np.float32)
    thresholds = np.concatenate([values, (values[1:].astype(np.float64) + values[:-1]) / 2])
    table = forest(thresholds, comparison)
    if has_network and magnitude > 1e29:
        pytest.skip("a network of such values is refused")
    done = narrow(beside_a_network(table) if has_network else regression(table), rows(*values))
    if 1e-31 < magnitude < 1e31:
        assert is_narrow(done)


@pytest.mark.parametrize("comparison", ["le", "lt"])
@pytest.mark.parametrize("has_network", [False, True])
@pytest.mark.parametrize("value", [0.0, 7.0, -1e-30, 1e6])
def test_a_constant_feature_parts_no_row(value, comparison, has_network):
    """Thresholds on the one value and on either side of it keep their sides."""
    table = forest([value, value - 1, value + 1, value * 2 + 3], comparison)
    done = narrow(beside_a_network(table) if has_network else regression(table), rows(value, value))
    # What a byte cannot keep, a value beside the threshold, is no row of this calibration.
    assert done.codes.node.n_columns >= 1


@pytest.mark.parametrize("comparison", ["le", "lt"])
@pytest.mark.parametrize("has_network", [False, True])
def test_one_threshold_alone_has_a_column(comparison, has_network):
    """A feature read once: the end of a step lies on the one threshold, or in its gap."""
    for X in (rows(0, 1), rows(-1e-30, 1e-30), rows(3, np.nextafter(np.float32(3), INF)), rows(-5, 1e20)):
        for threshold in (float(X[0, 0] if comparison == "le" else X[1, 0]), float(X.astype(np.float64).mean())):
            table = forest([threshold], comparison)
            done = narrow(beside_a_network(table) if has_network else regression(table), X)
            assert has_network or is_narrow(done)


def test_near_thresholds_beside_far_ones_get_a_finer_column():
    """A hundred thresholds between 0 and 1 and two far ones: steps over all of them would merge the hundred."""
    near = np.arange(100) / 100
    X = rows(*(near - 0.005), 1.5, 999, 1001, 5000)
    done = narrow(regression(forest([*near, 1000.0, 4000.0], "le")), X)
    assert is_narrow(done)
    assert done.codes.node.feature.tolist() == [0, 0]
    assert done.codes.node.narrow.all()


@pytest.mark.parametrize("has_network", [False, True])
@pytest.mark.parametrize(("n", "n_columns"), [(255, 1), (600, 3), (3000, None)])
def test_a_feature_has_as_many_columns_as_it_needs_or_a_wide_one(n, n_columns, has_network):
    """Every integer is a value and a threshold lies between any two: a byte tells 255 of them apart."""
    table = forest(np.arange(n) + 0.5, "le")
    program = beside_a_network(table) if has_network else regression(table)
    done = narrow(program, rows(*range(n + 1)), "int16")
    assert is_narrow(done) is (n_columns is not None)
    if n_columns and not has_network:
        assert n_columns <= done.codes.node.n_columns <= n_columns + 1
    if n_columns is None:
        assert not done.codes.node.narrow.any()
        assert not done.codes.maker


@pytest.mark.parametrize("comparison", ["le", "lt"])
def test_one_feature_without_bytes_leaves_all_codes_wide(comparison):
    """An infinite threshold, or 3000 of them, has no byte; then the trees of the program read exact wide codes."""
    many = [*range(3000), 0.5, 7.0]
    features = [0] * 3000 + [1, 1]
    X = np.column_stack([np.arange(3001), np.arange(3001) % 9]).astype(np.float32) - 0.5
    for thresholds, each in ((many, features), ([np.inf, 0.5], [0, 1]), ([-np.inf, 0.5], [0, 1])):
        program = regression(forest(thresholds, comparison, each), n_features=2)
        assert not is_narrow(narrow(program, X))


def test_a_forest_that_saw_missing_values_is_exact_without_them(missing):
    """Such forests have infinite thresholds, and splits that part numbers alone."""
    model = RandomForestModel(n_estimators=20, random_state=0).fit(missing.X, missing.y)
    X = np.asarray(missing.X, np.float32)
    X = np.ascontiguousarray(X[~np.isnan(X).any(axis=1)])
    narrow(model.program(), X)


def test_neighbours_that_no_byte_of_a_code_parts_get_ranks():
    """A network's code merges the two values that the split parts: the trees read ranks of the feature itself."""
    program = beside_a_network(forest([0.0], "le"))
    done = narrow(program, rows(0, np.nextafter(np.float32(0), INF), 1e4))
    assert not is_narrow(done)
    assert done.codes.node.is_rank().tolist() == [False, True]


# ---------------------------------------------------------------- features that networks read too


def test_a_shared_feature_keeps_its_wide_code_and_bytes_are_made_of_it():
    """One maker stands before every table; features that trees alone read are bytes from the start."""
    table = forest([0.5, 1.5, 20.0, 2.5], "lt", [0, 1, 1, 2])
    other = forest([1.0, 30.0], "le", [0, 1])
    chains = tuple(Chain(steps=(each, Link(kind="sigmoid"))) for each in (table, other))
    network = Chain(steps=(Select(column=np.array([0, 2], np.int32)), dense(2, 1), Link(kind="sigmoid")))
    root = Combine(members=(*chains, network), weights=np.array([0.25, 0.25, 0.5]), rule="mean")
    program = classification(root, n_features=3, classes=np.arange(2))
    X = np.random.default_rng(0).uniform(-5, 35, (300, 3)).astype(np.float32)
    done = narrow(program, X)
    assert is_narrow(done)
    assert done.codes.node.narrow.tolist() == [False, True, False]
    select, scale = done.codes.maker
    members = done.program.root.steps[1].members
    assert all(member.steps[0] is select and member.steps[1] is scale for member in members[:2])
    assert isinstance(members[0].steps[2], IntegerTreeTable)
    # Most read first: feature 1 has three splits.
    assert select.column.tolist()[0] == 1
    assert (scale.low, scale.high) == (0, 255)
    made = tree_inputs(done, X)
    np.testing.assert_array_equal(made[:, 0], quantize(done.codes.node, X)[:, 1])


@examples(12)
@given(data=st.data())
def test_the_c_header_makes_the_same_bytes(data):
    """Wide and narrow columns, further ones, and made ones, for floats of every kind."""
    need("cc")
    program = data.draw(programs())
    X = data.draw(inputs(program, missing=False))
    done = narrow(program, X)
    rng = np.random.default_rng(data.draw(SEEDS))
    floats = np.concatenate([X, float_rows(program.n_features, rng, 30)])
    layout = data.draw(st.sampled_from(["size", "balanced", "speed", "plain"]))
    assert verify_header(done.program, floats, flags=("-O1",), layout=layout).n_different == 0


# ---------------------------------------------------------------- scales


@examples(200)
@given(
    first=st.floats(-(2.0**100), 2.0**100, width=32),
    step=st.floats(2.0**-100, 2.0**100, width=32),
    seed=SEEDS,
)
def test_a_scale_of_values_is_a_narrow_column_of_the_quantizer(first, step, seed):
    """The codes that cuts are chosen on are those that programs are run on, for any float32."""
    scale = FloatScale.of(first, step)
    node = quantize_program(regression(forest([0.5], "le")), rows(0, 1), "int8").codes.node
    node = dataclasses.replace(
        node,
        offset=np.array([scale.offset]),
        scale=np.array([scale.scale]),
        narrow=np.ones(1, np.bool_),
        missing=False,
    )
    X = float_rows(1, np.random.default_rng(seed), 100)
    X = X[~np.isnan(X[:, 0])]
    np.testing.assert_array_equal(scale.codes(X[:, 0]), quantize(node, X)[:, 0])
    assert (np.diff(scale.codes(np.sort(X[:, 0]))) >= 0).all()


@examples(200)
@given(first=st.floats(-32768, 32767), step=st.floats(0.01, 300))
def test_a_scale_of_codes_is_a_requantization(first, step):
    """Every int16 code gives the same byte, in rising order, and ends near where it should unless that is too far."""
    scale = CodeScale.of(first, step)
    assert 1 <= scale.multiplier <= 32767
    fields = {"multiplier": scale.multiplier, "shift_out": scale.shift, "offset": scale.offset}
    codes = np.arange(-32768, 32768)
    expected = requantized(requantize(1, 0, 255, **fields), codes[:, np.newaxis])[:, 0]
    found = scale.codes(codes.astype(np.float32))
    np.testing.assert_array_equal(found, expected)
    assert (np.diff(found) >= 0).all()
    assert found[codes < scale.ends(np.zeros(1, np.int64))[0] - 1].max(initial=0) == 0


@examples(50)
@given(seed=SEEDS, make=st.sampled_from([FloatScale.of, CodeScale.of]))
def test_every_split_lies_in_one_column_and_keeps_its_gap(seed, make):
    """What goes left has a code up to the cut, and what goes right one above it."""
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 200))
    low = np.sort(rng.uniform(-30_000, 30_000, n)).astype(np.float32)
    high = low + rng.choice([3.0, 30.0, 3000.0], n).astype(np.float32)
    threshold = (low + (high - low) * rng.uniform(0.2, 0.8, n)).astype(np.float32)
    low = np.where(rng.random(n) < 0.1, -INF, low)
    high = np.where(rng.random(n) < 0.1, INF, high)
    columns = narrow_columns(SplitGaps(threshold, low, high, low, high), make)
    if columns is None:
        # More than eight columns of 255 cuts could not part so many: only narrow gaps are left without one.
        assert n > 1
        return
    assert sorted(np.concatenate([column.splits for column in columns]).tolist()) == list(range(n))
    for column in columns:
        assert (column.scale.codes(low[column.splits]) <= column.cut).all()
        assert (column.scale.codes(high[column.splits]) > column.cut).all()
        assert ((column.cut >= 0) & (column.cut < 255)).all()


# ---------------------------------------------------------------- what users see


def test_models_take_fewer_bytes_and_keep_every_calibration_row(multiclass):
    """A forest asks for narrow codes; the report counts no inexact split, and C agrees."""
    model = RandomForestModel(n_estimators=10, max_depth=4, random_state=0).fit(multiclass.X, multiclass.y)
    predictor = model.quantize("int8", multiclass.X, compact=True)
    quantizer, _, _ = predictor.program.integer_parts()
    (table,) = (node for node in descendants(predictor.program.root) if isinstance(node, IntegerTreeTable))
    assert quantizer.narrow[np.unique(table.column)].all()
    assert predictor.report.n_inexact_splits == 0
    assert predictor.verify_c(multiclass.X).n_different == 0
    assert "tree_codes" not in predictor.c_source()
    assert "tree_codes" in model.quantize("int8", multiclass.X).c_source()


def test_codes_beyond_the_range_of_their_column_are_refused():
    """A narrow column has codes from 0 to 255; a wide one any int16."""
    done = narrow(regression(forest([0.5, 1.5], "le", [0, 1]), n_features=2), np.array([[0, 1], [1, 2]], np.float32))
    predictor = Predictor(done.program)
    inside = np.array([[0, 255], [255, 0]], np.int16)
    assert predictor.run_codes(inside).shape == (2, 1)
    for bad in (-1, 256, -32768):
        with pytest.raises(InvalidInputError, match=re.escape(str(bad))):
            predictor.run_codes(np.array([[0, 0], [0, bad]], np.int16))
    wide = Predictor(quantize_program(regression(forest([0.5], "le")), rows(0, 1), "int8").program)
    assert wide.run_codes(np.array([[-32768], [32767]], np.int16)).shape == (2, 1)


def test_narrow_columns_are_never_out_of_range():
    """Beyond the thresholds nothing is lost; a wide column of the same feature counts its own saturation."""
    done = narrow(regression(forest([0.5, 0.75], "le")), rows(0, 0.6, 1))
    assert done.codes.node.narrow.all()
    assert out_of_range(done.codes.node, rows(-1e9, 1e9)).tolist() == [0]
    shared = narrow(beside_a_network(forest([0.5, 0.75], "le")), rows(0, 0.6, 1))
    assert out_of_range(shared.codes.node, rows(-1e9, 1e9)).tolist() == [1]


def test_the_maker_is_a_node_like_any_other():
    """It stands in the program as a selection and a change of scale, so that every consumer knows it."""
    done = narrow(beside_a_network(forest([0.5, 0.75], "le")), rows(0, 0.6, 1))
    select, scale = done.codes.maker
    assert isinstance(select, Select)
    assert isinstance(scale, Requantize)
    assert [node for node in descendants(done.program.root) if node is scale] == [scale]
