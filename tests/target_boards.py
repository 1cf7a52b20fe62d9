"""Build a header for a microcontroller, run it in an emulator, and read back what it answered."""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from boards import SOURCES, Board
from c_harness import C99, Case, expected_bytes

FREESTANDING = (*C99, "-ffreestanding", "-ffunction-sections", "-fdata-sections", f"-I{SOURCES}", "-I.")
_TIMEOUT_SECONDS = 120

_INTEGERS = """\
#define MODEL_NO_FLOAT
#include "model.h"
int32_t answer(const int16_t *q);
int32_t answer(const int16_t *q)
{
    return model_predict(q);
}
#ifdef MODEL_N_CLASSES
void probabilities(const int16_t *q, uint16_t *p);
void probabilities(const int16_t *q, uint16_t *p)
{
    model_predict_proba(q, p);
}
#endif
"""
"""All that a header can do without floats, and nothing else."""


def different_rows(board: Board, level: str, case: Case, header: str) -> int:
    """Return for how many rows of a case a board gives another answer, probability or code than NumPy.

    Args:
        board: The board.
        level: Level of optimization.
        case: A program and its rows.
        header: The header of the program.

    Returns:
        The number of rows, of codes and of floats.
    """
    found, expected = _answers(board, level, case, header), expected_bytes(case)
    assert len(found) == len(expected)
    n_bytes = len(expected) - 2 * len(case.floats) * case.program.integer_parts()[0].n_columns
    differs = np.frombuffer(found, np.uint8) != np.frombuffer(expected, np.uint8)
    of_codes = differs[:n_bytes].reshape(len(case.codes), -1)
    of_floats = differs[n_bytes:].reshape(len(case.floats), -1)
    return int(of_codes.any(axis=1).sum() + of_floats.any(axis=1).sum())


def _compile(board: Board, folder: Path, arguments: Sequence[str]) -> None:
    """Run the compiler in a folder, and assert that it is content."""
    line = [f"{board.tools}-gcc", *board.flags, *FREESTANDING, *arguments]
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def _build(board: Board, level: str, case: Case, header: str, folder: Path) -> None:
    """Build the program that answers the rows of a case, as "program" in a folder."""
    n_rows = np.array([len(case.codes), len(case.floats)], np.int32)
    (folder / "model.h").write_text(header, encoding="utf-8")
    (folder / "rows.bin").write_bytes(n_rows.tobytes() + case.codes.tobytes() + case.floats.tobytes())
    sources = [str(SOURCES / source) for source in ("main.c", *board.sources)]
    _compile(board, folder, [level, *sources, "-Wl,--gc-sections", *board.link, "-o", "program"])


def placed(board: Board, level: str, case: Case, header: str) -> dict[str, tuple[int, int]]:
    """Return where every object and function of the linked program lies, and how many bytes it has."""
    with tempfile.TemporaryDirectory() as name:
        _build(board, level, case, header, Path(name))
        line = [f"{board.tools}-nm", "--print-size", "program"]
        listed = subprocess.run(line, cwd=name, capture_output=True, text=True, check=True).stdout
    found = re.findall(r"^(\w+) (?:(\w{8}) )?\w (\S+)$", listed, re.MULTILINE)
    return {symbol: (int(address, 16), int(size or "0", 16)) for address, size, symbol in found}


def _answers(board: Board, level: str, case: Case, header: str) -> bytes:
    """Return what a board writes for the rows of a case, as `c_harness.expected_bytes` lists it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        _build(board, level, case, header, folder)
        done = subprocess.run(
            board.emulator,
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=_TIMEOUT_SECONDS,
        )
        assert done.returncode == 0, f"status {done.returncode}: {done.stdout[-2000:]!r}"
        if (folder / "answers.bin").exists():
            return (folder / "answers.bin").read_bytes()
    return bytes.fromhex(b"".join(re.findall(rb":([0-9a-f]{2})\.", done.stdout)).decode())


def foreign_calls(board: Board, level: str, header: str) -> list[str]:
    """Return what the integer functions of a header call that is neither their own nor among the board's helpers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.h").write_text(header, encoding="utf-8")
        (folder / "integers.c").write_text(_INTEGERS, encoding="utf-8")
        # A compiler that knows the C library calls it for loops that it recognises, as most users' does.
        _compile(board, folder, ["-fbuiltin", level, "-c", "integers.c", "-o", "integers.o"])
        line = [f"{board.tools}-nm", "-u", "integers.o"]
        listed = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True).stdout
    return [symbol for symbol in re.findall(r"\bU\s+(\S+)", listed) if not re.fullmatch(board.helpers, symbol)]
