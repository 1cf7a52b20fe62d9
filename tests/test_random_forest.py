"""What is particular to RandomForestModel: scikit-learn's forests under another roof."""

import numpy as np
import pytest
from checks_program import native_outputs, rows_to_compare, tables_of
from samples import forest, sample, with_missing
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

from ensemble_1d.ir import Chain
from ensemble_1d.runtime import run


def assert_equal_to_scikit_learn(model, X):
    """Compare model and program with scikit-learn's own prediction within float64 rounding."""
    rows = rows_to_compare(model, X)
    expected, tolerance = native_outputs(model, rows)
    assert tolerance == 1e-12
    scale = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(model._predict_backend(rows), expected, rtol=0, atol=tolerance * scale)
    np.testing.assert_allclose(run(model.program(), rows), expected, rtol=0, atol=tolerance * scale)


@pytest.mark.parametrize(
    "parameters",
    [
        {"max_leaf_nodes": 7},
        {"max_leaf_nodes": 30, "max_depth": None},
        {"backend_params": {"criterion": "entropy"}},
        {"backend_params": {"criterion": "log_loss", "ccp_alpha": 0.02}},
        {"backend_params": {"max_samples": 0.5, "oob_score": True}, "n_estimators": 30},
        {"backend_params": {"monotonic_cst": [1, 0, 0, -1, 0]}},
        {"bootstrap": False, "max_features": None},
        {"max_depth": None, "min_samples_split": 9, "min_samples_leaf": 4},
        {"max_depth": 1, "n_estimators": 1},
    ],
    ids=str,
)
def test_forest_grown_any_way_is_scikit_learns(parameters):
    """Best-first numbering, pruning and every criterion leave program, model and scikit-learn equal."""
    for name in ("binary", "multiclass") if "monotonic" not in str(parameters) else ("binary",):
        data = sample(name)
        assert_equal_to_scikit_learn(forest(random_state=0, **parameters).fit(data.X, data.y), data.X)


@pytest.mark.parametrize("criterion", ["squared_error", "absolute_error", "poisson"])
def test_criteria_of_regression_are_scikit_learns(regression, criterion):
    """Means, medians and Poisson leaves come back alike."""
    model = forest(task="regression", random_state=0, backend_params={"criterion": criterion})
    assert_equal_to_scikit_learn(model.fit(regression.X, regression.y), regression.X)


def test_automatic_features_follow_the_task(binary, regression):
    """max_features="auto" tries the square root of the features for classes, and all of them for numbers."""
    assert forest().fit(binary.X, binary.y).backend_.max_features == "sqrt"
    assert forest(task="regression").fit(regression.X, regression.y).backend_.max_features == 1.0
    assert forest(max_features=3).fit(binary.X, binary.y).backend_.max_features == 3
    assert forest(max_features=None).fit(binary.X, binary.y).backend_.max_features is None


def test_fit_is_scikit_learns_own(binary, regression):
    """The seed that the forest gets makes scikit-learn grow the same trees from the same rows."""
    for data, task, kind in [
        (binary, "classification", RandomForestClassifier),
        (regression, "regression", RandomForestRegressor),
    ]:
        model = forest(task=task, random_state=5).fit(data.X, data.y)
        own = kind(**model.backend_.get_params()).fit(data.X.astype(np.float32), data.y)
        assert np.array_equal(own.predict(data.X), model.predict(data.X))


def test_missing_values_lead_to_infinite_thresholds(binary):
    """A forest that learns from missing values alone splits at infinity: numbers left, missing values right."""
    X = np.where(binary.y[:, np.newaxis] == 1, np.nan, binary.X)
    model = forest(random_state=0).fit(X, binary.y)
    (table,) = tables_of(model.program())
    assert np.isposinf(table.threshold).any()
    assert model.score(X, binary.y) == 1.0
    assert_equal_to_scikit_learn(model, X)
    assert_equal_to_scikit_learn(model, with_missing(binary.X))


def test_missing_values_go_where_each_tree_learned(missing):
    """Missing values take part in every split, and go left at some and right at others."""
    model = forest(random_state=0, n_estimators=20).fit(missing.X, missing.y)
    (table,) = tables_of(model.program())
    assert set(table.default_left.tolist()) == {True, False}
    assert_equal_to_scikit_learn(model, missing.X)


def test_criterion_without_missing_values_refuses_them(regression):
    """The absolute error knows no missing values, so NaN is refused before the fit and by the tags."""
    model = forest(task="regression", backend_params={"criterion": "absolute_error"})
    assert not model.__sklearn_tags__().input_tags.allow_nan
    with pytest.raises(ValueError, match="contains NaN"):
        model.fit(with_missing(regression.X), regression.y)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_threads_share_rows_and_give_the_same_bits(task):
    """Predictions of many rows are split over threads, not the sum over trees: the bits stay the same."""
    data = sample("multiclass" if task == "classification" else "regression")
    # Leaves of several rows hold fractions, whose sum depends on the order.
    model = forest(task=task, random_state=0, n_estimators=25, min_samples_leaf=3).fit(data.X, data.y)
    X = np.random.default_rng(0).choice(data.X.ravel(), size=(3500, 5)).astype(np.float32)
    alone = model._predict_backend(X)
    for n_jobs in (2, 3, -1):
        assert np.array_equal(model.set_params(n_jobs=n_jobs)._predict_backend(X), alone)


def test_equal_fractions_give_the_first_class():
    """Rows that no split can tell apart get equal fractions, and the first label."""
    X, y = np.zeros((6, 2)), np.array(["b", "a", "c"] * 2)
    model = forest(bootstrap=False).fit(X, y)
    assert np.array_equal(model.predict_proba(X), np.full((6, 3), 1 / 3))
    assert set(model.predict(X)) == {"a"}
    assert np.array_equal(run(model.program(), X.astype(np.float32)), np.full((6, 3), 1 / 3))


def test_two_classes_store_one_probability(binary, multiclass):
    """The table of two classes holds the second probability alone; a link adds its complement."""
    root = forest().fit(binary.X, binary.y).program().root
    assert isinstance(root, Chain)
    assert root.steps[0].value.shape[1] == 1
    assert root.steps[1].kind == "complement"
    assert forest().fit(multiclass.X, multiclass.y).program().root.value.shape[1] == 3


def test_equal_leaves_are_stored_once(binary):
    """Pure leaves share one entry of the table."""
    (table,) = tables_of(forest(max_depth=None, n_estimators=20).fit(binary.X, binary.y).program())
    assert len(np.unique(table.value, axis=0)) == len(table.value)
    assert len(table.value) < len(table.feature) / 10


def test_unknown_argument_of_the_backend_is_refused_by_name(binary):
    """backend_params go to scikit-learn, which refuses what it does not know."""
    with pytest.raises(TypeError, match="no_such_argument"):
        forest(backend_params={"no_such_argument": 1}).fit(binary.X, binary.y)
