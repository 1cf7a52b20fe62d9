"""Learned weights: two ways to learn them from out-of-fold predictions, and what the estimator makes of them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.datasets import load_breast_cancer, load_diabetes, load_iris
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GroupKFold, TimeSeriesSplit

from ensemble_1d import Ensemble, InvalidInputError, RandomForestModel
from ensemble_1d.learned_weights import greedy_weights, optimized_weights
from ensemble_1d.out_of_fold import OutOfFold

RULES = {"optimized": optimized_weights, "greedy": greedy_weights}


def forests(task="classification"):
    """Return three forests of different strength."""
    shapes = {"stump": (1, 5), "shallow": (3, 5), "deep": (None, 10)}
    return [(name, RandomForestModel(task=task, max_depth=d, n_estimators=n)) for name, (d, n) in shapes.items()]


def classification_folds(true_probabilities):
    """Return out-of-fold predictions of two classes from each member's probability of the true class."""
    likely = np.asarray(true_probabilities, np.float64).T
    n_rows = likely.shape[1]
    return OutOfFold(np.stack([likely, 1 - likely], axis=2), np.zeros(n_rows, np.int64), np.zeros(n_rows, np.int64))


def log_loss_of(weights, predictions):
    """Return the mean log loss of the weighted mean, in plain NumPy."""
    mixed = np.tensordot(weights, predictions.outputs, axes=1)
    likely = mixed[np.arange(len(predictions.target)), predictions.target]
    return float(-np.log(np.maximum(likely, 1e-15)).mean())


class TestWeights:
    """What the two rules promise of the weights they return."""

    @settings(max_examples=50, deadline=None)
    @given(arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 5)), elements=st.floats(0.001, 0.999)))
    def test_learned_weights_are_on_the_simplex_and_no_worse_than_equal_ones(self, likely):
        """Weights are non-negative with a sum of one; the loss is at most that of equal weights."""
        predictions = classification_folds(likely)
        equal = np.full(likely.shape[1], 1 / likely.shape[1])
        weights = optimized_weights(predictions)
        assert (weights >= 0).all()
        assert weights.sum() == pytest.approx(1)
        assert log_loss_of(weights, predictions) <= log_loss_of(equal, predictions) + 1e-12

    @settings(max_examples=50, deadline=None)
    @given(arrays(np.float64, st.tuples(st.integers(1, 30), st.integers(1, 5)), elements=st.floats(0.001, 0.999)))
    def test_greedy_weights_are_no_worse_than_the_best_member(self, likely):
        """The best bag has at most the loss of the best single member."""
        predictions = classification_folds(likely)
        weights = greedy_weights(predictions)
        singles = [log_loss_of(unit, predictions) for unit in np.eye(likely.shape[1])]
        assert weights.sum() == pytest.approx(1)
        assert log_loss_of(weights, predictions) <= min(singles) + 1e-12

    def test_the_solver_finds_the_minimum_of_two_members(self):
        """For two members the weight is that of a fine search along the line between them."""
        rng = np.random.default_rng(0)
        predictions = classification_folds(rng.uniform(0.05, 0.95, (200, 2)))
        grid = np.linspace(0, 1, 2001)
        losses = [log_loss_of(np.array([share, 1 - share]), predictions) for share in grid]
        assert optimized_weights(predictions)[0] == pytest.approx(grid[np.argmin(losses)], abs=2e-3)

    def test_least_squares_weights_recover_a_mixture(self):
        """Values that are 0.3 and 0.7 of two members give these weights."""
        rng = np.random.default_rng(1)
        values = rng.normal(size=(3, 400))
        truth = 0.3 * values[0] + 0.7 * values[2]
        weights = optimized_weights(OutOfFold(values[:, :, np.newaxis], truth, np.zeros(400, np.int64)))
        np.testing.assert_allclose(weights, [0.3, 0.0, 0.7], atol=1e-3)

    @pytest.mark.parametrize("rule", RULES)
    def test_members_that_tie_share_equally(self, rule):
        """Two equal members get equal weights."""
        likely = np.random.default_rng(2).uniform(0.2, 0.9, (50, 1))
        weights = RULES[rule](classification_folds(np.hstack([likely, likely])))
        np.testing.assert_allclose(weights, [0.5, 0.5], atol=1e-6)

    @pytest.mark.parametrize("rule", RULES)
    def test_a_perfect_member_gets_all_the_weight(self, rule):
        """A member that is always right leaves nothing to the others."""
        weights = RULES[rule](classification_folds([[1.0, 0.4], [1.0, 0.6], [1.0, 0.2]]))
        np.testing.assert_allclose(weights, [1.0, 0.0], atol=1e-6)

    @pytest.mark.parametrize("rule", RULES)
    def test_rows_of_zero_weight_do_not_count(self, rule):
        """Sample weights reach the learning: rows of weight zero could as well be absent."""
        likely = np.random.default_rng(3).uniform(0.1, 0.9, (60, 3))
        half = classification_folds(likely[:30])
        weighted = replace(classification_folds(likely), sample_weight=np.repeat([2.0, 0.0], 30))
        np.testing.assert_allclose(RULES[rule](weighted), RULES[rule](half), atol=1e-4)


