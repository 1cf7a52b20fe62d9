"""Flash that the exported header takes on a Cortex-M0+, in each layout of trees, at -Os.

Bytes of the linked program (code, tables and data) less those of the same program with a stub in place of the model;
int16 codes go in, the label comes out. It needs arm-none-eabi-gcc (Debian: gcc-arm-none-eabi).
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from shutil import which
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split
from tables import publish, table

from ensemble_1d import BaseModel, Ensemble, Predictor, PyTorchModel, RandomForestModel, XGBoostModel
from ensemble_1d.ir import IntegerTreeTable, descendants

COMPILER = "arm-none-eabi-gcc"
SIZE = "arm-none-eabi-size"
FLAGS = (
    "-std=c99",
    "-mcpu=cortex-m0plus",
    "-mthumb",
    "-Os",
    "-ffreestanding",
    "-ffunction-sections",
    "-fdata-sections",
)
LINK = ("-nostartfiles", "-Wl,--gc-sections")
PROGRAM = """\
#define MODEL_NO_FLOAT
#include "model.h"
volatile int16_t codes[MODEL_N_CODES];
volatile int32_t answer;
void _start(void)
{
    answer = CALL;
    for (;;) {
    }
}
"""


def models() -> Iterator[tuple[str, BaseModel]]:
    """Yield name and unfitted model of each workload."""
    for n_trees, depth in ((10, 8), (50, 10)):
        yield (
            f"forest, {n_trees} x depth {depth}",
            RandomForestModel(n_estimators=n_trees, max_depth=depth, random_state=0),
        )
    for rounds in (30, 100):
        yield f"boosting, {rounds} x depth 4", XGBoostModel(n_estimators=rounds, max_depth=4, random_state=0)
    yield "network, 32", PyTorchModel(hidden_layer_sizes=(32,), random_state=0)
    members = [
        RandomForestModel(n_estimators=50, max_depth=10),
        XGBoostModel(max_depth=4),
        PyTorchModel(hidden_layer_sizes=(32,)),
    ]
    for rule in ("soft", "stacking"):
        yield f"all three, {rule}", Ensemble(members, combine=rule, random_state=0)


def linked_bytes(folder: Path, call: str) -> int:
    """Return the bytes of text and data of the program that makes this call."""
    (folder / "main.c").write_text(PROGRAM.replace("CALL", call))
    subprocess.run([COMPILER, *FLAGS, *LINK, "-o", folder / "main", folder / "main.c"], check=True)
    found = subprocess.run([SIZE, folder / "main"], check=True, capture_output=True, text=True)
    text, data, *_ = found.stdout.splitlines()[1].split()
    return int(text) + int(data)


def flash_bytes(predictor: Predictor, layout: Any) -> int:
    """Return what the model adds to a program."""
    with tempfile.TemporaryDirectory() as name:
        predictor.export_c(Path(name) / "model.h", layout=layout)
        model = linked_bytes(Path(name), "model_predict((const int16_t *)codes)")
        return model - linked_bytes(Path(name), "codes[0]")


def lines(name: str, load: Callable[..., Any]) -> Iterator[list[object]]:
    """Yield the line of each workload on one data set."""
    X, y = load(return_X_y=True)
    X = X.astype(np.float32)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=0)
    for title, model in models():
        model.fit(X_train, y_train)
        predictor = model.quantize("int8", X_train)
        compact = model.quantize("int8", X_train, compact=True)
        trees = [node for node in descendants(predictor.program.root) if isinstance(node, IntegerTreeTable)]
        flips = [int((model.predict(X_test) != each.predict(X_test)).sum()) for each in (predictor, compact)]
        sizes = [flash_bytes(predictor, "size"), *(flash_bytes(compact, layout) for layout in ("size", "balanced"))]
        others = [f"{each} of {len(y_test)}" for each in flips]
        yield [name, title, sum(len(each.cut) for each in trees), *sizes, *others]


def main() -> None:
    """Compile everything and publish the table."""
    if which(COMPILER) is None:
        sys.exit(f"{COMPILER} is not installed; on Debian: apt-get install gcc-arm-none-eabi")
    version = subprocess.run([COMPILER, "--version"], check=True, capture_output=True, text=True).stdout.splitlines()[0]
    rows = [
        line for name, load in (("cancer", load_breast_cancer), ("digits", load_digits)) for line in lines(name, load)
    ]
    header = ["data", "model", "splits", "size", "size, compact", "balanced, compact", "other labels", "compact"]
    text = (
        f"Bytes of flash; {version}, {' '.join(FLAGS[1:4])}. Other labels are those of test rows on which the integer "
        "and the float model differ."
    )
    publish(__file__, "Flash of exported models", [text, table(header, rows)])


if __name__ == "__main__":
    main()
