"""report_of: a fitted model on given rows as one HTML page, to send, to print, and to show in a notebook."""

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d._files import write_text
from ensemble_1d._html import Markup, html_text
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.reporting import quality
from ensemble_1d.reporting.behaviour import importance
from ensemble_1d.reporting.device import budgets_of, integers, measured_forms, ranges
from ensemble_1d.reporting.page import page, section
from ensemble_1d.reporting.provenance import provenance
from ensemble_1d.reporting.sizes import Form
from ensemble_1d.reporting.subject import Subject, subject_of
from ensemble_1d.reporting.words import DASH, PERCENT, decimal, percent, score_text


@dataclass(frozen=True, slots=True)
class Report:
    """A report: prints as a summary, and notebooks show the page.

    Attributes:
        title: The heading.
        summary: What it comes to, in lines of text.
        html: The whole page.

    Example:
        >>> report = Report(title="Flowers", summary="All right.", html="<!DOCTYPE html><title>Flowers</title>")
        >>> print(report)
        Flowers
        All right.
    """

    title: str
    summary: str
    html: str = field(repr=False)

    def __str__(self) -> str:
        """Return the title and the summary."""
        return f"{self.title}\n{self.summary}"

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the page.

        Args:
            path: The file to write; replaced whole, or not at all.

        Returns:
            The path written.

        Raises:
            ArtifactError: If the file cannot be written.
        """
        return write_text(path, self.html)

    def _repr_html_(self) -> str:
        """Return the page in a frame of its own, where its style stays and nothing runs."""
        return (
            f'<iframe sandbox title="{html_text(self.title)}" srcdoc="{html_text(self.html)}" '
            'style="width:100%;height:40rem;border:1px solid #8888"></iframe>'
        )


def report_of(
    model: Any,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    title: str | None = None,
    budgets: Sequence[int] = (8192, 16384, 32768, 65536),
    random_state: int = 0,
) -> Report:
    """Return a report of a fitted model on given rows: scores, errors, calibration, what it goes by, and its size in C.

    The page is one file without scripts that loads nothing. Equal models, rows and versions give equal bytes. A part
    that fails, or would take long, says so in its place. Charts need matplotlib; without it their numbers stay.

    Args:
        model: An Ensemble, another fitted model of this package, or a Predictor, in float or in integers.
        X: Rows that the model was not fitted on, of shape (n_samples, n_features).
        y: Their true labels or values of shape (n_samples,).
        title: The heading; None is one made from the model.
        budgets: Bytes of flash for which the best form is looked for. Empty leaves out that search, which takes most
            of the time.
        random_state: Seed of all that is drawn.

    Returns:
        The report.

    Raises:
        InvalidInputError: If the rows do not suit the model, y holds a label that it does not know or a value that is
            not finite, or a budget is no number of bytes.
        NotFittedError: If the model is not fitted.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import RandomForestModel
        >>> from ensemble_1d.reporting.report import report_of
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RandomForestModel(n_estimators=5, random_state=0).fit(X[::2], y[::2])
        >>> report = report_of(model, X[1::2], y[1::2], title="Iris", budgets=())
        >>> print(report)  # doctest: +ELLIPSIS
        Iris
        This RandomForestModel tells 3 classes apart by 4 features.
        ...
    """
    wrong = [each for each in budgets if not isinstance(each, int | np.integer) or each <= 0]
    if wrong:
        raise InvalidInputError(f"budgets holds {wrong[0]!r}; use positive whole numbers of bytes, or () for no search")
    if not isinstance(random_state, int | np.integer) or not 0 <= random_state < 2**32:
        raise InvalidInputError(f"random_state={random_state!r} is no seed; use a whole number from 0 to 2**32 - 1")
    subject = subject_of(model, X, y, random_state=int(random_state))
    heading = f"{subject.kind[0].upper()}{subject.kind[1:]} on {len(subject.X):,} rows" if title is None else title
    said = quality.sentences(subject)
    forms = _forms(subject)
    sections = [
        section("leaderboard", "Leaderboard", lambda: quality.leaderboard(subject)),
        section("errors", "Where it errs", lambda: quality.errors(subject)),
        *(
            [section("calibration", "Can its confidence be trusted?", lambda: quality.calibration(subject))]
            if subject.classes is not None
            else []
        ),
        section("importance", "What it goes by", lambda: importance(subject)),
        section("integers", "On a microcontroller", lambda: integers(subject, forms)),
        section("budgets", "What a budget of flash buys", lambda: budgets_of(subject, budgets)),
        section("ranges", "Inputs out of range", lambda: ranges(subject, forms)),
        section("provenance", "How it was made", lambda: provenance(subject)),
    ]
    headline = Markup(
        f'<p class="headline">{html_text(" ".join(said))}</p>'
        f'<p class="remark">{html_text(quality.measured_on(subject))}</p>'
    )
    html = page(heading, headline, _cards(subject, forms), sections)
    return Report(title=heading, summary="\n".join(said), html=html)


def _forms(subject: Subject) -> list[Form] | str:
    """Return the integer forms, or why there are none, whatever the reason."""
    try:
        return measured_forms(subject)
    except Exception as error:  # Two sections tell it; the others stand without.
        return f"Left out. {type(error).__name__}: {error}"


def _cards(subject: Subject, forms: list[Form] | str) -> list[tuple[str, str]]:
    """Return the numbers that stand at the top."""
    metrics = subject.metrics(subject.whole)
    is_regression = subject.classes is None
    main = "r2" if is_regression else "accuracy"
    cards = [(subject.score_name.capitalize(), score_text(metrics[main], is_regression=is_regression))]
    found = quality.interval_of(subject)
    if found is not None:
        low, high = (score_text(end, is_regression=is_regression) for end in (found.low, found.high))
        cards.append(("95 % interval", f"{low.removesuffix(PERCENT)} {DASH} {high}"))
    cards.append(("RMSE", decimal(metrics["rmse"])) if is_regression else ("Log loss", decimal(metrics["log_loss"])))
    if not is_regression:
        cards.append(("ROC AUC", decimal(metrics["roc_auc"])))
    if not isinstance(forms, str):
        small = next(form for form in forms if form.name == "int8, compact")
        cards.append(("Flash, int8 compact", f"{small.flash / 1024:,.1f} KB"))
        agreement = small.report.agreement
        cards.append(("Agrees with float", decimal(agreement, 4) if is_regression else percent(agreement)))
    return cards
