"""The members of an Ensemble that names none: what is installed."""

import warnings
from typing import TYPE_CHECKING

from ensemble_1d._require import is_available

if TYPE_CHECKING:
    from ensemble_1d.models.base import BaseModel, Task


def default_models(task: "Task") -> "list[tuple[str, BaseModel]]":
    """Return a forest and boosted trees, or the forest alone, with a warning, where XGBoost is not installed.

    Args:
        task: "classification" or "regression".

    Returns:
        Names and unfitted models.
    """
    from ensemble_1d.models.random_forest import RandomForestModel  # noqa: PLC0415 -- backends load when asked for

    models: list[tuple[str, BaseModel]] = [("random_forest", RandomForestModel(task=task))]
    if is_available("xgboost"):
        from ensemble_1d.models.xgboost_model import XGBoostModel  # noqa: PLC0415 -- backends load when asked for

        return [*models, ("xgboost", XGBoostModel(task=task))]
    remedy = 'pip install "ensemble-1d[xgboost]"'
    warnings.warn(f"xgboost is not installed, so the ensemble is a forest alone; {remedy}", stacklevel=2)
    return models
