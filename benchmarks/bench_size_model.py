"""The size model beside linked programs: bytes of flash of `predict`, predicted from the header and measured.

`--fit` fits the bytes of each operation to the programs measured, for every target, and prints them for
`ensemble_1d/export/size_model.py`. It needs the cross compilers of Debian's gcc-arm-none-eabi, gcc-avr and
gcc-riscv64-unknown-elf.
"""

import argparse
import pprint
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from bench_flash import PROGRAM, models
from scipy.optimize import lsq_linear
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.model_selection import train_test_split
from tables import publish, table

from ensemble_1d import BaseModel, Predictor, RandomForestModel, XGBoostModel
from ensemble_1d.export.size_model import KERNELS, OPERATIONS, SPLITS, counted, size_of

FLAGS = ("-std=c99", "-Os", "-ffreestanding", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")
TARGETS = {
    "cortex-m0plus": ("arm-none-eabi", "-mcpu=cortex-m0plus", "-mthumb", "-nostartfiles"),
    "cortex-m4": ("arm-none-eabi", "-mcpu=cortex-m4", "-mthumb", "-nostartfiles"),
    "rv32imc": ("riscv64-unknown-elf", "-march=rv32imc", "-mabi=ilp32", "-nostdlib"),
    "atmega2560": ("avr", "-mmcu=atmega2560", "-nostartfiles", "-Wl,-e,_start"),
}
LAYOUTS: Any = ("size", "balanced", "speed")


def headers() -> Iterator[tuple[tuple[str, str, str, str], str]]:
    """Yield what each header is, and the header: the usual workloads, and further trees as branches, of many shapes."""
    for data, load in (("cancer", load_breast_cancer), ("digits", load_digits)):
        X, y = load(return_X_y=True)
        X_train, _, y_train, _ = train_test_split(X.astype(np.float32), y, test_size=0.3, random_state=0)
        for title, model in models():
            predictor = Predictor(model.fit(X_train, y_train).program())
            is_large = data == "digits" and ("50 x" in title or "100 x" in title or "three" in title)
            n_layouts = 1 if "network" in title else 2 if is_large else 3  # branches of 100 KB compile for minutes
            for mode in ("int8", "int4") if "network" in title else ("int8",):
                yield from _headers((data, f"{title}, {mode}"), predictor, X_train, mode, LAYOUTS[:n_layouts])
    for load in (load_breast_cancer, load_wine, load_diabetes):
        X, y = load(return_X_y=True)
        for title, model in _shapes("regression" if load is load_diabetes else "classification"):
            rows = X.astype(np.float32)
            predictor = Predictor(model.fit(rows, y).program())
            yield from _headers((load.__name__[5:], f"{title}, int8"), predictor, rows, "int8", ("speed",))


def _shapes(task: Any) -> Iterator[tuple[str, BaseModel]]:
    """Yield trees of other numbers and depths."""
    for n, depth in ((5, 6), (20, 5), (30, 9)):
        model = RandomForestModel(task=task, n_estimators=n, max_depth=depth, random_state=1)
        yield f"forest, {n} x depth {depth}", model
    for n, depth in ((20, 3), (50, 5)):
        yield f"boosting, {n} x depth {depth}", XGBoostModel(task=task, n_estimators=n, max_depth=depth, random_state=1)


def _headers(
    key: tuple[str, str], predictor: Predictor, X: npt.NDArray[np.float32], mode: Any, layouts: Any
) -> Iterator[tuple[tuple[str, str, str, str], str]]:
    """Yield the headers of a model with compact and with exact codes."""
    for codes in ("compact", "exact"):
        quantized = predictor.quantize(mode, X, compact=codes == "compact")
        for layout in layouts:
            yield (*key, codes, layout), quantized.c_source(layout=layout)


def linked(header: str, target: str) -> int:
    """Return the bytes of flash that the header adds to a program, or 0 where it does not fit the target."""
    whole = _linked(header, target, "model_predict((const int16_t *)codes)")
    return whole - _stub(target) if whole else 0


@cache
def _stub(target: str) -> int:
    """Return the bytes of a program without a model."""
    return _linked("#include <stdint.h>\n#define MODEL_N_CODES 1\n", target, "codes[0]")


def _linked(header: str, target: str, call: str) -> int:
    """Return the bytes of flash of a program, or 0 where it does not fit the target."""
    tools, *flags = TARGETS[target]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.h").write_text(header)
        (folder / "main.c").write_text(PROGRAM.replace("CALL", call))
        line = [f"{tools}-gcc", *FLAGS, *flags, "-o", "main", "main.c", "-lgcc"]
        done = subprocess.run(line, cwd=folder, check=False, capture_output=True, text=True)
        if done.returncode and target == "atmega2560":
            return 0
        done.check_returncode()
        found = subprocess.run([f"{tools}-size", "main"], cwd=folder, check=True, capture_output=True, text=True)
        text, data, *_ = found.stdout.splitlines()[1].split()
        return int(text) + int(data)


def fitted(rows: list[tuple[str, int]]) -> dict[str, float]:
    """Return the bytes of each operation that make the relative errors of all headers least.

    Branches are fitted last, to what is left of headers that have them: compilers move and merge them, and their large
    errors would spoil the rest.
    """
    sizes = np.array([size for _, size in rows], float)
    counts = [counted(header, "model") for header, _ in rows]
    left = sizes - [tables for tables, _, _ in counts]
    is_branched = np.array([operations["split"] > 0 for _, operations, _ in counts])
    found: dict[str, float] = {}
    for names, chosen in (((*OPERATIONS, *KERNELS), ~is_branched), (SPLITS, is_branched)):
        used = np.flatnonzero(chosen & (sizes > 0))
        matrix = np.array([[operations[each] for each in names] for _, operations, _ in counts], float)
        best = lsq_linear(matrix[used] / sizes[used, np.newaxis], left[used] / sizes[used], (0, np.inf)).x
        left -= matrix @ best
        found |= {each: round(float(value), 2) for each, value in zip(names, best, strict=True)}
    return found


def main() -> None:
    """Compare, or fit."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fit", action="store_true", help="print the coefficients in place of the table")
    is_fit = parser.parse_args().fit
    every = list(headers())
    measured = {target: [(header, linked(header, target)) for _, header in every] for target in TARGETS}
    if is_fit:
        found = {target: fitted(rows) for target, rows in measured.items()}
        sys.stdout.write(pprint.pformat(found, sort_dicts=False) + "\n")
        return
    lines: list[list[object]] = []
    errors: dict[tuple[str, str], list[float]] = {}
    for i, ((data, title, codes, layout), header) in enumerate(every):
        cells = []
        for target, rows in measured.items():
            flash, predicted = rows[i][1], size_of(header, "model", target).flash
            if flash:
                errors.setdefault((layout, target), []).append(abs(predicted / flash - 1))
            cells.append(f"{flash} ({predicted / flash - 1:+.1%})" if flash else "does not fit")
        lines.append([data, title, codes, layout, *cells])
    summary = [
        [layout, *(f"{max(errors[layout, target]):.1%}, {np.median(errors[layout, target]):.1%}" for target in TARGETS)]
        for layout in LAYOUTS
    ]
    text = "Bytes of flash at -Os, and the error of the size model; at the end the largest and the median error."
    blocks = [text, table(["data", "model", "codes", "layout", *TARGETS], lines), table(["layout", *TARGETS], summary)]
    publish(__file__, "The size model", blocks)


if __name__ == "__main__":
    main()
