"""What `make test-targets` says where cross compilers and emulators are missing."""

import subprocess
import sys
from pathlib import Path

import target_tools

SCRIPT = Path(__file__).parent / "target_tools.py"


def test_missing_tools_are_named_with_their_packages(tmp_path):
    """Packages go to stdout, for apt-get; each tool and what brings it to stderr; and the status is 1."""
    done = subprocess.run(
        [sys.executable, SCRIPT], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stdout.split() == sorted(set(target_tools.TOOLS.values()))
    assert "simavr is not installed: apt-get install simavr\n" in done.stderr
    assert len(done.stderr.splitlines()) == len(target_tools.TOOLS)


def test_a_compiler_without_its_library_is_not_enough(tmp_path):
    """avr-gcc prints the bare name of a library that it does not find."""
    for tool in target_tools.TOOLS:
        (tmp_path / tool).write_text("#!/bin/sh\necho libc.a\n", encoding="utf-8")
        (tmp_path / tool).chmod(0o755)
    done = subprocess.run(
        [sys.executable, SCRIPT], env={"PATH": str(tmp_path)}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout) == (1, "avr-libc\n")
