"""Weights of members learned from out-of-fold predictions: on the simplex by a solver, or by greedy selection."""

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize

from ensemble_1d.out_of_fold import OutOfFold

Floats64 = npt.NDArray[np.float64]
Loss = Callable[[Floats64], float]

_SMALLEST_PROBABILITY = 1e-15
_NEGLIGIBLE_WEIGHT = 1e-4
_GREEDY_ROUNDS = 100


def optimized_weights(predictions: OutOfFold) -> Floats64:
    """Return the weights on the simplex that minimise the out-of-fold log loss, or squared error.

    Both problems are convex. Sequential least squares programming (Kraft, DFVLR-FB 88-28, 1988) by scipy starts at
    equal weights; weights below 1e-4 become zero, so that such a member costs nothing.

    Args:
        predictions: Out-of-fold predictions of all members.

    Returns:
        Of shape (n_members,), float64, with a sum of one; never worse on these predictions than equal weights.
    """
    columns, truth, row_weight = _columns(predictions)
    n_members = columns.shape[1]
    equal = np.full(n_members, 1 / n_members)
    if n_members == 1:
        return equal

    def loss_and_gradient(weights: Floats64) -> tuple[float, Floats64]:
        mixed = columns @ weights
        if truth is None:
            kept = np.maximum(mixed, _SMALLEST_PROBABILITY)
            return float(-row_weight @ np.log(kept)), -(row_weight / kept) @ columns
        error = mixed - truth
        return float(row_weight @ error**2), 2 * (row_weight * error) @ columns

    found = minimize(
        loss_and_gradient,
        equal,
        jac=True,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * n_members,
        constraints={"type": "eq", "fun": lambda weights: weights.sum() - 1, "jac": np.ones_like},
        options={"maxiter": 500, "ftol": 1e-12},
    )
    weights = np.where(found.x < _NEGLIGIBLE_WEIGHT, 0.0, found.x)
    weights = weights / weights.sum() if np.isfinite(weights).all() and weights.sum() > 0 else equal
    return weights if loss_and_gradient(weights)[0] <= loss_and_gradient(equal)[0] else equal


def greedy_weights(predictions: OutOfFold) -> Floats64:
    """Return the shares of members selected greedily with replacement (Caruana et al., ICML 2004, section 2).

    Each of 100 rounds adds the member whose addition to the bag lowers its loss most; members that tie share the
    round. The best bag on the way wins, the smallest where several are equal.

    Args:
        predictions: Out-of-fold predictions of all members.

    Returns:
        Of shape (n_members,), float64, with a sum of one; never worse on these predictions than the best member.
    """
    columns, truth, row_weight = _columns(predictions)
    counts = np.zeros(columns.shape[1])
    best, best_loss = counts, np.inf
    total = np.zeros(len(columns))
    for size in range(1, _GREEDY_ROUNDS + 1):
        losses = np.array([_loss((total + column) / size, truth, row_weight) for column in columns.T])
        chosen = np.isclose(losses, losses.min(), rtol=1e-12, atol=0.0)
        share = chosen / chosen.sum()
        counts = counts + share
        total = total + columns @ share
        loss = _loss(total / size, truth, row_weight)
        if loss < best_loss * (1 - 1e-12):
            best, best_loss = counts, loss
    return np.asarray(best / best.sum())


def _columns(predictions: OutOfFold) -> tuple[Floats64, Floats64 | None, Floats64]:
    """Return what decides the loss: each member's probability of the true class, or its value and the truth.

    Returns:
        One column a member, of shape (n_rows, n_members); the true values, or None for classification; and row weights
        with a sum of one.
    """
    n_rows = len(predictions.target)
    given = predictions.sample_weight
    row_weight = np.full(n_rows, 1 / n_rows) if given is None else given / given.sum()
    if predictions.is_classification:
        return predictions.outputs[:, np.arange(n_rows), predictions.target].T, None, row_weight
    return predictions.outputs[:, :, 0].T, predictions.target, row_weight


def _loss(mixed: Floats64, truth: npt.NDArray[Any] | None, row_weight: Floats64) -> float:
    """Return the mean log loss of the true class's probability, or the mean squared error."""
    if truth is None:
        return float(-row_weight @ np.log(np.maximum(mixed, _SMALLEST_PROBABILITY)))
    return float(row_weight @ (mixed - truth) ** 2)
