"""Every model keeps one contract: ours, and scikit-learn's to the letter, in both tasks."""

import numpy as np
import pytest
from checks import splits_rows, without_bootstrap, yield_checks
from samples import MAKERS, backends_of, forest, outputs, sample, skip_without_backends
from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
from sklearn.utils import shuffle
from sklearn.utils.estimator_checks import check_sample_weight_equivalence_on_dense_data, parametrize_with_checks

from ensemble_1d import Ensemble
from ensemble_1d._require import is_available

TASKS = ("classification", "regression")
PAIRS = [(name, check) for name, make in MAKERS.items() for check in yield_checks(make)]


@pytest.mark.parametrize(("name", "check"), PAIRS, ids=[f"{name}:{check.__name__}" for name, check in PAIRS])
def test_model_keeps_the_contract(name, check):
    """Every model passes every check that concerns its task and parameters."""
    skip_without_backends(name)
    check(MAKERS[name])


@pytest.mark.parametrize("name", ["RandomForestModel", "XGBoostModel", "PyTorchModel"])
def test_change_of_task_leaves_nothing_behind(name):
    """A classifier that is fitted again for regression has the attributes of a regressor alone."""
    skip_without_backends(name)
    data = sample("binary")
    model = MAKERS[f"{name}-classification"]().fit(data.X, data.y)
    model.set_params(task="regression").fit(data.X, data.y)
    assert set(vars(model)) == set(vars(MAKERS[f"{name}-regression"]().fit(data.X, data.y)))


def installed_models():
    """Return a model of each kind and task whose backend is installed."""
    return [make() for name, make in MAKERS.items() if all(map(is_available, backends_of(name)))]


SPLITS_OR_VOTES = tuple(name for name, make in MAKERS.items() if splits_rows(make()) or "hard" in name)
"""Copies of a row fall into other folds, or are held out, and a vote turns a last bit into a whole vote."""


def expected_failed_checks(model):
    """Return the checks of scikit-learn that a model fails, and why that is no fault of the model."""
    name = "check_sample_weight_equivalence_on_dense_data"
    text = repr(model)
    if "combine='hard'" in text:
        return {}  # On the rows of this check all votes agree.
    if text.startswith("Ensemble") and "early_stopping=True" in text:
        return {}  # ... and boosted trees find nothing to split in a fold.
    if "RandomForestModel" in text:
        return {name: "a bootstrap draws other rows where rows repeat; scikit-learn's own forest fails it too"}
    if splits_rows(model):
        return {name: "copies of a row fall into several folds, or into both parts where rows are held out"}
    if "PyTorchModel" in text:
        return {name: "equal but for float32 sums in another order, and the check demands 1e-7"}
    return {}


@parametrize_with_checks(installed_models(), expected_failed_checks=expected_failed_checks)
def test_scikit_learn_contract(estimator, check):
    """Every model passes every check of scikit-learn, but for those listed above, which fail (xfail is strict)."""
    check(estimator)


@pytest.mark.parametrize("forest_class", [RandomForestClassifier, RandomForestRegressor])
def test_forests_of_scikit_learn_fail_the_weight_check_too(forest_class):
    """scikit-learn's forest fails the check of weights that ours fails ..."""
    with pytest.raises(AssertionError, match="is not equivalent to fitting with removed"):
        check_sample_weight_equivalence_on_dense_data("forest", forest_class(n_estimators=8))


@pytest.mark.parametrize("task", TASKS)
def test_forests_without_bootstrap_pass_the_weight_check(task):
    """... and ours passes it where no bootstrap draws rows."""
    check_sample_weight_equivalence_on_dense_data("forest", forest(task=task, bootstrap=False))


@pytest.mark.parametrize("name", [name for name in MAKERS if not name.startswith(SPLITS_OR_VOTES)])
def test_weights_equal_repeated_rows_within_float32(name):
    """An integer weight acts like that many copies of the row, within float32 sums in another order."""
    skip_without_backends(name)
    data = sample("regression" if name.endswith("regression") else "multiclass")
    weights = np.random.default_rng(0).integers(0, 4, size=30)
    X, y = data.X[:30], data.y[:30]
    X_weighted, y_weighted, weights_shuffled = shuffle(X, y, weights, random_state=1)
    # A few boosting rounds still have equal bits; with more of them the float32 sums differ.
    parameters = {"n_estimators": 30} if name.startswith("XGBoost") else {}
    repeated = without_bootstrap(MAKERS[name](**parameters)).fit(X.repeat(weights, axis=0), y.repeat(weights))
    weighted = without_bootstrap(MAKERS[name](**parameters)).fit(X_weighted, y_weighted, weights_shuffled)
    np.testing.assert_allclose(outputs(weighted, X), outputs(repeated, X), rtol=1e-4, atol=1e-5)


def test_ensemble_of_boosted_regressors_passes_the_weight_check():
    """An ensemble fails the check of weights only where a member does."""
    pytest.importorskip("xgboost")
    members = [MAKERS["XGBoostModel-regression"](random_state=None) for _ in range(2)]
    check_sample_weight_equivalence_on_dense_data("ensemble", Ensemble(members, combine="soft", task="regression"))
