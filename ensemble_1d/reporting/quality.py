"""Sections that say how good the answers are: the headline, the leaderboard, the errors and the calibration."""

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import confusion_matrix, precision_recall_fscore_support

from ensemble_1d._html import Markup, html_table
from ensemble_1d.charts import draw_reliability, draw_weights
from ensemble_1d.ir import node_bytes
from ensemble_1d.metrics import reliability
from ensemble_1d.reporting.figures import draw_errors, draw_predicted, figure, shortened
from ensemble_1d.reporting.intervals import Interval, accuracy_interval, r2_interval
from ensemble_1d.reporting.page import beside, joined, note, paragraph, remark, scrolling
from ensemble_1d.reporting.program_members import member_programs, member_weights
from ensemble_1d.reporting.subject import Subject
from ensemble_1d.reporting.words import DASH, PERCENT, counted, decimal, keyed, listed, percent, score_text

_MOST_CLASSES = 30
"""Classes up to which a confusion matrix is shown, and rows of a table of classes."""
_FEW_CLASSES = 4
"""Classes up to which a confusion matrix stands beside another table."""
_MOST_PAIRS = 5
_MOST_CURVES = 6
"""Curves that can be told apart, the whole among them."""


def interval_of(subject: Subject) -> Interval | None:
    """Return the interval of the score of the whole, or None where there are too few rows for one."""
    answers = subject.answers(subject.outputs[subject.whole])
    if subject.classes is None:
        return r2_interval(subject.truth, answers, random_state=subject.random_state)
    return accuracy_interval(int((answers == subject.truth).sum()), len(answers))


def sentences(subject: Subject) -> list[str]:
    """Return what the report comes to, in plain words: the model, its score, and what it is to be compared with."""
    metrics = subject.metrics(subject.whole)
    n_members = len(subject.outputs) - 1
    parts = f" of {counted(n_members, 'member')} ({listed([*subject.outputs][1:])})" if n_members else ""
    what = f"This {subject.kind}{parts}"
    found = interval_of(subject)
    rows, features = counted(len(subject.X), "row"), counted(subject.X.shape[1], "feature")
    if subject.classes is not None:
        _, counts = np.unique(subject.truth, return_counts=True)
        between = "" if found is None else f" (95 % confidence interval {percent(found.low)} to {percent(found.high)})"
        return [
            f"{what} tells {len(subject.classes)} classes apart by {features}.",
            f"On the {rows} given, {percent(metrics['accuracy'])} of its answers are right{between}.",
            f"The most frequent class alone makes up {percent(counts.max() / counts.sum())} of these rows.",
        ]
    between = "" if found is None else f" (95 % confidence interval {decimal(found.low)} to {decimal(found.high)})"
    score = "R² takes two rows" if np.isnan(metrics["r2"]) else f"R² is {decimal(metrics['r2'])}{between}"
    return [
        f"{what} predicts a value from {features}.",
        f"On the {rows} given, {score}, and the values are {decimal(metrics['mae'])} off on average.",
        f"Always answering the mean of these rows would be {decimal(_mean_error(subject.truth))} off.",
    ]


def measured_on(subject: Subject) -> str:
    """Return what the numbers were measured on, and how the interval was found."""
    found = interval_of(subject)
    method = "" if found is None else f" The interval is a {found.method}."
    return (
        f"Everything here was measured on the {counted(len(subject.X), 'row')} given to the report. It tells how the "
        f"model does on new data only if the model was not fitted on them.{method}"
    )


