"""Folds: how rows are held out, what members say of held-out rows, and how early stopping uses them."""

import numpy as np
import pytest
from samples import boosting, forest, network, stopping
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import (
    GroupKFold,
    KFold,
    RepeatedKFold,
    StratifiedKFold,
    TimeSeriesSplit,
    cross_val_predict,
)
from spies import BoostingSpy

from ensemble_1d import Ensemble, InvalidInputError
from ensemble_1d.out_of_fold import fold_splits, held_rows

LITTLE = np.arange(40, dtype=np.float32).reshape(20, 2)
HALVES = np.repeat([0, 1], 10)
ODD = (np.arange(1, 20, 2), np.arange(0, 20, 2))


def split(cv, groups=None, y=HALVES, rows=None):
    """Return the folds of a little data set."""
    rows = np.arange(20) if rows is None else rows
    return fold_splits(cv, LITTLE, y, groups, rows=rows, is_classification=True, seed=0)


def stacked_forest(cv, **parameters):
    """Return an ensemble of one forest that keeps its out-of-fold predictions."""
    return Ensemble([forest(random_state=0)], cv=cv, **({"random_state": 0} | parameters))


def test_a_number_of_folds_is_shuffled_by_class_and_covers_all_rows():
    """Each of five folds holds out two rows of each class, and every row once."""
    splits = split(5)
    assert all(np.bincount(HALVES[test]).tolist() == [2, 2] for _, test in splits)
    assert sorted(held_rows(splits)) == list(range(20))
    assert all(not set(train) & set(test) for train, test in splits)


def test_a_class_rarer_than_the_folds_is_split_without_classes():
    """One row of a class does not stop five folds."""
    assert len(split(5, y=np.array([1] + [0] * 19))) == 5


def test_groups_stay_together():
    """A group is either trained on or held out."""
    groups = np.repeat(np.arange(5), 4)
    for train, test in split(GroupKFold(5), groups):
        assert not set(groups[train]) & set(groups[test])


def test_masks_and_lists_are_folds_too():
    """An iterable may hold index arrays, boolean masks or lists."""
    mask = np.arange(20) < 5
    for pairs in (
        [(~mask, mask)],
        [(list(range(5, 20)), range(5))],
        iter([(np.flatnonzero(~mask), np.flatnonzero(mask))]),
    ):
        ((train, held),) = split(pairs)
        assert train.tolist() == list(range(5, 20))
        assert held.tolist() == list(range(5))


@pytest.mark.parametrize("cv", [4, StratifiedKFold(4), [ODD]], ids=["number", "splitter", "list"])
def test_rows_without_weight_are_in_no_fold(cv):
    """Rows of weight zero are neither trained on nor held out, however the folds are made."""
    weighted = np.setdiff1d(np.arange(20), [3, 4, 12])
    for train, held in split(cv, rows=weighted):
        assert not np.isin([3, 4, 12], np.concatenate([train, held])).any()


@pytest.mark.parametrize(
    ("cv", "message"),
    [
        (1, "cv=1 makes no folds of n_samples=20 with positive weight; use 2 to 20"),
        (21, "makes no folds"),
        (True, "no way to split|makes no folds"),
        ("five", "no way to split"),
        (RepeatedKFold(n_splits=2, n_repeats=2), r"holds out row .* more than once"),
        (GroupKFold(2), "does not split these 20 rows"),
        ([], "leaves a fold without rows"),
        ([([], [1, 2])], "leaves a fold without rows"),
        ([([0, 1], [99])], "does not split"),
    ],
    ids=str,
)
def test_bad_folds_are_refused(cv, message):
    """The message names the folds and the rule."""
    with pytest.raises(InvalidInputError, match=message):
        split(cv)


def test_folds_without_weight_are_refused():
    """A fold whose held-out rows all have weight zero tells nothing, and the message says so."""
    with pytest.raises(InvalidInputError, match="leaves a fold without rows"):
        split([ODD], rows=np.arange(1, 20, 2))


def test_predictions_are_those_of_cross_val_predict():
    """Each row is predicted by a model that did not see it, as in scikit-learn."""
    X, y = load_iris(return_X_y=True)
    X = X.astype(np.float32)
    folds = KFold(3, shuffle=True, random_state=0)
    ensemble = stacked_forest(folds).fit(X, y)
    expected = cross_val_predict(forest(random_state=0), X, y, cv=folds, method="predict_proba")
    np.testing.assert_array_equal(ensemble._out_of_fold.outputs[0], expected[held_rows(ensemble._splits)])
    np.testing.assert_array_equal(ensemble._out_of_fold.fold, np.repeat([0, 1, 2], 50))


@pytest.mark.parametrize("combine", ["stacking", "optimized", "greedy"])
def test_classes_that_a_fold_did_not_train_on_have_probability_zero(combine):
    """Each third of sorted iris is one class: held out, none of its rows gets any probability for it."""
    X, y = load_iris(return_X_y=True)
    labels = np.array(["a", "b", "c"])[y]
    ensemble = Ensemble([forest(), boosting(early_stopping=True)], combine=combine, cv=KFold(3), random_state=0)
    outputs = ensemble.fit(X, labels)._out_of_fold.outputs
    assert (outputs[:, np.arange(150), y] == 0).all()
    np.testing.assert_allclose(outputs.sum(axis=2), 1, atol=1e-6)
    np.testing.assert_allclose(ensemble.predict_proba(X).sum(axis=1), 1)


