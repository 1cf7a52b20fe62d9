"""The time PyTorchModel takes to fit, beside a bare torch loop and skorch: same network, batches, epochs, one thread.

The three take turns; ratios are medians over the turns of CPU seconds. The bare loop does what anyone would write:
nn.Sequential, AdamW, randperm, one batch after another.
"""

import statistics
import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_breast_cancer, load_digits, make_classification
from sklearn.preprocessing import StandardScaler
from tables import publish, table

from ensemble_1d import PyTorchModel

N_TURNS = 7
EPOCHS = 20
BATCH = 64
HIDDEN = (64, 32)
RATE = 0.003
DECAY = 0.01

Floats = npt.NDArray[np.float32]
Labels = npt.NDArray[np.int64]


def network(n_features: int, n_classes: int) -> torch.nn.Sequential:
    """Return the network that all three train."""
    sizes = [n_features, *HIDDEN]
    layers: list[torch.nn.Module] = []
    for n_inputs, n_outputs in pairwise(sizes):
        layers += [torch.nn.Linear(n_inputs, n_outputs), torch.nn.ReLU()]
    return torch.nn.Sequential(*layers, torch.nn.Linear(sizes[-1], n_classes))


def fit_bare(X: Floats, y: Labels) -> None:
    """Train with a plain loop."""
    torch.manual_seed(0)
    inputs = torch.from_numpy(StandardScaler().fit_transform(X).astype(np.float32))
    targets = torch.from_numpy(y)
    model = network(X.shape[1], int(y.max()) + 1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=DECAY)
    for _ in range(EPOCHS):
        order = torch.randperm(len(inputs))
        for begin in range(0, len(inputs), BATCH):
            batch = order[begin : begin + BATCH]
            loss = torch.nn.functional.cross_entropy(model(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            torch.autograd.backward(loss)
            optimizer.step()


def fit_ours(X: Floats, y: Labels) -> None:
    """Train PyTorchModel."""
    PyTorchModel(
        hidden_layer_sizes=HIDDEN, learning_rate=RATE, weight_decay=DECAY, batch_size=BATCH, max_epochs=EPOCHS,
        device="cpu", random_state=0,
    ).fit(X, y)  # fmt: skip


def fit_skorch(X: Floats, y: Labels) -> None:
    """Train skorch's classifier."""
    from skorch import NeuralNetClassifier

    inputs = StandardScaler().fit_transform(X).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        NeuralNetClassifier(
            network(X.shape[1], int(y.max()) + 1), criterion=torch.nn.CrossEntropyLoss, optimizer=torch.optim.AdamW,
            lr=RATE, optimizer__weight_decay=DECAY, batch_size=BATCH, max_epochs=EPOCHS, train_split=None, verbose=0,
        ).fit(inputs, y)  # fmt: skip


def cpu_seconds(fit: Callable[[Floats, Labels], None], X: Floats, y: Labels) -> float:
    """Return the CPU seconds of one fit."""
    begin = time.process_time()
    fit(X, y)
    return time.process_time() - begin


def main() -> None:
    """Time each in turn on three data sets and publish the ratios."""
    torch.set_num_threads(1)
    contestants: dict[str, Callable[[Floats, Labels], None]] = {"bare": fit_bare, "PyTorchModel": fit_ours}
    if find_spec("skorch"):
        contestants["skorch"] = fit_skorch
    sets = {
        "breast cancer (2 classes)": load_breast_cancer(return_X_y=True),
        "digits (10 classes)": load_digits(return_X_y=True),
        "20,000 rows x 20 (3 classes)": make_classification(20_000, 20, n_informative=10, n_classes=3, random_state=0),
    }
    rows = []
    for name, (X, y) in sets.items():
        data = X.astype(np.float32), y.astype(np.int64)
        for fit in contestants.values():
            fit(data[0][:200], data[1][:200])
        turns = [{key: cpu_seconds(fit, *data) for key, fit in contestants.items()} for _ in range(N_TURNS)]
        ratios = [
            f"{statistics.median(turn[key] / turn['bare'] for turn in turns):.2f}" if key in contestants else "absent"
            for key in ("PyTorchModel", "skorch")
        ]
        rows.append([name, f"{statistics.median(turn['bare'] for turn in turns):.2f}", *ratios])
    summary = (
        f"{EPOCHS} epochs, batches of {BATCH}, hidden layers {HIDDEN}, AdamW, one thread; medians of {N_TURNS} turns. "
        "PyTorchModel trains one logit for two classes, the others two."
    )
    header = ["data", "bare loop, CPU s", "PyTorchModel / bare", "skorch / bare"]
    publish(__file__, "Fitting a network", [summary, table(header, rows)])


if __name__ == "__main__":
    main()
