"""`ensemble-1d predict`: the answers of the library, row by row, as CSV, Parquet and JSON."""

import csv
import io
import warnings

import numpy as np
import pytest
from command_lines import NAMES, SMALL, refused, run, table_of, written
from samples import forest, sample

from ensemble_1d import load
from ensemble_1d.cli import predict
from ensemble_1d.native.native_program import SlowPredictionWarning

pd = pytest.importorskip("pandas")


@pytest.fixture(scope="module", params=["words", "multiclass", "regression"])
def fitted(request, tmp_path_factory):
    """A folder with a table, a model of it, and the frame."""
    folder = tmp_path_factory.mktemp("predict")
    frame = table_of(request.param)
    frame.to_csv(folder / "data.csv", index=False)
    assert run("fit", folder / "data.csv", "--target", "kind", "--out", folder / "m.e1d", *SMALL).code == 0
    return folder, frame


@pytest.fixture(scope="module")
def words(tmp_path_factory):
    """A folder with a table of two classes and a model of it."""
    folder = tmp_path_factory.mktemp("words")
    table_of("words").to_csv(folder / "data.csv", index=False)
    assert run("fit", folder / "data.csv", "--target", "kind", "--out", folder / "m.e1d", *SMALL).code == 0
    return folder


def test_answers_are_those_of_the_library(fitted):
    """One line for each row, to the last bit."""
    folder, frame = fitted
    ran = run("predict", folder / "m.e1d", folder / "data.csv")
    assert ran.code == 0
    assert ran.lines[0] == "prediction"
    expected = load(folder / "m.e1d").predict(frame[list(NAMES)].to_numpy()).tolist()
    assert [type(expected[0])(text) for text in ran.lines[1:]] == expected


def test_probabilities(fitted):
    """A column for each class, named by it, then the label."""
    folder, frame = fitted
    model = load(folder / "m.e1d")
    if model.program.task == "regression":
        line = refused("predict", folder / "m.e1d", folder / "data.csv", "--proba")
        assert line == f"--proba needs classes, and {str(folder / 'm.e1d')!r} does regression; leave it out"
        return
    ran = run("predict", folder / "m.e1d", folder / "data.csv", "--proba")
    header, *rows = csv.reader(ran.lines)
    assert header == [*map(str, model.program.classes), "prediction"]
    expected = model.predict_proba(frame[list(NAMES)].to_numpy())
    assert np.array_equal(np.array([row[:-1] for row in rows], float), expected)
    assert [row[-1] for row in rows] == [str(label) for label in model.predict(frame[list(NAMES)].to_numpy())]
    told = run("predict", folder / "m.e1d", folder / "data.csv", "--proba", "--json").json
    assert told["classes"] == model.program.classes.tolist()
    assert told["probabilities"] == expected.tolist()


def test_json(fitted):
    """One document with every answer, in its own type; with --out a file holds them, and the document tells of it."""
    folder, frame = fitted
    told = run("predict", folder / "m.e1d", folder / "data.csv", "--json").json
    expected = load(folder / "m.e1d").predict(frame[list(NAMES)].to_numpy()).tolist()
    assert told["predictions"] == expected
    assert told["n_rows"] == len(frame)
    assert told["probabilities"] is None
    out = folder / "answers.csv"
    told = run("predict", folder / "m.e1d", folder / "data.csv", "--json", "--out", out).json
    assert told["out"] == str(out)
    assert told["columns"] == ["prediction"]
    assert "predictions" not in told
    assert out.read_bytes() == run("predict", folder / "m.e1d", folder / "data.csv").out


def test_parquet(fitted):
    """In and out, the same answers as in CSV."""
    pytest.importorskip("pyarrow")
    folder, frame = fitted
    frame.to_parquet(folder / "data.parquet")
    ran = run("predict", folder / "m.e1d", folder / "data.parquet", "--out", folder / "answers.parquet")
    assert ran.lines == [f"{len(frame):,} predictions in {folder / 'answers.parquet'}"]
    answers = pd.read_parquet(folder / "answers.parquet")
    expected = run("predict", folder / "m.e1d", folder / "data.csv", "--json").json["predictions"]
    assert answers["prediction"].tolist() == expected
    assert list(answers.columns) == ["prediction"]


def test_columns_are_found_by_name(words):
    """In any order, beside others, which are named; numbers as text in other columns do no harm."""
    frame = pd.read_csv(words / "data.csv")
    expected = run("predict", words / "m.e1d", words / "data.csv").out
    frame["note"] = "x, y"
    frame[sorted(frame.columns, reverse=True)].to_csv(words / "other.csv", index=False)
    ran = run("predict", words / "m.e1d", words / "other.csv")
    assert ran.out == expected
    assert ran.err == "ensemble-1d: note: left out what the model does not know: 'note', 'kind'\n"
    assert run("predict", words / "m.e1d", words / "other.csv", "--drop", "note,kind").err == ""


def test_a_missing_column_is_named(words):
    """And what there is."""
    frame = pd.read_csv(words / "data.csv").rename(columns={"texture": "Texture"})
    frame.to_csv(words / "renamed.csv", index=False)
    line = refused("predict", words / "m.e1d", words / "renamed.csv")
    assert "has no column 'texture'; did you mean 'Texture'? its columns are 'radius', 'Texture'," in line
    line = refused("predict", words / "m.e1d", words / "data.csv", "--drop", "area")
    assert line.endswith(
        "gives 4 features, and the model takes 5; it needs all that it was fitted on: take names out of --drop"
    )


