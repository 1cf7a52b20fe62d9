"""What a fit tells while it runs: lines, a bar, and scikit-learn's callbacks."""

import sys
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from samples import forest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from spies import Frequencies

from ensemble_1d import Ensemble, progress

LOGISTIC = LogisticRegression(solver="newton-cholesky")
LABELS = {
    *("wood, all rows", "line, all rows", "wood, fold 1 of 2", "line, fold 1 of 2"),
    *("wood, fold 2 of 2", "line, fold 2 of 2"),
}


def ensemble_of(**options):
    """Return an ensemble of two members and two folds: six fits."""
    return Ensemble([("wood", forest()), ("line", LOGISTIC)], **({"cv": 2, "random_state": 0} | options))


@pytest.fixture
def bar(monkeypatch):
    """A tqdm that notes what is asked of it; the list of notes."""
    notes = []

    class Bar:
        def __init__(self, *, total, unit):
            notes.append(("open", total, unit))

        def set_postfix_str(self, text):
            notes.append(("label", text))

        def update(self, count):
            notes.append(("update", count))

        def close(self):
            notes.append(("close",))

    module = ModuleType("tqdm.auto")
    module.tqdm = Bar
    monkeypatch.setattr(progress, "is_available", lambda name: name == "tqdm")
    monkeypatch.setattr(progress, "require", lambda name, caller: module)
    return notes


@pytest.mark.parametrize("n_jobs", [1, 2])
def test_without_tqdm_each_fit_is_a_line(binary, capsys, monkeypatch, n_jobs):
    """Lines on standard error count the fits and name member and fold; standard output stays empty."""
    monkeypatch.setattr(progress, "is_available", lambda _: False)
    ensemble_of(verbose=1, n_jobs=n_jobs).fit(binary.X, binary.y)
    told = capsys.readouterr()
    assert told.out == ""
    lines = told.err.splitlines()
    assert [line.split("]")[0] for line in lines] == [f"[{number}/6" for number in range(1, 7)]
    assert {line.split("] ")[1].split(":")[0] for line in lines} == LABELS
    assert all(line.endswith(" s") for line in lines)


def test_with_tqdm_there_is_a_bar(binary, capsys, bar):
    """The bar knows the number of fits, moves with each and is closed."""
    ensemble_of(verbose=1).fit(binary.X, binary.y)
    assert bar[0] == ("open", 6, "fit")
    assert bar[-1] == ("close",)
    assert [note for note in bar if note[0] == "update"] == [("update", 1)] * 6
    assert {note[1] for note in bar if note[0] == "label"} == LABELS
    assert capsys.readouterr().err == ""


def test_the_bar_is_closed_after_a_failure(binary, bar):
    """A fit that fails leaves no bar open."""
    with pytest.raises(RuntimeError):
        Ensemble([Frequencies(fails_below=1000)], cv=2, verbose=1).fit(binary.X, binary.y)
    assert bar[-1] == ("close",)


def test_silence_is_the_default(binary, capsys, bar):
    """Without verbose nothing is written and no bar is opened."""
    ensemble_of().fit(binary.X, binary.y)
    assert capsys.readouterr() == ("", "")
    assert bar == []


@pytest.mark.parametrize(
    ("options", "total"), [({"refit": "average"}, 4), ({"combine": "soft"}, 2), ({"line": "drop"}, 3)]
)
def test_the_number_of_fits_is_known(binary, bar, options, total):
    """Only what is fitted counts."""
    ensemble = ensemble_of(verbose=1).set_params(**options).fit(binary.X, binary.y)
    assert bar[0] == ("open", total, "fit")
    bar.clear()
    ensemble.add_member("added", forest(), binary.X, binary.y)
    assert bar[0][1] == len([note for note in bar if note[0] == "update"])