class TestEnsemble:
    """Learned rules behind the estimator."""

    @pytest.mark.parametrize("combine", RULES)
    @pytest.mark.parametrize("task", ["classification", "regression"])
    def test_learned_rules_fit_predict_and_lower(self, combine, task):
        """The ensemble scores well, its program computes its predictions, and its int8 form agrees."""
        X, y = (load_breast_cancer if task == "classification" else load_diabetes)(return_X_y=True)
        ensemble = Ensemble(forests(task), task=task, combine=combine, cv=3, random_state=0).fit(X, y)
        assert ensemble.oof_coverage_ == 1.0
        assert ensemble.weights_.sum() == pytest.approx(1)
        assert ensemble.weights_[2] > ensemble.weights_[0]
        assert ensemble.score(X, y) > 0.5
        small = ensemble.quantize("int8", X, y)
        assert small.report.agreement > 0.99

    def test_a_change_of_rule_equals_a_fit_with_that_rule(self):
        """Recombine gives the weights and predictions of a fresh fit, and fits no member again."""
        X, y = load_breast_cancer(return_X_y=True)
        fitted = Ensemble(forests(), combine="optimized", cv=3, random_state=0).fit(X, y)
        members = list(fitted.members_.values())
        fresh = Ensemble(forests(), combine="greedy", cv=3, random_state=0).fit(X, y)
        assert fitted.recombine("greedy") is fitted
        np.testing.assert_array_equal(fitted.weights_, fresh.weights_)
        np.testing.assert_array_equal(fitted.predict_proba(X), fresh.predict_proba(X))
        assert all(before is after for before, after in zip(members, fitted.members_.values(), strict=True))
        fitted.recombine("soft", {"stump": 0, "shallow": 1, "deep": 0})
        np.testing.assert_allclose(fitted.predict_proba(X), members[1].predict_proba(X))
        assert fitted.recombine("hard").combine == "hard"

    def test_a_learned_rule_needs_out_of_fold_predictions(self):
        """After a fit without folds the message says how to get them; the old rule stays."""
        X, y = load_iris(return_X_y=True)
        ensemble = Ensemble(forests(), combine="soft", random_state=0).fit(X, y)
        with pytest.raises(InvalidInputError, match=r"needs out-of-fold predictions.*fit with combine"):
            ensemble.recombine("optimized")
        assert ensemble.combine == "soft"
        with pytest.raises(NotFittedError):
            Ensemble(forests()).recombine("hard")

    def test_given_weights_and_learned_weights_exclude_each_other(self):
        """Weights are refused where the rule learns them."""
        X, y = load_iris(return_X_y=True)
        with pytest.raises(InvalidInputError, match="learns the weights"):
            Ensemble(forests(), combine="greedy", weights=[1, 1, 1]).fit(X, y)

    def test_uncovered_rows_are_left_out_and_counted(self):
        """A time-ordered splitter holds out five sixths of the rows."""
        X, y = load_diabetes(return_X_y=True)
        ensemble = Ensemble(
            forests("regression"), task="regression", combine="optimized", cv=TimeSeriesSplit(5), random_state=0
        ).fit(X, y)
        assert ensemble.oof_coverage_ == pytest.approx(5 / 6, abs=0.01)

    def test_groups_reach_the_splitter(self):
        """Fit passes groups on, and a splitter that needs them says so without."""
        X, y = load_iris(return_X_y=True)
        ensemble = Ensemble(forests(), combine="optimized", cv=GroupKFold(3), random_state=0)
        ensemble.fit(X, y, groups=np.arange(150) % 6)
        with pytest.raises(InvalidInputError, match="groups"):
            ensemble.fit(X, y)

    def test_the_seed_decides_folds_and_members(self):
        """Two fits with one seed are equal bit for bit; another seed gives other weights."""
        X, y = load_breast_cancer(return_X_y=True)
        fits = [Ensemble(forests(), combine="optimized", cv=3, random_state=seed).fit(X, y) for seed in (0, 0, 1)]
        np.testing.assert_array_equal(fits[0].weights_, fits[1].weights_)
        assert not np.array_equal(fits[0].weights_, fits[2].weights_)
