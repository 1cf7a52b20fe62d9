"""What an ensemble's predict_proba costs beyond its members, for one row and for 10,000, and one row of a large forest.

CPU milliseconds on one thread, medians over turns in which all take part. "Libraries" are the members' own backends
asked directly: scikit-learn's forest, XGBoost's estimator and the torch module; "members" the same predictions without
these libraries' own checks, as the ensemble makes them.
"""

import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import torch
from sklearn.datasets import load_digits
from sklearn.ensemble import VotingClassifier
from tables import publish, table

from ensemble_1d import Ensemble, PyTorchModel, RandomForestModel, XGBoostModel

N_TURNS = 15
LARGE_FOREST = 200

Floats = npt.NDArray[np.float32]


def torch_module(network: PyTorchModel) -> torch.nn.Sequential:
    """Return the trained network as a torch module, standardised inputs expected."""
    layers: list[torch.nn.Module] = []
    sizes = [network.coefs_[0].shape[1], *(len(bias) for bias in network.intercepts_)]
    for (n_inputs, n_outputs), weight, bias in zip(pairwise(sizes), network.coefs_, network.intercepts_, strict=True):
        layer = torch.nn.Linear(n_inputs, n_outputs)
        layer.weight.data, layer.bias.data = torch.from_numpy(weight), torch.from_numpy(bias)
        layers += [layer, torch.nn.ReLU()]
    return torch.nn.Sequential(*layers[:-1], torch.nn.Softmax(dim=1))


def medians(calls: Sequence[Callable[[], object]], n_calls: int) -> list[float]:
    """Return the median CPU milliseconds of each call, taken in turns."""
    turns = []
    for _ in range(N_TURNS):
        turn = []
        for call in calls:
            began = time.process_time()
            for _ in range(n_calls):
                call()
            turn.append(1000 * (time.process_time() - began) / n_calls)
        turns.append(turn)
    return [statistics.median(column) for column in zip(*turns, strict=True)]


def member_outputs(ensemble: Ensemble, rows: Floats) -> None:
    """Let each member predict, as the ensemble does."""
    for member in ensemble.members_.values():
        member._predict_backend(rows)


def library_outputs(ensemble: Ensemble, module: torch.nn.Sequential, rows: Floats) -> None:
    """Let the library behind each member predict."""
    forest, boosting, network = ensemble.members_.values()
    forest.backend_.predict_proba(rows)
    boosting.backend_.predict_proba(rows)
    with torch.no_grad():
        module(torch.from_numpy((rows - network.input_mean_) * network.input_scale_)).numpy()


def main() -> None:
    """Fit once, time everything, publish the tables."""
    torch.set_num_threads(1)
    X, y = load_digits(return_X_y=True)
    X = X.astype(np.float32)
    members = [RandomForestModel(random_state=0), XGBoostModel(random_state=0), PyTorchModel(random_state=0)]
    voting = VotingClassifier([(member.default_name, member) for member in members], voting="soft").fit(X, y)
    lines = []
    for rule in ("soft", "stacking"):
        ensemble = Ensemble(members, combine=rule, random_state=0).fit(X, y)
        module = torch_module(ensemble.members_["pytorch"])
        for rows, n_calls in ((X[:1], 40), (np.tile(X, (6, 1))[:10_000], 1)):
            calls: list[Callable[[], object]] = [
                partial(ensemble.predict_proba, rows),
                partial(member_outputs, ensemble, rows),
                partial(library_outputs, ensemble, module, rows),
                partial(voting.predict_proba, rows),
            ]
            whole, own, libraries, peer = medians(calls, n_calls)
            more = [f"{whole - each:+.2f} ({100 * (whole / each - 1):+.1f} %)" for each in (own, libraries)]
            lines.append([rule, len(rows), *(f"{each:.2f}" for each in (whole, own, libraries, peer)), *more])
    forest = RandomForestModel(n_estimators=LARGE_FOREST, random_state=0).fit(X, y)
    one = X[:1]
    ours, theirs = medians([partial(forest.predict_proba, one), partial(forest.backend_.predict_proba, one)], 20)
    header = ["rule", "rows", "Ensemble", "members", "libraries", "VotingClassifier", "over members", "over libraries"]
    text = f"Digits, 64 features, 10 classes; CPU milliseconds of one thread, medians of {N_TURNS} turns."
    last = f"One row of a forest of {LARGE_FOREST} trees: {ours:.2f} ms, scikit-learn's own {theirs:.2f} ms."
    publish(__file__, "Predicting with an ensemble", [text, table(header, lines), last])


if __name__ == "__main__":
    main()
