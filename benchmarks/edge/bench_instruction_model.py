"""The instruction model beside an emulator: instructions of one answer with probabilities, predicted and counted.

`--fit` fits the instructions of each kind of work to the counts of every row, for each processor, and prints them for
`ensemble_1d/export/instruction_model.py`. It needs arm-none-eabi-gcc and qemu-system-arm.
"""

import argparse
import pprint
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

import numpy as np
from data_sets import bundled
from measuring import measure
from outputs import Output
from scipy.optimize import lsq_linear
from sklearn.datasets import load_breast_cancer, load_digits
from tables import publish, table
from targets import TARGETS
from workloads import Rows, Workload, forest, network, workloads

from ensemble_1d import Ensemble
from ensemble_1d.budget_search import LAYOUTS
from ensemble_1d.export.instruction_model import COSTS, WORK, work_of

PROCESSORS = {"cortex-m0plus": "Cortex-M0+ -Os", "cortex-m4": "Cortex-M4F -O2"}
N_ROWS = 25
MOST_BYTES = 20_000
CALL = """\
#define MODEL_NO_FLOAT
#include "entry.h"
#include "model.h"

edge_output edge_predict(const edge_input *x)
{
#ifdef MODEL_N_CLASSES
    uint16_t p[MODEL_N_CLASSES];
    model_predict_proba(x, p);
    return p[0];
#else
    return model_predict(x);
#endif
}
"""


@dataclass(frozen=True, slots=True, eq=False)
class Counted:
    """The work of the rows of one program, and the instructions that it took on each processor."""

    name: str
    layout: str
    work: Rows
    counts: dict[str, Rows]


def stacked() -> Iterator[Workload]:
    """Yield ensembles that take logarithms of their members' probabilities; no other exporter has such a thing."""
    for load in (load_breast_cancer, load_digits):
        data = bundled(load)
        ensemble = Ensemble([forest(10, 8), network((32,))], combine="stacking", cv=3, random_state=0)
        yield Workload("forest 10 + network 32, stacking", data, ensemble.fit(data.X_train, data.y_train))


def programs() -> Iterator[Counted]:
    """Yield every workload in every layout, with compact codes, as a budget has them."""
    with tempfile.TemporaryDirectory() as name:
        for number, workload in enumerate((*workloads(), *stacked())):
            predictor = workload.model.quantize("int8", workload.data.X_train, compact=True)
            codes = predictor.quantize_input(workload.data.X_test[:N_ROWS])
            for layout in (*LAYOUTS, "plain"):
                if layout == "speed" and predictor.program.nbytes > MOST_BYTES:
                    continue  # branches of 100 KB compile for minutes
                folder = Path(name) / f"{number}-{layout}"
                folder.mkdir()
                (folder / "model.h").write_text(predictor.c_source(layout=layout), encoding="utf-8")
                (folder / "edge.c").write_text(CALL, encoding="utf-8")
                zeros = np.zeros(len(codes), np.int64)
                output = Output(workload.key, layout, folder, True, codes, zeros, zeros)
                counts = {}
                for processor, target in PROCESSORS.items():
                    run = measure(output, next(each for each in TARGETS if each.name == target)).run
                    if run is not None:
                        counts[processor] = run.counts
                work = work_of(predictor.program, codes, layout)
                rows = np.column_stack([work[kind] for kind in WORK])
                yield Counted(workload.key, layout, rows, counts)


def fitted(found: list[Counted], processor: str) -> dict[str, float]:
    """Return the instructions of each kind of work that make the relative errors of all rows least."""
    held = [each for each in found if processor in each.counts]
    work, counts = np.vstack([each.work for each in held]), np.concatenate([each.counts[processor] for each in held])
    best = lsq_linear(work / counts[:, np.newaxis], np.ones(len(counts)), (0, np.inf)).x
    return {kind: round(float(cost), 2) for kind, cost in zip(WORK, best, strict=True)}


def main() -> None:
    """Compare, or fit."""
    parser = argparse.ArgumentParser(description="Compare the instruction model with an emulator.")
    parser.add_argument("--fit", action="store_true", help="print the costs in place of the table")
    is_fit = parser.parse_args().fit
    found = list(programs())
    if is_fit:
        costs = {processor: fitted(found, processor) for processor in PROCESSORS}
        sys.stdout.write(pprint.pformat(costs, sort_dicts=False) + "\n")
        return
    lines = []
    for each in found:
        cells = []
        for processor in PROCESSORS:
            if processor not in each.counts:
                cells.append("does not fit")
                continue
            predicted = (each.work @ [COSTS[processor][kind] for kind in WORK]).max()
            most = int(each.counts[processor].max())
            cells.append(f"{most} ({predicted / most - 1:+.1%})")
        lines.append([each.name, each.layout, *cells])
    text = f"Instructions of the longest answer with probabilities among {N_ROWS} rows, and the error of the model."
    publish(__file__, "The instruction model", [text, table(["model", "layout", *PROCESSORS], lines)])


if __name__ == "__main__":
    main()
