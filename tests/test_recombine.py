"""One pass over the folds serves every rule: recombine fits nothing, and gives what a fit with the rule would."""

import pickle
from copy import deepcopy
from itertools import permutations

import numpy as np
import pytest
from samples import forest, outputs, sample
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from spies import ForestSpy, Frequencies

from ensemble_1d import Ensemble, InvalidInputError
from ensemble_1d.combination import RULES

LEARNED = ("optimized", "greedy", "stacking")


def ensemble_of(task="classification", **options):
    """Return an ensemble of a forest and a linear model with three folds."""
    line = LogisticRegression(solver="newton-cholesky") if task == "classification" else Ridge()
    models = [("wood", forest(task=task, max_depth=2)), ("line", line)]
    return Ensemble(models, task=task, **({"cv": 3, "random_state": 0} | options))


@pytest.mark.parametrize(
    "options", [{"combine": rule} for rule in LEARNED] + [{"combine": "soft", "calibrate": True}], ids=str
)
def test_each_member_is_fitted_once_for_each_fold_and_once_more(binary, fits, options):
    """Two members and four folds are ten fits; a change of the rule is none."""
    ensemble = Ensemble([ForestSpy(n_estimators=2), Frequencies()], cv=4, random_state=0, **options)
    ensemble.fit(binary.X, binary.y)
    assert len(fits) == 2 * (4 + 1)
    assert sorted(len(each["X"]) for each in fits) == [90] * 8 + [120] * 2
    for rule in RULES:
        ensemble.recombine(rule).recombine(rule, calibrate=True)
    assert len(fits) == 10


@pytest.mark.parametrize(
    ("options", "n_fits"), [({"combine": "soft"}, 2), ({"combine": "hard"}, 2), ({"refit": "average"}, 6)]
)
def test_nothing_is_fitted_that_is_not_needed(binary, fits, options, n_fits):
    """Rules that learn nothing need no folds, and averages of folds need no fit on all rows."""
    Ensemble([ForestSpy(n_estimators=2), Frequencies()], cv=3, random_state=0, **options).fit(binary.X, binary.y)
    assert len(fits) == n_fits


@pytest.mark.parametrize(("before", "after"), list(permutations(RULES, 2)))
def test_a_change_of_rule_equals_a_fit_with_it(multiclass, before, after):
    """From any rule to any other, calibrated or not, as long as the fit had folds."""
    X, y = multiclass.X, multiclass.y
    changed = ensemble_of(combine=before, calibrate=True).fit(X, y)
    for calibrate in (True, False):
        fresh = ensemble_of(combine=after, calibrate=calibrate).fit(X, y)
        assert changed.recombine(after, calibrate=calibrate) is changed
        assert np.array_equal(outputs(changed, X), outputs(fresh, X))
        assert np.array_equal(changed.weights_, fresh.weights_)
        assert changed.get_params(deep=False).keys() == fresh.get_params(deep=False).keys()
        assert (changed.combine, changed.calibrate) == (fresh.combine, fresh.calibrate)


@pytest.mark.parametrize(("before", "after"), list(permutations(["soft", *LEARNED], 2)))
def test_a_change_of_rule_equals_a_fit_with_it_for_regression(regression, before, after):
    """Values are combined anew as well."""
    refit = {"refit": "average"} if before == "soft" or after == "soft" else {}
    changed, fresh = (ensemble_of("regression", combine=rule, **refit) for rule in (before, after))
    changed.fit(regression.X, regression.y).recombine(after)
    assert np.array_equal(changed.predict(regression.X), fresh.fit(regression.X, regression.y).predict(regression.X))


def test_features_pass_through_and_back(binary):
    """A fit with the features can do without them and see them again; a fit without them cannot."""
    X, y = binary.X, binary.y
    seen, unseen = (ensemble_of(passthrough=each).fit(X, y) for each in (True, False))
    first = seen.predict_proba(X)
    assert not np.array_equal(first, unseen.predict_proba(X))
    assert np.array_equal(seen.recombine("stacking", passthrough=False).predict_proba(X), unseen.predict_proba(X))
    assert np.array_equal(seen.recombine("stacking", passthrough=True).predict_proba(X), first)
    assert seen.recombine("greedy").passthrough is False
    with pytest.raises(
        InvalidInputError, match=r"the features of held-out rows, .* fit with combine .* and passthrough=True"
    ):
        unseen.recombine("stacking", passthrough=True)


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        (("median",), {}, "combine='median' is unknown; use one of"),
        (("greedy", [1, 1]), {}, "combine='greedy' learns the weights, .* use combine='soft' for those"),
        (("stacking", {"wood": 1, "line": 2}), {}, "combine='stacking' learns the weights"),
        (("soft", [1]), {}, r"weights has shape \(1,\)"),
        (("soft",), {"passthrough": True}, "passthrough=True is for combine='stacking', and combine='soft'"),
        (("stacking",), {}, "needs out-of-fold predictions, and this fit made none; fit with combine set to one of"),
        (("soft",), {"calibrate": True}, "needs out-of-fold predictions"),
    ],
    ids=str,
)
def test_errors_name_the_remedy_and_change_nothing(binary, arguments, options, message):
    """After a rule that is refused, the ensemble predicts by the old one."""
    ensemble = ensemble_of(combine="soft").fit(binary.X, binary.y)
    before, expected = dict(vars(ensemble)), ensemble.predict_proba(binary.X)
    with pytest.raises(InvalidInputError, match=message):
        ensemble.recombine(*arguments, **options)
    assert vars(ensemble) == before
    assert np.array_equal(ensemble.predict_proba(binary.X), expected)


@pytest.mark.parametrize(
    ("task", "options", "message"),
    [
        ("regression", {"calibrate": True}, "calibrate=True scales probabilities, and this is regression"),
        ("regression", {"combine": "hard"}, "this is regression; use combine='soft'"),
        ("classification", {"combine": "greedy", "passthrough": True}, "passthrough=True is for combine='stacking'"),
        ("classification", {"weights": [1, 2]}, "combine='stacking' learns the weights"),
    ],
    ids=str,
)
def test_contradictions_are_refused_before_anything_is_fitted(task, options, message, fits):
    """The same rules hold for a fit."""
    data = sample("regression" if task == "regression" else "binary")
    with pytest.raises(InvalidInputError, match=message):
        Ensemble([ForestSpy(task=task)], task=task, **options).fit(data.X, data.y)
    assert fits == []


def test_only_fitted_ensembles_are_recombined():
    """Before a fit there is nothing to combine."""
    with pytest.raises(NotFittedError):
        ensemble_of().recombine("soft")


@pytest.mark.parametrize("options", [{}, {"calibrate": True, "passthrough": True}, {"refit": "average"}], ids=str)
def test_copies_recombine_too(binary, options):
    """A pickled or copied ensemble keeps what the rules learn from; a clone has the parameters alone."""
    ensemble = ensemble_of(**options).fit(binary.X, binary.y)
    copies = [pickle.loads(pickle.dumps(ensemble)), deepcopy(ensemble)]  # noqa: S301
    for copy in copies:
        assert np.array_equal(copy.predict_proba(binary.X), ensemble.predict_proba(binary.X))
    expected = ensemble.recombine("optimized").predict_proba(binary.X)
    for copy in copies:
        assert copy.combine == "stacking"
        assert np.array_equal(copy.recombine("optimized").predict_proba(binary.X), expected)
    assert not hasattr(clone(ensemble), "members_")
