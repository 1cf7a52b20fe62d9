"""Tables in Markdown, printed and kept beside the script that made them."""

import os
import platform
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

VERSIONS = ("numpy", "scikit-learn", "xgboost", "xgboost-cpu", "torch", "skorch")


def table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Return a Markdown table."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def publish(script: str, title: str, parts: Sequence[str]) -> None:
    """Print the parts and write them to the .md file of the same name, with versions and machine."""
    path = Path(script).resolve().with_suffix(".md")
    found = {name: _version(name) for name in VERSIONS}
    versions = ", ".join(f"{name} {number}" for name, number in found.items() if number)
    machine = f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    command = f"`python {path.with_suffix('.py').relative_to(Path(__file__).resolve().parents[1]).as_posix()}`"
    text = "\n\n".join([f"# {title}", f"{command} on {machine}; {versions}.", *parts]) + "\n"
    sys.stdout.write(text)
    path.write_text(text, encoding="utf-8")


def _version(name: str) -> str | None:
    """Return the version of an installed distribution."""
    try:
        return version(name)
    except PackageNotFoundError:
        return None
