"""Console: results on standard output, as text or as one JSON document; notes and warnings on standard error."""

import math
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from typing import Any, TextIO

from ensemble_1d.errors import ArtifactError, InvalidInputError

STDIO = "-"
"""The path that stands for standard input and standard output."""

PROGRAM = "ensemble-1d"


class Console:
    """Where a command tells what it did.

    Args:
        as_json: Whether the result is one JSON document in place of text.
        is_quiet: Whether standard error hears of errors alone.

    Attributes:
        as_json: As given.
        is_quiet: As given.
    """

    def __init__(self, *, as_json: bool, is_quiet: bool) -> None:
        """Hold the standard output of this moment."""
        self.as_json = as_json
        self.is_quiet = is_quiet
        self._out: TextIO | None = sys.stdout
        self._is_taken = False

    @contextmanager
    def in_charge(self) -> Iterator[None]:
        """Let nothing but results reach standard output, and make warnings notes of one line."""
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.showwarning = self._warn
            yield

    def note(self, text: str) -> None:
        """Tell something beside the result, in one line on standard error."""
        if not self.is_quiet:
            tell("note", text)

    def result(self, text: str, document: Mapping[str, Any]) -> None:
        """Tell the result.

        Args:
            text: For people; goes to standard error where a file of the command took standard output.
            document: The same facts, for programs.
        """
        if self.as_json:
            import json  # the parser needs this module, and must load quickly

            self.write(json.dumps(_plain(document), allow_nan=False) + "\n")
        elif not self._is_taken:
            self.write(text + "\n")
        elif not self.is_quiet:
            sys.stderr.write(text + "\n")

    def write_file(self, content: bytes) -> None:
        """Write a file of the command to standard output, which is then taken."""
        self._is_taken = True
        self.write(content)

    def write(self, content: bytes | str) -> None:
        """Write to standard output: text as UTF-8, whatever the locale is."""
        if self._out is None:  # Closed by who started this process.
            return
        binary = getattr(self._out, "buffer", None)
        if binary is None:
            self._out.write(content if isinstance(content, str) else content.decode())
            return
        try:
            self._out.flush()
            rest = memoryview(content.encode() if isinstance(content, str) else content)
            while rest:  # Unbuffered, a call may write a part alone, and only the next says that the reader has gone.
                rest = rest[binary.write(rest) :]
            binary.flush()
        except BrokenPipeError:
            raise
        except OSError as error:
            leave_output(self._out)
            raise ArtifactError(f"cannot write to standard output: {error.strerror or error}; give a file") from error

    def is_terminal(self) -> bool:
        """Return whether standard output is a terminal, which binary content would spoil."""
        return self._out is not None and self._out.isatty()

    def _warn(self, message: Warning | str, *_: Any, **__: Any) -> None:
        """Tell a warning of the library, in place of `warnings.showwarning`."""
        if not self.is_quiet:
            tell("warning", str(message))


def tell(kind: str, text: str) -> None:
    """Write one line to standard error.

    Args:
        kind: "note", "warning" or "error".
        text: What to say; its lines are joined.
    """
    sys.stderr.write(f"{PROGRAM}: {kind}: {' '.join(text.split())}\n")


def stdin_bytes(what: str) -> bytes:
    """Return all of standard input.

    Args:
        what: What is expected there, for the message.

    Raises:
        InvalidInputError: If it is closed.
    """
    if sys.stdin is None:
        raise InvalidInputError(f"standard input is closed; pipe {what} in, or give a file")
    return sys.stdin.buffer.read()


def leave_output(out: TextIO) -> None:
    """Let what is still in the buffer of standard output go nowhere, without a word when Python ends.

    Args:
        out: Standard output.
    """
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, out.fileno())
    os.close(devnull)


def _plain(value: Any) -> Any:
    """Return a value as JSON can hold it: numbers of NumPy as Python's, and null for what is no finite number."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, str | int | None):
        return value
    return _plain(value.item()) if hasattr(value, "item") else str(value)
