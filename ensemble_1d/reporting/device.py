"""Sections that say what the model takes on a microcontroller: integer forms, budgets of flash, and input ranges."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ensemble_1d._html import Markup, html_table
from ensemble_1d.ir import Program
from ensemble_1d.quantization.report import out_of_range
from ensemble_1d.reporting.figures import draw_budgets, draw_forms, figure, shortened
from ensemble_1d.reporting.page import beside, joined, note, paragraph, remark, scrolling
from ensemble_1d.reporting.sizes import (
    TARGET,
    Form,
    Halves,
    best_within,
    flash_of,
    forms_of,
    halves_of,
    n_splits,
    search,
)
from ensemble_1d.reporting.words import DASH, counted, decimal, percent, score_text

if TYPE_CHECKING:
    from ensemble_1d.budget_search import ParetoTable
    from ensemble_1d.reporting.subject import Subject

_MOST_ROWS = 2000
_MOST_SPLITS = 50_000
"""Splits beyond which six forms take longer than a reader of the report would wait."""
_MOST_SEARCHED_ROWS = 1000
_MOST_SEARCHED_SPLITS = 20_000
"""Splits beyond which a search through all forms does."""
_SHOWN = 10


def halves(subject: "Subject") -> Halves:
    """Return rows to calibrate integers with, and others to measure them on."""
    return halves_of(subject.X, subject.truth, n_most=_MOST_ROWS, random_state=subject.random_state)


def measured_forms(subject: "Subject") -> list[Form] | str:
    """Return the integer forms of a float program, or why there are none."""
    if subject.program is None:
        return f"There is no integer form: {subject.objection}."
    if subject.program.is_integer:
        return "The model is in integers already."
    if n_splits(subject.program) > _MOST_SPLITS:
        return (
            f"Left out: {n_splits(subject.program):,} splits take long to quantize six times; see "
            'model.quantize("int8", X_calibration).report for one form, and optimize() for fewer splits.'
        )
    return forms_of(subject.program, halves(subject))


def integers(subject: "Subject", forms: list[Form] | str) -> Markup:
    """Return what the integer forms take and answer, or the integer program itself."""
    if subject.program is not None and subject.program.is_integer:
        return _as_it_is(subject, subject.program)
    if isinstance(forms, str):
        return note(forms)
    is_regression = subject.classes is None
    scores = [score_text(form.report.score_integer, is_regression=is_regression) for form in forms]
    rows = [
        [
            form.name,
            f"{form.flash:,}",
            f"{form.report.integer_bytes:,}",
            score,
            decimal(form.report.agreement, 4) if is_regression else percent(form.report.agreement),
            f"{form.report.largest_difference:.2g}",
        ]
        for form, score in zip(forms, scores, strict=True)
    ]
    header = ["Form", "Flash", "Tables", subject.score_name.capitalize(), "Agreement", "Largest difference"]
    first = forms[0].report
    in_float = score_text(first.score_float, is_regression=is_regression)
    caption = f"Bytes on a {TARGET}, and answers on {counted(first.n_samples, 'row')} (in float: {in_float})"
    explained = (
        "Agreement is the share of rows with the same label as in float"
        if not is_regression
        else "Agreement is the R² of the integer values against those in float"
    )
    kinds = "; compact forms move the cuts of trees to fewer codes, for less flash"
    n_calibration = counted(len(subject.X[:_MOST_ROWS]) - first.n_samples, "other row")
    names = [form.name for form in forms]
    drawn = f"Flash of each integer form; the number beside a bar is its {subject.score_name}."
    chart = figure("forms", drawn, lambda ax: draw_forms(ax, forms, scores), bars=names)
    return joined(
        paragraph(
            f"The whole model in integers, as one C header. {n_calibration} of those given calibrated it; with the "
            f"training rows, which are more, it is at least as close to float. {explained}{kinds}."
        ),
        beside(chart),
        scrolling(html_table(header, rows, caption=caption), "Integer forms"),
    )


def budgets_of(subject: "Subject", budgets: Sequence[int]) -> Markup:
    """Return the best form for each budget of flash, and all forms that no other beats."""
    if not budgets:
        return remark("Left out by budgets=(). model.quantize(budget=Budget(flash=...)) looks for one.")
    if subject.program is None:
        return note(f"There is no integer form: {subject.objection}.")
    if subject.program.is_integer:
        return note("The model is in integers already; the search starts from the float one.")
    splits = n_splits(subject.program)
    if splits > _MOST_SEARCHED_SPLITS:
        return note(
            f"Left out: with {splits:,} splits the search takes long. "
            "model.quantize(budget=Budget(flash=...)) does it all the same; optimize() makes the model smaller first."
        )
    rows = np.random.default_rng(subject.random_state).permutation(len(subject.X))[:_MOST_SEARCHED_ROWS]
    rows.sort()
    table = search(subject.program, subject.X[rows], subject.truth[rows])
    lines = [_line(table, budget, is_regression=subject.classes is None) for budget in sorted(budgets)]
    header = [
        "Budget",
        "Flash",
        "RAM",
        "Instructions",
        subject.score_name.capitalize(),
        "Trees",
        "Splits",
        "Form",
        "Members",
    ]
    has_members = any(point.members for point in table.points)
    n = len(header) if has_members else len(header) - 1
    best = html_table(
        header[:n], [line[:n] for line in lines], caption=f"The best form for each budget, {TARGET}", words=(7, 8)
    )
    caption = (
        f"Forms of the model that no other beats in {table.score_name}, flash and speed; dashed lines are the budgets."
    )
    shown = tuple(budgets)
    sample = "" if len(rows) == len(subject.X) else f", drawn from {len(subject.X):,}"
    return joined(
        paragraph(
            f"{counted(table.n_tried, 'form')} with fewer members, trees, splits and bits were made from "
            f"{counted(len(rows), 'row')}{sample}: four fifths calibrated and refitted them, a fifth scored them. The "
            "score takes off what the float model would expect to lose on rows between those; compare it within this "
            "table only."
        ),
        beside(figure("budgets", caption, lambda ax: draw_budgets(ax, table, shown))),
        scrolling(best, "Budgets"),
    )


def ranges(subject: "Subject", forms: list[Form] | str) -> Markup:
    """Return the features whose values leave the range of the integer inputs."""
    if subject.program is not None and subject.program.is_integer:
        quantizer, _, _ = subject.program.integer_parts()
        rates = list(zip(subject.feature_names, map(float, out_of_range(quantizer, subject.X)), strict=True))
        where = f"On {counted(len(subject.X), 'row')}"
    elif isinstance(forms, str):
        return note("There is no integer form to have a range.")
    else:
        report = next(form.report for form in forms if form.name == "int8, exact")
        rates, where = list(report.out_of_range), f"On the {counted(report.n_samples, 'row')} that did not calibrate"
    outside = sorted(((name, rate) for name, rate in rates if rate > 0), key=lambda pair: -pair[1])
    lost = "A value beyond those of the calibration rows saturates; what only trees read, by rank, loses nothing."
    if not outside:
        return paragraph(f"{where}, no value of any feature lies outside the range of the integer inputs. {lost}")
    rows = [[shortened(name, 60), percent(rate, 2)] for name, rate in outside[:_SHOWN]]
    more = len(outside) - _SHOWN
    rest = [remark(f"{counted(more, 'more feature', 'more features')}, each with a smaller share.")] if more > 0 else []
    caption = f"Shares of rows outside, {len(outside):,} of {counted(len(rates), 'feature')}"
    table = html_table(["Feature", "Rows outside"], rows, caption=caption)
    return joined(paragraph(f"{where}. {lost}"), scrolling(table, "Values outside the range"), *rest)


def _line(table: "ParetoTable", budget: int, *, is_regression: bool) -> list[str]:
    """Return the cells of one budget."""
    point = best_within(table, budget)
    if point is None:
        return [f"{budget:,}", *(DASH,) * 6, "nothing fits", ""]
    counts = (point.flash, point.ram, point.instructions)
    return [
        f"{budget:,}",
        *(f"{count:,}" for count in counts),
        score_text(point.score, is_regression=is_regression),
        f"{point.n_trees:,}",
        f"{point.n_splits:,}",
        f"{point.mode}, {point.layout}",
        ", ".join(shortened(name, 30) for name in point.members),
    ]


def _as_it_is(subject: "Subject", program: Program) -> Markup:
    """Return what an integer program takes, and how it agrees with the float one, where that is known."""
    model = subject.model
    parts = model.summary().bytes_by_part
    rows = [[shortened(name, 60), f"{n_bytes:,}"] for name, n_bytes in parts]
    rows.append(["all arrays", f"{program.nbytes:,}"])
    rows.append([f"flash on a {TARGET}, code included", f"{flash_of(program):,}"])
    table = scrolling(html_table(["Part", "Bytes"], rows, caption="The integer program"), "Bytes")
    if model.reference is None or model.report is None:
        return joined(paragraph("A saved integer program does not hold the float one that it came from."), table)
    report = model.measure(subject.X, subject.truth)
    is_regression = subject.classes is None
    agreement = decimal(report.agreement, 4) if is_regression else percent(report.agreement)
    scores = " in integers, ".join(
        score_text(score, is_regression=is_regression) for score in (report.score_integer, report.score_float)
    )
    said = (
        f"Quantized to {report.mode}. Agreement with the float model: {agreement}; {subject.score_name} {scores} in "
        f"float; largest difference {report.largest_difference:.2g}; {report.n_inexact_splits:,} of "
        f"{report.n_splits:,} splits inexact on the calibration rows."
    )
    return joined(paragraph(said), table)
