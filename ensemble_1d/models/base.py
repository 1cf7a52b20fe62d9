"""BaseModel: scikit-learn's contract and every public method, once; a backend fills in three hooks."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self, TypeVar, cast

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import ClassifierTags, RegressorTags, compute_class_weight
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import _check_sample_weight, check_is_fitted, validate_data

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.ir import Node, Program
from ensemble_1d.metrics import classification_metrics, regression_metrics
from ensemble_1d.models.rollback import restored_on_failure
from ensemble_1d.predictor import Predictor

if TYPE_CHECKING:
    import os
    from pathlib import Path

    from sklearn.utils import Tags

    from ensemble_1d.budget import Budget
    from ensemble_1d.quantization.arrays import QuantizationMode
    from ensemble_1d.quantization.optimizer import ModelOptimizer
    from ensemble_1d.reporting.report import Report

Task = Literal["classification", "regression"]
Floats32 = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]


Method = TypeVar("Method", bound=Callable[..., Any])


def _classification_only(method: Method) -> Method:
    """Let a method exist for classification alone, as scikit-learn expects of `predict_proba`."""
    return cast("Method", available_if(_is_classification)(method))


def _is_classification(model: "BaseModel") -> bool:
    """Return whether the task is classification; `fit` refuses anything but the two tasks."""
    return model.task == "classification"


class BaseModel(BaseEstimator, ABC):
    """A classifier or regressor whose fitted state is also a Program.

    The public methods are concrete. A backend implements `_fit_backend`, `_predict_backend` and `_lower`, stores its
    parameters in `__init__`, and says in `_accepts_missing` whether NaN is a value to it.

    Attributes:
        classes_: Labels of shape (n_classes,), sorted; classification only.
        n_features_in_: Width of the input.
        feature_names_in_: Names of the features, where X had string names.
        task: "classification" or "regression".
        default_name: What an Ensemble calls a member of this class that has no name.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import BaseModel, RandomForestModel
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RandomForestModel(n_estimators=5, random_state=0).fit(X, y)
        >>> isinstance(model, BaseModel), model.predict(X[:1]), model.predict_proba(X).shape, model.score(X, y) > 0.95
        (True, array([0]), (150, 3), True)
        >>> sorted(model.evaluate(X, y))
        ['accuracy', 'f1', 'log_loss', 'precision', 'recall', 'roc_auc']
        >>> model.program().task, model.optimize(X, y).program.task, model.quantize("int8", X).program.is_integer
        ('classification', 'classification', True)
        >>> model.compile(n_jobs=1).predict(X[:2])
        array([0, 0])
        >>> with TemporaryDirectory() as folder:
        ...     model.save(Path(folder, "iris.e1d")).name, model.export_onnx(Path(folder, "iris.onnx"), X).name
        ('iris.e1d', 'iris.onnx')
    """

    task: Task
    default_name: ClassVar[str] = "model"
    """What an Ensemble calls a member of this class that has no name."""

    _sums_depend_on_threads: ClassVar[bool] = False
    """Whether another number of threads gives other last bits: then an Ensemble does not choose it."""

    _holds_python_lock: ClassVar[bool] = False
    """Whether a fit is many short calls, so that two of them in one process only wait for each other."""

    @abstractmethod
    def _fit_backend(self, X: Floats32, y: npt.NDArray[Any], sample_weight: Floats64 | None) -> None:
        """Fit on clean rows; y holds class indices (int64) or targets (float64)."""

    @abstractmethod
    def _predict_backend(self, X: Floats32) -> Floats64:
        """Return probabilities of shape (n_samples, n_classes), or values of shape (n_samples, 1)."""

    @abstractmethod
    def _lower(self) -> Node:
        """Return the nodes that compute what `_predict_backend` does."""

    @property
    def _accepts_missing(self) -> bool:
        """Whether NaN is a legal feature value."""
        return False

    def fit(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> Self:
        """Fit the model.

        Args:
            X: Array-like or data frame of shape (n_samples, n_features); computed with as float32.
            y: Labels of any type that sorts, or numbers for regression, of shape (n_samples,).
            sample_weight: Non-negative weights of shape (n_samples,), or None for equal ones.

        Returns:
            The model itself.

        Raises:
            InvalidInputError: If a parameter is unknown, or y holds a single class.
            ValueError: If X or y is empty, not numeric, not finite where it must be, or their lengths differ.
            MissingBackendError: If the backend is not installed.
        """
        with restored_on_failure(self):
            self._fit_backend(*self._begin_fit(X, y, sample_weight))
        return self

    def _begin_fit(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None
    ) -> tuple[Floats32, npt.NDArray[Any], Floats64 | None]:
        """Return clean rows, class indices or targets, and weights; set `classes_` and what describes the features."""
        if self.task not in {"classification", "regression"}:
            raise InvalidInputError(f"task={self.task!r} is unknown; use 'classification' or 'regression'")
        is_classification = self.task == "classification"
        rows, target, weights = self._checked_data(X, y, sample_weight, reset=True)
        class_weight = getattr(self, "class_weight", None)
        if is_classification:
            check_classification_targets(target)
            self.classes_, clean = np.unique(target, return_inverse=True)
            if len(self.classes_) < 2:
                rule = "a classifier needs two classes or more"
                raise InvalidInputError(
                    f"y holds one class only, {self.classes_.tolist()}; {rule}: add rows of another"
                )
            factors = self._class_weights(clean)
            if factors is not None:
                weights = factors[clean] * (1.0 if weights is None else weights)
        elif class_weight is not None:
            raise InvalidInputError(f"class_weight={class_weight!r} has no meaning for regression; use sample_weight")
        else:
            clean = np.asarray(target, np.float64)
        if weights is not None and not weights.any():
            given = "sample_weight" if class_weight is None else f"sample_weight times class_weight={class_weight!r}"
            raise InvalidInputError(
                f"{given} is 0 for every row; sample weights must contain at least one non-zero number"
            )
        return rows, clean, weights

    def _checked_data(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None, *, reset: bool
    ) -> tuple[Floats32, npt.NDArray[Any], Floats64 | None]:
        """Return C-contiguous float32 rows, y and the weights given; learn the features anew or hold X against them."""
        y_numeric = self.task == "regression"
        finite = self._finite_rule()
        with _clear_errors():
            rows, target = validate_data(
                self, X, y, reset=reset, dtype=np.float32, ensure_all_finite=finite, y_numeric=y_numeric
            )
        weights = None
        if sample_weight is not None:
            weights = _check_sample_weight(sample_weight, rows, dtype=np.float64, ensure_non_negative=True)
        return np.ascontiguousarray(rows), target, weights

    def _class_weights(self, y: npt.NDArray[Any]) -> Floats64 | None:
        """Return the weight of each class, given the classes' indices in training, or None for equal ones."""
        class_weight = getattr(self, "class_weight", None)
        if class_weight is None:
            return None
        weights = np.asarray(compute_class_weight(class_weight, classes=self.classes_, y=self.classes_[y]), np.float64)
        if not (np.isfinite(weights).all() and (weights >= 0).all() and weights.any()):
            rule = "use finite weights >= 0 by label, not all of them 0, or 'balanced'"
            raise InvalidInputError(f"class_weight={class_weight!r} is no set of weights; {rule}")
        return weights

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the most probable label, or the value, for each row.

        Args:
            X: Of shape (n_samples, n_features).

        Returns:
            Labels of shape (n_samples,) in the type given to `fit` (the first of `classes_` where probabilities are
            equal), or float64 values.

        Raises:
            NotFittedError: If the model is not fitted.
            ValueError: If X has another width or other feature names, or holds a value that is not allowed.
        """
        output = self._predict_rows(X)
        if self.task == "regression":
            return output[:, 0]
        return np.asarray(self.classes_[output.argmax(axis=1)])

    @_classification_only
    def predict_proba(self, X: npt.ArrayLike) -> Floats64:
        """Return the probability of each class, in the order of `classes_`.

        Args:
            X: Of shape (n_samples, n_features).

        Returns:
            Of shape (n_samples, n_classes), float64; rows sum to one.

        Raises:
            NotFittedError: If the model is not fitted.
            ValueError: If X has another width or other feature names, or holds a value that is not allowed.
        """
        return self._predict_rows(X)

    def score(self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None = None) -> float:
        """Return the accuracy, or for regression the coefficient of determination R2.

        Args:
            X: Of shape (n_samples, n_features).
            y: True labels or values of shape (n_samples,).
            sample_weight: Weights of shape (n_samples,), or None.

        Returns:
            At most 1; higher is better.
        """
        metric = accuracy_score if self.task == "classification" else r2_score
        return float(metric(y, self.predict(X), sample_weight=sample_weight))

    def evaluate(self, X: npt.ArrayLike, y: npt.ArrayLike) -> dict[str, Any]:
        """Return the usual metrics on given rows.

        Args:
            X: Of shape (n_samples, n_features).
            y: True labels or values of shape (n_samples,).

        Returns:
            For classification "accuracy", "f1", "precision", "recall" (each weighted by class frequency), "log_loss"
            and "roc_auc" (one against the rest for several classes; NaN where y holds one class only). For regression
            "r2", "mae" and "rmse".
        """
        return self._metrics(self._predict_rows(X), np.asarray(y))

    def program(self) -> Program:
        """Return what the fitted model computes, as data.

        Returns:
            A float Program with the labels and feature names of this model.

        Raises:
            NotFittedError: If the model is not fitted.
            UnsupportedModelError: If the fitted backend holds something that a Program cannot express.
        """
        check_is_fitted(self)
        names = getattr(self, "feature_names_in_", None)
        return Program(
            n_features=self.n_features_in_,
            task=self.task,
            root=self._lower(),
            classes=_plain_labels(self.classes_) if self.task == "classification" else None,
            feature_names=None if names is None else tuple(map(str, names)),
        )

    def quantize(
        self,
        mode: "QuantizationMode | str" = "int8",
        X_calibration: npt.ArrayLike | None = None,
        y_calibration: npt.ArrayLike | None = None,
        *,
        compact: bool = False,
        budget: "Budget | None" = None,
    ) -> Predictor:
        """Return the fitted model in integers.

        Args:
            mode: "int8", "int16" or "int4": the bits of leaves and weights.
            X_calibration: Rows that show the range of each feature, of shape (n_samples, n_features); best the
                training rows. If they hold NaN, the integer model has a code for missing values.
            y_calibration: Their labels or values, for the accuracy in the report; optional.
            compact: Whether the cuts of trees move, within the gaps between calibration rows, to grids that one byte a
                feature tells apart: less flash, and unseen rows close to a threshold may go the other way.
            budget: What a microcontroller has to spare; the most accurate form that fits is returned, as
                `Predictor.quantize` says.

        Returns:
            A Predictor of an integer program, with `report`, `quantize_input`, `export_c` and `verify_c`.

        Raises:
            InvalidInputError: If the mode is unknown or the calibration rows do not fit the model.
            NotFittedError: If the model is not fitted.
            UnsupportedModelError: If the model has no integer form.
        """
        return Predictor(self.program()).quantize(mode, X_calibration, y_calibration, compact=compact, budget=budget)

    def save(self, path: "str | os.PathLike[str]") -> "Path":
        """Write what the fitted model computes to an .e1d file, which `ensemble_1d.load` reads with NumPy alone.

        Args:
            path: The file to write; replaced whole, or not at all.

        Returns:
            The path written.

        Raises:
            ArtifactError: If the file cannot be written.
            NotFittedError: If the model is not fitted.
            UnsupportedModelError: If the model holds something that a Program cannot express.
        """
        return Predictor(self.program()).save(path)

    def compile(self, *, n_jobs: int | None = None) -> Predictor:
        """Return the fitted model as a Predictor that answers in C, made for this machine.

        Args:
            n_jobs: Threads for many rows; None is as many as this process may use cores.

        Returns:
            A Predictor of the model's program, as `Predictor.compile` says.

        Raises:
            InvalidInputError: If `n_jobs` is no integer from 1 on.
            NotFittedError: If the model is not fitted.
            UnsupportedModelError: If the model holds something that a Program cannot express.

        Warns:
            SlowPredictionWarning: If no C compiler works; NumPy then gives the answers.
        """
        return Predictor(self.program()).compile(n_jobs=n_jobs)

    def optimize(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike | None = None,
        *,
        X_val: npt.ArrayLike | None = None,
        y_val: npt.ArrayLike | None = None,
        optimizer: "ModelOptimizer | None" = None,
    ) -> Predictor:
        """Return the fitted model with fewer and smaller trees that answer held-out rows as well.

        Args:
            X: Rows of shape (n_samples, n_features), best the training rows.
            y: Their labels or values, or None.
            X_val: Held-out rows, best some that the model was not fitted on, or None to hold out some of X.
            y_val: Their labels or values, or None.
            optimizer: What to try and how much it may cost; None is `ModelOptimizer()`.

        Returns:
            A Predictor of the compressed program, to quantize and export, whose `optimization` prints as a table.

        Raises:
            InvalidInputError: If rows, labels or a parameter of the optimizer do not fit.
            NotFittedError: If the model is not fitted.
            UnsupportedModelError: If the model holds something that a Program cannot express.
        """
        return Predictor(self.program()).optimize(X, y, X_val=X_val, y_val=y_val, optimizer=optimizer)

    def export_onnx(self, path: "str | os.PathLike[str]", X: npt.ArrayLike | None = None) -> "Path":
        """Write the fitted model as one ONNX graph, as `Predictor.export_onnx` says.

        Args:
            path: The file to write; replaced whole, or not at all.
            X: Rows that onnxruntime must answer as Python does before the file is written, or None.

        Returns:
            The path written.

        Raises:
            InvalidInputError: If X does not fit the model.
            MissingBackendError: If `onnx`, or with X `onnxruntime`, is not installed.
            NotFittedError: If the model is not fitted.
            ParityError: If a row of X gets another answer.
            UnsupportedModelError: If a Program or ONNX cannot hold the model.
            ArtifactError: If the file cannot be written.
        """
        return Predictor(self.program()).export_onnx(path, X)

    def report(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        path: "str | os.PathLike[str] | None" = "report.html",
        *,
        title: str | None = None,
        budgets: Sequence[int] = (8192, 16384, 32768, 65536),
        random_state: int = 0,
    ) -> "Report":
        """Write one HTML page that says how good the fitted model is, what it goes by, and what it takes in C.

        Args:
            X: Rows that the model was not fitted on, of shape (n_samples, n_features).
            y: Their true labels or values of shape (n_samples,).
            path: The file to write; None writes none.
            title: The heading; None is one made from the model.
            budgets: Bytes of flash for which the best form is looked for. Empty leaves out that search, which takes
                most of the time.
            random_state: Seed of all that is drawn.

        Returns:
            The report: it prints as a summary, and notebooks show the page.

        Raises:
            InvalidInputError: If X does not suit the model, or y holds a label that it does not know.
            NotFittedError: If the model is not fitted.
            ArtifactError: If the file cannot be written.

        Example:
            >>> from sklearn.datasets import load_iris
            >>> from ensemble_1d import RandomForestModel
            >>> X, y = load_iris(return_X_y=True)
            >>> model = RandomForestModel(n_estimators=5, random_state=0).fit(X[::2], y[::2])
            >>> model.report(X[1::2], y[1::2], path=None, budgets=()).html[:15]
            '<!DOCTYPE html>'
        """
        from ensemble_1d.reporting.report import report_of  # noqa: PLC0415 -- who fits need not load it

        report = report_of(self, X, y, title=title, budgets=budgets, random_state=random_state)
        if path is not None:
            report.save(path)
        return report

    def _predict_rows(self, X: npt.ArrayLike) -> Floats64:
        """Return the backend's output for rows checked against the fit."""
        return self._predict_backend(self._checked_rows(X))

    def _outputs(self, X: Floats32) -> dict[str, Floats64]:
        """Return what the model says of checked rows, and what members it may have say, by name."""
        return {"model": self._predict_backend(X)}

    def _checked_rows(self, X: npt.ArrayLike) -> Floats32:
        """Return X as C-contiguous float32 rows like those of the fit."""
        check_is_fitted(self)
        with _clear_errors():
            rows = validate_data(self, X, reset=False, dtype=np.float32, ensure_all_finite=self._finite_rule())
        return np.ascontiguousarray(rows)

    def _metrics(self, output: Floats64, y: npt.NDArray[Any]) -> dict[str, float]:
        """Return the metrics of a backend's output."""
        if self.task == "regression":
            return regression_metrics(y, output[:, 0])
        return classification_metrics(y, output, self.classes_)

    def _finite_rule(self) -> bool | str:
        """Return scikit-learn's `ensure_all_finite`: infinities are never accepted."""
        return "allow-nan" if self._accepts_missing else True

    def __sklearn_tags__(self) -> "Tags":
        """Tell scikit-learn what this is: `task` decides."""
        tags = super().__sklearn_tags__()
        tags.target_tags.required = True
        tags.input_tags.allow_nan = self._accepts_missing
        if self.task == "regression":
            tags.estimator_type = "regressor"
            tags.regressor_tags = RegressorTags()
        else:
            tags.estimator_type = "classifier"
            tags.classifier_tags = ClassifierTags()
        return tags


@contextmanager
def _clear_errors() -> Iterator[None]:
    """Say of text what to do with it, where scikit-learn's checks only say that it is no number."""
    try:
        # A number too large for float32 becomes infinite, which the same checks refuse.
        with np.errstate(over="ignore", invalid="ignore"):
            yield
    except ValueError as error:
        if "could not convert string to float" not in str(error):
            raise
        remedy = "encode text as numbers first, for example with sklearn.preprocessing.OrdinalEncoder"
        raise InvalidInputError(f"the data hold text ({error}); {remedy}") from error


def _plain_labels(classes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return labels without the object dtype that data frames give to text."""
    return np.array(classes.tolist()) if classes.dtype == object else classes
