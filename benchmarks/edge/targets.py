"""The processors that outputs are measured on: how to compile for each, what counts there, and how much it holds."""

import shutil
import subprocess
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

from boards import BOARDS, Board
from target_tools import AVR_LIBRARY, TOOLS, finds

C = Path(__file__).resolve().parent / "c"
_C_LIBRARIES = {"arm-none-eabi": ("libc_nano.a", "libnewlib-arm-none-eabi"), "avr": ("libc.a", AVR_LIBRARY)}


@dataclass(frozen=True)
class Target:
    """A processor, how to compile for it, and how much it holds.

    Attributes:
        name: Processor and level of optimization.
        board: What compiles, starts and emulates it.
        level: Level of optimization.
        marks: The file with its two marks.
        link: What the linker needs.
        unit: What is counted: "instructions" or "cycles".
        flash_bytes: What the part has.
        ram_bytes: What the part has, stack included.
        most_rows: How many rows it answers at the most.
        double: What C's double is there.
    """

    name: str
    board: Board
    level: str
    marks: str
    link: tuple[str, ...]
    unit: str
    flash_bytes: int
    ram_bytes: int
    most_rows: int
    double: str = "float64"

    @property
    def tools(self) -> tuple[str, ...]:
        """Every program it needs."""
        return (f"{self.board.tools}-gcc", self.board.emulator[0])


def _cortex(name: str, board: Board, level: str, kilobytes: tuple[int, int], cpu: str = "") -> Target:
    """Return a Cortex-M with so much flash and RAM; code for another processor may run on the board."""
    flash_bytes, ram_bytes = (1024 * each for each in kilobytes)
    if cpu:
        board = replace(board, flags=tuple(f"-mcpu={cpu}" if "-mcpu=" in flag else flag for flag in board.flags))
    libraries = ("-nostartfiles", "--specs=nano.specs", "-lm")
    link = (*libraries, f"-T{C / 'cortex_m.ld'}", f"-Wl,--defsym=ram_bytes={ram_bytes}")
    return Target(name, board, level, "cortex_m_marks.c", link, "instructions", flash_bytes, ram_bytes, 10_000)


# Whatever compiles is linked, to be weighed; what the part cannot hold is not run.
_AVR_LINK = ("-Wl,--defsym=__DATA_REGION_LENGTH__=0xf000", "-Wl,--defsym=__TEXT_REGION_LENGTH__=0x200000", "-lm")

TARGETS = (
    _cortex("Cortex-M0+ -Os", BOARDS["cortex-m0"], "-Os", (256, 16), "cortex-m0plus"),
    _cortex("Cortex-M0+ -O2", BOARDS["cortex-m0"], "-O2", (256, 16), "cortex-m0plus"),
    _cortex("Cortex-M4F -O2", BOARDS["cortex-m4f"], "-O2", (1024, 64)),
    Target(
        "ATmega2560 -Os",
        BOARDS["atmega2560"],
        "-Os",
        "atmega2560_marks.c",
        _AVR_LINK,
        "cycles",
        256 * 1024,
        8 * 1024,
        50,
        "float32",
    ),
)


def missing_packages(target: Target) -> dict[str, str]:
    """Return what a target needs and this machine lacks, with the Debian package of each."""
    absent = {tool: TOOLS[tool] for tool in target.tools if shutil.which(tool) is None}
    compiler = target.tools[0]
    for tools, (library, package) in _C_LIBRARIES.items():
        if tools == target.board.tools and compiler not in absent and not finds(library, compiler, *target.board.flags):
            absent[library] = package
    return absent


@cache
def versions(target: Target) -> str:
    """Return what compiler and emulator say of themselves."""
    lines = ([target.tools[0], "--version"], [target.tools[1], "--version" if "qemu" in target.tools[1] else "--help"])
    return "".join(subprocess.run(line, capture_output=True, text=True, check=False).stdout for line in lines)
