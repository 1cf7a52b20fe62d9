"""NativeProgram: a Program that C kernels answer, in threads, or NumPy where there is no compiler."""

import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import CompilerError, InvalidInputError
from ensemble_1d.ir import Program
from ensemble_1d.native.library import load_library
from ensemble_1d.native.lowering import NativeTables, pack_body, pack_program
from ensemble_1d.runtime import run, run_codes

_ROWS_PER_JOB = 1024
"""Fewer rows than that are not worth a thread."""

_FLOAT32, _FLOAT64, _INT32 = np.dtype(np.float32), np.dtype(np.float64), np.dtype(np.int32)
_INFINITIES, _AND_MISSING = 1, 2
_ANSWERED, _NO_MEMORY = 0, 1

_lock = threading.Lock()


class SlowPredictionWarning(UserWarning):
    """A compiled predictor found no C compiler that works: NumPy gives the same answers, later.

    Example:
        >>> import warnings
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import RandomForestModel, SlowPredictionWarning
        >>> model = RandomForestModel(n_estimators=5, random_state=0).fit(*load_iris(return_X_y=True))
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("error", SlowPredictionWarning)  # better no answer than a slow one
        ...     model.compile(n_jobs=1).predict([[5.1, 3.5, 1.4, 0.2]])
        array([0])
    """


@dataclass(frozen=True, slots=True, eq=False)
class _Kernels:
    """The entry of the library, and tables for float32 rows (checked, and not) and for int16 codes."""

    call: Callable[[int, int, int, int], int]
    checked: NativeTables
    rows: NativeTables
    codes: NativeTables | None


