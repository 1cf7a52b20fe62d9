"""`ensemble-1d fit`, and what it makes of a table."""

import csv

import numpy as np
import pytest
from command_lines import NAMES, SMALL, refused, run, table_of, written

from ensemble_1d import Ensemble, RandomForestModel, load
from ensemble_1d.cli.columns import inferred_task

pd = pytest.importorskip("pandas")

XY = "a,b,y\n1,2,x\n2,3,z\n3,4,x\n4,1,z\n"


def fitted(folder, text, *options, target="y", data=b""):
    """Fit a table in a moment and return what ran, and the program."""
    path = written(folder, text) if data == b"" else "-"
    ran = run("fit", path, "--target", target, "--out", folder / "m.e1d", *SMALL, *options, data=data)
    assert ran.code == 0, ran.err
    return ran, load(folder / "m.e1d")


@pytest.mark.parametrize("name", ["words", "multiclass", "regression"])
def test_fit_is_that_of_the_library(tmp_path, name):
    """The file is, byte for byte, what Ensemble.save writes for the same table, and the leaderboard the same."""
    frame = table_of(name)
    frame.to_csv(tmp_path / "data.csv", index=False)
    ran = run("fit", tmp_path / "data.csv", "--target", "kind", "--out", tmp_path / "m.e1d", "--json", *SMALL)
    assert ran.code == 0
    task = "regression" if name == "regression" else "classification"
    member = RandomForestModel(task=task, n_estimators=4)
    ensemble = Ensemble([("random_forest", member)], task=task, cv=2, random_state=0)
    ensemble.fit(frame[list(NAMES)], frame["kind"]).save(tmp_path / "library.e1d")
    assert (tmp_path / "m.e1d").read_bytes() == (tmp_path / "library.e1d").read_bytes()
    told = ran.json
    assert told["bytes"] == (tmp_path / "m.e1d").stat().st_size
    assert (told["task"], told["target"], told["n_rows"]) == (task, "kind", len(frame))
    assert told["feature_names"] == list(NAMES)
    assert told["classes"] == (None if task == "regression" else np.unique(frame["kind"]).tolist())
    scores = [(line["name"], line["score"], line["bytes"]) for line in told["leaderboard"]]
    assert scores == [(line["name"], line["score"], line["bytes"]) for line in ensemble.leaderboard()]


def test_leaderboard_and_notes(tmp_path, monkeypatch):
    """The table goes to standard output; task, progress and file to standard error."""
    monkeypatch.setattr("ensemble_1d.progress.is_available", lambda _: False)
    ran, _ = fitted(tmp_path, XY)
    assert ran.lines[0].split()[:3] == ["name", "score", "log_loss"]
    assert {line.split()[0] for line in ran.lines[1:]} == {"random_forest", "ensemble"}
    notes = ran.err.splitlines()
    assert notes[0] == "ensemble-1d: note: task: classification, because column 'y' holds 2 different labels"
    assert notes[1] == "ensemble-1d: note: fitting random_forest on 4 rows of 2 features"
    assert sum(note.startswith("[") for note in notes) == 3
    assert notes[-1].startswith("ensemble-1d: note: wrote ")
    assert run("fit", tmp_path / "data.csv", "--target", "y", "--out", tmp_path / "n.e1d", *SMALL, "-q").err == ""


@pytest.mark.parametrize(
    ("y", "task", "holds"),
    [
        (["b", "a"], "classification", "2 different labels"),
        ([True, False, True], "classification", "2 different labels"),
        ([0, 1, 1, 0], "classification", "2 different whole numbers"),
        ([0.0, 1.0, 2.0] * 3, "classification", "3 different whole numbers"),
        (list(range(20)) * 2, "classification", "20 different whole numbers"),
        (list(range(21)) * 9, "regression", "21 different whole numbers"),
        ([1, 2, 3, 4, 5], "regression", "5 different whole numbers"),
        ([1, 2], "classification", "2 different whole numbers"),
        ([0.5, 1.0, 1.0, 0.5], "regression", "numbers with fractions"),
    ],
)
def test_task_that_a_target_asks_for(y, task, holds):
    """Text, booleans and few whole numbers that repeat are classes; all else is a regression."""
    assert inferred_task(np.array(y)) == (task, holds)


