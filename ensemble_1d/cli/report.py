"""`ensemble-1d report`: one HTML page on how good a model is and what it takes."""

import argparse

from ensemble_1d.cli.columns import dropped_columns, rows_for
from ensemble_1d.cli.console import Console
from ensemble_1d.cli.files import check_output, deliver, saved_model
from ensemble_1d.cli.tables import Table
from ensemble_1d.reporting.report import report_of


def run(arguments: argparse.Namespace, console: Console) -> None:
    """Write a report.

    Args:
        arguments: Of the command line.
        console: Where to tell.
    """
    check_output(arguments.out, console)
    saved = saved_model(arguments.model)
    table = Table(arguments.data)
    dropped = dropped_columns(table, arguments.drop)
    rows, y = rows_for(saved.predictor.program, table, dropped=dropped, target=arguments.target, note=console.note)
    report = report_of(
        saved.predictor, rows, y, title=arguments.title, budgets=arguments.budgets, random_state=arguments.seed
    )
    page = report.html.encode()
    deliver(arguments.out, page, console)
    console.result(
        str(report),
        {
            "command": "report",
            "model": arguments.model,
            "out": arguments.out,
            "n_rows": len(rows),
            "bytes": len(page),
            "title": report.title,
            "summary": report.summary,
        },
    )
