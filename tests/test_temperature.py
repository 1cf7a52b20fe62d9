"""Temperature: what makes a member's probabilities as sure as they are right."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from samples import forest, sample
from scipy.special import softmax

from ensemble_1d import Ensemble
from ensemble_1d.out_of_fold import OutOfFold
from ensemble_1d.temperature import temperatures


def drawn(temperature, n_rows=20_000, n_classes=3, seed=0):
    """Return probabilities that are too sure by a temperature, and labels drawn from the right ones."""
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(n_rows, n_classes))
    right = softmax(score, axis=1)
    target = (right.cumsum(axis=1) < rng.uniform(size=(n_rows, 1))).sum(axis=1).clip(0, n_classes - 1)
    return OutOfFold(softmax(score * temperature, axis=1)[np.newaxis], target, np.zeros(n_rows, np.int64))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("temperature", [0.3, 1.0, 1.8])
def test_a_known_temperature_is_found(temperature, n_classes):
    """Probabilities sharpened by a known temperature get it back, within the noise of 20 000 labels."""
    assert temperatures(drawn(temperature, n_classes=n_classes))[0] == pytest.approx(temperature, rel=0.08)


def loss_of(predictions, temperature):
    """Return the weighted log loss of the first member at a temperature, in plain NumPy."""
    logs = np.log(np.maximum(predictions.outputs[0], 2.0**-8)) / temperature
    likely = np.log(softmax(logs, axis=1)[np.arange(len(logs)), predictions.target])
    return -np.average(likely, weights=predictions.sample_weight)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.1, 5), st.booleans())
def test_no_other_temperature_is_better(seed, temperature, weighted):
    """The loss is at most that of any temperature of a fine grid, weights included."""
    predictions = drawn(temperature, 200, seed=seed)
    if weighted:
        predictions = replace(predictions, sample_weight=np.random.default_rng(seed).uniform(0, 3, 200))
    (found,) = temperatures(predictions)
    assert 1 / 21 < found < 21
    assert loss_of(predictions, found) <= min(loss_of(predictions, each) for each in np.geomspace(0.05, 20, 200)) + 1e-6


def test_rows_of_weight_zero_do_not_count():
    """Weights reach the learning: a row of weight zero could as well be absent."""
    first, second = drawn(1.5, 500), drawn(0.5, 500, seed=1)
    both = OutOfFold(
        np.concatenate([first.outputs, second.outputs], axis=1),
        np.concatenate([first.target, second.target]),
        np.zeros(1000, np.int64),
        np.repeat([2.0, 0.0], 500),
    )
    np.testing.assert_allclose(temperatures(both), temperatures(first), rtol=1e-4)


def test_temperatures_stay_within_their_bounds():
    """A member that is always right could be surer without end, one that never is less sure: bounds stop both."""
    outputs = np.tile([[0.6, 0.4]], (2, 50, 1))
    outputs[1] = outputs[1, :, ::-1]
    found = temperatures(OutOfFold(outputs, np.zeros(50, np.int64), np.zeros(50, np.int64)))
    np.testing.assert_allclose(found, [np.exp(-3), np.exp(3)], rtol=1e-3)


@pytest.mark.parametrize("data", ["binary", "multiclass"])
def test_the_order_of_classes_stays(data):
    """One member with a temperature predicts the same labels, and votes the same, with other probabilities."""
    X, y = sample(data).X, sample(data).y
    for combine in ("soft", "hard"):
        plain = Ensemble([forest(max_depth=2)], combine=combine, random_state=0).fit(X, y)
        scaled = Ensemble([forest(max_depth=2)], combine=combine, calibrate=True, cv=3, random_state=0).fit(X, y)
        assert np.array_equal(plain.predict(X), scaled.predict(X))
        assert np.array_equal(plain.predict_proba(X), scaled.predict_proba(X)) == (combine == "hard")


def test_calibration_comes_before_the_combination():
    """Weights are learned of calibrated probabilities: an overconfident copy of a member then ties with it."""
    right = drawn(1.0, 2000)
    sharp = softmax(np.log(right.outputs[0]) * 1.7, axis=1)
    found = temperatures(replace(right, outputs=np.stack([right.outputs[0], sharp])))
    assert found[1] / found[0] == pytest.approx(1.7, rel=0.05)
