"""Build the sketch of an exported Arduino library as the IDE does, with a stand-in for its core, and run it."""

import re
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

CORE = Path(__file__).parent / "arduino"
FLAGS = (
    "-std=gnu++11",
    "-Os",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffunction-sections",
    "-fdata-sections",
    "-fno-exceptions",
)
_TIMEOUT_SECONDS = 60


@dataclass(frozen=True)
class Board:
    """A board that runs sketches.

    Attributes:
        compiler: Its C++ compiler.
        flags: What selects the processor, and sets the limits of its memory.
        emulator: The command that runs the file "sketch"; none on this machine.
    """

    compiler: str
    flags: tuple[str, ...]
    emulator: tuple[str, ...] = ()


def _avr(processor: str, flash: int, ram: int) -> Board:
    """Return an AVR with so many bytes for the program, and for what is no stack."""
    limits = (f"-Wl,--defsym=__TEXT_REGION_LENGTH__={flash}", f"-Wl,--defsym=__DATA_REGION_LENGTH__={ram}")
    return Board("avr-g++", (f"-mmcu={processor}", *limits), ("simavr", "-m", processor, "-f", "16000000", "sketch"))


HOST = Board("g++", ())
AVR = {"uno": _avr("atmega328p", 32256, 2048 - 512), "mega": _avr("atmega2560", 253952, 8192 - 1024)}
"""Boards without the flash that their boot loaders take, and without half a kilobyte of RAM or more for the stack."""


def run_sketch(predictor, board, *, row=None, layout="size", change=("", "")):
    """Return the lines that the exported sketch prints.

    Args:
        predictor: An integer predictor.
        board: Where it runs.
        row: As in `export_arduino`.
        layout: As in `export_arduino`.
        change: A text in the sketch and what takes its place.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = predictor.export_arduino(folder / "Library", "model", layout=layout, row=row)
        sketch = (library / "examples/modelDemo/modelDemo.ino").read_text(encoding="utf-8")
        assert change[0] in sketch
        # The IDE puts this line before a sketch.
        text = f"#include <Arduino.h>\n{sketch.replace(*change)}"
        (folder / "sketch.cpp").write_text(text, encoding="utf-8")
        sources = ["sketch.cpp", str(CORE / "main.cpp")]
        include = [f"-I{CORE}", f"-I{library / 'src'}"]
        line = [board.compiler, *FLAGS, *board.flags, *include, *sources, "-Wl,--gc-sections", "-o", "sketch"]
        done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-4000:]
        done = subprocess.run(
            board.emulator or ["./sketch"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=_TIMEOUT_SECONDS,
        )
    printed = done.stdout.decode()
    assert done.returncode == 0, printed[-2000:]
    # simavr prints lines in green, with a dot for the line's end.
    return re.findall(r"\x1b\[32m(.*?)\.\s*$", printed, re.MULTILINE) if board.emulator else printed.splitlines()
