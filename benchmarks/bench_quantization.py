"""The int8 ensemble beside the float ensemble, and beside its C code, on every data set.

Members: forest, boosted trees and, where nothing is missing, a network; all with default parameters, seed 0.
Agreement and scores are on the test rows; C is compiled at -O0 and -O2 and compared on training and test rows.
"""

import numpy as np
from data_sets import DataSet, data_sets
from tables import publish, table

from ensemble_1d import BaseModel, Ensemble, PyTorchModel, RandomForestModel, XGBoostModel

LEVELS = ("-O0", "-O2")
HEADER = (
    "data set", "task", "test rows", "agreement", "float", "int8", "change (points)",
    *(f"C rows different {level}" for level in LEVELS), "inexact splits", "table bytes float", "int8",
)  # fmt: skip


def row(data: DataSet) -> list[object]:
    """Return the line of one data set."""
    members: list[BaseModel] = [RandomForestModel(task=data.task), XGBoostModel(task=data.task)]
    if not data.has_missing:
        members.append(PyTorchModel(task=data.task))
    ensemble = Ensemble(members, task=data.task, random_state=0).fit(data.X_train, data.y_train)
    predictor = ensemble.quantize("int8", data.X_train, data.y_train)
    report = predictor.measure(data.X_test, data.y_test)
    rows = np.concatenate([data.X_train, data.X_test])
    checks = [predictor.verify_c(rows, flags=(level,)) for level in LEVELS]
    before, after = report.score_float or 0.0, report.score_integer or 0.0
    return [
        data.name,
        "R2" if data.task == "regression" else "accuracy",
        report.n_samples,
        f"{report.agreement:.4f}",
        f"{before:.4f}",
        f"{after:.4f}",
        f"{(after - before) * 100:+.2f}",
        *(f"{check.n_different} of {check.n_rows}" for check in checks),
        f"{report.n_inexact_splits} of {report.n_splits}",
        report.float_bytes,
        report.integer_bytes,
    ]


def main() -> None:
    """Measure every data set and publish the table."""
    rows = [row(data) for data in data_sets()]
    low = [str(each[0]) for each in rows if float(str(each[3])) < 0.99]
    moved = [str(each[0]) for each in rows if abs(float(str(each[6]))) > 0.5]
    summary = (
        f"{len(rows)} data sets. Agreement is the share of test rows with the same label (for regression, R2 of the "
        f"integer values against the float ones). Below 0.99: {', '.join(low) or 'none'}. "
        f"Score changed by more than 0.5 points: {', '.join(moved) or 'none'}."
    )
    publish(__file__, "Quantized ensembles: agreement, scores, and equality with C", [summary, table(HEADER, rows)])


if __name__ == "__main__":
    main()
