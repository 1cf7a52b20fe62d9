"""Predictor: a Program you can call, quantize and export."""

import os
from copy import copy
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ensemble_1d._validate import as_float32_rows, check_identifier
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.ir import Program
from ensemble_1d.runtime import run, run_codes
from ensemble_1d.runtime_integer import quantize

# What predicts imports the runtime alone; a method that quantizes, compresses, exports or saves loads what it needs.
if TYPE_CHECKING:
    from pathlib import Path

    from ensemble_1d.budget import Budget
    from ensemble_1d.budget_search import ParetoTable
    from ensemble_1d.export.c99_functions import Layout
    from ensemble_1d.export.verification import CVerification
    from ensemble_1d.native.native_program import NativeProgram
    from ensemble_1d.program_summary import ProgramSummary
    from ensemble_1d.quantization.arrays import QuantizationMode
    from ensemble_1d.quantization.optimization import OptimizationResult
    from ensemble_1d.quantization.optimizer import ModelOptimizer
    from ensemble_1d.quantization.report import QuantizationReport

    LayoutChoice = Layout | Literal["auto"]


class Predictor:
    """A Program with methods: what `quantize` and `load` return. It needs NumPy alone.

    Args:
        program: A float or integer program.
        reference: For an integer program, the float one it came from; `measure` compares with it.
        report: For an integer program, what quantization measured.
        optimization: For a compressed program, the steps that led to it.
        layout: For an integer program fitted to a budget, the layout of its trees.
        pareto: For such a program, what it was chosen from.

    Attributes:
        program: The program.
        reference: The float program behind an integer one, or None.
        report: The report of the quantization, or None.
        optimization: The steps of the compression, or None.
        layout: The layout that `c_source` uses unless told otherwise, or None for "size".

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import Predictor, RandomForestModel
        >>> X, y = load_iris(return_X_y=True)
        >>> predictor = Predictor(RandomForestModel(n_estimators=5, random_state=0).fit(X, y).program())
        >>> predictor.quantize("int8", X).predict(X[:2])
        array([0, 0])
    """

    _native: "NativeProgram | None" = None

    def __init__(
        self,
        program: Program,
        *,
        reference: Program | None = None,
        report: "QuantizationReport | None" = None,
        optimization: "OptimizationResult | None" = None,
        layout: "Layout | None" = None,
        pareto: "ParetoTable | None" = None,
    ) -> None:
        """Store the program."""
        self.program = program
        self.reference = reference
        self.report = report
        self.optimization = optimization
        self.layout = layout
        self._pareto = pareto

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
        output = self._output(X, "predict")
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
        return self._output(X, "predict_proba")

    def compile(self, *, n_jobs: int | None = None) -> "Predictor":
        """Return this predictor with `predict`, `predict_proba` and `run_codes` in C, made for this machine.

        The meaning is that of the program: an integer program gives the same integers; a float program takes the same
        way through every tree and sums in the same order, so that probabilities differ by rounding alone. The C
        kernels are the same for all programs: the system's compiler builds them once, in about two seconds, and they
        are kept in a private folder (`ensemble-1d` where the system keeps caches, or what the environment variable
        ENSEMBLE_1D_CACHE names). Threads may share a predictor, and C runs without Python's lock.

        Args:
            n_jobs: Threads for many rows; None is as many as this process may use cores.

        Returns:
            A Predictor of the same program. A copy made by pickle finds or compiles the kernels when first used.

        Raises:
            InvalidInputError: If `n_jobs` is no integer from 1 on.

        Warns:
            SlowPredictionWarning: If no C compiler works; NumPy then gives the answers.

        Example:
            >>> from sklearn.datasets import load_iris
            >>> from ensemble_1d import RandomForestModel
            >>> X, y = load_iris(return_X_y=True)
            >>> RandomForestModel(n_estimators=5, random_state=0).fit(X, y).compile(n_jobs=1).predict(X[:2])
            array([0, 0])
        """
        from ensemble_1d.native.native_program import NativeProgram

        native = NativeProgram(self.program, n_jobs=n_jobs)
        compiled = copy(self)
        compiled._native = native
        return compiled

    def optimize(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike | None = None,
        *,
        X_val: npt.ArrayLike | None = None,
        y_val: npt.ArrayLike | None = None,
        optimizer: "ModelOptimizer | None" = None,
    ) -> "Predictor":
        """Return this float program with fewer and smaller trees that answer held-out rows as well.

        Args:
            X: Rows of shape (n_samples, n_features), best those of the fit.
            y: Their labels or values, or None.
            X_val: Held-out rows, or None to hold out some of X.
            y_val: Their labels or values, or None.
            optimizer: What to try and how much it may cost; None is `ModelOptimizer()`.

        Returns:
            A Predictor of the compressed program, whose `optimization` prints as a table of the steps.

        Raises:
            InvalidInputError: If rows, labels or a parameter of the optimizer do not fit.
            UnsupportedModelError: If the program is integer.
        """
        from ensemble_1d.quantization.optimizer import ModelOptimizer

        result = (optimizer or ModelOptimizer()).optimize(self.program, X, y, X_val=X_val, y_val=y_val)
        return Predictor(result.program, optimization=result)

    def quantize(
        self,
        mode: "QuantizationMode | str" = "int8",
        X_calibration: npt.ArrayLike | None = None,
        y_calibration: npt.ArrayLike | None = None,
        *,
        compact: bool = False,
        budget: "Budget | None" = None,
    ) -> "Predictor":
        """Return this float program in integers.

        Args:
            mode: "int8", "int16" or "int4": the bits of leaves and weights.
            X_calibration: Rows that show the range of each feature, of shape (n_samples, n_features). If they hold
                NaN, the integer program has a code for missing values.
            y_calibration: Their labels or values, for the scores in the report; optional.
            compact: Whether the cuts of trees move, within the gaps between calibration rows, to grids that one byte a
                feature tells apart: less flash, and unseen rows close to a threshold may go the other way.
            budget: What a microcontroller has to spare. Forms with fewer members, trees, splits and bits are tried
                then, all of them compact, and the most accurate that fits is returned, with `pareto()`; this takes
                about a minute for three members. `mode` is the most bits tried.

        Returns:
            A Predictor of the integer program, whose `report` was measured on the calibration rows.

        Raises:
            InvalidInputError: If the mode is unknown, the rows do not fit the program, or nothing fits the budget.
            UnsupportedModelError: If the program has no integer form, or is integer already.
        """
        from ensemble_1d.budget_search import fitted_to
        from ensemble_1d.quantization.arrays import QuantizationMode
        from ensemble_1d.quantization.programs import bits_of_mode, quantize_program
        from ensemble_1d.quantization.report import measure

        if X_calibration is None:
            raise InvalidInputError("quantize needs X_calibration: rows that show the range of each feature")
        rows = self._rows(X_calibration, "quantize")
        bits_of_mode(mode)
        if budget is None:
            done, layout, table = quantize_program(self.program, rows, mode, compact=compact), None, None
        else:
            truth = None if y_calibration is None else np.asarray(y_calibration)
            found = fitted_to(budget, self.program, rows, truth, QuantizationMode(mode).value)
            done, layout, table, mode = found.quantized, found.layout, found.table, found.mode
        report = measure(
            done.program,
            self.program,
            rows,
            None if y_calibration is None else np.asarray(y_calibration),
            mode=QuantizationMode(mode).value,
            n_splits=done.codes.n_splits,
            n_inexact_splits=done.codes.n_inexact_splits,
        )
        return Predictor(done.program, reference=self.program, report=report, layout=layout, pareto=table)

    def pareto(self) -> "ParetoTable":
        """Return the forms that the budget of `quantize(budget=...)` was spent on; prints as a table.

        Raises:
            InvalidInputError: If there was no budget.
        """
        if self._pareto is None:
            raise InvalidInputError("there is nothing to choose from; quantize(..., budget=Budget(...)) makes a table")
        return self._pareto

    def measure(self, X: npt.ArrayLike, y: npt.ArrayLike | None = None) -> "QuantizationReport":
        """Return the quantization report on other rows, for example the test rows.

        Args:
            X: Of shape (n_samples, n_features).
            y: True labels or values of shape (n_samples,), or None.

        Returns:
            The report, `out_of_range` included.

        Raises:
            InvalidInputError: If this predictor did not come from `quantize`, or the rows do not fit.
        """
        from ensemble_1d.quantization.report import measure

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
            InvalidInputError: If the codes are not int16, have another width, or one is none of its column's.
            InvalidProgramError: If the program is float.
        """
        quantizer, _, _ = self.program.integer_parts()
        array = np.asarray(codes)
        if array.dtype != np.int16 or array.ndim != 2 or array.shape[1] != quantizer.n_columns:
            rule = f"give int16 of shape (n_samples, {quantizer.n_columns}), as quantize_input returns"
            raise InvalidInputError(f"codes are {array.dtype} of shape {array.shape}; {rule}")
        low, high = quantizer.limits()
        outside = np.argwhere((array < low) | (array > high))
        if len(outside):
            row, column = outside[0]
            limits = f"{low[column]}..{high[column]}"
            raise InvalidInputError(
                f"code {array[row, column]} of row {row} lies outside {limits}, the codes of column {column}; "
                "make codes with quantize_input"
            )
        output = run_codes(self.program, array) if self._native is None else self._native.run_codes(array)
        return output.astype(np.int32)

    def save(self, path: str | os.PathLike[str]) -> "Path":
        """Write the program to an .e1d file, which `ensemble_1d.load` reads with NumPy alone.

        The file holds the program, float or integer, and the layout; not the report, and not the float program that an
        integer one came from. Equal programs give equal bytes.

        Args:
            path: The file to write; replaced whole, or not at all.

        Returns:
            The path written.

        Raises:
            ArtifactError: If the file cannot be written, or the program is beyond the limits of the format.
        """
        from ensemble_1d.storage.artifact import Artifact, write_artifact

        return write_artifact(path, Artifact(program=self.program, layout=self.layout))

    def summary(self) -> "ProgramSummary":
        """Return task, features, classes, arithmetic and nodes with their sizes; prints as a table.

        Example:
            >>> from sklearn.datasets import load_iris
            >>> from ensemble_1d import RandomForestModel
            >>> X, y = load_iris(return_X_y=True)
            >>> small = RandomForestModel(n_estimators=5, max_depth=3, random_state=0).fit(X, y).quantize("int8", X)
            >>> small.summary().n_features, small.summary().arithmetic
            (4, 'integer')
        """
        from ensemble_1d.program_summary import summarise

        return summarise(self.program)

    def c_source(
        self, name: str = "model", *, layout: "LayoutChoice | None" = None, budget: "Budget | None" = None
    ) -> str:
        """Return the C99 header of an integer program as text.

        Args:
            name: Prefix of every name in it: a C identifier.
            layout: How trees are laid out. "size" takes 2.3 to 3.4 bytes a split; "balanced" up to a fifth more, and
                fewer instructions; "speed" is straight-line code, three instructions a split; "plain" has one array a
                field, for reading. "auto" is the fastest that a budget holds. None is the layout that a budget was
                spent on, and else "size".
            budget: What there is, for "auto".

        Returns:
            The header.

        Raises:
            InvalidInputError: If `name` is no C identifier.
            InvalidProgramError: If the program is float.
        """
        from ensemble_1d.export.c99 import c99_header

        return c99_header(self.program, check_identifier(name), self._layout(layout, budget))

    def export_c(
        self,
        path: str | os.PathLike[str],
        name: str = "model",
        *,
        layout: "LayoutChoice | None" = None,
        budget: "Budget | None" = None,
    ) -> "Path":
        """Write the integer program as one C99 header that needs nothing but <stdint.h>.

        Args:
            path: The file to write; replaced whole, or not at all.
            name: Prefix of every name in it: a C identifier.
            layout: How trees are laid out, as in `c_source`.
            budget: What there is, for `layout="auto"`.

        Returns:
            The path written.

        Raises:
            InvalidInputError: If `name` is no C identifier.
            InvalidProgramError: If the program is float.
            ArtifactError: If the file cannot be written.
        """
        from ensemble_1d._files import write_text

        return write_text(path, self.c_source(name, layout=layout, budget=budget))

    def export_arduino(
        self,
        path: str | os.PathLike[str],
        name: str = "model",
        *,
        layout: "Layout" = "size",
        row: npt.ArrayLike | None = None,
    ) -> "Path":
        """Write the integer program as an Arduino library, for any board: a folder for the sketchbook's `libraries`.

        It holds the header of `export_c` and a sketch, under File > Examples, that answers one row and says whether
        Python gave the same answer.

        Args:
            path: The folder to write, as a whole or not at all. One that is there is replaced if it holds nothing but a
                library that this method wrote.
            name: Name of the library, and prefix of every name in its header: a C identifier.
            layout: How trees are laid out, as in `c_source`.
            row: The row of the sketch, of shape (n_features,); by default the middle of the range of each feature.

        Returns:
            The path written.

        Raises:
            InvalidInputError: If `name` is no C identifier, the IDE accepts no library in a folder of that name, or the
                row does not fit the program.
            InvalidProgramError: If the program is float.
            ArtifactError: If the folder cannot be written, or holds something else.

        Example:
            >>> from pathlib import Path
            >>> from tempfile import TemporaryDirectory
            >>> from sklearn.datasets import load_iris
            >>> from ensemble_1d import RandomForestModel
            >>> X, y = load_iris(return_X_y=True)
            >>> small = RandomForestModel(n_estimators=5, random_state=0).fit(X, y).quantize("int8", X)
            >>> with TemporaryDirectory() as libraries:
            ...     folder = small.export_arduino(Path(libraries, "Iris"), "iris", row=X[0])
            ...     sorted(file.name for file in folder.rglob("*.*"))
            ['README.md', 'iris.h', 'irisDemo.ino', 'keywords.txt', 'library.properties']
        """
        from pathlib import Path

        from ensemble_1d._files import write_folder
        from ensemble_1d.export.arduino import arduino_library, check_library_folder, objection_to_replacing

        check_library_folder(Path(path))
        rows = None if row is None else self._rows(np.reshape(row, (1, -1)), "export_arduino")
        texts = arduino_library(self.program, check_identifier(name), layout, None if rows is None else rows[0])
        return write_folder(path, texts, objection=objection_to_replacing)

    def export_onnx(self, path: str | os.PathLike[str], X: npt.ArrayLike | None = None) -> "Path":
        """Write the float program as one ONNX graph, for runtimes on servers, in browsers and on phones.

        The input is `X`, float32 of shape (n_samples, n_features) with any number of rows. The outputs are `label` and
        `probabilities`, or `value` for regression; numbers are float64, as in Python. `onnx_graph.onnx_model` says
        what becomes of NaN.

        Args:
            path: The file to write; replaced whole, or not at all.
            X: Rows that onnxruntime must answer as Python does before the file is written: the same labels, and numbers
                within 1e-6 (for regression relative to the value). None writes without a comparison.

        Returns:
            The path written.

        Raises:
            InvalidInputError: If X does not fit the program.
            InvalidProgramError: If the program is integer.
            MissingBackendError: If `onnx`, or with X `onnxruntime`, is not installed.
            ParityError: If a row of X gets another answer.
            UnsupportedModelError: If ONNX cannot hold the labels or so many leaves.
            ArtifactError: If the file cannot be written.

        Example:
            >>> from pathlib import Path
            >>> from tempfile import TemporaryDirectory
            >>> from sklearn.datasets import load_iris
            >>> from ensemble_1d import RandomForestModel
            >>> X, y = load_iris(return_X_y=True)
            >>> model = RandomForestModel(n_estimators=5, random_state=0).fit(X, y)
            >>> with TemporaryDirectory() as folder:
            ...     Predictor(model.program()).export_onnx(Path(folder, "iris.onnx"), X).name
            'iris.onnx'
        """
        from ensemble_1d._files import write_bytes
        from ensemble_1d.export.onnx_graph import onnx_bytes
        from ensemble_1d.export.onnx_parity import check_parity

        rows = None if X is None else self._rows(X, "export_onnx")
        content = onnx_bytes(self.program, caller="export_onnx")
        if rows is not None:
            check_parity(content, self.program, rows, caller="export_onnx")
        return write_bytes(path, content)

    def verify_c(
        self, X: npt.ArrayLike, *, flags: tuple[str, ...] = ("-O2",), layout: "Layout | None" = None
    ) -> "CVerification":
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
        from ensemble_1d.export.verification import verify_header

        return verify_header(self.program, self._rows(X, "verify_c"), flags=flags, layout=self._layout(layout, None))

    def _layout(self, layout: "LayoutChoice | None", budget: "Budget | None") -> "Layout":
        """Return the layout that is meant."""
        if layout != "auto":
            return layout or self.layout or "size"
        if budget is None:
            raise InvalidInputError('layout="auto" fits a budget; give budget=Budget(flash=...), or name a layout')
        from ensemble_1d.budget_search import layout_within

        return layout_within(budget, self.program)

    def _output(self, X: npt.ArrayLike, method: str) -> npt.NDArray[np.float64]:
        """Return the outputs of the program for rows that are checked."""
        if self._native is None:
            return run(self.program, self._rows(X, method))
        output = self._native.run_plain(X)
        return self._native.run(self._rows(X, method)) if output is None else output

    def _rows(self, X: npt.ArrayLike, method: str) -> npt.NDArray[np.float32]:
        """Return X as checked float32 rows."""
        return as_float32_rows(
            X,
            n_features=self.program.n_features,
            feature_names=self.program.feature_names,
            allow_missing=self.program.accepts_missing,
            caller=f"Predictor.{method}",
        )
