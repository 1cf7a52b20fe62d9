"""What compile() is worth: time to answer 1 to 100,000 rows, beside scikit-learn, XGBoost, ONNX Runtime and treelite.

Every column answers with the same fitted members: `VotingClassifier` over the libraries' own estimators, each library
alone, ONNX Runtime where the predictor can be exported and onnxruntime is installed, and for the trees alone treelite's
GTIL and tl2cgen where they are installed. One thread: medians of CPU time, all columns in turns. All cores: medians of
wall time. OMP_WAIT_POLICY=passive keeps idle threads of OpenMP from counting as work.
"""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "passive")

import statistics
import tempfile
import time
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_breast_cancer, make_classification
from sklearn.ensemble import VotingClassifier
from sklearn.preprocessing import LabelEncoder
from tables import publish, table
from threadpoolctl import threadpool_limits

from ensemble_1d import Ensemble, Predictor, PyTorchModel, RandomForestModel, XGBoostModel
from ensemble_1d.native.native_program import usable_cores

ROWS = (1, 100, 10_000, 100_000)
N_TURNS = 5
SECONDS_PER_TURN = 0.05
MOST_SECONDS = 2.0
"""What takes longer is measured once."""
MOST_ROWS_TO_WARM = 1000
MOST_LEAVES_OF_CODE = 50_000
"""Forests with more take a compiler of their branches many minutes."""

Floats = npt.NDArray[np.float32]
Call = Callable[[Floats], object]


def workloads() -> list[tuple[str, Floats, npt.NDArray[np.int64], list[Any]]]:
    """Return name, rows, labels and unfitted members of each workload."""
    X, y = load_breast_cancer(return_X_y=True)
    more, labels = make_classification(12_000, 20, n_informative=12, random_state=0)
    most, three = make_classification(20_000, 20, n_informative=12, n_classes=3, flip_y=0.1, random_state=0)
    return [
        (
            name,
            rows.astype(np.float32),
            truth,
            [
                RandomForestModel(n_estimators=50, max_depth=10, random_state=0),
                XGBoostModel(n_estimators=100, max_depth=4, random_state=0),
                PyTorchModel(hidden_layer_sizes=(32,), max_epochs=10, random_state=0),
            ],
        )
        for name, rows, truth in (("small: breast cancer", X, y), ("small, 12,000 rows fitted", more, labels))
    ] + [
        (
            "large: 20,000 rows fitted, 3 classes",
            most.astype(np.float32),
            three,
            [
                RandomForestModel(n_estimators=200, random_state=0),
                XGBoostModel(n_estimators=200, random_state=0),
                PyTorchModel(hidden_layer_sizes=(128, 64), max_epochs=5, random_state=0),
            ],
        )
    ]


def voting_of(members: list[Any], classes: npt.NDArray[Any]) -> VotingClassifier:
    """Return scikit-learn's soft vote of fitted estimators."""
    voting = VotingClassifier([(str(i), member) for i, member in enumerate(members)], voting="soft")
    voting.estimators_ = members
    voting.le_ = LabelEncoder().fit(classes)
    voting.classes_ = classes
    return voting


def onnx_call(predictor: Predictor, n_threads: int) -> Call | None:
    """Return ONNX Runtime's answer to the exported program, or None where it cannot be had."""
    if not (hasattr(predictor, "export_onnx") and find_spec("onnxruntime")):
        return None
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = n_threads
    with tempfile.TemporaryDirectory() as folder:
        path = predictor.export_onnx(Path(folder, "model.onnx"))
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda X: session.run(None, {name: X})


def treelite_calls(forest: Any, boosting: Any, n_threads: int) -> dict[str, Call]:
    """Return the calls of treelite's interpreter and of tl2cgen's compiled code for both tree members."""
    if not find_spec("treelite"):
        return {}
    import treelite

    models = [treelite.sklearn.import_model(forest), treelite.frontend.from_xgboost(boosting.get_booster())]
    calls: dict[str, Call] = {
        "GTIL, trees": lambda X: [treelite.gtil.predict(model, X, nthread=n_threads) for model in models]
    }
    leaves = sum(each.get_n_leaves() for each in forest.estimators_)
    if find_spec("tl2cgen") and leaves <= MOST_LEAVES_OF_CODE:
        import tl2cgen

        folder = Path(tempfile.mkdtemp())
        for i, model in enumerate(models):
            tl2cgen.export_lib(model, toolchain="gcc", libpath=folder / f"{i}.so", params={"parallel_comp": 8})
        compiled = [tl2cgen.Predictor(folder / f"{i}.so", nthread=n_threads) for i in range(len(models))]
        calls["tl2cgen, trees"] = lambda X: [each.predict(tl2cgen.DMatrix(X)) for each in compiled]
    return calls