@pytest.mark.parametrize(
    ("cells", "labels"),
    [
        (("yes", "no"), ["no", "yes"]),
        (("3", "1"), [1, 3]),
        (("True", "False"), [False, True]),
        (("2.0", "1.0"), [1.0, 2.0]),
        (("ä, b", 'c"d'), ['c"d', "ä, b"]),
    ],
)
def test_labels_keep_their_type(tmp_path, cells, labels):
    """Text stays text, whole numbers whole, booleans booleans; and come back from `predict` as they were written."""
    rows = [("a", "y"), *((i % 2, cells[i % 2]) for i in range(8))]
    with (tmp_path / "t.csv").open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows(rows)
    _, model = fitted(tmp_path, (tmp_path / "t.csv").read_bytes())
    found = model.program.classes.tolist()
    assert found == labels
    assert [type(each) for each in found] == [type(each) for each in labels]
    answers = run("predict", tmp_path / "m.e1d", tmp_path / "t.csv").out.decode()
    assert [line[0] for line in csv.reader(answers.splitlines()[1:])] == [cells[i % 2] for i in range(8)]


def test_task_may_be_told(tmp_path):
    """Whole numbers are values where --task says so, and nothing is inferred aloud."""
    ran, model = fitted(tmp_path, "a,y\n1,0\n2,1\n3,0\n4,1\n", "--task", "regression")
    assert model.program.task == "regression"
    assert "task:" not in ran.err


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("a;b;y\n1;2;x\n2;3;z\n3;4;x\n4;1;z\n", "';'"),
        ("a\tb\ty\n1\t2\tx\n2\t3\tz\n3\t4\tx\n4\t1\tz\n", "'\\t'"),
        (b"\xef\xbb\xbf" + XY.encode(), ""),
        (XY.replace("\n", "\r\n"), ""),
        (XY.replace(",", ", "), ""),
        ("\n" + XY, ""),
        ('"a","b","y"\n' + XY.partition("\n")[2], ""),
        (",a,b,y\n" + "".join(f"{i},{line}\n" for i, line in enumerate(XY.splitlines()[1:])), "without a name"),
    ],
    ids=["semicolons", "tabs", "BOM", "CRLF", "blanks", "empty line", "quoted", "index"],
)
def test_dialects_of_csv(tmp_path, text, told):
    """The usual ways to write the same table give the same model, and a note where something was guessed."""
    ran, model = fitted(tmp_path, text)
    expected = fitted(tmp_path, XY)[1]
    assert model.program.feature_names == ("a", "b")
    rows = np.array([[1, 2], [4, 1]])
    assert np.array_equal(model.predict_proba(rows), expected.predict_proba(rows))
    assert told in ran.err
    assert ("separated by" in ran.err) == told.startswith("'")


def test_standard_input(tmp_path):
    """- is the table on standard input: CSV, or Parquet by its first bytes."""
    fitted(tmp_path, XY)
    expected = (tmp_path / "m.e1d").read_bytes()
    fitted(tmp_path, "", data=XY.encode())
    assert (tmp_path / "m.e1d").read_bytes() == expected
    pytest.importorskip("pyarrow")
    pd.read_csv(tmp_path / "data.csv").to_parquet(tmp_path / "data.parquet")
    fitted(tmp_path, "", data=(tmp_path / "data.parquet").read_bytes())
    assert (tmp_path / "m.e1d").read_bytes() == expected


def test_model_on_standard_output(tmp_path):
    """--out - is the model and nothing else; the leaderboard then goes to standard error."""
    fitted(tmp_path, XY)
    ran = run("fit", tmp_path / "data.csv", "--target", "y", "--out", "-", *SMALL)
    assert ran.code == 0
    assert ran.out == (tmp_path / "m.e1d").read_bytes()
    assert "log_loss" in ran.err
    assert run("fit", tmp_path / "data.csv", "--target", "y", "--out", "-", "-q", *SMALL).err == ""


def test_booleans_and_missing_values_are_numbers(tmp_path):
    """True is 1, an empty cell NaN, also in one column."""
    ran, model = fitted(tmp_path, "f,g,y\nTrue,1,x\nFalse,,z\n,3,x\nTrue,4,z\n")
    assert ran.code == 0
    assert model.program.accepts_missing
    expected = model.predict(np.array([[1, 1], [0, np.nan], [np.nan, 3], [1, 4]], np.float32))
    assert run("predict", tmp_path / "m.e1d", tmp_path / "data.csv").lines[1:] == expected.tolist()


def test_drop(tmp_path):
    """Columns by comma, again and again; a name with a comma counts as it is."""
    text = 'id,"n,m",city,a,y\n1,2,Rome,1,x\n2,2,Oslo,2,z\n3,4,Bonn,3,x\n4,4,Bern,4,z\n'
    _, model = fitted(tmp_path, text, "--drop", "id,city", "--drop", "n,m")
    assert model.program.feature_names == ("a",)


