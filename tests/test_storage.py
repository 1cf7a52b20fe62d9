"""The .e1d file: programs come back bit for bit, from equal bytes, whole or not at all."""

import dataclasses
import os
import pickle
from typing import get_args

import numpy as np
import pytest
import safetensors
from e1d_files import unpacked
from hypothesis import given
from integer_strategies import dense_programs, float_rows, integer_programs
from isolation import BACKENDS, run_python
from samples import boosting, forest, network, outputs, sample_of
from strategies import examples, inputs, programs

from ensemble_1d import ArtifactError, Budget, Ensemble, Predictor, Program, _files, load
from ensemble_1d.export.c99_functions import Layout
from ensemble_1d.ir import Affine, Chain, Dense, Node, descendants
from ensemble_1d.runtime import run
from ensemble_1d.storage.artifact import LAYOUTS, Artifact, artifact_bytes, artifact_of
from ensemble_1d.storage.fields import FIELDS


def assert_same(one, other):
    """Assert that two programs are equal in every array, bit for bit, and in every other value and its type."""
    for before, after in zip(descendants(one.root), descendants(other.root), strict=True):
        assert type(before) is type(after)
        for field in dataclasses.fields(before):
            first, second = getattr(before, field.name), getattr(after, field.name)
            if isinstance(first, np.ndarray):
                assert (first.dtype, first.shape) == (second.dtype, second.shape), field.name
                assert first.tobytes() == second.tobytes(), field.name
                assert not second.flags.writeable
            elif not isinstance(first, tuple) or field.name == "names":
                assert (type(first), first) == (type(second), second), field.name
    for name in ("n_features", "task", "feature_names", "version"):
        assert getattr(one, name) == getattr(other, name)
    assert (one.classes is None) == (other.classes is None)
    if one.classes is not None:
        assert one.classes.dtype == other.classes.dtype
        assert one.classes.tolist() == other.classes.tolist()


def through_bytes(program):
    """Return the program of the file of a program, after checks that hold for every file."""
    data = artifact_bytes(Artifact(program=program))
    back = artifact_of(data)
    assert artifact_bytes(back) == data
    assert artifact_bytes(Artifact(program=program)) == data
    return back.program


@examples(150)
@given(programs().flatmap(lambda program: inputs(program).map(lambda X: (program, X))))
def test_float_programs_come_back(drawn):
    """Every array with its dtype, every other value with its type, and so every answer."""
    program, X = drawn
    back = through_bytes(program)
    assert_same(program, back)
    assert np.array_equal(run(program, X), run(back, X), equal_nan=True)


@examples(150)
@given(integer_programs() | dense_programs())
def test_integer_programs_come_back(program):
    """Nodes in any place that the proof admits, with arrays of every dtype."""
    back = through_bytes(program)
    assert_same(program, back)
    X = float_rows(program.n_features, np.random.default_rng(0), 20)
    assert np.array_equal(run(program, X), run(back, X))


def test_every_node_and_field_is_stored():
    """The table of fields names each node of the union, and each field of its dataclass in order."""
    nodes = [kind for part in get_args(Node) for kind in (get_args(part) or (part,))]
    assert set(FIELDS) == set(nodes)
    for kind, kinds in FIELDS.items():
        assert list(kinds) == [field.name for field in dataclasses.fields(kind)]


def test_layouts_are_those_of_the_export():
    """Storage knows the names of the layouts without importing the exporter."""
    assert set(LAYOUTS) == set(get_args(Layout))


