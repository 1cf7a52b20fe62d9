"""The code blocks of a page: found by Sybil's lexer, and run in order in one folder.

A block of `python` shares its names with the others of its page; `bash` runs with `ensemble-1d` and `python` on the
PATH; `c` is compiled with warnings as errors. A block with a title is written to the file of that name instead. A block
of `text` right after one that runs is what that one prints, with ... for what may differ and any white space. A block
of anything else, or one that cannot run, has `<!-- not run: the reason -->` on the line above.
"""

import contextlib
import doctest
import io
import itertools
import os
import re
import stat
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sybil import Document
from sybil.parsers.markdown.lexers import RawFencedCodeBlockLexer

ROOT = Path(__file__).parents[1]
_INFO = re.compile(r'(?P<language>[^\s]*)(?: title="(?P<title>[^"]+)")?[ \t]*$\n', re.MULTILINE)
_NOT_RUN = re.compile(r"<!-- not run: (?P<reason>[^\n]+) -->\n\s*\Z")
_RUN = ("python", "bash", "c")


@dataclass(frozen=True, slots=True)
class Block:
    """One block.

    Attributes:
        page: Its file.
        line: The line of its fence.
        language: What its fence names, or "".
        title: The file that it is written to, or None.
        text: The code.
        reason: Why it is not run, or None.
        output: What it prints, or None where the page does not say.
    """

    page: Path
    line: int
    language: str
    title: str | None
    text: str
    reason: str | None
    output: str | None

    def __str__(self) -> str:
        """Return where it stands."""
        return f"{self.page.name}:{self.line}"


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page in order; those of `text` that show an output belong to the block before."""
    text = page.read_text(encoding="utf-8")
    blocks: list[Block] = []
    follows = 0  # Where the last block that runs has ended.
    for region in RawFencedCodeBlockLexer(_INFO)(Document(text, str(page))):
        language, title, code = (region.lexemes[name] for name in ("language", "title", "source"))
        reason = _NOT_RUN.search(text, 0, region.start)
        if language == "text" and reason is None and blocks and follows and not text[follows : region.start].strip():
            last = blocks.pop()
            block = Block(last.page, last.line, last.language, last.title, last.text, last.reason, str(code))
        else:
            line = text.count("\n", 0, region.start) + 1
            block = Block(page, line, language, title, str(code), reason["reason"] if reason else None, None)
        blocks.append(block)
        runs = block.reason is None and block.title is None and block.language in {"python", "bash"}
        follows = region.end if runs and block.output is None else 0
    return blocks


def is_known(block: Block) -> bool:
    """Return whether it is clear what becomes of a block: it is run, written, or marked."""
    return block.reason is not None or block.title is not None or block.language in _RUN


def run_blocks(blocks: list[Block], folder: Path) -> None:
    """Run the blocks of a page in a folder; one that fails, or prints something else, is an AssertionError."""
    names: dict[str, Any] = {"__name__": "__main__"}
    environment = _environment(folder.parent / f"{folder.name}-programs")
    with contextlib.chdir(folder):
        for block in blocks:
            if block.reason is not None:
                continue
            if block.title is not None:
                Path(block.title).write_text(block.text, encoding="utf-8")
            elif block.language == "python":
                _compare(block, _python(block, names))
            elif block.language == "bash":
                _compare(block, _finished(block, ["bash", "-euo", "pipefail", "-c", block.text], environment))
            elif block.language == "c":
                warnings = ["-std=c99", "-Wall", "-Wextra", "-Werror"]
                command = ["cc", *warnings, "-I.", "-fsyntax-only", "-x", "c", "-"]
                _finished(block, command, environment, read=block.text)
            else:
                raise AssertionError(f"{block} holds {block.language!r}: mark it as not run, with the reason")


def extras_of(page: Path) -> tuple[str, ...]:
    """Return the extras that the first installation on a page asks for."""
    found = re.search(r'pip install "ensemble-1d\[([\w,-]+)\]"', page.read_text(encoding="utf-8"))
    assert found, f"{page} installs nothing"
    return tuple(found[1].split(","))


def script_of(page: Path) -> str:
    """Return a page as one shell script: what its reader types, without the blocks that are not run.

    Blocks of Python share their names only where no other block stands between them.
    """
    parts = ["set -euo pipefail\n"]
    blocks = [block for block in blocks_of(page) if block.reason is None]
    for kind, group in itertools.groupby(blocks, key=lambda block: block.title or block.language):
        text = "".join(block.text for block in group)
        if kind == "bash":
            parts.append(text)
        elif kind == "python" or kind not in _RUN:
            reader = "python -" if kind == "python" else f"cat > '{kind}'"
            parts.append(f"{reader} <<'END OF BLOCK'\n{text}END OF BLOCK\n")
    return "".join(parts)


def _python(block: Block, names: dict[str, Any]) -> str:
    """Run a block in this process and return what it prints; a traceback has the line of the page."""
    printed = io.StringIO()
    code = compile("\n" * block.line + block.text, str(block.page), "exec")
    with contextlib.redirect_stdout(printed):
        exec(code, names)  # noqa: S102 -- our own pages
    return printed.getvalue()


def _finished(block: Block, command: list[str], environment: dict[str, str], *, read: str = "") -> str:
    """Run a command, which may read from the standard input, and return what it prints."""
    done = subprocess.run(
        command, input=read, capture_output=True, text=True, check=False, timeout=300, env=environment
    )
    assert done.returncode == 0, f"{block} failed with {done.returncode}:\n{done.stdout}{done.stderr}"
    return done.stdout


def _compare(block: Block, printed: str) -> None:
    """Hold the page to what its block printed."""
    if block.output is not None:
        rules = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
        same = doctest.OutputChecker().check_output(block.output, printed, rules)
        assert same, f"{block} shows\n{block.output}\nand printed\n{printed}"


def _environment(programs: Path) -> dict[str, str]:
    """Return an environment whose PATH begins with the commands of this package and this Python."""
    programs.mkdir(exist_ok=True)
    for name, arguments in {"ensemble-1d": "-m ensemble_1d ", "python": "", "python3": ""}.items():
        program = programs / name
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" {arguments}"$@"\n', encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    return os.environ | {"COLUMNS": "80", "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}", "PYTHONPATH": path}
