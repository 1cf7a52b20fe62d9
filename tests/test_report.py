"""The report: one page that holds by itself, and whose numbers are those of scikit-learn."""

import numpy as np
import pytest
from html_checks import Page
from report_pages import ANCHORS, check_page, ensemble_of, halves, rows_of, shown
from samples import boosting, forest, network, sample
from sklearn.inspection import permutation_importance
from sklearn.metrics import accuracy_score, confusion_matrix, log_loss, mean_absolute_error, r2_score, recall_score
from sklearn.neighbors import KNeighborsClassifier

from ensemble_1d import Ensemble, Predictor, load
from ensemble_1d.reporting import behaviour, device, importance
from ensemble_1d.reporting.intervals import accuracy_interval, r2_interval
from ensemble_1d.reporting.program_members import member_programs, member_weights
from ensemble_1d.reporting.report import Report, report_of
from ensemble_1d.reporting.sizes import best_within
from ensemble_1d.reporting.subject import subject_of

pytest.importorskip("matplotlib")


@pytest.fixture(scope="module")
def report(reported):
    """Its report, with one budget."""
    return report_of(*reported, title="Tumours", budgets=(2000,))


def test_a_report_is_a_whole_page(report):
    """Tags match, nothing is loaded, ids are unique and every section is there, none of them left out."""
    found = check_page(report.html)
    assert [each["id"] for each in found.all("section")] == ANCHORS
    assert found.inside("h1") == ["Tumours"]
    assert "Left out" not in report.html
    assert len(found.all("svg")) == 5


def test_equal_inputs_give_equal_bytes(reported, report):
    """No time, no address and no random id is in the page."""
    assert report_of(*reported, title="Tumours", budgets=(2000,)).html == report.html


@pytest.mark.parametrize("options", [{}, {"combine": "hard"}, {"calibrate": True, "combine": "soft"}], ids=str)
def test_scores_are_those_of_scikit_learn(words, options):
    """The leaderboard holds accuracy and log loss of the whole and of each member, out of fold where known."""
    X, y, X_test, y_test = halves(words)
    ensemble = ensemble_of(**options).fit(X, y)
    found = rows_of(report_of(ensemble, X_test, y_test, budgets=()), "On 40 rows")
    held = {line["name"]: line for line in ensemble.leaderboard()}
    for name, model in ({"ensemble": ensemble} | ensemble.members_).items():
        score, loss, *rest = found[name]
        assert score == f"{100 * accuracy_score(y_test, model.predict(X_test)):.1f}\N{NO-BREAK SPACE}%"
        if options.get("combine") != "hard":
            assert loss == f"{log_loss(y_test, model.predict_proba(X_test)):.3f}"
        known = held[name]["score"]
        assert known is None or rest[0] == f"{100 * known:.1f}\N{NO-BREAK SPACE}%"
        assert f"{held[name]['bytes']:,}" in rest


def test_errors_are_those_of_scikit_learn(reported, report):
    """The confusion matrix and the recall of each class."""
    ensemble, X, y = reported
    matrix = confusion_matrix(y, ensemble.predict(X), labels=ensemble.classes_)
    found = rows_of(report, "Confusion matrix")
    assert [list(map(int, found[f"is {label}"])) for label in ensemble.classes_] == matrix.tolist()
    recall = recall_score(y, ensemble.predict(X), labels=ensemble.classes_, average=None)
    each = rows_of(report, "Each class")
    for label, value in zip(ensemble.classes_, recall, strict=True):
        assert each[label][0] == str((y == label).sum())
        assert each[label][2] == f"{100 * value:.1f}\N{NO-BREAK SPACE}%"


def test_importance_is_that_of_scikit_learn(reported):
    """The same seed gives the numbers of sklearn.inspection.permutation_importance, for labels and for values."""
    ensemble, X, y = reported
    subject = subject_of(ensemble, X, y, random_state=7)
    rows = np.arange(len(X))
    expected = permutation_importance(ensemble, X.astype(np.float32), y, n_repeats=4, random_state=7)
    found = behaviour._measured(subject, rows, np.arange(5), 4)
    assert found.drops == pytest.approx(expected.importances)
    assert (found.mean != 0).any()
    assert found.spread == pytest.approx(expected.importances_std)
    data = sample("regression")
    model = forest(task="regression", random_state=0).fit(data.X[:80], data.y[:80])
    X, y = data.X[80:].astype(np.float32), data.y[80:]
    expected = permutation_importance(model, X, y, n_repeats=3, random_state=1)
    found = behaviour._measured(subject_of(model, X, y, random_state=1), np.arange(len(X)), np.array([2, 0]), 3)
    assert found.drops == pytest.approx(expected.importances[[2, 0]])


