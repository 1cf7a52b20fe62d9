"""Bytes of .e1d files beside pickles of the same members, and the cold start from a file to the first prediction.

Three large members on 10,000 rows: a forest of 200 fully grown trees, 200 rounds of boosting for 3 classes, and a
network of 128 and 64 units. The same fitted members are pickled, in scikit-learn's VotingClassifier, and saved.
Cold start is the CPU time of whole processes beyond one that imports NumPy, in turn; compiled modules are cached, as
after installing.
"""

import os
import pickle
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from bench_native import voting_of
from sklearn.datasets import make_classification
from tables import publish, table

from ensemble_1d import Ensemble, Predictor, PyTorchModel, RandomForestModel, XGBoostModel, load

N_RUNS = 10
N_TREES, N_ROUNDS, WIDTHS = 200, 200, (128, 64)
LIMITS = {"float": 1 / 4, "int8": 1 / 10}
FIRST = """
import numpy as np
from ensemble_1d import load
predictor = load({path!r})
predictor.predict(np.zeros((1, predictor.program.n_features), np.float32))
"""
UNPICKLED = """
import pickle
import numpy as np
with open({path!r}, "rb") as file:
    voting = pickle.load(file)
voting.predict_proba(np.zeros((1, voting.estimators_[0].n_features_in_), np.float32))
"""


def cpu_ms(code: str, cache: Path) -> float:
    """Return the CPU milliseconds of one process."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    process = subprocess.Popen([sys.executable, "-c", code], env=environment | {"PYTHONPYCACHEPREFIX": str(cache)})
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise RuntimeError(f"a process ended with status {process.returncode}")
    return (usage.ru_utime + usage.ru_stime) * 1e3


def cold_starts(paths: dict[str, Path], pickled: Path) -> list[list[object]]:
    """Return the lines of the table of cold starts."""
    codes = {"`import numpy`": "import numpy"}
    codes |= {f"load and predict, {name}": FIRST.format(path=str(path)) for name, path in paths.items()}
    codes["unpickle `VotingClassifier` and predict, all"] = UNPICKLED.format(path=str(pickled))
    runs: dict[str, list[float]] = {name: [] for name in codes}
    with tempfile.TemporaryDirectory() as cache:
        for number in range(N_RUNS + 1):
            for name, code in codes.items():
                spent = cpu_ms(code, Path(cache))
                if number:  # The first run compiles.
                    runs[name].append(spent)
    medians = {name: statistics.median(times) for name, times in runs.items()}
    bare = medians["`import numpy`"]
    return [[name, f"{spent:.1f}", f"{spent - bare:+.1f}"] for name, spent in medians.items()]


def data() -> tuple[np.ndarray, np.ndarray]:
    """Return 10,000 rows of 20 features in float32, and their 3 classes."""
    X, y = make_classification(10_000, 20, n_informative=12, n_classes=3, flip_y=0.05, random_state=0)
    return X.astype(np.float32), y


def pickled_bytes(ensemble: Ensemble, path: Path) -> dict[str, int]:
    """Return the bytes of the pickle of each member, the libraries' own, and of all together, which go to a file."""
    members = [getattr(member, "backend_", member) for member in ensemble.members_.values()]
    voting = voting_of(members, ensemble.classes_)
    sizes = {name: len(pickle.dumps(model)) for name, model in zip(ensemble.members_, members, strict=True)}
    path.write_bytes(pickle.dumps(voting))
    return sizes | {"all": path.stat().st_size}


def main() -> None:
    """Fit both, save everything, measure and publish."""
    X, y = data()
    members = [
        ("forest", RandomForestModel(n_estimators=N_TREES, max_depth=None)),
        ("boosting", XGBoostModel(n_estimators=N_ROUNDS, max_depth=6)),
        ("network", PyTorchModel(hidden_layer_sizes=WIDTHS, max_epochs=20)),
    ]
    ensemble = Ensemble(members, combine="soft", random_state=0, n_jobs=2).fit(X, y)
    small = ensemble.quantize("int8", X)
    rows: list[list[object]] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        pickled = pickled_bytes(ensemble, folder / "voting.pickle")
        models = {**ensemble.members_, "all": ensemble}
        for part, model in models.items():
            integer = small if model is ensemble else model.quantize("int8", X)
            saved = {"float": model.save(folder / f"{part}.e1d"), "int8": integer.save(folder / f"{part}-int8.e1d")}
            for kind, predictor in (("float", Predictor(model.program())), ("int8", integer)):
                if not np.array_equal(load(saved[kind]).predict_proba(X[:500]), predictor.predict_proba(X[:500])):
                    raise RuntimeError(f"{part} answers otherwise after loading")
            sizes = {kind: path.stat().st_size for kind, path in saved.items()}
            shares = [f"{sizes[kind]:,} ({sizes[kind] / pickled[part]:.3f})" for kind in LIMITS]
            rows.append([part, f"{pickled[part]:,}", *shares])
            if part == "all":
                for kind, limit in LIMITS.items():
                    if sizes[kind] > limit * pickled[part]:
                        raise RuntimeError(f"the {kind} file takes more than {limit:.2f} of the pickle")
        XS, ys = X[:, :4], y
        little = RandomForestModel(n_estimators=10, max_depth=6, random_state=0).fit(XS, ys)
        paths = {
            "forest of 10": little.save(folder / "little.e1d"),
            "forest of 10, int8": little.quantize("int8", XS).save(folder / "little-int8.e1d"),
            "all": folder / "all.e1d",
            "all, int8": folder / "all-int8.e1d",
        }
        cold = cold_starts(paths, folder / "voting.pickle")
    publish(
        __file__,
        "Saved models",
        [
            "Bytes; in brackets the share of the pickle.",
            table(["members", "pickle", "`.e1d`", "`.e1d`, int8"], rows),
            f"CPU milliseconds of whole processes, medians of {N_RUNS}.",
            table(["process", "CPU ms", "beyond NumPy"], cold),
        ],
    )


if __name__ == "__main__":
    main()
