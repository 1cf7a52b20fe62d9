"""Trees before and after ModelOptimizer, and what it costs on test rows that neither the fit nor the optimizer saw.

A quarter of the training rows is held out from the fit and guards the compression (`max_accuracy_drop=0.002`, the
default); the rest is what models are fitted on and what the steps go by. All seeds are 0.
"""

import time
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from data_sets import DataSet, data_sets
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits
from sklearn.model_selection import train_test_split
from tables import publish, table

from ensemble_1d import BaseModel, Ensemble, PyTorchModel, RandomForestModel, XGBoostModel

MOST_ROWS = 4000
"""Training rows used of larger sets."""
MANY_ROWS = 1000
"""Test rows that show a change of a few tenths of a point."""

HEADER = (
    "data set", "model", "rows: fit", "guard", "test", "trees", "after", "splits", "after", "left", "thresholds",
    "after", "leaves", "after", "score", "after", "change (points)", "int8 bytes", "after", "seconds",
)  # fmt: skip


def models(task: Any, *, has_missing: bool) -> Iterator[tuple[str, BaseModel]]:
    """Yield name and unfitted model of each workload."""
    forests = {n: RandomForestModel(task=task, n_estimators=n, max_depth=10, random_state=0) for n in (10, 50)}
    boosting = XGBoostModel(task=task, n_estimators=100, max_depth=4, random_state=0)
    yield "RF10", forests[10]
    yield "RF50", forests[50]
    yield "XGB100", boosting
    if not has_missing:
        network = PyTorchModel(task=task, hidden_layer_sizes=(32,), random_state=0)
        yield (
            "RF50 + XGB100 + MLP32",
            Ensemble([forests[50], boosting, network], task=task, combine="soft", random_state=0),
        )


def everything() -> Iterator[DataSet]:
    """Yield scikit-learn's sets, and those of the folder where there is one, without the names that both have."""
    own = [
        _data_set(name, load, task)
        for name, load, task in (
            ("breast_cancer", load_breast_cancer, "classification"),
            ("digits", load_digits, "classification"),
            ("diabetes", load_diabetes, "regression"),
        )
    ]
    yield from own
    known = {data.name for data in own} | {"wdbc", "iris", "wine"}
    yield from (data for data in data_sets() if data.name not in known)


def _data_set(name: str, load: Any, task: Any) -> DataSet:
    """Return a set of scikit-learn's, split 70/30 by class."""
    X, y = load(return_X_y=True)
    by_class = y if task == "classification" else None
    X_train, X_test, y_train, y_test = train_test_split(
        X.astype(np.float32), y, test_size=0.3, random_state=0, stratify=by_class
    )
    return DataSet(name, task, X_train, X_test, y_train, y_test)


def parts(data: DataSet) -> tuple[npt.NDArray[Any], ...] | None:
    """Return fit and guard rows and their labels; None where a class would have too few rows for both."""
    X, y = data.X_train, data.y_train
    if len(X) > MOST_ROWS:
        rows = np.sort(np.random.default_rng(0).permutation(len(X))[:MOST_ROWS])
        X, y = X[rows], y[rows]
    by_class = y if data.task == "classification" else None
    if by_class is not None and int(np.unique(y, return_counts=True)[1].min()) < 4:
        return None
    X_fit, X_val, y_fit, y_val = train_test_split(X, y, test_size=0.25, random_state=0, stratify=by_class)
    return X_fit, X_val, y_fit, y_val


def rows_of(data: DataSet) -> Iterator[tuple[float, float, list[object]]]:
    """Yield change of the score, share of the splits left, and the line of each model on one data set."""
    split = parts(data)
    if split is None:
        return
    X_fit, X_val, y_fit, y_val = split
    for name, model in models(data.task, has_missing=data.has_missing):
        model.fit(X_fit, y_fit)
        begin = time.perf_counter()
        small = model.optimize(X_fit, y_fit, X_val=X_val, y_val=y_val)
        seconds = time.perf_counter() - begin
        result = small.optimization
        assert result is not None  # noqa: S101 -- for the type checker
        before, after = result.before.sizes, result.after.sizes
        reports = [each.quantize("int8", X_fit).measure(data.X_test, data.y_test) for each in (model, small)]
        scores = [report.score_float or 0.0 for report in reports]
        change, left = scores[1] - scores[0], after.n_splits / max(before.n_splits, 1)
        line: list[object] = [data.name, name, len(X_fit), len(X_val), len(data.X_test), before.n_trees, after.n_trees]
        line += [before.n_splits, after.n_splits, f"{left:.0%}", before.n_thresholds, after.n_thresholds]
        line += [before.n_leaves, after.n_leaves, *(f"{score:.4f}" for score in scores), f"{change * 100:+.2f}"]
        line += [*(report.integer_bytes for report in reports), f"{seconds:.1f}"]
        yield change, left, line


def summary(found: list[tuple[float, float, list[object]]]) -> str:
    """Return the table of what was left and lost, by kind of model, on all sets and on those with many test rows."""
    lines = []
    for name in dict.fromkeys(str(line[1]) for _, _, line in found):
        for least in (0, MANY_ROWS):
            mine = [(change, left) for change, left, line in found if line[1] == name and int(str(line[4])) >= least]
            change, left = np.array(mine).T
            cells = [f"{np.median(left):.0%}", *(f"{each * 100:+.2f}" for each in (change.mean(), np.median(change)))]
            lines.append([name, f"{least:,} or more" if least else "any", len(mine), *cells])
    heads = ("model", "test rows", "sets", "splits left (median)", "score: mean change (points)", "median change")
    return table(heads, lines)


def main() -> None:
    """Measure every data set and publish the table."""
    warnings.simplefilter("ignore")
    found = [each for data in everything() for each in rows_of(data)]
    text = (
        f"{len(found)} models. Score is accuracy, or R2 for regression; bytes are those of all int8 tables before a "
        "layout packs them. On 100 test rows one row is a point."
    )
    lines = table(HEADER, [line for _, _, line in found])
    publish(__file__, "ModelOptimizer: trees before and after, scores on unseen rows", [text, summary(found), lines])


if __name__ == "__main__":
    main()
