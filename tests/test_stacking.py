"""Stacking: the meta-model is the solution of its problem, never worse than the pool that it is shrunk to."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from ensemble_1d import stacking
from ensemble_1d.learned_weights import optimized_weights
from ensemble_1d.out_of_fold import OutOfFold
from ensemble_1d.stacking import stacked


def classes(n_rows=90, n_members=2, *, n_classes=3, n_folds=3, seed=0, noise=1.5):
    """Return out-of-fold probabilities of members that know the truth but for some noise."""
    rng = np.random.default_rng(seed)
    target = rng.integers(0, n_classes, n_rows)
    score = 1.5 * np.eye(n_classes)[target] + noise * rng.normal(size=(n_members, n_rows, n_classes))
    return OutOfFold(softmax(score, axis=2), target, np.arange(n_rows) % n_folds)


def values(n_rows=80, n_members=3, n_folds=4, seed=0):
    """Return out-of-fold values of members that know the truth but for noise and a shift."""
    rng = np.random.default_rng(seed)
    target = 50 + 20 * rng.normal(size=n_rows)
    outputs = target * 0.8 + 5 + rng.normal(size=(n_members, n_rows)) * np.array([[5], [10], [20]])[:n_members]
    return OutOfFold(outputs[:, :, np.newaxis], target, np.arange(n_rows) % n_folds)


def with_extras(predictions, *, weighted, featured):
    """Return predictions with weights, or with features of which the last is constant."""
    rng = np.random.default_rng(9)
    n_rows = len(predictions.target)
    weight = rng.uniform(0, 3, n_rows) if weighted else None
    features = rng.normal(3, [1, 50, 0], (n_rows, 3)).astype(np.float32) if featured else None
    return replace(predictions, sample_weight=weight, features=features)


def score_of(meta, predictions):
    """Return what a meta-model computes, in plain NumPy."""
    logs = np.log(np.maximum(predictions.outputs, 2.0**-8)) if predictions.is_classification else predictions.outputs
    inputs = np.hstack(logs)
    if meta.feature_mean is not None:
        inputs = np.hstack([inputs, (predictions.features - meta.feature_mean) * meta.feature_scale])
    return inputs @ meta.weight.T.astype(np.float64) + meta.bias


def centred(predictions):
    """Return the meta-model's inputs as the definition says: logarithms less their mean over the classes."""
    logs = np.log(np.maximum(predictions.outputs, 2.0**-8))
    inputs = np.hstack(logs - logs.mean(axis=2, keepdims=True))
    if predictions.features is None:
        return inputs
    shifted, deviation = shifted_features(predictions)
    return np.hstack([inputs, np.where(deviation > 1e-6, shifted / np.where(deviation > 0, deviation, 1), 0)])


def shifted_features(predictions):
    """Return the features less their weighted mean, and their weighted deviations."""
    weight = weights_of(predictions)
    shifted = predictions.features - np.average(predictions.features, axis=0, weights=weight)
    return shifted, np.sqrt(np.average(shifted**2, axis=0, weights=weight))


def weights_of(predictions):
    """Return row weights with a mean of one."""
    given = predictions.sample_weight
    return np.ones(len(predictions.target)) if given is None else given / given.mean()


def log_pool(predictions):
    """Return the exponents of the logarithmic opinion pool, found without gradients."""
    logs = np.log(np.maximum(predictions.outputs, 2.0**-8))
    weight, n_members = weights_of(predictions), len(logs)

    def loss(exponent):
        likely = log_softmax(np.tensordot(exponent, logs, 1), axis=1)[np.arange(len(weight)), predictions.target]
        return -np.average(likely, weights=weight) + 0.01 * ((exponent - 1 / n_members) ** 2).sum()

    start = np.full(n_members, 1 / n_members)
    return minimize(loss, start, method="Powell", bounds=[(0, 20)] * n_members, options={"xtol": 1e-8, "ftol": 1e-14}).x


