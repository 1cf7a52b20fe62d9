"""Build a header for a microcontroller, run it in an emulator, and read back what it answered."""

import re
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from c_harness import C99, Case, expected_bytes

SOURCES = Path(__file__).parent / "targets"
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


@dataclass(frozen=True)
class Board:
    """A processor, the flags that compile for it, and the emulator that stands in for it.

    Attributes:
        tools: Prefix of its compiler and of its nm.
        flags: What selects the processor.
        sources: Files of tests/targets that start it and give it input and output.
        link: What the linker needs beside them.
        emulator: The command that runs the file "program".
        helpers: What compiled integer code may call, as a pattern: nothing, or multiplication where there is none.
    """

    tools: str
    flags: tuple[str, ...]
    sources: tuple[str, ...]
    link: tuple[str, ...]
    emulator: tuple[str, ...]
    helpers: str = ""

    def compile(self, folder: Path, arguments: Sequence[str]) -> None:
        """Run the compiler in a folder, and assert that it is content."""
        line = [f"{self.tools}-gcc", *self.flags, *FREESTANDING, *arguments]
        done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]


def _qemu(system: str, machine: str) -> tuple[str, ...]:
    """Return the command that runs a machine with nothing but semihosting."""
    quiet = ("-display", "none", "-monitor", "none", "-serial", "none")
    semihosting = ("-semihosting-config", "enable=on,target=native")
    bios = ("-bios", "none") if system.startswith("riscv") else ()
    return (f"qemu-system-{system}", "-machine", machine, *quiet, *semihosting, *bios, "-kernel", "program")


def _cortex(cpu: str, machine: str, *flags: str) -> Board:
    """Return a Cortex-M."""
    return Board(
        tools="arm-none-eabi",
        flags=("-mthumb", f"-mcpu={cpu}", *flags),
        sources=("semihosting.c", "cortex_m.c"),
        link=("-nostdlib", f"-T{SOURCES / 'cortex_m.ld'}", "-lgcc"),
        emulator=_qemu("arm", machine),
    )


def _riscv(bits: int, architecture: str, abi: str) -> Board:
    """Return a RISC-V of 32 or 64 bits."""
    return Board(
        tools="riscv64-unknown-elf",
        flags=(f"-march={architecture}", f"-mabi={abi}", "-mcmodel=medany"),
        sources=("semihosting.c", "riscv_start.S"),
        link=("-nostdlib", f"-T{SOURCES / 'riscv.ld'}", "-lgcc"),
        emulator=_qemu(f"riscv{bits}", "virt"),
    )


BOARDS = {
    "cortex-m0": _cortex("cortex-m0", "microbit"),
    "cortex-m3": _cortex("cortex-m3", "mps2-an385"),
    "cortex-m4": _cortex("cortex-m4", "mps2-an386", "-mfloat-abi=soft"),
    "cortex-m4f": _cortex("cortex-m4", "mps2-an386", "-mfloat-abi=hard", "-mfpu=fpv4-sp-d16"),
    "atmega2560": Board(
        tools="avr",
        flags=("-mmcu=atmega2560",),
        sources=("atmega2560.c", "atmega2560_rows.S"),
        link=("-Wl,--defsym=__DATA_REGION_LENGTH__=7168",),  # 8 KB, of which 1 KB is left for the stack
        emulator=("simavr", "-m", "atmega2560", "-f", "16000000", "program"),
        helpers=r"__u?s?mul\w*si3|__(pro|epi)logue_\w+|__do_copy_data",
    ),
    "rv32imc": _riscv(32, "rv32imc", "ilp32"),
    "rv64imac": _riscv(64, "rv64imac", "lp64"),
}
"""Boards by name; every Cortex-M is linked for the memory of the smallest, 256 KB of flash and 16 KB of RAM."""


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


def _answers(board: Board, level: str, case: Case, header: str) -> bytes:
    """Return what a board writes for the rows of a case, as `c_harness.expected_bytes` lists it."""
    n_rows = np.array([len(case.codes), len(case.floats)], np.int32)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.h").write_text(header, encoding="utf-8")
        (folder / "rows.bin").write_bytes(n_rows.tobytes() + case.codes.tobytes() + case.floats.tobytes())
        sources = [str(SOURCES / source) for source in ("main.c", *board.sources)]
        board.compile(folder, [level, *sources, "-Wl,--gc-sections", *board.link, "-o", "program"])
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
        board.compile(folder, ["-fbuiltin", level, "-c", "integers.c", "-o", "integers.o"])
        line = [f"{board.tools}-nm", "-u", "integers.o"]
        listed = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True).stdout
    return [symbol for symbol in re.findall(r"\bU\s+(\S+)", listed) if not re.fullmatch(board.helpers, symbol)]
