"""The fitted models that every exporter gets, and the rows that every program answers."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from data_sets import DataSet, bundled
from sklearn.base import clone
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.neural_network import MLPClassifier
from sklearn.preprocessing import LabelBinarizer

from ensemble_1d import BaseModel, Ensemble, PyTorchModel, RandomForestModel, XGBoostModel

Rows = npt.NDArray[Any]

_INT16_SPAN = 32000
"""Training values of each feature fill this many steps around zero; what lies outside of them has room to do so."""


@dataclass(frozen=True, slots=True, eq=False)
class Estimator:
    """What another exporter gets: a fitted estimator of scikit-learn or XGBoost, and the test rows as it takes them."""

    fitted: Any
    rows: Rows


@dataclass(frozen=True, slots=True, eq=False)
class Workload:
    """A fitted model of ours, and the same model for others.

    Attributes:
        name: What it is.
        data: What it was fitted on.
        model: The fitted model.
        for_others: What other exporters get, by the type of their rows; empty where none takes such a model.
    """

    name: str
    data: DataSet
    model: BaseModel
    for_others: dict[str, Estimator] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Its name with that of its data."""
        return f"{self.data.name}: {self.name}"


def workloads() -> Iterator[Workload]:
    """Yield every workload, fitted."""
    for load, hidden in ((load_breast_cancer, (32,)), (load_digits, (64, 64))):
        data = bundled(load)
        parts = {
            "forest, 10 x depth 8": forest(10, 8),
            "forest, 50 x depth 10": forest(50, 10),
            "boosting, 30 x depth 4": boosting(30),
            "boosting, 100 x depth 4": boosting(100),
            f"network, {'-'.join(map(str, hidden))}": network(hidden),
        }
        for name, model in parts.items():
            yield prepared(name, data, model)
        yield prepared("forest 50 + boosting 100 + network 32", data, together(data))
    yield prepared("boosting, 30 x depth 4", bundled(load_diabetes), boosting(30, "regression"))


def forest(n_estimators: int, max_depth: int) -> RandomForestModel:
    """Return an unfitted forest; the seed goes straight to scikit-learn, so that others can fit the same one."""
    return RandomForestModel(n_estimators=n_estimators, max_depth=max_depth, backend_params={"random_state": 0})


def boosting(n_estimators: int, task: Any = "classification") -> XGBoostModel:
    """Return unfitted boosted trees."""
    return XGBoostModel(task=task, n_estimators=n_estimators, max_depth=4, random_state=0)


def network(hidden: tuple[int, ...]) -> PyTorchModel:
    """Return an unfitted network."""
    return PyTorchModel(hidden_layer_sizes=hidden, random_state=0)


def together(data: DataSet) -> Ensemble:
    """Return the unfitted mean of a forest, boosted trees and a network that are fitted."""
    members = [each.fit(data.X_train, data.y_train) for each in (forest(50, 10), boosting(100), network((32,)))]
    return Ensemble(members, combine="soft", prefit=True)


def prepared(name: str, data: DataSet, model: BaseModel) -> Workload:
    """Return a workload with the model fitted, for us and for others."""
    model.fit(data.X_train, data.y_train)
    others: Callable[[Any, DataSet], dict[str, Estimator]] | None = {
        RandomForestModel: _forest_for_others,
        XGBoostModel: _boosting_for_others,
        PyTorchModel: _network_for_others,
    }.get(type(model))
    return Workload(name, data, model, {} if others is None else others(model, data))


def _forest_for_others(model: RandomForestModel, data: DataSet) -> dict[str, Estimator]:
    """Return our own backend, and one refitted on int16 rows for exporters that take nothing else."""
    low, high = data.X_train.min(axis=0), data.X_train.max(axis=0)
    offset, step = (low + high) / 2, np.where(high > low, high - low, 1) / _INT16_SPAN
    if (data.X_train == np.rint(data.X_train)).all():
        # Between integers lies a half: twice that is an integer too, and a small one is the cheapest to compare with.
        offset, step = np.zeros_like(low), np.full_like(step, 0.5)

    def as_int16(X: Rows) -> Rows:
        return np.asarray(np.clip(np.rint((X - offset) / step), -32768, 32767).astype(np.int16))

    refitted = clone(model.backend_).fit(as_int16(data.X_train), data.y_train)
    return {**_in_floats(model.backend_, data.X_test), "int16_t": Estimator(refitted, as_int16(data.X_test))}


def _boosting_for_others(model: XGBoostModel, data: DataSet) -> dict[str, Estimator]:
    """Return our own backend."""
    return _in_floats(model.backend_, data.X_test)


def _in_floats(fitted: Any, rows: Rows) -> dict[str, Estimator]:
    """Return an estimator for exporters that take float and for those that take double."""
    return {"float": Estimator(fitted, rows), "double": Estimator(fitted, rows.astype(np.float64))}


def _network_for_others(model: PyTorchModel, data: DataSet) -> dict[str, Estimator]:
    """Return the weights as scikit-learn holds them; the rows come standardised, at no cost."""
    twin = MLPClassifier(hidden_layer_sizes=tuple(model.hidden_layer_sizes))
    twin.coefs_ = [weight.T.astype(np.float64) for weight in model.coefs_]
    twin.intercepts_ = [bias.astype(np.float64) for bias in model.intercepts_]
    twin.n_layers_ = len(twin.coefs_) + 1
    twin.n_outputs_ = len(twin.intercepts_[-1])
    twin.out_activation_ = "logistic" if twin.n_outputs_ == 1 else "softmax"
    twin.classes_ = model.classes_
    twin.n_features_in_ = model.n_features_in_
    twin._label_binarizer = LabelBinarizer().fit(model.classes_)
    rows = ((data.X_test - model.input_mean_) * model.input_scale_).astype(np.float32)
    return _in_floats(twin, rows)
