"""Members that are left out, that are fitted already, and that fail."""

import pickle

import numpy as np
import pytest
from samples import forest, network, sample
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning, NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.utils.validation import check_is_fitted
from spies import Frequencies

from ensemble_1d import Ensemble, InvalidInputError
from ensemble_1d.runtime import run

RULES = ("soft", "hard", "optimized", "greedy", "stacking")
LOGISTIC = LogisticRegression(solver="newton-cholesky")


def fitted_pair(data):
    """Return a forest and a linear model, fitted on the first half of the rows."""
    return forest(random_state=0).fit(data.X[:60], data.y[:60]), clone(LOGISTIC).fit(data.X[:60], data.y[:60])


@pytest.mark.parametrize("combine", RULES)
def test_dropped_members_are_not_there(binary, combine):
    """A model that is "drop" leaves the ensemble that the others make with the same seeds."""
    models = [("a", forest()), ("b", forest(max_depth=1)), ("c", LOGISTIC)]
    ensemble = Ensemble(models, combine=combine, cv=3, random_state=0).set_params(b="drop").fit(binary.X, binary.y)
    assert ensemble.get_params()["b"] == "drop"
    assert list(ensemble.members_) == ["a", "c"]
    assert ensemble.weights_.shape == (2,)
    given = Ensemble([models[0], ("b", "drop"), models[2]], combine=combine, cv=3, random_state=0)
    given.fit(binary.X, binary.y)
    assert np.array_equal(given.predict_proba(binary.X), ensemble.predict_proba(binary.X))
    full = Ensemble(models, combine=combine, cv=3, random_state=0).fit(binary.X, binary.y)
    X = binary.X.astype(np.float32)
    assert np.array_equal(full.members_["a"].predict_proba(X), ensemble.members_["a"].predict_proba(X))


def test_weights_of_dropped_members_do_not_count(binary):
    """Given weights are one for each listed model; those that are left have a sum of one."""
    for weights in ([1, 5, 3], {"a": 1, "c": 3}, {"a": 1, "b": 5, "c": 3}):
        models = [("a", forest()), ("b", "drop"), ("c", LOGISTIC)]
        ensemble = Ensemble(models, combine="soft", weights=weights, random_state=0).fit(binary.X, binary.y)
        assert ensemble.weights_.tolist() == [0.25, 0.75]
    with pytest.raises(InvalidInputError, match="models is 'drop' throughout; give one model or more"):
        Ensemble([("a", "drop")]).fit(binary.X, binary.y)
    with pytest.raises(InvalidInputError, match="not all of them 0"):
        Ensemble(models, combine="soft", weights=[0, 1, 0]).fit(binary.X, binary.y)


@pytest.mark.parametrize("prefit", [True, ["line", "tree"], {"tree", "line"}], ids=["all", "list", "set"])
@pytest.mark.parametrize("combine", RULES)
def test_fitted_members_are_taken_as_they_are(words, prefit, combine):
    """Fitted members are neither cloned nor fitted again nor changed, and learn from the rows given."""
    tree, line = fitted_pair(words)
    before = pickle.dumps(tree), pickle.dumps(line)
    ensemble = Ensemble([("tree", tree), ("line", line)], combine=combine, prefit=prefit, cv=3, random_state=0)
    ensemble.fit(words.X[60:], words.y[60:])
    assert ensemble.members_["tree"] is tree
    assert ensemble.members_["line"].backend_ is line
    assert (pickle.dumps(tree), pickle.dumps(line)) == before
    X = words.X.astype(np.float32)
    held = ensemble._out_of_fold
    if held is not None:
        expected = tree.predict_proba(X)[60:]
        assert sorted(held.outputs[0, :, 0].tolist()) == sorted(expected[:, 0].tolist())
    np.testing.assert_allclose(run(ensemble.program(), X), ensemble.predict_proba(X), atol=1e-4)


def test_some_members_may_be_fitted_already(binary, fits):
    """The names in prefit are taken as they are, the others are fitted."""
    tree, _ = fitted_pair(binary)
    models = [("tree", tree), ("counting", Frequencies())]
    ensemble = Ensemble(models, prefit=["tree"], cv=3, random_state=0).fit(binary.X, binary.y)
    assert len(fits) == 4
    assert ensemble.members_["tree"] is tree


@pytest.mark.parametrize("prefit", ["tree", 1, ["tree", "wood"]], ids=str)
def test_wrong_choices_of_fitted_members_are_refused(binary, prefit):
    """What is no bool and no collection of names, or names no member, is refused."""
    tree, line = fitted_pair(binary)
    with pytest.raises(InvalidInputError, match=r"is no choice of members; use True, False or a list|names \['wood'\]"):
        Ensemble([("tree", tree), ("line", line)], prefit=prefit).fit(binary.X, binary.y)


def test_members_that_are_not_fitted_after_all_are_refused(binary):
    """A member that prefit names and nobody fitted is refused by name."""
    tree, _ = fitted_pair(binary)
    for model in (forest(), LOGISTIC):
        with pytest.raises(InvalidInputError, match="prefit says that model 'other' is fitted, and it is not; fit it"):
            Ensemble([("tree", tree), ("other", model)], prefit=True).fit(binary.X, binary.y)