@pytest.mark.parametrize(
    "labels",
    [
        np.array([False, True]),
        np.array([-3, 7], np.int8),
        np.array([2**63 - 1, -(2**63)]),
        np.array([0, 2**64 - 1], np.uint64),
        np.array([0.1, -0.0], np.float32),
        np.array([1.5, 2.5], np.float16),
        np.array([np.nan, np.inf]),
        np.array([1, 2], ">i4"),
        np.array(["", 'ü \U0001f333 "\\\n']),
        np.array(["a", "b"], "<U40"),
        np.array(["a", "b"], ">U2"),
        np.array(["\ud800", "a\0b"]),
    ],
    ids=str,
)
def test_labels_come_back_as_they_were(labels, tmp_path):
    """Booleans, numbers and strings of any kind keep value and dtype."""
    layer = Dense(weight=np.array([[1], [-1]], np.float32), bias=np.zeros(2, np.float32), activation="identity")
    program = Program(n_features=1, task="classification", root=layer, classes=labels)
    back = load(Predictor(program).save(tmp_path / "m.e1d")).predict([[1.0], [-1.0]])
    assert back.dtype == labels.dtype
    assert np.array_equal(back, labels, equal_nan=labels.dtype.kind == "f")
    assert artifact_of(artifact_bytes(Artifact(program=program))).program.classes.tobytes() == labels.tobytes()


def test_labels_that_no_file_holds_are_refused(tmp_path):
    """A number of more than 64 bits has no place in the format; nothing is written."""
    layer = Dense(weight=np.array([[1], [-1]], np.float32), bias=np.zeros(2, np.float32), activation="identity")
    labels = np.array([1, 2], np.longdouble)
    if labels.dtype.itemsize <= 8:
        pytest.skip("long double is double here")
    predictor = Predictor(Program(n_features=1, task="classification", root=layer, classes=labels))
    with pytest.raises(ArtifactError, match=r"cannot save '.*m\.e1d': classes are .* 64 bits at most"):
        predictor.save(tmp_path / "m.e1d")
    assert list(tmp_path.iterdir()) == []


def test_names_that_are_no_strings_are_refused():
    """JSON would make strings of them, and the program would not come back as it was."""
    layer = Dense(weight=np.ones((1, 1), np.float32), bias=np.zeros(1, np.float32), activation="identity")
    with pytest.raises(ArtifactError, match=r"feature_names must be strings to be saved; got \[3\]"):
        artifact_bytes(Artifact(program=Program(n_features=1, task="regression", root=layer, feature_names=(3,))))


def test_the_safetensors_library_reads_the_file(tmp_path):
    """Any reader of safetensors finds the arrays and the metadata."""
    model = forest(task="regression", random_state=0)
    data = sample_of(model)
    path = model.fit(data.X, data.y).save(tmp_path / "m.e1d")
    table, described, _ = unpacked(path.read_bytes())
    with safetensors.safe_open(path, "numpy") as file:
        assert set(file.keys()) == set(table)
        assert set(file.metadata()) == {"ensemble_1d"}
        stored = file.get_tensor("0.feature")
    assert stored.dtype == np.uint8
    assert np.array_equal(stored, model.program().root.feature)
    assert (described["format"], described["version"]) == ("ensemble_1d", 1)
    assert described["producer"].startswith("ensemble-1d 0.")


def test_trained_trees_take_two_bits_a_split(multiclass):
    """The order in which models number nodes is the one that needs no children, in float and in integers."""
    model = forest(random_state=0).fit(multiclass.X, multiclass.y)
    for program in (model.program(), model.quantize("int8", multiclass.X).program):
        _, described, _ = unpacked(artifact_bytes(Artifact(program=program)))
        assert "'order': 'breadth first'" in str(described)
        assert "'order': 'any'" not in str(described)


@pytest.mark.parametrize("make", [forest, boosting, network], ids=["forest", "boosting", "network"])
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_models_are_saved(make, task, tmp_path):
    """`save` of a model is that of its Predictor, and what `load` returns answers as the program does."""
    pytest.importorskip({boosting: "xgboost", network: "torch"}.get(make, "sklearn"))
    model = make(task=task, random_state=0)
    data = sample_of(model)
    model.fit(data.X, data.y)
    path = model.save(str(tmp_path / "model.e1d"))
    assert path == tmp_path / "model.e1d"
    assert path.read_bytes() == Predictor(model.program()).save(tmp_path / "other.e1d").read_bytes()
    loaded = load(path)
    assert isinstance(loaded, Predictor)
    assert (loaded.reference, loaded.report, loaded.layout) == (None, None, None)
    X = data.X.astype(np.float32)
    assert np.array_equal(loaded.predict(X), Predictor(model.program()).predict(X))
    assert_same(model.program(), loaded.program)


