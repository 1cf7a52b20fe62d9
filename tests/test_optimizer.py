"""ModelOptimizer: what its guard lets through and what it rejects, for every model and for whole ensembles."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import forest, network, sample, sample_of, with_missing
from small_nodes import classification, dense, regression, stump
from strategies import SEEDS, examples, inputs, programs

from ensemble_1d import InvalidInputError, ModelOptimizer, Predictor, UnsupportedModelError
from ensemble_1d.ir import Link, TreeTable, descendants
from ensemble_1d.quantization.compression import pruned
from ensemble_1d.quantization.guard import rows_and_guard
from ensemble_1d.quantization.mixed_rows import mixed_rows
from ensemble_1d.quantization.optimization import tree_sizes
from ensemble_1d.runtime import run

NO_STEPS = {"min_samples": (), "tree_shares": (), "split_shares": (), "leaf_bits": (), "threshold_reaches": ()}
PRUNE = "without what no row reaches"


def column(*values):
    """Return rows of one feature."""
    return np.array(values, np.float32)[:, np.newaxis]


def two_classes(threshold=0.0):
    """Return a program that is sure of "low" up to a threshold, and of "high" beyond."""
    table = replace(stump(threshold, "le"), value=np.array([[0.0], [1.0]], np.float32))
    return classification(table, Link(kind="complement"), classes=np.array(["low", "high"]))


@pytest.fixture(scope="module")
def fitted():
    """A forest fitted on half of the rows, and all rows and labels."""
    data = sample("binary")
    return forest(n_estimators=20, random_state=0).fit(data.X[:60], data.y[:60]), data


# ---------------------------------------------------------------- the guard


def test_a_step_that_costs_accuracy_is_rejected():
    """The rows reach one side alone, and held-out rows the other: pruning it would cost them, so the program stays."""
    program = two_classes()
    X_val, y_val = column(-1, -2, 1, 2), ["low", "low", "high", "high"]
    result = ModelOptimizer(**NO_STEPS, n_mixed=0).optimize(program, column(-1, -2), X_val=X_val, y_val=y_val)
    (step,) = result.steps
    assert (step.name, step.accepted) == (PRUNE, False)
    assert (step.before.score, step.after.score) == (1.0, 0.5)
    assert (step.before.sizes.n_splits, step.after.sizes.n_splits) == (1, 0)
    assert result.program is result.original is program
    assert result.after == result.before
    half = ModelOptimizer(**NO_STEPS, n_mixed=0, max_accuracy_drop=0.5)
    result = half.optimize(program, column(-1, -2), X_val=X_val, y_val=y_val)
    assert result.steps[0].accepted
    assert tree_sizes(result.program).n_splits == 0
    assert run(result.program, X_val).tolist() == [[1, 0]] * 4


def test_a_step_that_mixed_rows_tell_against_is_rejected():
    """Where no row shows what a step costs, rows between them do: a sure answer that is lost there counts in full."""
    table = TreeTable(
        feature=np.array([0, 1], np.int32),
        threshold=np.zeros(2),
        left=np.array([-1, -1], np.int32),
        right=np.array([1, -2], np.int32),
        default_left=np.zeros(2, np.bool_),
        value=np.array([[0.0], [1.0]], np.float32),
        root=np.zeros(1, np.int32),
        output=np.zeros(1, np.int32),
        bias=np.zeros(1, np.float32),
        comparison="le",
        average=True,
    )
    program = classification(table, Link(kind="complement"), classes=np.array(["low", "high"]), n_features=2)
    X = np.array([[1, -1], [-1, 1]], np.float32)
    alone = ModelOptimizer(**NO_STEPS, n_mixed=0).optimize(program, X, X_val=X)
    assert [step.accepted for step in alone.steps] == [True]
    both = ModelOptimizer(**NO_STEPS, n_mixed=400).optimize(program, X, X_val=X[:1])
    (step,) = both.steps
    mixed = mixed_rows(np.concatenate([X, X[:1]]), 400, np.random.default_rng(0))
    share = float((mixed > 0).all(axis=1).mean())
    assert (step.accepted, step.after.score, step.after.regret) == (False, 1.0, share)
    assert 0.05 < share < 0.15
    just = ModelOptimizer(**NO_STEPS, n_mixed=400, max_accuracy_drop=share).optimize(program, X, X_val=X[:1])
    assert [step.accepted for step in just.steps] == [True]


def test_regret_is_what_the_original_expects_to_lose():
    """A label that changed costs the difference of two probabilities; a value its squared change over the variance."""
    table = replace(stump(0, "le"), value=np.array([[0.4], [0.9]], np.float32))
    program = classification(table, Link(kind="complement"), classes=np.arange(2))
    X = column(-1, -1, 1, 1)
    options = {"validation_fraction": 0.5, "n_mixed": 100, "random_state": 0}
    _, guard = rows_and_guard(program, X, None, X, None, **options)
    share = float((guard.X_mixed > 0).mean())
    assert guard.regret(program) == 0
    always = classification(
        replace(table, value=np.array([[0.8], [0.8]], np.float32)), Link(kind="complement"), classes=np.arange(2)
    )
    assert guard.regret(always) == pytest.approx(0.2 * (1 - share))
    values = regression(stump(0, "le"))
    _, guard = rows_and_guard(values, X, None, X, None, **options)
    moved = regression(replace(stump(0, "le"), value=np.array([[1.1], [2.1]], np.float32)))
    assert guard.regret(moved) == pytest.approx(0.01 / (share * (1 - share)))


@examples(60)
@given(data=st.data())
def test_no_program_falls_below_what_is_allowed(data):
    """Whatever the program and the rows, score and regret keep to the limit, and each step begins where one ended."""
    program = data.draw(programs())
    X, X_val = data.draw(inputs(program, min_rows=4)), data.draw(inputs(program, missing=False))
    drop = data.draw(st.sampled_from([0.0, 0.01, 0.3]))
    optimizer = ModelOptimizer(
        max_accuracy_drop=drop, n_mixed=50, min_samples=(2,), tree_shares=(0.5,), split_shares=(0.5,)
    )
    result = optimizer.optimize(program, X, X_val=X_val)
    assert result.before.score - result.after.score <= drop + 1e-9
    assert result.after.regret <= drop + 1e-9
    assert result.after.sizes == tree_sizes(result.program)
    now = result.before
    for step in result.steps:
        assert step.before == now
        assert step.after.sizes.is_smaller_than(step.before.sizes)
        now = step.after if step.accepted else now
    assert result.after == now
    roots = program.root, result.program.root
    assert len({tuple(type(each) for each in descendants(root)) for root in roots}) == 1


def test_drops_add_up_against_the_original():
    """Two steps that each lose one row of eight: the second would leave two lost, and that is more than is allowed."""
    table = TreeTable(
        feature=np.zeros(2, np.int32),
        threshold=np.array([0.0, 1.0]),
        left=np.array([-1, -2], np.int32),
        right=np.array([1, -1], np.int32),
        default_left=np.zeros(2, np.bool_),
        value=np.array([[0.0], [1.0]], np.float32),
        root=np.zeros(1, np.int32),
        output=np.zeros(1, np.int32),
        bias=np.zeros(1, np.float32),
        comparison="le",
        average=True,
    )
    program = classification(table, Link(kind="complement"), classes=np.array(["low", "high"]))
    X, X_val = column(*[-1] * 10, *[0.5] * 4, *[2] * 2), column(*[-1] * 5, 0.5, 0.5, 2)
    kinds = NO_STEPS | {"min_samples": (3, 7)}
    result = ModelOptimizer(**kinds, n_mixed=0, max_accuracy_drop=0.125).optimize(program, X, X_val=X_val)
    assert [(step.after.score, step.accepted) for step in result.steps] == [(0.875, True), (0.75, False)]
    assert result.after.score == 0.875


def test_a_kind_ends_with_its_first_rejection():
    """After a step that is rejected the next kind begins; nothing harsher of the same kind is tried."""
    program = two_classes()
    X = column(*np.linspace(-1, 1, 40))
    result = ModelOptimizer(**NO_STEPS | {"min_samples": (25, 30), "leaf_bits": (4,)}, n_mixed=0).optimize(
        program, X, X_val=X
    )
    assert [(step.name, step.accepted) for step in result.steps] == [("25 rows or more on a side, refit", False)]


# ---------------------------------------------------------------- models


def test_every_model_shrinks_and_goes_on(make_model):
    """Whatever has trees has fewer splits, within the limit; the result quantizes and answers in integers."""
    model = make_model()
    data = sample_of(model, 3)
    model.fit(data.X, data.y)
    optimizer = ModelOptimizer(max_accuracy_drop=0.05, n_mixed=300)
    small = model.optimize(data.X, data.y, optimizer=optimizer)
    result = small.optimization
    assert isinstance(small, Predictor)
    assert small.program is result.program
    assert result.score_name == ("R2" if model.task == "regression" else "accuracy")
    assert result.n_samples == 24
    assert result.before.score - result.after.score <= 0.05
    if result.before.sizes.n_trees:
        assert result.after.sizes.n_splits < result.before.sizes.n_splits
        assert small.program.nbytes < model.program().nbytes
    else:
        assert result.program is result.original
    quantized = small.quantize("int8", data.X, data.y)
    assert quantized.report.agreement > 0.97
    assert quantized.report.n_inexact_splits == 0


def test_missing_values_pass_through():
    """A forest fitted on NaN is compressed on NaN, and answers NaN."""
    data = sample("missing")
    small = forest(random_state=0).fit(data.X, data.y).optimize(data.X, data.y)
    assert small.optimization.after.sizes.n_splits < small.optimization.before.sizes.n_splits
    assert np.isfinite(small.predict_proba(with_missing(data.X))).all()


def test_arguments_are_what_has_a_program(fitted):
    """A program, a Predictor and a model give the same result, twice; another seed holds out other rows."""
    model, data = fitted
    models = [model.program(), Predictor(model.program()), model, model]
    results = [ModelOptimizer(n_mixed=200).optimize(each, data.X, data.y) for each in models]
    assert len({str(result) for result in results}) == 1
    outputs = [run(result.program, data.X.astype(np.float32)) for result in results]
    assert all(np.array_equal(outputs[0], each) for each in outputs)
    other = ModelOptimizer(n_mixed=200, random_state=1).optimize(model, data.X, data.y)
    assert str(other) != str(results[0])


def test_steps_never_see_held_out_rows(fitted):
    """What is held out by the seed steers nothing: the same rows given apart lead to the same program."""
    model, data = fitted
    order = np.random.default_rng(3).permutation(120)
    chosen, rest = np.sort(order[:30]), np.sort(order[30:])
    optimizer = ModelOptimizer(validation_fraction=0.25, random_state=3, n_mixed=0)
    split = optimizer.optimize(model, data.X, data.y)
    apart = optimizer.optimize(model, data.X[rest], X_val=data.X[chosen], y_val=data.y[chosen])
    assert split.n_samples == 30
    assert str(split) == str(apart)
    X = data.X.astype(np.float32)
    assert np.array_equal(run(split.program, X), run(apart.program, X))


def test_without_labels_the_original_is_the_truth(fitted, regression):
    """Agreement starts at 1; values compare with the original's values."""
    model, data = fitted
    result = ModelOptimizer(n_mixed=100).optimize(model, data.X[:60], X_val=data.X[60:])
    assert (result.score_name, result.before.score) == ("agreement", 1.0)
    values = forest(task="regression", random_state=0).fit(regression.X, regression.y)
    result = ModelOptimizer(n_mixed=100).optimize(values, regression.X)
    assert (result.score_name, result.before.score) == ("R2 of the original's values", 1.0)
    assert result.after.score >= 1 - 0.002


