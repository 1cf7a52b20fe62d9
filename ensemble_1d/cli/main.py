"""main: run one command, and turn whatever happens into an exit code and at most one line."""

import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING

from ensemble_1d.cli.console import Console, leave_output, tell
from ensemble_1d.cli.parser import parsed
from ensemble_1d.errors import EnsembleError, MissingBackendError

if TYPE_CHECKING:
    import argparse

DONE, BAD_INPUT, USAGE, MISSING_PACKAGE, FAULT, INTERRUPTED, CLOSED_PIPE = 0, 1, 2, 3, 4, 130, 141
"""The exit codes that `--help` explains; the last two are those of shells."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: Arguments without the name of the program; None is those of this process.

    Returns:
        The exit code.

    Example:
        >>> main(["--version"])  # doctest: +ELLIPSIS
        ensemble-1d ...
        0
    """
    try:
        code = _answered(argv)
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        leave_output(sys.stdout)
        return CLOSED_PIPE
    except OSError as error:
        tell("error", f"cannot write to standard output: {error.strerror or error}")
        leave_output(sys.stdout)
        return BAD_INPUT
    return code


def _answered(argv: Sequence[str] | None) -> int:
    """Return the exit code of a command line, after telling what went wrong."""
    try:
        arguments = parsed(None if argv is None else list(argv))
    except SystemExit as done:
        return int(done.code or 0)
    try:
        _run(arguments)
    except BrokenPipeError:
        raise
    except KeyboardInterrupt:
        tell("error", "interrupted; nothing was left half-written")
        code = INTERRUPTED
    except MissingBackendError as error:
        code = _failed(error, MISSING_PACKAGE, arguments)
    except EnsembleError as error:
        code = _failed(error, BAD_INPUT, arguments)
    except ModuleNotFoundError as error:
        said = f"{error.name} is not installed. Install what is missing with: pip install ensemble-1d"
        code = _failed(error, MISSING_PACKAGE, arguments, said)
    except MemoryError as error:
        code = _failed(error, BAD_INPUT, arguments, "there is not enough memory; give fewer rows, or a smaller model")
    except Exception as error:
        said = f"unexpected {type(error).__name__}: {error}"
        code = _failed(error, FAULT, arguments, f"{said}; this is a fault of ensemble-1d: --debug shows where")
    else:
        return DONE
    return code


def _run(arguments: "argparse.Namespace") -> None:
    """Run a command with a console in charge."""
    console = Console(as_json=arguments.as_json, is_quiet=arguments.quiet)
    # A command loads NumPy and what else it needs, which the help of none does.
    command = import_module(f"ensemble_1d.cli.{arguments.command}")
    with console.in_charge():
        command.run(arguments, console)


def _failed(error: BaseException, code: int, arguments: "argparse.Namespace", text: str | None = None) -> int:
    """Tell an error in one line, with its traceback before it if that was asked for."""
    if arguments.debug:
        import traceback  # for --debug alone

        traceback.print_exception(error)
    tell("error", str(error) if text is None else text)
    return code
