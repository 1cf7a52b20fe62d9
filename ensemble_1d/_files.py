"""Whole files or none: every file the package writes goes through here."""

import os
import tempfile
from pathlib import Path

from ensemble_1d.errors import ArtifactError


def write_text(path: str | os.PathLike[str], text: str) -> Path:
    """Write `text` to `path` as UTF-8, through a temporary file beside it that then takes its place.

    Args:
        path: Where to write; the folder must exist.
        text: The content.

    Returns:
        The path written.

    Raises:
        ArtifactError: If the file cannot be written; whatever stood at `path` is then unchanged.
    """
    target = Path(path)
    temporary = None
    try:
        # A link keeps pointing at its target, and the new file keeps the mode that open() would give.
        target = target.resolve()
        handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(target.stat().st_mode if target.exists() else 0o666 & ~umask)
        os.replace(temporary, target)  # noqa: PTH105 -- says what it does
        temporary = None
    except (OSError, RuntimeError) as error:  # A loop of links is a RuntimeError before Python 3.13.
        reason = getattr(error, "strerror", None) or str(error)
        message = f"cannot write {str(path)!r}: {reason}; give a file in an existing folder you may write to"
        raise ArtifactError(message) from error
    finally:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
    return Path(path)
