"""Plotting: what is drawn equals what was computed by other means, and nothing but the axes is touched."""

import re
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from isolation import run_python
from samples import forest, network, sample
from sklearn.base import clone
from sklearn.calibration import calibration_curve
from sklearn.exceptions import NotFittedError
from sklearn.metrics import confusion_matrix
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from ensemble_1d import Budget, Ensemble, InvalidInputError, Predictor
from ensemble_1d.plotting import plot_confusion, plot_pareto, plot_reliability, plot_weights

matplotlib = pytest.importorskip("matplotlib")
plt = pytest.importorskip("matplotlib.pyplot")
pytestmark = pytest.mark.usefixtures("closed_figures")

NAMES = ["_first", "second", "$a$"]
"""Two of these have a meaning to matplotlib: no entry in a legend, and mathematics."""


class Answers:
    """A classifier that gives the same answers whatever the rows."""

    def __init__(self, probabilities, classes):
        """Store the answers."""
        self.probabilities = np.asarray(probabilities)
        self.classes_ = np.asarray(classes)

    def predict_proba(self, _):
        """Return the probabilities."""
        return self.probabilities

    def predict(self, _):
        """Return the most probable labels."""
        return self.classes_[self.probabilities.argmax(axis=1)]


def ensemble_of(data, **parameters):
    """Return a fitted ensemble of three forests."""
    members = [(name, forest(max_depth=depth)) for name, depth in zip(NAMES, (2, 4, 6), strict=True)]
    return Ensemble(members, **({"combine": "soft", "random_state": 0, "weights": [1, 5, 2]} | parameters)).fit(
        data.X, data.y
    )


@pytest.fixture(scope="module")
def ensemble(words):
    """A classifier of text labels."""
    return ensemble_of(words)


def curves(ax):
    """Return the points of each curve but the diagonal."""
    return [line.get_xydata() for line in ax.lines if line.get_linestyle() != "--"]


def legend(ax):
    """Return the texts of the legend."""
    return [text.get_text() for text in ax.get_legend().get_texts()]


def tick_labels(axis):
    """Return the texts at an axis."""
    return [label.get_text() for label in axis.get_ticklabels()]


def overlaps(texts):
    """Return whether any two texts that follow each other come within three pixels as they are drawn."""
    texts[0].figure.draw_without_rendering()
    boxes = [text.get_window_extent() for text in texts]
    return any(one.padded(3).overlaps(other) for one, other in pairwise(boxes))


def draw(name, model, data, **parameters):
    """Call a function of the module by its name."""
    if name == "plot_weights":
        return plot_weights(model, **parameters)
    return {"plot_reliability": plot_reliability, "plot_confusion": plot_confusion}[name](
        model, data.X, data.y, **parameters
    )


every_plot = pytest.mark.parametrize("name", ["plot_weights", "plot_reliability", "plot_confusion"])
every_plot_of_a_classifier = pytest.mark.parametrize("name", ["plot_reliability", "plot_confusion"])


@every_plot
def test_a_new_figure_is_made_only_without_ax(name, ensemble, words):
    """Without `ax` there is one figure more; with it none, and that very object comes back."""
    before = plt.get_fignums()
    new = draw(name, ensemble, words)
    assert plt.get_fignums() == [*before, new.figure.number]
    assert new.get_title()
    assert new.get_xlabel()
    assert new.get_ylabel()
    figure = matplotlib.figure.Figure()
    left, right = figure.subplots(1, 2)
    assert draw(name, ensemble, words, ax=left) is left
    assert figure.axes == [left, right]
    assert not right.has_data()
    assert plt.get_fignums() == [*before, new.figure.number]


