"""Confidence intervals of a score, from the rows it was measured on."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import binomtest

_LEVEL = 0.95
_N_SAMPLES = 1000
_MOST_ROWS = 20_000
"""Rows beyond which a bootstrap would take long, and its interval is narrow: a sample of so many is drawn from all."""


@dataclass(frozen=True, slots=True)
class Interval:
    """Where a score lies with a confidence of 95 %.

    Attributes:
        low: Lower end.
        high: Upper end.
        method: How it was found.
    """

    low: float
    high: float
    method: str


def accuracy_interval(n_right: int, n_rows: int) -> Interval:
    """Return the interval of a share of right answers, by Wilson's score (1927).

    Args:
        n_right: Rows answered rightly.
        n_rows: All rows.
    """
    found = binomtest(n_right, n_rows).proportion_ci(_LEVEL, method="wilson")
    return Interval(float(found.low), float(found.high), "Wilson score interval")


def r2_interval(truth: npt.NDArray[Any], values: npt.NDArray[np.float64], *, random_state: int) -> Interval | None:
    """Return the interval of R2, by drawing the rows anew 1,000 times (percentile bootstrap).

    Args:
        truth: True values of shape (n_samples,).
        values: Predicted ones.
        random_state: Seed.

    Returns:
        None for fewer than ten rows, which say next to nothing, and for a constant truth, which has no R2.
    """
    if len(truth) < 10 or np.ptp(truth) == 0:
        return None
    rng = np.random.default_rng(random_state)
    n_drawn = min(len(truth), _MOST_ROWS)
    residual, scores = (truth - values) ** 2, []
    for _ in range(_N_SAMPLES):
        rows = rng.integers(len(truth), size=n_drawn)
        spread = float(truth[rows].var())
        if spread > 0:
            scores.append(1 - float(residual[rows].mean()) / spread)
    low, high = np.quantile(scores, [(1 - _LEVEL) / 2, (1 + _LEVEL) / 2])
    return Interval(float(low), float(high), f"percentile bootstrap of {_N_SAMPLES:,} samples")
