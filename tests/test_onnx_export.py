"""Export to ONNX of fitted models, after a comparison with onnxruntime, or not at all."""

import json

import numpy as np
import onnx
import pytest
from isolation import run_python
from onnx_answers import answers, assert_same, layer, named, regression, session, with_leaves
from samples import boosting, forest, network, sample
from small_nodes import stump

from ensemble_1d import Ensemble, InvalidProgramError, ParityError, Predictor, Program
from ensemble_1d.errors import ArtifactError
from ensemble_1d.export import onnx_graph
from ensemble_1d.export.onnx_graph import onnx_bytes
from ensemble_1d.export.onnx_parity import check_parity

RULES = ["soft", "hard", "optimized", "greedy", "stacking"]
OPTIONS = [{}, {"calibrate": True}, {"passthrough": True}]


@pytest.fixture(scope="module", params=["words", "multiclass", "regression"])
def fitted(request):
    """An ensemble of forest, boosting and network that learned its combination from folds, and its rows."""
    pytest.importorskip("xgboost")
    pytest.importorskip("torch")
    data = sample(request.param)
    task = "regression" if request.param == "regression" else "classification"
    members = [forest(task=task), boosting(task=task), network(task=task, max_epochs=5)]
    return Ensemble(members, task=task, passthrough=True, cv=3, random_state=0).fit(data.X, data.y), data


def test_ensembles_under_every_rule(fitted, tmp_path):
    """Each rule, with temperatures and with features passed to the meta-model, is exported after a comparison."""
    ensemble, data = fitted
    X = data.X.astype(np.float32)
    for rule in RULES:
        for options in OPTIONS:
            if (ensemble.task == "regression" and (rule == "hard" or "calibrate" in options)) or (
                "passthrough" in options and rule != "stacking"
            ):
                continue
            ensemble.recombine(rule, **options)
            path = ensemble.export_onnx(tmp_path / f"{rule}.onnx", data.X)
            content = path.read_bytes()
            onnx.checker.check_model(content, full_check=True)
            program = ensemble.program()
            found = named(program, session(content).run(None, {"X": X}))
            assert_same(program, X, found)
            if found[0] is not None and rule != "hard":
                assert np.array_equal(found[0], ensemble.predict(data.X))


def test_every_model_is_exported(make_model, tmp_path):
    """Every model in every task passes the comparison at export, through the method of the model."""
    model = make_model()
    data = sample("regression" if model.task == "regression" else "words")
    path = model.fit(data.X, data.y).export_onnx(str(tmp_path / "model.onnx"), data.X)
    assert path == tmp_path / "model.onnx"
    assert path.read_bytes() == onnx_bytes(model.program())


def test_missing_values_go_where_trees_send_them(missing, tmp_path):
    """A forest and boosting take NaN in ONNX as in Python."""
    pytest.importorskip("xgboost")
    ensemble = Ensemble([forest(), boosting()], combine="soft", random_state=0).fit(missing.X, missing.y)
    program = ensemble.program()
    ensemble.export_onnx(tmp_path / "model.onnx", missing.X)
    model = onnx.load(tmp_path / "model.onnx")
    assert json.loads(next(each.value for each in model.metadata_props if each.key == "accepts_missing")) is True
    X = np.append(missing.X, np.full((1, 5), np.nan), axis=0).astype(np.float32)
    assert_same(program, X, answers(program, X))


def test_integer_programs_are_refused(words, tmp_path):
    """The message says to export the float program, and its remedy works."""
    small = forest(random_state=0).fit(words.X, words.y).quantize("int8", words.X)
    with pytest.raises(InvalidProgramError, match=r"this program is integer, .*Predictor\(predictor.reference\)"):
        small.export_onnx(tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())
    assert Predictor(small.reference).export_onnx(tmp_path / "model.onnx", words.X).exists()


def two_classes(bias, classes=("no", "yes")):
    """Return a program that answers its bias, whatever the row."""
    root = layer(np.zeros((2, 1)), np.array(bias, np.float32))
    return Program(n_features=1, task="classification", root=root, classes=np.array(classes))


