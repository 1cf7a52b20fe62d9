"""The members of an Ensemble as a user lists them: names, checks, columns, and estimators of other kinds."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.utils import check_random_state, get_tags
from sklearn.utils.validation import check_is_fitted

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.models.base import BaseModel, Task
from ensemble_1d.models.scikit_learn_model import ScikitLearnModel

NamedModels = list[tuple[str, Any]]
"""Names and models as a user gave them: checked when the ensemble is fitted."""

WHOLE = "ensemble"
"""What the ensemble itself is called among its members; no member may be called so."""

DROPPED = "drop"
"""Stands in the place of a model that is left out, as in scikit-learn."""

Columns = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True, eq=False)
class Member:
    """One member of an ensemble, before it is fitted.

    Attributes:
        name: Its name.
        model: A clone, never the user's own; or the user's own where it is fitted already.
        columns: The features it sees, of shape (n_columns,), or None for all.
        is_fitted: Whether the model is to be taken as it is.
        seed: What the seeds of its fits are drawn from; None leaves them random.
    """

    name: str
    model: BaseModel
    columns: Columns | None
    is_fitted: bool
    seed: int | None

    @property
    def takes_weights(self) -> bool:
        """Whether sample weights reach the model."""
        return bool(getattr(self.model, "takes_weights", True))


def drawn_seeds(random_state: "int | np.random.RandomState | None", n_seeds: int) -> list[int | None]:
    """Return seeds, or as many times None where none are wanted.

    Args:
        random_state: Where they are drawn from; None leaves what follows random.
        n_seeds: How many.
    """
    if random_state is None:
        return [None] * n_seeds
    rng = check_random_state(random_state)
    return [rng.randint(2**31 - 1) for _ in range(n_seeds)]


def named_models(models: object) -> NamedModels:
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


def is_dropped(model: object) -> bool:
    """Return whether a model is left out."""
    return isinstance(model, str) and model == DROPPED


def accepts_missing(model: object) -> bool:
    """Return whether NaN is a value to a model; what is no estimator says no."""
    if isinstance(model, BaseModel):
        return model._accepts_missing
    return _is_estimator(model) and hasattr(model, "__sklearn_tags__") and bool(get_tags(model).input_tags.allow_nan)


def _is_estimator(model: object) -> bool:
    """Return whether this has what scikit-learn asks of an estimator, and is no class."""
    return hasattr(model, "fit") and hasattr(model, "get_params") and not isinstance(model, type)


def checked_models(models: object, taken: Collection[str]) -> NamedModels:
    """Return (name, model) pairs, or say what is wrong with them.

    Args:
        models: What the user gave as `models`.
        taken: Names that no member may have.

    Raises:
        InvalidInputError: If the list, a name or a model breaks a rule, or all models are dropped.
    """
    if not isinstance(models, list | tuple):
        raise InvalidInputError(f"models={models!r} is no list; give a list of models or (name, model) pairs")
    pairs = named_models(models)
    seen = {WHOLE, *taken}
    for position, (name, model) in enumerate(pairs):
        if not isinstance(name, str) or not name or "__" in name or name in seen:
            rule = "use a non-empty text without '__' that is no parameter of Ensemble and no other model's name"
            raise InvalidInputError(f"models[{position}] has the name {name!r}; {rule}")
        seen.add(name)
        if not is_dropped(model) and not _is_estimator(model):
            rule = "use RandomForestModel, XGBoostModel, PyTorchModel, a scikit-learn estimator, or 'drop'"
            raise InvalidInputError(f"models[{position}] is {model!r}, which is no model; {rule}")
    if all(is_dropped(model) for _, model in pairs):
        found = "empty" if not pairs else "'drop' throughout"
        raise InvalidInputError(f"models is {found}; give one model or more, or None for the default ones")
    return pairs


def checked_model(model: Any, name: str, task: Task, *, is_fitted: bool, needs_probabilities: bool) -> BaseModel:
    """Return a model cloned, unless it is fitted already, and wrapped, if it is a scikit-learn estimator.

    Args:
        model: A model of ours, or any classifier or regressor.
        name: Its name.
        task: What the ensemble does.
        is_fitted: Whether to take it as it is.
        needs_probabilities: Whether the rule needs more than its labels.

    Raises:
        InvalidInputError: If it does another task, has no probabilities where they are needed, or is not fitted.
    """
    if isinstance(model, BaseModel):
        if model.task != task:
            raise InvalidInputError(f"model {name!r} does {model.task}, the ensemble {task}; give it task={task!r}")
    else:
        suits = is_classifier(model) if task == "classification" else is_regressor(model)
        if not suits:
            kind = "classifier" if task == "classification" else "regressor"
            raise InvalidInputError(f"model {name!r} is {model!r}, and an ensemble for {task} needs a {kind}")
        if needs_probabilities:
            check_probabilities(model, name, task)
    if is_fitted:
        try:
            check_is_fitted(model)
        except NotFittedError as error:
            rule = "fit it first, or leave it out of prefit"
            raise InvalidInputError(f"prefit says that model {name!r} is fitted, and it is not; {rule}") from error
    inner = model if is_fitted else clone(model)
    return inner if isinstance(inner, BaseModel) else ScikitLearnModel(inner, task=task)


def check_probabilities(model: Any, name: str, task: Task) -> None:
    """Refuse a classifier that only has labels.

    Args:
        model: Any model.
        name: Its name.
        task: What the ensemble does.

    Raises:
        InvalidInputError: If it has no probabilities.
    """
    if task == "classification" and not hasattr(model, "predict_proba"):
        rule = "wrap it in sklearn.calibration.CalibratedClassifierCV, or use combine='hard'"
        raise InvalidInputError(f"model {name!r} is {model!r}, which has no predict_proba; {rule}")


def adopted(member: Member, n_features: int, classes: npt.NDArray[Any] | None) -> BaseModel:
    """Return the model of a member that is fitted already, ready to answer for the ensemble's labels.

    Args:
        member: The member.
        n_features: How many features it gets.
        classes: The ensemble's labels, or None for regression.

    Raises:
        InvalidInputError: If it was fitted on another number of features or on labels that are not in `classes`.
    """
    model: Any = member.model
    fitted = model.estimator if isinstance(model, ScikitLearnModel) else model
    known = getattr(fitted, "n_features_in_", n_features)
    if known != n_features:
        rule = f"give X these {known} features, or name them in columns={{{member.name!r}: ...}}"
        raise InvalidInputError(
            f"the fitted model {member.name!r} knows {known} features and gets {n_features}; {rule}"
        )
    if classes is not None:
        strange = sorted(set(np.asarray(fitted.classes_).tolist()) - set(classes.tolist()), key=str)
        if strange:
            rule = "fit it again without them, or give y rows of them"
            raise InvalidInputError(
                f"the fitted model {member.name!r} knows the labels {strange}, which y does not hold; {rule}"
            )
    return model.adopt(n_features, classes) if isinstance(model, ScikitLearnModel) else fitted


def prefit_names(prefit: object, names: Collection[str]) -> set[str]:
    """Return the names of the members that are fitted already.

    Args:
        prefit: True for all, False for none, or a collection of names.
        names: The names of all members.

    Raises:
        InvalidInputError: If it is anything else, or a name is unknown.
    """
    if isinstance(prefit, bool):
        return set(names) if prefit else set()
    if isinstance(prefit, str) or not isinstance(prefit, Collection):
        raise InvalidInputError(f"prefit={prefit!r} is no choice of members; use True, False or a list of names")
    unknown = sorted(set(prefit) - set(names), key=str)
    if unknown:
        raise InvalidInputError(f"prefit names {unknown}; the members are {sorted(names)}")
    return set(prefit)


def member_columns(
    columns: object, names: Collection[str], n_features: int, feature_names: npt.NDArray[Any] | None
) -> dict[str, Columns]:
    """Return the features that members see, for those that do not see all.

    Args:
        columns: None, or for some members by name: positions, names of features, a boolean mask, or a slice.
        names: The names of all members.
        n_features: Number of features.
        feature_names: Their names, of shape (n_features,), or None.

    Returns:
        Positions of shape (n_columns,), int32, by member.

    Raises:
        InvalidInputError: If a member or a feature is unknown, or a choice is empty.
    """
    if columns is None:
        return {}
    if not isinstance(columns, Mapping):
        raise InvalidInputError(f"columns={columns!r} is no dict; give each member's features by its name")
    unknown = sorted(set(columns) - set(names), key=str)
    if unknown:
        raise InvalidInputError(f"columns names the members {unknown}; the members are {sorted(names)}")
    return {name: _positions(name, chosen, n_features, feature_names) for name, chosen in columns.items()}


def _positions(name: str, chosen: Any, n_features: int, feature_names: npt.NDArray[Any] | None) -> Columns:
    """Return the positions of the chosen features."""
    everything = np.arange(n_features, dtype=np.int32)
    rule = "use positions, names of features, a boolean mask or a slice"
    try:
        wanted = chosen if isinstance(chosen, slice) else np.asarray(chosen)
        if isinstance(wanted, np.ndarray) and wanted.dtype.kind in "OUT":
            known = [] if feature_names is None else feature_names.tolist()
            absent = [each for each in wanted.tolist() if each not in known]
            if absent:
                where = f"the features are {known}" if known else "X came without names of features"
                raise InvalidInputError(f"columns[{name!r}] names {absent}, and {where}")
            wanted = np.array([known.index(each) for each in wanted.tolist()], np.int64)
        positions = everything[wanted]
    except (IndexError, TypeError) as error:
        raise InvalidInputError(
            f"columns[{name!r}]={chosen!r} chooses none of {n_features} features: {error}; {rule}"
        ) from error
    if positions.ndim != 1 or positions.size == 0:
        raise InvalidInputError(f"columns[{name!r}]={chosen!r} chooses no features; {rule}")
    return positions