def test_a_network_has_nothing_to_compress():
    """A program without trees comes back whole, and its table says why."""
    program = regression(dense(1, 1))
    result = ModelOptimizer().optimize(program, column(1, 2, 3))
    assert result.program is program
    assert result.steps == ()
    assert str(result).endswith("no trees to compress")


def test_result_prints_as_a_table(fitted):
    """One line for the original, each step and the result, with the verdict of the guard."""
    model, data = fitted
    result = ModelOptimizer(n_mixed=100).optimize(model, data.X, data.y)
    title, heads, *lines = str(result).split("\n")
    assert title.startswith("accuracy on 24 held-out rows: ")
    assert title.endswith("(may fall by 0.002)")
    assert heads.split() == ["trees", "splits", "thresholds", "leaves", "score", "regret"]
    assert len(lines) == len(result.steps) + 2
    assert lines[0].split()[0] == "original"
    assert [line.endswith("rejected") for line in lines[1:-1]] == [not step.accepted for step in result.steps]
    assert f"{result.after.sizes.n_splits:,}" in lines[-1]


# ---------------------------------------------------------------- mixed rows


@examples(60)
@given(seed=SEEDS, n_rows=st.integers(1, 30), n_features=st.integers(1, 4))
def test_mixed_rows_take_each_value_from_one_of_two_neighbours(seed, n_rows, n_features):
    """Every mixed row has all its values from a row and the row nearest to it; NaN counts as a value."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_rows, n_features)).astype(np.float32)
    X[rng.random(X.shape) < 0.2] = np.nan
    mixed = mixed_rows(X, 40, np.random.default_rng(seed))
    assert mixed.shape == (40, n_features)
    assert mixed.dtype == np.float32
    same = (mixed[:, np.newaxis] == X) | (np.isnan(mixed[:, np.newaxis]) & np.isnan(X))
    with np.errstate(invalid="ignore"):
        count = np.maximum((~np.isnan(X)).sum(axis=0), 1)
        center = np.where(np.isnan(X), 0, X).sum(axis=0, dtype=float) / count
        shifted = np.where(np.isnan(X), 0, X - center)
        spread = np.sqrt((shifted**2).sum(axis=0) / count)
    place = shifted / np.where(spread > 0, spread, 1)
    distance = ((place[:, np.newaxis] - place) ** 2).sum(axis=2)
    np.fill_diagonal(distance, np.inf)
    nearest = np.abs(distance - distance.min(axis=1, keepdims=True)) < 1e-6 if n_rows > 1 else np.eye(1, dtype=bool)
    for row in same:
        pairs = row[:, np.newaxis] | row
        assert (pairs.all(axis=2) & nearest).any()


def test_mixed_rows_are_new():
    """Where neighbours differ in several columns, most mixed rows are neither of the two."""
    X = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
    mixed = mixed_rows(X, 100, np.random.default_rng(1))
    known = {row.tobytes() for row in X}
    assert sum(row.tobytes() not in known for row in mixed) > 80


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            {"max_accuracy_drop": -0.1},
            r"max_accuracy_drop=-0\.1 allows nothing; use a number from 0 on, such as 0\.002",
        ),
        ({"max_accuracy_drop": "little"}, "max_accuracy_drop='little' allows nothing"),
        ({"max_accuracy_drop": np.nan}, "max_accuracy_drop=nan allows nothing"),
        ({"validation_fraction": 0}, "validation_fraction=0 leaves no rows to steer by, or none to guard"),
        ({"validation_fraction": 2}, "validation_fraction=2 is no share; use a number from 0 to 1"),
        ({"random_state": -1}, "random_state=-1 is no seed; use a whole number from 0 on"),
        ({"n_mixed": 1.5}, r"n_mixed=1\.5 is no number of rows; use a whole number from 0 on"),
        ({"ridge": -1.0}, r"ridge=-1\.0 is no number of rows"),
        ({"min_samples": (0,)}, "min_samples=0 is no number of rows"),
        ({"leaf_bits": (99,)}, "bits=99 makes no grid of leaves"),
    ],
)
def test_parameters_out_of_range_are_refused(options, message, fitted):
    """The constructor stores; optimize names the value, the rule and the remedy."""
    optimizer = ModelOptimizer(**options)
    assert all(getattr(optimizer, name) is value for name, value in options.items())
    with pytest.raises(InvalidInputError, match=message):
        optimizer.optimize(fitted[0], fitted[1].X)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"X": np.zeros((5, 3))}, "ModelOptimizer.optimize, X: X has 3 features; the model was fitted with 1"),
        ({"X": [[0.0]]}, "X has 1 row, and some must be held out; give more, or X_val"),
        ({"X": column(1, 2), "y": ["low"]}, r"y has shape \(1,\) for 2 rows; give one label or value for each row"),
        (
            {"X": column(1, 2), "y": [0, 1]},
            r"y holds none of the model's labels, but 0; the model knows \['low', 'high'\]",
        ),
        (
            {"X": column(1, 2), "y_val": ["low"]},
            "y_val was given without X_val; give the rows that the labels belong to",
        ),
        ({"X": column(1, 2), "X_val": column(1), "y_val": ["low"] * 2}, r"y_val has shape \(2,\) for 1 rows"),
        ({"X": column(1, np.inf)}, "X.1, 0. is infinite"),
    ],
)
def test_rows_and_labels_that_do_not_fit_are_refused(arguments, message):
    """The message names the argument, the rule and the remedy."""
    with pytest.raises(InvalidInputError, match=message):
        ModelOptimizer().optimize(two_classes(), **arguments)


def test_values_must_be_numbers():
    """Regression needs finite values."""
    program = regression(stump(0, "le"))
    for y, message in (
        (["a", "b"], "y cannot be read as numbers"),
        ([1.0, np.nan], "y holds NaN or infinity; leave out"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            ModelOptimizer().optimize(program, column(1, 2), y)


def test_what_has_no_float_program_is_refused(fitted):
    """An array has no program; integers come after compression."""
    model, data = fitted
    with pytest.raises(InvalidInputError, match="list holds no program to compress; give a float Program, a Predictor"):
        ModelOptimizer().optimize([], data.X)
    with pytest.raises(UnsupportedModelError, match="integer already; compress the float model it came from"):
        model.quantize("int8", data.X).optimize(data.X)


def test_networks_beside_trees_refuse_missing_values():
    """Rows are held against the program's own rule."""
    pytest.importorskip("torch")
    data = sample("binary")
    model = network(random_state=0).fit(data.X, data.y)
    with pytest.raises(InvalidInputError, match="is NaN"):
        ModelOptimizer().optimize(model, with_missing(data.X))


def test_exact_pruning_comes_first(fitted):
    """The first step is the one that changes no output of the rows it goes by."""
    model, data = fitted
    X = data.X[60:].astype(np.float32)
    result = ModelOptimizer(**NO_STEPS, max_accuracy_drop=1.0).optimize(model, X, X_val=data.X[:60])
    assert [step.name for step in result.steps] == [PRUNE]
    assert tree_sizes(result.program) == tree_sizes(pruned(model.program(), X))
    assert np.array_equal(run(result.program, X), run(model.program(), X))
