"""ScikitLearnModel: any scikit-learn classifier or regressor as a member of an ensemble."""

from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import effective_n_jobs
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags
from sklearn.utils.validation import has_fit_parameter
from threadpoolctl import threadpool_limits

from ensemble_1d.errors import UnsupportedModelError
from ensemble_1d.ir import Affine, Chain, Dense, Link, Node
from ensemble_1d.models.base import BaseModel, Floats32, Floats64, Task
from ensemble_1d.models.class_columns import aligned_node, aligned_output

_NEARLY = 1e-9
"""How far a sum of probabilities may be from one."""

_LINEAR_REGRESSORS = frozenset(
    {
        "BayesianRidge",
        "ElasticNet",
        "ElasticNetCV",
        "HuberRegressor",
        "Lasso",
        "LassoCV",
        "LinearRegression",
        "QuantileRegressor",
        "Ridge",
        "RidgeCV",
        "SGDRegressor",
    }
)
"""Estimators of sklearn.linear_model whose prediction is `X @ coef_ + intercept_`."""


class ScikitLearnModel(BaseModel):
    """A scikit-learn estimator under the contract of a model; an Ensemble wraps its members so by itself.

    Linear regressors and logistic regression, alone or behind a StandardScaler in a Pipeline, have a Program. Others
    fit and predict like any member, and say that they have none when it is asked for. Features reach the estimator as
    float64: its linear solvers would compute in float32 otherwise, and lose digits.

    Args:
        estimator: A classifier or regressor; it is cloned, never changed.
        task: "classification" or "regression".
        n_jobs: Most threads of OpenMP while the estimator is fitted, as in joblib; None is one. BLAS has one, so that
            the result is the same for any number. The estimator's own `n_jobs` stays as it is.
        random_state: Seed of each `random_state` that is None in the estimator or below it.

    Attributes:
        backend_: The fitted estimator; it has seen the labels as they were given.
        classes_: Labels of shape (n_classes,); classification only.
        n_features_in_: Width of the input.
    """

    default_name = "scikit_learn"

    def __init__(
        self,
        estimator: Any,
        *,
        task: Task = "classification",
        n_jobs: int | None = None,
        random_state: "int | np.random.RandomState | None" = None,
    ) -> None:
        """Store the parameters."""
        self.estimator = estimator
        self.task = task
        self.n_jobs = n_jobs
        self.random_state = random_state

    @property
    def takes_weights(self) -> bool:
        """Whether the estimator's `fit` has a `sample_weight`."""
        return bool(has_fit_parameter(self.estimator, "sample_weight"))

    @property
    def _accepts_missing(self) -> bool:
        """Whether NaN is a value to the estimator, by its own tags."""
        return bool(get_tags(self.estimator).input_tags.allow_nan)

    def adopt(self, n_features: int, classes: npt.NDArray[Any] | None) -> "ScikitLearnModel":
        """Take the estimator as it is, fitted already.

        Args:
            n_features: Number of features it was fitted on.
            classes: All labels, its own among them, or None for regression.

        Returns:
            The model itself.
        """
        self.backend_ = self.estimator
        self.n_features_in_ = n_features
        if classes is not None:
            self.classes_ = classes
        return self

    def _fit_backend(self, X: Floats32, y: npt.NDArray[Any], sample_weight: Floats64 | None) -> None:
        """Fit a clone on the labels as given."""
        estimator = clone(self.estimator)
        given = estimator.get_params(deep=True)
        if self.random_state is not None:
            names = [name for name in sorted(given) if name == "random_state" or name.endswith("__random_state")]
            estimator.set_params(**{name: self.random_state for name in names if given[name] is None})
        labels = self.classes_[y] if self.task == "classification" else y
        weighted = {} if sample_weight is None or not self.takes_weights else {"sample_weight": sample_weight}
        with threadpool_limits(limits={"blas": 1, "openmp": effective_n_jobs(self.n_jobs)}):
            self.backend_ = estimator.fit(X.astype(np.float64), labels, **weighted)

    def _predict_backend(self, X: Floats32) -> Floats64:
        """Return the estimator's own probabilities or values; votes, where it has no probabilities."""
        rows = X.astype(np.float64)
        if self.task == "regression":
            return np.asarray(self.backend_.predict(rows), np.float64).reshape(len(X), 1)
        if hasattr(self.backend_, "predict_proba"):
            output = np.asarray(self.backend_.predict_proba(rows), np.float64)
            total = output.sum(axis=1, keepdims=True)
            # Some compute in float32, and their rows sum to one only nearly.
            output = np.where(np.abs(total - 1) > _NEARLY, output / np.where(total > 0, total, 1), output)
            return aligned_output(output, self.backend_.classes_, self.classes_)
        return np.asarray(np.asarray(self.backend_.predict(rows))[:, np.newaxis] == self.classes_, np.float64)

    def _lower(self) -> Node:
        """Return the estimator's nodes, or say that it has none."""
        model = self.backend_.estimator if isinstance(self.backend_, FrozenEstimator) else self.backend_
        before: tuple[Node, ...] = ()
        if isinstance(model, Pipeline):
            *scalers, (_, model) = model.steps
            for _, scaler in scalers:
                before = (*before, _scaling(scaler))
        node = Chain(steps=(*before, *_linear(model)))
        return aligned_node(node, getattr(model, "classes_", None), getattr(self, "classes_", None))


def _refused(model: object) -> UnsupportedModelError:
    """Return the error of an estimator without nodes."""
    rule = (
        "scikit-learn's linear regressors and LogisticRegression have one, also behind a StandardScaler; use those, "
        "RandomForestModel, XGBoostModel or PyTorchModel for what is to be exported"
    )
    return UnsupportedModelError(f"{type(model).__name__} has no Program: {rule}")


def _scaling(scaler: object) -> Affine:
    """Return the node of a StandardScaler."""
    if not isinstance(scaler, StandardScaler):
        raise _refused(scaler)
    n_features = scaler.n_features_in_
    offset = np.zeros(n_features) if scaler.mean_ is None or not scaler.with_mean else scaler.mean_
    scale = np.ones(n_features) if scaler.scale_ is None else 1 / scaler.scale_
    return Affine(offset=offset.astype(np.float32), scale=scale.astype(np.float32))


def _linear(model: Any) -> tuple[Node, ...]:
    """Return the nodes of a linear model."""
    name = type(model).__name__
    is_linear = type(model).__module__.startswith("sklearn.linear_model")
    is_logistic = is_linear and name in {"LogisticRegression", "LogisticRegressionCV"}
    if not is_logistic and not (is_linear and name in _LINEAR_REGRESSORS):
        raise _refused(model)
    weight = np.atleast_2d(np.asarray(model.coef_, np.float64))
    if is_logistic and len(weight) > 1 and "liblinear" in str(model.solver):
        raise UnsupportedModelError("LogisticRegression(solver='liblinear') has no softmax; use solver='lbfgs'")
    bias = np.broadcast_to(np.asarray(model.intercept_, np.float64), len(weight))
    layer = Dense(weight=weight.astype(np.float32), bias=bias.astype(np.float32), activation="identity")
    if not is_logistic:
        return (layer,)
    return (layer, Link(kind="sigmoid" if len(weight) == 1 else "softmax"))