def leaderboard(subject: Subject) -> Markup:
    """Return the scores, weights and sizes of the whole and of each member, the best first."""
    is_regression = subject.classes is None
    known = _known(subject)
    score, second = ("r2", "rmse") if is_regression else ("accuracy", "log_loss")
    metrics = {name: subject.metrics(name) for name in subject.outputs}
    header = ["", subject.score_name.capitalize(), "RMSE" if is_regression else "Log loss"]
    extra = [
        (title, key, write)
        for title, key, write in (
            ("Out of fold", "score", lambda value: score_text(value, is_regression=is_regression)),
            ("Weight", "weight", decimal),
            ("Bytes in float", "bytes", lambda value: f"{value:,}"),
            ("Fitted in", "fit_seconds", lambda value: f"{value:.2f} s"),
        )
        if any(facts.get(key) is not None for facts in known.values())
    ]
    order = sorted(metrics, key=lambda name: -np.nan_to_num(metrics[name][score], nan=-np.inf))
    position = {name: i for i, name in enumerate(subject.outputs)}
    rows = []
    for name in order:
        facts = known.get(name, {})
        cells = [score_text(metrics[name][score], is_regression=is_regression), decimal(metrics[name][second])]
        cells += [DASH if facts.get(key) is None else write(facts[key]) for _, key, write in extra]
        rows.append([keyed(position[name], name), *cells])
    table = html_table([*header, *(title for title, _, _ in extra)], rows, caption=f"On {len(subject.X):,} rows")
    weights = {name: facts["weight"] for name, facts in known.items() if facts.get("weight") is not None}
    parts = [scrolling(table, "Leaderboard")]
    if any(title == "Out of fold" for title, _, _ in extra):
        parts.append(
            remark(
                "Out of fold: scored on rows of the training data, each by a model that had not seen it. That of the "
                "ensemble is a little too good where its rule was learned from the same rows."
            )
        )
    if order[0] != subject.whole and metrics[order[0]][score] > metrics[subject.whole][score]:
        parts.append(paragraph(f"On these rows {shortened(order[0], 40)} alone scores higher than the whole."))
    if len(weights) > 1:
        parts.append(_weights(weights))
    return joined(*parts)


def errors(subject: Subject) -> Markup:
    """Return where the answers are wrong: the confusion matrix and each class, or the distribution of errors."""
    return _value_errors(subject) if subject.classes is None else _label_errors(subject, subject.classes)


def calibration(subject: Subject) -> Markup:
    """Return how far the probabilities can be trusted."""
    if subject.classes is None:
        return paragraph("A regression has no probabilities.")
    names = list(subject.outputs)[:_MOST_CURVES]
    curves = {name: reliability(subject.truth, subject.outputs[name], subject.classes) for name in names}

    def draw(ax: Any) -> None:
        draw_reliability(ax, tuple(curves.items()))
        ax.get_legend().remove()  # The table beside it says more, and names of any length fit there.
        ax.set(title="", xlim=(-0.03, 1.08), ylim=(-0.03, 1.08))  # Room for the largest point.

    caption = "How often answers are right against how sure the model is. On the dashed line both are equal; below it "
    caption += "the model is too sure of itself."
    rows = [
        [keyed(i, name), decimal(curve.error), decimal(subject.metrics(name)["log_loss"])]
        for i, (name, curve) in enumerate(curves.items())
    ]
    table = html_table(["", "Calibration error", "Log loss"], rows, caption="In ten bins of equal width")
    more = len(subject.outputs) - len(names)
    parts = [
        paragraph(
            f"An answer given with a confidence of 90{PERCENT} should be right nine times in ten. On average the "
            f"confidence is {100 * curves[names[0]].error:.1f} points away from that (expected calibration error)."
        ),
        beside(figure("reliability", caption, draw), scrolling(table, "Calibration errors")),
    ]
    if more > 0:
        parts.append(remark(f"{counted(more, 'more member is', 'more members are')} not drawn."))
    return joined(*parts)


def _known(subject: Subject) -> dict[str, dict[str, Any]]:
    """Return what is known beyond the rows: out-of-fold scores, weights, seconds and bytes, by name."""
    if hasattr(subject.model, "leaderboard"):  # An Ensemble, which reports may not know by its class.
        return {line["name"]: line for line in subject.model.leaderboard()}
    if subject.program is None:
        return {}
    weights = member_weights(subject.program)
    known: dict[str, dict[str, Any]] = {
        name: {"weight": weights.get(name), "bytes": node_bytes(member.root)}
        for name, member in member_programs(subject.program).items()
    }
    return known | {subject.whole: {"bytes": subject.program.nbytes}}


def _weights(weights: dict[str, float]) -> Markup:
    """Return the chart of the weights, the largest twelve."""
    largest = sorted(weights, key=lambda name: -weights[name])[:12]
    labels = [shortened(name) for name in largest]

    def draw(ax: Any) -> None:
        draw_weights(ax, labels, np.array([weights[name] for name in largest]))
        ax.set(title="", ylabel="")

    caption = "What each member weighs. For stacking, its share of the absolute coefficients."
    return figure("weights", caption, draw, bars=labels)


