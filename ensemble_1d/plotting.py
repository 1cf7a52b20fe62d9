"""Plotting: what an ensemble weighs, how far a classifier can be trusted, and what a budget buys, with matplotlib.

Each function draws into the current style and returns the matplotlib Axes; to show or save the figure is left to you.
"""

from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt
from sklearn.metrics import ConfusionMatrixDisplay, confusion_matrix
from sklearn.utils.validation import check_is_fitted

from ensemble_1d._require import require
from ensemble_1d.charts import draw_pareto, draw_reliability, draw_weights
from ensemble_1d.ensemble import Ensemble
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.metrics import known_labels, reliability
from ensemble_1d.predictor import Predictor

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TITLE = {
    None: "Confusion matrix",
    "true": "Confusion matrix, rows sum to 1",
    "pred": "Confusion matrix, columns sum to 1",
    "all": "Confusion matrix, cells sum to 1",
}
"""The title for each way to normalize."""

_BAR_INCHES = 0.3
_CELL_INCHES = 0.45
_LABEL_INCHES = 1.5
"""Room in which a bar, a cell and the labels beside the cells can be read; a new figure is large enough for them."""

_MOST_COUNTS = 30
"""Classes up to which a confusion matrix writes its counts: beyond, its figure would outgrow a screen."""

_CHARACTERS_ABREAST = 40
"""Characters that fit side by side below the axes of a figure of the usual size."""


def plot_weights(ensemble: Ensemble, *, ax: "Axes | None" = None) -> "Axes":
    """Draw the weight of each member as a bar, the largest on top.

    Args:
        ensemble: A fitted ensemble.
        ax: Where to draw; None makes a new figure.

    Returns:
        The axes.

    Raises:
        InvalidInputError: If this is no Ensemble.
        NotFittedError: If the ensemble is not fitted.
        MissingBackendError: If matplotlib is not installed.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import Ensemble, RandomForestModel
        >>> from ensemble_1d.plotting import plot_weights
        >>> X, y = load_iris(return_X_y=True)
        >>> members = [("shallow", RandomForestModel(max_depth=2)), ("deep", RandomForestModel(max_depth=8))]
        >>> ax = plot_weights(Ensemble(members, combine="soft", weights=[1, 3]).fit(X, y))
        >>> [text.get_text() for text in ax.texts]
        ['0.250', '0.750']
    """
    pyplot = _pyplot("plot_weights")
    if not isinstance(ensemble, Ensemble):
        raise InvalidInputError(f"plot_weights draws the weights of members; {ensemble!r} has none: give an Ensemble")
    check_is_fitted(ensemble)
    names = list(ensemble.members_)
    ax = _axes(pyplot, ax, height=_BAR_INCHES * len(names))
    draw_weights(ax, names, ensemble.weights_)
    return ax


def plot_pareto(predictor: Predictor, *, ax: "Axes | None" = None) -> "Axes":
    """Draw score against flash of the forms that a budget was spent on, the chosen one filled, a color for each layout.

    Args:
        predictor: What `quantize(..., budget=...)` returned.
        ax: Where to draw; None makes a new figure.

    Returns:
        The axes.

    Raises:
        InvalidInputError: If this is no Predictor, or there was no budget.
        MissingBackendError: If matplotlib is not installed.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import Budget, RandomForestModel
        >>> from ensemble_1d.plotting import plot_pareto
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RandomForestModel(n_estimators=10, random_state=0).fit(X, y)
        >>> plot_pareto(model.quantize("int8", X, y, budget=Budget(flash=1000))).get_xlabel()
        'Flash (KB)'
    """
    pyplot = _pyplot("plot_pareto")
    if not isinstance(predictor, Predictor):
        raise InvalidInputError(
            f"plot_pareto draws what a budget was spent on; {predictor!r} had none: give a Predictor"
        )
    table = predictor.pareto()
    ax = _axes(pyplot, ax)
    draw_pareto(ax, table)
    return ax


def plot_reliability(
    model: Any, X: npt.ArrayLike, y: npt.ArrayLike, *, n_bins: int = 10, ax: "Axes | None" = None
) -> "Axes":
    """Draw how often a classifier is right against how sure it is; an ensemble's members are thin lines beside it.

    A row belongs to a bin by its confidence, which is the probability of the class predicted for it. Bins part [0, 1]
    evenly, each with its upper edge; a point is the mean confidence and the accuracy of the rows in a bin, and its area
    grows with their number. On the dashed diagonal both are equal; below it the model is too sure of itself. The legend
    tells the expected calibration error: the mean distance from the diagonal, weighted by rows (Guo et al., "On
    Calibration of Modern Neural Networks", ICML 2017, arXiv:1706.04599). Bins of equal width are those of that paper,
    so errors can be compared.

    Args:
        model: A fitted classifier: any model of this package, a Predictor, or one of scikit-learn's.
        X: Rows that the model was not fitted on, of shape (n_samples, n_features).
        y: Their true labels, of shape (n_samples,).
        n_bins: Number of bins; empty ones have no point.
        ax: Where to draw; None makes a new figure.

    Returns:
        The axes.

    Raises:
        InvalidInputError: If the model does regression or has no probabilities, y holds a label that it does not know,
            or n_bins is no positive whole number.
        NotFittedError: If the model is not fitted.
        ValueError: If X does not suit the model, or the lengths of X and y differ.
        MissingBackendError: If matplotlib is not installed.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import RandomForestModel
        >>> from ensemble_1d.plotting import plot_reliability
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RandomForestModel(n_estimators=10, random_state=0).fit(X[::2], y[::2])
        >>> ax = plot_reliability(model, X[1::2], y[1::2], n_bins=5)
        >>> ax.get_xlabel(), ax.get_ylabel()
        ('Confidence', 'Accuracy')
    """
    pyplot = _pyplot("plot_reliability")
    if not isinstance(n_bins, int | np.integer) or n_bins < 1:
        raise InvalidInputError(f"n_bins={n_bins!r} is no number of bins; use a whole number >= 1")
    classes = _classes_of(model, "plot_reliability")
    labels = known_labels(y, classes, "plot_reliability")
    if not hasattr(model, "predict_proba"):
        remedy = "give it probabilities, for example with sklearn.calibration.CalibratedClassifierCV"
        raise InvalidInputError(f"plot_reliability needs predict_proba, which {model!r} has not; {remedy}")
    outputs = [(type(model).__name__, np.asarray(model.predict_proba(X), np.float64))]
    if isinstance(model, Ensemble):
        rows = model._checked_rows(X)
        # As the ensemble asks its members: each about its own columns, for the labels of all.
        outputs += [(member.name, model._member_output(member, rows)) for member in model._fitted_members]
    curves = [(name, reliability(labels, output, classes, n_bins=n_bins)) for name, output in outputs]
    ax = _axes(pyplot, ax)
    draw_reliability(ax, curves)
    return ax


