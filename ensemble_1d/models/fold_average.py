"""FoldAverage: the models of all folds kept, and averaged, in place of one more model fitted on all rows."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import UnsupportedModelError
from ensemble_1d.ir import Combine, Node
from ensemble_1d.models.base import BaseModel, Floats32, Floats64, Task
from ensemble_1d.models.class_columns import aligned_node, aligned_output


class FoldAverage(BaseModel):
    """The equal mean of fitted models of one kind, each fitted without one fold; made by `Ensemble(refit="average")`.

    Args:
        models: The fitted models.
        task: "classification" or "regression".

    Attributes:
        classes_: Labels of shape (n_classes,); classification only.
        n_features_in_: Width of the input.
    """

    default_name = "fold_average"

    def __init__(self, models: Sequence[BaseModel], *, task: Task = "classification") -> None:
        """Store the parameters."""
        self.models = models
        self.task = task

    @property
    def _accepts_missing(self) -> bool:
        """Whether NaN is a value to every model."""
        return all(model._accepts_missing for model in self.models)

    # The arguments are those of every model; there is nothing to fit with them.
    def _fit_backend(self, X: Floats32, y: npt.NDArray[Any], sample_weight: Floats64 | None) -> None:  # noqa: ARG002
        """Refuse: the folds are the ensemble's."""
        raise UnsupportedModelError("FoldAverage is made by an ensemble from its folds; fit Ensemble(refit='average')")

    def _predict_backend(self, X: Floats32) -> Floats64:
        """Return the mean of the models, each column that of one class."""
        classes = getattr(self, "classes_", None)
        outputs = (
            aligned_output(model._predict_backend(X), getattr(model, "classes_", None), classes)
            for model in self.models
        )
        total = sum(output / len(self.models) for output in outputs)
        return np.asarray(total)

    def _lower(self) -> Node:
        """Return the mean of the models' nodes."""
        classes = getattr(self, "classes_", None)
        nodes = tuple(aligned_node(model._lower(), getattr(model, "classes_", None), classes) for model in self.models)
        return Combine(members=nodes, weights=np.full(len(nodes), 1 / len(nodes)), rule="mean")


def fold_average(models: Sequence[BaseModel], like: BaseModel, classes: npt.NDArray[Any] | None) -> FoldAverage:
    """Return the average of fitted models, ready to predict.

    Args:
        models: Fitted models, all for the task of `like`.
        like: A model whose task the average has.
        classes: All labels, or None for regression.
    """
    average = FoldAverage([*models], task=like.task)
    average.n_features_in_ = models[0].n_features_in_
    if classes is not None:
        average.classes_ = classes
    return average
