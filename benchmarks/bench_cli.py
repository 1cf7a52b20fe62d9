"""What the command line costs: help beyond a bare interpreter, and `predict` beside the same job done with the library.

Whole processes, in turn, after a run of each that is not counted: the median of CPU time, and the least wall time,
which other work on the machine lengthens. Modules and kernels are compiled before, as after installing. The job: read a
CSV of 100,000 rows, load the model, predict, write a CSV.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.datasets import make_classification
from tables import publish, table

from ensemble_1d import Ensemble, RandomForestModel, XGBoostModel, load

N_ROWS, N_FEATURES = 100_000, 20
N_RUNS, N_HELP_RUNS = 3, 20
MOST_HELP_MS, MOST_TIMES = 40.0, 1.3
# What pip writes for an entry of [project.scripts].
SCRIPT = "import sys; from ensemble_1d.cli.main import main; sys.argv[1:] = {arguments!r}; sys.exit(main())"
LIBRARY = """
import pandas
from ensemble_1d import load
X = pandas.read_csv({data!r})
model = load({model!r}){compiled}
answers = {answers}
answers.to_csv({out!r}, index=False)
"""
ANSWERS = {
    "labels": 'pandas.DataFrame({"prediction": model.predict(X)})',
    "probabilities": (
        "pandas.DataFrame(model.predict_proba(X), columns=model.program.classes)"
        ".assign(prediction=lambda each: each.idxmax(axis=1))"
    ),
}

PREDICT = (
    f"`ensemble-1d predict` of {N_ROWS:,} rows of {N_FEATURES} features by a forest of 50 trees and 50 rounds of "
    f"boosting for 3 classes: milliseconds of the whole process, of {N_RUNS} runs; and how many times those of the "
    "same job done with the library (`pandas.read_csv`, `load`, `predict` or `predict_proba`, `to_csv`) and of the "
    "bare call of `predict` on rows in memory."
)


def measure(code: str, environment: dict[str, str]) -> tuple[float, float]:
    """Return the CPU and wall milliseconds of one process."""
    began = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - began
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"{code!r} ended with status {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1e3, wall * 1e3


def spent_by(codes: dict[str, str], n_runs: int, environment: dict[str, str]) -> dict[str, tuple[float, float]]:
    """Return the median CPU and the least wall milliseconds of each process, run in turn."""
    runs: dict[str, list[tuple[float, float]]] = {name: [] for name in codes}
    for number in range(n_runs + 1):
        for name, code in codes.items():
            spent = measure(code, environment)
            if number:  # The first run compiles.
                runs[name].append(spent)
    return {
        name: (statistics.median(cpu for cpu, _ in each), min(wall for _, wall in each)) for name, each in runs.items()
    }


def help_rows(environment: dict[str, str]) -> list[list[object]]:
    """Return the lines of the table of help."""
    codes = {"bare interpreter (absolute)": "pass"}
    for arguments in (["--help"], ["fit", "--help"], ["export", "--help"], ["--version"]):
        codes[f"`ensemble-1d {' '.join(arguments)}`"] = SCRIPT.format(arguments=arguments)
    found = spent_by(codes, N_HELP_RUNS, environment)
    bare, *rest = found.values()
    rows: list[list[object]] = [[next(iter(found)), *(f"{value:.1f}" for value in bare)]]
    for name, spent in zip([*found][1:], rest, strict=True):
        more = [value - base for value, base in zip(spent, bare, strict=True)]
        if more[0] > MOST_HELP_MS:
            raise RuntimeError(f"{name} takes {more[0]:.1f} ms of CPU beyond a bare interpreter")
        rows.append([name, *(f"{value:.1f}" for value in more)])
    return rows


def bare_predict(model: Path, X: np.ndarray) -> tuple[float, float]:
    """Return the median CPU and wall milliseconds of `predict` of a model that is loaded, with NumPy and in C."""
    predictor = load(model)
    spent = []
    for each in (predictor, predictor.compile()):
        each.predict(X[:10])
        times = []
        for _ in range(N_RUNS if each is not predictor else 1):
            began = time.process_time()
            each.predict(X)
            times.append((time.process_time() - began) * 1e3)
        spent.append(statistics.median(times))
    return spent[0], spent[1]


def predict_rows(folder: Path, model: Path, X: np.ndarray, environment: dict[str, str]) -> list[list[object]]:
    """Return the lines of the table of one model."""
    data = str(folder / "data.csv")
    in_numpy, in_c = bare_predict(model, X)
    rows: list[list[object]] = []
    for kind, answers in ANSWERS.items():
        out = str(folder / f"{kind}.csv")
        arguments = ["predict", str(model), data, "--out", out, "--quiet", *(["--proba"] * (kind == "probabilities"))]
        facts = {"data": data, "model": str(model), "answers": answers, "out": str(folder / "library.csv")}
        codes = {
            "command": SCRIPT.format(arguments=arguments),
            "library": LIBRARY.format(compiled="", **facts),
            "compiled": LIBRARY.format(compiled=".compile()", **facts),
        }
        found = spent_by(codes, N_RUNS, environment)
        lines = {path: Path(path).read_text(encoding="utf-8").splitlines() for path in (out, facts["out"])}
        labels = [[line.rsplit(",", 1)[-1] for line in each] for each in lines.values()]
        if labels[0] != labels[1]:
            raise RuntimeError("the command line answers otherwise than the library")
        cpu, wall = found["command"]
        ratios = [cpu / found[name][0] for name in ("library", "compiled")]
        if max(ratios) > MOST_TIMES:
            raise RuntimeError(f"the command line takes {max(ratios):.2f} times the CPU of the library")
        cells = [f"{cpu:.0f}", f"{wall:.0f}"]
        cells += [f"{cpu / found[name][0]:.2f} / {wall / found[name][1]:.2f}" for name in ("library", "compiled")]
        rows.append([model.stem, kind, *cells, f"{cpu / in_numpy:.2f}", f"{cpu / in_c:.1f}"])
    return rows


def main() -> None:
    """Fit two models, measure everything and publish."""
    X, y = make_classification(5000, N_FEATURES, n_informative=10, n_classes=3, random_state=0)
    X = X.astype(np.float32)
    members = [("forest", RandomForestModel(n_estimators=50)), ("boosting", XGBoostModel(n_estimators=50))]
    ensemble = Ensemble(members, combine="soft", random_state=0).fit(X, y)
    many = X[np.random.default_rng(0).integers(0, len(X), N_ROWS)]
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
        environment |= {"PYTHONPYCACHEPREFIX": name}
        np.savetxt(
            folder / "data.csv", many, fmt="%.9g", delimiter=",", header=",".join("abcdefghijklmnopqrst"), comments=""
        )
        help_table = help_rows(environment)
        for stem, model in (("float", ensemble), ("int8", ensemble.quantize("int8", X))):
            rows += predict_rows(folder, model.save(folder / f"{stem}.e1d"), many, environment)
    publish(
        __file__,
        "The command line",
        [
            f"Milliseconds beyond a bare interpreter, of {N_HELP_RUNS} processes: the median CPU, the least wall time.",
            table(["command", "CPU ms", "wall ms"], help_table),
            PREDICT,
            table(
                [
                    *("model", "answers", "CPU ms", "wall ms", "times the library, CPU / wall"),
                    *("times it with `compile()`", "times bare `predict`, CPU", "times the same in C"),
                ],
                rows,
            ),
        ],
    )


if __name__ == "__main__":
    main()
