"""Fit members on all rows, and on all rows but each fold: one list of tasks that joblib runs side by side."""

import time
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from joblib.parallel import get_active_backend
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.utils.parallel import Parallel, delayed
from threadpoolctl import threadpool_limits

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.fitted_members import FittedMember, member_output
from ensemble_1d.members import Columns, Member, adopted, drawn_seeds
from ensemble_1d.models.base import BaseModel, Floats32, Floats64
from ensemble_1d.models.early_stopping import EarlyStoppingModel
from ensemble_1d.models.fold_average import fold_average
from ensemble_1d.out_of_fold import Splits, held_rows
from ensemble_1d.thread_budget import with_threads, workers_and_threads

OnError = Literal["raise", "drop"]
Notify = Callable[[str, float], None]
"""Called after each fit with what was fitted and the seconds it took."""


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """What members are fitted on.

    Attributes:
        X: Of shape (n_samples, n_features), float32.
        labels: Labels or values as given to the ensemble, of shape (n_samples,).
        sample_weight: Of shape (n_samples,), or None.
        classes: All labels in order, or None for regression.
    """

    X: Floats32
    labels: npt.NDArray[Any]
    sample_weight: Floats64 | None
    classes: npt.NDArray[Any] | None


@dataclass(frozen=True, slots=True, eq=False)
class _Task:
    """One fit: a model and the rows of one fold, or all rows."""

    member: int
    label: str
    model: BaseModel
    columns: Columns | None
    fold: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None
    keeps_model: bool


@dataclass(frozen=True, slots=True, eq=False)
class _Outcome:
    """What a fit leaves: the model where it is wanted, what it says of held-out rows, times, or a traceback."""

    model: BaseModel | None = None
    output: Floats64 | None = None
    best_iteration: int | None = None
    fit_seconds: float = 0.0
    predict_seconds: float = 0.0
    failure: str | None = None


def fit_members(
    members: Sequence[Member],
    rows: TrainingRows,
    splits: Splits,
    *,
    average: bool,
    n_jobs: int | None,
    on_error: OnError,
    notify: Notify,
) -> tuple[list[FittedMember], dict[str, str]]:
    """Fit all members, and let them answer for the rows that each fold holds out.

    A model that stops early does so on the held-out rows of each fold; the model of all rows then runs for the mean of
    the folds' best iterations.

    Args:
        members: Unfitted models, or fitted ones that are taken as they are.
        rows: What they are fitted on.
        splits: Training and held-out rows of each fold; none if no rule learns from them.
        average: Whether to keep the folds' models, averaged, in place of a fit on all rows.
        n_jobs: How many threads to use in all.
        on_error: Whether a fit that fails stops everything, or drops its member.
        notify: Called after each fit.

    Returns:
        The fitted members, and the traceback of each that failed, by name. Warnings name members that failed, and those
        that sample weights do not reach.

    Raises:
        InvalidInputError: If no member could be fitted.
    """
    unweighted = [member.name for member in members if not member.takes_weights]
    if rows.sample_weight is not None and unweighted:
        rule = "they are fitted with equal weights"
        warnings.warn(f"sample_weight does not reach {unweighted}, whose fit takes none; {rule}", stacklevel=4)
    everyone = list(enumerate(members))
    # First the seed of the fit on all rows, then those of the folds.
    seeds = [drawn_seeds(member.seed, 1 + len(splits)) for member in members]
    unfitted = [(i, member) for i, member in everyone if not member.is_fitted]
    by_fold = [
        _task(
            i,
            member,
            seeds[i][1 + fold],
            f"{member.name}, fold {fold + 1} of {len(splits)}",
            fold=split,
            keeps_model=average,
        )
        for fold, split in enumerate(splits)
        for i, member in unfitted
    ]
    whole = [] if average else [_task(i, member, seeds[i][0], f"{member.name}, all rows") for i, member in unfitted]
    waits = [task for task in whole if splits and _stops_early(task.model)]
    # The fits on all rows are the longest: they come first.
    at_once = [*(task for task in whole if task not in waits), *by_fold]
    outcomes: list[list[_Outcome]] = [[] for _ in members]
    # BLAS belongs to the whole process, so its bound is set here, and not by fits that overlap: with another number of
    # threads it adds in another order.
    with threadpool_limits(limits=1, user_api="blas"):
        for task, outcome in _run_all(at_once, rows, n_jobs, on_error, notify):
            outcomes[task.member].append(outcome)
        ready = [_for_mean_iteration(task, outcomes[task.member]) for task in waits]
        for task, outcome in _run_all([task for task in ready if task], rows, n_jobs, on_error, notify):
            outcomes[task.member].append(outcome)
    fitted: list[FittedMember] = []
    failures: dict[str, str] = {}
    for i, member in everyone:
        failed = [outcome.failure for outcome in outcomes[i] if outcome.failure is not None]
        if failed:
            failures[member.name] = failed[0]
        else:
            fitted.append(_finished(member, rows, splits, outcomes[i], average=average))
    if failures:
        last_lines = {name: text.strip().splitlines()[-1] for name, text in failures.items()}
        if not fitted:
            raise InvalidInputError(f"no member could be fitted: {last_lines}")
        warnings.warn(f"dropped members whose fit failed: {last_lines}", FitFailedWarning, stacklevel=4)
    return fitted, failures


