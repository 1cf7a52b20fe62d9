"""Section that says what the model goes by: the features whose shuffling costs most."""

import numpy as np
import numpy.typing as npt

from ensemble_1d._html import Markup, html_table
from ensemble_1d.errors import UnsupportedModelError
from ensemble_1d.ir import Program, TreeTable
from ensemble_1d.quantization.routes import feature_readers
from ensemble_1d.reporting.figures import draw_importance, figure, shortened
from ensemble_1d.reporting.importance import Floats32, Floats64, Importance, permutation_importance
from ensemble_1d.reporting.page import beside, joined, note, paragraph, remark, scrolling
from ensemble_1d.reporting.subject import Subject
from ensemble_1d.reporting.words import counted

_MOST_ROWS = 1000
_N_REPEATS = 5
_MOST_FEATURES = 100
"""Features that are shuffled in earnest; of more, those that one shuffle of few rows finds to matter most."""
_MOST_SCREENED = 2000
_SCREEN_ROWS = 100
_SHOWN = 12


def importance(subject: Subject) -> Markup:
    """Return the chart and the table of the features that matter most."""
    if subject.classes is None and np.ptp(subject.truth) == 0:
        return note("Left out, because all true values given are equal: R² has no meaning then, nor has a drop of it.")
    order = np.random.default_rng(subject.random_state).permutation(len(subject.X))
    rows = np.sort(order[:_MOST_ROWS])
    used = used_features(subject)
    notes = []
    if len(used) < subject.X.shape[1]:
        unused = subject.X.shape[1] - len(used)
        notes.append(remark(f"{counted(unused, 'feature is', 'features are')} never read by the model: worth nothing."))
    if len(used) > _MOST_SCREENED:
        rest = counted(len(used) - _MOST_SCREENED, "feature was", "features were")
        notes.append(remark(f"Only the first {_MOST_SCREENED:,} features were looked at; {rest} not."))
        used = used[:_MOST_SCREENED]
    if len(used) > _MOST_FEATURES:
        few = np.sort(order[:_SCREEN_ROWS])
        found = _measured(subject, few, used, 1)
        notes.append(
            remark(
                f"{_MOST_FEATURES} of {len(used):,} features were measured: those that mattered most in one shuffle of "
                f"{counted(len(few), 'row')}."
            )
        )
        used = np.sort(found.top(_MOST_FEATURES).feature)
    measured = _measured(subject, rows, used, _N_REPEATS)
    top = measured.top(_SHOWN)
    names = tuple(subject.feature_names[each] for each in top.feature)
    table = html_table(
        ["Feature", f"Drop of {subject.score_name}", "Spread"],
        [
            [shortened(name, 60), f"{mean:.4f}", f"± {spread:.4f}"]
            for name, mean, spread in zip(names, top.mean, top.spread, strict=True)
        ],
        caption=f"{_N_REPEATS} shuffles on {counted(len(rows), 'row')}: mean and standard deviation",
    )
    more = len(measured.feature) - len(top.feature)
    if more > 0:
        notes.append(remark(f"{counted(more, 'more feature', 'more features')} measured, each with a smaller drop."))
    caption = "Drop of the score when one feature is shuffled among the rows; the line is the standard deviation."
    labels = [shortened(name) for name in names]
    chart = figure("importance", caption, lambda ax: draw_importance(ax, top, labels, subject.score_name), bars=labels)
    explained = paragraph(
        "Each feature is shuffled among the rows, which takes away what it tells, and the score is taken again "
        "(permutation importance). Where two features say the same, shuffling one costs little: the other "
        "is still there."
    )
    return joined(explained, beside(chart, scrolling(table, "Permutation importance")), *notes)


def used_features(subject: Subject) -> npt.NDArray[np.int64]:
    """Return the features that the model reads: all of them, unless its program is of trees alone on all features."""
    everything = np.arange(subject.X.shape[1], dtype=np.int64)
    return everything if subject.program is None else _read(subject.program, everything)


def _read(program: Program, everything: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return the features that a program of trees reads, or all where something else reads features."""
    if program.is_integer:
        return everything
    found = [np.empty(0, np.int64)]
    try:
        for steps, features in feature_readers(program.root, everything):
            first = steps[0]
            found.append(features[first.feature] if isinstance(first, TreeTable) else features)
    except UnsupportedModelError:  # It joins nodes in a way of its own.
        return everything
    return np.unique(np.concatenate(found))


def _measured(
    subject: Subject, rows: npt.NDArray[np.int64], features: npt.NDArray[np.int64], n_repeats: int
) -> Importance:
    """Return the importance of some features on some rows."""
    X, truth = subject.X[rows], subject.truth[rows]

    def score(copies: Floats32) -> Floats64:
        answers = subject.answers(subject.answer(copies)).reshape(-1, len(truth))
        if subject.classes is not None:
            return np.asarray((answers == truth).mean(axis=1))
        return np.asarray(1 - ((answers - truth) ** 2).sum(axis=1) / ((truth - truth.mean()) ** 2).sum())

    return permutation_importance(score, X, features, n_repeats=n_repeats, random_state=subject.random_state)
