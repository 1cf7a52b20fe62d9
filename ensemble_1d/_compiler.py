"""The system's C compiler: find it, run it, and say clearly what went wrong."""

import os
import shlex
import shutil
import subprocess  # nosec B404
from collections.abc import Sequence
from pathlib import Path

from ensemble_1d.errors import CompilerError

_CANDIDATES = ("cc", "gcc", "clang")


def find_compiler() -> list[str]:
    """Return the command of a C compiler: the CC variable if it is set, else the first of cc, gcc and clang.

    Raises:
        CompilerError: If there is none.
    """
    chosen = os.environ.get("CC", "").strip()
    if chosen:
        try:
            command = shlex.split(chosen)
        except ValueError:  # an open quotation
            command = [chosen]
        if shutil.which(command[0]):
            return command
        raise CompilerError(f"the variable CC names {chosen!r}, which is not on the PATH; correct it or unset it")
    for candidate in _CANDIDATES:
        if shutil.which(candidate):
            return [candidate]
    remedy = "install one (Debian: apt-get install gcc; macOS: xcode-select --install) or set CC"
    raise CompilerError(f"no C compiler found (tried {', '.join(_CANDIDATES)}); {remedy}")


def compile_c(command: Sequence[str], flags: Sequence[str], sources: Sequence[Path], output: Path) -> None:
    """Compile C files to an executable.

    Args:
        command: The compiler, from `find_compiler`.
        flags: Its options.
        sources: Files to compile.
        output: The executable to write.

    Raises:
        CompilerError: If the compiler fails; the message ends with what it said.
    """
    line = [*command, *flags, *map(str, sources), "-o", str(output)]
    # No shell, and no text from outside: the compiler the user chose, our own files and options.
    done = subprocess.run(line, capture_output=True, text=True, check=False)  # noqa: S603  # nosec B603
    if done.returncode:
        raise CompilerError(f"{shlex.join(line)} failed with exit status {done.returncode}:\n{done.stderr[-4000:]}")