def penalised(flat, prior, predictions, strength):
    """Return the objective of the classifying meta-model."""
    n_outputs = len(prior)
    coefficients, bias = flat[:-n_outputs].reshape(prior.shape), flat[-n_outputs:]
    score = centred(predictions) @ coefficients.T + bias
    likely = log_softmax(score, axis=1)[np.arange(len(score)), predictions.target]
    penalty = strength / 2 * (((coefficients - prior) ** 2).sum() + (bias**2).sum())
    return penalty - weights_of(predictions) @ likely


def prior_of(predictions):
    """Return the coefficients of the pool, with none for features."""
    n_classes = predictions.outputs.shape[2]
    prior = np.hstack([np.eye(n_classes) * exponent for exponent in log_pool(predictions)])
    n_features = 0 if predictions.features is None else predictions.features.shape[1]
    return np.hstack([prior, np.zeros((n_classes, n_features))])


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("featured", [False, True])
@pytest.mark.parametrize("n_classes", [2, 3])
def test_classes_are_the_solution_of_the_penalised_problem(monkeypatch, n_classes, featured, weighted):
    """Another solver from another start finds the same probabilities, up to the tolerance of the first."""
    predictions = with_extras(classes(n_classes=n_classes), weighted=weighted, featured=featured)
    monkeypatch.setattr(stacking, "_STRENGTHS", (3.0,))
    prior = prior_of(predictions)
    start = np.zeros(prior.size + n_classes)
    best = minimize(penalised, start, (prior, predictions, 3.0), method="BFGS", options={"gtol": 1e-6})
    coefficients, bias = best.x[:-n_classes].reshape(prior.shape), best.x[-n_classes:]
    expected = softmax(centred(predictions) @ coefficients.T + bias, axis=1)
    found = softmax(score_of(stacked(predictions), predictions), axis=1)
    np.testing.assert_allclose(found, expected, atol=5e-3)
    pool = softmax(centred(predictions) @ prior.T, axis=1)
    assert np.abs(found - pool).max() > 0.02


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("featured", [False, True])
def test_values_are_the_solution_of_the_penalised_problem(monkeypatch, featured, weighted):
    """A solver without normal equations finds the same ridge regression of what the weighted mean leaves over."""
    predictions = with_extras(values(), weighted=weighted, featured=featured)
    monkeypatch.setattr(stacking, "_STRENGTHS", (3.0,))
    weight, target = weights_of(predictions), predictions.target
    center = np.average(target, weights=weight)
    unit = np.sqrt(np.average((target - center) ** 2, weights=weight))
    inputs = (np.hstack(predictions.outputs) - center) / unit
    prior = optimized_weights(predictions)
    if featured:
        shifted, deviation = shifted_features(predictions)
        inputs = np.hstack([inputs, shifted[:, :2] / deviation[:2]])
        prior = np.append(prior, [0, 0])
    truth = (target - center) / unit
    # Augmented rows hold the penalty, so that plain least squares solves the penalised problem.
    root = np.sqrt(weight)[:, np.newaxis]
    n_inputs = inputs.shape[1]
    design = np.vstack([np.hstack([inputs, np.ones((80, 1))]) * root, np.eye(n_inputs, n_inputs + 1) * np.sqrt(3.0)])
    left = np.append((truth - inputs @ prior) * root[:, 0], np.zeros(n_inputs))
    change = np.linalg.lstsq(design, left, rcond=None)[0]
    expected = center + unit * (inputs @ (prior + change[:-1]) + change[-1])
    np.testing.assert_allclose(score_of(stacked(predictions), predictions)[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize("make", [classes, values])
def test_whole_weights_equal_repeated_rows(monkeypatch, make):
    """A weight of two is a row twice; as weights have a mean of one, the penalty grows with the number of rows."""
    predictions = make()
    times = np.random.default_rng(3).integers(0, 4, len(predictions.target))
    repeated = replace(
        predictions,
        outputs=predictions.outputs.repeat(times, axis=1),
        target=predictions.target.repeat(times),
        fold=predictions.fold.repeat(times),
    )
    monkeypatch.setattr(stacking, "_STRENGTHS", (3.0,))
    weighted = stacked(replace(predictions, sample_weight=times.astype(np.float64)))
    monkeypatch.setattr(stacking, "_STRENGTHS", (3.0 * times.mean(),))
    expected = stacked(repeated)
    np.testing.assert_allclose(weighted.weight, expected.weight, atol=2e-3)
    np.testing.assert_allclose(weighted.bias, expected.bias, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("make", [classes, values])
def test_a_factor_of_all_weights_changes_nothing(make):
    """Weights say how rows compare with each other."""
    weight = np.random.default_rng(3).uniform(0, 2, len(make().target))
    first, second = (stacked(replace(make(), sample_weight=weight * factor)) for factor in (1, 1e-6))
    np.testing.assert_allclose(first.weight, second.weight, atol=1e-5)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 4), st.integers(2, 4), st.floats(0.1, 4))
def test_classes_are_never_worse_than_the_pool(seed, n_members, n_classes, noise):
    """On the rows it learned from, the penalised loss is at most that of the pool, whose penalty is zero."""
    predictions = classes(n_members=n_members, n_classes=n_classes, seed=seed, noise=noise)
    logs = [stacking._inputs(each, is_classification=True) for each in predictions.outputs]
    truth, weight = np.eye(n_classes)[predictions.target], np.ones(len(predictions.target))
    prior = stacking._log_pool(logs, truth, weight)
    problem = stacking._Problem(np.hstack(logs), truth, weight, True)
    strength = stacking._chosen_strength(problem, prior, predictions.fold)
    coefficients, bias = stacking._solved(problem, prior, strength, None)
    pool = np.concatenate([prior.ravel(), np.zeros(n_classes)])
    found = np.concatenate([coefficients.ravel(), bias])
    assert penalised(found, prior, predictions, strength) <= penalised(pool, prior, predictions, strength) + 1e-9


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 3))
def test_values_are_never_worse_than_the_weighted_mean(seed, n_members):
    """On the rows it learned from, the squared error is at most that of the optimized weighted mean."""
    predictions = values(n_members=n_members, seed=seed)
    mixed = optimized_weights(predictions) @ predictions.outputs[:, :, 0]
    found = score_of(stacked(predictions), predictions)[:, 0]
    assert ((found - predictions.target) ** 2).mean() <= ((mixed - predictions.target) ** 2).mean() * (1 + 1e-6)


