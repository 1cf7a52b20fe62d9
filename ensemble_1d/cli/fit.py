"""`ensemble-1d fit`: an ensemble from a table, with its out-of-fold leaderboard."""

import argparse
import ast
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d._require import require
from ensemble_1d.cli.columns import (
    Floats32,
    Task,
    check_missing,
    check_target,
    dropped_columns,
    inferred_task,
    numbers_of,
    target_of,
)
from ensemble_1d.cli.console import Console
from ensemble_1d.cli.files import check_output, deliver, saved_bytes
from ensemble_1d.cli.tables import Table, listed
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.predictor import Predictor


@dataclass(frozen=True, slots=True, eq=False)
class TrainingData:
    """What a table gives to fit.

    Attributes:
        where: What messages call the table.
        names: Names of the features.
        rows: Of shape (n_samples, n_features), float32.
        y: Labels or values of shape (n_samples,).
        task: What to fit.
    """

    where: str
    names: list[str]
    rows: Floats32
    y: npt.NDArray[Any]
    task: Task


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Fit, save and rank.

    Args:
        arguments: Of the command line.
        console: Where to tell.
    """
    from ensemble_1d.ensemble import Ensemble  # scikit-learn loads when the table is known to be good

    began = time.perf_counter()
    check_output(arguments.out, console, is_binary=True)
    data = _training_data(arguments, console)
    names, rows, task = data.names, data.rows, data.task
    members = _members(arguments.models, task, arguments.param)
    _check_members_take(data, members)
    console.note(f"fitting {', '.join(name for name, _ in members)} on {len(rows):,} rows of {len(names)} features")
    ensemble = Ensemble(
        members,
        task=task,
        combine=arguments.combine,
        cv=arguments.cv,
        n_jobs=arguments.jobs,
        verbose=not console.is_quiet,
        random_state=arguments.seed,
    )
    frame = require("pandas", caller="fit", extra="cli").DataFrame(rows, columns=names)
    try:
        ensemble.fit(frame, data.y)
    except InvalidInputError:
        raise
    except ValueError as error:  # scikit-learn and the backends say so what is wrong with data and parameters.
        raise InvalidInputError(str(error)) from error
    content = saved_bytes(Predictor(ensemble.program()))
    deliver(arguments.out, content, console)
    leaderboard = ensemble.leaderboard()
    console.result(
        str(leaderboard),
        {
            "command": "fit",
            "out": arguments.out,
            "bytes": len(content),
            "task": task,
            "target": arguments.target,
            "n_rows": len(rows),
            "feature_names": names,
            "classes": ensemble.classes_.tolist() if task == "classification" else None,
            "combine": arguments.combine,
            "seed": arguments.seed,
            "seconds": round(time.perf_counter() - began, 3),
            "leaderboard": list(leaderboard),
        },
    )


def _training_data(arguments: argparse.Namespace, console: Console) -> TrainingData:
    """Return what the table gives, and tell what was made of it."""
    table = Table(arguments.data)
    target = arguments.target
    table.require_columns([target])
    dropped = dropped_columns(table, arguments.drop)
    if table.n_unnamed:
        console.note(f"left out {table.n_unnamed} column(s) without a name, such as the index that pandas writes")
    if table.separator not in {",", None}:
        console.note(f"cells of {table.where} are taken to be separated by {table.separator!r}")
    names = [name for name in table.columns if name not in {target, *dropped}]
    if not names:
        raise InvalidInputError(f"{table.where} has no feature beside the target {target!r}; add columns of numbers")
    frame = table.read([*names, target])
    y = target_of(frame[target], target, table.where)
    task: Task | None = arguments.task
    if task is None:
        task, reason = inferred_task(y)
        other = "regression" if task == "classification" else "classification"
        advice = "" if y.dtype.kind not in "iuf" else f"; --task {other} says otherwise"
        console.note(f"task: {task}, because column {target!r} holds {reason}{advice}")
    check_target(y, target, table.where, task)
    return TrainingData(table.where, names, numbers_of(frame[names], table.where, may_drop=True), y, task)


def _members(wanted: Sequence[str] | None, task: Task, given: Sequence[tuple[str, str, str]]) -> list[tuple[str, Any]]:
    """Return names and models, with their parameters."""
    from ensemble_1d.models.defaults import default_models
    from ensemble_1d.models.pytorch_model import PyTorchModel
    from ensemble_1d.models.random_forest import RandomForestModel
    from ensemble_1d.models.xgboost_model import XGBoostModel

    kinds = {"random_forest": RandomForestModel, "xgboost": XGBoostModel, "pytorch": PyTorchModel}
    members = default_models(task) if wanted is None else [(name, kinds[name](task=task)) for name in wanted]
    for name, parameter, text in given:
        model: Any = dict(members).get(name)
        if model is None:
            raise InvalidInputError(
                f"--param {name}.{parameter}={text} names no member; they are {listed([each for each, _ in members])}"
            )
        if parameter not in model.get_params():
            known = listed(sorted(set(model.get_params()) - {"task"}))
            raise InvalidInputError(f"--param {name}.{parameter}: there is no such parameter; {name} has {known}")
        model.set_params(**{parameter: _value(text)})
    return members


def _value(text: str) -> Any:
    """Return a number, a tuple, None or True where the text is one in Python, and else the text."""
    try:
        return ast.literal_eval(text)
    except (SyntaxError, ValueError):
        return text


def _check_members_take(data: TrainingData, members: Sequence[tuple[str, Any]]) -> None:
    """Refuse missing values for members that take none."""
    from ensemble_1d.members import accepts_missing

    refusing = [name for name, model in members if not accepts_missing(model)]
    if refusing and np.isnan(data.rows).any():
        remedy = f"and {', '.join(refusing)} takes no missing values; fill them in, --drop the column, or leave "
        check_missing(data.rows, data.names, data.where, remedy + f"{' and '.join(refusing)} out of --models")
