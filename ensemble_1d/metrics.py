"""How good answers are: the metrics of `evaluate`, from scikit-learn, and how far probabilities can be trusted."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import (
    accuracy_score,
    log_loss,
    mean_absolute_error,
    precision_recall_fscore_support,
    r2_score,
    roc_auc_score,
    root_mean_squared_error,
)
from sklearn.utils import check_consistent_length, column_or_1d

from ensemble_1d.errors import InvalidInputError

Floats64 = npt.NDArray[np.float64]


def classification_metrics(y: npt.NDArray[Any], probabilities: Floats64, classes: npt.NDArray[Any]) -> dict[str, float]:
    """Return accuracy, weighted F1, precision and recall, log loss and ROC AUC.

    Args:
        y: True labels of shape (n_samples,).
        probabilities: Of shape (n_samples, n_classes).
        classes: Labels of the columns, of shape (n_classes,), sorted.

    Returns:
        Metric names and values. A class that is never predicted counts as precision 0. "roc_auc" is one against the
        rest, weighted by class frequency, over the classes that y holds; NaN where there is only one.
    """
    predicted = classes[probabilities.argmax(axis=1)]
    precision, recall, f1, _ = precision_recall_fscore_support(y, predicted, average="weighted", zero_division=0)
    return {
        "accuracy": float(accuracy_score(y, predicted)),
        "f1": float(f1),
        "precision": float(precision),
        "recall": float(recall),
        "log_loss": float(log_loss(y, probabilities, labels=classes)),
        "roc_auc": _roc_auc(y, probabilities, classes),
    }


def _roc_auc(y: npt.NDArray[Any], probabilities: Floats64, classes: npt.NDArray[Any]) -> float:
    """Return the area under the ROC curve, weighted over the classes present."""
    counts = np.array([(y == label).sum() for label in classes])
    present = np.flatnonzero((counts > 0) & (counts < len(y)))
    if not present.size:
        return float("nan")
    if len(classes) == 2:
        return float(roc_auc_score(y == classes[1], probabilities[:, 1]))
    areas = [roc_auc_score(y == classes[each], probabilities[:, each]) for each in present]
    return float(np.average(areas, weights=counts[present]))


def regression_metrics(y: npt.NDArray[Any], predicted: Floats64) -> dict[str, float]:
    """Return R2, mean absolute error and root mean squared error.

    Args:
        y: True values of shape (n_samples,).
        predicted: Values of shape (n_samples,).

    Returns:
        Metric names and values; "r2" is NaN for fewer than two rows.
    """
    return {
        "r2": float(r2_score(y, predicted)) if len(y) > 1 else float("nan"),
        "mae": float(mean_absolute_error(y, predicted)),
        "rmse": float(root_mean_squared_error(y, predicted)),
    }


@dataclass(frozen=True, slots=True, eq=False)
class Reliability:
    """How often a classifier is right against how sure it is, in bins of its confidence.

    Attributes:
        confidence: Mean confidence of the rows in each bin that has any, of shape (n_filled,).
        accuracy: Share of these rows whose label is right.
        share: Share of all rows that the bin holds.
    """

    confidence: Floats64
    accuracy: Floats64
    share: Floats64

    @property
    def error(self) -> float:
        """The expected calibration error: mean distance of accuracy from confidence, weighted by rows."""
        return float(self.share @ np.abs(self.accuracy - self.confidence))


def reliability(
    y: npt.NDArray[Any], probabilities: Floats64, classes: npt.NDArray[Any], *, n_bins: int = 10
) -> Reliability:
    """Return mean confidence, accuracy and share of the rows of each bin that has any.

    Args:
        y: True labels of shape (n_samples,).
        probabilities: Of shape (n_samples, n_classes).
        classes: Labels of the columns, of shape (n_classes,).
        n_bins: Number of bins, which part [0, 1] evenly, each with its upper edge.

    Raises:
        ValueError: If y has another length than the probabilities.
    """
    check_consistent_length(probabilities, y)
    confidence = probabilities.max(axis=1)
    is_right = classes[probabilities.argmax(axis=1)] == y
    inner_edges = np.linspace(0, 1, n_bins + 1)[1:-1]
    _, bins, rows = np.unique(np.searchsorted(inner_edges, confidence), return_inverse=True, return_counts=True)
    return Reliability(
        np.bincount(bins, weights=confidence) / rows,
        np.bincount(bins, weights=is_right) / rows,
        rows / len(y),
    )


def known_labels(y: npt.ArrayLike, classes: npt.NDArray[Any], caller: str) -> npt.NDArray[Any]:
    """Return y as an array of labels that a model knows.

    Args:
        y: Of shape (n_samples,).
        classes: The labels that the model knows.
        caller: What the user called, for the message.

    Raises:
        InvalidInputError: If y holds another label.
        ValueError: If y is not one-dimensional.
    """
    labels: npt.NDArray[Any] = column_or_1d(y)
    known = set(classes.tolist())
    unknown = [label for label in labels.tolist() if label not in known]
    if unknown:
        rule = f"use the labels it was fitted with, {classes.tolist()}"
        raise InvalidInputError(f"{caller}: y holds {unknown[0]!r}, which the model does not know; {rule}")
    return labels