def _task(
    position: int,
    member: Member,
    seed: int | None,
    label: str,
    *,
    fold: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]] | None = None,
    keeps_model: bool = True,
) -> _Task:
    """Return one fit of a member."""
    model = clone(member.model)
    if seed is not None and model.get_params(deep=False).get("random_state", seed) is None:
        model.set_params(random_state=seed)
    return _Task(position, label, model, member.columns, fold, keeps_model)


def _stops_early(model: BaseModel) -> bool:
    """Return whether the model takes held-out rows that tell it when to stop."""
    return isinstance(model, EarlyStoppingModel) and bool(model.early_stopping)


def _for_mean_iteration(task: _Task, outcomes: Sequence[_Outcome]) -> _Task | None:
    """Return the fit on all rows without early stopping, for as many rounds as the folds had on average.

    There is none where a fold failed; where no fold trained on two classes, the model stops by rows of its own.
    """
    if any(outcome.failure is not None for outcome in outcomes):
        return None
    found = [outcome.best_iteration for outcome in outcomes if outcome.best_iteration is not None]
    if found:
        rounds = {task.model._rounds_parameter: max(1, round(float(np.mean(found))))}
        task.model.set_params(early_stopping=False, **rounds)
    return task


def _jobs(tasks: Sequence[_Task]) -> list[list[_Task]]:
    """Return the tasks as jobs that run side by side; the tasks of one job run one after the other.

    Folds of a model that can fit several at once are one job. Where the jobs are threads, all fits that hold Python's
    lock are one job: side by side they would only wait for each other, and cost more than one after the other.
    """
    backend, _ = get_active_backend(prefer="threads")
    jobs: dict[object, list[_Task]] = {}
    for number, task in enumerate(tasks):
        key: object = number
        if getattr(backend, "supports_sharedmem", False) and task.model._holds_python_lock:
            key = "lock"
        elif task.fold is not None and hasattr(task.model, "fit_together"):
            key = (task.member, "folds")
        jobs.setdefault(key, []).append(task)
    # The longest jobs come first, and in a job the folds of a member side by side, so that one call can fit them.
    in_order = [sorted(job, key=lambda task: (task.fold is not None, task.member)) for job in jobs.values()]
    return sorted(in_order, key=len, reverse=True)


def _run_all(
    tasks: Sequence[_Task], rows: TrainingRows, n_jobs: int | None, on_error: OnError, notify: Notify
) -> Iterator[tuple[_Task, _Outcome]]:
    """Yield each task and its outcome; those of a member come in the order of its tasks."""
    jobs = _jobs(tasks)
    if not jobs:
        return
    workers, n_threads = workers_and_threads(n_jobs, len(jobs))
    if workers == 1:
        results: Iterable[list[_Outcome]] = (_run(job, rows, n_threads, on_error) for job in jobs)
    else:
        # Threads unless joblib.parallel_config() says otherwise: new processes would import everything first.
        calls = (delayed(_run)(job, rows, n_threads, on_error) for job in jobs)
        results = _parallel(workers)(calls)
    for job, outcomes in zip(jobs, results, strict=True):
        for task, outcome in zip(job, outcomes, strict=True):
            notify(task.label, outcome.fit_seconds)
            yield task, outcome


def _parallel(workers: int) -> Parallel:
    """Return what runs jobs, yielding results as they come where the backend can."""
    try:
        return Parallel(n_jobs=workers, prefer="threads", return_as="generator")
    except ValueError:
        return Parallel(n_jobs=workers, prefer="threads")


def _run(job: Sequence[_Task], rows: TrainingRows, n_threads: int, on_error: OnError) -> list[_Outcome]:
    """Fit the models of one job, and let them answer for the rows that their folds hold out."""
    outcomes: list[_Outcome] = []
    for together in _runs_of_folds(job):
        try:
            outcomes += _fitted(together, rows, n_threads)
        except Exception as error:
            if on_error == "raise":
                label = together[0].label
                error.add_note(f"This was the fit of member {label}; on_error='drop' would go on without it.")
                raise
            outcomes += [_Outcome(failure=traceback.format_exc())] * len(together)
    return outcomes


def _runs_of_folds(job: Sequence[_Task]) -> list[list[_Task]]:
    """Return the tasks in order, those that one call fits together in one list."""
    runs: list[list[_Task]] = []
    for task in job:
        last = runs[-1][-1] if runs else None
        joins = last is not None and last.fold is not None and last.member == task.member and task.fold is not None
        if joins and hasattr(task.model, "fit_together"):
            runs[-1].append(task)
        else:
            runs.append([task])
    return runs


