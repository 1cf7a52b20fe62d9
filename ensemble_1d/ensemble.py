"""Ensemble: several models fitted on the same rows and combined by one rule."""

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ensemble_1d.combination import NODE_RULE, check_rule, combination_node, member_weights
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.ir import Node
from ensemble_1d.models.base import BaseModel, Floats32, Floats64, Task
from ensemble_1d.models.defaults import default_models
from ensemble_1d.runtime import combine_outputs

NamedModels = list[tuple[str, Any]]
"""Names and models as a user gave them: checked when the ensemble is fitted."""

_WHOLE = "ensemble"
"""What `evaluate` calls the ensemble itself; no member may be called so."""


class Ensemble(BaseModel):
    """Models of any kind behind one estimator, one Program and one C header.

    Args:
        models: Models, or (name, model) pairs; they are cloned, never changed. None is a RandomForestModel and an
            XGBoostModel, or what is installed of them, with a warning. Models without a name are called after their
            class: "random_forest", "xgboost", "pytorch", with "_2" and so on where one repeats.
        task: "classification" or "regression"; the members must have the same.
        combine: "soft" is the weighted mean of the members' probabilities or values; "hard" gives each class the
            weight of the members that vote for it, classification only.
        weights: None for equal weights, one number >= 0 for each model, or a dict by name.
        n_jobs: Threads for each member that sets no `n_jobs` of its own.
        random_state: Seed. It gives one to each member that has none of its own; None leaves those random.

    Attributes:
        members_: The fitted models by name.
        weights_: The weight of each member, of shape (n_members,), with a sum of one.
        classes_: Labels of shape (n_classes,); classification only.
        n_features_in_: Width of the input.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import Ensemble, RandomForestModel, XGBoostModel
        >>> X, y = load_iris(return_X_y=True)
        >>> ensemble = Ensemble([RandomForestModel(n_estimators=10), XGBoostModel(n_estimators=10)], random_state=0)
        >>> ensemble.fit(X, y).predict(X[:2])
        array([0, 0])
        >>> ensemble.quantize("int8", X).report.agreement > 0.99
        True
    """

    default_name = "inner_ensemble"

    def __init__(
        self,
        models: Sequence[Any] | None = None,
        *,
        task: Task = "classification",
        combine: str = "soft",
        weights: Sequence[float] | Mapping[str, float] | None = None,
        n_jobs: int | None = None,
        random_state: "int | np.random.RandomState | None" = None,
    ) -> None:
        """Store the parameters."""
        self.models = models
        self.task = task
        self.combine = combine
        self.weights = weights
        self.n_jobs = n_jobs
        self.random_state = random_state

    def evaluate(self, X: npt.ArrayLike, y: npt.ArrayLike) -> dict[str, dict[str, float]]:
        """Return the usual metrics of the ensemble and of each member.

        Args:
            X: Of shape (n_samples, n_features).
            y: True labels or values of shape (n_samples,).

        Returns:
            For "ensemble" and each member name, the metrics that `BaseModel.evaluate` describes.
        """
        truth = np.asarray(y)
        rows = self._checked_rows(X)
        outputs = {name: model._predict_backend(rows) for name, model in self.members_.items()}
        combined = combine_outputs(NODE_RULE[self.combine], self.weights_, list(outputs.values()))
        return {_WHOLE: self._metrics(combined, truth)} | {
            name: self._metrics(output, truth) for name, output in outputs.items()
        }

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; with `deep`, also each model by its name and its parameters as `name__parameter`.

        Args:
            deep: Whether to include the models.

        Returns:
            Names and values.
        """
        parameters: dict[str, Any] = super().get_params(deep=False)
        if deep:
            for name, model in _named(self.models):
                parameters[name] = model
                if hasattr(model, "get_params"):
                    parameters |= {f"{name}__{key}": value for key, value in model.get_params().items()}
        return parameters

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the ensemble, replace a model by its name, or set `name__parameter` of one.

        Args:
            **params: Names and values.

        Returns:
            The ensemble itself.

        Raises:
            ValueError: If there is no such parameter.
        """
        if "models" in params:
            self.models = params.pop("models")
        named = _named(self.models)
        replaced = {name: params.pop(name) for name, _ in named if name in params}
        if replaced:
            self.models = [(name, replaced.get(name, model)) for name, model in named]
        super().set_params(**params)
        return self

    def _fit_backend(self, X: Floats32, y: npt.NDArray[Any], sample_weight: Floats64 | None) -> None:
        """Fit a clone of each member on the rows and the labels as given."""
        check_rule(self.combine, self.task)
        members = self._checked_members()
        weights = member_weights(self.weights, [name for name, _ in members])
        labels = self.classes_[y] if self.task == "classification" else y
        rng = None if self.random_state is None else check_random_state(self.random_state)
        fitted: dict[str, BaseModel] = {}
        for name, model in members:
            member = clone(model)
            available = member.get_params(deep=False)
            if rng is not None:
                seed = rng.randint(2**31 - 1)
                if available.get("random_state", seed) is None:
                    member.set_params(random_state=seed)
            if self.n_jobs is not None and available.get("n_jobs", 1) is None:
                member.set_params(n_jobs=self.n_jobs)
            fitted[name] = member.fit(X, labels, sample_weight)
        self.members_ = fitted
        self.weights_ = weights

    def _checked_members(self) -> NamedModels:
        """Return names and models, or say what is wrong with them."""
        if self.models is None:
            return [*default_models(self.task)]
        if not isinstance(self.models, list | tuple):
            raise InvalidInputError(f"models={self.models!r} is no list; give a list of models or (name, model) pairs")
        members = _named(self.models)
        if not members:
            raise InvalidInputError("models is empty; give one model or more, or None for the default ones")
        taken = {_WHOLE, *super().get_params(deep=False)}
        for position, (name, model) in enumerate(members):
            if not isinstance(model, BaseModel):
                rule = "use RandomForestModel, XGBoostModel, PyTorchModel or another BaseModel"
                raise InvalidInputError(f"models[{position}] is {model!r}, which is no model; {rule}")
            if model.task != self.task:
                rule = f"give it task={self.task!r}"
                raise InvalidInputError(f"model {name!r} does {model.task}, the ensemble {self.task}; {rule}")
            if not isinstance(name, str) or not name or "__" in name or name in taken:
                rule = "use a non-empty text without '__' that is no parameter of Ensemble and no other model's name"
                raise InvalidInputError(f"models[{position}] has the name {name!r}; {rule}")
            taken.add(name)
        return members

    @property
    def _accepts_missing(self) -> bool:
        """Whether NaN is a value to every member."""
        return all(model._accepts_missing for _, model in _named(self.models) if isinstance(model, BaseModel))

    def _predict_backend(self, X: Floats32) -> Floats64:
        """Return the combined output of the members."""
        outputs = [member._predict_backend(X) for member in self.members_.values()]
        return combine_outputs(NODE_RULE[self.combine], self.weights_, outputs)

    def _lower(self) -> Node:
        """Return the combination of the members' nodes."""
        check_is_fitted(self)
        nodes = [member._lower() for member in self.members_.values()]
        return combination_node(self.combine, self.weights_, nodes, list(self.members_))


def _named(models: object) -> NamedModels:
    """Return (name, model) pairs; unnamed models are called after their class. What is no list has none."""
    pairs: NamedModels = []
    for model in models if isinstance(models, list | tuple) else ():
        if isinstance(model, tuple | list) and len(model) == 2:
            pairs.append((model[0], model[1]))
            continue
        base = getattr(model, "default_name", type(model).__name__.lower())
        taken = {name for name, _ in pairs}
        repeats = (f"{base}_{number}" for number in range(2, len(taken) + 3))
        pairs.append((next(name for name in (base, *repeats) if name not in taken), model))
    return pairs
