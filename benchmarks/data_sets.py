"""The data sets that benchmarks run on: a folder of .npz files where there is one, and scikit-learn's own otherwise.

The folder is named by ENSEMBLE_1D_DATA, or stands beside the checkout. Each file holds X (n_samples, n_features) or
(n_samples, n_channels, length), y, and X_test with y_test where there is an official split.
"""

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_iris, load_wine
from sklearn.model_selection import train_test_split

Task = Literal["classification", "regression"]


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """Training and test rows of one data set, signals flattened to rows."""

    name: str
    task: Task
    X_train: npt.NDArray[np.float32]
    X_test: npt.NDArray[np.float32]
    y_train: npt.NDArray[Any]
    y_test: npt.NDArray[Any]

    @property
    def has_missing(self) -> bool:
        """Whether any training or test value is missing."""
        return bool(np.isnan(self.X_train).any() or np.isnan(self.X_test).any())


def data_sets(seed: int = 0) -> Iterator[DataSet]:
    """Yield every data set, split 70/30 (by class) unless it has an official split."""
    folder = Path(os.environ.get("ENSEMBLE_1D_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
    files = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    if files:
        for file in files:
            with np.load(file, allow_pickle=False) as arrays:
                yield _split(file.stem, dict(arrays), seed)
        return
    for load in (load_breast_cancer, load_digits, load_iris, load_wine, load_diabetes):
        yield bundled(load, seed)


def bundled(load: Callable[..., Any], seed: int = 0) -> DataSet:
    """Return one of scikit-learn's own data sets, by its loader."""
    X, y = load(return_X_y=True)
    return _split(load.__name__.removeprefix("load_"), {"X": X, "y": y}, seed)


def _split(name: str, arrays: dict[str, npt.NDArray[Any]], seed: int) -> DataSet:
    """Return the training and test rows of one data set."""
    X, y = arrays["X"], arrays["y"]
    X = X.reshape(len(X), -1).astype(np.float32)
    task: Task = "regression" if y.dtype.kind == "f" and len(np.unique(y)) > 20 else "classification"
    if "X_test" in arrays:
        X_test = arrays["X_test"].reshape(len(arrays["X_test"]), -1).astype(np.float32)
        return DataSet(name, task, X, X_test, y, arrays["y_test"])
    by_class = y if task == "classification" else None
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=seed, stratify=by_class)
    return DataSet(name, task, X_train, X_test, y_train, y_test)
