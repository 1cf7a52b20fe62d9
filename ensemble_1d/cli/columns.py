"""From the columns of a table to features and a target: numbers, labels, and which of both tasks a target asks for."""

import re
from collections.abc import Callable, Collection, Sequence
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ensemble_1d._require import require
from ensemble_1d.cli.tables import Frame, Table, listed
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.ir import Program

Task = Literal["classification", "regression"]
Floats32 = npt.NDArray[np.float32]

_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")

_MOST_CLASSES = 20
"""Whole numbers with more values than that are taken for amounts and not for labels."""


def dropped_columns(table: Table, given: Sequence[str]) -> list[str]:
    """Return the columns that `--drop` names: each value is a name, or several separated by commas.

    Args:
        table: The table.
        given: The values of the option.

    Returns:
        Names of columns.

    Raises:
        InvalidInputError: If there is no such column.
    """
    names = [name for value in given for name in ([value] if value in table.columns else value.split(","))]
    table.require_columns(names)
    return names


def numbers_of(frame: Frame, where: str, *, may_drop: bool = False) -> Floats32:
    """Return columns as numbers; booleans are 0 and 1, and empty cells NaN.

    Args:
        frame: The features.
        where: The table, for messages.
        may_drop: Whether leaving columns out is a remedy.

    Returns:
        Of shape (n_samples, n_features), float32, C-contiguous.

    Raises:
        InvalidInputError: If a column holds text, dates or infinite numbers.
    """
    columns = [_numbers(frame[name]) for name in frame.columns]
    bad = [str(name) for name, column in zip(frame.columns, columns, strict=True) if column is None]
    if bad:
        text, row = _first_text(frame[bad[0]])
        remedy = "write decimals with a point" if _DECIMAL_COMMA.fullmatch(text) else "encode text as numbers"
        remedy += f", or leave it out: --drop {','.join(bad)}" if may_drop else " as for the fit"
        raise InvalidInputError(f"column {bad[0]!r} of {where} holds no number in data row {row}: {text!r}; {remedy}")
    rows = np.empty((len(frame), len(columns)), np.float32)
    with np.errstate(over="ignore"):
        for position, column in enumerate(columns):
            rows[:, position] = column
    if not np.isfinite(rows).all():
        infinite = np.argwhere(np.isinf(rows))
        if len(infinite):
            row, column = infinite[0]
            raise InvalidInputError(
                f"column {frame.columns[column]!r} of {where} holds {frame.iloc[row, column]} in data row {row + 1}, "
                "which is infinite, or too large for float32; clip it, or leave the cell empty"
            )
    return rows


def _numbers(column: Any) -> npt.NDArray[Any] | None:
    """Return a column as an array of numbers, or None if it holds something else."""
    if column.dtype.kind in "iufb":
        is_plain = isinstance(column.dtype, np.dtype)
        return np.asarray(column.to_numpy() if is_plain else column.to_numpy(dtype=np.float64, na_value=np.nan))
    if column.dtype.kind != "O":
        return None
    # Booleans with empty cells, and numbers beyond 64 bits, are objects to pandas.
    try:
        return np.asarray(_coerced(column, "raise"), np.float64)
    except (TypeError, ValueError):
        return None


def _coerced(column: Any, errors: str) -> Any:
    """Return a column of objects as numbers; what is none raises, or becomes NaN."""
    return require("pandas", caller="reading a table", extra="cli").to_numeric(column, errors=errors)


def _first_text(column: Any) -> tuple[str, int]:
    """Return the first value of a column that is no number, and its row, counted from 1."""
    is_bad = column.notna()
    if column.dtype.kind == "O":
        is_bad &= _coerced(column.astype(object), "coerce").isna()
    row = int(np.argmax(np.asarray(is_bad)))
    return str(column.iloc[row]), row + 1


def check_missing(rows: Floats32, names: Sequence[str], where: str, remedy: str) -> None:
    """Refuse rows with empty cells.

    Args:
        rows: The features.
        names: Their names.
        where: The table, for the message.
        remedy: Who takes none, and what to do.

    Raises:
        InvalidInputError: If a value is missing.
    """
    missing = np.argwhere(np.isnan(rows))
    if len(missing):
        row, column = missing[0]
        raise InvalidInputError(
            f"column {names[column]!r} of {where} has no value in data row {row + 1}{_more(len(missing))}, {remedy}"
        )


def _more(n_cells: int) -> str:
    """Return how many more cells are empty."""
    return f" and in {n_cells - 1:,} more" if n_cells > 1 else ""


