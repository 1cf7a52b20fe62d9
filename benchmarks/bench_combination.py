"""How well ensembles of the same members predict: every rule here, scikit-learn's meta-estimators, the best member.

Each data set is split three times (an official split stays, and models draw anew). Members are a forest, boosted trees
and a network with their defaults, seeded so that every ensemble fits the same ones; without a network where values are
missing.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from data_sets import DataSet, data_sets
from joblib import Parallel, cpu_count, delayed
from scipy.stats import rankdata
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor
from tables import publish, table

from ensemble_1d import Ensemble, PyTorchModel, RandomForestModel, XGBoostModel

SEEDS = (0, 1, 2)
DEFAULT = "stacking"
RULES: dict[str, dict[str, Any]] = {
    "soft": {"combine": "soft"},
    "optimized": {"combine": "optimized"},
    "greedy": {"combine": "greedy"},
    "stacking": {"combine": "stacking"},
}
CALIBRATED = {
    "soft, calibrated": {"combine": "soft", "calibrate": True},
    "optimized, calibrated": {"combine": "optimized", "calibrate": True},
    "greedy, calibrated": {"combine": "greedy", "calibrate": True},
    "stacking, calibrated": {"combine": "stacking", "calibrate": True},
}
VOTING, STACKING = "scikit-learn voting", "scikit-learn stacking"
MEMBERS = ("forest", "boosting", "network")
SMALLEST = 1e-15


@dataclass(frozen=True, slots=True)
class Score:
    """What one ensemble or member scores on the test rows: accuracy and log loss, or R2 and RMSE."""

    score: float
    loss: float


def members(data: DataSet, seed: int) -> list[tuple[str, Any]]:
    """Return unfitted members with fixed seeds."""
    kinds = [RandomForestModel, XGBoostModel] + ([] if data.has_missing else [PyTorchModel])
    return [(name, kind(task=data.task, random_state=seed)) for name, kind in zip(MEMBERS, kinds, strict=False)]


def scored(model: Any, data: DataSet) -> Score:
    """Return the scores of a fitted model on the test rows."""
    if data.task == "regression":
        error = model.predict(data.X_test) - data.y_test
        spread = np.mean((data.y_test - data.y_test.mean()) ** 2)
        return Score(float(1 - np.mean(error**2) / spread), float(np.sqrt(np.mean(error**2) / spread)))
    probability = model.predict_proba(data.X_test)
    column = np.searchsorted(model.classes_, data.y_test)
    of_truth = probability[np.arange(len(column)), column]
    loss = float(-np.log(np.maximum(of_truth, SMALLEST)).mean())
    return Score(float((probability.argmax(axis=1) == column).mean()), loss)


def run(data: DataSet, seed: int) -> dict[str, Score]:
    """Return the scores of every ensemble on one data set, and of each member, fitted once for all rules here."""
    warnings.simplefilter("ignore")
    named = members(data, seed)
    is_regression = data.task == "regression"
    ensemble = Ensemble(named, task=data.task, random_state=seed).fit(data.X_train, data.y_train)
    found = {name: scored(model, data) for name, model in ensemble.members_.items()}
    oof = {line["name"]: line["log_loss" if not is_regression else "rmse"] for line in ensemble.leaderboard()}
    found["chosen member"] = found[min(ensemble.members_, key=lambda name: oof[name])]
    rules = RULES if is_regression else RULES | CALIBRATED
    for name, rule in rules.items():
        found[name] = scored(ensemble.recombine(**rule), data)
    voting = VotingRegressor(named) if is_regression else VotingClassifier(named, voting="soft")
    stacking = StackingRegressor(named, cv=5) if is_regression else StackingClassifier(named, cv=5)
    for name, model in ((VOTING, voting), (STACKING, stacking)):
        found[name] = scored(model.fit(data.X_train, data.y_train), data)
    return found


def averages(results: Sequence[dict[str, Score]]) -> dict[str, Score]:
    """Return the mean over the seeds, and the member whose mean is best in hindsight."""
    names = results[0]
    mean = {
        name: Score(
            float(np.mean([each[name].score for each in results])),
            float(np.mean([each[name].loss for each in results])),
        )
        for name in names
    }
    own = [mean[name] for name in MEMBERS if name in mean]
    mean["best member"] = Score(max(each.score for each in own), min(each.loss for each in own))
    return mean


def ranks(values: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Return the mean rank of each row over the columns; 1 is the smallest."""
    return np.asarray(rankdata(values, axis=0).mean(axis=1))


def compared(means: dict[str, dict[str, Score]], names: Sequence[str], score: str, loss: str) -> str:
    """Return a table of mean scores, mean ranks and the distance from the best member, one line for each ensemble."""
    of = {name: [mean[name] for mean in means.values()] for name in names}
    scores = np.array([[each.score for each in of[name]] for name in names])
    losses = np.array([[each.loss for each in of[name]] for name in names])
    score_ranks, loss_ranks = ranks(-scores.round(6)), ranks(losses.round(6))
    best = np.array([mean["best member"].score for mean in means.values()])
    lines = [
        [
            name,
            f"{scores[i].mean():.4f}",
            f"{score_ranks[i]:.2f}",
            f"{losses[i].mean():.4f}",
            f"{loss_ranks[i]:.2f}",
            f"{100 * (scores[i] - best).min():+.2f}",
            int((scores[i] < best - 0.01 - 1e-9).sum()),
        ]
        for i, name in enumerate(names)
    ]
    header = ["ensemble", f"mean {score}", "mean rank", f"mean {loss}", "mean rank"]
    return table([*header, "worst against best member (points)", "sets more than 1 point below it"], lines)


def each_set(means: dict[str, dict[str, Score]], names: Sequence[str]) -> str:
    """Return a table of score and loss for each data set."""
    lines = [
        [title, *(f"{mean[name].score:.4f} / {mean[name].loss:.4f}" for name in names)] for title, mean in means.items()
    ]
    return table(["data set", *names], lines)


def main() -> None:
    """Fit everything and publish the tables."""
    jobs = [(data, seed) for seed in SEEDS for data in data_sets(seed)]
    found = Parallel(n_jobs=cpu_count())(delayed(run)(data, seed) for data, seed in jobs)
    parts = []
    for task, score, loss in (("classification", "accuracy", "log loss"), ("regression", "R2", "RMSE / deviation")):
        names = sorted({data.name for data, _ in jobs if data.task == task})
        means = {
            name: averages([each for (data, _), each in zip(jobs, found, strict=True) if data.name == name])
            for name in names
        }
        peers = [DEFAULT, "best member", "chosen member", VOTING, STACKING]
        rules = list(RULES) if task == "regression" else [*RULES, *CALIBRATED]
        default, voting = (np.mean([mean[name].loss for mean in means.values()]) for name in (DEFAULT, VOTING))
        lead = (
            f"The mean {loss} of {DEFAULT} is {100 * (1 - default / voting):.1f} % below that of {VOTING}. "
            '"Best member" is the one whose test score turned out best on each set, apart for each column; '
            '"chosen member" the one with the lowest out-of-fold loss, known before the test.'
        )
        parts += [
            f"## {task.capitalize()}: {len(names)} sets, means of seeds {', '.join(map(str, SEEDS))}",
            lead,
            compared(means, peers, score, loss),
            f"The rules beside each other ({', '.join(rules)}):",
            compared(means, [*rules, "best member"], score, loss),
            f"{score} / {loss} on each set:",
            each_set(means, peers),
        ]
    publish(__file__, "Combination rules", parts)


if __name__ == "__main__":
    main()