def plot_confusion(
    model: Any,
    X: npt.ArrayLike,
    y: npt.ArrayLike,
    *,
    normalize: Literal["true", "pred", "all"] | None = None,
    ax: "Axes | None" = None,
) -> "Axes":
    """Draw the confusion matrix of a classifier: rows are true labels, columns predicted ones.

    Args:
        model: A fitted classifier: any model of this package, a Predictor, or one of scikit-learn's.
        X: Of shape (n_samples, n_features).
        y: True labels of shape (n_samples,).
        normalize: None counts rows of X; "true" divides by the true labels, so that the diagonal is the recall; "pred"
            by the predicted ones, so that it is the precision; "all" by the number of rows.
        ax: Where to draw; None makes a new figure.

    Returns:
        The axes. Above 30 classes a colour bar stands for the numbers in the cells.

    Raises:
        InvalidInputError: If the model does regression, y holds a label that it does not know, or normalize is unknown.
        NotFittedError: If the model is not fitted.
        ValueError: If X does not suit the model, or the lengths of X and y differ.
        MissingBackendError: If matplotlib is not installed.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import RandomForestModel
        >>> from ensemble_1d.plotting import plot_confusion
        >>> X, y = load_iris(return_X_y=True)
        >>> ax = plot_confusion(RandomForestModel(n_estimators=10, random_state=0).fit(X, y), X, y)
        >>> [text.get_text() for text in ax.texts[:3]]
        ['50', '0', '0']
    """
    pyplot = _pyplot("plot_confusion")
    if normalize not in tuple(_TITLE):
        raise InvalidInputError(f"normalize={normalize!r} is unknown; use 'true', 'pred', 'all' or None")
    classes = _classes_of(model, "plot_confusion")
    labels = known_labels(y, classes, "plot_confusion")
    matrix = confusion_matrix(labels, model.predict(X), labels=classes, normalize=normalize)
    names = [str(label) for label in classes.tolist()]
    has_counts = len(names) <= _MOST_COUNTS
    side = _CELL_INCHES * min(len(names), _MOST_COUNTS) + _LABEL_INCHES
    ax = _axes(pyplot, ax, width=side, height=side)
    ConfusionMatrixDisplay(matrix, display_labels=names).plot(
        ax=ax,
        cmap=None,  # That of the current style.
        include_values=has_counts,
        values_format="d" if normalize is None else ".2f",
        colorbar=not has_counts,
        im_kw={"vmin": 0},  # Else a matrix of equal counts is written in the colour of its ground.
    )
    if len(names) * max(map(len, names)) > _CHARACTERS_ABREAST:
        pyplot.setp(ax.get_xticklabels(), rotation=45, ha="right", rotation_mode="anchor")
    pyplot.setp([*ax.get_xticklabels(), *ax.get_yticklabels()], parse_math=False)
    ax.grid(visible=False)
    ax.set_title(_TITLE[normalize])
    return ax


def _pyplot(caller: str) -> ModuleType:
    """Return matplotlib's pyplot, or say how to install it."""
    return require("matplotlib.pyplot", extra="viz", caller=caller)


def _axes(pyplot: ModuleType, ax: "Axes | None", *, width: float = 0.0, height: float = 0.0) -> "Axes":
    """Return `ax`, or the axes of a new figure of the style's size, or of these inches where they are more."""
    if ax is not None:
        return ax
    usual = pyplot.rcParams["figure.figsize"]
    size = (max(usual[0], width), max(usual[1], height))
    new: Axes = pyplot.subplots(figsize=size, layout="constrained")[1]
    return new


def _classes_of(model: Any, caller: str) -> npt.NDArray[Any]:
    """Return the labels of a fitted classifier, in the order of its probabilities."""
    classes = model.program.classes if isinstance(model, Predictor) else getattr(model, "classes_", None)
    if classes is None:
        if hasattr(model, "fit"):
            check_is_fitted(model)
        remedy = "fit one with task='classification'; for regression, draw model.predict(X) against y"
        raise InvalidInputError(f"{caller} needs a classifier, and {model!r} has no classes; {remedy}")
    return np.asarray(classes)
