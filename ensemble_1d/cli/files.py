"""Files of a command: a model from a file or standard input, and what is written to a file or standard output."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ensemble_1d._files import write_bytes
from ensemble_1d.cli.console import STDIO, Console, stdin_bytes
from ensemble_1d.errors import ArtifactError, InvalidInputError
from ensemble_1d.predictor import Predictor
from ensemble_1d.storage.artifact import Artifact, artifact_of, read_artifact

if TYPE_CHECKING:
    from ensemble_1d.export.c99_functions import Layout


@dataclass(frozen=True, slots=True, eq=False)
class SavedModel:
    """A model as it was read.

    Attributes:
        where: What messages call it.
        artifact: What the file holds.
        n_bytes: Bytes of the file.
        predictor: The model, ready to answer.
    """

    where: str
    artifact: Artifact
    n_bytes: int
    predictor: Predictor


def saved_model(path: str) -> SavedModel:
    """Return a saved model.

    Args:
        path: An .e1d file, a pipe, or "-" for standard input.

    Returns:
        The model, and what its file says.

    Raises:
        InvalidInputError: If there is no such file, or it cannot be read.
        ArtifactError: If it is no model.
    """
    where = "standard input" if path == STDIO else repr(path)
    if path != STDIO and Path(path).is_file():
        artifact, n_bytes = read_artifact(path), Path(path).stat().st_size
    else:
        try:
            data = stdin_bytes("a model") if path == STDIO else Path(path).read_bytes()
            artifact, n_bytes = artifact_of(data), len(data)
        except ArtifactError as error:
            raise ArtifactError(f"cannot load {where}: {error}") from error
        except OSError as error:
            rule = "give a model that `ensemble-1d fit` or `save` wrote"
            raise InvalidInputError(f"cannot load {where}: {error.strerror or error}; {rule}") from error
    predictor = Predictor(artifact.program, layout=cast("Layout | None", artifact.layout))
    return SavedModel(where, artifact, n_bytes, predictor)


def check_output(path: str, console: Console, *, is_binary: bool = False) -> None:
    """Refuse, before any work, a file that could not be written after it.

    Args:
        path: The file, or "-".
        console: Where standard output is.
        is_binary: Whether a terminal would be spoilt.

    Raises:
        ArtifactError: If its folder is not there, or it is a folder itself.
        InvalidInputError: If it is binary and would go to a terminal.
    """
    if path == STDIO:
        if is_binary and console.is_terminal():
            raise InvalidInputError("a terminal cannot show a binary file; name one with --out, or use a pipe")
        return
    target = Path(path)
    reason = "it is a folder" if target.is_dir() else "there is no such folder" if not target.parent.is_dir() else None
    if reason:
        raise ArtifactError(f"cannot write {path!r}: {reason}; give a file in an existing folder you may write to")


def deliver(path: str, content: bytes, console: Console) -> None:
    """Write a file, whole or not at all, or standard output.

    Args:
        path: The file, or "-".
        content: Its bytes.
        console: Where standard output is.

    Raises:
        ArtifactError: If the file cannot be written.
    """
    if path == STDIO:
        console.write_file(content)
    else:
        write_bytes(path, content)
        console.note(f"wrote {path} ({len(content):,} bytes)")


def saved_bytes(predictor: Predictor) -> bytes:
    """Return the .e1d file of a model, after reading it back.

    Args:
        predictor: The model.

    Returns:
        The file.

    Raises:
        ArtifactError: If the model is beyond the limits of the format.
    """
    from ensemble_1d.storage.artifact import artifact_bytes  # who only reads needs no encoder

    content = artifact_bytes(Artifact(program=predictor.program, layout=predictor.layout))
    artifact_of(content)
    return content