def test_fitted_members_must_suit_the_rows(multiclass):
    """A fitted member of another width, or one that knows labels that y lacks, is refused by name."""
    for model in fitted_pair(multiclass):
        ensemble = Ensemble([("given", model)], combine="soft", prefit=True)
        with pytest.raises(InvalidInputError, match="'given' knows 5 features and gets 4; give X these 5 features"):
            ensemble.fit(multiclass.X[:, 1:], multiclass.y)
        two = multiclass.y < 2
        with pytest.raises(InvalidInputError, match=r"'given' knows the labels \[2\], which y does not hold"):
            ensemble.fit(multiclass.X[two], multiclass.y[two])
        narrow = Ensemble([("given", model)], combine="soft", prefit=True, columns={"given": [0, 1]})
        with pytest.raises(InvalidInputError, match="knows 5 features and gets 2"):
            narrow.fit(multiclass.X, multiclass.y)


@pytest.mark.parametrize("kind", ["forest", "linear"])
@pytest.mark.parametrize("combine", ["soft", "stacking"])
def test_fitted_members_may_know_fewer_labels(multiclass, kind, combine):
    """A member fitted on two of three labels gives the third probability zero, in the program too."""
    two = multiclass.y != 1
    model = (forest(random_state=0) if kind == "forest" else clone(LOGISTIC)).fit(multiclass.X[two], multiclass.y[two])
    models = [("two", model), ("all", forest())]
    ensemble = Ensemble(models, combine=combine, prefit=["two"], cv=3, random_state=0).fit(multiclass.X, multiclass.y)
    X = multiclass.X.astype(np.float32)
    output = ensemble._member_output(ensemble._fitted_members[0], X)
    assert (output[:, 1] == 0).all()
    np.testing.assert_allclose(output[:, [0, 2]], model.predict_proba(X), atol=1e-6)
    np.testing.assert_allclose(run(ensemble.program(), X), ensemble.predict_proba(X), atol=1e-4)


@pytest.mark.parametrize("combine", ["soft", "stacking"])
def test_failures_name_the_member(binary, combine):
    """An error of a member comes as it is, with a note that names the member and the fold."""
    models = [("good", forest()), ("bad", Frequencies(fails_below=1000))]
    ensemble = Ensemble(models, combine=combine, cv=3, random_state=0)
    with pytest.raises(RuntimeError, match="rows are too few") as caught:
        ensemble.fit(binary.X, binary.y)
    (note,) = caught.value.__notes__
    assert note.startswith("This was the fit of member bad, ")
    assert "on_error='drop' would go on without it" in note
    with pytest.raises(NotFittedError):
        check_is_fitted(ensemble)


@pytest.mark.parametrize("fails_below", [1000, 100], ids=["everywhere", "in folds"])
@pytest.mark.parametrize("combine", RULES)
def test_members_that_fail_are_dropped(binary, combine, fails_below):
    """With on_error="drop" a warning names the member, its traceback is kept, and the others do without it."""
    if fails_below == 100 and combine in {"soft", "hard"}:
        pytest.skip("there are no folds")
    models = [("bad", Frequencies(fails_below=fails_below)), ("good", forest()), ("line", LOGISTIC)]
    weights = [2, 3, 1] if combine in {"soft", "hard"} else None
    ensemble = Ensemble(models, combine=combine, weights=weights, on_error="drop", cv=3, random_state=0)
    with pytest.warns(
        FitFailedWarning, match=r"dropped members whose fit failed: \{'bad': 'RuntimeError: .* too few'\}"
    ):
        ensemble.fit(binary.X, binary.y)
    assert list(ensemble.members_) == ["good", "line"]
    assert list(ensemble.failures_) == ["bad"]
    assert "Traceback" in ensemble.failures_["bad"]
    assert "spies.py" in ensemble.failures_["bad"]
    assert ensemble.weights_.sum() == pytest.approx(1)
    without = Ensemble([("bad", "drop"), *models[1:]], combine=combine, weights=weights, cv=3, random_state=0)
    without.fit(binary.X, binary.y)
    assert np.array_equal(ensemble.predict_proba(binary.X), without.predict_proba(binary.X))
    assert ensemble.recombine("soft", [1, 3, 1]).weights_.tolist() == [0.75, 0.25]


def test_a_fit_that_stops_early_is_dropped_with_its_folds(binary):
    """A network whose folds cannot be fitted is not fitted on all rows either."""
    pytest.importorskip("torch")
    wild = network(learning_rate=1e30, early_stopping=True)
    ensemble = Ensemble([("wild", wild), forest()], on_error="drop", cv=3, random_state=0)
    with pytest.warns(FitFailedWarning, match="training diverged"):
        ensemble.fit(binary.X, binary.y)
    assert list(ensemble.members_) == ["random_forest"]


def test_all_members_failing_is_an_error(binary):
    """Where no member is left, the error tells what each said."""
    models = [(name, Frequencies(fails_below=1000)) for name in ("one", "two")]
    with pytest.raises(InvalidInputError, match=r"no member could be fitted: \{'one': 'RuntimeError.*'two': 'Runtime"):
        Ensemble(models, combine="soft", on_error="drop").fit(binary.X, binary.y)


@pytest.mark.parametrize(("name", "value"), [("on_error", "ignore"), ("refit", False), ("refit", "mean")])
def test_unknown_choices_are_refused(binary, name, value):
    """The message names the parameter and its values."""
    with pytest.raises(InvalidInputError, match=f"{name}={value!r} is unknown; use "):
        Ensemble([forest()], **{name: value}).fit(binary.X, binary.y)


def test_failures_are_empty_where_nothing_failed():
    """Without failures there is an empty dict."""
    data = sample("binary")
    ensemble = Ensemble([forest(), KNeighborsClassifier()], combine="soft", on_error="drop").fit(data.X, data.y)
    assert ensemble.failures_ == {}
