"""`ensemble-1d export`: a C header, an Arduino library or an ONNX graph, held against Python before it is written."""

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from ensemble_1d.cli.columns import Floats32, dropped_columns, rows_for
from ensemble_1d.cli.console import STDIO, Console
from ensemble_1d.cli.files import SavedModel, check_output, deliver, saved_bytes, saved_model
from ensemble_1d.cli.tables import Table
from ensemble_1d.errors import CompilerError, InvalidInputError, ParityError
from ensemble_1d.predictor import Predictor

if TYPE_CHECKING:
    from ensemble_1d.budget import Budget
    from ensemble_1d.export.c99_functions import Layout

_ROWS_TO_VERIFY = 10_000
"""Rows of the calibration table on which C is compared with Python."""


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """The rows of a table that a model is quantized and compared on.

    Attributes:
        rows: Of shape (n_samples, n_features), float32.
        target: Labels or values of shape (n_samples,), or None.
    """

    rows: Floats32
    target: Any


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Write a model for another machine.

    Args:
        arguments: Of the command line.
        console: Where to tell.
    """
    for path in (arguments.c, arguments.onnx, arguments.e1d):
        if path is not None:
            check_output(path, console, is_binary=path is not arguments.c)
    saved = saved_model(arguments.model)
    calibration = None
    if arguments.calibration is not None:
        table = Table(arguments.calibration)
        dropped = dropped_columns(table, arguments.drop)
        target = arguments.target
        calibration = Calibration(
            *rows_for(saved.predictor.program, table, dropped=dropped, target=target, note=console.note)
        )
    if arguments.onnx is not None:
        _export_onnx(arguments, saved, calibration, console)
    else:
        _export_integers(arguments, saved, calibration, console)


def _export_onnx(
    arguments: argparse.Namespace, saved: SavedModel, calibration: Calibration | None, console: Console
) -> None:
    """Write the float program as a graph, if onnxruntime answers the rows as Python does."""
    if saved.predictor.program.is_integer:
        raise InvalidInputError(f"{saved.where} computes in integers, and ONNX needs the float model; export that one")
    path = saved.predictor.export_onnx(arguments.onnx, None if calibration is None else calibration.rows)
    n_rows = 0 if calibration is None else len(calibration.rows)
    n_bytes = path.stat().st_size
    told = f"onnxruntime answers {n_rows:,} of {n_rows:,} rows as Python does" if n_rows else "not compared with Python"
    if not n_rows:
        console.note("not compared with Python: give --calibration a table of rows")
    console.result(
        f"{arguments.onnx}: ONNX, {n_bytes:,} bytes; {told}",
        {"command": "export", "format": "onnx", "out": arguments.onnx, "bytes": n_bytes, "n_rows_equal": n_rows},
    )


def _export_integers(
    arguments: argparse.Namespace, saved: SavedModel, calibration: Calibration | None, console: Console
) -> None:
    """Write the integer program in C, if a compiler on this machine gets Python's answers from it."""
    from ensemble_1d.export.size_model import size_of

    budget = _budget(arguments)
    model = _integer_model(arguments, saved, calibration, budget)
    layout = _layout(arguments, model, budget)
    verification = _verified(arguments, model, calibration, layout, console)
    header = model.c_source(arguments.name, layout=layout)
    size = size_of(header, arguments.name, arguments.target_cpu)
    ram = size.ram + 2 * model.program.integer_parts()[0].n_columns
    if arguments.arduino is None:
        out = arguments.c
        deliver(out, header.encode(), console)
    else:
        out = arguments.arduino
        row = None if calibration is None else calibration.rows[0]
        model.export_arduino(out, arguments.name, layout=layout, row=row)
    if arguments.e1d is not None:
        deliver(arguments.e1d, saved_bytes(model), console)
    report = model.report
    facts = f"{size.flash:,} bytes of flash and {ram:,} of RAM on a {arguments.target_cpu}, as estimated"
    lines = [f"{'standard output' if out == STDIO else out}: {facts}; layout {layout}"]
    lines += [str(each) for each in (report, verification) if each is not None]
    console.result(
        "\n".join(lines),
        {
            "command": "export",
            "format": "c" if arguments.arduino is None else "arduino",
            "out": out,
            "e1d": arguments.e1d,
            "name": arguments.name,
            "layout": layout,
            "target_cpu": arguments.target_cpu,
            "flash_bytes": size.flash,
            "ram_bytes": ram,
            "mode": None if report is None else report.mode,
            "table_bytes": None if report is None else report.integer_bytes,
            "agreement": None if report is None else report.agreement,
            "score_float": None if report is None else report.score_float,
            "score_integer": None if report is None else report.score_integer,
            "n_rows_calibration": None if calibration is None else len(calibration.rows),
            "n_rows_equal": None if verification is None else verification.n_rows - verification.n_different,
            "compiler": None if verification is None else " ".join(verification.compiler),
        },
    )


def _budget(arguments: argparse.Namespace) -> "Budget | None":
    """Return what there is to spend, if the command line says so."""
    from ensemble_1d.budget import Budget

    limits = {name: getattr(arguments, name) for name in ("flash", "ram", "instructions")}
    return Budget(**limits, target=arguments.target_cpu) if any(limits.values()) else None


def _integer_model(
    arguments: argparse.Namespace, saved: SavedModel, calibration: Calibration | None, budget: "Budget | None"
) -> Predictor:
    """Return the model in integers: as it is, or quantized on the calibration rows."""
    model = saved.predictor
    if model.program.is_integer:
        if arguments.mode is not None or arguments.compact:
            raise InvalidInputError(
                f"{saved.where} computes in integers already; leave --mode and --compact out, or give the float model"
            )
        if budget is not None and arguments.layout != "auto":
            raise InvalidInputError(
                f"{saved.where} computes in integers already, so a budget only chooses a layout: add --layout auto, or "
                "give the float model"
            )
        return model
    if calibration is None:
        raise InvalidInputError(
            f"{saved.where} computes in floats, and C in integers; add --calibration data.csv: rows that show the "
            "range of each feature, best those of the fit"
        )
    mode = arguments.mode or "int8"
    rows, target = calibration.rows, calibration.target
    return model.quantize(mode, rows, target, compact=arguments.compact, budget=budget)


def _layout(arguments: argparse.Namespace, model: Predictor, budget: "Budget | None") -> "Layout":
    """Return the layout that is meant."""
    if arguments.layout is not None and arguments.layout != "auto":
        return cast("Layout", arguments.layout)
    if model.layout is None and budget is not None:
        from ensemble_1d.budget_search import layout_within

        return layout_within(budget, model.program)
    return model.layout or "size"


def _verified(
    arguments: argparse.Namespace,
    model: Predictor,
    calibration: Calibration | None,
    layout: "Layout",
    console: Console,
) -> Any:
    """Return how the compiled header compares with Python, or None where it cannot be compared."""
    if not arguments.verify:
        return None
    if calibration is None:
        console.note("C was not compared with Python: give --calibration a table of rows")
        return None
    from ensemble_1d._compiler import find_compiler

    try:
        find_compiler()
    except CompilerError as error:
        console.note(f"C was not compared with Python: {error}")
        return None
    found = model.verify_c(calibration.rows[:_ROWS_TO_VERIFY], layout=layout)
    if found.n_different:
        raise ParityError(f"C answers otherwise than Python: {found}; nothing was written, please report it")
    return found