class Recorder:
    """A callback of scikit-learn's protocol that notes when it is called."""

    def __init__(self):
        """Start with no notes."""
        self.notes = []

    def setup(self, estimator, context):
        """Note the begin of a fit."""
        self.notes.append("setup")

    def teardown(self, estimator, context):
        """Note the end of a fit, good or bad."""
        self.notes.append("teardown")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        """Note the begin of a part."""
        self.notes.append(("begin", context.task_name))

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None, fitted_estimator=None):
        """Note the end of a part."""
        self.notes.append(("end", context.task_name))


class TestCallbacks:
    """scikit-learn's callbacks, where the installed release has them."""

    @pytest.fixture(autouse=True)
    def callbacks(self):
        """Skip where there are none."""
        pytest.importorskip("sklearn.callback")

    @pytest.mark.parametrize("n_jobs", [1, 2])
    def test_the_fit_and_each_part_of_it_are_told(self, binary, n_jobs):
        """The whole begins first and ends last; each fit of a member is a part."""
        recorder = Recorder()
        ensemble = ensemble_of(n_jobs=n_jobs)
        assert ensemble.set_callbacks(recorder) is ensemble
        ensemble.fit(binary.X, binary.y)
        first, begin, *parts, end, last = recorder.notes
        assert (first, last) == ("setup", "teardown")
        assert (begin, end) == (("begin", "fit"), ("end", "fit"))
        assert {label for _, label in parts} == LABELS
        assert [kind for kind, _ in parts] == ["begin", "end"] * 6

    def test_callbacks_are_torn_down_after_a_failure(self, binary):
        """A fit that fails has no end, but a teardown; a later fit works."""
        recorder = Recorder()
        ensemble = ensemble_of().set_params(line=Frequencies(fails_below=1000)).set_callbacks(recorder)
        with pytest.raises(RuntimeError):
            ensemble.fit(binary.X, binary.y)
        assert recorder.notes[-1] == "teardown"
        assert ("end", "fit") not in recorder.notes
        ensemble.set_params(line=LOGISTIC).fit(binary.X, binary.y)
        assert recorder.notes[-2:] == [("end", "fit"), "teardown"]

    def test_callbacks_change_nothing(self, binary):
        """The same seed gives the same bits with callbacks."""
        plain = ensemble_of().fit(binary.X, binary.y)
        told = ensemble_of().set_callbacks(Recorder()).fit(binary.X, binary.y)
        assert np.array_equal(plain.predict_proba(binary.X), told.predict_proba(binary.X))

    def test_searches_take_ensembles_with_callbacks(self, binary):
        """A search clones the ensemble, callbacks included, and tells of each fit."""
        recorder = Recorder()
        ensemble = ensemble_of(combine="soft").set_callbacks(recorder)
        GridSearchCV(ensemble, {"wood__max_depth": [1, 2]}, cv=2, error_score="raise").fit(binary.X, binary.y)
        assert recorder.notes.count("setup") == recorder.notes.count("teardown")

    def test_the_progress_bar_of_scikit_learn_works(self, binary, capsys):
        """Its own ProgressBar shows the fits of the ensemble."""
        pytest.importorskip("rich")
        from sklearn.callback import ProgressBar

        ensemble_of().set_callbacks(ProgressBar()).fit(binary.X, binary.y)
        assert "Ensemble" in capsys.readouterr().out


def test_without_callbacks_a_fit_does_without(binary, monkeypatch):
    """Releases of scikit-learn without callbacks fit as well: there is nothing in their place."""
    import importlib

    from ensemble_1d import _callbacks

    monkeypatch.setitem(sys.modules, "sklearn.callback", None)
    fresh = importlib.util.module_from_spec(_callbacks.__spec__)
    _callbacks.__spec__.loader.exec_module(fresh)
    assert fresh.with_callbacks(len) is len
    told = fresh.FitCallbacks(SimpleNamespace(), binary.X, binary.y)
    told.finished("part")
    told.end()
    assert not hasattr(fresh.CallbackSupport, "set_callbacks")
