"""Bytes, stack, and instructions or cycles of one output on one processor, exactly, in an emulator.

Every figure is that of a linked program less that of the same program with a stub in place of the model. Instructions
are counted by a plugin of QEMU between two marks, cycles by two timers of the ATmega, which simavr runs exactly.
"""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from boards import SOURCES
from kept import kept
from outputs import Output
from targets import C, Target, versions
from workloads import Rows

from ensemble_1d._compiler import find_compiler

_TIMEOUT_SECONDS = 900
_LEAST_STACK = 512
_RECORD_BYTES = 12
_C_TYPES = {"float64": "double", "float32": "float", "int16": "int16_t", "int8": "int8_t"}
_COMMON = ("-w", "-ffunction-sections", "-fdata-sections", "-I.", f"-I{C}", f"-I{SOURCES}")
_LINK = ("-Wl,--gc-sections", "-Wl,-u,memcpy,-u,memset")
"""The two functions that most programs hold anyway are in every one, lest a model pay for them."""
_LANGUAGES = {
    ".c": ("-std=gnu99",),
    ".cpp": ("-std=gnu++11", "-fno-exceptions", "-fno-rtti", "-fno-threadsafe-statics"),
}

_ENTRY = """\
#ifndef ENTRY_H
#define ENTRY_H
#include <stdint.h>
typedef {input} edge_input;
typedef {output} edge_output;
#define EDGE_N_INPUTS {n_inputs}
#ifdef __cplusplus
extern "C"
#endif
edge_output edge_predict(const edge_input *x);
#endif
"""


@dataclass(frozen=True, slots=True)
class Interface:
    """C types of what goes in, how many of them, and of what comes out."""

    input: str
    n_inputs: int
    output: str


@dataclass(frozen=True, slots=True)
class Weight:
    """Bytes of flash (code, tables, initial values) and of static RAM."""

    flash: int
    ram: int


@dataclass(frozen=True, slots=True, eq=False)
class Run:
    """What a program did: its deepest stack, instructions or cycles of each row, and four bytes of answer for each."""

    stack: int
    counts: npt.NDArray[np.int64]
    answers: bytes


@dataclass(frozen=True, slots=True, eq=False)
class Figures:
    """What one output costs on one target; what is missing, the obstacle explains."""

    weight: Weight | None = None
    run: Run | None = None
    obstacle: str = ""


def measure(output: Output, target: Target) -> Figures:
    """Return what an output costs; one that cannot run says why."""
    rows = output.rows[: target.most_rows]
    answer = "float" if output.expected.dtype.kind == "f" and not output.step else "int32_t"
    interface = Interface(_C_TYPES[str(rows.dtype)], rows.shape[1], answer)
    if interface.input == "double":
        rows = rows.astype(target.double)
    weight, run = _stub(target, interface, str(rows.dtype), rows.tobytes())
    found = _run(output.folder, target, interface, rows)
    return Figures(
        found.weight and Weight(found.weight.flash - weight.flash, found.weight.ram - weight.ram),
        found.run and replace(found.run, stack=found.run.stack - run.stack, counts=found.run.counts - run.counts),
        found.obstacle,
    )


@cache
def _stub(target: Target, interface: Interface, dtype: str, rows: bytes) -> tuple[Weight, Run]:
    """Return what a program costs whose model knows nothing."""
    with tempfile.TemporaryDirectory() as name:
        shutil.copy(C / "stub.c", name)
        found = _run(Path(name), target, interface, np.frombuffer(rows, dtype).reshape(-1, interface.n_inputs))
    if found.weight is None or found.run is None:
        raise SystemExit(f"{target.name}: a program without a model does not run: {found.obstacle}")
    return found.weight, found.run


def _run(sources: Path, target: Target, interface: Interface, rows: Rows) -> Figures:
    """Return the figures of a program as a whole, measured now or before."""

    def compute() -> dict[str, Any]:
        found = _measured(sources, target, interface, rows)
        run = found.run and {
            **asdict(found.run),
            "counts": found.run.counts.tolist(),
            "answers": found.run.answers.hex(),
        }
        return {"weight": found.weight and asdict(found.weight), "run": run, "obstacle": found.obstacle}

    how = repr((target, interface)).replace(str(C), "")
    parts = (Path(__file__), sources, C, SOURCES, how, versions(target), rows.tobytes())
    found = kept(parts, compute)
    weight, run = found["weight"], found["run"]
    return Figures(
        weight and Weight(**weight),
        run and Run(run["stack"], np.array(run["counts"], np.int64), bytes.fromhex(run["answers"])),
        found["obstacle"],
    )


