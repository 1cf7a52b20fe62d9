"""Out-of-fold predictions: what each member says of rows that it was not fitted on."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.model_selection import BaseCrossValidator, KFold, StratifiedKFold, check_cv

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.models.base import BaseModel, Floats32, Floats64

Splits = list[tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]]


@dataclass(frozen=True, slots=True, eq=False)
class OutOfFold:
    """Predictions of every member on the rows that the folds cover, and the truth about these rows.

    Attributes:
        outputs: Of shape (n_members, n_covered, n_outputs), float64: probabilities or values.
        target: Class indices (int64) or values (float64) of shape (n_covered,).
        sample_weight: Of shape (n_covered,), or None.
        coverage: Share of the training rows that the folds cover.
    """

    outputs: Floats64
    target: npt.NDArray[Any]
    sample_weight: Floats64 | None
    coverage: float


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
        rows: The rows that a number of folds is made of: those of positive weight.
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
        pairs = [
            (np.arange(len(X))[train], np.arange(len(X))[test]) for train, test in splitter.split(X, target, groups)
        ]
    except (ValueError, IndexError) as error:
        raise InvalidInputError(f"cv={cv!r} does not split these {len(X)} rows: {error}") from error
    held = np.concatenate([test for _, test in pairs]) if pairs else np.empty(0, np.int64)
    if not held.size or any(not train.size for train, _ in pairs):
        raise InvalidInputError(
            f"cv={cv!r} leaves a fold without rows; every fold needs rows to train on and to hold out"
        )
    repeated = np.flatnonzero(np.bincount(held) > 1)
    if repeated.size:
        rule = "use a splitter that holds out each row at most once (no repeats)"
        raise InvalidInputError(f"cv={cv!r} holds out row {repeated[0]} more than once; {rule}")
    return pairs


def out_of_fold_output(
    model: BaseModel,
    X: Floats32,
    labels: npt.NDArray[Any],
    sample_weight: Floats64 | None,
    *,
    splits: Splits,
    seeds: Sequence[int | None],
    classes: npt.NDArray[Any] | None,
) -> Floats64:
    """Return what clones of `model`, each fitted without one fold, say of that fold.

    Args:
        model: The unfitted member.
        X: Of shape (n_samples, n_features), float32.
        labels: Labels or values as given to `fit`, of shape (n_samples,).
        sample_weight: Of shape (n_samples,), or None.
        splits: From `fold_splits`.
        seeds: For each fold, what replaces a `random_state` that is None.
        classes: All labels in order, or None for regression. A class that a training fold lacks gets probability 0.

    Returns:
        Of shape (n_covered, n_outputs): the held-out rows of all folds, one fold after the other.
    """
    parts = []
    for (train, test), seed in zip(splits, seeds, strict=True):
        seen = None if classes is None else np.unique(labels[train])
        if classes is not None and seen is not None and len(seen) == 1:
            parts.append(np.tile((classes == seen[0]).astype(np.float64), (len(test), 1)))
            continue
        fold_model = with_seed(clone(model), seed)
        fold_model.fit(X[train], labels[train], None if sample_weight is None else sample_weight[train])
        output = fold_model._predict_backend(X[test])
        if classes is not None:
            aligned = np.zeros((len(test), len(classes)))
            aligned[:, np.searchsorted(classes, fold_model.classes_)] = output
            output = aligned
        parts.append(output)
    return np.concatenate(parts)


def with_seed(model: BaseModel, seed: int | None) -> BaseModel:
    """Return the model with `seed` as its random state, unless it has one of its own."""
    if seed is not None and model.get_params(deep=False).get("random_state", seed) is None:
        model.set_params(random_state=seed)
    return model
