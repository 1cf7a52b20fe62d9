"""EarlyStoppingModel: models fitted in rounds that stop when the loss of validation rows falls no more."""

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_random_state

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.models.base import BaseModel, Floats32, Floats64
from ensemble_1d.models.hold_out import Rows, hold_out
from ensemble_1d.models.parameters import check_parameters, is_integer, is_number
from ensemble_1d.models.rollback import restored_on_failure

if TYPE_CHECKING:
    from collections.abc import Mapping


class EarlyStoppingModel(BaseModel):
    """A model fitted in rounds; with `early_stopping`, only the rounds up to the best one are kept.

    A backend implements `_fit_rounds` in place of `_fit_backend`, sets `best_iteration_` and `n_iter_`, and names in
    `_rounds_parameter` its parameter with the largest number of rounds.

    Attributes:
        best_iteration_: Number of rounds kept.
        n_iter_: Number of rounds run.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import XGBoostModel
        >>> X, y = load_iris(return_X_y=True)
        >>> model = XGBoostModel(n_estimators=50, early_stopping=True, n_iter_no_change=3, random_state=0)
        >>> model.fit(X[::2], y[::2], X_val=X[1::2], y_val=y[1::2]).best_iteration_ < 50
        True
    """

    early_stopping: bool
    validation_fraction: float
    n_iter_no_change: int
    class_weight: "Mapping[Any, float] | str | None"
    random_state: "int | np.random.RandomState | None"
    best_iteration_: int
    n_iter_: int
    _rounds_parameter: ClassVar[str]

    @abstractmethod
    def _fit_rounds(self, rows: Rows, validation: Rows | None, seed: int) -> None:
        """Fit on rows of positive weight; keep the rounds best on the validation rows, or all if there are none."""

    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        X_val: npt.ArrayLike | None = None,
        y_val: npt.ArrayLike | None = None,
        sample_weight_val: npt.ArrayLike | None = None,
    ) -> Self:
        """Fit the model.

        Args:
            X: Array-like or data frame of shape (n_samples, n_features); computed with as float32.
            y: Labels of any type that sorts, or numbers for regression, of shape (n_samples,).
            sample_weight: Non-negative weights of shape (n_samples,), or None for equal ones.
            X_val: Validation rows of shape (n_validation, n_features) that decide when to stop, in place of rows held
                out of X; only with `early_stopping=True`.
            y_val: Their labels or numbers, of shape (n_validation,). Rows of a class that y lacks are left out.
            sample_weight_val: Their non-negative weights, of shape (n_validation,), or None for equal ones; multiplied
                by `class_weight` like those of X.

        Returns:
            The model itself.

        Raises:
            InvalidInputError: If a parameter is unknown, y holds a single class, or the validation rows do not fit
                those of X, are given in part or without `early_stopping=True`, or none of them can be used.
            ValueError: If X or y is empty, not numeric, not finite where it must be, or their lengths differ.
            MissingBackendError: If the backend is not installed.
        """
        validation = {"X_val": X_val, "y_val": y_val, "sample_weight_val": sample_weight_val}
        with restored_on_failure(self):
            self._fit_backend(*self._checked_fit(X, y, sample_weight, **validation))
        return self

    def _checked_fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        **validation: npt.ArrayLike | None,
    ) -> tuple[Floats32, npt.NDArray[Any], Floats64 | None, Rows | None]:
        """Return what `_begin_fit` does, and the clean validation rows, if any; the arguments are those of `fit`."""
        given = ", ".join(name for name, value in validation.items() if value is not None)
        X_val, y_val = validation.get("X_val"), validation.get("y_val")
        if given and not self.early_stopping:
            remedy = "set early_stopping=True or fit without them"
            raise InvalidInputError(f"{given} given, and early_stopping=False uses no validation rows; {remedy}")
        rows, target, weights = self._begin_fit(X, y, sample_weight)
        if X_val is None or y_val is None:
            if given:
                raise InvalidInputError(f"{given} given alone; validation rows are X_val and y_val: give both or none")
            return rows, target, weights, None
        trained = target if weights is None else target[weights > 0]
        factors, weights_val = self._class_weights(target), validation.get("sample_weight_val")
        held = self._given_rows(X_val, y_val, weights_val, trained=trained, factors=factors)
        return rows, target, weights, held

    def _fit_backend(
        self, X: Floats32, y: npt.NDArray[Any], sample_weight: Floats64 | None, given: Rows | None = None
    ) -> None:
        """Fit the rounds with the validation rows given, or with rows held out if asked to, or with none."""
        self._fit_rounds(*self._split_rows(X, y, sample_weight, given))

    def _split_rows(
        self, X: Floats32, y: npt.NDArray[Any], sample_weight: Floats64 | None, given: Rows | None
    ) -> tuple[Rows, Rows | None, int]:
        """Return training rows, the validation rows given, or rows held out if asked to, or none, and a seed."""
        fraction = self.validation_fraction
        rules = {
            "early_stopping": (isinstance(self.early_stopping, bool | np.bool_), "True or False"),
            "validation_fraction": (is_number(fraction) and 0 < fraction < 1, "a share in (0, 1)"),
            "n_iter_no_change": (is_integer(self.n_iter_no_change) and self.n_iter_no_change >= 1, "an integer >= 1"),
        }
        check_parameters(self, rules)
        rng = check_random_state(self.random_state)
        seed = rng.randint(2**31 - 1)
        rows, validation = Rows(X, y, sample_weight).of_positive_weight(), given
        if self.early_stopping and validation is None:
            rows, validation = hold_out(rows, fraction, rng, by_class=self.task == "classification")
        return rows, validation, seed

    def _given_rows(
        self,
        X_val: npt.ArrayLike,
        y_val: npt.ArrayLike,
        sample_weight_val: npt.ArrayLike | None,
        *,
        trained: npt.NDArray[Any],
        factors: Floats64 | None,
    ) -> Rows:
        """Return clean validation rows of positive weight and of the classes `trained` on, weighted by class."""
        try:
            rows, target, weights = self._checked_data(X_val, y_val, sample_weight_val, reset=False)
        except ValueError as error:
            raise InvalidInputError(f"the validation rows do not fit: {error}") from error
        if self.task == "regression":
            usable = Rows(rows, np.asarray(target, np.float64), weights).of_positive_weight()
        else:
            class_of = {label: i for i, label in enumerate(self.classes_.tolist())}
            classes = np.array([class_of.get(label, -1) for label in target.tolist()], np.int64)
            if factors is not None:
                weights = factors[classes] * (1.0 if weights is None else weights)
            known = np.flatnonzero(np.isin(classes, trained))
            usable = Rows(rows, classes, weights).take(known).of_positive_weight()
        if not len(usable.X):
            rule = "early_stopping needs rows of positive weight, of classes that are trained on"
            raise InvalidInputError(
                f"none of the {len(rows)} row(s) of X_val can be used; {rule}: give some, or no X_val"
            )
        return usable