@every_plot
def test_nothing_global_changes(name, ensemble, words, monkeypatch):
    """The style, the backend and the current axes stay, and nothing is shown."""
    monkeypatch.setattr(plt, "show", lambda *_, **__: pytest.fail("a plot was shown"))
    _, (first, second) = plt.subplots(1, 2)
    plt.sca(second)
    before = dict(matplotlib.rcParams), matplotlib.get_backend()
    draw(name, ensemble, words, ax=first)
    assert plt.gca() is second
    draw(name, ensemble, words)
    assert (dict(matplotlib.rcParams), matplotlib.get_backend()) == before


@every_plot
def test_the_current_style_holds(name, ensemble, words):
    """Colours and the size of a new figure are those of the style; its grid does not cross the cells of a matrix."""
    style = {"figure.figsize": (9, 7), "image.cmap": "Greys", "axes.prop_cycle": "cycler(color=['#010203'])"}
    style["axes.grid"] = True
    with plt.style.context(style):
        ax = draw(name, ensemble, words)
    assert tuple(ax.figure.get_size_inches()) == (9, 7)
    if name == "plot_confusion":
        assert ax.images[0].get_cmap().name == "Greys"
        assert not any(line.get_visible() for line in ax.get_xgridlines())
    else:
        drawn = ax.patches[0].get_facecolor() if name == "plot_weights" else curve_colour(ax)
        assert matplotlib.colors.to_hex(drawn) == "#010203"


def curve_colour(ax):
    """Return the colour of the first curve."""
    return next(line.get_color() for line in ax.lines if line.get_linestyle() != "--")


@every_plot
def test_a_refused_plot_leaves_no_figure(name, regression):
    """What raises an error has made no figure."""
    before = plt.get_fignums()
    model = forest() if name == "plot_weights" else forest(task="regression").fit(regression.X, regression.y)
    with pytest.raises(InvalidInputError):
        draw(name, model, regression)
    assert plt.get_fignums() == before


@every_plot
def test_an_unfitted_model_is_refused(name, words):
    """The error is that of scikit-learn, as from any method."""
    with pytest.raises(NotFittedError):
        draw(name, Ensemble([forest()], combine="soft"), words)


def test_import_loads_no_matplotlib():
    """Importing the module loads no matplotlib."""
    loaded = run_python("import ensemble_1d.plotting; print(*sys.modules)").stdout.decode().split()
    assert "ensemble_1d.plotting" in loaded
    assert "matplotlib" not in loaded


def test_weights_are_bars_by_name(ensemble):
    """The length of each bar is the member's weight and stands beside it; the largest is on top."""
    ax = plot_weights(ensemble)
    weights = dict(zip(ensemble.members_, ensemble.weights_, strict=True))
    drawn = dict(zip(tick_labels(ax.yaxis), [bar.get_width() for bar in ax.patches], strict=True))
    assert drawn == weights == {"_first": 0.125, "second": 0.625, "$a$": 0.25}
    assert list(drawn) == ["_first", "$a$", "second"]
    heights = [bar.get_y() + bar.get_height() / 2 for bar in ax.patches]
    assert heights == ax.get_yticks().tolist() == sorted(heights)
    assert not ax.yaxis_inverted()
    assert [text.get_text() for text in ax.texts] == ["0.125", "0.250", "0.625"]
    assert not any(label.get_parse_math() for label in ax.get_yticklabels())


def test_equal_weights_keep_the_order_of_the_members(words):
    """Where weights are equal the first member is on top."""
    ax = plot_weights(ensemble_of(words, weights=None))
    assert tick_labels(ax.yaxis) == NAMES[::-1]


def test_weights_of_a_regression(regression):
    """Weights are drawn whatever the task."""
    members = [forest(task="regression"), forest(task="regression")]
    ax = plot_weights(
        Ensemble(members, combine="soft", task="regression", random_state=0).fit(regression.X, regression.y)
    )
    assert [bar.get_width() for bar in ax.patches] == [0.5, 0.5]


