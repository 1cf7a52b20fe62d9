"""Out-of-fold predictions, what each member says of rows that it was not fitted on, and the folds that make them."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from sklearn.model_selection import BaseCrossValidator, KFold, StratifiedKFold, check_cv

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.models.base import Floats32, Floats64

if TYPE_CHECKING:
    from collections.abc import Iterable

Splits = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """Predictions of every member on the rows that the folds cover, and the truth about these rows.

    Attributes:
        outputs: Of shape (n_members, n_covered, n_outputs), float64: probabilities or values.
        target: Class indices (int64) or values (float64) of shape (n_covered,).
        fold: The fold that held each row out, of shape (n_covered,), int64.
        sample_weight: Of shape (n_covered,), or None.
        features: The rows themselves, of shape (n_covered, n_features), where a meta-model sees them; else None.
    """

    outputs: Floats64
    target: npt.NDArray[Any]
    fold: npt.NDArray[np.int64]
    sample_weight: Floats64 | None = None
    features: Floats32 | None = None

    @property
    def is_classification(self) -> bool:
        """Whether the target holds classes."""
        return self.target.dtype.kind == "i"

    def with_outputs(self, outputs: Floats64) -> "OutOfFold":
        """Return the same rows with other predictions."""
        return replace(self, outputs=outputs)

    def without_features(self) -> "OutOfFold":
        """Return the same predictions for a meta-model that does not see the features."""
        return replace(self, features=None)


def held_rows(splits: Splits) -> npt.NDArray[np.int64]:
    """Return the rows that the folds hold out, fold after fold."""
    return np.concatenate([held for _, held in splits])


def fold_splits(
    cv: "int | BaseCrossValidator | Iterable[Any]",
    X: Floats32,
    target: npt.NDArray[Any],
    groups: npt.ArrayLike | None,
    *,
    rows: npt.NDArray[np.int64],
    is_classification: bool,
    seed: int | None,
) -> Splits:
    """Return the training and held-out rows of each fold.

    Args:
        cv: A number of folds (shuffled, by class for classification), a scikit-learn splitter, or an iterable of
            (training rows, held-out rows).
        X: Of shape (n_samples, n_features).
        target: Class indices or values of shape (n_samples,).
        groups: Group of each row for splitters that keep groups together, or None.
        rows: The rows that folds are made of: those of positive weight.
        is_classification: Whether a number of folds is split by class.
        seed: For shuffling when `cv` is a number.

    Returns:
        Pairs of int64 row indices; each row is held out at most once.

    Raises:
        InvalidInputError: If a row is held out twice, a fold is empty, or the splitter refuses the data.
    """
    if isinstance(cv, int | np.integer) and not isinstance(cv, bool):
        if not 2 <= cv <= len(rows):
            rule = f"use 2 to {len(rows)}" if len(rows) > 1 else "give more rows"
            raise InvalidInputError(f"cv={cv} makes no folds of n_samples={len(rows)} with positive weight; {rule}")
        by_class = is_classification and np.unique(target[rows], return_counts=True)[1].min() >= cv
        kind = StratifiedKFold if by_class else KFold
        splitter = kind(n_splits=int(cv), shuffle=True, random_state=seed)
        return [(rows[train], rows[test]) for train, test in splitter.split(X[rows], target[rows])]
    try:
        splitter = check_cv(cv)
    except ValueError as error:
        rule = "use a number of folds, a scikit-learn splitter, or a list of (training rows, held-out rows)"
        raise InvalidInputError(f"cv={cv!r} is no way to split rows; {rule}") from error
    try:
        parts = [
            (np.arange(len(X))[train], np.arange(len(X))[test]) for train, test in splitter.split(X, target, groups)
        ]
    except (ValueError, IndexError) as error:
        raise InvalidInputError(f"cv={cv!r} does not split these {len(X)} rows: {error}") from error
    pairs = [(train[np.isin(train, rows)], test[np.isin(test, rows)]) for train, test in parts]
    if not pairs or any(not train.size or not test.size for train, test in pairs):
        raise InvalidInputError(
            f"cv={cv!r} leaves a fold without rows; every fold needs rows to train on and to hold out"
        )
    repeated = np.flatnonzero(np.bincount(held_rows(pairs)) > 1)
    if repeated.size:
        rule = "use a splitter that holds out each row at most once (no repeats)"
        raise InvalidInputError(f"cv={cv!r} holds out row {repeated[0]} more than once; {rule}")
    return pairs
