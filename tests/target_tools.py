"""What the tests marked `targets` need, cross compilers, emulators and CMake, and the Debian packages that bring them.

`python tests/target_tools.py` prints the packages that are missing, says on stderr which tool each of them brings, and
ends with 1 if there are any. It needs the standard library alone.
"""

import shutil
import subprocess
import sys
from pathlib import Path

TOOLS = {
    "arm-none-eabi-gcc": "gcc-arm-none-eabi",
    "qemu-system-arm": "qemu-system-arm",
    "avr-gcc": "gcc-avr",
    "cmake": "cmake",
    "simavr": "simavr",
    "riscv64-unknown-elf-gcc": "gcc-riscv64-unknown-elf",
    "qemu-system-riscv32": "qemu-system-misc",
    "qemu-system-riscv64": "qemu-system-misc",
}
AVR_LIBRARY = "avr-libc"


def missing() -> dict[str, str]:
    """Return what is not installed, with the Debian package of each."""
    absent = {tool: package for tool, package in TOOLS.items() if shutil.which(tool) is None}
    if "avr-gcc" not in absent and not finds("libc.a", "avr-gcc", "-mmcu=atmega2560"):
        absent[AVR_LIBRARY] = AVR_LIBRARY
    return absent


def finds(library: str, *compiler: str) -> bool:
    """Return whether a compiler finds a library, whose name it prints without a folder if not."""
    command = [*compiler, f"-print-file-name={library}"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return Path(found).is_absolute()


def main() -> int:
    """Print the missing packages, and to stderr the tools."""
    absent = missing()
    for tool, package in absent.items():
        sys.stderr.write(f"{tool} is not installed: apt-get install {package}\n")
    for package in sorted(set(absent.values())):
        sys.stdout.write(f"{package}\n")
    return 1 if absent else 0


if __name__ == "__main__":
    sys.exit(main())
