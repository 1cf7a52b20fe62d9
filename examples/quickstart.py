"""The main job, end to end: fit an ensemble, quantize it, write one C header, get the same answers.

Run it with `make quickstart`, or `python examples/quickstart.py [--no-torch] [--out FOLDER]`. It needs no network
connection; a C compiler compares the header with Python.
"""

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.datasets import load_breast_cancer, load_digits
from sklearn.model_selection import train_test_split

from ensemble_1d import BaseModel, Ensemble, PyTorchModel, RandomForestModel, XGBoostModel


def members(*, with_torch: bool) -> list[BaseModel]:
    """Return the models of the ensemble, sized for a microcontroller."""
    models: list[BaseModel] = [RandomForestModel(n_estimators=50, max_depth=10), XGBoostModel(max_depth=4)]
    if with_torch:
        models.append(PyTorchModel(hidden_layer_sizes=(32,)))
    return models


def run(name: str, load: Callable[..., Any], folder: Path, *, with_torch: bool) -> None:
    """Fit, quantize, export and compare on one data set."""
    X, y = load(return_X_y=True)
    X = X.astype(np.float32)
    X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.3, random_state=0, stratify=y)

    ensemble = Ensemble(members(with_torch=with_torch), random_state=0).fit(X_train, y_train)
    small = ensemble.quantize("int8", X_calibration=X_train)

    print(f"\n{name}: {len(X_train)} rows to train, {len(X_test)} to test")
    print(f"  {'':<18}{'accuracy':>9}{'bytes':>10}")
    scores = ensemble.evaluate(X_test, y_test)
    for member, model in ensemble.members_.items():
        print(f"  {member:<18}{scores[member]['accuracy']:>9.4f}{model.program().nbytes:>10,}")
    print(f"  {'ensemble':<18}{scores['ensemble']['accuracy']:>9.4f}{ensemble.program().nbytes:>10,}")
    report = small.measure(X_test, y_test)
    print(f"  {'ensemble, int8':<18}{report.score_integer:>9.4f}{report.integer_bytes:>10,}")
    print(f"  same label as the float ensemble: {report.agreement:.2%} of the test rows")

    path = small.export_c(folder / f"{name}.h", name)
    print(f"  wrote {path} ({path.stat().st_size:,} bytes of text)")
    print(f"  C against Python: {small.verify_c(X_test)}")


def main() -> None:
    """Run the main job on two data sets that scikit-learn brings along."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--no-torch", action="store_true", help="leave the network out")
    parser.add_argument("--out", type=Path, default=Path("quickstart-output"), help="folder for the headers")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, load in (("cancer", load_breast_cancer), ("digits", load_digits)):
        run(name, load, arguments.out, with_torch=not arguments.no_torch)


if __name__ == "__main__":
    main()
