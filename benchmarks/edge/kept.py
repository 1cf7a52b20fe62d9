"""What is kept between runs, in the user's cache: figures are exact, so the same sources need not be measured twice."""

import hashlib
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

FOLDER = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "ensemble-1d"


def kept(parts: Iterable[str | bytes | Path], compute: Callable[[], Any]) -> Any:
    """Return what was computed before from the same parts, or compute and keep it.

    Args:
        parts: Everything the result depends on: text, bytes, files, and folders of files.
        compute: Returns what JSON can hold.
    """
    path = FOLDER / "edge-figures" / f"{_digest(parts)}.json"
    if path.exists():
        return json.loads(path.read_text(encoding="utf-8"))
    result = compute()
    path.parent.mkdir(parents=True, exist_ok=True)
    # Written whole or not at all: another program may be measured at the same time.
    whole = path.with_suffix(f".{os.getpid()}-{id(parts)}")
    whole.write_text(json.dumps(result), encoding="utf-8")
    whole.replace(path)
    return result


def _digest(parts: Iterable[str | bytes | Path]) -> str:
    """Return a name that no other parts have."""
    found = hashlib.sha256()
    for part in parts:
        pieces = [part] if not isinstance(part, Path) else _contents(part)
        for piece in pieces:
            raw = piece.encode() if isinstance(piece, str) else piece
            found.update(f"{len(raw)}:".encode() + raw)
    return found.hexdigest()


def _contents(folder: Path) -> Iterable[str | bytes]:
    """Yield names and contents of all files of a folder, or of one file."""
    for path in sorted(each for each in [folder, *folder.rglob("*")] if each.is_file()):
        yield path.relative_to(folder).as_posix()
        yield path.read_bytes()
