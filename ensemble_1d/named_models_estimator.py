"""NamedModelsEstimator: the parameters of an estimator that lists models by name, as searches expect them."""

from typing import TYPE_CHECKING, Any, Self

from sklearn.base import BaseEstimator

from ensemble_1d._notebook import visual_block
from ensemble_1d.members import NamedModels, checked_models, named_models
from ensemble_1d.models.defaults import default_models

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ensemble_1d.models.base import Task


class NamedModelsEstimator(BaseEstimator):
    """An estimator whose `models` are parameters too: `name` is a model and `name__parameter` one of its parameters.

    Example:
        >>> from ensemble_1d import Ensemble, RandomForestModel, XGBoostModel
        >>> ensemble = Ensemble([RandomForestModel(), XGBoostModel()])
        >>> ensemble.set_params(xgboost__max_depth=3, cv=10).get_params()["xgboost__max_depth"]
        3
        >>> ensemble.set_params(xgboost="drop").models[1]
        ('xgboost', 'drop')
    """

    models: "Sequence[Any] | None"
    task: "Task"

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters; with `deep`, also each model by its name and its parameters as `name__parameter`.

        Args:
            deep: Whether to include the models.

        Returns:
            Names and values.
        """
        parameters: dict[str, Any] = super().get_params(deep=False)
        if deep:
            for name, model in named_models(self.models):
                parameters[name] = model
                if hasattr(model, "get_params"):
                    parameters |= {f"{name}__{key}": value for key, value in model.get_params().items()}
        return parameters

    def set_params(self, **params: Any) -> Self:
        """Set parameters of the ensemble, replace or drop a model by its name, or set `name__parameter` of one.

        Args:
            **params: Names and values.

        Returns:
            The ensemble itself.

        Raises:
            ValueError: If there is no such parameter.
        """
        if "models" in params:
            self.models = params.pop("models")
        named = named_models(self.models)
        replaced = {name: params.pop(name) for name, _ in named if name in params}
        if replaced:
            self.models = [(name, replaced.get(name, model)) for name, model in named]
        super().set_params(**params)
        return self

    def _listed(self) -> NamedModels:
        """Return the names and models of the members, dropped ones included."""
        if self.models is None:
            return [*default_models(self.task)]
        return checked_models(self.models, super().get_params(deep=False))

    def _sk_visual_block_(self) -> Any:
        """Return the members side by side, fitted where they are, for the diagram that notebooks show."""
        fitted = vars(self).get("members_", {})
        named = dict(named_models(self.models)) | fitted
        return visual_block([*named.values()], [*named])
