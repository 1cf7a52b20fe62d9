"""The metrics of `evaluate`, from scikit-learn, with the choices that its defaults leave open."""

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
