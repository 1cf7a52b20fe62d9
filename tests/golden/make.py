"""Golden files of the format version that this checkout writes: `python tests/golden/make.py`, once for each version.

Each is an .e1d file and a .json file beside it with rows and their answers. Files of a version that was released are
never made again: they are what users have.
"""

import json
import sys
from pathlib import Path

import numpy as np
from sklearn.datasets import load_wine

from ensemble_1d import Ensemble, Predictor, PyTorchModel, RandomForestModel, XGBoostModel
from ensemble_1d.storage.artifact import FORMAT_VERSION

FOLDER = Path(__file__).parent


def predictors() -> dict[str, Predictor]:
    """Return a float and an integer predictor that hold every node a fitted ensemble has."""
    X, y = load_wine(return_X_y=True)
    X, labels = X[:, :6].astype(np.float32), np.array(["red", "white", "rosé"])[y]
    members = [
        ("forest", RandomForestModel(n_estimators=4, max_depth=3)),
        ("boosting", XGBoostModel(n_estimators=2, max_depth=2)),
        ("network", PyTorchModel(hidden_layer_sizes=(4,), max_epochs=40, learning_rate=0.03, device="cpu")),
    ]
    columns = {"forest": [0, 2, 5]}
    options = {"cv": 3, "calibrate": True, "passthrough": True, "random_state": 0}
    stacking = Ensemble(members, columns=columns, **options).fit(X, labels)
    return {"float": Predictor(stacking.program()), "integer": stacking.quantize("int8", X)}


def main() -> None:
    """Write what is not there yet."""
    X, _ = load_wine(return_X_y=True)
    rows = X[::9, :6].astype(np.float32)
    for name, predictor in predictors().items():
        path = FOLDER / f"v{FORMAT_VERSION}-{name}.e1d"
        if path.exists():
            sys.exit(f"{path} is there already; a golden file is made once")
        predictor.save(path)
        answers = {
            "rows": rows.tolist(),
            "labels": predictor.predict(rows).tolist(),
            "probabilities": predictor.predict_proba(rows).tolist(),
        }
        path.with_suffix(".json").write_text(json.dumps(answers) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
