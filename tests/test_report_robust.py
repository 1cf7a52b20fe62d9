"""Reports of what is rare: any names, few rows, many classes and features, and parts that are slow or fail."""

import numpy as np
import pytest
from html_checks import Page
from isolation import run_python
from report_pages import HOSTILE, check_page, ensemble_of, rows_of, shown
from samples import forest, linear
from sklearn.datasets import load_digits
from sklearn.exceptions import NotFittedError

from ensemble_1d import Ensemble, InvalidInputError
from ensemble_1d.errors import ArtifactError
from ensemble_1d.reporting import behaviour, device, page, quality
from ensemble_1d.reporting.report import report_of
from ensemble_1d.reporting.sizes import n_splits
from ensemble_1d.reporting.subject import subject_of

pytest.importorskip("matplotlib")


def test_names_are_text(words):
    """Labels, features, members and titles that look like HTML, or are in any script, are shown as they are."""
    pandas = pytest.importorskip("pandas")
    columns = [HOSTILE, "Größe ½", "体温の平均値と分散の合計の長い名前", "a" * 300, 'a id="x" #010203 url(#y)']
    labels = np.where(words.y == "malign", HOSTILE, "良性 & ok")
    members = [(f"{HOSTILE}2", forest(max_depth=2)), ("é" * 50, forest())]
    frame = pandas.DataFrame(words.X, columns=columns)
    ensemble = Ensemble(members, combine="soft", random_state=0).fit(frame[:80], labels[:80])
    report = report_of(ensemble, frame[80:], labels[80:], title=f"{HOSTILE} & more", budgets=())
    found = check_page(report.html)
    assert "Left out." not in report.html
    assert found.inside("h1") == [f"{HOSTILE} & more"]
    for text in (HOSTILE, "Größe ½", "良性 & ok", f"{HOSTILE}2"):
        assert any(text in each for _, each in found.texts), text
    assert any('a id="x" #010203' in text for text in found.inside("svg"))
    assert max(len(text) for text in found.inside("svg")) < 60
    assert "<script" not in report._repr_html_()


def test_a_class_without_rows(multiclass):
    """A class that y lacks has no recall, and a note; the rest is measured."""
    model = forest().fit(multiclass.X, multiclass.y)
    rows = multiclass.y != 2
    report = report_of(model, multiclass.X[rows], multiclass.y[rows], budgets=())
    assert "Left out." not in report.html
    assert rows_of(report, "Each class")["2"][2] == "\N{EN DASH}"
    assert "1 class has no row here." in report.html


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_one_row(task, binary, regression):
    """What takes more rows says so; the rest stands."""
    data = binary if task == "classification" else regression
    model = forest(task=task).fit(data.X, data.y)
    report = report_of(model, data.X[:1], data.y[:1])
    check_page(report.html)
    assert "1 row cannot both calibrate integers and measure them" in shown(report, "integers")
    assert "On the 1 row given" in report.summary


def test_constant_values(regression):
    """Values that are all the same have no R2 to fall, and cost no other section."""
    model = forest(task="regression").fit(regression.X, regression.y)
    report = report_of(model, regression.X[:30], np.full(30, 100.0), budgets=())
    check_page(report.html)
    assert "Left out." not in report.html
    assert "all true values given are equal" in shown(report, "importance")


def test_many_classes():
    """Digits' ten classes are a matrix; thirty-one would not be one, and a table of the worst."""
    X, y = load_digits(return_X_y=True)
    report = report_of(forest(random_state=0).fit(X[:900], y[:900]), X[900:1200], y[900:1200], budgets=())
    assert len(rows_of(report, "Confusion matrix")) == 10
    assert 0 < len(rows_of(report, "Confused most often")) <= 5
    rng = np.random.default_rng(0)
    rows, labels = rng.normal(size=(400, 3)), np.arange(400) % 40
    report = report_of(forest(n_estimators=3).fit(rows, labels), rows[:200] + 0.3, labels[:200], budgets=())
    check_page(report.html)
    assert "40 classes are too many for a matrix" in report.html
    assert len(rows_of(report, "The 30 classes of the lowest recall, of 40")) == 30


