"""`ensemble-1d predict`: the answers of a model for the rows of a table."""

import argparse
import warnings
from typing import Any

from ensemble_1d.cli.columns import dropped_columns, rows_for
from ensemble_1d.cli.console import STDIO, Console
from ensemble_1d.cli.files import check_output, deliver, saved_model
from ensemble_1d.cli.tables import Table, csv_bytes, parquet_bytes
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.predictor import Predictor

_ROWS_TO_COMPILE = 10_000
"""From this number of rows on, C pays for most models even where the kernels have to be compiled first."""

_ANSWER = "prediction"


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Predict, and write what was predicted.

    Args:
        arguments: Of the command line.
        console: Where to tell.
    """
    is_parquet = arguments.out.endswith(".parquet")
    check_output(arguments.out, console, is_binary=is_parquet)
    saved = saved_model(arguments.model)
    model, labels = saved.predictor, saved.predictor.program.classes
    classes = None if labels is None else labels.tolist()
    if arguments.proba and labels is None:
        raise InvalidInputError(f"--proba needs classes, and {saved.where} does regression; leave it out")
    table = Table(arguments.data)
    dropped = dropped_columns(table, arguments.drop)
    rows, _ = rows_for(model.program, table, dropped=dropped, target=None, note=console.note)
    if len(rows) >= _ROWS_TO_COMPILE:
        model = _compiled(model)
    document: dict[str, Any] = {"command": "predict", "model": arguments.model, "n_rows": len(rows), "classes": classes}
    if arguments.proba and labels is not None:
        probabilities = model.predict_proba(rows)
        answers = labels[probabilities.argmax(axis=1)].tolist()
    else:
        probabilities, answers = None, model.predict(rows).tolist()
    if console.as_json and arguments.out == STDIO:
        document["predictions"] = answers
        document["probabilities"] = None if probabilities is None else probabilities.tolist()
        console.result("", document)
        return
    columns = {} if probabilities is None else _by_class(classes, probabilities)
    columns[_ANSWER] = answers
    deliver(arguments.out, (parquet_bytes if is_parquet else csv_bytes)(columns), console)
    if arguments.out != STDIO:
        text = f"{len(rows):,} predictions in {arguments.out}"
        console.result(text, document | {"out": arguments.out, "columns": list(columns)})


def _compiled(model: Predictor) -> Predictor:
    """Return the model in C, or as it is where no compiler works: the answers are the same."""
    from ensemble_1d.native.native_program import SlowPredictionWarning  # for many rows alone

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SlowPredictionWarning)
        return model.compile()


def _by_class(classes: Any, probabilities: Any) -> dict[str, list[Any]]:
    """Return the probabilities of each class under its name."""
    names = [str(label) for label in classes]
    if _ANSWER in names:
        raise InvalidInputError(f"the class {_ANSWER!r} has the name of the column of answers; use --json")
    return dict(zip(names, probabilities.T.tolist(), strict=True))
