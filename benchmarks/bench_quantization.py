"""The int8 ensemble beside the float ensemble, and beside its C code, on every data set, with exact and compact codes.

Members: forest, boosted trees and, where nothing is missing, a network; all with default parameters, seed 0.
"""

import sys

import numpy as np
from data_sets import DataSet, data_sets
from tables import publish, table

from ensemble_1d import BaseModel, Ensemble, PyTorchModel, RandomForestModel, XGBoostModel
from ensemble_1d.quantization.report import QuantizationReport

CODES = {"exact": False, "compact": True}
LEVEL = "-O2"
HEADER = (
    "data set", "task", "test rows", "float", "bytes of float tables",
    *(f"{codes}: {what}" for codes in CODES for what in ("agreement", "change (points)", "bytes", "C rows different")),
)  # fmt: skip


def fitted(data: DataSet) -> Ensemble:
    """Return the ensemble of a data set."""
    members: list[BaseModel] = [RandomForestModel(task=data.task), XGBoostModel(task=data.task)]
    if not data.has_missing:
        members.append(PyTorchModel(task=data.task))
    return Ensemble(members, task=data.task, random_state=0).fit(data.X_train, data.y_train)


def measured(data: DataSet, ensemble: Ensemble, *, compact: bool) -> tuple[QuantizationReport, int]:
    """Return the report on the test rows, and on how many rows of all C answers otherwise than Python."""
    predictor = ensemble.quantize("int8", data.X_train, data.y_train, compact=compact)
    report = predictor.measure(data.X_test, data.y_test)
    check = predictor.verify_c(np.concatenate([data.X_train, data.X_test]), flags=(LEVEL,))
    return report, check.n_different


def points(report: QuantizationReport) -> float:
    """Return by how many points of a hundred the score has changed."""
    return ((report.score_integer or 0.0) - (report.score_float or 0.0)) * 100


def main() -> None:
    """Measure every data set and publish the table."""
    lines: list[list[object]] = []
    found: dict[str, list[tuple[QuantizationReport, int]]] = {codes: [] for codes in CODES}
    for data in data_sets():
        ensemble = fitted(data)
        both = {codes: measured(data, ensemble, compact=compact) for codes, compact in CODES.items()}
        report = both["exact"][0]
        line: list[object] = [data.name, "R2" if data.task == "regression" else "accuracy", report.n_samples]
        line += [f"{report.score_float:.4f}", report.float_bytes]
        for codes, (each, n_different) in both.items():
            found[codes].append((each, n_different))
            line += [f"{each.agreement:.4f}", f"{points(each):+.2f}", each.integer_bytes, n_different]
        lines.append(line)
        sys.stderr.write(f"{data.name}\n")
    summary = [
        [
            codes,
            f"{np.mean([each.agreement for each, _ in pairs]):.4f}",
            f"{np.mean([points(each) for each, _ in pairs]):+.3f}",
            f"{min(points(each) for each, _ in pairs):+.2f}",
            sum(n_different for _, n_different in pairs),
        ]
        for codes, pairs in found.items()
    ]
    text = (
        f"{len(lines)} data sets. Agreement is the share of test rows with the same label (for regression, R2 of the "
        f"integer values against the float ones). C is compiled at {LEVEL} and compared on training and test rows."
    )
    header = ["codes", "mean agreement", "mean change (points)", "largest loss (points)", "C rows different"]
    blocks = [text, table(header, summary), table(HEADER, lines)]
    publish(__file__, "Quantized ensembles: agreement, scores, and equality with C", blocks)


if __name__ == "__main__":
    main()