def test_thousands_of_features():
    """What is looked at is capped, what is shown is capped, and both are told."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 2500)).astype(np.float32)
    y = (X[:, 7] > 0).astype(int)
    model = Ensemble([linear()], combine="soft").fit(X, y)
    report = report_of(model, X, y, budgets=())
    check_page(report.html)
    assert "Only the first 2,000 features were looked at; 500 features were not." in report.html
    assert "100 of 2,000 features were measured" in report.html
    assert len(rows_of(report, "5 shuffles")) == 12
    assert len(report.html) < 300_000


def test_features_that_trees_do_not_read(binary):
    """A feature of no split is not shuffled: it is worth nothing, and the page says so."""
    model = forest(max_depth=1, n_estimators=1, random_state=0).fit(binary.X, binary.y)
    used = behaviour.used_features(subject_of(model, binary.X, binary.y, random_state=0))
    assert used.tolist() == np.unique(model.program().root.steps[0].feature).tolist() if len(used) > 1 else [used[0]]
    report = report_of(model, binary.X, binary.y, budgets=())
    assert len(rows_of(report, "5 shuffles")) == len(used)
    assert "4 features are never read by the model" in report.html


def test_large_models_say_what_is_left_out(reported, monkeypatch):
    """Beyond so many splits the slow parts are left out with a remedy."""
    ensemble, X, y = reported
    assert n_splits(ensemble.program()) > 9
    monkeypatch.setattr(device, "_MOST_SEARCHED_SPLITS", 9)
    monkeypatch.setattr(device, "_MOST_SPLITS", 9)
    report = report_of(ensemble, X, y)
    check_page(report.html)
    assert "the search takes long" in shown(report, "budgets")
    assert "splits take long to quantize six times" in shown(report, "integers")


def test_a_part_that_fails_says_so(reported, monkeypatch):
    """An error within a section stands in its place, and the others are whole."""

    def broken(*_):
        raise RuntimeError(f"no {HOSTILE}")

    monkeypatch.setattr(quality, "calibration", broken)
    monkeypatch.setattr(device, "forms_of", broken)
    report = report_of(*reported, budgets=())
    check_page(report.html)
    assert "Left out. RuntimeError: no &lt;script" in shown(report, "calibration")
    assert "Left out. RuntimeError: no &lt;script" in shown(report, "integers")
    assert "<svg" in shown(report, "importance")


def test_many_rows_are_sampled(reported, monkeypatch):
    """The slow parts take some rows, and say how many."""
    monkeypatch.setattr(behaviour, "_MOST_ROWS", 15)
    monkeypatch.setattr(device, "_MOST_ROWS", 30)
    report = report_of(*reported, budgets=())
    assert "5 shuffles on 15 rows" in report.html
    assert "answers on 15 rows" in shown(report, "integers")


@pytest.mark.parametrize(
    ("X", "y", "said"),
    [
        (slice(None), "strange", "y holds 'strange', which the model does not know; use the labels"),
        (slice(0, 3), "malign", "inconsistent numbers of samples"),
    ],
)
def test_wrong_labels_are_refused(reported, X, y, said):
    """Labels that the model does not know, and too many of them."""
    ensemble, rows, labels = reported
    with pytest.raises(ValueError, match=said):
        report_of(ensemble, rows[X], np.where(labels == "malign", y, labels), budgets=())


def test_wrong_arguments_are_refused(reported, regression, tmp_path):
    """No model, an unfitted one, values that are no numbers, and budgets and seeds that are none."""
    ensemble, X, y = reported
    with pytest.raises(InvalidInputError, match="knows no model of type dict; give a fitted Ensemble"):
        report_of({}, X, y)
    with pytest.raises(NotFittedError):
        ensemble_of().report(X, y)
    with pytest.raises(InvalidInputError, match=r"budgets holds -1; use positive whole numbers"):
        report_of(ensemble, X, y, budgets=(8192, -1))
    with pytest.raises(InvalidInputError, match="random_state=None is no seed"):
        report_of(ensemble, X, y, random_state=None)
    model = forest(task="regression").fit(regression.X, regression.y)
    for wrong, said in ((np.nan, "y holds NaN or infinity"), ("many", "y cannot be read as numbers")):
        with pytest.raises(InvalidInputError, match=said):
            report_of(model, regression.X, [wrong] * len(regression.y))
    with pytest.raises(ArtifactError, match="cannot write"):
        ensemble.report(X, y, tmp_path / "absent" / "report.html", budgets=())


def test_without_matplotlib(reported, tmp_path, monkeypatch):
    """Charts say how to install it, and every table is there."""
    ensemble, X, y = reported
    np.savez(tmp_path / "rows.npz", X=X, y=y)
    ensemble.save(tmp_path / "model.e1d")
    monkeypatch.chdir(tmp_path)
    code = """
import numpy as np, ensemble_1d
from ensemble_1d.reporting.report import report_of
rows, model = np.load("rows.npz"), ensemble_1d.load("model.e1d")
report_of(model, rows["X"], rows["y"], budgets=()).save("r.html")
"""
    run_python(code, blocked=["matplotlib"])
    html = (tmp_path / "r.html").read_text(encoding="utf-8")
    check_page(html)
    assert "<svg" not in html
    assert "Not drawn: report needs matplotlib, which is not installed. Install it with: pip install" in html
    assert "Left out." not in html


def test_settings_of_matplotlib_neither_matter_nor_change(reported):
    """A style of the user's leaves the page as it is, and is there afterwards."""
    matplotlib = pytest.importorskip("matplotlib")
    before = report_of(*reported, budgets=()).html
    with matplotlib.rc_context({"figure.facecolor": "black", "font.size": 30, "svg.fonttype": "path"}):
        settings = dict(matplotlib.rcParams)
        assert report_of(*reported, budgets=()).html == before
        assert dict(matplotlib.rcParams) == settings


def test_sections_never_raise():
    """Whatever goes wrong is a note."""
    found = page.section("a", "A", lambda: 1 / 0)
    assert Page(found.body).text == "Left out. ZeroDivisionError: division by zero"