def test_importance_in_blocks_is_the_same(reported, monkeypatch):
    """However many shuffled copies are answered at once, the numbers are the same."""
    subject = subject_of(*reported, random_state=0)
    rows, features = np.arange(len(subject.X)), np.arange(5)
    whole = behaviour._measured(subject, rows, features, 3).drops
    monkeypatch.setattr(importance, "_BYTES_AT_ONCE", 1)
    assert np.array_equal(behaviour._measured(subject, rows, features, 3).drops, whole)


def test_intervals():
    """Wilson's by the formula; the bootstrap holds the score, narrows with rows, and refuses to guess."""
    n, right, z = 40, 37, 1.959963984540054
    share = right / n
    middle = (share + z**2 / (2 * n)) / (1 + z**2 / n)
    half = z / (1 + z**2 / n) * np.sqrt(share * (1 - share) / n + z**2 / (4 * n**2))
    found = accuracy_interval(right, n)
    assert (found.low, found.high) == pytest.approx((middle - half, middle + half))
    rng = np.random.default_rng(0)
    widths = []
    for n_rows in (50, 5000):
        truth = rng.normal(size=n_rows)
        values = truth + rng.normal(size=n_rows) / 2
        found = r2_interval(truth, values, random_state=0)
        assert found.low < r2_score(truth, values) < found.high
        widths.append(found.high - found.low)
    assert widths[1] < widths[0] / 5
    assert r2_interval(np.arange(9.0), np.arange(9.0), random_state=0) is None
    assert r2_interval(np.ones(20), np.arange(20.0), random_state=0) is None


def test_a_regression(regression):
    """R2, errors in units of y, no calibration; out-of-fold scores of members."""
    X, y, X_test, y_test = halves(regression)
    model = ensemble_of("regression").fit(X, y)
    report = report_of(model, X_test, y_test, budgets=(3000,))
    found = check_page(report.html)
    assert "calibration" not in [each["id"] for each in found.all("section")]
    assert "Left out" not in report.html
    values = model.predict(X_test)
    assert rows_of(report, "On 40 rows")["ensemble"][0] == f"{r2_score(y_test, values):.3f}"
    assert rows_of(report, "Errors")["Mean absolute error"] == [f"{mean_absolute_error(y_test, values):.3f}"]
    assert f"R² is {r2_score(y_test, values):.3f} (95 % confidence interval" in report.summary.replace("\xa0", " ")


def test_integers_are_measured_on_rows_that_did_not_calibrate(reported, report):
    """Sizes, agreement and scores are those of programs quantized with the other half."""
    ensemble, X, y = reported
    subject = subject_of(ensemble, X, y, random_state=0)
    both = device.halves(subject)
    assert len(both.calibration) + len(both.X) == len(X)
    assert not {row.tobytes() for row in both.calibration} & {row.tobytes() for row in both.X}
    found = rows_of(report, "Bytes on a cortex-m0plus")
    assert len(found) == 6
    for mode in ("int16", "int4"):
        expected = ensemble.quantize(mode, both.calibration).measure(both.X, both.truth)
        _, tables, score, agreement, _ = found[f"{mode}, exact"]
        assert tables == f"{expected.integer_bytes:,}"
        assert score == f"{100 * expected.score_integer:.1f}\N{NO-BREAK SPACE}%"
        assert agreement == f"{100 * expected.agreement:.1f}\N{NO-BREAK SPACE}%"


def test_budgets_hold_what_they_are_given(reported, report):
    """A form of a budget fits it; one that holds nothing says so."""
    (line,) = rows_of(report, "The best form for each budget").values()
    assert int(line[0].replace(",", "")) <= 2000
    ensemble, X, y = reported
    little = report_of(ensemble.members_["stump"], X, y, budgets=(10, 10**6))
    found = rows_of(little, "The best form for each budget")
    assert "nothing fits" in found["10"]
    assert "nothing fits" not in found["1,000,000"]


def test_the_best_within_a_budget():
    """The best score that fits; among equals the smallest."""

    class Point:
        def __init__(self, flash, score):
            self.flash, self.score = flash, score

    class Table:
        points = (Point(10, 0.5), Point(20, 0.9), Point(15, 0.9), Point(30, 1.0))

    assert best_within(Table, 25).flash == 15
    assert best_within(Table, 30).flash == 30
    assert best_within(Table, 9) is None


