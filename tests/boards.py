"""Microcontrollers: what compiles for each, what starts it, and the emulator that stands in for it."""

from dataclasses import dataclass
from pathlib import Path

SOURCES = Path(__file__).parent / "targets"


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
        helpers=r"__u?s?mul\w*si3|__(pro|epi)logue_\w+",  # not __do_copy_data: every table stays in flash
    ),
    "rv32imc": _riscv(32, "rv32imc", "ilp32"),
    "rv64imac": _riscv(64, "rv64imac", "lp64"),
}
"""Boards by name; every Cortex-M is linked for the memory of the smallest, 256 KB of flash and 16 KB of RAM."""