@pytest.mark.parametrize("combine", ["soft", "hard", "stacking"])
def test_ensembles_are_saved(combine, multiclass, tmp_path):
    """In float and in integers, with names of features and text labels; the C code of the loaded one is the same."""
    pandas = pytest.importorskip("pandas")
    X = pandas.DataFrame(multiclass.X, columns=["a", "b", "c", "d", "é"])
    y = np.array(["red", "green", "blue"])[multiclass.y]
    ensemble = Ensemble([forest(), forest(max_depth=2)], combine=combine, cv=3, random_state=0).fit(X, y)
    loaded = load(ensemble.save(tmp_path / "float.e1d"))
    assert loaded.program.feature_names == ("a", "b", "c", "d", "é")
    assert np.array_equal(loaded.predict_proba(X), Predictor(ensemble.program()).predict_proba(X))
    assert np.array_equal(loaded.predict(X), ensemble.predict(X))
    small = ensemble.quantize("int8", X)
    again = load(small.save(tmp_path / "int8.e1d"))
    assert np.array_equal(again.predict_proba(X), small.predict_proba(X))
    assert np.array_equal(again.quantize_input(X), small.quantize_input(X))
    assert again.c_source() == small.c_source()
    assert loaded.quantize("int8", X).c_source() == small.c_source()


def test_the_layout_of_a_budget_is_kept(binary, tmp_path):
    """What a budget was spent on is what the loaded predictor exports."""
    model = forest(random_state=0).fit(binary.X, binary.y)
    small = model.quantize("int8", binary.X, binary.y, budget=Budget(flash=8192))
    assert small.layout is not None
    loaded = load(small.save(tmp_path / "m.e1d"))
    assert loaded.layout == small.layout
    assert loaded.c_source() == small.c_source()


def test_saving_does_not_depend_on_the_process(tmp_path):
    """Another hash seed gives the same bytes."""
    code = """
import numpy as np
from ensemble_1d import Predictor, Program
from ensemble_1d.ir import Affine, Chain, Dense
layer = Dense(weight=np.ones((2, 3), np.float32), bias=np.zeros(2, np.float32), activation="relu")
affine = Affine(offset=np.zeros(3, np.float32), scale=np.ones(3, np.float32))
root = Chain(steps=(affine, layer))
program = Program(n_features=3, task="classification", root=root, classes=np.array(["a", "b"]))
"""
    scope = {}
    exec(code, scope)  # noqa: S102 -- our own, a few lines above
    ours = artifact_bytes(Artifact(program=scope["program"]))
    further = "\nfrom ensemble_1d.storage.artifact import Artifact, artifact_bytes\n"
    further += "sys.stdout.buffer.write(artifact_bytes(Artifact(program=program)))"
    os.environ["PYTHONHASHSEED"], before = "77", os.environ.get("PYTHONHASHSEED")
    try:
        assert run_python(code + further).stdout == ours
    finally:
        del os.environ["PYTHONHASHSEED"]
        os.environ.update({} if before is None else {"PYTHONHASHSEED": before})


def test_loading_needs_numpy_alone(words, tmp_path):
    """Where nothing else can be imported, load and predict work, with equal answers and none of the heavy modules."""
    model = forest(random_state=0).fit(words.X, words.y)
    small = model.quantize("int8", words.X)
    paths = [str(model.save(tmp_path / "float.e1d")), str(small.save(tmp_path / "int8.e1d"))]
    code = f"""
import pickle
from ensemble_1d import load
X = pickle.load(sys.stdin.buffer)
answers = []
for path in {paths}:
    predictor = load(path)
    answers.append((predictor.predict(X), predictor.predict_proba(X)))
sys.stdout.buffer.write(pickle.dumps((answers, list(sys.modules))))
"""
    blocked = (*BACKENDS, "safetensors", "onnx")
    answers, modules = pickle.loads(run_python(code, blocked=blocked, data=pickle.dumps(words.X)).stdout)  # noqa: S301
    for predictor, (labels, probabilities) in zip((Predictor(model.program()), small), answers, strict=True):
        assert np.array_equal(labels, predictor.predict(words.X))
        assert np.array_equal(probabilities, predictor.predict_proba(words.X))
    foreign = {name.partition(".")[0] for name in modules} - {"numpy", "ensemble_1d"}
    assert not {name for name in foreign if name in {*blocked, "threadpoolctl", "tempfile"}}
    heavy = ("quantization", "export", "budget_search", "storage.encoding", "_files")
    assert not [name for name in modules if name.startswith(tuple(f"ensemble_1d.{each}" for each in heavy))]
    assert not {"pathlib", "numpy.ma", "numpy.random"} & set(modules)  # Each takes as long to import as our own part.