@pytest.mark.parametrize("make", [classes, values])
def test_the_strength_is_the_best_on_folds_left_out(make):
    """Of all strengths, the chosen one has the lowest loss where each fold in turn is left out of the learning."""
    chosen = set()
    for seed in range(8):
        predictions = make(seed=seed)
        if make is classes:
            if seed % 2:  # A member that takes each class for the next is of use to free coefficients alone.
                predictions = replace(predictions, outputs=np.roll(predictions.outputs, 1, axis=2))
            logs = [stacking._inputs(each, is_classification=True) for each in predictions.outputs]
            truth = np.eye(3)[predictions.target]
            prior = stacking._log_pool(logs, truth, np.ones(90))
        else:
            logs = [(each - 50) / 20 for each in predictions.outputs]
            truth = ((predictions.target - 50) / 20)[:, np.newaxis]
            prior = optimized_weights(predictions)[np.newaxis]
        problem = stacking._Problem(np.hstack(logs), truth, np.ones(len(truth)), make is classes)
        losses = {}
        for strength in stacking._STRENGTHS:
            parts = [(problem.take(predictions.fold != i), problem.take(predictions.fold == i)) for i in range(4)]
            solutions = [
                (stacking._solved(kept, prior, strength, None), held) for kept, held in parts if len(held.truth)
            ]
            losses[strength] = sum(stacking._loss(held, *solution) for solution, held in solutions)
        found = stacking._chosen_strength(problem, prior, predictions.fold)
        assert losses[found] <= min(losses.values()) * (1 + 1e-3)
        chosen.add(found)
    assert len(chosen) > 1