@pytest.mark.parametrize(
    "member", [forest(), stopping(), network(early_stopping=True)], ids=lambda each: each.default_name
)
def test_a_fold_of_one_class_predicts_that_class(member):
    """A training fold with one class says so with certainty instead of failing; the model of all rows is fitted."""
    y = np.array(["a", "b"])[HALVES]
    halves = [(np.arange(10), np.arange(10, 20)), (np.arange(10, 20), np.arange(10))]
    ensemble = Ensemble([member], cv=halves, random_state=0).fit(LITTLE, y)
    np.testing.assert_array_equal(ensemble._out_of_fold.outputs[0], np.repeat([[1.0, 0.0], [0.0, 1.0]], 10, axis=0))
    assert set(ensemble.predict(LITTLE)) <= {"a", "b"}


def test_averages_of_folds_of_one_class_are_refused():
    """refit="average" has nothing to average where every fold trains on one class."""
    halves = [(np.arange(10), np.arange(10, 20)), (np.arange(10, 20), np.arange(10))]
    with pytest.raises(InvalidInputError, match="every fold trains on one class only"):
        Ensemble([forest()], cv=halves, refit="average").fit(LITTLE, HALVES)


def test_rows_that_no_fold_holds_out_are_counted(binary):
    """The coverage is the share of rows held out; without folds there is none."""
    assert stacked_forest(TimeSeriesSplit(5)).fit(binary.X, binary.y).oof_coverage_ == pytest.approx(5 / 6, abs=0.01)
    assert stacked_forest(3).fit(binary.X, binary.y).oof_coverage_ == 1.0
    assert not hasattr(stacked_forest(3, combine="soft").fit(binary.X, binary.y), "oof_coverage_")


def test_early_stopping_gets_the_rows_that_a_fold_holds_out(binary, fits):
    """Each fold's model stops by the rows, labels and weights that its fold holds out."""
    pytest.importorskip("xgboost")
    weights = np.linspace(0.5, 2, len(binary.X))
    spy = BoostingSpy(n_estimators=20, max_depth=2, early_stopping=True, n_iter_no_change=2)
    ensemble = Ensemble([spy], cv=3, random_state=0).fit(binary.X, binary.y, weights)
    *folds, whole = fits
    for fit, (train, held) in zip(folds, ensemble._splits, strict=True):
        assert np.array_equal(fit["X"], binary.X[train].astype(np.float32))
        assert np.array_equal(fit["X_val"], binary.X[held].astype(np.float32))
        assert np.array_equal(fit["y_val"], binary.y[held])
        assert np.array_equal(fit["sample_weight"], weights[train])
        assert np.array_equal(fit["sample_weight_val"], weights[held])
    assert "X_val" not in whole
    assert len(whole["X"]) == len(binary.X)


@pytest.mark.parametrize("name", ["xgboost", "torch"])
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_final_rounds_are_the_mean_of_the_folds(request, name, task, fits):
    """The model of all rows runs for the rounded mean of the folds' best iterations, and no longer stops early."""
    pytest.importorskip(name)
    data = request.getfixturevalue(task)
    task = "regression" if task == "regression" else "classification"
    member = (
        stopping(task=task, random_state=0)
        if name == "xgboost"
        else network(task=task, early_stopping=True, n_iter_no_change=3, random_state=0)
    )
    folds = KFold(4, shuffle=True, random_state=1)
    ensemble = Ensemble([member], task=task, cv=folds).fit(data.X, data.y)
    best = [
        clone(member).fit(data.X[train], data.y[train], X_val=data.X[held], y_val=data.y[held]).best_iteration_
        for train, held in folds.split(data.X)
    ]
    (model,) = ensemble.members_.values()
    assert len(set(best)) > 1
    assert model.early_stopping is False
    assert getattr(model, model._rounds_parameter) == model.best_iteration_ == round(np.mean(best))
    assert member.early_stopping


def test_early_stopping_without_folds_holds_out_rows_of_its_own(binary):
    """Where no rule needs folds, a member that stops early does so by itself."""
    pytest.importorskip("xgboost")
    ensemble = Ensemble([stopping(random_state=3)], combine="soft").fit(binary.X, binary.y)
    alone = stopping(random_state=3).fit(binary.X, binary.y)
    assert ensemble.members_["xgboost"].early_stopping
    assert np.array_equal(ensemble.predict_proba(binary.X), alone.predict_proba(binary.X))


def test_averaged_models_keep_their_early_stopping(binary):
    """With refit="average" each fold's model is kept as it stopped."""
    pytest.importorskip("xgboost")
    ensemble = Ensemble([stopping()], refit="average", cv=3, random_state=0).fit(binary.X, binary.y)
    models = ensemble.members_["xgboost"].models
    assert len(models) == 3
    assert all(model.early_stopping and model.best_iteration_ <= 15 for model in models)


def test_the_seed_decides_the_folds(binary):
    """One seed makes the same folds again, another seed others; a splitter's own folds stay as they are."""
    splits = [held_rows(stacked_forest(3, random_state=seed).fit(binary.X, binary.y)._splits) for seed in (0, 0, 1)]
    assert np.array_equal(splits[0], splits[1])
    assert not np.array_equal(splits[0], splits[2])
