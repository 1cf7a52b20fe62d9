"""What is measured: folders of C sources that define `edge_predict`, ours and the peers', with the answers expected."""

import json
import pickle
import subprocess
import sys
import venv
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from kept import FOLDER
from workloads import Rows, Workload

from ensemble_1d import Predictor
from ensemble_1d.budget_search import LAYOUTS

HERE = Path(__file__).resolve().parent
OURS = "ensemble-1d"
_MOST_BYTES = 3_000_000

_CALL = """\
#define MODEL_NO_FLOAT
#include "entry.h"
#include "model.h"

edge_output edge_predict(const edge_input *x)
{
    return model_predict(x);
}
"""


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """What one exporter made of one model.

    Attributes:
        workload: Key of the workload.
        name: The exporter with its options.
        folder: Its sources.
        is_stock: Whether nothing in it was changed by hand.
        rows: What the program is given, of shape (n_samples, n_inputs), float32 or int16.
        expected: What the Python model that was exported says of these rows.
        truth: The true labels or values.
        step: What one unit of the answer stands for, where it is a fixed-point value; 0 where it is a label or a float.
    """

    workload: str
    name: str
    folder: Path
    is_stock: bool
    rows: Rows
    expected: Rows
    truth: Rows
    step: float = 0.0

    @property
    def is_ours(self) -> bool:
        """Whether our exporter made it."""
        return self.name.startswith(OURS)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A model that an exporter does not take, or whose C is beyond bounds, and why."""

    workload: str
    name: str
    reason: str


def our_outputs(workload: Workload, folder: Path) -> Iterator[Output]:
    """Yield every layout of the integer model, and of its compact form; layouts that give the same text are one."""
    data, expected = workload.data, workload.model.predict(workload.data.X_test)
    for is_compact in (False, True):
        predictor = workload.model.quantize("int8", data.X_train, compact=is_compact)
        names: dict[str, list[str]] = {}
        for layout in (*LAYOUTS, "plain"):
            names.setdefault(predictor.c_source(layout=layout), []).append(layout)
        for text, layouts in names.items():
            place = folder / f"ours-{is_compact}-{layouts[0]}"
            place.mkdir(parents=True)
            (place / "model.h").write_text(text, encoding="utf-8")
            (place / "edge.c").write_text(_CALL, encoding="utf-8")
            name = f"{OURS} {' = '.join(layouts)}{', compact' if is_compact else ''}"
            rows = predictor.quantize_input(data.X_test)
            yield Output(workload.key, name, place, True, rows, expected, data.y_test, _step(predictor))


def _step(predictor: Predictor) -> float:
    """Return the step of a regression's answer, or 0."""
    if predictor.program.classes is not None:
        return 0.0
    _, _, dequantize = predictor.program.integer_parts()
    return float(2.0**-dequantize.fraction_bits)


def peers_environment() -> Path:
    """Return the interpreter of an environment that holds the peers; made where it is missing, or of other versions.

    Raises:
        subprocess.CalledProcessError: If pip cannot install them.
    """
    requirements = HERE / "requirements.txt"
    wanted = [f"{name}=={version(name)}" for name in ("numpy", "scipy", "scikit-learn", _xgboost())]
    cache = FOLDER / "edge-peers"
    stamp, interpreter = cache / "installed.txt", cache / "bin" / "python"
    content = "\n".join([requirements.read_text(encoding="utf-8"), *wanted, sys.version])
    if not (stamp.exists() and stamp.read_text(encoding="utf-8") == content):
        venv.create(cache, clear=True, with_pip=True)
        pip: list[str | Path] = [
            interpreter,
            "-m",
            "pip",
            "install",
            "-qq",
            "--disable-pip-version-check",
            "--no-input",
        ]
        subprocess.run([*pip, "-r", requirements, *wanted], check=True)
        stamp.write_text(content, encoding="utf-8")
    return interpreter


def peer_outputs(interpreter: Path, workloads: Sequence[Workload], folder: Path) -> Iterator[Output | Refusal]:
    """Yield what the peers make of the workloads, or say of them; what they print goes to FOLDER/log.txt."""
    folder.mkdir(parents=True)
    fitted = {each.key: {dtype: of.fitted for dtype, of in each.for_others.items()} for each in workloads}
    (folder / "fitted.pickle").write_bytes(pickle.dumps({key: value for key, value in fitted.items() if value}))
    with (folder / "log.txt").open("w") as log:
        line: list[str | Path] = [interpreter, HERE / "peer_outputs.py", folder / "fitted.pickle", folder]
        subprocess.run(line, cwd=folder, check=True, stdout=log, stderr=log)  # some write where they stand
    by_key = {each.key: each for each in workloads}
    for each in json.loads((folder / "outputs.json").read_text(encoding="utf-8")):
        if each["refusal"]:
            yield Refusal(each["workload"], each["name"], each["refusal"])
            continue
        if (size := sum(source.stat().st_size for source in Path(each["folder"]).iterdir())) > _MOST_BYTES:
            yield Refusal(
                each["workload"], each["name"], f"left out: {size / 1e6:.1f} MB of C take too long to compile"
            )
            continue
        workload = by_key[each["workload"]]
        estimator = workload.for_others[each["dtype"]]
        expected: Any = np.asarray(estimator.fitted.predict(estimator.rows))
        yield Output(
            workload.key,
            each["name"],
            Path(each["folder"]),
            each["is_stock"],
            estimator.rows,
            expected,
            workload.data.y_test,
        )


def _xgboost() -> str:
    """Return the name of the distribution that brings XGBoost here."""
    for name in ("xgboost-cpu", "xgboost"):
        try:
            version(name)
        except PackageNotFoundError:
            continue
        return name
    raise SystemExit("XGBoost is not installed: pip install 'ensemble-1d[xgboost-cpu]'")
