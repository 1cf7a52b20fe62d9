"""Compile headers of integer programs with this machine's compilers, and run them on codes and on floats."""

import re
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from integer_strategies import float_rows

from ensemble_1d.export.c99 import c99_header
from ensemble_1d.ir import Program, descendants
from ensemble_1d.runtime import run_codes
from ensemble_1d.runtime_integer import quantize

WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-pedantic", "-Werror")
C99 = ("-std=c99", *WARNINGS)
CPP11 = ("-x", "c++", "-std=c++11", *WARNINGS)
SANITIZED = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")

_DRIVER = """\
#include <stdio.h>
#define PUT(what) if (fwrite(what, sizeof *(what), sizeof (what) / sizeof *(what), stdout) < 1) { return 1; }
#define VALUE(m, M)
#define CLASSES(m, M) { static uint16_t p[M##_N_CLASSES]; m##_predict_proba(q, p); PUT(p) }
#define MODEL(m, M, PROBABILITIES)                                                     \\
    static int run_##m(void)                                                           \\
    {                                                                                  \\
        static float x[M##_N_FEATURES];                                                \\
        static int16_t q[M##_N_CODES];                                                 \\
        static int32_t answer[1];                                                      \\
        int32_t n[2];                                                                  \\
        if (fread(n, sizeof n, 1, stdin) != 1) { return 1; }                           \\
        for (; n[0] > 0; n[0]--) {                                                     \\
            if (fread(q, sizeof q, 1, stdin) != 1) { return 1; }                       \\
            answer[0] = m##_predict(q);                                                \\
            PUT(answer)                                                                \\
            PROBABILITIES(m, M)                                                        \\
        }                                                                              \\
        for (; n[1] > 0; n[1]--) {                                                     \\
            if (fread(x, sizeof x, 1, stdin) != 1) { return 1; }                       \\
            m##_quantize_input(x, q);                                                  \\
            PUT(q)                                                                     \\
        }                                                                              \\
        return 0;                                                                      \\
    }
"""


class Case:
    """An integer program, rows of codes to answer, and rows of floats to turn into codes."""

    def __init__(self, program: Program, codes: np.ndarray, floats: np.ndarray) -> None:
        """Store them."""
        self.program, self.codes, self.floats = program, codes, floats

    def __repr__(self) -> str:
        """Return the nodes: hypothesis prints every case of a failure, and the arrays would bury it."""
        return f"Case({', '.join(type(node).__name__ for node in descendants(self.program.root))})"


def need(command: str) -> str:
    """Skip the test if a command is not installed."""
    if shutil.which(command) is None:
        pytest.skip(f"{command} is not installed")
    return command


def expected_bytes(case: Case) -> bytes:
    """Return what C must write for a case: answers and probabilities of the codes, then codes of the floats."""
    output = run_codes(case.program, case.codes)
    if case.program.classes is None:
        parts = [output.astype(np.int32)]
    else:
        parts = [output.argmax(axis=1).astype(np.int32)[:, np.newaxis], output.astype(np.uint16)]
    answers = np.hstack([np.ascontiguousarray(part).view(np.uint8) for part in parts])
    quantizer, _, _ = case.program.integer_parts()
    return answers.tobytes() + quantize(quantizer, case.floats).tobytes()


def _compile(folder: Path, line: Sequence[str], headers: dict[str, str], sources: dict[str, str]) -> None:
    """Write files to a folder and compile the sources, asserting that the compiler is content."""
    for name, text in (headers | sources).items():
        (folder / name).write_text(text, encoding="utf-8")
    done = subprocess.run([*line, *sources], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-4000:]


def _unit(cases: Sequence[Case], first: int) -> str:
    """Return a translation unit that includes every header, twice, and runs every other model from `first` on."""
    includes = "".join(f'#include "m{i}.h"\n' for i in range(len(cases))) * 2
    mine = range(first, len(cases), 2)
    models = [f"MODEL(m{i}, M{i}, {'VALUE' if cases[i].program.classes is None else 'CLASSES'})" for i in mine]
    calls = [f"run_m{i}()" for i in mine]
    head = "int second(void);\nint second(void)"
    if first == 0:
        head = "int second(void);\nint main(void)"
        calls.append("second()")
    body = "\n".join(models)
    return f"{includes}{_DRIVER}{body}\n{head}\n{{\n    return {' || '.join(calls) or '0'};\n}}\n"


def build_and_run(cases: Sequence[Case], compiler: str, flags: Sequence[str], layout: str) -> list[bytes]:
    """Return what C writes for each case; two translation units, of which each knows every model, are linked."""
    order = [*range(0, len(cases), 2), *range(1, len(cases), 2)]
    rows = [
        np.array([len(cases[i].codes), len(cases[i].floats)], np.int32).tobytes()
        + cases[i].codes.tobytes()
        + cases[i].floats.tobytes()
        for i in order
    ]
    headers = {f"m{i}.h": c99_header(case.program, f"m{i}", layout) for i, case in enumerate(cases)}
    with tempfile.TemporaryDirectory() as name:
        sources = {f"unit{first}.c": _unit(cases, first) for first in (0, 1)}
        _compile(Path(name), [compiler, *flags, "-o", "main"], headers, sources)
        ran = subprocess.run([Path(name) / "main"], input=b"".join(rows), capture_output=True, check=False)
    assert ran.returncode == 0, ran.stderr.decode()[-4000:]
    found, rest = {}, ran.stdout
    for i in order:
        size = len(expected_bytes(cases[i]))
        found[i], rest = rest[:size], rest[size:]
    assert not rest
    return [found[i] for i in range(len(cases))]


def assert_equal_in_c(cases: Sequence[Case], compiler: str, flags: Sequence[str], *, layout: str = "size") -> None:
    """Assert that C answers every row of every case as NumPy does, to the last bit."""
    for i, (case, found) in enumerate(zip(cases, build_and_run(cases, compiler, flags, layout), strict=True)):
        assert found == expected_bytes(case), f"model {i} differs"


def assert_predicts(programs, rows_of, layouts=("size",), compiler="gcc", flags=C99):
    """Assert that `predict` and `predict_proba` in C are those of NumPy, on the rows given for each program."""
    cases = [
        Case(each, np.asarray(rows_of(each), np.int16), float_rows(each.n_features, np.random.default_rng(0), 1))
        for each in programs
    ]
    for layout in layouts:
        assert_equal_in_c(cases, need(compiler), flags, layout=layout)


def check_compiles(text: str, compiler: str, flags: Sequence[str], *, headers: dict[str, str]) -> bytes:
    """Return the object code of a file that includes `headers`, after asserting that it compiles."""
    with tempfile.TemporaryDirectory() as name:
        _compile(Path(name), [compiler, *flags, "-o", "main.o", "-c"], headers, {"main.c": text})
        return (Path(name) / "main.o").read_bytes()


def undefined_symbols(object_code: bytes) -> list[str]:
    """Return what object code expects from elsewhere, as nm lists it."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "main.o"
        path.write_bytes(object_code)
        done = subprocess.run([need("nm"), "-u", path], capture_output=True, text=True, check=True)
    return re.findall(r"\bU\s+(\S+)", done.stdout)


def run_text(text: str, compiler: str, flags: Sequence[str], *, headers: dict[str, str]) -> bytes:
    """Return what a C program that includes `headers` writes."""
    with tempfile.TemporaryDirectory() as name:
        _compile(Path(name), [compiler, *flags, "-o", "main"], headers, {"main.c": text})
        return subprocess.run([Path(name) / "main"], capture_output=True, check=True).stdout
