"""What notebooks show of results: tables in HTML that say what the text says, with every name escaped."""

import re

import numpy as np
import pytest
from html_checks import Page
from isolation import BACKENDS, run_python
from samples import forest
from sklearn.linear_model import LogisticRegression

from ensemble_1d import Budget, Ensemble, ModelOptimizer, Predictor, load
from ensemble_1d._html import Markup, html_facts, html_table
from ensemble_1d.export.verification import CVerification
from ensemble_1d.leaderboard import Leaderboard

HOSTILE = "<script>alert('1')</script>"


@pytest.fixture(scope="module")
def ensemble(words):
    """A fitted ensemble whose members, features and labels are called what would run if it were not escaped."""
    pandas = pytest.importorskip("pandas")
    names = [f"{HOSTILE}{i}" for i in range(words.X.shape[1])]
    members = [(HOSTILE, forest(max_depth=3)), ("ä & ö", forest(max_depth=2))]
    labels = np.where(words.y == "malign", HOSTILE, "<i>")
    return Ensemble(members, combine="soft", random_state=0).fit(pandas.DataFrame(words.X, columns=names), labels)


@pytest.fixture(scope="module")
def shown(ensemble, words):
    """Every object that notebooks show as a table of ours, by name."""
    predictor = Predictor(ensemble.program())
    labels = np.where(words.y == "malign", HOSTILE, "<i>")
    fitted = predictor.quantize("int8", words.X, labels, budget=Budget(flash=4000))
    compressed = predictor.optimize(words.X, optimizer=ModelOptimizer(max_accuracy_drop=0.05))
    return {
        "float": predictor,
        "integer": predictor.quantize("int8", words.X),
        "summary": predictor.summary(),
        "quantization": fitted.report,
        "pareto": fitted.pareto(),
        "optimization": compressed.optimization,
        "verification": CVerification(
            n_rows=9, n_different=1, first_different=3, compiler=("<cc>",), flags=("-O2", HOSTILE)
        ),
        "leaderboard": Leaderboard([{"name": HOSTILE, "score": 0.5}]),
    }


KINDS = ["float", "integer", "summary", "quantization", "pareto", "optimization", "verification", "leaderboard"]


@pytest.mark.parametrize("kind", KINDS)
def test_tables_are_whole_and_escaped(kind, shown):
    """Tags match, nothing but tables is there, and each row and column has a header of its own scope."""
    source = shown[kind]._repr_html_()
    page = Page(source)
    assert {tag for tag, _ in page.tags} <= {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert all(each.get("scope") in {"row", "col"} for each in page.all("th"))
    assert "<script" not in source
    assert "<i>" not in source
    if kind != "optimization":  # It names no part of the model.
        assert HOSTILE in page.text


@pytest.mark.parametrize("kind", ["quantization", "pareto", "optimization", "verification", "leaderboard", "summary"])
def test_tables_hold_the_numbers_of_the_text(kind, shown):
    """Every number that is printed stands in the table too."""
    numbers = re.compile(r"\d[\d,.]*\d|\d")
    found = numbers.findall(Page(shown[kind]._repr_html_()).text)
    assert set(numbers.findall(str(shown[kind]))) <= set(found)


def test_the_card_of_a_predictor(shown):
    """Task, features, labels, arithmetic, and bytes of each part that add up to all."""
    for kind, arithmetic in (("float", "float"), ("integer", "integer")):
        page = Page(shown[kind]._repr_html_())
        cells = dict(zip(page.inside("th"), page.inside("td"), strict=True))
        assert cells["task"] == "classification"
        assert cells["features"].startswith("5: <script>")
        assert cells["classes"] == f"2: <i>, {HOSTILE}"
        assert cells["arithmetic"] == arithmetic
        parts = {name: int(cells[name].replace(",", "")) for name in cells if name.startswith("bytes of ")}
        total = parts.pop("bytes of arrays")
        assert total == shown[kind].program.nbytes == sum(parts.values())
        assert {f"bytes of {HOSTILE}", "bytes of ä & ö"} < set(parts)
        assert ("bytes of inputs" in parts) == (kind == "integer")


def test_a_model_of_one_part_needs_no_list_of_parts(regression):
    """The card of a single model names the bytes of all arrays alone, and no classes where there are none."""
    page = Page(Predictor(forest(task="regression").fit(regression.X, regression.y).program())._repr_html_())
    assert [name for name in page.inside("th") if "bytes" in name] == ["bytes of arrays"]
    assert "classes" not in page.inside("th")


def test_an_optimization_without_trees_is_a_table_too(binary):
    """Where there is nothing to compress the table says so."""
    model = Ensemble([LogisticRegression(solver="newton-cholesky")], combine="soft").fit(binary.X, binary.y)
    page = Page(model.optimize(binary.X).optimization._repr_html_())
    assert page.inside("td") == ["none to compress"]


def test_markup_alone_passes_as_it_is():
    """Text is escaped, in headers, captions and cells; markup is not."""
    source = html_table(["<a>", "<b>"], [["<c>", Markup("<em>d</em>")]], caption="<e>", words=(1,))
    page = Page(source)
    assert [text for _, text in page.texts] == ["<e>", "<a>", "<b>", "<c>", "d"]
    assert page.all("em") == [{}]
    assert page.all("td") == [{"class": "words"}]
    assert Page(html_facts([("<a>", "<b>")], caption="<c>")).text == "<c> <a> <b>"


def test_notebooks_show_fitted_members(binary):
    """The diagram of a fitted ensemble shows its fitted members, the default ones too."""
    pytest.importorskip("xgboost")
    ensemble = Ensemble(combine="soft", random_state=0)
    assert "random_forest" not in ensemble._repr_html_()
    ensemble.fit(binary.X, binary.y)
    block = ensemble._sk_visual_block_()
    assert block.names == ["random_forest", "xgboost"]
    assert all(one is other for one, other in zip(block.estimators, ensemble.members_.values(), strict=True))


def test_cards_need_numpy_alone(ensemble, tmp_path):
    """A loaded predictor shows its card with nothing else installed."""
    path = ensemble.save(tmp_path / "model.e1d")
    code = f"import ensemble_1d; print(ensemble_1d.load({str(path)!r})._repr_html_())"
    shown = run_python(code, blocked=BACKENDS).stdout.decode().strip()
    assert shown == load(path)._repr_html_()