def calls_of(ensemble: Ensemble, predictor: Predictor, n_threads: int) -> dict[str, Call]:
    """Return every column's call, the libraries set to so many threads."""
    forest, boosting, network = ensemble.members_.values()
    forest.backend_.n_jobs = n_threads
    booster = boosting.backend_.get_booster()
    booster.set_param({"nthread": n_threads})
    boosting.backend_.n_jobs = n_threads
    torch.set_num_threads(n_threads)
    calls: dict[str, Call] = {
        "compile()": predictor.compile(n_jobs=n_threads).predict_proba,
        "VotingClassifier": voting_of([forest.backend_, boosting.backend_, network], ensemble.classes_).predict_proba,
        "forest alone": forest.backend_.predict_proba,
        "XGBoost alone": booster.inplace_predict,
    }
    onnx = onnx_call(predictor, n_threads)
    return (calls if onnx is None else calls | {"ONNX Runtime": onnx}) | treelite_calls(
        forest.backend_, boosting.backend_, n_threads
    )


def medians(calls: dict[str, Call], rows: Floats, clock: Callable[[], float]) -> dict[str, float]:
    """Return the median microseconds of each call, taken in turns of about equal length."""
    seconds = {}
    for name, call in calls.items():
        call(rows[:MOST_ROWS_TO_WARM])
        began = time.perf_counter()
        call(rows[:MOST_ROWS_TO_WARM])
        seconds[name] = (time.perf_counter() - began) * len(rows) / len(rows[:MOST_ROWS_TO_WARM])
    counts = {name: max(1, int(SECONDS_PER_TURN / each)) for name, each in seconds.items()}
    turns: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(N_TURNS):
        for name, call in calls.items():
            if turn and seconds[name] > MOST_SECONDS:
                continue
            began = clock()
            for _ in range(counts[name]):
                call(rows)
            turns[name].append(1e6 * (clock() - began) / counts[name])
    return {name: statistics.median(each) for name, each in turns.items()}


def measured(ensemble: Ensemble, X: Floats, n_threads: int, clock: Callable[[], float]) -> str:
    """Return the table of one workload with so many threads."""
    calls = calls_of(ensemble, Predictor(ensemble.program()), n_threads)
    lines = []
    with threadpool_limits(n_threads):
        for n_rows in ROWS:
            rows = np.ascontiguousarray(np.resize(X, (n_rows, X.shape[1])))
            found = medians(calls, rows, clock)
            ours = found.pop("compile()")
            lines.append(
                [f"{n_rows:,}", f"{ours:,.0f}", *(f"{each:,.0f} ({each / ours:.1f})" for each in found.values())]
            )
    return table(["rows", *calls], lines)


def main() -> None:
    """Fit each workload once, time everything, publish the tables."""
    legend = (
        f"Microseconds a call of `predict_proba`, medians of {N_TURNS} turns (one, if longer than {MOST_SECONDS:.0f} "
        "s); in brackets, how many times as long as `compile()`. A column named after a library alone does a part of "
        "the work."
    )
    parts = [legend]
    cores = usable_cores()
    for name, X, y, members in workloads():
        ensemble = Ensemble(members, combine="soft", random_state=0).fit(X, y)
        leaves = sum(each.get_n_leaves() for each in ensemble.members_["random_forest"].backend_.estimators_)
        parts.append(f"## {name[0].upper()}{name[1:]}\n\nThe forest has {leaves:,} leaves. One thread, CPU time:")
        parts.append(measured(ensemble, X, 1, time.process_time))
        if cores > 1:
            parts += [f"{cores} cores, wall time:", measured(ensemble, X, cores, time.perf_counter)]
    publish(__file__, "Predicting in C", parts)


if __name__ == "__main__":
    main()
