"""Write the model of the edge examples: model.h, and rows.h with rows to answer; print Python's answers to them.

Run it with `python examples/edge/make_model.py [--out FOLDER] [--no-torch]`, before CMake or west.
"""

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from sklearn.datasets import load_wine
from sklearn.model_selection import train_test_split

from ensemble_1d import BaseModel, Ensemble, Predictor, PyTorchModel, RandomForestModel, XGBoostModel

N_ROWS = 8


def fitted(*, with_torch: bool) -> tuple[Predictor, npt.NDArray[np.float32]]:
    """Return a quantized ensemble of forest, boosted trees and network, and rows that it has not seen."""
    X, y = load_wine(return_X_y=True)
    X_train, X_test, y_train, _ = train_test_split(X.astype(np.float32), y, test_size=0.3, random_state=0, stratify=y)
    members: list[BaseModel] = [RandomForestModel(n_estimators=10, max_depth=6), XGBoostModel(n_estimators=10)]
    if with_torch:
        members.append(PyTorchModel(hidden_layer_sizes=(16,)))
    ensemble = Ensemble(members, random_state=0).fit(X_train, y_train)
    return ensemble.quantize("int8", X_calibration=X_train), X_test[:N_ROWS]


def rows_header(X: npt.NDArray[np.float32], n_classes: int) -> str:
    """Return the rows as C; hexadecimal floats lose nothing."""
    rows = ",\n".join("    {" + ", ".join(f"{float(value).hex()}f" for value in row) + "}" for row in X)
    return f"""\
/* Rows that the examples answer. Written by make_model.py. */
#ifndef ROWS_H
#define ROWS_H

#define N_ROWS {len(X)}
#define N_FEATURES {X.shape[1]}
#define N_CLASSES {n_classes}

static const float rows[N_ROWS][N_FEATURES] = {{
{rows}
}};

#endif
"""


def main() -> None:
    """Write both headers, and print what the firmware must print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "generated", help="folder for the headers")
    parser.add_argument("--no-torch", action="store_true", help="leave the network out")
    arguments = parser.parse_args()
    small, X = fitted(with_torch=not arguments.no_torch)
    probabilities = small.run_codes(small.quantize_input(X))
    arguments.out.mkdir(parents=True, exist_ok=True)
    small.export_c(arguments.out / "model.h", "model")
    (arguments.out / "rows.h").write_text(rows_header(X, probabilities.shape[1]), encoding="utf-8")
    for i, row in enumerate(probabilities):
        print(f"row {i}: class {row.argmax()}, Q15 {' '.join(map(str, row))}")


if __name__ == "__main__":
    main()
