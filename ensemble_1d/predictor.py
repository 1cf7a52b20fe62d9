"""Predictor: a Program you can call, quantize and export."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d._files import write_text
from ensemble_1d._validate import as_float32_rows, check_identifier
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.export.c99 import c99_header
from ensemble_1d.export.c99_trees import Layout
from ensemble_1d.export.verification import CVerification, verify_header
from ensemble_1d.ir import Program
from ensemble_1d.quantization.arrays import QuantizationMode
from ensemble_1d.quantization.programs import quantize_program
from ensemble_1d.quantization.report import QuantizationReport, measure
from ensemble_1d.runtime import run, run_codes
from ensemble_1d.runtime_integer import quantize


class Predictor:
    """A Program with methods: what `quantize` returns. It needs NumPy alone.

    Args:
        program: A float or integer program.
        reference: For an integer program, the float one it came from; `measure` compares with it.
        report: For an integer program, what quantization measured.

    Attributes:
        program: The program.
        reference: The float program behind an integer one, or None.
        report: The report of the quantization, or None.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import Predictor, RandomForestModel
        >>> X, y = load_iris(return_X_y=True)
        >>> predictor = Predictor(RandomForestModel(n_estimators=5, random_state=0).fit(X, y).program())
        >>> predictor.quantize("int8", X).predict(X[:2])
        array([0, 0])
    """

    def __init__(
        self, program: Program, *, reference: Program | None = None, report: QuantizationReport | None = None
    ) -> None:
        """Store the program."""
        self.program = program
        self.reference = reference
        self.report = report

    def __repr__(self) -> str:
        """Return task, shape and kind of arithmetic."""
        kind = "integer" if self.program.is_integer else "float"
        outputs = "" if self.program.classes is None else f", {len(self.program.classes)} classes"
        size = f"{self.program.nbytes:,} bytes of tables"
        return f"Predictor({self.program.task}, {self.program.n_features} features{outputs}, {kind}, {size})"

    def predict(self, X: npt.ArrayLike) -> npt.NDArray[Any]:
        """Return the label of the largest probability (the first, where several are equal), or the value.

        Args:
            X: Of shape (n_samples, n_features); NaN where the program accepts missing values.

        Returns:
            Labels, or float64 values, of shape (n_samples,).

        Raises:
            InvalidInputError: If X does not fit the program.
        """
        output = run(self.program, self._rows(X, "predict"))
        classes = self.program.classes
        return output[:, 0] if classes is None else np.asarray(classes[output.argmax(axis=1)])

    def predict_proba(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return class probabilities, in the order of `program.classes`.

        Args:
            X: Of shape (n_samples, n_features).

        Returns:
            Of shape (n_samples, n_classes). An integer program gives multiples of 2**-15; rows then sum to one within
            as many such steps as there are classes and members.

        Raises:
            InvalidInputError: If X does not fit the program, or the task is regression.
        """
        if self.program.classes is None:
            raise InvalidInputError("predict_proba needs classes, and this program does regression; use predict")
        return run(self.program, self._rows(X, "predict_proba"))

    def quantize(
        self,
        mode: QuantizationMode | str = "int8",
        X_calibration: npt.ArrayLike | None = None,
        y_calibration: npt.ArrayLike | None = None,
        *,
        compact: bool = False,
    ) -> "Predictor":
        """Return this float program in integers.

        Args:
            mode: "int8", "int16" or "int4": the bits of leaves and weights.
            X_calibration: Rows that show the range of each feature, of shape (n_samples, n_features). If they hold
                NaN, the integer program has a code for missing values.
            y_calibration: Their labels or values, for the scores in the report; optional.
            compact: Whether the cuts of trees move, within the gaps between calibration rows, to grids that one byte a
                feature tells apart: less flash, and unseen rows close to a threshold may go the other way.

        Returns:
            A Predictor of the integer program, whose `report` was measured on the calibration rows.

        Raises:
            InvalidInputError: If the mode is unknown or the rows do not fit the program.
            UnsupportedModelError: If the program has no integer form, or is integer already.
        """
        if X_calibration is None:
            raise InvalidInputError("quantize needs X_calibration: rows that show the range of each feature")
        rows = self._rows(X_calibration, "quantize")
        done = quantize_program(self.program, rows, mode, compact=compact)
        report = measure(
            done.program,
            self.program,
            rows,
            None if y_calibration is None else np.asarray(y_calibration),
            mode=QuantizationMode(mode).value,
            n_splits=done.codes.n_splits,
            n_inexact_splits=done.codes.n_inexact_splits,
        )
        return Predictor(done.program, reference=self.program, report=report)

    def measure(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None) -> QuantizationReport:
        """Return the quantization report on other rows, for example the test rows.

        Args:
            X: Of shape (n_samples, n_features).
            y: True labels or values of shape (n_samples,), or None.

        Returns:
            The report, `out_of_range` included.

        Raises:
            InvalidInputError: If this predictor did not come from `quantize`, or the rows do not fit.
        """
        if self.reference is None or self.report is None:
            raise InvalidInputError("measure compares with a float program; only what quantize returns has one")
        return measure(
            self.program,
            self.reference,
            self._rows(X, "measure"),
            None if y is None else np.asarray(y),
            mode=self.report.mode,
            n_splits=self.report.n_splits,
            n_inexact_splits=self.report.n_inexact_splits,
        )

    def quantize_input(self, X: npt.ArrayLike) -> npt.NDArray[np.int16]:
        """Return the input codes of an integer program: what the C functions take.

        Args:
            X: Of shape (n_samples, n_features).

        Returns:
            Of shape (n_samples, n_codes), int16: one column for each feature, in order, then any rank codes.

        Raises:
            InvalidInputError: If X does not fit the program.
            InvalidProgramError: If the program is float.
        """
        quantizer, _, _ = self.program.integer_parts()
        return quantize(quantizer, self._rows(X, "quantize_input"))

    def run_codes(self, codes: npt.ArrayLike) -> npt.NDArray[np.int32]:
        """Return the integers behind the answers, as the C functions return them.

        Args:
            codes: Of shape (n_samples, n_codes), int16, from `quantize_input` or made by other means.

        Returns:
            Of shape (n_samples, n_outputs), int32: Q15 probabilities (32768 is one), or fixed-point values.

        Raises:
            InvalidInputError: If the codes are not int16 or have another width.
            InvalidProgramError: If the program is float.
        """
        quantizer, _, _ = self.program.integer_parts()
        array = np.asarray(codes)
        if array.dtype != np.int16 or array.ndim != 2 or array.shape[1] != quantizer.n_columns:
            rule = f"give int16 of shape (n_samples, {quantizer.n_columns}), as quantize_input returns"
            raise InvalidInputError(f"codes are {array.dtype} of shape {array.shape}; {rule}")
        return run_codes(self.program, array).astype(np.int32)

    def c_source(self, name: str = "model", *, layout: Layout = "size") -> str:
        """Return the C99 header of an integer program as text.

        Args:
            name: Prefix of every name in it: a C identifier.
            layout: How trees are laid out: "size" packs them into bytes, about 3.4 for each split; "plain" has one
                array a field, for reading.

        Returns:
            The header.

        Raises:
            InvalidInputError: If `name` is no C identifier.
            InvalidProgramError: If the program is float.
        """
        return c99_header(self.program, check_identifier(name), layout)

    def export_c(self, path: str | os.PathLike[str], name: str = "model", *, layout: Layout = "size") -> Path:
        """Write the integer program as one C99 header that needs nothing but <stdint.h>.

        Args:
            path: The file to write; replaced whole, or not at all.
            name: Prefix of every name in it: a C identifier.
            layout: How trees are laid out, as in `c_source`.

        Returns:
            The path written.

        Raises:
            InvalidInputError: If `name` is no C identifier.
            InvalidProgramError: If the program is float.
            ArtifactError: If the file cannot be written.
        """
        return write_text(path, self.c_source(name, layout=layout))

    def verify_c(
        self, X: npt.ArrayLike, *, flags: tuple[str, ...] = ("-O2",), layout: Layout = "size"
    ) -> CVerification:
        """Compile the header with the system's C compiler and compare every answer with Python's.

        Args:
            X: Rows to compare on, of shape (n_samples, n_features).
            flags: Compiler options beside the strict warnings that are always on.
            layout: How trees are laid out, as in `c_source`.

        Returns:
            How many rows were compared and how many differ, in codes, label or probabilities.

        Raises:
            CompilerError: If there is no compiler, or it refuses the header.
            InvalidInputError: If X does not fit the program.
            InvalidProgramError: If the program is float.
        """
        return verify_header(self.program, self._rows(X, "verify_c"), flags=flags, layout=layout)

    def _rows(self, X: npt.ArrayLike, method: str) -> npt.NDArray[np.float32]:
        """Return X as checked float32 rows."""
        return as_float32_rows(
            X,
            n_features=self.program.n_features,
            feature_names=self.program.feature_names,
            allow_missing=self.program.accepts_missing,
            caller=f"Predictor.{method}",
        )