def target_of(column: Any, name: str, where: str) -> npt.NDArray[Any]:
    """Return labels or values as they are: text as text, whole numbers as whole numbers.

    Args:
        column: A column of pandas.
        name: Its name.
        where: The table, for messages.

    Returns:
        Of shape (n_samples,).

    Raises:
        InvalidInputError: If a cell is empty.
    """
    missing = np.flatnonzero(np.asarray(column.isna()))
    if missing.size:
        raise InvalidInputError(
            f"column {name!r} of {where} has no value in data row {missing[0] + 1}{_more(missing.size)} (NA, null, "
            "None and nan count as empty); fill it in, or leave such rows out"
        )
    values = column.to_numpy() if column.dtype.kind in "iufb" else column.tolist()
    return np.asarray(values)


def inferred_task(y: npt.NDArray[Any]) -> tuple[Task, str]:
    """Return the task that a target asks for, and why.

    Args:
        y: Of shape (n_samples,).

    Returns:
        The task, and what the target holds, in words.

    Example:
        >>> inferred_task(np.array([0, 1, 1, 0]))
        ('classification', '2 different whole numbers')
        >>> inferred_task(np.array([0.5, 1.25]))
        ('regression', 'numbers with fractions')
    """
    n_values = len(np.unique(y))
    if y.dtype.kind not in "iuf":
        return "classification", f"{n_values} different labels"
    if y.dtype.kind == "f" and not np.array_equal(y, np.round(y)):
        return "regression", "numbers with fractions"
    is_label = n_values <= min(_MOST_CLASSES, max(len(y) // 2, 2))
    return "classification" if is_label else "regression", f"{n_values} different whole numbers"


def check_target(y: npt.NDArray[Any], name: str, where: str, task: Task) -> None:
    """Refuse a target that does not suit the task.

    Args:
        y: Of shape (n_samples,).
        name: Its name.
        where: The table, for messages.
        task: What is to be fitted.

    Raises:
        InvalidInputError: If there is one class, or text where numbers are needed, or a class is a fraction.
    """
    what = f"column {name!r} of {where}"
    if task == "regression":
        if y.dtype.kind not in "iufb":
            raise InvalidInputError(f"{what} holds text, such as {y[0].item()!r}; regression needs numbers")
        if not np.isfinite(y).all():
            raise InvalidInputError(f"{what} holds infinite numbers; clip them, or leave these rows out")
        return
    classes = np.unique(y)
    if len(classes) < 2:
        raise InvalidInputError(f"{what} holds one class only, {classes[0].item()!r}; add rows of another")
    if y.dtype.kind == "f" and not np.array_equal(y, np.round(y)):
        raise InvalidInputError(f"{what} holds numbers with fractions, which are no classes; use --task regression")


def rows_for(
    program: Program, table: Table, *, dropped: Sequence[str], target: str | None, note: Callable[[str], None]
) -> tuple[Floats32, Any]:
    """Return the rows of a table as a program takes them: its features by name, in its order.

    Args:
        program: The program.
        table: The table.
        dropped: Columns that are left out.
        target: The column of labels or values, or None.
        note: Hears which columns were left out.

    Returns:
        Rows of shape (n_samples, n_features), float32, and the target or None.

    Raises:
        InvalidInputError: If a column is missing, or its values do not fit the program.
    """
    known = list(program.feature_names or ())
    table.require_columns([*known, *([] if target is None else [target])])
    if known:
        strange = [name for name in table.columns if name not in {*known, *dropped, target}]
        if strange:
            note(f"left out what the model does not know: {listed(strange)}")
        kept = [name for name in known if name not in set(dropped)]
    else:
        kept = [name for name in table.columns if name not in {*dropped, target}]
    if len(kept) != program.n_features:
        rule = (
            "it needs all that it was fitted on: take names out of --drop"
            if known
            else "it knows no names, so columns count by position: leave others out with --drop"
        )
        raise InvalidInputError(
            f"{table.where} gives {len(kept)} features, and the model takes {program.n_features}; {rule}"
        )
    frame = table.read([*kept, *([] if target is None else [target])], numbers=kept)
    rows = numbers_of(frame[kept], table.where)
    if not program.accepts_missing:
        check_missing(rows, kept, table.where, "and the model takes no missing values; fill them in first")
    if target is None:
        return rows, None
    y = target_of(frame[target], target, table.where)
    if program.classes is None:
        check_target(y, target, table.where, "regression")
    else:
        _check_known(y, program.classes, target, table.where)
    return rows, y


def _check_known(y: npt.NDArray[Any], classes: npt.NDArray[Any], name: str, where: str) -> None:
    """Refuse labels that the model does not know."""
    known: Collection[Any] = set(classes.tolist())
    strange = [label for label in np.unique(y).tolist() if label not in known]
    if strange:
        raise InvalidInputError(
            f"column {name!r} of {where} holds {strange[0]!r}, which is no class of the model; "
            f"its classes are {', '.join(map(repr, classes.tolist()[:20]))}"
        )