def test_many_weights_are_legible(binary):
    """Thirty long names do not overlap, nor leave the figure, and each value stands within the axes."""
    members = [(f"a_member_with_a_long_name_{number}", forest(n_estimators=1)) for number in range(30)]
    ax = plot_weights(Ensemble(members, combine="soft", random_state=0).fit(binary.X, binary.y))
    assert not overlaps(ax.get_yticklabels())
    assert all(label.get_window_extent().x0 >= 0 for label in ax.get_yticklabels())
    assert all(text.get_window_extent().x1 < ax.get_window_extent().x1 for text in ax.texts)


def test_weights_need_an_ensemble(binary):
    """Another model is refused with a remedy."""
    with pytest.raises(InvalidInputError, match=r"RandomForestModel\(.*has none: give an Ensemble"):
        plot_weights(forest().fit(binary.X, binary.y))


def test_reliability_by_hand():
    """Points are the mean confidence and the accuracy of each bin; the legend has the error, weighted by rows."""
    probabilities = [[0.95, 0.05], [0.15, 0.85], [0.7, 0.3], [0.35, 0.65], [0.55, 0.45]]
    ax = plot_reliability(Answers(probabilities, ["no", "yes"]), range(5), ["no", "yes", "no", "no", "yes"], n_bins=5)
    (points,) = curves(ax)
    # In (0.4, 0.6]: 0.55, wrong. In (0.6, 0.8]: 0.7 right and 0.65 wrong. In (0.8, 1]: 0.95 and 0.85, both right.
    assert points == pytest.approx(np.array([[0.55, 0.0], [0.675, 0.5], [0.9, 1.0]]))
    error = (1 * 0.55 + 2 * 0.175 + 2 * 0.1) / 5
    assert legend(ax) == [f"{error:.3f}  Answers"] == ["0.220  Answers"]
    assert ax.get_legend().get_title().get_text() == "Expected calibration error"
    offsets, sizes = ax.collections[0].get_offsets(), ax.collections[0].get_sizes()
    assert np.asarray(offsets) == pytest.approx(points)
    assert sizes[0] < sizes[1] == sizes[2]


def test_reliability_of_the_bin_edges():
    """A confidence on an edge belongs to the bin below it, as in the paper; certainty belongs to the last."""
    confidence = np.array([0.5, 0.75, 0.75, 1.0])
    answers = Answers(np.column_stack([confidence, 1 - confidence]), [0, 1])
    (points,) = curves(plot_reliability(answers, range(4), [0, 1, 0, 1], n_bins=4))
    assert points.tolist() == [[0.5, 1.0], [0.75, 0.5], [1.0, 0.0]]


def test_reliability_has_a_diagonal():
    """The dashed line passes through points of equal confidence and accuracy."""
    ax = plot_reliability(Answers([[0.2, 0.8]], [0, 1]), [0], [1])
    (diagonal,) = (line for line in ax.lines if line.get_linestyle() == "--")
    assert (diagonal.get_xy1(), diagonal.get_slope()) == ((0, 0), 1)
    assert curves(ax)[0].tolist() == [[0.8, 1.0]]


def test_reliability_of_an_ensemble_draws_each_member(ensemble, words):
    """The first curve is the ensemble's, thick; then one thin line for each member; all equal scikit-learn's curves."""
    ax = plot_reliability(ensemble, words.X, words.y, n_bins=7)
    models = {"Ensemble": ensemble} | ensemble.members_
    lines = [line for line in ax.lines if line.get_linestyle() != "--"]
    assert len(lines) == len(models) == 4
    assert all(line.get_linewidth() < lines[0].get_linewidth() for line in lines[1:])
    for points, entry, (name, model) in zip(curves(ax), legend(ax), models.items(), strict=True):
        probabilities = model.predict_proba(words.X)
        is_right = model.predict(words.X) == words.y
        accuracy, confidence = calibration_curve(is_right, probabilities.max(axis=1), n_bins=7)
        assert points == pytest.approx(np.column_stack([confidence, accuracy]))
        assert re.fullmatch(rf"0\.\d{{3}}  {re.escape(name)}", entry)
    assert not any(text.get_parse_math() for text in ax.get_legend().get_texts())


