"""The thread budget: workers times threads never exceed it, and a member's own number stays."""

import threading

import pytest
from joblib import parallel_config
from samples import boosting, forest, network
from sklearn.linear_model import LogisticRegression
from spies import FITS, Frequencies
from threadpoolctl import threadpool_info, threadpool_limits

from ensemble_1d import Ensemble, RandomForestModel, thread_budget
from ensemble_1d.thread_budget import openmp_runtimes, with_threads, workers_and_threads


@pytest.mark.parametrize("n_jobs", [1, 2, 3, 4, 8, 16])
@pytest.mark.parametrize("n_tasks", [1, 2, 3, 5, 40])
def test_workers_times_threads_are_within_the_budget(n_jobs, n_tasks):
    """As many workers as there are tasks or threads, and what is left for the threads of each."""
    workers, threads = workers_and_threads(n_jobs, n_tasks)
    assert workers == min(n_jobs, n_tasks)
    assert workers * threads <= n_jobs < workers * (threads + 1)


def test_the_budget_is_one_unless_joblib_says_otherwise():
    """None is one, or what joblib.parallel_config says."""
    assert workers_and_threads(None, 10) == (1, 1)
    with parallel_config(backend="threading", n_jobs=3):
        assert workers_and_threads(None, 10) == (3, 1)
        assert workers_and_threads(None, 1) == (1, 3)
    assert workers_and_threads(3, 0) == (1, 3)


def test_two_openmp_runtimes_on_macos_get_one_thread(monkeypatch):
    """XGBoost's and torch's copies crash together there as soon as both start threads; a warning says what to do."""
    monkeypatch.setattr(thread_budget.sys, "platform", "darwin")
    monkeypatch.setattr(thread_budget, "openmp_runtimes", lambda: ["a/libomp.dylib", "b/libomp.dylib"])
    with pytest.warns(RuntimeWarning, match=r"two OpenMP runtimes .*'a/libomp.dylib'.*parallel_config\(backend='loky'"):
        assert workers_and_threads(4, 2) == (2, 1)
    assert workers_and_threads(4, 4) == (4, 1)  # Nothing to warn of.
    monkeypatch.setattr(thread_budget, "openmp_runtimes", lambda: ["a/libomp.dylib"])
    assert workers_and_threads(4, 2) == (2, 2)


def test_two_openmp_runtimes_elsewhere_are_no_matter(monkeypatch):
    """On other systems several runtimes live together."""
    monkeypatch.setattr(thread_budget.sys, "platform", "linux")
    monkeypatch.setattr(thread_budget, "openmp_runtimes", lambda: ["a", "b"])
    assert workers_and_threads(4, 2) == (2, 2)


def test_openmp_runtimes_are_those_of_this_process(binary):
    """What is loaded is listed once each."""
    pytest.importorskip("xgboost")
    boosting(n_estimators=1).fit(binary.X, binary.y)
    found = openmp_runtimes()
    assert found == sorted(set(found))
    assert all(isinstance(each, str) for each in found)


def test_threads_are_handed_to_models_that_name_none():
    """A model's own number stays, and a network keeps one thread: its sums depend on the number."""
    assert with_threads(forest(), 3).n_jobs == 3
    assert with_threads(forest(n_jobs=1), 3).n_jobs == 1
    assert with_threads(network(), 3).n_jobs is None
    assert with_threads(Ensemble([forest()]), 3).n_jobs == 3


class Counting(RandomForestModel):
    """A forest that counts how many fits run at once, and notes its threads."""

    lock = threading.Lock()
    running = 0
    most = 0
    threads: set = set()  # noqa: RUF012 -- shared on purpose

    def fit(self, X, y, sample_weight=None):
        """Count."""
        kind = type(self)
        with kind.lock:
            kind.running += 1
            kind.most = max(kind.most, kind.running * (self.n_jobs or 1))
            kind.threads.add(threading.get_ident())
        try:
            return super().fit(X, y, sample_weight)
        finally:
            with kind.lock:
                kind.running -= 1


@pytest.mark.parametrize("n_jobs", [1, 2, 3])
def test_fits_never_use_more_than_the_budget(binary, n_jobs):
    """At any time, the fits that run and the threads of each are within the number given."""
    Counting.most = 0
    members = [Counting(n_estimators=4) for _ in range(3)]
    Ensemble(members, cv=3, n_jobs=n_jobs, random_state=0).fit(binary.X, binary.y)
    assert 1 <= Counting.most <= n_jobs


def blas_threads():
    """Return the threads of each BLAS that is loaded."""
    return [each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"]


class BlasSpy(Frequencies):
    """A classifier that notes the threads of BLAS while it is fitted."""

    def fit(self, X, y):
        """Note, and fit."""
        FITS.append({"model": self, "blas": blas_threads()})
        return super().fit(X, y)


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_blas_has_one_thread_in_every_fit(binary, fits, n_jobs):
    """Sums of BLAS have one order in fits side by side too; afterwards it has what it had before."""
    models = [BlasSpy(), LogisticRegression(solver="newton-cholesky"), LogisticRegression(solver="newton-cholesky")]
    with threadpool_limits(limits=2, user_api="blas"):
        before = blas_threads()
        for _ in range(3):
            Ensemble(models, cv=3, n_jobs=n_jobs, random_state=0).fit(binary.X, binary.y)
        assert blas_threads() == before
    noted = [each["blas"] for each in fits if "blas" in each]
    assert len(noted) == 12
    assert all(set(each) == {1} for each in noted)
