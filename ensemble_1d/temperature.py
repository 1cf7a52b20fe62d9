"""Temperature scaling: one number a member that makes its out-of-fold probabilities as sure as they are right."""

import math

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar

from ensemble_1d.out_of_fold import OutOfFold
from ensemble_1d.stacking import LOG_FLOOR

Floats64 = npt.NDArray[np.float64]

_WIDEST = 3.0
"""Logarithm of the largest temperature and, negated, of the smallest: about 20 and 1 / 20."""


def temperatures(predictions: OutOfFold) -> Floats64:
    """Return the temperature of each member with the lowest out-of-fold log loss (Guo et al., ICML 2017, section 4.2).

    A member's probabilities become `softmax(log(max(p, 2**-8)) / temperature)`: above one it was too sure, below one
    not sure enough. The order of the classes stays.

    Args:
        predictions: Out-of-fold probabilities of all members.

    Returns:
        Of shape (n_members,), float64, each between 1 / 20 and 20.
    """
    n_rows = len(predictions.target)
    given = predictions.sample_weight
    row_weight = np.full(n_rows, 1 / n_rows) if given is None else given / given.sum()
    rows = np.arange(n_rows)

    def best(output: Floats64) -> float:
        logs = np.log(np.maximum(output, LOG_FLOOR))
        logs -= logs.max(axis=1, keepdims=True)
        of_truth = logs[rows, predictions.target]

        def loss(log_temperature: float) -> float:
            inverse = math.exp(-log_temperature)
            return float(row_weight @ (np.log(np.exp(logs * inverse).sum(axis=1)) - of_truth * inverse))

        return math.exp(minimize_scalar(loss, bounds=(-_WIDEST, _WIDEST), method="bounded").x)

    return np.array([best(output) for output in predictions.outputs])
