"""ProgramExports: what a Predictor writes for other machines, in C, as an Arduino library and as an ONNX graph."""

import os
from typing import TYPE_CHECKING, Literal

import numpy as np
import numpy.typing as npt

from ensemble_1d._validate import as_float32_rows, check_identifier
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.ir import Program

# Who only predicts needs no exporter: a method loads what it writes with.
if TYPE_CHECKING:
    from pathlib import Path

    from ensemble_1d.budget import Budget
    from ensemble_1d.export.c99_functions import Layout
    from ensemble_1d.export.verification import CVerification

    LayoutChoice = Layout | Literal["auto"]


class ProgramExports:
    """A Program with the methods that write it for other machines; `Predictor` adds those that answer.

    Attributes:
        program: The program.
        layout: The layout that `c_source` uses unless told otherwise, or None for "size".

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import RandomForestModel
        >>> X, y = load_iris(return_X_y=True)
        >>> small = RandomForestModel(n_estimators=5, random_state=0).fit(X, y).quantize("int8", X)
        >>> small.c_source("iris").splitlines()[0]
        '/* iris.h: classification of 4 features, integers only. Written by ensemble-1d.'
        >>> with TemporaryDirectory() as folder:
        ...     small.export_c(Path(folder, "iris.h"), "iris", layout="balanced").name
        'iris.h'
        >>> small.verify_c(X).n_different
        0
    """

    program: Program
    layout: "Layout | None"

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
            >>> from ensemble_1d import Predictor, RandomForestModel
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
            >>> from ensemble_1d import Predictor, RandomForestModel
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

    def _rows(self, X: npt.ArrayLike, method: str) -> npt.NDArray[np.float32]:
        """Return X as checked float32 rows."""
        return as_float32_rows(
            X,
            n_features=self.program.n_features,
            feature_names=self.program.feature_names,
            allow_missing=self.program.accepts_missing,
            caller=f"Predictor.{method}",
        )
