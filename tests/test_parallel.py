"""The result of a fit does not depend on how many fits run side by side, nor on where."""

import numpy as np
import pytest
from joblib import parallel_config
from samples import boosting, forest, network, outputs, sample, stopping
from sklearn.datasets import make_classification, make_regression
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression, Ridge

from ensemble_1d import Ensemble, XGBoostModel
from ensemble_1d.member_fitting import _jobs, _task
from ensemble_1d.members import Member

pytestmark = pytest.mark.filterwarnings("ignore:A worker stopped while some jobs:UserWarning")


def mixed(task, **options):
    """Return an ensemble of members of every kind, of which two stop early."""
    pytest.importorskip("xgboost")
    pytest.importorskip("torch")
    line = LogisticRegression(solver="newton-cholesky") if task == "classification" else Ridge()
    net = network(task=task, max_epochs=4)
    stopping_net = network(task=task, max_epochs=6, early_stopping=True, n_iter_no_change=2, dropout=0.2)
    members = [forest(task=task), stopping(task=task), ("net", net), ("stopping_net", stopping_net), ("line", line)]
    return Ensemble(members, task=task, **({"cv": 3, "random_state": 0} | options))


@pytest.mark.parametrize("options", [{}, {"combine": "soft"}, {"refit": "average"}], ids=str)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_any_number_of_threads_gives_the_same_bits(task, options):
    """One, two or four threads: the same members, weights and predictions, bit for bit."""
    data = sample("regression" if task == "regression" else "multiclass")
    first, *others = (mixed(task, n_jobs=n_jobs, **options).fit(data.X, data.y) for n_jobs in (1, 2, 4))
    for other in others:
        assert np.array_equal(outputs(other, data.X), outputs(first, data.X))
        assert np.array_equal(other.weights_, first.weights_)
        for member, same in zip(first.members_.values(), other.members_.values(), strict=True):
            assert np.array_equal(outputs(member, data.X), outputs(same, data.X))


@pytest.mark.slow
def test_processes_give_the_same_bits(multiclass):
    """Moved to processes by joblib, the fit gives the same bits, and an error keeps its note."""
    X, y = multiclass.X, multiclass.y
    first = mixed("classification").fit(X, y)
    for backend in ("threading", "loky"):
        with parallel_config(backend=backend, n_jobs=2):
            other = mixed("classification").fit(X, y)
            with pytest.raises(ValueError, match="max_depth") as caught:
                Ensemble([boosting(), forest(max_depth=-3)], cv=2).fit(X, y)
        assert np.array_equal(other.predict_proba(X), first.predict_proba(X))
        assert "This was the fit of member random_forest" in caught.value.__notes__[0]


def test_boosted_trees_do_not_depend_on_their_threads():
    """XGBoost on thousands of rows gives the same bits with one and with two threads, row samples and weights too."""
    pytest.importorskip("xgboost")
    X, y = make_classification(4000, 30, n_informative=12, n_classes=3, random_state=0)
    weights = np.random.default_rng(0).uniform(0.1, 3, 4000)
    for parameters in ({}, {"subsample": 0.7, "colsample_bytree": 0.5}):
        one, two = (
            XGBoostModel(n_estimators=15, n_jobs=n_jobs, random_state=0, **parameters).fit(X, y, weights)
            for n_jobs in (1, 2)
        )
        assert np.array_equal(one.predict_proba(X), two.predict_proba(X))
    X, y = make_regression(4000, 30, noise=5, random_state=0)
    one, two = (XGBoostModel(task="regression", n_estimators=15, n_jobs=n).fit(X, y, weights) for n in (1, 2))
    assert np.array_equal(one.predict(X), two.predict(X))


def test_estimators_of_scikit_learn_do_not_depend_on_their_threads():
    """A lone member gets all threads; BLAS keeps one, and OpenMP adds histograms in one order."""
    X, y = make_classification(3000, 40, n_informative=12, n_classes=3, random_state=0)
    for estimator in (LogisticRegression(max_iter=500), HistGradientBoostingClassifier(max_iter=10)):
        one, two = (Ensemble([estimator], combine="soft", n_jobs=n_jobs, random_state=0).fit(X, y) for n_jobs in (1, 2))
        assert np.array_equal(one.predict_proba(X), two.predict_proba(X))


def tasks_of(*models, n_folds=3):
    """Return the tasks of some models, with folds and one of all rows."""
    rows = np.arange(4)
    members = [Member(model.default_name, model, None, False, 0) for model in models]
    folds = [_task(i, each, 0, "fold", fold=(rows, rows)) for i, each in enumerate(members) for _ in range(n_folds)]
    return folds + [_task(i, each, 0, "all") for i, each in enumerate(members)]


def test_fits_that_hold_the_lock_are_one_job():
    """In threads all fits of networks are one job, the longest first; in processes the folds of each are one."""
    tasks = tasks_of(forest(), network(), network(hidden_layer_sizes=(3,)))
    assert [len(job) for job in _jobs(tasks)] == [8, 1, 1, 1, 1]
    with parallel_config(backend="loky", n_jobs=2):
        assert [len(job) for job in _jobs(tasks)] == [3, 3, 1, 1, 1, 1, 1, 1]
