"""Ensemble: several models fitted on the same rows and combined by one rule."""

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

import numpy as np
import numpy.typing as npt
from sklearn.base import clone
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from ensemble_1d.combination import LEARNED_WEIGHTS, NODE_RULE, check_rule, combination_node, member_weights
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.ir import Node
from ensemble_1d.models.base import BaseModel, Floats32, Floats64, Task, restored_on_failure
from ensemble_1d.models.defaults import default_models
from ensemble_1d.out_of_fold import OutOfFold, Splits, fold_splits, out_of_fold_output, with_seed
from ensemble_1d.runtime import combine_outputs

if TYPE_CHECKING:
    from sklearn.model_selection import BaseCrossValidator

_SEEDS = 2**31 - 1

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
            weight of the members that vote for it, classification only. "optimized" and "greedy" are weighted means
            whose weights are learned from out-of-fold predictions, to the lowest log loss or squared error: by a
            solver over all weights, or by greedy selection with replacement (Caruana et al., ICML 2004).
        weights: None for equal weights, one number >= 0 for each model, or a dict by name; only for "soft" and "hard".
        cv: How rows are held out to learn weights: a number of folds (shuffled, by class for classification), a
            scikit-learn splitter, or an iterable of (training rows, held-out rows). Rows that no fold holds out, as
            with time-ordered splitters, are left out of the learning.
        n_jobs: Threads for each member that sets no `n_jobs` of its own.
        random_state: Seed. It gives one to each member that has none of its own; None leaves those random.

    Attributes:
        members_: The fitted models by name.
        weights_: The weight of each member, of shape (n_members,), with a sum of one.
        oof_coverage_: Share of the training rows that the folds held out; only where weights were learned.
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
        cv: "int | BaseCrossValidator | Iterable[Any]" = 5,
        n_jobs: int | None = None,
        random_state: "int | np.random.RandomState | None" = None,
    ) -> None:
        """Store the parameters."""
        self.models = models
        self.task = task
        self.combine = combine
        self.weights = weights
        self.cv = cv
        self.n_jobs = n_jobs
        self.random_state = random_state

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
    ) -> Self:
        """Fit every member on all rows and, where the rule learns weights, on all rows but each fold.

        Args:
            X: Array-like or data frame of shape (n_samples, n_features); computed with as float32.
            y: Labels of any type that sorts, or numbers for regression, of shape (n_samples,).
            sample_weight: Non-negative weights of shape (n_samples,), or None; they reach members and learned weights.
            groups: Group of each row, of shape (n_samples,), for a `cv` that keeps groups together.

        Returns:
            The ensemble itself.

        Raises:
            InvalidInputError: If a parameter, a member or a fold breaks a rule, or y holds a single class.
            ValueError: If X or y is empty, not numeric, not finite where it must be, or their lengths differ.
            MissingBackendError: If the backend of a member is not installed.
        """
        with restored_on_failure(self):
            rows, target, weights = self._begin_fit(X, y, sample_weight)
            self._fit_members(rows, target, weights, groups)
        return self

    def recombine(self, combine: str, weights: Sequence[float] | Mapping[str, float] | None = None) -> Self:
        """Change the rule without fitting a member again.

        Args:
            combine: The new rule.
            weights: Its weights, for "soft" and "hard".

        Returns:
            The ensemble itself, with new `combine`, `weights` and `weights_`.

        Raises:
            NotFittedError: If the ensemble is not fitted.
            InvalidInputError: If the rule or the weights break a rule, or the rule learns from out-of-fold predictions
                and the ensemble was fitted without them.

        Example:
            >>> from sklearn.datasets import load_iris
            >>> from ensemble_1d import Ensemble, RandomForestModel, XGBoostModel
            >>> X, y = load_iris(return_X_y=True)
            >>> members = [RandomForestModel(n_estimators=10), XGBoostModel(n_estimators=10)]
            >>> ensemble = Ensemble(members, combine="optimized", cv=3, random_state=0).fit(X, y)
            >>> ensemble.recombine("greedy").weights_.sum().round(6)
            np.float64(1.0)
        """
        check_is_fitted(self)
        check_rule(combine, self.task, weights)
        self.weights_ = self._weights_of(combine, weights, list(self.members_))
        self.combine, self.weights = combine, weights
        return self

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
        """Fit the members without groups."""
        self._fit_members(X, y, sample_weight, None)

    def _fit_members(
        self, X: Floats32, y: npt.NDArray[Any], sample_weight: Floats64 | None, groups: npt.ArrayLike | None
    ) -> None:
        """Fit a clone of each member on the rows and the labels as given, and on the folds if weights are learned."""
        check_rule(self.combine, self.task, self.weights)
        members = self._checked_members()
        is_classification = self.task == "classification"
        labels = self.classes_[y] if is_classification else y
        rng = None if self.random_state is None else check_random_state(self.random_state)
        splits: Splits = []
        if self.combine in LEARNED_WEIGHTS:
            seed = None if rng is None else rng.randint(_SEEDS)
            rows = np.arange(len(X)) if sample_weight is None else np.flatnonzero(sample_weight)
            splits = fold_splits(self.cv, X, y, groups, rows=rows, is_classification=is_classification, seed=seed)
        else:
            member_weights(self.weights, [name for name, _ in members])  # Refused before a member is fitted.
        fitted: dict[str, BaseModel] = {}
        outputs = []
        for name, model in members:
            # One seed for the member and one for each fold, drawn whether it needs them or not: its neighbours' stay.
            seeds = [None if rng is None else rng.randint(_SEEDS) for _ in range(len(splits) + 1)]
            member = self._with_threads(with_seed(clone(model), seeds[0]))
            if splits:
                classes = self.classes_ if is_classification else None
                unfitted = self._with_threads(clone(model))
                outputs.append(
                    out_of_fold_output(
                        unfitted, X, labels, sample_weight, splits=splits, seeds=seeds[1:], classes=classes
                    )
                )
            fitted[name] = member.fit(X, labels, sample_weight)
        self.members_ = fitted
        self._out_of_fold = None
        if splits:
            held = np.concatenate([test for _, test in splits])
            weight = None if sample_weight is None else sample_weight[held]
            self.oof_coverage_ = len(held) / len(X)
            self._out_of_fold = OutOfFold(np.stack(outputs), y[held], weight, self.oof_coverage_)
        self.weights_ = self._weights_of(self.combine, self.weights, list(fitted))

    def _with_threads(self, model: BaseModel) -> BaseModel:
        """Return the model with the ensemble's number of threads, unless it has one of its own."""
        if self.n_jobs is not None and model.get_params(deep=False).get("n_jobs", 1) is None:
            model.set_params(n_jobs=self.n_jobs)
        return model

    def _weights_of(self, combine: str, weights: Any, names: list[str]) -> Floats64:
        """Return given, equal or learned weights."""
        if combine not in LEARNED_WEIGHTS:
            return member_weights(weights, names)
        if self._out_of_fold is None:
            rule = f"fit with combine set to one of {tuple(LEARNED_WEIGHTS)} first"
            raise InvalidInputError(
                f"combine={combine!r} needs out-of-fold predictions, and this fit made none; {rule}"
            )
        return LEARNED_WEIGHTS[combine](self._out_of_fold)

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
