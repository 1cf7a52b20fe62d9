"""verify_header: compile the generated C on this machine and compare every answer with the NumPy runtime."""

import subprocess  # nosec B404
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ensemble_1d._compiler import compile_c, find_compiler
from ensemble_1d._html import html_facts
from ensemble_1d.errors import CompilerError
from ensemble_1d.export.c99 import c99_header
from ensemble_1d.export.c99_functions import Layout
from ensemble_1d.ir import Program
from ensemble_1d.runtime import run_codes
from ensemble_1d.runtime_integer import quantize

STRICT_FLAGS = ("-std=c99", "-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")
"""Warnings under which every generated header compiles, with gcc and clang."""

_TIMEOUT_SECONDS = 600


@dataclass(frozen=True, slots=True, kw_only=True)
class CVerification:
    """How the generated C compares with Python.

    Attributes:
        n_rows: Rows compared.
        n_different: Rows of which an input code, the answer or a probability differs.
        first_different: The first such row, or None.
        compiler: The command that compiled the header.
        flags: Its options.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import RandomForestModel
        >>> X, y = load_iris(return_X_y=True)
        >>> small = RandomForestModel(n_estimators=5, random_state=0).fit(X, y).quantize("int8", X)
        >>> compared = small.verify_c(X)
        >>> compared.n_rows, compared.n_different
        (150, 0)
    """

    n_rows: int
    n_different: int
    first_different: int | None
    compiler: tuple[str, ...]
    flags: tuple[str, ...]

    def __str__(self) -> str:
        """Return, for example, "171 of 171 rows equal (cc -O2)"."""
        rest = "" if self.first_different is None else f"; the first different row is {self.first_different}"
        n_equal = self.n_rows - self.n_different
        return f"{n_equal} of {self.n_rows} rows equal ({' '.join(self.compiler + self.flags)}){rest}"

    def _repr_html_(self) -> str:
        """Return the comparison as a table in HTML."""
        first = [] if self.first_different is None else [("first different row", f"{self.first_different:,}")]
        equal = f"{self.n_rows - self.n_different:,} of {self.n_rows:,}"
        return html_facts([("rows equal", equal), *first, ("compiler", " ".join(self.compiler + self.flags))])


def verify_header(
    program: Program, X: npt.NDArray[np.float32], *, flags: Sequence[str] = ("-O2",), layout: Layout = "size"
) -> CVerification:
    """Compile the header of an integer program and compare codes, answers and probabilities with `runtime`.

    Args:
        program: An integer program.
        X: Rows of shape (n_samples, n_features), float32.
        flags: Compiler options beside the strict warnings.
        layout: How trees are laid out.

    Returns:
        The comparison.

    Raises:
        CompilerError: If there is no compiler, it refuses the header, or the compiled program fails.
        InvalidProgramError: If the program is float.
    """
    header = c99_header(program, "model", layout)
    compiler = find_compiler()
    driver = files("ensemble_1d.export").joinpath("verify_driver.c").read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory(prefix="ensemble-1d-") as folder:
        path = Path(folder)
        (path / "model.h").write_text(header, encoding="utf-8")
        (path / "main.c").write_text(driver, encoding="utf-8")
        options = [*STRICT_FLAGS, *flags, '-DE1D_HEADER="model.h"', f"-I{path}"]
        compile_c(compiler, options, [path / "main.c"], path / "main")
        rows = np.ascontiguousarray(X, np.float32).tobytes()
        try:
            # No shell, and no text from outside: the program that was just compiled.
            done = subprocess.run(  # noqa: S603  # nosec B603
                [path / "main"], input=rows, capture_output=True, check=False, timeout=_TIMEOUT_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            limit = f"{_TIMEOUT_SECONDS} seconds"
            raise CompilerError(f"the compiled model took over {limit} for {len(X)} rows; compare fewer") from error
    expected = expected_records(program, X)
    found = np.frombuffer(done.stdout[: expected.nbytes], np.uint8)
    if done.returncode or found.size != expected.size or len(done.stdout) != expected.nbytes:
        said = done.stderr.decode("utf-8", "replace")[-2000:]
        raise CompilerError(f"the compiled model ended with status {done.returncode} and {found.size} bytes: {said}")
    different = np.flatnonzero((found.reshape(expected.shape) != expected).any(axis=1))
    return CVerification(
        n_rows=len(X),
        n_different=len(different),
        first_different=int(different[0]) if different.size else None,
        compiler=tuple(compiler),
        flags=tuple(flags),
    )


def expected_records(program: Program, X: npt.NDArray[np.float32]) -> npt.NDArray[np.uint8]:
    """Return what the driver must write for each row: int16 codes, the int32 answer, uint16 probabilities.

    Args:
        program: An integer program.
        X: Rows of shape (n_samples, n_features), float32.

    Returns:
        Bytes in this machine's order, of shape (n_samples, n_bytes), uint8.
    """
    quantizer, _, _ = program.integer_parts()
    codes = quantize(quantizer, X)
    output = run_codes(program, codes)
    if program.classes is None:
        parts = [codes, output.astype(np.int32)]
    else:
        parts = [codes, output.argmax(axis=1).astype(np.int32)[:, np.newaxis], output.astype(np.uint16)]
    return np.hstack([np.ascontiguousarray(part).view(np.uint8) for part in parts])
