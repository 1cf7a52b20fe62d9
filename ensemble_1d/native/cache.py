"""Where compiled kernels are kept: a private folder of the user, and a temporary one where that cannot be written."""

import atexit
import hashlib
import os
import shutil
import stat
import sys
import tempfile
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

from ensemble_1d.errors import CompilerError

CACHE_VARIABLE = "ENSEMBLE_1D_CACHE"
"""Environment variable that names another folder for compiled kernels."""

_DIGEST = 32


def cache_folder() -> Path:
    """Return the folder for compiled kernels; it need not exist.

    The variable ENSEMBLE_1D_CACHE names it; else it is the folder `ensemble-1d/native` where the system keeps caches.
    """
    chosen = os.environ.get(CACHE_VARIABLE, "")
    if chosen:
        return Path(chosen)
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "ensemble-1d" / "native"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "ensemble-1d" / "native"
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The specification has relative paths ignored.
    return (Path(base) if base.startswith("/") else Path.home() / ".cache") / "ensemble-1d" / "native"


def cached_file(name: str, make: Callable[[Path], None]) -> Path:
    """Return a file that `make` wrote, now or earlier.

    The digest of its content is part of the file's own name, so a file that was damaged is made again; it appears
    under that name whole or not at all.

    Args:
        name: What the content depends on, as the start of a file name.
        make: Writes the content to the path it is given.

    Returns:
        The path of the file.
    """
    try:
        folder = _private(cache_folder())
        return _intact(folder, name) or _made(folder, name, make)
    except CompilerError:
        raise
    except (OSError, RuntimeError):  # Path.home() raises a RuntimeError where there is none.
        return _made(_temporary_folder(), name, make)


def _private(folder: Path) -> Path:
    """Return a folder that only this user can write to, made if it is absent.

    Raises:
        OSError: If it cannot be made or written to, or if others may write to it: what is loaded from it is run.
    """
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if os.name == "posix":
        found = folder.stat()
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o022:
            message = f"others may write to {folder}"
            raise PermissionError(message)
    if not os.access(folder, os.W_OK | os.X_OK):
        message = f"no permission to write to {folder}"
        raise PermissionError(message)
    return folder


def _intact(folder: Path, name: str) -> Path | None:
    """Return the cached file if its content still has the digest in its name."""
    for path in folder.glob(f"{name}-*"):
        try:
            if path.name == f"{name}-{_digest(path)}":
                return path
            path.unlink(missing_ok=True)
        except OSError:
            continue
    return None


def _made(folder: Path, name: str, make: Callable[[Path], None]) -> Path:
    """Return a new file, renamed once it is whole."""
    handle, text = tempfile.mkstemp(dir=folder, prefix=".making-")
    os.close(handle)
    temporary = Path(text)
    try:
        make(temporary)
        temporary.chmod(0o700)
        return temporary.replace(folder / f"{name}-{_digest(temporary)}")
    finally:
        temporary.unlink(missing_ok=True)


def _digest(path: Path) -> str:
    """Return the start of the SHA-256 digest of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()[:_DIGEST]


@lru_cache(maxsize=1)
def _temporary_folder() -> Path:
    """Return a private folder that goes when the process ends."""
    folder = tempfile.mkdtemp(prefix="ensemble-1d-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)
