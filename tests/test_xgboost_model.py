"""What is particular to XGBoostModel: which boosters have a Program, and that it is XGBoost to the last bit."""

import json

import numpy as np
import pytest
from checks_program import rows_to_compare, tables_of
from samples import boosting, sample, with_missing

from ensemble_1d import EnsembleError, InvalidInputError, UnsupportedModelError
from ensemble_1d.ir import Chain, Link, TreeTable
from ensemble_1d.runtime import evaluate, run

xgboost = pytest.importorskip("xgboost")


def assert_margins_equal(model, X):
    """Compare the table of a fitted model with XGBoost's margins, bit for bit, and its answers within float32."""
    rows = rows_to_compare(model, X)
    root = model.program().root
    table = root.steps[0] if isinstance(root, Chain) else root
    margins = model.backend_.predict(rows, output_margin=True).reshape(len(rows), -1)
    assert np.array_equal(evaluate(table, rows), margins)
    values = model.backend_.predict_proba(rows) if model.task == "classification" else margins
    np.testing.assert_allclose(run(model.program(), rows), values, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", ["binary", "multiclass", "missing"])
@pytest.mark.parametrize(
    "backend_params",
    [
        {"num_parallel_tree": 3, "subsample": 0.7},
        {"base_score": 0.3},
        {"base_score": 0.999},
        {"tree_method": "exact", "gamma": 0.5},
        {"tree_method": "approx"},
        {"grow_policy": "lossguide", "max_leaves": 5},
        {"max_depth": 0},
        {"gamma": 1e9},
        {"max_delta_step": 0.5, "max_bin": 4},
        {"monotone_constraints": (1, 0, 0, -1, 0)},
    ],
    ids=str,
)
def test_margins_equal_under_any_way_to_grow_trees(name, backend_params):
    """Parallel trees, base scores, pruned, leaf-wise, unlimited and leafless trees: the margins are XGBoost's."""
    data = sample(name)
    assert_margins_equal(boosting(random_state=0, backend_params=backend_params).fit(data.X, data.y), data.X)


@pytest.mark.parametrize("objective", ["reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror"])
def test_margins_equal_under_every_known_objective_of_regression(regression, objective):
    """Objectives that fit an intercept of their own, or leaves after the fact, give XGBoost's values."""
    model = boosting(task="regression", backend_params={"objective": objective}).fit(regression.X, regression.y)
    assert_margins_equal(model, regression.X)
    assert isinstance(model.program().root, TreeTable)


@pytest.mark.parametrize(("name", "kind"), [("binary", "sigmoid"), ("multiclass", "softmax")])
def test_link_follows_the_objective(name, kind):
    """Two classes end in a sigmoid of one margin, more in a softmax of one for each."""
    data = sample(name)
    root = boosting().fit(data.X, data.y).program().root
    assert isinstance(root.steps[1], Link)
    assert root.steps[1].kind == kind
    assert len(root.steps[0].bias) == (1 if kind == "sigmoid" else 3)


def test_trees_without_a_split_are_leaves(binary):
    """A tree of one leaf has no node, and its root is that leaf."""
    (table,) = tables_of(boosting(gamma=1e9).fit(binary.X, binary.y).program())
    assert len(table.feature) == 0
    assert len(table.root) == 5
    assert (table.root < 0).all()


def test_thresholds_are_compared_as_xgboost_does(binary):
    """A value on a threshold goes right; the next float32 below it goes left."""
    model = boosting(n_estimators=1, max_depth=1).fit(binary.X, binary.y)
    (table,) = tables_of(model.program())
    rows = np.zeros((2, 5), np.float32)
    rows[:, table.feature[0]] = np.nextafter(table.threshold[0], np.float32(-np.inf)), table.threshold[0]
    left, right = table.value[~table.left[0]], table.value[~table.right[0]]
    assert table.comparison == "lt"
    assert left != right
    assert np.array_equal(evaluate(table, rows), table.bias + np.stack([left, right]))


def test_missing_values_go_where_xgboost_learned(missing):
    """Trees trained with missing values send some left and others right."""
    model = boosting(n_estimators=20).fit(missing.X, missing.y)
    (table,) = tables_of(model.program())
    assert set(table.default_left.tolist()) == {True, False}
    assert_margins_equal(model, missing.X)


def test_other_markers_of_missing_values_are_refused_by_fit(binary):
    """NaN alone marks a missing value: predict and program know no other marker, so fit refuses one by name."""
    X = np.where(np.isnan(with_missing(binary.X)), -1.0, binary.X)
    with pytest.raises(EnsembleError, match="missing"):
        boosting(backend_params={"missing": -1.0}).fit(X, binary.y)


@pytest.mark.parametrize("objective", ["multi:softmax", "binary:logitraw", "binary:hinge"])
def test_objective_without_probabilities_is_refused_by_fit(objective):
    """A classifier whose objective gives no probabilities is refused by name, and gives no nonsense."""
    data = sample("multiclass" if objective.startswith("multi") else "binary")
    with pytest.raises(EnsembleError, match=objective):
        boosting(backend_params={"objective": objective}).fit(data.X, data.y)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_linear_booster_is_refused_by_fit(binary):
    """The linear booster grows no trees, and is refused by name when fitted."""
    with pytest.raises(EnsembleError, match="gblinear"):
        boosting(backend_params={"booster": "gblinear"}).fit(binary.X, binary.y)


def test_booster_with_dropped_trees_has_no_program(binary):
    """The dart booster predicts, and is refused by name when the program is made."""
    model = boosting(backend_params={"booster": "dart", "rate_drop": 0.5}).fit(binary.X, binary.y)
    np.testing.assert_allclose(model.predict_proba(binary.X), model.backend_.predict_proba(binary.X), atol=1e-6)
    with pytest.raises(UnsupportedModelError, match="booster 'dart' has no Program; fit with booster='gbtree'"):
        model.program()


@pytest.mark.parametrize("objective", ["count:poisson", "reg:gamma", "reg:tweedie", "reg:squaredlogerror"])
def test_objective_of_regression_without_a_link_has_no_program(regression, objective):
    """Objectives that transform the margin in ways a Program does not know predict, and are refused by name."""
    model = boosting(task="regression", backend_params={"objective": objective}).fit(regression.X, regression.y)
    assert np.array_equal(model.predict(regression.X).astype(np.float32), model.backend_.predict(regression.X))
    with pytest.raises(UnsupportedModelError, match=f"objective '{objective}' has no Program; use one of"):
        model.program()


def test_categorical_splits_have_no_program(binary):
    """Splits on categories are refused by name, with the tree that holds one."""
    X = np.random.default_rng(0).integers(0, 9, size=binary.X.shape)
    parameters = {"enable_categorical": True, "feature_types": ["c"] * 5, "max_cat_to_onehot": 1}
    model = boosting(backend_params=parameters).fit(X, binary.y)
    with pytest.raises(UnsupportedModelError, match="tree 0 splits on a category; encode categories as numbers"):
        model.program()


def test_vector_leaves_have_no_program(multiclass):
    """Trees with several outputs in a leaf are refused by name, with the remedy."""
    model = boosting(backend_params={"multi_strategy": "multi_output_tree"}).fit(multiclass.X, multiclass.y)
    with pytest.raises(UnsupportedModelError, match="vector leaves; fit with multi_strategy='one_output_per_tree'"):
        model.program()


def test_model_without_a_round_has_no_program(binary):
    """No boosting round at all is refused by one of the package's own errors."""
    with pytest.raises(EnsembleError):
        boosting(n_estimators=0).fit(binary.X, binary.y).program()


def test_parameters_reach_xgboost(regression):
    """Every parameter has its effect on the booster, and backend_params go over them."""
    parameters = {
        "max_depth": 2,
        "learning_rate": 0.07,
        "subsample": 0.5,
        "colsample_bytree": 0.4,
        "min_child_weight": 3.0,
        "gamma": 0.2,
        "reg_alpha": 0.3,
        "reg_lambda": 2.0,
    }
    model = boosting(task="regression", n_estimators=4, random_state=1, **parameters).fit(regression.X, regression.y)
    found = model.backend_.get_params()
    assert {name: found[name] for name in parameters} == parameters
    config = json.loads(model.backend_.get_booster().save_config())["learner"]
    trained = config["gradient_booster"]["tree_train_param"]
    assert float(trained["reg_alpha"]) == pytest.approx(0.3)
    assert model.backend_.get_booster().num_boosted_rounds() == 4
    over = boosting(task="regression", max_depth=2, backend_params={"max_depth": 5}).fit(regression.X, regression.y)
    assert over.backend_.get_params()["max_depth"] == 5


def test_seed_matters_where_rows_are_drawn(binary):
    """With a subsample, another seed gives another model, and the same one the same."""
    first, same, other = (
        boosting(subsample=0.5, random_state=seed).fit(binary.X, binary.y).predict_proba(binary.X) for seed in (1, 1, 2)
    )
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


def test_unknown_task_names_the_known_ones(binary):
    """The message names both tasks before XGBoost sees anything."""
    with pytest.raises(InvalidInputError, match="use 'classification' or 'regression'"):
        boosting(task="ranking").fit(binary.X, binary.y)
