"""Artifact: what an .e1d file holds, from memory to bytes to a file and back."""

import json
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

import ensemble_1d
from ensemble_1d.errors import ArtifactError, InvalidProgramError
from ensemble_1d.ir import Program
from ensemble_1d.storage.container import header_of, parse_object, tensors_of
from ensemble_1d.storage.decoding import decode_program, fields_of
from ensemble_1d.storage.limits import MAX_FILE_BYTES, REMEDY, UPGRADE, check, refuse, shown

if TYPE_CHECKING:
    from pathlib import Path

FORMAT_VERSION: Final = 1
"""The version that is written, and the newest that is read."""

LAYOUTS: Final = ("size", "balanced", "speed", "plain")
"""The layouts of `export`; a test holds the two together."""

_KEY: Final = "ensemble_1d"


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Artifact:
    """What a file holds.

    Attributes:
        program: The program.
        layout: The layout of its trees in C that a budget was spent on, or None.
        producer: The package that wrote it, with its version.
        version: Version of the format that was read; what is written has the newest.
    """

    program: Program
    layout: str | None = None
    producer: str = f"ensemble-1d {ensemble_1d.__version__}"
    version: int = FORMAT_VERSION


def artifact_bytes(artifact: Artifact) -> bytes:
    """Return the file as bytes: the same for equal artifacts.

    Args:
        artifact: What to store.

    Returns:
        The whole file.

    Raises:
        ArtifactError: If a label or a name is none that a file can hold.
    """
    # Who only reads needs neither an encoder nor the library.
    from safetensors.numpy import save  # noqa: PLC0415

    from ensemble_1d.storage.encoding import encode_program  # noqa: PLC0415

    program, tensors = encode_program(artifact.program)
    header = {
        "format": _KEY,
        "version": FORMAT_VERSION,
        "producer": artifact.producer,
        "layout": artifact.layout,
        "program": program,
    }
    # One key of metadata: the library leaves the order of several to chance.
    return save(tensors, {_KEY: json.dumps(header, separators=(",", ":"))})


def artifact_of(data: bytes) -> Artifact:
    """Return what a file holds; of a file that was saved, `artifact_bytes` gives the same bytes again.

    Args:
        data: The whole file.

    Returns:
        The artifact.

    Raises:
        ArtifactError: If the bytes are no file of this format, are of a newer version, break a rule or a limit, or hold
            a program that contradicts itself.
    """
    try:
        # Numbers at their limits overflow while they are checked: what comes of it is refused, and no warning.
        with np.errstate(all="ignore"):
            return _artifact_of(data)
    except InvalidProgramError as error:
        raise ArtifactError(f"its program contradicts itself: {error}; {REMEDY}") from error
    except RecursionError as error:
        raise ArtifactError(f"its header is nested too deeply; {REMEDY}") from error


def _artifact_of(data: bytes) -> Artifact:
    """Return what a file holds, or raise what its parts raise."""
    table, begin = header_of(data)
    metadata = table.pop("__metadata__", None)
    text = metadata.get(_KEY) if isinstance(metadata, dict) else None
    check(isinstance(text, str), f"its header has no metadata {_KEY!r}: it is another kind of safetensors file")
    check(metadata == {_KEY: text}, f"its metadata has keys beside {_KEY!r}: {shown(metadata)}")
    described = parse_object(str(text), "its metadata")
    given = fields_of(described, "its metadata", _keys(described))
    layout, producer = given["layout"], given["producer"]
    check(
        layout is None or layout in LAYOUTS, f"its layout is {shown(layout)}; None and {', '.join(LAYOUTS)} are known"
    )
    check(isinstance(producer, str), f"its producer is {shown(producer)}, and no string")
    program = decode_program(given["program"], tensors_of(table, data, begin))
    return Artifact(program=program, layout=layout, producer=producer, version=given["version"])


def _keys(described: dict[str, Any]) -> set[str]:
    """Return the keys that the metadata of this version have, after a look at the version."""
    version = described.get("version")
    check(described.get("format") == _KEY, f"its format is {shown(described.get('format'))}, and not {_KEY!r}")
    check(type(version) is int and version > 0, f"its format version is {shown(version)}, and no positive integer")
    if version != FORMAT_VERSION:
        reads = f"ensemble-1d {ensemble_1d.__version__} reads version {FORMAT_VERSION}"
        refuse(f"it has format version {version}, and {reads}", UPGRADE)
    return {"format", "version", "producer", "layout", "program"}


def write_artifact(path: str | os.PathLike[str], artifact: Artifact) -> "Path":
    """Write a file, whole or not at all, after reading it back in memory.

    Args:
        path: The file; its folder must exist.
        artifact: What to store.

    Returns:
        The path written.

    Raises:
        ArtifactError: If the file cannot be written, or the program is beyond what can be read again; whatever stood at
            `path` is then unchanged.
    """
    from ensemble_1d._files import write_bytes  # noqa: PLC0415 -- who only reads needs no temporary files

    try:
        data = artifact_bytes(artifact)
        artifact_of(data)
    except ArtifactError as error:
        raise ArtifactError(f"cannot save {str(path)!r}: {error}") from error
    return write_bytes(path, data)


def read_artifact(path: str | os.PathLike[str]) -> Artifact:
    """Return what a file holds.

    Args:
        path: The file.

    Returns:
        The artifact.

    Raises:
        ArtifactError: If the file cannot be read, or holds no artifact; the message names the file, what is wrong with
            it, and the remedy.
        FileNotFoundError: If there is no such file.
    """
    try:
        with open(os.fspath(path), "rb") as file:  # noqa: PTH123 -- pathlib takes as long to import as the runtime
            n_bytes = os.fstat(file.fileno()).st_size
            check(n_bytes <= MAX_FILE_BYTES, f"it has {n_bytes:,} bytes; {MAX_FILE_BYTES:,} is the limit")
            data = file.read(n_bytes)
        return artifact_of(data)
    except FileNotFoundError:
        raise
    except ArtifactError as error:
        raise ArtifactError(f"cannot load {str(path)!r}: {error}") from error
    except OSError as error:
        reason = error.strerror or str(error)
        raise ArtifactError(f"cannot load {str(path)!r}: {reason}; give a file that you may read") from error