def test_one_fold_cannot_choose_a_strength():
    """With one fold only, the strength is one that is known to do no harm."""
    predictions = classes(n_folds=1)
    problem = stacking._Problem(np.zeros((90, 6)), np.eye(3)[predictions.target], np.ones(90), True)
    assert stacking._chosen_strength(problem, np.zeros((3, 6)), predictions.fold) == stacking._FALLBACK_STRENGTH
    assert np.isfinite(stacked(predictions).weight).all()


def test_a_factor_of_all_probabilities_changes_nothing():
    """A constant added to the logarithms of a row is no news: the inputs have a mean of zero."""
    predictions = classes(n_members=1)
    factor = np.random.default_rng(0).uniform(0.5, 1, (1, 90, 1))
    large = replace(predictions, outputs=np.maximum(predictions.outputs, 0.05))
    scaled = replace(large, outputs=large.outputs * factor)
    first, second = stacked(large), stacked(scaled)
    np.testing.assert_allclose(first.weight, second.weight, atol=1e-6)
    # ... and so does the meta-model: each block of coefficients has rows with a sum of zero.
    np.testing.assert_allclose(first.weight.sum(axis=1), 0, atol=1e-6)


def test_the_order_of_two_labels_does_not_matter():
    """With the labels swapped, the two probabilities are swapped."""
    predictions = classes(n_classes=2)
    swapped = replace(predictions, outputs=predictions.outputs[:, :, ::-1], target=1 - predictions.target)
    first = softmax(score_of(stacked(predictions), predictions), axis=1)
    second = softmax(score_of(stacked(swapped), swapped), axis=1)
    np.testing.assert_allclose(first, second[:, ::-1], atol=1e-5)


def test_a_useless_member_gets_little():
    """A member that knows nothing gets coefficients near zero beside one that knows."""
    good, bad = classes(300, 1, noise=0.5), classes(300, 1, noise=0.5, seed=1)
    predictions = replace(good, outputs=np.concatenate([good.outputs, bad.outputs]))
    weight = np.abs(stacked(predictions).weight)
    assert weight[:, 3:].sum() < 0.1 * weight[:, :3].sum()


def test_a_class_that_no_fold_knows_is_no_error():
    """Probabilities of zero count as 1 / 256, so that nothing is infinite."""
    predictions = classes()
    outputs = predictions.outputs.copy()
    outputs[:, predictions.target == 2, 2] = 0
    meta = stacked(replace(predictions, outputs=outputs / outputs.sum(axis=2, keepdims=True)))
    assert np.isfinite(meta.weight).all()
    assert np.isfinite(meta.bias).all()


@pytest.mark.parametrize("constant", [0.0, 7.0])
def test_a_constant_target_is_learned(constant):
    """Where all values are equal, so are the predictions."""
    predictions = replace(values(), target=np.full(80, constant), outputs=np.full((3, 80, 1), constant))
    np.testing.assert_allclose(score_of(stacked(predictions), predictions), constant, atol=1e-5)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_features_are_standardised_by_the_rows_that_count(task):
    """Rows of weight zero change neither the scale of features that pass through nor a coefficient."""
    rng = np.random.default_rng(0)
    n_rows = 60
    is_classification = task == "classification"
    outputs = rng.dirichlet(np.ones(3), (2, n_rows)) if is_classification else rng.normal(size=(2, n_rows, 1))
    target = rng.integers(0, 3, n_rows) if is_classification else rng.normal(size=n_rows)
    features = rng.normal(3, 50, (n_rows, 2)).astype(np.float32)
    weight = np.where(np.arange(n_rows) < 40, 1.0, 0.0)
    fold = np.arange(n_rows) % 2
    features[40:] *= 1e4
    some = slice(0, 40)
    whole = stacked(OutOfFold(outputs, target, fold, weight, features))
    part = stacked(OutOfFold(outputs[:, some], target[some], fold[some], weight[some], features[some]))
    np.testing.assert_allclose(whole.feature_mean, part.feature_mean, rtol=1e-6)
    np.testing.assert_allclose(whole.feature_scale, part.feature_scale, rtol=1e-6)