class NativeProgram:
    """A Program with the meaning of `runtime.run`, computed by C kernels.

    The kernels are compiled when this is made, unless a cache holds them. A copy made by pickle holds the program
    alone and finds its kernels when it is first used.

    Args:
        program: A float or integer program.
        n_jobs: Threads at most; None is as many as this process may use cores.

    Attributes:
        program: The program.
        n_jobs: Threads at most.

    Raises:
        InvalidInputError: If `n_jobs` is no positive integer.

    Example:
        >>> from ensemble_1d import Program
        >>> from ensemble_1d.ir import Dense
        >>> layer = Dense(weight=np.ones((1, 2), np.float32), bias=np.ones(1, np.float32), activation="relu")
        >>> native = NativeProgram(Program(n_features=2, task="regression", root=layer))
        >>> native.run(np.array([[1, 2], [-3, 1]], np.float32))
        array([[4.],
               [0.]])
    """

    def __init__(self, program: Program, *, n_jobs: int | None = None) -> None:
        """Store the program and prepare its tables."""
        if n_jobs is not None and (isinstance(n_jobs, bool) or not isinstance(n_jobs, int) or n_jobs < 1):
            raise InvalidInputError(f"n_jobs={n_jobs!r} is no number of threads; use an integer >= 1, or None for all")
        self.__setstate__({"program": program, "n_jobs": n_jobs})
        self._prepare()

    def __getstate__(self) -> dict[str, Any]:
        """Return what another process needs: tables hold addresses of this one."""
        return {"program": self.program, "n_jobs": self.n_jobs}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Store the program; the first call prepares the tables."""
        self.program: Program = state["program"]
        self.n_jobs: int | None = state["n_jobs"]
        self._kernels: _Kernels | None = None
        self._is_prepared = False

    @property
    def is_native(self) -> bool:
        """Whether C answers, and not NumPy for want of a compiler."""
        return self._prepare() is not None

    def run_plain(self, X: object) -> npt.NDArray[np.float64] | None:
        """Return the answers if X is what C reads as it is: float32 rows that hold no value to refuse, else None.

        Args:
            X: Anything; what a caller gave.

        Returns:
            Of shape (n_samples, n_outputs), float64, or None: the caller then checks X and explains.
        """
        kernels = self._kernels
        if kernels is None or type(X) is not np.ndarray or X.dtype is not _FLOAT32 or X.ndim != 2:
            return None
        flags, (n_rows, n_features) = X.flags, X.shape
        if not (flags.c_contiguous and flags.aligned and n_rows and n_features == self.program.n_features):
            return None
        return self._answer(kernels, kernels.checked, X, n_rows, _FLOAT64)

    def run(self, X: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
        """Return what `runtime.run` returns, for any rows.

        Args:
            X: Of shape (n_samples, n_features), float32.

        Returns:
            Of shape (n_samples, n_outputs), float64.
        """
        kernels = self._prepare()
        if kernels is None:
            return run(self.program, X)
        X = np.require(X, np.float32, ["C", "A"])
        answer = self._answer(kernels, kernels.rows, X, len(X), _FLOAT64)
        return run(self.program, X) if answer is None else answer

    def run_codes(self, codes: npt.NDArray[np.int16]) -> npt.NDArray[np.int64]:
        """Return what `runtime.run_codes` returns, for any codes.

        Args:
            codes: Of shape (n_samples, n_columns), int16.

        Returns:
            Of shape (n_samples, n_outputs), int64 that fit in int32.

        Raises:
            InvalidProgramError: If the program is float.
        """
        kernels = self._prepare()
        if kernels is None or kernels.codes is None:
            return run_codes(self.program, codes)
        codes = np.require(codes, np.int16, ["C", "A"])
        answer = self._answer(kernels, kernels.codes, codes, len(codes), _INT32)
        return run_codes(self.program, codes) if answer is None else answer.astype(np.int64)

    def _answer(
        self, kernels: _Kernels, tables: NativeTables, rows: npt.NDArray[Any], n_rows: int, dtype: npt.DTypeLike
    ) -> npt.NDArray[Any] | None:
        """Return the answers of C, or None where it refuses a value."""
        answer = np.empty((n_rows, tables.width), dtype)
        if n_rows < 2 * _ROWS_PER_JOB or self.n_jobs == 1:
            # The attribute .ctypes takes twice as long.
            begin, into = rows.__array_interface__["data"][0], answer.__array_interface__["data"][0]
            status = kernels.call(tables.address, begin, n_rows, into)
        else:
            status = self._in_threads(kernels, tables, rows, answer)
        if status == _NO_MEMORY:
            raise MemoryError
        return answer if status == _ANSWERED else None

    def _in_threads(
        self, kernels: _Kernels, tables: NativeTables, rows: npt.NDArray[Any], answer: npt.NDArray[Any]
    ) -> int:
        """Return the worst status of blocks of rows answered in threads: C runs without Python's lock."""
        n_jobs = min(self.n_jobs or usable_cores(), len(rows) // _ROWS_PER_JOB)

        def block(job: int) -> int:
            begin, end = (len(rows) * each // n_jobs for each in (job, job + 1))
            return kernels.call(tables.address, rows[begin:].ctypes.data, end - begin, answer[begin:].ctypes.data)

        if n_jobs == 1:
            return block(0)
        with ThreadPoolExecutor(n_jobs - 1, thread_name_prefix="ensemble-1d") as pool:
            others = [pool.submit(block, job) for job in range(1, n_jobs)]
            return max([block(0), *(each.result() for each in others)])

    def _prepare(self) -> _Kernels | None:
        """Return the kernels; say once if there are none."""
        if self._is_prepared:
            return self._kernels
        with _lock:
            if not self._is_prepared:
                self._kernels = _kernels_of(self.program)
                self._is_prepared = True
        return self._kernels


def _kernels_of(program: Program) -> _Kernels | None:
    """Return the kernels with the tables of a program, or None with a warning."""
    try:
        library = load_library()
    except CompilerError as error:
        remedy = "install GCC or Clang, or let the variable CC name one, and call compile again"
        message = f"predictions run in NumPy, with the same answers but slower; {remedy} ({error})"
        warnings.warn(message, SlowPredictionWarning, stacklevel=5)
        return None
    refuse = _INFINITIES if program.accepts_missing else _AND_MISSING
    tables = pack_program(program)
    return _Kernels(
        call=library.e1d_run,
        checked=tables.refusing(refuse),
        rows=tables,
        codes=pack_body(program) if program.is_integer else None,
    )


def usable_cores() -> int:
    """Return how many cores this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
