"""The leaderboard: what members score, cost and weigh, and how it is shown."""

import html
import re

import numpy as np
import pytest
from samples import forest, network
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, log_loss, r2_score, root_mean_squared_error
from sklearn.neighbors import KNeighborsClassifier

from ensemble_1d import Ensemble, InvalidInputError
from ensemble_1d.ir import node_bytes
from ensemble_1d.leaderboard import Leaderboard

LOGISTIC = LogisticRegression(solver="newton-cholesky")


def ensemble_of(**options):
    """Return an ensemble of three members, of which one has no Program."""
    models = [("stump", forest(max_depth=1)), ("near", KNeighborsClassifier()), ("line", LOGISTIC)]
    return Ensemble(models, **({"cv": 3, "random_state": 0} | options))


def by_name(board):
    """Return the lines by name."""
    return {line["name"]: line for line in board}


@pytest.mark.parametrize("options", [{}, {"combine": "soft"}, {"calibrate": True, "passthrough": True}], ids=str)
def test_rows_are_scored_by_every_member(words, options):
    """Scores on given rows are those of scikit-learn's metrics, best first, for the whole and each member."""
    ensemble = ensemble_of(**options).fit(words.X[:80], words.y[:80])
    X, y = words.X[80:], words.y[80:]
    board = ensemble.leaderboard(X, y)
    models = {"ensemble": ensemble, **ensemble.members_}
    assert {line["name"] for line in board} == set(models)
    for name, line in by_name(board).items():
        assert line["score"] == accuracy_score(y, models[name].predict(X))
        assert line["log_loss"] == pytest.approx(log_loss(y, models[name].predict_proba(X)), rel=1e-9)
        assert line["fit_seconds"] >= 0
        assert line["predict_seconds"] >= 0
    scores = [line["score"] for line in board]
    assert scores == sorted(scores, reverse=True)
    weights = [by_name(board)[name]["weight"] for name in ensemble.members_]
    assert weights == ensemble.weights_.tolist()
    assert by_name(board)["ensemble"]["weight"] is None


def test_without_rows_the_held_out_ones_are_scored(regression):
    """The fit's own out-of-fold predictions are scored where no rows are given."""
    models = [("wood", forest(task="regression")), ("line", Ridge())]
    ensemble = Ensemble(models, task="regression", cv=3, random_state=0).fit(regression.X, regression.y)
    board = by_name(ensemble.leaderboard())
    held = ensemble._out_of_fold
    for name, output in zip(ensemble.members_, held.outputs, strict=True):
        assert board[name]["score"] == pytest.approx(r2_score(held.target, output[:, 0]))
        assert board[name]["rmse"] == pytest.approx(root_mean_squared_error(held.target, output[:, 0]))
    assert board["wood"]["score"] < ensemble.members_["wood"].score(regression.X, regression.y)
    assert "log_loss" not in board["wood"]


@pytest.mark.parametrize("passthrough", [False, True])
def test_held_out_labels_are_those_of_the_user(words, passthrough):
    """Text labels and a meta-model that sees the features are scored on held-out rows as well."""
    board = ensemble_of(passthrough=passthrough).fit(words.X, words.y).leaderboard()
    assert all(0.5 < line["score"] <= 1 for line in board)


def test_what_is_not_known_is_none(binary):
    """Without folds there are no scores; a member without a Program has no bytes, and so the whole has none."""
    board = ensemble_of(combine="soft").fit(binary.X, binary.y).leaderboard()
    assert [line["name"] for line in board] == ["stump", "near", "line", "ensemble"]
    assert {line[key] for line in board for key in ("score", "log_loss", "predict_seconds")} == {None}
    assert by_name(board)["near"]["bytes"] is by_name(board)["ensemble"]["bytes"] is None
    assert by_name(board)["line"]["bytes"] == 6 * 4
    whole = Ensemble([forest(), LOGISTIC], cv=3, random_state=0).fit(binary.X, binary.y)
    sizes = by_name(whole.leaderboard())
    assert sizes["ensemble"]["bytes"] == node_bytes(whole.program().root)
    assert sizes["ensemble"]["bytes"] > sizes["random_forest"]["bytes"] > 0


def test_rows_and_labels_go_together(binary):
    """One without the other is refused, and so is an ensemble that is not fitted."""
    ensemble = ensemble_of(combine="soft")
    with pytest.raises(NotFittedError):
        ensemble.leaderboard()
    ensemble.fit(binary.X, binary.y)
    for arguments in ({"X": binary.X}, {"y": binary.y}):
        with pytest.raises(InvalidInputError, match="leaderboard needs both X and y to score on rows, or neither"):
            ensemble.leaderboard(**arguments)


def test_printed_it_is_a_table():
    """Numbers stand on the right with four decimals, text and titles on the left; a dash is what is not known."""
    board = Leaderboard(
        [
            {"name": "a", "score": 0.98765, "log_loss": None, "bytes": 1200, "rmse": 12345.678},
            {"name": "longer", "score": 0.5, "log_loss": None, "bytes": None, "rmse": -1.0},
        ]
    )
    assert str(board).splitlines() == [
        "name    score   log_loss  bytes  rmse",
        "a       0.9877  -          1200  1.235e+04",
        "longer  0.5000  -             -    -1.0000",
    ]
    assert str(Leaderboard()) == ""


def test_notebooks_escape_names():
    """In HTML a name is text, whatever it holds."""
    name = "<b>wood & 'co'"
    page = Leaderboard([{"name": name, "score": 0.5}])._repr_html_()
    assert html.unescape(re.findall(r"<th scope=\"row\">(.*?)</th>", page)[0]) == name
    assert "<b>" not in page
    assert page.count("<tr>") == 2
    assert Leaderboard()._repr_html_().startswith("<table>")


def test_pandas_takes_it(binary):
    """A leaderboard is a list of dicts with the same keys."""
    pandas = pytest.importorskip("pandas")
    board = ensemble_of().fit(binary.X, binary.y).leaderboard()
    frame = pandas.DataFrame(board)
    assert frame.columns.tolist() == ["name", "score", "log_loss", "weight", "fit_seconds", "predict_seconds", "bytes"]
    assert frame["score"].is_monotonic_decreasing
    assert len(frame) == 4


def test_times_are_those_of_all_fits(binary):
    """The time of a member is that of its folds and of all rows together; fitted members took none."""
    pytest.importorskip("torch")
    tree = forest(random_state=0).fit(binary.X, binary.y)
    ensemble = Ensemble([("tree", tree), network(max_epochs=3)], prefit=["tree"], cv=3, random_state=0)
    board = by_name(ensemble.fit(binary.X, binary.y).leaderboard())
    assert board["tree"]["fit_seconds"] == 0
    assert board["ensemble"]["fit_seconds"] == board["pytorch"]["fit_seconds"] > 0
    assert board["ensemble"]["predict_seconds"] == pytest.approx(
        board["tree"]["predict_seconds"] + board["pytorch"]["predict_seconds"]
    )
    assert np.isfinite(board["ensemble"]["score"])
