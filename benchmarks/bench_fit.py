"""The time an ensemble takes to fit with five folds, beside scikit-learn's StackingClassifier of the same members.

A forest, boosted trees and a network (skorch's in the peer, as scikit-learn has no torch); both may use every core. The
floor is the CPU time of the members of the ensemble fitted one by one, each fold and all rows, over the cores. All take
turns; figures are medians over the turns, and ratios are taken within a turn.
"""

import statistics
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import cpu_count
from sklearn.base import clone
from sklearn.datasets import load_digits, make_classification
from sklearn.ensemble import RandomForestClassifier, StackingClassifier
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from tables import publish, table

from ensemble_1d import Ensemble, PyTorchModel, RandomForestModel, XGBoostModel

FOLDS = 5
EPOCHS = {"digits": 100, "20,000 rows x 20 (3 classes)": 20}
N_TURNS = {"digits": 5, "20,000 rows x 20 (3 classes)": 1}
HIDDEN = 64
RATE = 0.003
BATCH = 64

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def members(epochs: int) -> list[Any]:
    """Return the members of the ensemble."""
    network = PyTorchModel(hidden_layer_sizes=(HIDDEN,), max_epochs=epochs, learning_rate=RATE, batch_size=BATCH)
    return [RandomForestModel(), XGBoostModel(), network]


def ours(X: Floats, y: Labels, epochs: int, n_jobs: int) -> None:
    """Fit the ensemble."""
    Ensemble(members(epochs), cv=FOLDS, n_jobs=n_jobs, random_state=0).fit(X, y)


def one_by_one(X: Floats, y: Labels, epochs: int) -> None:
    """Fit each member on each fold and on all rows."""
    folds = list(StratifiedKFold(FOLDS, shuffle=True, random_state=0).split(X, y))
    for member in members(epochs):
        for train in [np.arange(len(X)), *(train for train, _ in folds)]:
            clone(member).set_params(random_state=0).fit(X[train], y[train])


def peer(X: Floats, y: Labels, epochs: int) -> None:
    """Fit scikit-learn's stacking of the same members."""
    import torch
    from skorch import NeuralNetClassifier
    from xgboost import XGBClassifier

    n_classes = int(y.max()) + 1
    layers = [torch.nn.Linear(X.shape[1], HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, n_classes)]
    network = NeuralNetClassifier(
        torch.nn.Sequential(*layers),
        criterion=torch.nn.CrossEntropyLoss,
        optimizer=torch.optim.AdamW,
        lr=RATE,
        batch_size=BATCH,
        max_epochs=epochs,
        train_split=None,
        verbose=0,
    )
    named = [
        ("forest", RandomForestClassifier(random_state=0)),
        ("boosting", XGBClassifier(n_estimators=100, n_jobs=1, random_state=0)),
        ("network", make_pipeline(StandardScaler(), network)),
    ]
    StackingClassifier(named, cv=FOLDS, n_jobs=cpu_count()).fit(X, y)


def data_sets() -> dict[str, tuple[Floats, Labels]]:
    """Return a small and a large data set."""
    digits = load_digits(return_X_y=True)
    large = make_classification(20_000, 20, n_informative=10, n_classes=3, random_state=0)
    names = list(EPOCHS)
    return {
        name: (X.astype(np.float32), y.astype(np.int64)) for name, (X, y) in zip(names, (digits, large), strict=True)
    }


def timed(run: Callable[..., None], *arguments: Any) -> tuple[float, float]:
    """Return wall and CPU seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    run(*arguments)
    return time.perf_counter() - wall, time.process_time() - cpu


def main() -> None:
    """Time all of them and publish the table."""
    warnings.simplefilter("ignore")
    cores = cpu_count()
    has_skorch = find_spec("skorch") is not None
    lines = []
    digits, labels = data_sets()["digits"]
    ours(digits[:200], labels[:200], 1, cores)  # Libraries are imported before anything is timed.
    for name, (X, y) in data_sets().items():
        epochs = EPOCHS[name]
        turns = []
        for _ in range(N_TURNS[name]):
            together, _ = timed(ours, X, y, epochs, cores)
            alone, _ = timed(ours, X, y, epochs, 1)
            _, cpu = timed(one_by_one, X, y, epochs)
            stacking = timed(peer, X, y, epochs)[0] if has_skorch else float("nan")
            turns.append((together, alone, cpu / cores, stacking))
        together, alone, floor, stacking = (statistics.median(column) for column in zip(*turns, strict=True))
        ratios = [
            statistics.median(turn[0] / turn[2] for turn in turns),
            statistics.median(turn[0] / turn[3] for turn in turns),
        ]
        lines.append([name, N_TURNS[name], *(f"{each:.2f}" for each in (together, alone, floor, stacking, *ratios))])
    header = ["data", "turns", f"Ensemble, {cores} threads (s)", "1 thread (s)", "floor (s)", "StackingClassifier (s)"]
    text = f"{FOLDS} folds; wall seconds, medians over the turns."
    publish(__file__, "Fitting an ensemble", [text, table([*header, "to the floor", "to StackingClassifier"], lines)])


if __name__ == "__main__":
    main()
