"""What a program answers, and how well: labels and accuracy, or values and R2."""

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import Program


def answers_of(program: Program, output: npt.NDArray[np.float64]) -> npt.NDArray[np.generic]:
    """Return the labels, or the values, that the outputs of a program stand for."""
    return output[:, 0] if program.classes is None else program.classes[output.argmax(axis=1)]


def score_of(truth: npt.NDArray[np.generic], answers: npt.NDArray[np.generic], *, is_regression: bool) -> float:
    """Return R2 or accuracy."""
    return _r2(truth, answers) if is_regression else float((answers == truth).mean())


def _r2(truth: npt.NDArray[np.generic], answers: npt.NDArray[np.generic]) -> float:
    """Return the coefficient of determination; 1 where both are constant and equal."""
    true, given = truth.astype(np.float64), answers.astype(np.float64)
    residual, spread = float(((true - given) ** 2).sum()), float(((true - true.mean()) ** 2).sum())
    if spread > 0:
        return 1 - residual / spread
    return 1.0 if residual == 0 else 0.0