def test_parameters(tmp_path):
    """--param reaches the member that it names."""
    text = XY
    _, model = fitted(
        tmp_path, text, "--param", "random_forest.n_estimators=7", "--param", "random_forest.max_depth=None"
    )
    (table,) = [node for node in model.summary().nodes if node.kind == "TreeTable"]
    assert table.size.startswith("7 trees")
    command = ["fit", tmp_path / "data.csv", "--target", "y", "--out", tmp_path / "x.e1d", *SMALL]
    assert refused(*command, "--param", "xgboost.seed=1") == (
        "--param xgboost.seed=1 names no member; they are 'random_forest'"
    )
    assert refused(*command, "--param", "random_forest.trees=1").startswith(
        "--param random_forest.trees: there is no such parameter; random_forest has 'backend_params', 'bootstrap', "
    )
    assert "'n_estimators' parameter" in refused(*command, "--param", "random_forest.n_estimators=none")


def test_pandas_index_in_parquet_is_no_feature(tmp_path):
    """What pandas keeps of its index is left out, and named columns stay columns."""
    pytest.importorskip("pyarrow")
    written(tmp_path, XY)
    frame = pd.read_csv(tmp_path / "data.csv").iloc[[3, 0, 2, 1]]
    frame.to_parquet(tmp_path / "data.parquet")
    command = ["--target", "y", "--out", tmp_path / "m.e1d", *SMALL]
    ran = run("fit", tmp_path / "data.parquet", *command)
    assert load(tmp_path / "m.e1d").program.feature_names == ("a", "b")
    assert "left out 1 column(s) without a name" in ran.err
    frame.set_index("b").to_parquet(tmp_path / "data.parquet")
    assert run("fit", tmp_path / "data.parquet", *command).code == 0
    assert set(load(tmp_path / "m.e1d").program.feature_names) == {"a", "b"}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "'T' is empty; give a CSV whose first line names the columns"),
        ("a,b,y\n", "'T' names columns and has no rows; give at least one"),
        ("a,a,y\n1,2,x\n", "column 'a' stands 2 times in 'T'; each needs its own name"),
        (b"\x89PNG\r\n", "'T' is no CSV table: it is not text in UTF-8 (byte 0x89); save it as CSV again"),
        (b"a,b\0,y\n", "'T' is no CSV table: its first line holds bytes that are no text; save it as CSV again"),
        (b"a,y\n1,x\n2,\xe4\n", "'T' is no CSV table: it is not text in UTF-8 (byte 0xe4); save it as CSV again"),
        ("a,y\n1,x\n2,x,3\n", "'T' is no CSV table: Expected 2 fields in line 3, saw 3; save it as CSV again"),
        ("a,y\n1,2,x\n3,4,z\n", "'T' is no CSV table: its rows have more cells than the 2 names in its first line; "),
        ('a,y\n1,"x\n2,z\n', "'T' is no CSV table: EOF inside string starting at row 1; save it as CSV again"),
        ("a,b\n1,2\n", "'T' has no column 'y'; its columns are 'a', 'b'"),
        ("why,b\n1,2\n", "'T' has no column 'y'; its columns are 'why', 'b'"),
        ("y\nx\nz\n", "'T' has no feature beside the target 'y'; add columns of numbers"),
        (
            "a,y\n1,x\n2,\n3,\n",
            "column 'y' of 'T' has no value in data row 2 and in 1 more (NA, null, None and nan count",
        ),
        ("a,y\n1,x\n2,x\n", "column 'y' of 'T' holds one class only, 'x'; add rows of another"),
        (
            "a,city,t,y\n1,Oslo,u,x\n2,Rome,v,z\n",
            "column 'city' of 'T' holds no number in data row 1: 'Oslo'; encode text as numbers, or leave it out",
        ),
        ("a,y\n1,x\n2,z\nx3,z\n", "column 'a' of 'T' holds no number in data row 3: 'x3'; encode text as numbers"),
        ("a;y\n1,5;x\n2,5;z\n", "column 'a' of 'T' holds no number in data row 1: '1,5'; write decimals with a point"),
        ("a,y\n1,x\ninf,z\n", "column 'a' of 'T' holds inf in data row 2, which is infinite, or too large for float32"),
        ("a,y\n1,x\n1e300,z\n", "column 'a' of 'T' holds 1e+300 in data row 2, which is infinite, or too large for"),
    ],
)
def test_tables_that_cannot_be_fitted(tmp_path, monkeypatch, text, said):
    """One line names the table, the column and the first bad value with its row; and no model is written."""
    monkeypatch.chdir(tmp_path)
    written(tmp_path, text, "T")
    assert refused("fit", "T", "--target", "y", "--out", "m.e1d", *SMALL).startswith(said)
    assert [path.name for path in tmp_path.iterdir()] == ["T"]