@pytest.mark.parametrize("name", ["soft", "hard", "stacking", "passthrough", "calibrated"])
def test_members_of_a_saved_ensemble(name, multiclass, tmp_path):
    """A loaded program tells its members and their weights, as the ensemble does."""
    options = {
        "soft": {"combine": "soft", "weights": [1, 3]},
        "hard": {"combine": "hard"},
        "stacking": {},
        "passthrough": {"passthrough": True},
        "calibrated": {"calibrate": True},
    }[name]
    ensemble = ensemble_of(**options).fit(multiclass.X, multiclass.y)
    loaded = load(ensemble.save(tmp_path / "model.e1d"))
    first, second = (subject_of(model, multiclass.X, multiclass.y, random_state=0) for model in (ensemble, loaded))
    assert list(second.outputs) == ["model", "stump", "wood"]
    for one, other in zip(first.outputs.values(), second.outputs.values(), strict=True):
        assert other == pytest.approx(one, abs=1e-6)
    assert list(member_weights(loaded.program).values()) == pytest.approx(ensemble.weights_.tolist())
    small = Predictor(loaded.program).quantize("int16", multiclass.X)
    answers = {name: Predictor(member).predict(multiclass.X) for name, member in member_programs(small.program).items()}
    for member, labels in answers.items():
        assert (labels == ensemble.members_[member].predict(multiclass.X)).mean() > 0.98
    assert set(answers) == {"stump", "wood"}


def test_integer_predictors(reported, tmp_path):
    """They are reported as they are; the float one they came from is compared with where it is known."""
    ensemble, X, y = reported
    small = ensemble.quantize("int8", X)
    with_float = report_of(small, X, y)
    check_page(with_float.html)
    assert "Agreement with the float model: 100.0" in with_float.html
    loaded = load(small.save(tmp_path / "small.e1d"))
    without = report_of(loaded, X, y)
    check_page(without.html)
    assert "does not hold the float one" in without.html
    for report in (with_float, without):
        assert "Left out" not in report.html
        assert "in integers already" in shown(report, "budgets")
        score = f"{100 * accuracy_score(y, small.predict(X)):.1f}"
        assert f"{score}\N{NO-BREAK SPACE}% of its answers" in report.summary


def test_a_single_model_and_a_boosted_one(binary):
    """A model without members has a leaderboard of one line, and no weights."""
    pytest.importorskip("xgboost")
    report = report_of(boosting().fit(binary.X[:80], binary.y[:80]), binary.X[80:], binary.y[80:], budgets=())
    check_page(report.html)
    assert list(rows_of(report, "On 40 rows")) == ["model"]
    assert "What each member weighs" not in report.html
    assert "Parameters of XGBoostModel" in report.html


def test_a_network(binary):
    """A model that reads every feature is reported too."""
    pytest.importorskip("torch")
    report = report_of(network().fit(binary.X[:80], binary.y[:80]), binary.X[80:], binary.y[80:], budgets=())
    assert "Left out." not in report.html
    assert "never read" not in report.html


def test_missing_values(missing):
    """NaN among the features costs no section."""
    report = report_of(
        ensemble_of().fit(missing.X[:80], missing.y[:80]), missing.X[80:], missing.y[80:], budgets=(8192,)
    )
    check_page(report.html)
    assert "Left out" not in report.html


def test_a_model_without_a_program(words):
    """Scores and importance are there; what needs a program says why it is not."""
    X, y, X_test, y_test = halves(words)
    ensemble = Ensemble([("near", KNeighborsClassifier()), ("wood", forest())], cv=3, random_state=0).fit(X, y)
    report = report_of(ensemble, X_test, y_test)
    check_page(report.html)
    assert report.html.count("There is no integer form: member &#x27;near&#x27;") == 2
    assert "<svg" in shown(report, "importance")


def test_every_model_has_a_report(reported, tmp_path, monkeypatch):
    """`report` writes the page, whole, and returns what prints as a summary and shows in a frame."""
    ensemble, X, y = reported
    path = tmp_path / "report.html"
    report = ensemble.report(X, y, path, title="Tumours", budgets=())
    assert isinstance(report, Report)
    assert (
        path.read_text(encoding="utf-8") == report.html == report_of(ensemble, X, y, title="Tumours", budgets=()).html
    )
    assert str(report).startswith("Tumours\nThis Ensemble of 2 members (stump, wood) tells 2 classes apart")
    assert report.html not in repr(report)
    (frame,) = Page(report._repr_html_()).all("iframe")
    assert frame["srcdoc"] == report.html
    assert frame["sandbox"] is None
    monkeypatch.chdir(tmp_path)
    path.unlink()
    forest().fit(X, y).report(X, y, budgets=())
    assert path.is_file()
    path.unlink()
    ensemble.report(X, y, None, budgets=())
    assert not path.exists()