def _label_errors(subject: Subject, classes: npt.NDArray[Any]) -> Markup:
    """Return the confusion matrix, the pairs confused most often, and precision and recall of each class."""
    answers = subject.answers(subject.outputs[subject.whole])
    matrix = confusion_matrix(subject.truth, answers, labels=classes)
    names = [shortened(str(label), 24) for label in classes.tolist()]
    parts = []
    if len(names) <= _MOST_CLASSES:
        share = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
        rows = [
            [f"is {name}", *(_cell(int(matrix[i, j]), float(share[i, j]), i == j) for j in range(len(names)))]
            for i, name in enumerate(names)
        ]
        caption = "Confusion matrix: rows are true labels, columns answers; the shade is the share of the row"
        parts.append(
            scrolling(html_table(["", *(f"said {name}" for name in names)], rows, caption=caption), "Confusion matrix")
        )
    else:
        parts.append(note(f"{len(names):,} classes are too many for a matrix of {_MOST_CLASSES} at most."))
    wrong = matrix - np.diag(np.diag(matrix))
    order = np.argsort(-wrong, axis=None, kind="stable")[:_MOST_PAIRS]
    pairs = [(int(each) // len(names), int(each) % len(names)) for each in order]
    rows = [[names[i], names[j], f"{wrong[i, j]:,}"] for i, j in pairs if wrong[i, j]]
    each, *rest = _by_class(subject.truth, answers, classes, names)
    beneath = [each]
    if rows and len(names) > 2:
        table = html_table(["Is", "Was said to be", "Rows"], rows, caption="Confused most often", words=(1,))
        beneath.append(scrolling(table, "Confused most often"))
    if len(names) <= _FEW_CLASSES:
        return joined(beside(*parts, *beneath), *rest)
    return joined(*parts, beside(*beneath), *rest)


def _cell(count: int, share: float, is_right: bool) -> Markup:
    """Return a count on a ground as dark as its share of the row."""
    kind = "cell" if is_right else "cell wrong"
    return Markup(f'<span class="{kind}" style="--share:{share:.3f}">{count:,}</span>')


def _by_class(
    truth: npt.NDArray[Any], answers: npt.NDArray[Any], classes: npt.NDArray[Any], names: list[str]
) -> list[Markup]:
    """Return the table of precision, recall and F1 of each class, or of those with the lowest recall, and remarks."""
    precision, recall, f1, support = precision_recall_fscore_support(truth, answers, labels=classes, zero_division=0)
    order = list(range(len(names)))
    n_said = [(answers == label).sum() for label in classes]
    caption = "Each class"
    if len(names) > _MOST_CLASSES:
        present = [i for i in order if support[i]]
        order = sorted(present, key=lambda i: recall[i])[:_MOST_CLASSES]
        caption = f"The {len(order)} classes of the lowest recall, of {len(names):,}"
    rows = [
        [
            names[i],
            f"{support[i]:,}",
            percent(precision[i]) if n_said[i] else DASH,
            percent(recall[i]) if support[i] else DASH,
            decimal(f1[i]) if support[i] or n_said[i] else DASH,
        ]
        for i in order
    ]
    table = html_table(["Class", "Rows", "Precision", "Recall", "F1"], rows, caption=caption)
    absent = sum(1 for each in support if not each)
    rest = [remark(f"{counted(absent, 'class has', 'classes have')} no row here.")] if absent else []
    explained = remark(
        "Precision: how often an answer is right. Recall: how many rows of the class are found. F1: the harmonic mean "
        "of both."
    )
    return [scrolling(table, "Each class"), explained, *rest]


def _value_errors(subject: Subject) -> Markup:
    """Return predicted against true values, and how the errors are distributed."""
    values = subject.answers(subject.outputs[subject.whole])
    off = values - subject.truth
    size = np.abs(off)
    rng = np.random.default_rng(subject.random_state)
    drawn = "Predicted against true values" + (", 500 rows drawn at random." if len(off) > 500 else ".")
    equal = f"{drawn} On the dashed line both are equal."
    larger = "How large the errors are; right of zero the prediction is too high."
    figures = beside(
        figure("predicted", equal, lambda ax: draw_predicted(ax, subject.truth, values, rng)),
        figure("sizes", larger, lambda ax: draw_errors(ax, off)),
    )
    rows = [
        ["Mean error (bias)", decimal(float(off.mean()))],
        ["Mean absolute error", decimal(float(size.mean()))],
        ["Root mean squared error", decimal(float(np.sqrt((off**2).mean())))],
        ["Half of the rows are off by at most", decimal(float(np.median(size)))],
        ["Nine in ten rows are off by at most", decimal(float(np.quantile(size, 0.9)))],
        ["The worst row is off by", decimal(float(size.max()))],
    ]
    return joined(figures, scrolling(html_table(["", "In units of y"], rows, caption="Errors"), "Errors"))


def _mean_error(truth: npt.NDArray[Any]) -> float:
    """Return the mean absolute error of always answering the mean."""
    return float(np.abs(truth - truth.mean()).mean())