def test_reliability_reads_the_classes_of_each_member(ensemble, words):
    """A member whose two classes are swapped is wrong where it was right, and the other members stay."""
    _, first, second, third = curves(plot_reliability(ensemble, words.X, words.y))
    swapped = ensemble_of(words)
    swapped.members_["second"].classes_ = swapped.classes_[::-1]
    _, *drawn = curves(plot_reliability(swapped, words.X, words.y))
    for points, expected in zip(drawn, (first, np.abs([0, 1] - second), third), strict=True):
        assert points == pytest.approx(expected)


def test_reliability_shows_members_the_columns_that_they_know(words):
    """Regression: a member with columns of its own was asked about all of them, and refused."""
    ensemble = Ensemble([("all", forest()), ("some", forest())], columns={"some": [3, 1]}, cv=3, random_state=0)
    ensemble.fit(words.X, words.y)
    *_, drawn = curves(plot_reliability(ensemble, words.X, words.y))
    (expected,) = curves(plot_reliability(ensemble.members_["some"], words.X[:, [3, 1]], words.y))
    assert drawn == pytest.approx(expected)


@every_plot_of_a_classifier
def test_data_frames(name, words):
    """A data frame and a series of text give the plot of the arrays, with no warning about names."""
    frame = pd.DataFrame(words.X, columns=list("abcde"))
    model = Ensemble([forest(), forest()], combine="soft", random_state=0).fit(frame, words.y)
    function = {"plot_reliability": plot_reliability, "plot_confusion": plot_confusion}[name]
    ax = function(model, frame, pd.Series(words.y))
    other = draw(name, clone(model).fit(words.X, words.y), words)
    assert [points.tolist() for points in curves(ax)] == [points.tolist() for points in curves(other)]
    assert [text.get_text() for text in ax.texts] == [text.get_text() for text in other.texts]


@every_plot_of_a_classifier
def test_any_fitted_classifier(name, ensemble, words):
    """A Predictor in integers and a pipeline of scikit-learn's are drawn like the package's own models."""
    pipeline = make_pipeline(StandardScaler(), GaussianNB()).fit(words.X, words.y)
    for model in (ensemble.quantize("int8", words.X), pipeline, forest(random_state=0).fit(words.X, words.y)):
        ax = draw(name, model, words)
        if name == "plot_reliability":
            is_right = model.predict(words.X) == words.y
            accuracy, confidence = calibration_curve(is_right, model.predict_proba(words.X).max(axis=1), n_bins=10)
            assert curves(ax)[0] == pytest.approx(np.column_stack([confidence, accuracy]))
            assert legend(ax)[0].endswith(type(model).__name__)
        else:
            matrix = confusion_matrix(words.y, model.predict(words.X))
            assert ax.images[0].get_array().tolist() == matrix.tolist()
            assert tick_labels(ax.xaxis) == ["benign", "malign"]


def test_float32_probabilities(words):
    """A network's probabilities, computed in float32, are drawn too."""
    pytest.importorskip("torch")
    model = network(random_state=0).fit(words.X, words.y)
    assert len(curves(plot_reliability(model, words.X, words.y))) == 1


@pytest.mark.parametrize("normalize", [None, "true", "pred", "all"])
def test_confusion_is_that_of_scikit_learn(normalize, ensemble, words):
    """Cells, their texts and the labels are those of confusion_matrix, and the title says what sums to one."""
    ax = plot_confusion(ensemble, words.X, words.y, normalize=normalize)
    matrix = confusion_matrix(words.y, ensemble.predict(words.X), normalize=normalize)
    assert ax.images[0].get_array().tolist() == matrix.tolist()
    shown = "{:d}" if normalize is None else "{:.2f}"
    assert [text.get_text() for text in ax.texts] == [shown.format(cell) for cell in matrix.ravel()]
    assert tick_labels(ax.yaxis) == tick_labels(ax.xaxis) == ["benign", "malign"]
    assert (ax.get_ylabel(), ax.get_xlabel()) == ("True label", "Predicted label")
    sums = {None: "", "true": ", rows sum to 1", "pred": ", columns sum to 1", "all": ", cells sum to 1"}
    assert ax.get_title() == "Confusion matrix" + sums[normalize]