@pytest.mark.parametrize(
    ("program", "other", "message"),
    [
        (
            two_classes([0.75, 0.25]),
            two_classes([0.25, 0.75]),
            "row 0 gets label 'yes' instead of 'no', and probability 0.25 instead of 0.75 for label 'no', off by -0.5",
        ),
        (
            two_classes([0.75, 0.25]),
            two_classes([0.75, 0.25 + 2**-19]),
            "row 0 gets probability 0.2500019.* instead of 0.25 for label 'yes', off by 1.91e-06; labels must be equal",
        ),
        (two_classes([0.75, 0.25], [0, 1]), two_classes([0.75, 0.25], [4, 1]), "row 0 gets label 4 instead of 0"),
        (
            regression(layer([[1.0]])),
            regression(with_leaves(stump(2.5, "le"), [1.0], [9.0])),
            "row 1 gets value 1.0 instead of 2.0, off by -1; .* numbers within 1e-06: nothing was written",
        ),
        (regression(layer([[1.0]])), regression(layer([[1.0 + 2**-19]])), "row 0 gets value 1.0000019"),
        (regression(layer([[1.0]])), regression(layer([[np.finfo(np.float32).max]] * 1)), "row 0 gets value 3"),
    ],
    ids=["label", "probability", "label alone", "value", "small", "large"],
)
def test_a_difference_writes_nothing(program, other, message, tmp_path, monkeypatch):
    """A file that would answer otherwise is refused by row and difference; what stood there stays."""
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    content = onnx_bytes(other)
    monkeypatch.setattr(onnx_graph, "onnx_bytes", lambda *_, **__: content)
    with pytest.raises(ParityError, match=message):
        Predictor(program).export_onnx(path, [[1.0], [2.0]])
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_differences_within_the_tolerance_pass():
    """Probabilities may differ by 1e-6, and values by a millionth of themselves."""
    X = np.array([[1.0], [2.0]], np.float32)
    check_parity(onnx_bytes(two_classes([0.75, 0.25 + 2**-21])), two_classes([0.75, 0.25]), X)
    check_parity(onnx_bytes(regression(layer([[1000 + 2**-12]]))), regression(layer([[1000.0]])), X)


def test_rows_are_numbered_over_all_blocks():
    """The row of a difference is that of X, where X is compared in parts."""
    X = np.zeros((3000, 1), np.float32)
    X[2500] = 1
    with pytest.raises(ParityError, match=r"row 2500 gets value 2.0 instead of 1.0"):
        check_parity(onnx_bytes(regression(stump(0.5, "le"))), regression(stump(2.0, "le")), X)


def test_nan_instead_of_a_number_is_a_difference():
    """NaN lies within no tolerance."""
    wrong = regression(layer([[1.0]]))
    X = np.array([[np.nan]], np.float32)
    with pytest.raises(ParityError, match=r"row 0 gets value nan instead of 2.0"):
        check_parity(onnx_bytes(wrong), regression(stump(0.5, "le")), X)


def test_a_graph_that_does_not_load_is_a_difference():
    """What onnxruntime says of the file is in the message."""
    with pytest.raises(ParityError, match=r"onnxruntime 1\..* cannot load the model: "):
        check_parity(b"no graph", two_classes([0.5, 0.5]), np.zeros((1, 1), np.float32))


def test_a_file_that_cannot_be_written_is_named(tmp_path):
    """A folder that is not there is an ArtifactError."""
    with pytest.raises(ArtifactError, match=r"cannot write .*absent"):
        Predictor(two_classes([0.5, 0.5])).export_onnx(tmp_path / "absent" / "model.onnx")


@pytest.mark.parametrize(
    ("blocked", "rows", "caller"),
    [("onnx", "None", "export_onnx"), ("onnxruntime", "X", "export_onnx with X"), ("onnxruntime", "None", None)],
    ids=["onnx", "onnxruntime", "without X"],
)
def test_what_is_not_installed_is_named(blocked, rows, caller, tmp_path):
    """Without onnx, or with rows and no onnxruntime, the message holds the pip command; without rows onnx is enough."""
    code = f"""
import pathlib
from ensemble_1d import MissingBackendError, RandomForestModel
X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1]
model = RandomForestModel(n_estimators=2, random_state=0).fit(X, y)
path = pathlib.Path({str(tmp_path / "model.onnx")!r})
try:
    model.export_onnx(path, {rows})
except MissingBackendError as error:
    assert not path.exists()
    print(error, end="")
else:
    assert path.exists()
    print("written", end="")
"""
    remedy = f'Install it with: pip install "ensemble-1d[{blocked}]"'
    message = f"{caller} needs {blocked}, which is not installed. {remedy}" if caller else "written"
    assert run_python(code, blocked=[blocked]).stdout.decode() == message
