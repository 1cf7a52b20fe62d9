"""add_member: the ensemble becomes what a fit with the member from the start would have made."""

import numpy as np
import pytest
from samples import forest, outputs, sample, stopping
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GroupKFold
from spies import ForestSpy, Frequencies

from ensemble_1d import Ensemble, InvalidInputError

LOGISTIC = LogisticRegression(solver="newton-cholesky")
BASE = [("wood", forest(max_depth=2)), ("gone", "drop"), ("line", LOGISTIC)]


def assert_same(first, second, X):
    """Two ensembles have the same parameters, weights and predictions."""
    assert np.array_equal(outputs(first, X), outputs(second, X))
    assert np.array_equal(first.weights_, second.weights_)
    assert list(first.members_) == list(second.members_)
    assert first.get_params()["added"].get_params() == second.get_params()["added"].get_params()


@pytest.mark.parametrize(
    "options",
    [
        {"combine": "soft"},
        {"combine": "hard"},
        {"combine": "optimized"},
        {"combine": "greedy"},
        {"combine": "stacking"},
        {"combine": "stacking", "calibrate": True, "passthrough": True},
        {"combine": "soft", "refit": "average"},
    ],
    ids=str,
)
@pytest.mark.parametrize("weighted", [False, True])
def test_adding_equals_fitting_with_it(multiclass, options, weighted):
    """A member that is added gives the same bits as one in the list from the start; no other is fitted again."""
    X, y = multiclass.X, np.array(["x", "y", "z"])[multiclass.y]
    weights = np.linspace(0, 2, len(X)) if weighted else None
    added = forest(max_depth=5)
    ensemble = Ensemble(BASE, cv=3, random_state=4, **options).fit(X, y, weights)
    members = dict(ensemble.members_)
    assert ensemble.add_member("added", added, X, y, weights) is ensemble
    assert all(ensemble.members_[name] is member for name, member in members.items())
    whole = Ensemble([*BASE, ("added", added)], cv=3, random_state=4, **options).fit(X, y, weights)
    assert_same(ensemble, whole, X)
    assert not hasattr(added, "backend_")


@pytest.mark.parametrize("values", [np.float64, np.int64])
def test_adding_equals_fitting_with_it_for_regression(regression, values):
    """Values, whole numbers too, and a member that stops early on held-out rows."""
    pytest.importorskip("xgboost")
    X, y = regression.X, regression.y.astype(values)
    models = [forest(task="regression"), Ridge()]
    added = stopping(task="regression")
    ensemble = Ensemble(models, task="regression", cv=3, random_state=4).fit(X, y).add_member("added", added, X, y)
    whole = Ensemble([*models, ("added", added)], task="regression", cv=3, random_state=4).fit(X, y)
    assert_same(ensemble, whole, X)


def test_groups_of_the_fit_stay(binary):
    """The folds of the fit are used again, so groups need not be given twice."""
    groups = np.arange(len(binary.X)) % 5
    options = {"cv": GroupKFold(5), "random_state": 0}
    ensemble = Ensemble(BASE, **options).fit(binary.X, binary.y, groups=groups)
    ensemble.add_member("added", forest(), binary.X, binary.y)
    whole = Ensemble([*BASE, ("added", forest())], **options).fit(binary.X, binary.y, groups=groups)
    assert_same(ensemble, whole, binary.X)


def test_only_the_new_member_is_fitted(binary, fits):
    """Adding a member costs its own fits: one for each fold and one more."""
    ensemble = Ensemble([ForestSpy(n_estimators=2)], cv=3, random_state=0).fit(binary.X, binary.y)
    fits.clear()
    ensemble.add_member("counting", Frequencies(), binary.X, binary.y)
    assert [type(each["model"]) for each in fits] == [Frequencies] * 4


def test_weights_are_given_anew(binary):
    """An ensemble with given weights takes new ones for all members, and says so without."""
    ensemble = Ensemble(BASE, combine="soft", weights=[1, 1, 1], random_state=0).fit(binary.X, binary.y)
    with pytest.raises(InvalidInputError, match="give one for each of"):
        ensemble.add_member("added", forest(), binary.X, binary.y)
    ensemble.add_member("added", forest(), binary.X, binary.y, weights={"wood": 1, "line": 1, "added": 2})
    assert ensemble.weights_.tolist() == [0.25, 0.25, 0.5]