def test_confusion_keeps_classes_that_are_absent():
    """A class that no row has and none is predicted for has its row and column, in the order of the model."""
    ax = plot_confusion(Answers([[0.1, 0.2, 0.7], [0.9, 0.1, 0.0]], ["c", "b", "a"]), [0, 1], ["a", "a"])
    assert tick_labels(ax.xaxis) == ["c", "b", "a"]
    assert ax.images[0].get_array().tolist() == [[0, 0, 0], [0, 0, 0], [1, 0, 1]]


def test_confusion_of_equal_counts_is_legible():
    """A number never has the colour of its cell."""
    ax = plot_confusion(Answers([[0.4, 0.6], [0.6, 0.4]] * 2, [0, 1]), range(4), [0, 0, 1, 1])
    (image,) = ax.images
    cells = image.to_rgba(image.get_array())
    assert [text.get_text() for text in ax.texts] == ["1"] * 4
    assert not any(text.get_color() == tuple(cell) for text, cell in zip(ax.texts, cells.reshape(-1, 4), strict=True))


@pytest.mark.parametrize(("n_classes", "length"), [(2, 30), (10, 1), (10, 16), (30, 5)])
def test_labels_do_not_overlap(n_classes, length):
    """Labels of many classes or of many characters, and the numbers in a row, stand clear of each other."""
    classes = [f"{chr(65 + number):{'x'}<{length}}" for number in range(n_classes)]
    ax = plot_confusion(
        Answers(np.eye(n_classes), classes), range(n_classes), classes, normalize="true" if length > 1 else None
    )
    assert tick_labels(ax.xaxis) == classes
    assert not overlaps(ax.texts[:n_classes])
    assert not overlaps(ax.get_yticklabels())
    is_turned = ax.get_xticklabels()[0].get_rotation() != 0
    assert is_turned == (length > 1)
    assert is_turned or not overlaps(ax.get_xticklabels())
    assert all(label.get_window_extent().y0 >= 0 for label in ax.get_xticklabels())


def test_labels_are_no_mathematics():
    """A label with two dollar signs is shown as it is."""
    ax = plot_confusion(Answers(np.eye(2), ["$0-$50", "$50-$90"]), range(2), ["$0-$50", "$50-$90"])
    assert tick_labels(ax.xaxis) == ["$0-$50", "$50-$90"]
    assert not any(label.get_parse_math() for label in [*ax.get_xticklabels(), *ax.get_yticklabels()])


def test_very_many_classes_have_a_colour_bar():
    """Beyond thirty classes the figure grows no more, and a colour bar stands for the numbers."""
    sizes = {}
    for n_classes in (30, 31, 60):
        ax = plot_confusion(Answers(np.eye(n_classes), range(n_classes)), range(n_classes), range(n_classes))
        assert len(ax.texts) == (n_classes**2 if n_classes == 30 else 0)
        assert len(ax.figure.axes) == (1 if n_classes == 30 else 2)
        sizes[n_classes] = tuple(ax.figure.get_size_inches())
    assert sizes[30] == sizes[31] == sizes[60]


@every_plot_of_a_classifier
def test_regression_is_refused(name, regression):
    """A regressor of this package, its Predictor and one of an ensemble have no classes; the message has a remedy."""
    model = forest(task="regression").fit(regression.X, regression.y)
    predictor = model.quantize("int8", regression.X)
    ensemble = Ensemble([forest(task="regression")], combine="soft", task="regression").fit(regression.X, regression.y)
    for each in (model, predictor, ensemble):
        with pytest.raises(InvalidInputError, match=rf"^{name} needs a classifier, and (?s:.*)task='classification'"):
            draw(name, each, regression)