@pytest.mark.parametrize(
    ("y", "task", "said"),
    [
        ("0.5 1.5", "classification", "holds numbers with fractions, which are no classes; use --task regression"),
        ("x z", "regression", "holds text, such as 'x'; regression needs numbers"),
        ("1 inf", "regression", "holds infinite numbers; clip them, or leave these rows out"),
    ],
)
def test_targets_that_do_not_suit_the_task(tmp_path, y, task, said):
    """The column is named."""
    path = written(tmp_path, "a,y\n" + "".join(f"{i},{value}\n" for i, value in enumerate(y.split())))
    line = refused("fit", path, "--target", "y", "--out", tmp_path / "m", "--task", task, *SMALL)
    assert line == f"column 'y' of {str(path)!r} {said}"


def test_missing_values_and_a_network(tmp_path):
    """The member that takes none is named, with the first empty cell, before anything is fitted."""
    path = written(tmp_path, "a,b,y\n1,2,x\n2,,z\n,4,x\n4,1,z\n")
    line = refused("fit", path, "--target", "y", "--out", tmp_path / "m", "--models", "random_forest,pytorch")
    assert line == (
        f"column 'b' of {str(path)!r} has no value in data row 2 and in 1 more, and pytorch takes no missing values; "
        "fill them in, --drop the column, or leave pytorch out of --models"
    )


def test_a_misspelt_column_gets_a_hint(tmp_path):
    """The closest name is offered, and the columns are listed, twelve at most."""
    names = [f"feature_{i}" for i in range(15)]
    path = written(tmp_path, ",".join(names) + "\n" + "1," * 14 + "1\n")
    line = refused("fit", path, "--target", "featur_3", "--out", tmp_path / "m")
    assert "has no column 'featur_3'; did you mean 'feature_3'? its columns are 'feature_0', " in line
    assert line.endswith(" and 3 more")
    assert "no columns 'x', 'z'; its columns" in refused(
        *("fit", path, "--target", "feature_0", "--out", tmp_path / "m", "--drop", "x,z")
    )


def test_what_cannot_be_written_is_refused_before_the_fit(tmp_path):
    """A missing folder, and a folder in the place of the file."""
    path = written(tmp_path, XY)
    command = ["fit", path, "--target", "y", *SMALL, "--out"]
    rest = "; give a file in an existing folder you may write to"
    assert refused(*command, tmp_path / "no" / "m") == (
        f"cannot write {str(tmp_path / 'no' / 'm')!r}: there is no such folder{rest}"
    )
    assert refused(*command, tmp_path) == f"cannot write {str(tmp_path)!r}: it is a folder{rest}"


def test_scikit_learn_errors_are_lines(tmp_path):
    """What scikit-learn refuses is bad input, and no fault of ours."""
    path = written(tmp_path, XY)
    line = refused(
        "fit", path, "--target", "y", "--out", tmp_path / "m", *SMALL, "--param", "random_forest.max_depth=0"
    )
    assert "max_depth" in line
    assert refused("fit", path, "--target", "y", "--out", tmp_path / "m", "--cv", "9").startswith("cv=9 makes no folds")


@pytest.mark.parametrize("name", ["absent.csv", "."])
def test_tables_that_cannot_be_read(tmp_path, monkeypatch, name):
    """The system's reason is told."""
    monkeypatch.chdir(tmp_path)
    reason = "Is a directory" if name == "." else "No such file or directory"
    assert refused("fit", name, "--target", "y", "--out", "m") == (
        f"cannot read {name!r}: {reason}; give a CSV or Parquet file that you may read"
    )


def test_what_is_no_parquet(tmp_path):
    """The name says Parquet, and the content something else."""
    pytest.importorskip("pyarrow")
    path = written(tmp_path, XY, "data.parquet")
    assert refused("fit", path, "--target", "y", "--out", tmp_path / "m").startswith(
        f"{str(path)!r} is no Parquet table"
    )


def test_dates_in_parquet_are_no_numbers(tmp_path):
    """They are shown as they are, and never taken for nanoseconds."""
    pytest.importorskip("pyarrow")
    frame = pd.DataFrame({"a": [1, 2], "d": pd.to_datetime(["2020-01-02", "2021-01-02"]), "y": ["x", "z"]})
    frame.to_parquet(tmp_path / "d.parquet")
    line = refused("fit", tmp_path / "d.parquet", "--target", "y", "--out", tmp_path / "m")
    assert "column 'd' of" in line
    assert "holds no number in data row 1: '2020-01-02 00:00:00'" in line


def test_parquet_needs_pyarrow(tmp_path, monkeypatch):
    """The message holds the pip command."""
    monkeypatch.setattr("ensemble_1d.cli.tables.is_available", lambda _: False)
    path = written(tmp_path, b"PAR1", "d.parquet")
    assert refused("fit", path, "--target", "y", "--out", tmp_path / "m", code=3) == (
        "reading Parquet needs pyarrow, which is not installed. Install it with: pip install pyarrow"
    )