def program_of_one_layer(weight=1.0):
    """Return a small program."""
    layer = Dense(weight=np.full((1, 1), weight, np.float32), bias=np.zeros(1, np.float32), activation="identity")
    affine = Affine(offset=np.zeros(1, np.float32), scale=np.ones(1, np.float32))
    return Program(n_features=1, task="regression", root=Chain(steps=(affine, layer)))


@pytest.mark.parametrize("step", ["fsync", "replace"])
@pytest.mark.parametrize("exists", [True, False])
def test_a_failure_leaves_the_old_file_and_no_litter(tmp_path, monkeypatch, step, exists):
    """A full disk at the last moment: the model of yesterday still loads."""
    path = tmp_path / "m.e1d"
    if exists:
        Predictor(program_of_one_layer(2.0)).save(path)

    def fail(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(_files.os, step, fail)
        with pytest.raises(ArtifactError, match=r"cannot write '.*m\.e1d': No space left on device"):
            Predictor(program_of_one_layer(3.0)).save(path)
    assert [each.name for each in tmp_path.iterdir()] == (["m.e1d"] if exists else [])
    assert not exists or load(path).predict([[1.0]]).tolist() == [2.0]


def test_the_folder_is_synced_after_the_file_has_its_name(tmp_path, monkeypatch):
    """The file's content, then its name, then the folder that holds the name."""
    steps = []
    fsync, replace = os.fsync, os.replace

    def note_sync(handle):
        steps.append("folder" if os.path.isdir(f"/proc/self/fd/{handle}") else "file")  # noqa: PTH112
        fsync(handle)

    def note_replace(*paths):
        steps.append("name")
        replace(*paths)

    if not os.path.isdir("/proc/self/fd"):  # noqa: PTH112
        pytest.skip("needs /proc to tell a folder's handle")
    monkeypatch.setattr(_files.os, "fsync", note_sync)
    monkeypatch.setattr(_files.os, "replace", note_replace)
    Predictor(program_of_one_layer()).save(tmp_path / "m.e1d")
    assert steps == ["file", "name", "folder"]


def test_a_folder_that_cannot_be_synced_is_no_failure(tmp_path, monkeypatch):
    """Not every disk and system lets a folder be opened: the file is there all the same."""
    opened = os.open

    def refuse(path, flags, *rest, **options):
        if os.fspath(path) == str(tmp_path):
            raise PermissionError(13, "Permission denied")
        return opened(path, flags, *rest, **options)

    monkeypatch.setattr(_files.os, "open", refuse)
    assert load(Predictor(program_of_one_layer()).save(tmp_path / "m.e1d")).predict([[2.0]]).tolist() == [2.0]


def test_outputs_of_saved_models_in_every_task(make_model, tmp_path):
    """Every model in every task, with every rule, answers after loading as its program does."""
    model = make_model()
    data = sample_of(model)
    model.fit(data.X, data.y)
    loaded = load(model.save(tmp_path / "m.e1d"))
    expected = run(model.program(), data.X.astype(np.float32))
    found = loaded.predict_proba(data.X) if model.task == "classification" else loaded.predict(data.X)[:, np.newaxis]
    assert np.array_equal(found, expected)
    np.testing.assert_allclose(outputs(model, data.X).reshape(expected.shape), expected, atol=1e-4, rtol=1e-4)
