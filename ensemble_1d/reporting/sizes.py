"""What the integer forms of a program take in flash and answer, on rows that calibrated none of them."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ensemble_1d.budget import Budget
from ensemble_1d.budget_search import ParetoPoint, ParetoTable, fitted_to
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.export.c99 import c99_header
from ensemble_1d.export.size_model import size_of
from ensemble_1d.ir import Program, TreeTable, descendants
from ensemble_1d.quantization.programs import quantize_program
from ensemble_1d.quantization.report import QuantizationReport, measure

MODES = ("int16", "int8", "int4")
TARGET = "cortex-m0plus"
"""The processor that flash is counted for."""

Floats32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class Form:
    """One integer form.

    Attributes:
        mode: Mode of quantization.
        compact: Whether trees read codes of one byte.
        flash: Bytes of code and tables of `predict` in the smallest layout.
        report: Its agreement and its scores on rows that did not calibrate it.
    """

    mode: str
    compact: bool
    flash: int
    report: QuantizationReport

    @property
    def name(self) -> str:
        """What it is called."""
        return f"{self.mode}, {'compact' if self.compact else 'exact'}"


@dataclass(frozen=True, slots=True, eq=False)
class Halves:
    """Rows to calibrate with, and others to measure on.

    Attributes:
        calibration: Of shape (n_calibration, n_features), float32.
        X: Of shape (n_samples, n_features), float32.
        truth: Labels or values of X.
    """

    calibration: Floats32
    X: Floats32
    truth: npt.NDArray[np.generic]


def halves_of(X: Floats32, truth: npt.NDArray[np.generic], *, n_most: int, random_state: int) -> Halves:
    """Return two halves of the rows, drawn at random.

    Args:
        X: Of shape (n_samples, n_features), float32.
        truth: Labels or values of shape (n_samples,).
        n_most: Rows in both halves together, at most.
        random_state: Seed.

    Raises:
        InvalidInputError: If there is one row only.
    """
    if len(X) < 2:
        raise InvalidInputError("1 row cannot both calibrate integers and measure them; give two rows or more")
    order = np.random.default_rng(random_state).permutation(len(X))[:n_most]
    first, second = np.sort(order[: len(order) // 2]), np.sort(order[len(order) // 2 :])
    return Halves(X[first], X[second], truth[second])


def forms_of(program: Program, halves: Halves) -> list[Form]:
    """Return the exact and the compact form of each mode.

    Args:
        program: A float program.
        halves: Rows to calibrate with, and to measure on.

    Raises:
        UnsupportedModelError: If the program has no integer form.
    """
    return [_form(program, halves, mode, compact=compact) for mode in MODES for compact in (False, True)]


def flash_of(program: Program) -> int:
    """Return the bytes of code and tables that an integer program takes in the smallest layout."""
    return size_of(c99_header(program, "model", "size"), "model", TARGET).flash


def n_splits(program: Program) -> int:
    """Return the splits of all trees of a float program."""
    return sum(len(node.left) for node in descendants(program.root) if isinstance(node, TreeTable))


def search(program: Program, X: Floats32, truth: npt.NDArray[np.generic]) -> ParetoTable:
    """Return every form that no other beats, over members, trees, splits, bits and layouts, whatever it takes.

    Args:
        program: A float program.
        X: Rows of shape (n_samples, n_features), float32: four fifths calibrate and refit, a fifth scores.
        truth: Their labels or values.
    """
    return fitted_to(Budget(target=TARGET), program, X, truth, "int8").table


def best_within(table: ParetoTable, flash: int) -> ParetoPoint | None:
    """Return the form of the best score within so many bytes of flash; among equals the smallest; None if none fits.

    Args:
        table: What `search` found.
        flash: Bytes.
    """
    fitting = [point for point in table.points if point.flash <= flash]
    return max(fitting, key=lambda point: (point.score, -point.flash), default=None)


def _form(program: Program, halves: Halves, mode: str, *, compact: bool) -> Form:
    """Return one form."""
    done = quantize_program(program, halves.calibration, mode, compact=compact)
    splits, inexact = done.codes.n_splits, done.codes.n_inexact_splits
    report = measure(
        done.program, program, halves.X, halves.truth, mode=mode, n_splits=splits, n_inexact_splits=inexact
    )
    return Form(mode, compact, flash_of(done.program), report)