@pytest.mark.parametrize(
    ("cell", "said"),
    [
        ("Oslo", "holds no number in data row 2: 'Oslo'; encode text as numbers as for the fit"),
        ("1e99", "holds 1e+99 in data row 2, which is infinite, or too large for float32"),
        ("-inf", "holds -inf in data row 2, which is infinite"),
    ],
)
def test_cells_that_are_no_numbers(words, tmp_path, cell, said):
    """The column, the row and the value are named."""
    rows = (words / "data.csv").read_text().splitlines()
    rows[2] = ",".join([cell, *rows[2].split(",")[1:]])
    path = written(tmp_path, "\n".join(rows))
    assert refused("predict", words / "m.e1d", path).startswith(f"column 'radius' of {str(path)!r} {said}")


def test_missing_values(tmp_path):
    """A forest answers rows with empty cells; an integer model made of whole rows names the first of them."""
    data = sample("binary")
    model = forest(random_state=0).fit(pd.DataFrame(data.X, columns=list(NAMES)), data.y)
    model.save(tmp_path / "m.e1d")
    model.quantize("int8", pd.DataFrame(data.X, columns=list(NAMES))).save(tmp_path / "i.e1d")
    path = written(tmp_path, ",".join(NAMES) + "\n1,2,3,4,5\n1,,3,NA,5\n")
    rows = np.array([[1, 2, 3, 4, 5], [1, np.nan, 3, np.nan, 5]])
    assert run("predict", tmp_path / "m.e1d", path).lines[1:] == list(map(str, load(tmp_path / "m.e1d").predict(rows)))
    assert refused("predict", tmp_path / "i.e1d", path) == (
        f"column 'texture' of {str(path)!r} has no value in data row 2 and in 1 more, and the model takes no missing "
        "values; fill them in first"
    )


def test_a_model_without_names_takes_columns_by_position(tmp_path):
    """As many as it was fitted on, those left out with --drop not counted."""
    data = sample("binary")
    forest(random_state=0).fit(data.X, data.y).save(tmp_path / "m.e1d")
    table_of("binary").to_csv(tmp_path / "d.csv", index=False)
    line = refused("predict", tmp_path / "m.e1d", tmp_path / "d.csv")
    assert line.endswith(
        "gives 6 features, and the model takes 5; it knows no names, so columns count by position: leave others out "
        "with --drop"
    )
    ran = run("predict", tmp_path / "m.e1d", tmp_path / "d.csv", "--drop", "kind")
    assert ran.lines[1:] == list(map(str, load(tmp_path / "m.e1d").predict(data.X)))


def test_a_class_that_is_called_as_the_answers_are(tmp_path):
    """Two columns of one name are refused; JSON has no such names."""
    path = written(tmp_path, "a,y\n1,prediction\n2,z\n3,prediction\n4,z\n")
    assert run("fit", path, "--target", "y", "--out", tmp_path / "m.e1d", *SMALL).code == 0
    assert refused("predict", tmp_path / "m.e1d", path, "--proba") == (
        "the class 'prediction' has the name of the column of answers; use --json"
    )
    assert run("predict", tmp_path / "m.e1d", path, "--proba", "--json").json["classes"] == ["prediction", "z"]


def test_many_rows_are_answered_in_c(words, monkeypatch):
    """The same answers; and the same again, without a word, where no compiler works."""
    expected = run("predict", words / "m.e1d", words / "data.csv").out
    monkeypatch.setattr(predict, "_ROWS_TO_COMPILE", 1)
    compiled = []
    kept = predict._compiled
    monkeypatch.setattr(predict, "_compiled", lambda model: compiled.append(kept(model)) or compiled[-1])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", SlowPredictionWarning)  # where this machine has no compiler
        assert run("predict", words / "m.e1d", words / "data.csv").out == expected
    assert len(compiled) == 1
    assert compiled[0]._native is not None

    def warn(self, **_):
        warnings.warn("slow", SlowPredictionWarning, stacklevel=2)
        return self

    monkeypatch.setattr("ensemble_1d.predictor.Predictor.compile", warn)
    ran = run("predict", words / "m.e1d", words / "data.csv", "--drop", "kind")
    assert (ran.out, ran.err) == (expected, "")


def test_a_table_on_standard_input_is_read_again_where_it_holds_booleans(words, tmp_path):
    """The fast way to read is tried first; what it cannot read is read with care."""
    frame = pd.read_csv(words / "data.csv")
    frame["radius"] = np.where(frame["radius"] > 12, "True", "")
    text = io.StringIO()
    frame.to_csv(text, index=False)
    expected = load(words / "m.e1d").predict(
        np.column_stack([np.where(frame["radius"] == "True", 1, np.nan), frame[list(NAMES[1:])].to_numpy(np.float32)])
    )
    ran = run("predict", words / "m.e1d", "-", data=text.getvalue().encode())
    assert ran.lines[1:] == expected.tolist()


def test_only_whole_files(words, tmp_path):
    """An error leaves what was there."""
    out = written(tmp_path, "old", "answers.csv")
    path = written(tmp_path, "radius\n1\n")
    refused("predict", words / "m.e1d", path, "--out", out)
    assert out.read_text() == "old"
    assert sorted(each.name for each in tmp_path.iterdir()) == ["answers.csv", "data.csv"]
