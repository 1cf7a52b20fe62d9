"""Subject: a model beside the rows it is reported on, with all it says of them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.utils import check_consistent_length, column_or_1d

from ensemble_1d.errors import InvalidInputError, UnsupportedModelError
from ensemble_1d.ir import Program
from ensemble_1d.metrics import classification_metrics, known_labels, regression_metrics
from ensemble_1d.predictor import Predictor
from ensemble_1d.reporting.program_members import member_programs
from ensemble_1d.runtime import run

if TYPE_CHECKING:
    from ensemble_1d.models.base import BaseModel

Floats32 = npt.NDArray[np.float32]
Floats64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Subject:
    """A model and its answers.

    Attributes:
        model: The estimator or the Predictor.
        kind: What it is, in a word or two.
        task: "classification" or "regression".
        classes: Labels in the order of the outputs; None for regression.
        feature_names: What the features are called.
        X: Rows of shape (n_samples, n_features), float32.
        truth: Their labels, or values in float64, of shape (n_samples,).
        outputs: Probabilities or values of shape (n_samples, n_outputs): first of the whole, then of each member, by
            name.
        answer: From rows to outputs of the whole.
        program: What the model computes, or None where no Program can hold it.
        objection: Why there is no program, or "".
        random_state: Seed of all that is drawn.
    """

    model: Any
    kind: str
    task: Literal["classification", "regression"]
    classes: npt.NDArray[Any] | None
    feature_names: tuple[str, ...]
    X: Floats32
    truth: npt.NDArray[Any]
    outputs: dict[str, Floats64]
    answer: Callable[[Floats32], Floats64]
    program: Program | None
    objection: str
    random_state: int

    @property
    def whole(self) -> str:
        """What the whole is called."""
        return next(iter(self.outputs))

    @property
    def score_name(self) -> str:
        """What the score is called."""
        return "R²" if self.classes is None else "accuracy"

    def answers(self, output: Floats64) -> npt.NDArray[Any]:
        """Return the labels, or the values, that outputs stand for."""
        return output[:, 0] if self.classes is None else np.asarray(self.classes[output.argmax(axis=1)])

    def metrics(self, name: str) -> dict[str, float]:
        """Return the metrics of the whole or of a member, by name."""
        output = self.outputs[name]
        if self.classes is None:
            return regression_metrics(self.truth, output[:, 0])
        return classification_metrics(self.truth, output, self.classes)


def subject_of(model: Any, X: npt.ArrayLike, y: npt.ArrayLike, *, random_state: int) -> Subject:
    """Return a model beside rows that suit it, and what it and its members say of them.

    Args:
        model: An Ensemble, another fitted model of this package, or a Predictor.
        X: Rows of shape (n_samples, n_features).
        y: Their labels or values of shape (n_samples,).
        random_state: Seed of all that will be drawn.

    Raises:
        InvalidInputError: If this is no model, the rows do not suit it, or y holds a label that it does not know or a
            value that is not finite.
        NotFittedError: If the model is not fitted.
    """
    if isinstance(model, Predictor):
        return _subject_of_predictor(model, X, y, random_state)
    if not (hasattr(model, "_checked_rows") and hasattr(model, "_outputs")):
        rule = "give a fitted Ensemble or model of this package, or a Predictor"
        raise InvalidInputError(f"report_of knows no model of type {type(model).__name__}; {rule}")
    return _subject_of_estimator(model, X, y, random_state)


def _subject_of_predictor(model: Predictor, X: npt.ArrayLike, y: npt.ArrayLike, random_state: int) -> Subject:
    """Return the subject of a program that can be called; its members stand in the program."""
    program = model.program
    rows = model._rows(X, "report_of")
    outputs = {"model": _sound(model._output(rows, "report_of"), program)}
    outputs |= {name: _sound(run(member, rows), program) for name, member in member_programs(program).items()}
    if len(outputs) == 2:
        outputs = dict([next(iter(outputs.items()))])  # A member alone is the whole.
    return Subject(
        model=model,
        kind=f"{'quantized' if program.is_integer else 'saved'} {'ensemble' if len(outputs) > 1 else 'model'}",
        task=program.task,
        classes=program.classes,
        feature_names=_names(program.feature_names, program.n_features),
        X=rows,
        truth=_truth(y, program.classes, len(rows)),
        outputs=outputs,
        answer=lambda given: _sound(model._output(given, "report_of"), program),
        program=program,
        objection="",
        random_state=random_state,
    )


def _subject_of_estimator(model: "BaseModel", X: npt.ArrayLike, y: npt.ArrayLike, random_state: int) -> Subject:
    """Return the subject of an estimator, which may be more than its program."""
    rows = model._checked_rows(X)
    classes = model.classes_ if model.task == "classification" else None
    truth = _truth(y, classes, len(rows))
    program, objection = None, ""
    try:
        program = model.program()
    except UnsupportedModelError as error:
        objection = str(error)
    names = getattr(model, "feature_names_in_", None)
    return Subject(
        model=model,
        kind=type(model).__name__,
        task=model.task,
        classes=classes,
        feature_names=_names(None if names is None else tuple(map(str, names)), rows.shape[1]),
        X=rows,
        truth=truth,
        outputs=model._outputs(rows),
        answer=model._predict_backend,
        program=program,
        objection=objection,
        random_state=random_state,
    )


def _sound(output: Floats64, program: Program) -> Floats64:
    """Return probabilities whose sum is one to the last digit: those of integers miss it by some steps of 2**-15."""
    if program.classes is None or not program.is_integer:
        return output
    total = output.sum(axis=1, keepdims=True)
    return np.asarray(np.divide(output, total, out=np.full_like(output, 1 / output.shape[1]), where=total > 0))


def _names(names: tuple[str, ...] | None, n_features: int) -> tuple[str, ...]:
    """Return what the features are called."""
    return names or tuple(f"feature {i}" for i in range(n_features))


def _truth(y: npt.ArrayLike, classes: npt.NDArray[Any] | None, n_rows: int) -> npt.NDArray[Any]:
    """Return labels in the type of the model's, or finite values."""
    if classes is not None:
        labels = known_labels(y, classes, "report_of")
        check_consistent_length(labels, np.empty(n_rows))
        position = {label: i for i, label in enumerate(classes.tolist())}
        return np.asarray(classes[[position[label] for label in labels.tolist()]])
    try:
        values = np.asarray(column_or_1d(y), np.float64)
    except (TypeError, ValueError) as error:
        raise InvalidInputError(f"report_of: y cannot be read as numbers ({error}); regression needs values") from error
    check_consistent_length(values, np.empty(n_rows))
    if not np.isfinite(values).all():
        raise InvalidInputError("report_of: y holds NaN or infinity; leave out the rows whose value is unknown")
    return values
