"""check_parity: run an ONNX file by onnxruntime and hold every answer against the NumPy runtime."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d._require import require
from ensemble_1d.errors import ParityError
from ensemble_1d.export.onnx_graph import INPUT
from ensemble_1d.ir import Program
from ensemble_1d.runtime import run

TOLERANCE = 1e-6
"""The largest difference of a probability, and of a value relative to it, or to a millionth of the largest value."""

_ROWS_AT_ONCE = 1024
_LOG_ERRORS_ONLY = 3


def check_parity(model: bytes, program: Program, X: npt.NDArray[np.float32], *, caller: str = "check_parity") -> None:
    """Refuse an ONNX file that gives other labels than the program, or other numbers.

    Args:
        model: A serialized ModelProto with the outputs of `onnx_graph.onnx_model`.
        program: The program that it was made of.
        X: Rows to compare on, of shape (n_samples, n_features), float32.
        caller: What the user called, for messages.

    Raises:
        MissingBackendError: If `onnxruntime` is not installed.
        ParityError: If a label differs, or a number by more than `TOLERANCE`.
    """
    onnxruntime = require("onnxruntime", caller=f"{caller} with X", extra="onnxruntime")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = _LOG_ERRORS_ONLY
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # Its exceptions have no common base but this one.
        raise ParityError(f"onnxruntime {onnxruntime.__version__} cannot load the model: {error}") from error
    for begin in range(0, len(X), _ROWS_AT_ONCE):
        rows = X[begin : begin + _ROWS_AT_ONCE]
        found = session.run(None, {INPUT: rows})
        if program.classes is None:
            _compare_values(found[0], run(program, rows)[:, 0], begin)
        else:
            _compare_classes(found[0], found[1], run(program, rows), program.classes, begin)


def _compare_classes(
    label: npt.NDArray[Any],
    found: npt.NDArray[np.float64],
    expected: npt.NDArray[np.float64],
    classes: npt.NDArray[Any],
    begin: int,
) -> None:
    """Compare labels and probabilities of rows from `begin` on."""
    difference = np.abs(found - expected)
    answers, wanted = label.tolist(), classes[expected.argmax(axis=1)].tolist()
    is_other = np.array([answer != want for answer, want in zip(answers, wanted, strict=True)])
    wrong = np.flatnonzero(is_other | ~(difference.max(axis=1) <= TOLERANCE))  # NaN is not below any tolerance.
    if wrong.size:
        row = int(wrong[0])
        column = int(difference[row].argmax())
        name, got, want = classes.tolist()[column], float(found[row, column]), float(expected[row, column])
        labels = f"label {answers[row]!r} instead of {wanted[row]!r}, and " if is_other[row] else ""
        _refuse(begin + row, f"{labels}probability {got!r} instead of {want!r} for label {name!r}", got - want)


def _compare_values(found: npt.NDArray[np.float64], expected: npt.NDArray[np.float64], begin: int) -> None:
    """Compare values of rows from `begin` on."""
    size = np.abs(expected)
    difference = np.abs(found - expected)
    wrong = np.flatnonzero(~(difference <= TOLERANCE * np.maximum(size, TOLERANCE * size.max(initial=0.0))))
    if wrong.size:
        row = int(wrong[0])
        got, want = float(found[row]), float(expected[row])
        _refuse(begin + row, f"value {got!r} instead of {want!r}", got - want)


def _refuse(row: int, what: str, difference: float) -> None:
    """Raise ParityError."""
    rule = f"labels must be equal and numbers within {TOLERANCE:g}"
    remedy = "nothing was written; try another version of onnxruntime, or other rows to see how rare it is"
    raise ParityError(f"ONNX differs from Python: row {row} gets {what}, off by {difference:.3g}; {rule}: {remedy}")
