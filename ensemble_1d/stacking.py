"""Stacking: a linear meta-model over members' outputs, shrunk towards their learned pool, never fitted in-sample."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from ensemble_1d.learned_weights import optimized_weights
from ensemble_1d.out_of_fold import OutOfFold

Floats64 = npt.NDArray[np.float64]
Solution = tuple[Floats64, Floats64]
"""Coefficients and biases."""

LOG_FLOOR: Final = 2.0**-8
"""Probabilities below this count as this in logarithms: a forest of 100 trees knows no difference further down."""

_STRENGTHS = (100.0, 30.0, 10.0, 3.0, 1.0)
"""Penalties of the squared distance from the pool, from the strongest; the folds choose one ..."""
_FALLBACK_STRENGTH = 20.0
"""... and where there is one fold only, this stands."""
_POOL_PENALTY = 0.01
"""Pulls the exponents of the pool towards equal ones: a few hundred rows do not tell them apart."""


@dataclass(frozen=True, slots=True, eq=False)
class MetaModel:
    """A linear layer over the members' outputs, side by side, and over standardised features where it sees them.

    Attributes:
        weight: Of shape (n_outputs, n_inputs), float32; a member's inputs are its log-probabilities, or its value.
        bias: Of shape (n_outputs,), float32.
        feature_mean: Of shape (n_features,), float32, or None without features.
        feature_scale: Reciprocals of the standard deviations, of shape (n_features,), float32, or None.
    """

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    feature_mean: npt.NDArray[np.float32] | None = None
    feature_scale: npt.NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class _Problem:
    """Rows of the meta-model: inputs, one-hot classes or standardised values, and weights with a mean of one."""

    inputs: Floats64
    truth: Floats64
    weight: Floats64
    is_classification: bool

    def take(self, rows: npt.NDArray[np.bool_]) -> "_Problem":
        """Return some of the rows."""
        return _Problem(self.inputs[rows], self.truth[rows], self.weight[rows], self.is_classification)


def stacked(predictions: OutOfFold) -> MetaModel:
    """Return the meta-model learned from out-of-fold predictions (Wolpert 1992; Breiman 1996, "Stacked regressions").

    For classes it is a multinomial logistic regression on the members' log-probabilities, for values a ridge
    regression on theirs. The penalty does not pull coefficients towards zero, as usual, which makes a meta-model of
    few rows unsure of everything, but towards the members' pool: log-probabilities weighted by one exponent a member
    (logarithmic opinion pool), or the weighted mean on the simplex. The strength of the penalty is the one with the
    lowest loss when each fold in turn is left out of the meta-fit.

    Args:
        predictions: Out-of-fold predictions of all members.

    Returns:
        The meta-model.
    """
    features = predictions.features
    mean = scale = None
    parts = [_inputs(each, is_classification=predictions.is_classification) for each in predictions.outputs]
    n_rows = len(predictions.target)
    given = predictions.sample_weight
    weight = np.ones(n_rows) if given is None else given * (n_rows / given.sum())
    if features is not None:
        mean = np.average(features, axis=0, weights=weight)
        deviation = np.sqrt(np.average((features - mean) ** 2, axis=0, weights=weight))
        scale = 1 / np.where(deviation > 1e-6 * np.abs(mean) + 1e-30, deviation, np.inf)
    center, unit = 0.0, 1.0
    if predictions.is_classification:
        truth = np.eye(predictions.outputs.shape[2])[predictions.target]
        prior = _log_pool(parts, truth, weight)
    else:
        center = float(np.average(predictions.target, weights=weight))
        unit = float(np.sqrt(np.average((predictions.target - center) ** 2, weights=weight))) or 1.0
        truth = ((predictions.target - center) / unit)[:, np.newaxis]
        parts = [(part - center) / unit for part in parts]
        prior = optimized_weights(predictions)[np.newaxis]
    if features is not None and mean is not None and scale is not None:
        parts = [*parts, (features - mean) * scale]
        prior = np.hstack([prior, np.zeros((len(prior), features.shape[1]))])
    problem = _Problem(np.hstack(parts), truth, weight, predictions.is_classification)
    strength = _chosen_strength(problem, prior, predictions.fold)
    coefficients, bias = _solved(problem, prior, strength, None)
    n_members, _, n_outputs = predictions.outputs.shape
    if predictions.is_classification:
        # The mean that was taken from the inputs is taken from the coefficients instead.
        each = coefficients[:, : n_members * n_outputs].reshape(n_outputs, n_members, n_outputs)
        each -= each.mean(axis=2, keepdims=True)
    else:
        bias = bias * unit + center * (1 - coefficients[:, :n_members].sum(axis=1))
        coefficients = np.hstack([coefficients[:, :n_members], coefficients[:, n_members:] * unit])
    return MetaModel(
        coefficients.astype(np.float32),
        bias.astype(np.float32),
        None if mean is None else mean.astype(np.float32),
        None if scale is None else scale.astype(np.float32),
    )


def _inputs(output: Floats64, *, is_classification: bool) -> Floats64:
    """Return what the meta-model learns from: log-probabilities with a mean of zero, so that no class is the base."""
    if not is_classification:
        return output
    logs = np.log(np.maximum(output, LOG_FLOOR))
    return np.asarray(logs - logs.mean(axis=1, keepdims=True))


def _log_pool(parts: Sequence[Floats64], truth: Floats64, weight: Floats64) -> Floats64:
    """Return the coefficients of the logarithmic opinion pool with the lowest log loss, one exponent >= 0 a member."""
    n_members, n_classes = len(parts), truth.shape[1]
    logs = np.stack(parts)
    equal = 1 / n_members
    share = (weight / weight.sum())[:, np.newaxis]

    def loss_and_gradient(exponent: Floats64) -> tuple[float, Floats64]:
        score, probability = _log_softmax(np.tensordot(exponent, logs, 1))
        residual = share * (probability - truth)
        distance = exponent - equal
        loss = -float((share * truth * score).sum()) + _POOL_PENALTY * float(distance @ distance)
        return loss, np.tensordot(logs, residual, 2) + 2 * _POOL_PENALTY * distance

    found = minimize(
        loss_and_gradient,
        np.full(n_members, equal),
        jac=True,
        method="L-BFGS-B",
        bounds=[(0.0, None)] * n_members,
    )
    return np.hstack([np.eye(n_classes) * exponent for exponent in found.x])


def _log_softmax(score: Floats64) -> tuple[Floats64, Floats64]:
    """Return logarithms of probabilities, and the probabilities."""
    score = score - score.max(axis=1, keepdims=True)
    power = np.exp(score)
    total = power.sum(axis=1, keepdims=True)
    return score - np.log(total), power / total


def _chosen_strength(problem: _Problem, prior: Floats64, fold: npt.NDArray[Any]) -> float:
    """Return the penalty with the lowest loss over the rows of each fold, learned from the other folds."""
    folds = np.unique(fold)
    if len(folds) < 2:
        return _FALLBACK_STRENGTH
    parts = [(problem.take(fold != each), problem.take(fold == each)) for each in folds]
    found: list[Solution | None] = [None] * len(parts)
    best, best_loss = _STRENGTHS[0], np.inf
    for strength in _STRENGTHS:
        # Each penalty starts at the solution of the one before; past the best one, the rest would only be worse.
        solutions = [_solved(kept, prior, strength, start) for (kept, _), start in zip(parts, found, strict=True)]
        loss = sum(_loss(held, *solution) for (_, held), solution in zip(parts, solutions, strict=True))
        if loss >= best_loss:
            break
        best, best_loss, found = strength, loss, [*solutions]
    return best


def _loss(problem: _Problem, coefficients: Floats64, bias: Floats64) -> float:
    """Return the weighted sum of log losses or squared errors."""
    score = problem.inputs @ coefficients.T + bias
    if problem.is_classification:
        return -float((problem.weight[:, np.newaxis] * problem.truth * _log_softmax(score)[0]).sum())
    return float(problem.weight @ (score - problem.truth)[:, 0] ** 2)


def _solved(problem: _Problem, prior: Floats64, strength: float, start: Solution | None) -> Solution:
    """Return the coefficients and biases with the lowest loss plus `strength / 2` times the distance from the prior."""
    inputs, weight = problem.inputs, problem.weight[:, np.newaxis]
    if not problem.is_classification:
        # Ridge regression of what the pool leaves over, with a bias that is not penalised.
        design = np.hstack([inputs, np.ones((len(inputs), 1))])
        left = problem.truth - inputs @ prior.T
        penalty = np.diag(np.append(np.full(inputs.shape[1], strength), 1e-9 * len(inputs)))
        found = np.linalg.solve(design.T @ (weight * design) + penalty, design.T @ (weight * left))
        change = np.asarray(found[:, 0], np.float64)
        return prior + change[:-1], change[-1:]
    n_outputs, n_inputs = prior.shape
    n_rows = len(inputs)

    def loss_and_gradient(flat: Floats64) -> tuple[float, Floats64]:
        coefficients, bias = flat[:-n_outputs].reshape(prior.shape), flat[-n_outputs:]
        score, probability = _log_softmax(inputs @ coefficients.T + bias)
        residual = weight * (probability - problem.truth)
        distance = coefficients - prior
        penalty = strength / 2 * (float((distance**2).sum()) + float(bias @ bias))
        loss = -float((weight * problem.truth * score).sum()) + penalty
        slope = (residual.T @ inputs + strength * distance).ravel()
        return loss / n_rows, np.concatenate([slope, residual.sum(axis=0) + strength * bias]) / n_rows

    first = (prior, np.zeros(n_outputs)) if start is None else start
    found = minimize(
        loss_and_gradient,
        np.concatenate([first[0].ravel(), first[1]]),
        jac=True,
        method="L-BFGS-B",
        options={"maxiter": 200, "ftol": 1e-6},
    )
    return found.x[:-n_outputs].reshape(n_outputs, n_inputs), found.x[-n_outputs:]