def _measured(sources: Path, target: Target, interface: Interface, rows: Rows) -> Figures:
    """Build a program in a folder of its own, weigh it, and run it if the part can hold it."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copytree(sources, folder, dirs_exist_ok=True)
        (folder / "entry.h").write_text(_ENTRY.format(**asdict(interface)), encoding="utf-8")
        (folder / "rows.bin").write_bytes(np.int32(len(rows)).tobytes() + rows.tobytes())
        if obstacle := _build(folder, target):
            return Figures(obstacle=obstacle)
        weight = _weigh(folder, target)
        if weight.flash > target.flash_bytes:
            return Figures(weight, obstacle="does not fit the flash")
        if weight.ram + _LEAST_STACK > target.ram_bytes:
            return Figures(weight, obstacle="does not fit the RAM")
        return _emulate(folder, target, weight, len(rows))


def _build(folder: Path, target: Target) -> str:
    """Compile and link; return what the compiler says if it refuses."""
    board = target.board
    own = [C / "measure.c", C / target.marks, *(SOURCES / each for each in board.sources)]
    objects = []
    for number, source in enumerate([*own, *sorted(folder.glob("*.c")), *sorted(folder.glob("*.cpp"))]):
        compiler = f"{board.tools}-{'g++' if source.suffix == '.cpp' else 'gcc'}"
        objects.append(f"{number}.o")
        how = [*board.flags, target.level, *_COMMON, *_LANGUAGES.get(source.suffix, ())]
        if said := _failure([compiler, *how, "-c", str(source), "-o", objects[-1]], folder):
            return f"does not compile: {said}"
    line = [f"{board.tools}-gcc", *board.flags, *objects, *_LINK, *target.link, "-o", "program"]
    said = _failure(line, folder)
    return said and f"does not link: {said}"


def _failure(line: Sequence[str], folder: Path) -> str:
    """Return the first error of a command, or nothing."""
    done = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return ""
    errors = [each for each in done.stderr.splitlines() if re.search(r"error: |region|truncated|undefined", each)]
    return (errors or done.stderr.splitlines() or ["no message"])[0].rpartition("error: ")[2]


def _weigh(folder: Path, target: Target) -> Weight:
    """Return what the linked program takes."""
    line = [f"{target.board.tools}-size", "program"]
    said = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True).stdout
    text, data, bss = map(int, said.splitlines()[1].split()[:3])
    return Weight(text + data, data + bss)


def _emulate(folder: Path, target: Target, weight: Weight, n_rows: int) -> Figures:
    """Run a program on its rows."""
    line = list(target.board.emulator)
    if target.unit == "instructions":
        line += ["-plugin", _counting(folder, target)]
    try:
        done = subprocess.run(
            line, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=_TIMEOUT_SECONDS
        )
    except subprocess.TimeoutExpired:
        return Figures(weight, obstacle=f"takes more than {_TIMEOUT_SECONDS} s to emulate")
    if target.unit == "instructions":
        written = (folder / "answers.bin").read_bytes() if (folder / "answers.bin").exists() else b""
    else:
        written = bytes.fromhex(b"".join(re.findall(rb":([0-9a-f]{2})\.", done.stdout + done.stderr)).decode())
    if len(written) != _RECORD_BYTES * n_rows:
        return Figures(weight, obstacle=f"faults in row {len(written) // _RECORD_BYTES + 1}")
    record = np.frombuffer(written, np.uint32).reshape(n_rows, 3)
    counts = record[:, 1].astype(np.int64)
    if target.unit == "instructions":
        counts = np.loadtxt(folder / "counts.txt", dtype=np.int64, ndmin=1)
    return Figures(weight, Run(int(record[:, 2].max()), counts, record[:, 0].tobytes()))


def _counting(folder: Path, target: Target) -> str:
    """Return the argument that makes QEMU count between the marks of a program."""
    line = [f"{target.board.tools}-nm", "program"]
    symbols = subprocess.run(line, cwd=folder, capture_output=True, text=True, check=True).stdout
    first, last = (re.findall(rf"^(\w+) \w measure_{mark}$", symbols, re.MULTILINE)[0] for mark in ("begin", "end"))
    return f"{_plugin(target.board.emulator[0])},first=0x{first},last=0x{last},lines=counts.txt"


@cache
def _plugin(emulator: str) -> Path:
    """Return the plugin, compiled for this emulator."""
    said = subprocess.run([emulator, "--version"], capture_output=True, text=True, check=True).stdout
    major = int(re.findall(r"version (\d+)", said)[0])
    # The five functions it calls are the same in every version; QEMU 9 refuses plugins that name a version below 2.
    flags = ["-O2", "-shared", "-fPIC", f"-DPLUGIN_VERSION={1 if major < 9 else 2}"]
    path = Path(tempfile.mkdtemp(prefix="edge-plugin-")) / "count_instructions.so"
    subprocess.run([*find_compiler(), *flags, C / "count_instructions.c", "-o", path], check=True)
    return path
