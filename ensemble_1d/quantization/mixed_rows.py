"""Rows mixed from pairs of neighbours: plausible rows that a model was not fitted on, as many as wanted."""

import numpy as np
import numpy.typing as npt

Rows = npt.NDArray[np.float32]

_BLOCK = 512
"""Rows whose distances to all others are held at once."""


def mixed_rows(X: Rows, n_rows: int, rng: np.random.Generator) -> Rows:
    """Return rows each of which takes every value from one of two neighbours, by the toss of a coin.

    A model's answers to its own training rows are surer than to others; to these they are not (after Bucila et al.,
    Model compression, KDD 2006, which trains small models on such rows). Neighbours are nearest among up to `n_rows`
    rows drawn from X, by squared distance in standard deviations; a missing value counts as the mean.

    Args:
        X: Of shape (n_samples, n_features), float32, NaN for missing.
        n_rows: How many to make.
        rng: Draws rows and values.

    Returns:
        Of shape (n_rows, n_features), float32.
    """
    pool = X[np.sort(rng.permutation(len(X))[:n_rows])]
    place = _standardised(pool)
    first = rng.integers(0, len(pool), n_rows)
    other = np.arange(len(pool))
    if len(pool) > 1:
        length = (place**2).sum(axis=1)
        for begin in range(0, len(pool), _BLOCK):
            mine = other[begin : begin + _BLOCK].copy()
            distance = length - 2 * place[mine] @ place.T  # Less the row's own length, which changes no order.
            distance[np.arange(len(mine)), mine] = np.inf
            other[mine] = distance.argmin(axis=1)
    keep = rng.random((n_rows, X.shape[1])) < 0.5
    return np.where(keep, pool[first], pool[other[first]])


def _standardised(X: Rows) -> npt.NDArray[np.float64]:
    """Return columns of mean 0 and deviation 1; 0 where a value is missing or the column constant."""
    present = ~np.isnan(X)
    count = np.maximum(present.sum(axis=0), 1)
    values = np.where(present, X, 0).astype(np.float64)
    centered = np.where(present, values - values.sum(axis=0) / count, 0)
    deviation = np.sqrt((centered**2).sum(axis=0) / count)
    return np.asarray(centered / np.where(deviation > 0, deviation, 1))