def _fitted(tasks: Sequence[_Task], rows: TrainingRows, n_threads: int) -> list[_Outcome]:
    """Return what fits leave: of one task, or of the folds of a model that fits several at once."""
    X, columns = rows.X, tasks[0].columns
    if columns is not None:
        X = np.ascontiguousarray(X[:, columns])
    seen = [_seen(task, rows) for task in tasks]
    is_learnable = [labels is None or len(labels) > 1 for labels in seen]
    learnable = [(task, labels) for task, labels, good in zip(tasks, seen, is_learnable, strict=True) if good]
    models = [with_threads(task.model, n_threads) for task, _ in learnable]
    arguments = [_fit_arguments(task, rows, X, labels) for task, labels in learnable]
    began = time.perf_counter()
    if len(models) > 1:
        type(models[0]).fit_together(models, arguments)
    else:
        for model, each in zip(models, arguments, strict=True):
            model.fit(**each)
    fit_seconds = (time.perf_counter() - began) / max(len(models), 1)
    return [
        _answer(task, rows, X, fit_seconds) if good else _constant(task, rows, labels)
        for task, labels, good in zip(tasks, seen, is_learnable, strict=True)
    ]


def _seen(task: _Task, rows: TrainingRows) -> npt.NDArray[Any] | None:
    """Return the labels that the task is trained on; None for regression."""
    if rows.classes is None:
        return None
    return rows.classes if task.fold is None else np.unique(rows.labels[task.fold[0]])


def _fit_arguments(task: _Task, rows: TrainingRows, X: Floats32, seen: npt.NDArray[Any] | None) -> dict[str, Any]:
    """Return what `fit` is given; `seen` are the labels that the task is trained on."""
    weight = rows.sample_weight
    if task.fold is None:
        return {"X": X, "y": rows.labels, "sample_weight": weight}
    train, held = task.fold
    given = {"X": X[train], "y": rows.labels[train], "sample_weight": None if weight is None else weight[train]}
    # Rows of classes that the training rows lack tell nothing of when to stop: the model then holds out its own.
    if _stops_early(task.model) and (seen is None or np.isin(rows.labels[held], seen).any()):
        given |= {"X_val": X[held], "y_val": rows.labels[held]}
        given |= {} if weight is None else {"sample_weight_val": weight[held]}
    return given


def _constant(task: _Task, rows: TrainingRows, seen: npt.NDArray[Any] | None) -> _Outcome:
    """Return the only answer that a fold can give whose training rows hold one class."""
    n_held = 0 if task.fold is None else len(task.fold[1])
    return _Outcome(output=np.tile(np.asarray(rows.classes == seen, np.float64), (n_held, 1)))


def _answer(task: _Task, rows: TrainingRows, X: Floats32, fit_seconds: float) -> _Outcome:
    """Return what a fitted model says of the rows that its fold holds out."""
    if task.fold is None:
        return _Outcome(model=task.model, fit_seconds=fit_seconds)
    _, held = task.fold
    began = time.perf_counter()
    output = member_output(task.model, None, X[held], rows.classes)
    return _Outcome(
        model=task.model if task.keeps_model else None,
        output=output,
        best_iteration=task.model.best_iteration_ if _stops_early(task.model) else None,
        fit_seconds=fit_seconds,
        predict_seconds=time.perf_counter() - began,
    )


def _finished(
    member: Member, rows: TrainingRows, splits: Splits, outcomes: Sequence[_Outcome], *, average: bool
) -> FittedMember:
    """Return the member with the model that is to predict."""
    held_output, predict_seconds = None, None
    if member.is_fitted:
        n_columns = rows.X.shape[1] if member.columns is None else len(member.columns)
        model = adopted(member, n_columns, rows.classes)
        if splits:
            held = held_rows(splits)
            began = time.perf_counter()
            held_output = member_output(model, member.columns, rows.X[held], rows.classes)
            predict_seconds = time.perf_counter() - began
        return FittedMember(member.name, model, member.columns, 0.0, held_output, predict_seconds)
    of_folds = [outcome for outcome in outcomes if outcome.output is not None]
    if of_folds:
        held_output = np.concatenate([outcome.output for outcome in of_folds if outcome.output is not None])
        predict_seconds = sum(outcome.predict_seconds for outcome in of_folds)
    models = [outcome.model for outcome in outcomes if outcome.model is not None]
    if average and not models:
        raise InvalidInputError(
            "refit='average' keeps the models of the folds, and every fold trains on one class only"
        )
    model = fold_average(models, like=member.model, classes=rows.classes) if average else models[0]
    fit_seconds = sum(outcome.fit_seconds for outcome in outcomes)
    return FittedMember(member.name, model, member.columns, fit_seconds, held_output, predict_seconds)