def test_fitted_models_are_added_as_they_are(binary, fits):
    """is_fitted=True takes the model itself, and a clone of the ensemble takes it as fitted too."""
    model = ForestSpy(n_estimators=3, random_state=0).fit(binary.X[:60], binary.y[:60])
    ensemble = Ensemble(BASE, cv=3, random_state=0).fit(binary.X[60:], binary.y[60:])
    fits.clear()
    ensemble.add_member("given", model, binary.X[60:], binary.y[60:], is_fitted=True)
    assert fits == []
    assert ensemble.members_["given"] is model
    assert ensemble.get_params()["prefit"] == ["given"]


def test_default_members_can_be_added_to(binary):
    """An ensemble of default members lists them by name once one is added."""
    pytest.importorskip("xgboost")
    ensemble = Ensemble(combine="soft", random_state=0).fit(binary.X, binary.y)
    ensemble.add_member("added", forest(), binary.X, binary.y)
    assert list(ensemble.members_) == ["random_forest", "xgboost", "added"]


def changed(array, position, value):
    """Return a copy with one entry changed."""
    copy = np.array(array)
    copy[position] = value
    return copy


DATA = sample("binary")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((DATA.X[:-1], DATA.y[:-1]), "these 119 rows are not those that the ensemble was fitted on; give the rows"),
        ((changed(DATA.X, (3, 2), 9.5), DATA.y), "not those that the ensemble was fitted on"),
        ((DATA.X, 1 - DATA.y), "not those that the ensemble was fitted on"),
        ((DATA.X, DATA.y, np.ones(120)), "not those that the ensemble was fitted on"),
        ((DATA.X, changed(DATA.y, 5, 7)), r"y holds \[7\], and the ensemble knows \[0, 1\]"),
        ((DATA.X[:, 1:], DATA.y), "X has 4 features, but Ensemble is expecting 5"),
    ],
    ids=["fewer rows", "a value", "labels", "weights", "a label", "width"],
)
@pytest.mark.parametrize("combine", ["soft", "stacking"])
def test_other_rows_are_refused(combine, arguments, message):
    """Rows, labels or weights other than those of the fit are refused, and the ensemble stays as it was."""
    ensemble = Ensemble(BASE, combine=combine, cv=3, random_state=0).fit(DATA.X, DATA.y)
    before = dict(vars(ensemble))
    with pytest.raises(ValueError, match=message):
        ensemble.add_member("added", forest(), *arguments)
    assert vars(ensemble) == before


@pytest.mark.parametrize(
    ("name", "model", "message"),
    [
        ("wood", forest(), "has the name 'wood'"),
        ("added", forest(task="regression"), "does regression"),
        ("added", "drop", "model='drop' leaves a member out and adds none; give a model"),
        ("added", Frequencies(fails_below=1000), "rows are too few"),
        ("added", Frequencies(fails_below=100), "rows are too few"),
    ],
    ids=["name", "task", "drop", "fit", "fold"],
)
def test_failures_leave_the_ensemble_as_it_was(binary, name, model, message):
    """After a member that is wrong or cannot be fitted, everything is as before."""
    ensemble = Ensemble(BASE, cv=3, random_state=0).fit(binary.X, binary.y)
    before, expected = dict(vars(ensemble)), ensemble.predict_proba(binary.X)
    with pytest.raises((InvalidInputError, RuntimeError), match=message):
        ensemble.add_member(name, model, binary.X, binary.y)
    assert vars(ensemble) == before
    assert np.array_equal(ensemble.predict_proba(binary.X), expected)


def test_earlier_failures_are_not_forgotten(binary):
    """The traceback of a member that was dropped stays when another is added."""
    models = [("bad", Frequencies(fails_below=1000)), forest()]
    ensemble = Ensemble(models, on_error="drop", cv=3, random_state=0)
    with pytest.warns(FitFailedWarning):
        ensemble.fit(binary.X, binary.y)
    ensemble.add_member("line", clone(LOGISTIC), binary.X, binary.y)
    assert list(ensemble.failures_) == ["bad"]
    assert list(ensemble.members_) == ["random_forest", "line"]


def test_only_fitted_ensembles_are_added_to(binary):
    """Before a fit there are no rows to fit on."""
    with pytest.raises(NotFittedError):
        Ensemble(BASE).add_member("added", forest(), binary.X, binary.y)