@every_plot_of_a_classifier
@pytest.mark.parametrize(("labels", "shown"), [(["benign", "unheard"], "'unheard'"), ([0, 1], "0")])
def test_unknown_labels_are_refused(name, labels, shown, ensemble, words):
    """Labels the model was not fitted with, as of another encoding, would all count as wrong: they are refused."""
    unknown = type(words)(words.X, np.resize(labels, len(words.X)))
    message = rf"^{name}: y holds {shown}, which the model does not know; .*\['benign', 'malign'\]$"
    with pytest.raises(InvalidInputError, match=message):
        draw(name, ensemble, unknown)


@every_plot_of_a_classifier
def test_lengths_must_agree(name, ensemble, words):
    """X and y of different lengths are refused."""
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        draw(name, ensemble, type(words)(words.X, words.y[:-1]))


@pytest.mark.parametrize("n_bins", [0, -1, 2.0, "10", None])
def test_bad_numbers_of_bins_are_refused(n_bins, ensemble, words):
    """Only a whole number from one is a number of bins."""
    with pytest.raises(InvalidInputError, match=rf"^n_bins={re.escape(repr(n_bins))} .*use a whole number >= 1"):
        plot_reliability(ensemble, words.X, words.y, n_bins=n_bins)


def test_one_bin_is_accuracy_against_mean_confidence(ensemble, words):
    """The whole range as one bin has one point, and NumPy's integers count too."""
    points = curves(plot_reliability(ensemble, words.X, words.y, n_bins=np.int64(1)))[0]
    confidence = ensemble.predict_proba(words.X).max(axis=1).mean()
    assert points == pytest.approx(np.array([[confidence, ensemble.score(words.X, words.y)]]))


def test_a_classifier_without_probabilities(words):
    """It has a confusion matrix and no reliability; the message names the remedy."""
    model = LinearSVC(random_state=0).fit(words.X / words.X.max(axis=0), words.y)
    assert plot_confusion(model, words.X, words.y).images
    with pytest.raises(InvalidInputError, match=r"needs predict_proba, which LinearSVC.*CalibratedClassifierCV"):
        plot_reliability(model, words.X, words.y)


@pytest.mark.parametrize("normalize", ["rows", True, ["true"]])
def test_bad_ways_to_normalize_are_refused(normalize, ensemble):
    """The message names the ways there are."""
    data = sample("words")
    with pytest.raises(InvalidInputError, match=rf"^normalize={re.escape(repr(normalize))} is unknown; use 'true'"):
        plot_confusion(ensemble, data.X, data.y, normalize=normalize)


def test_a_budget_is_drawn_with_every_form(multiclass):
    """One ring for each form, the chosen one filled, and the limit of flash as a line."""
    predictor = Predictor(forest(n_estimators=5, max_depth=3).fit(multiclass.X, multiclass.y).program())
    found = predictor.quantize("int8", multiclass.X, multiclass.y, budget=Budget(flash=1000))
    table = found.pareto()
    ax = plot_pareto(found)
    ticks = [float(label.get_text()) for label in ax.get_xticklabels()]
    assert 2 <= len(ticks) <= 9
    assert np.allclose(1024 * np.array(ticks), ax.get_xticks())
    assert not ax.get_xticks(minor=True).size  # they would collide
    *rings, chosen = (collection.get_offsets().tolist() for collection in ax.collections)
    points = [[point.flash, point.score] for point in table.points]
    assert sorted(point for ring in rings for point in ring) == sorted(points)
    assert chosen == [points[table.chosen]]
    assert ax.lines[0].get_xdata() == [1000, 1000]
    assert ax.get_ylabel() == "Accuracy less regret"
    with pytest.raises(InvalidInputError, match="give a Predictor"):
        plot_pareto(forest())
    with pytest.raises(InvalidInputError, match="there is nothing to choose from"):
        plot_pareto(predictor.quantize("int8", multiclass.X))
