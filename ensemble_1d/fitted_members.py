"""Members after the fit: what each says of rows, its nodes, and the out-of-fold predictions of all."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import UnsupportedModelError
from ensemble_1d.ir import Chain, Node, Select
from ensemble_1d.members import Columns
from ensemble_1d.models.base import BaseModel, Floats32, Floats64
from ensemble_1d.models.class_columns import aligned_node, aligned_output
from ensemble_1d.out_of_fold import OutOfFold, Splits, held_rows


@dataclass(frozen=True, slots=True, eq=False)
class FittedMember:
    """One member after the fit.

    Attributes:
        name: Its name.
        model: The fitted model.
        columns: The features it sees, or None for all.
        fit_seconds: Time of all its fits together, in seconds.
        held_output: What it says of the held-out rows of all folds, fold after fold; None without folds.
        predict_seconds: Time it took to say so, in seconds; None without folds.
    """

    name: str
    model: BaseModel
    columns: Columns | None
    fit_seconds: float
    held_output: Floats64 | None
    predict_seconds: float | None


def member_output(model: BaseModel, columns: Columns | None, X: Floats32, classes: npt.NDArray[Any] | None) -> Floats64:
    """Return what a fitted member says of checked rows, with one column for each class.

    Args:
        model: The fitted model.
        columns: The features it sees, or None for all.
        X: Of shape (n_samples, n_features), float32.
        classes: The ensemble's labels, or None for regression.

    Returns:
        Of shape (n_samples, n_outputs).
    """
    seen = X if columns is None else np.ascontiguousarray(X[:, columns])
    return aligned_output(model._predict_backend(seen), getattr(model, "classes_", None), classes)


def member_node(member: FittedMember, classes: npt.NDArray[Any] | None) -> Node:
    """Return the nodes that compute what `member_output` does.

    Args:
        member: The member.
        classes: The ensemble's labels, or None for regression.

    Raises:
        UnsupportedModelError: If the model has no Program; the message names the member.
    """
    try:
        node = aligned_node(member.model._lower(), getattr(member.model, "classes_", None), classes)
    except UnsupportedModelError as error:
        raise UnsupportedModelError(f"member {member.name!r}: {error}") from error
    return node if member.columns is None else Chain(steps=(Select(column=member.columns), node))


def out_of_fold(
    members: Sequence[FittedMember],
    splits: Splits,
    target: npt.NDArray[Any],
    sample_weight: Floats64 | None,
    *,
    features: Floats32 | None,
) -> OutOfFold:
    """Return what all members say of the rows that the folds hold out, and the truth about these rows.

    Args:
        members: Members that were fitted on the folds.
        splits: Training and held-out rows of each fold.
        target: Class indices or values of all rows.
        sample_weight: Weights of all rows, or None.
        features: All rows, for a meta-model that sees them, or None.
    """
    held = held_rows(splits)
    return OutOfFold(
        outputs=np.stack([member.held_output for member in members if member.held_output is not None]),
        target=target[held],
        fold=np.repeat(np.arange(len(splits)), [len(rows) for _, rows in splits]),
        sample_weight=None if sample_weight is None else sample_weight[held],
        features=None if features is None else features[held],
    )
