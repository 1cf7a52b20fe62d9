"""Whole files and whole folders, or none: everything the package writes goes through here."""

import os
import shutil
import tempfile
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from ensemble_1d.errors import ArtifactError


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` to `path` as UTF-8, as `write_bytes` writes.

    Args:
        path: Where to write; the folder must exist.
        text: The content.

    Returns:
        The path written.

    Raises:
        ArtifactError: If the file cannot be written; whatever stood at `path` is then unchanged.
    """
    return write_bytes(path, text.encode())


def write_bytes(path: str | os.PathLike[str], content: bytes) -> Path:
    """Write `content` to `path`, through a temporary file beside it that then takes its place.

    A device or a pipe, such as /dev/null or /dev/stdout, is written to and stays what it is.

    Args:
        path: Where to write; the folder must exist.
        content: The content.

    Returns:
        The path written.

    Raises:
        ArtifactError: If the file cannot be written; whatever stood at `path` is then unchanged.
    """
    target = Path(path)
    temporary = None
    try:
        if target.exists() and not (target.is_file() or target.is_dir()):
            target.write_bytes(content)
            return target
        # A link keeps pointing at its target, and the new file keeps the mode that open() would give.
        target = target.resolve()
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(target.stat().st_mode if target.exists() else 0o666 & ~umask)
        os.replace(temporary, target)  # noqa: PTH105 -- says what it does
        temporary = None
        _sync_folder(target.parent)
    except (OSError, RuntimeError) as error:  # A loop of links is a RuntimeError before Python 3.13.
        message = f"cannot write {str(path)!r}: {_reason(error)}; give a file in an existing folder you may write to"
        raise ArtifactError(message) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return Path(path)


def _sync_folder(folder: Path) -> None:
    """Let the new name of a file outlast a power cut, on systems and disks where folders can be synced."""
    with suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def write_folder(
    path: str | os.PathLike[str], texts: Mapping[str, str], *, objection: Callable[[Path], str | None]
) -> Path:
    """Write a folder of UTF-8 files, through a temporary folder beside it that then takes its place.

    Args:
        path: The folder; the one that holds it must exist.
        texts: The content of each file by its path in the folder, parts separated by "/".
        objection: Why a folder that is there already must not be replaced, or None if it may.

    Returns:
        The path written.

    Raises:
        ArtifactError: If there is an objection, `path` is a file, or the folder cannot be written; whatever stood at
            `path` is then unchanged.
    """
    try:
        target = Path(path).resolve()
        reason = objection(target) if target.is_dir() else "it is a file" if target.exists() else None
        if reason is None:
            _swap_in(target, texts)
            return Path(path)
    except (OSError, RuntimeError) as error:
        message = f"cannot write {str(path)!r}: {_reason(error)}; give a folder in an existing one you may write to"
        raise ArtifactError(message) from error
    raise ArtifactError(f"cannot replace {str(path)!r}: {reason}; give another path, or move what is there away")


def _swap_in(target: Path, texts: Mapping[str, str]) -> None:
    """Write a folder of files beside the target, and put it in the target's place."""
    temporary = Path(tempfile.mkdtemp(dir=target.parent, prefix=f".{target.name}."))
    new, old = temporary / "new", temporary / "old"
    try:
        for name, text in texts.items():
            file = new / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8", newline="\n")
        # No system renames a folder over a full one: the old one steps aside, and back if the new one cannot follow.
        if target.exists():
            target.rename(old)
        try:
            new.rename(target)
        except OSError:
            if old.exists():
                old.rename(target)
            raise
    finally:
        if target.exists() or not old.exists():
            shutil.rmtree(temporary, ignore_errors=True)


def _reason(error: Exception) -> str:
    """Return what the system says, without its own copy of the path."""
    return getattr(error, "strerror", None) or str(error)
