"""The kernels as a loaded library: compiled once for this machine, its compiler and this version of their source."""

import ctypes
import hashlib
import os
import platform
import subprocess  # nosec B404
import threading
from collections.abc import Sequence
from functools import lru_cache
from importlib.resources import as_file, files
from pathlib import Path
from typing import Any

from ensemble_1d._compiler import compile_c, find_compiler
from ensemble_1d.errors import CompilerError
from ensemble_1d.native.cache import cached_file

SOURCES = ("program.c", "trees.c", "floats.c", "dense.c", "integers.c")
HEADERS = ("kernels.h", "sums.h")

# Contraction of a product and a sum into one rounding would change answers.
FLAGS = ("-std=gnu11", "-O3", "-ffp-contract=off", "-fno-math-errno", "-fPIC", "-shared")
NATIVE = ("-march=native",)
LIBRARIES = ("-lm",)

_lock = threading.Lock()


def load_library() -> ctypes.CDLL:
    """Return the compiled kernels, ready to call.

    Raises:
        CompilerError: If there is no compiler, it fails, or what it made cannot be loaded.
    """
    with _lock:
        return _loaded(tuple(find_compiler()))


@lru_cache(maxsize=4)
def _loaded(command: tuple[str, ...]) -> ctypes.CDLL:
    """Return the library that a compiler makes, from the cache if it is there."""
    name = f"kernels-{_fingerprint(command)}"
    try:
        path = cached_file(name, lambda output: build_library(command, output))
        library = ctypes.CDLL(str(path))
        library.e1d_run.restype = ctypes.c_int32
    except (OSError, AttributeError) as error:
        remedy = "let ENSEMBLE_1D_CACHE name a folder that you can write to and that may hold programs"
        raise CompilerError(f"the compiled kernels cannot be stored or loaded ({error}); {remedy}") from error
    library.e1d_run.argtypes = [ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64, ctypes.c_void_p]
    return library


def build_library(command: Sequence[str], output: Path, further: Sequence[str] = ()) -> None:
    """Compile the kernels for this machine, or for any of its kind where the compiler does not know it.

    Args:
        command: The compiler.
        output: The library to write.
        further: More options.

    Raises:
        CompilerError: If the compiler fails.
    """
    with as_file(files("ensemble_1d.native")) as folder:
        sources = [folder / name for name in SOURCES]
        flags = [*FLAGS, *further]
        try:
            compile_c(command, [*flags, *NATIVE], [*sources, *map(Path, LIBRARIES)], output)
        except CompilerError:
            compile_c(command, flags, [*sources, *map(Path, LIBRARIES)], output)


def _fingerprint(command: Sequence[str]) -> str:
    """Return a digest of all that decides what the compiler writes: source, options, compiler, processor."""
    folder = files("ensemble_1d.native")
    digest = hashlib.sha256()
    for name in (*SOURCES, *HEADERS):
        digest.update(folder.joinpath(name).read_bytes())
    for part in (*command, *FLAGS, *NATIVE, *LIBRARIES, _version(command), *processor()):
        digest.update(part.encode("utf-8", "replace") + b"\0")
    return digest.hexdigest()[:32]


def _version(command: Sequence[str]) -> str:
    """Return what the compiler says about itself."""
    try:
        # No shell, and no text from outside: the compiler the user chose.
        done = subprocess.run(  # noqa: S603  # nosec B603
            [*command, "--version"], capture_output=True, check=False, timeout=60, stdin=subprocess.DEVNULL
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        message = f"{command[0]} --version does not answer ({error}); let the variable CC name a C compiler"
        raise CompilerError(message) from error
    return done.stdout.decode("utf-8", "replace")


def processor() -> tuple[str, ...]:
    """Return what is known of the processor: its instructions decide what the kernels may use."""
    known: list[Any] = [platform.system(), platform.machine(), platform.processor()]
    known.append(os.environ.get("PROCESSOR_IDENTIFIER", ""))
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    known += sorted({line for line in lines if line.startswith(("flags", "Features", "model name", "CPU part"))})
    return tuple(known)
