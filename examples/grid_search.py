"""Search over an ensemble's rule and its members' parameters, then ship the best: `python examples/grid_search.py`.

Parameters of a member are reached by its name and two underscores, as those of a step in a Pipeline; a member itself is
a parameter too, and "drop" leaves it out.
"""

import argparse
from pathlib import Path

import numpy as np
from sklearn.datasets import load_breast_cancer
from sklearn.model_selection import GridSearchCV, train_test_split

from ensemble_1d import Ensemble, RandomForestModel, XGBoostModel

GRID = {
    "combine": ["soft", "stacking"],
    "random_forest__max_depth": [3, 6],
    "xgboost": [XGBoostModel(n_estimators=50, max_depth=2), XGBoostModel(n_estimators=50, max_depth=4), "drop"],
}


def main() -> None:
    """Search, refit the best on all training rows, quantize it and write its header."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("cancer.h"), help="the header to write")
    arguments = parser.parse_args()
    X, y = load_breast_cancer(return_X_y=True)
    X_train, X_test, y_train, y_test = train_test_split(
        X.astype(np.float32), y, test_size=0.3, random_state=0, stratify=y
    )
    ensemble = Ensemble([RandomForestModel(n_estimators=20), XGBoostModel(n_estimators=20)], cv=3, random_state=0)
    search = GridSearchCV(ensemble, GRID, scoring="neg_log_loss", cv=3, error_score="raise").fit(X_train, y_train)
    for name, value in search.best_params_.items():
        print(f"best {name}: {value}")
    print(f"log loss in cross-validation: {-search.best_score_:.4f}")

    best: Ensemble = search.best_estimator_
    print(f"accuracy on test rows: {best.score(X_test, y_test):.4f}")
    small = best.quantize("int8", X_calibration=X_train)
    print(small.measure(X_test, y_test))
    print(f"wrote {small.export_c(arguments.out, 'cancer')}")
    print(f"C against Python: {small.verify_c(X_test)}")


if __name__ == "__main__":
    main()
