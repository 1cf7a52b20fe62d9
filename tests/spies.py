"""Models that write down how they are fitted, for tests of what an ensemble asks of its members."""

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin

from ensemble_1d import RandomForestModel, XGBoostModel

FITS: list[dict[str, Any]] = []
"""The arguments of each fit of a spy, and the spy as "model"; `conftest.fits` empties it before a test."""


class ForestSpy(RandomForestModel):
    """A forest that notes its fits."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
        """Note the arguments, and fit."""
        FITS.append({"model": self, "X": X, "y": y, "sample_weight": sample_weight})
        return super().fit(X, y, sample_weight)


class BoostingSpy(XGBoostModel):
    """Boosted trees that note their fits."""

    def fit(self, X: Any, y: Any, sample_weight: Any = None, **validation: Any) -> Any:
        """Note the arguments, and fit."""
        FITS.append({"model": self, "X": X, "y": y, "sample_weight": sample_weight, **validation})
        return super().fit(X, y, sample_weight, **validation)


class Frequencies(ClassifierMixin, BaseEstimator):
    """A classifier of scikit-learn's kind that says how frequent each class is; its fit takes no weights.

    Args:
        fails_below: A fit of fewer rows fails.
        random_state: A seed that it does not need.
    """

    def __init__(self, fails_below: int = 0, random_state: int | None = None) -> None:
        """Store the parameters."""
        self.fails_below = fails_below
        self.random_state = random_state

    def fit(self, X: Any, y: Any) -> Any:
        """Count, or fail."""
        FITS.append({"model": self, "X": X, "y": y})
        if len(X) < self.fails_below:
            raise RuntimeError(f"{len(X)} rows are too few")
        self.classes_, counts = np.unique(y, return_counts=True)
        self.n_features_in_ = X.shape[1]
        self.frequency_ = counts / len(y)
        return self

    def predict_proba(self, X: Any) -> np.ndarray:
        """Return the frequencies for each row."""
        return np.tile(self.frequency_, (len(X), 1))

    def predict(self, X: Any) -> np.ndarray:
        """Return the most frequent class for each row."""
        return np.full(len(X), self.classes_[self.frequency_.argmax()])
