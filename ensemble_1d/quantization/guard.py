"""The guard of a compression: held-out rows, and rows mixed from neighbours, that say what a step costs."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d._validate import as_float32_rows
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.ir import Program
from ensemble_1d.quantization.answers import answers_of, score_of
from ensemble_1d.quantization.mixed_rows import Rows, mixed_rows
from ensemble_1d.quantization.optimization import Measurement, tree_sizes
from ensemble_1d.runtime import run


@dataclass(frozen=True, slots=True, eq=False)
class Guard:
    """Rows that no step goes by, and what a program should answer to them.

    Attributes:
        X: Held-out rows of shape (n_samples, n_features), float32.
        truth: Their labels or values, given or the original's, of shape (n_samples,).
        score_name: What the score is called.
        X_mixed: Further rows, mixed from neighbours; none at all where they are not wanted.
        original: What the original program gives for `X_mixed`, of shape (n_mixed, n_outputs).
    """

    X: Rows
    truth: npt.NDArray[np.generic]
    score_name: str
    X_mixed: Rows
    original: npt.NDArray[np.float64]

    def measured(self, program: Program) -> Measurement:
        """Return the sizes, the score and the regret of a program."""
        return Measurement(sizes=tree_sizes(program), score=self.score(program), regret=self.regret(program))

    def score(self, program: Program) -> float:
        """Return accuracy, or R2, on the held-out rows."""
        answers = answers_of(program, run(program, self.X))
        return score_of(self.truth, answers, is_regression=program.task == "regression")

    def regret(self, program: Program) -> float:
        """Return the accuracy, or R2, that the program gives up on the mixed rows if the original is right about them.

        A changed label loses as much as the original holds it less probable than its own; a changed value, its squared
        change over the variance of the original's values. No chance can make up for it, as it can on few true labels.
        """
        if not len(self.X_mixed):
            return 0.0
        output = run(program, self.X_mixed)
        if program.task == "regression":
            return 1 - score_of(self.original[:, 0], output[:, 0], is_regression=True)
        chosen = self.original[np.arange(len(output)), output.argmax(axis=1)]
        return float((self.original.max(axis=1) - chosen).mean())


def rows_and_guard(
    program: Program,
    X: npt.ArrayLike,
    y: Any,
    X_val: npt.ArrayLike | None,
    y_val: Any,
    *,
    validation_fraction: float,
    n_mixed: int,
    random_state: int,
) -> tuple[Rows, Guard]:
    """Return the rows that steps go by, and the guard, with rows of its own or some of those.

    Args:
        program: The original.
        X: Rows.
        y: Their labels or values, or None.
        X_val: Rows for the guard, or None.
        y_val: Their labels or values, or None.
        validation_fraction: Share of X to hold out where X_val is None.
        n_mixed: How many rows to mix from neighbours.
        random_state: Seed.

    Raises:
        InvalidInputError: If rows or labels do not fit the program.
    """
    rng = np.random.default_rng(random_state)
    rows = _checked_rows(program, X, "X")
    truth = None if y is None else _checked_truth(program, y, len(rows), "y")
    if X_val is not None:
        held_out = _checked_rows(program, X_val, "X_val")
        truth = None if y_val is None else _checked_truth(program, y_val, len(held_out), "y_val")
        rest = rows
    elif y_val is not None:
        raise InvalidInputError("y_val was given without X_val; give the rows that the labels belong to")
    elif len(rows) < 2:
        raise InvalidInputError("X has 1 row, and some must be held out; give more, or X_val")
    else:
        order = rng.permutation(len(rows))
        n_held_out = min(max(1, round(validation_fraction * len(rows))), len(rows) - 1)
        chosen = np.sort(order[:n_held_out])
        rest, held_out = rows[np.sort(order[n_held_out:])], rows[chosen]
        truth = None if truth is None else truth[chosen]
    is_regression = program.task == "regression"
    name = "R2" if is_regression else "accuracy"
    if truth is None:
        name = "R2 of the original's values" if is_regression else "agreement"
        truth = answers_of(program, run(program, held_out))
    mixed = mixed_rows(np.concatenate([rest, held_out]), n_mixed, rng) if n_mixed else rows[:0]
    return rest, Guard(held_out, truth, name, mixed, run(program, mixed))


def _checked_rows(program: Program, X: npt.ArrayLike, name: str) -> Rows:
    """Return rows that fit the program."""
    return as_float32_rows(
        X,
        n_features=program.n_features,
        feature_names=program.feature_names,
        allow_missing=program.accepts_missing,
        caller=f"ModelOptimizer.optimize, {name}",
    )


def _checked_truth(program: Program, y: Any, n_rows: int, name: str) -> npt.NDArray[np.generic]:
    """Return labels that the program knows, or finite values, one for each row."""
    truth = np.asarray(y)
    if truth.shape != (n_rows,):
        raise InvalidInputError(
            f"{name} has shape {truth.shape} for {n_rows} rows; give one label or value for each row"
        )
    if program.classes is None:
        try:
            truth = truth.astype(np.float64)
        except (TypeError, ValueError) as error:
            raise InvalidInputError(f"{name} cannot be read as numbers ({error}); regression needs values") from error
        if not np.isfinite(truth).all():
            raise InvalidInputError(f"{name} holds NaN or infinity; leave out the rows whose value is unknown")
    elif not set(truth.tolist()) & set(program.classes.tolist()):
        rule = f"the model knows {program.classes.tolist()}; give labels as they were at the fit"
        raise InvalidInputError(f"{name} holds none of the model's labels, but {truth[:1].tolist()[0]!r}; {rule}")
    return truth
