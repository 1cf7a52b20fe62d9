"""What tests fit: small data sets, made once and read-only, and a maker of each model in each of its tasks."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from sklearn.linear_model import LogisticRegression, Ridge

from ensemble_1d import Ensemble, PyTorchModel, RandomForestModel, XGBoostModel

N_ROWS = 120
N_FEATURES = 5


@dataclass(frozen=True, eq=False)
class Sample:
    """Rows and their labels or values; read-only arrays, so that a fit that changes its arguments fails."""

    X: np.ndarray
    y: np.ndarray


@cache
def sample(name: str) -> Sample:
    """Return a data set by name: "binary", "words", "multiclass", "regression" or "missing"."""
    if name == "words":
        base = sample("binary")
        return _frozen(base.X, np.array(["malign", "benign"])[base.y])
    if name == "missing":
        base = sample("binary")
        return _frozen(with_missing(base.X), base.y)
    loader = {"binary": load_breast_cancer, "multiclass": load_wine, "regression": load_diabetes}[name]
    X, y = loader(return_X_y=True)
    rows = np.random.default_rng(0).permutation(len(X))[:N_ROWS]
    return _frozen(X[rows, :N_FEATURES], y[rows])


def sample_of(model: Any, n_classes: int = 2) -> Sample:
    """Return rows that suit the task of a model."""
    if model.task == "regression":
        return sample("regression")
    return sample("binary" if n_classes == 2 else "multiclass")


def with_missing(X: np.ndarray) -> np.ndarray:
    """Return a copy of which every seventh value is NaN."""
    copy = np.array(X)
    copy.flat[::7] = np.nan
    return copy


def outputs(model: Any, X: Any) -> np.ndarray:
    """Return probabilities, or values."""
    return model.predict_proba(X) if model.task == "classification" else model.predict(X)


def _frozen(X: np.ndarray, y: np.ndarray) -> Sample:
    """Return a sample of read-only copies."""
    X, y = np.array(X), np.array(y)
    X.flags.writeable = y.flags.writeable = False
    return Sample(X, y)


def forest(**parameters: Any) -> RandomForestModel:
    """Return a small forest."""
    return RandomForestModel(**{"n_estimators": 8, "max_depth": 5} | parameters)


def boosting(**parameters: Any) -> XGBoostModel:
    """Return a few boosting rounds."""
    return XGBoostModel(**{"n_estimators": 5, "max_depth": 3} | parameters)


def stopping(**parameters: Any) -> XGBoostModel:
    """Return boosting that stops by held-out rows."""
    return boosting(**{"n_estimators": 15, "early_stopping": True, "n_iter_no_change": 2} | parameters)


def network(**parameters: Any) -> PyTorchModel:
    """Return a small network that trains for a moment, on the CPU."""
    return PyTorchModel(
        **{"hidden_layer_sizes": (16, 16), "max_epochs": 30, "learning_rate": 0.03, "device": "cpu"} | parameters
    )


def _makers(kind: Callable[..., Any], task: str) -> Callable[..., Any]:
    return lambda **parameters: kind(**{"task": task, "random_state": 0} | parameters)


def _soft(task: str) -> Callable[..., Any]:
    def make(**parameters: Any) -> Ensemble:
        members = [forest(task=task), boosting(task=task), network(task=task)]
        return Ensemble(**{"models": members, "task": task, "combine": "soft", "random_state": 0} | parameters)

    return make


def _hard(**parameters: Any) -> Ensemble:
    return Ensemble(**{"models": [forest(), boosting()], "combine": "hard", "random_state": 0} | parameters)


def linear(task: str = "classification") -> Any:
    """Return a linear model of scikit-learn's; the solver needs no scaled features."""
    return LogisticRegression(solver="newton-cholesky") if task == "classification" else Ridge()


def _learned(kinds: tuple[Callable[..., Any], ...], **options: Any) -> Callable[..., Any]:
    """Return a maker of an ensemble that learns from folds."""

    def make(**parameters: Any) -> Any:
        members = [kind(task=options.get("task", "classification")) for kind in kinds]
        return Ensemble(members, **({"cv": 3, "random_state": 0} | options | parameters))

    return make


MAKERS: dict[str, Callable[..., Any]] = {
    "RandomForestModel-classification": _makers(forest, "classification"),
    "RandomForestModel-regression": _makers(forest, "regression"),
    "XGBoostModel-classification": _makers(boosting, "classification"),
    "XGBoostModel-regression": _makers(boosting, "regression"),
    "XGBoostModel-stopping-classification": _makers(stopping, "classification"),
    "XGBoostModel-stopping-regression": _makers(stopping, "regression"),
    "PyTorchModel-classification": _makers(network, "classification"),
    "PyTorchModel-regression": _makers(network, "regression"),
    "Ensemble-soft-classification": _soft("classification"),
    "Ensemble-hard-classification": _hard,
    "Ensemble-soft-regression": _soft("regression"),
    "Ensemble-optimized-classification": _learned((forest, boosting), combine="optimized"),
    "Ensemble-optimized-regression": _learned((forest, boosting), combine="optimized", task="regression"),
    "Ensemble-greedy-classification": _learned((forest, boosting), combine="greedy"),
    "Ensemble-stacking-classification": _learned((forest, boosting)),
    "Ensemble-stacking-regression": _learned((forest, linear), task="regression"),
    "Ensemble-stacking-passthrough-classification": _learned((forest, forest), calibrate=True, passthrough=True),
    "Ensemble-average-regression": _learned((boosting, linear), refit="average", task="regression"),
    "Ensemble-stopping-classification": _learned((stopping, linear), refit="average", calibrate=True, combine="soft"),
    "Ensemble-stopping-regression": _learned((stopping, boosting), combine="greedy", task="regression"),
}
"""Makers of unfitted models with a fixed seed; keyword arguments override parameters."""


def backends_of(name: str) -> tuple[str, ...]:
    """Return the optional modules that the model of `MAKERS` with this name needs."""
    uses_xgboost = (
        name.startswith(("XGBoost", "Ensemble")) and "stacking-regr" not in name and "passthrough" not in name
    )
    uses_torch = name.startswith(("PyTorch", "Ensemble-soft"))
    return ("xgboost",) * uses_xgboost + ("torch",) * uses_torch


def skip_without_backends(name: str) -> None:
    """Skip the test if the model of `MAKERS` with this name needs a module that is not installed."""
    for module in backends_of(name):
        pytest.importorskip(module)
