"""Predictor: a Program you can call, quantize and export."""

import os
from copy import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.ir import Program
from ensemble_1d.program_exports import ProgramExports
from ensemble_1d.runtime import run, run_codes
from ensemble_1d.runtime_integer import quantize

# What predicts imports the runtime alone; a method that quantizes, compresses, exports or saves loads what it needs.
if TYPE_CHECKING:
    from pathlib import Path

    from ensemble_1d.budget import Budget
    from ensemble_1d.budget_search import ParetoTable
    from ensemble_1d.export.c99_functions import Layout
    from ensemble_1d.native.native_program import NativeProgram
    from ensemble_1d.program_summary import ProgramSummary
    from ensemble_1d.quantization.arrays import QuantizationMode
    from ensemble_1d.quantization.optimization import OptimizationResult
    from ensemble_1d.quantization.optimizer import ModelOptimizer
    from ensemble_1d.quantization.report import QuantizationReport


class Predictor(ProgramExports):
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
        >>> small = predictor.quantize("int8", X)
        >>> small.predict(X[:2]), small.predict_proba(X[:1])
        (array([0, 0]), array([[1., 0., 0.]]))
        >>> small.run_codes(small.quantize_input(X[:1]))  # what the C functions take and return
        array([[32768,     0,     0]], dtype=int32)
        >>> small.measure(X, y).agreement, predictor.optimize(X, y).optimization.n_samples
        (1.0, 30)
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

    def _repr_html_(self) -> str:
        """Return task, features, classes, arithmetic and bytes by part as a table in HTML."""
        return self.summary().card()

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

        Example:
            >>> from sklearn.datasets import load_iris
            >>> from ensemble_1d import Budget, RandomForestModel
            >>> X, y = load_iris(return_X_y=True)
            >>> model = RandomForestModel(n_estimators=10, random_state=0).fit(X, y)
            >>> table = model.quantize("int8", X, y, budget=Budget(flash=1000)).pareto()
            >>> table.points[table.chosen].flash <= 1000
            True
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

        Example:
            >>> from pathlib import Path
            >>> from tempfile import TemporaryDirectory
            >>> from sklearn.datasets import load_iris
            >>> from ensemble_1d import RandomForestModel, load
            >>> X, y = load_iris(return_X_y=True)
            >>> small = RandomForestModel(n_estimators=5, random_state=0).fit(X, y).quantize("int8", X)
            >>> with TemporaryDirectory() as folder:
            ...     load(small.save(Path(folder, "iris.e1d"))).predict(X[:2])
            array([0, 0])
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

    def _output(self, X: npt.ArrayLike, method: str) -> npt.NDArray[np.float64]:
        """Return the outputs of the program for rows that are checked."""
        if self._native is None:
            return run(self.program, self._rows(X, method))
        output = self._native.run_plain(X)
        return self._native.run(self._rows(X, method)) if output is None else output
