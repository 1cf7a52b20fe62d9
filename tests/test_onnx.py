"""ONNX graphs answer as the NumPy runtime does: trees to the last bit, all else within a few last bits."""

import json
import pickle
from dataclasses import replace

import numpy as np
import onnx
import pytest
from google.protobuf.message import EncodeError
from hypothesis import example, given
from hypothesis import strategies as st
from isolation import run_python
from onnx.reference import ReferenceEvaluator
from onnx_answers import answers, assert_same, layer, named, regression, session, with_leaves
from samples import forest
from small_nodes import stump
from strategies import FLOAT32_MAX, INF, NAN, SEEDS, SUBNORMAL, examples, inputs, programs, tree_tables

from ensemble_1d import Predictor, Program, UnsupportedModelError
from ensemble_1d import __version__ as version
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.export import onnx_graph, onnx_trees
from ensemble_1d.export.onnx_graph import IR_VERSION, ML_OPSET, OPSET, onnx_bytes, onnx_model
from ensemble_1d.export.onnx_parity import check_parity
from ensemble_1d.export.onnx_trees import as_float32
from ensemble_1d.ir import Affine, Chain, Combine, Concat, Link, Select, TreeTable
from ensemble_1d.runtime import evaluate, run


@st.composite
def cases(draw):
    """Draw a program and rows, among them infinite values where there are trees alone."""
    program = draw(programs())
    X = draw(inputs(program))
    if program.accepts_missing and draw(st.booleans()):
        rng = np.random.default_rng(draw(SEEDS))
        X = np.where(rng.random(X.shape) < 0.2, rng.choice([-INF, INF], X.shape), X)
    return program, X


@examples(120)
@given(case=cases())
def test_onnxruntime_equals_the_runtime(case):
    """Any float program is a valid graph, and any batch gets the runtime's answers: none, one or many rows."""
    program, X = case
    onnx.checker.check_model(onnx_model(program), full_check=True)
    content = session(onnx_bytes(program))
    for rows in (X, X[:1], X[:0]):
        assert_same(program, rows, named(program, content.run(None, {"X": rows})))


@examples(25)
@given(case=cases())
def test_reference_evaluator_equals_the_runtime(case):
    """The operators mean to ONNX's own interpreter what they mean to onnxruntime."""
    program, X = case
    found = ReferenceEvaluator(onnx_model(program)).run(None, {"X": X[:5]})
    assert_same(program, X[:5], named(program, found))


@examples(100)
@given(data=st.data(), n_outputs=st.integers(1, 3), terms=st.integers(1, 8))
def test_trees_give_the_bits_of_the_runtime(data, n_outputs, terms):
    """Leaves are added in order and in their dtype, however many at once; rows in a batch do not touch each other."""
    leaves = data.draw(st.sampled_from(["scalar", "vector"]))
    table = data.draw(tree_tables(3, n_outputs, leaves=leaves, scales=(1.0, 1e-40, 1e38)))
    program = regression(Chain(steps=(table, Select(column=np.array([n_outputs - 1], np.int32)))), 3)
    X = data.draw(inputs(program, max_rows=20))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(onnx_trees, "_TERMS", terms)
        content = session(onnx_bytes(program))
    expected = run(program, X)[:, 0]
    assert np.array_equal(content.run(None, {"X": X})[0], expected)
    assert np.array_equal(np.concatenate([content.run(None, {"X": row[np.newaxis]})[0] for row in X]), expected)


@examples(60)
@given(data=st.data())
def test_trees_of_computed_columns_compare_in_float64(data):
    """Columns that other trees computed may be float64, and so are the thresholds they meet: many of them are equal."""
    first = data.draw(tree_tables(2, 3, leaves=data.draw(st.sampled_from(["scalar", "vector"]))))
    X = data.draw(inputs(regression(Chain(steps=(first, Select(column=np.zeros(1, np.int32)))), 2)))
    table = data.draw(tree_tables(3))
    met = np.random.default_rng(data.draw(SEEDS)).choice(evaluate(first, X).ravel(), len(table.threshold))
    second = replace(table, threshold=met.astype(table.threshold.dtype))
    program = regression(Chain(steps=(first, second)), 2)
    assert np.array_equal(answers(program, X)[1], run(program, X))


def test_computed_columns_are_standardised_in_float32():
    """A float64 column is rounded before the offset is taken from it."""
    affine = Affine(offset=np.array([0.3], np.float32), scale=np.array([3.0], np.float32))
    program = regression(Chain(steps=(with_leaves(stump(0.5, "le"), [1 / 3], [0.1]), affine)))
    X = np.array([[0], [1]], np.float32)
    assert np.array_equal(answers(program, X)[1], run(program, X))


@examples(500)
@given(
    threshold=st.floats(allow_nan=False, width=64) | st.floats(-1e-44, 1e-44, width=64),
    x=st.floats(allow_nan=False, width=32),
)
@example(threshold=-3.4028234663852890e38, x=0.0)  # Rounds up to the lowest float32, below which lies infinity.
def test_thresholds_rounded_down_decide_alike(threshold, x):
    """No float32 value lies between a threshold and its float32 form, nor do signed zeros, subnormals or infinities."""
    (rounded,) = as_float32(np.array([threshold]))
    assert rounded.dtype == np.float32
    with np.errstate(over="ignore"):
        beside = np.nextafter(rounded, [-INF, INF])
    near = np.array([x, rounded, *beside, 0.0, -0.0], np.float32)
    assert np.array_equal(near <= rounded, near.astype(np.float64) <= threshold)


@pytest.mark.parametrize("comparison", ["le", "lt"])
@pytest.mark.parametrize("default_left", [False, True])
@pytest.mark.parametrize("threshold", [0.1, 0.0, -0.0, 1e-45, 3e38, INF, -INF, SUBNORMAL, -SUBNORMAL])
def test_splits_at_thresholds_and_beside_them(comparison, default_left, threshold):
    """A value at the threshold, its neighbours, zeros, infinities and NaN go where the runtime sends them."""
    program = regression(stump(threshold, comparison, default_left))
    at = np.float32(threshold)
    beside = [at, np.nextafter(at, -INF), np.nextafter(at, INF), 0.0, -0.0, INF, -INF, NAN, FLOAT32_MAX, SUBNORMAL]
    X = np.array(beside, np.float32)[:, np.newaxis]
    assert np.array_equal(answers(program, X)[1], run(program, X))


def test_many_trees_are_added_in_order():
    """Sums of more trees than are added at once are those of the runtime, also where any other order has other bits."""
    n_trees = 3 * onnx_trees._TERMS + 5
    value = np.random.default_rng(0).normal(size=(2 * n_trees, 1))
    split = np.arange(n_trees, dtype=np.int32)
    table = TreeTable(
        feature=np.zeros(n_trees, np.int32),
        threshold=np.zeros(n_trees),
        left=~(2 * split),
        right=~(2 * split + 1),
        default_left=np.zeros(n_trees, bool),
        value=value,
        root=split,
        output=np.zeros(n_trees, np.int32),
        bias=np.ones(1),
        comparison="le",
        average=True,
    )
    program, X = regression(table), np.array([[-1.0], [1.0]], np.float32)
    assert np.array_equal(answers(program, X)[1], run(program, X))
    assert run(program, X)[0, 0] != sum([1.0, *value[::2, 0]][::-1]) / n_trees


def test_weights_beside_layers_stay_float64():
    """Graph optimizers fold factors into matrix products, some of them in float32; no weight of ours is rounded so."""
    members = (layer([[0.3]]), Chain(steps=(layer([[0.7]]), layer([[0.9]]))))
    program = regression(Combine(members=members, weights=np.array([1 / 3, 2 / 3]), rule="mean"))
    X = np.array([[0.1], [3.0], [-7.7]], np.float32)
    np.testing.assert_allclose(answers(program, X)[1], run(program, X), rtol=1e-15)


@pytest.mark.parametrize(
    ("classes", "dtype"),
    [
        (np.array(["no", "ja", "日本"]), object),
        (np.array([-5, 0, 7]), np.int64),
        (np.array([-5, 0, 7], np.int8), np.int64),
        (np.array([0, 1, 2**63 - 1], np.uint64), np.int64),
        (np.array([-1.5, 0.25, np.inf], np.float32), np.float64),
        (np.array([False, True]), np.bool_),
    ],
    ids=lambda value: str(getattr(value, "dtype", value)),
)
def test_labels_keep_their_value(classes, dtype):
    """Labels are text, int64, float64 or bool; the first of equal classes wins."""
    n_classes = len(classes)
    root = Chain(steps=(layer(np.eye(n_classes)), Link(kind="softmax")))
    program = Program(n_features=n_classes, task="classification", root=root, classes=classes)
    X = np.append(np.eye(n_classes), np.ones((1, n_classes)), axis=0).astype(np.float32)
    onnx.checker.check_model(onnx_model(program), full_check=True)
    labels, _ = answers(program, X)
    assert labels.dtype == dtype
    assert labels.tolist() == [*classes.tolist(), classes[0].item()]
    check_parity(onnx_bytes(program), program, X)


@pytest.mark.parametrize(
    ("classes", "reason"),
    [
        (
            np.array([0, 2**63], np.uint64),
            r"label np.uint64\(9223372036854775808\) is no int64, .*; fit with other labels",
        ),
        (np.array([0, np.longdouble("0.1")], np.longdouble), "is no float64, and ONNX has no wider type"),
        (np.array(["a", "\ud800"]), r"ONNX holds text as UTF-8, and '\\ud800' has none; fit with other labels"),
    ],
    ids=["uint64", "longdouble", "surrogate"],
)
def test_labels_that_onnx_cannot_hold_are_refused(classes, reason):
    """The message names the label and the remedy."""
    program = Program(n_features=2, task="classification", root=layer(np.eye(2)), classes=classes)
    with pytest.raises(UnsupportedModelError, match=reason):
        onnx_model(program)


@pytest.mark.parametrize("rule", ["mean", "vote"])
def test_missing_values_that_nothing_takes_answer_nan(rule):
    """Where a program takes no NaN, a row with one gets NaN for every probability, and other rows their answer."""
    members = (
        with_leaves(stump(0.5, "le"), [0.9, 0.1], [0.2, 0.8]),
        Chain(steps=(layer(np.eye(2)), Link(kind="softmax"))),
    )
    root = Combine(members=members, weights=np.array([0.5, 0.5]), rule=rule)
    program = Program(n_features=2, task="classification", root=root, classes=np.arange(2))
    X = np.array([[1, 2], [NAN, 2], [1, NAN]], np.float32)
    _, probabilities = answers(program, X)
    assert np.isnan(probabilities).tolist() == [[False, False], [True, True], [True, True]]
    assert np.array_equal(probabilities[:1], run(program, X[:1]))
    with pytest.raises(InvalidInputError, match="this model takes no missing values"):
        Predictor(program).export_onnx("unused.onnx", X)


def test_graphs_say_what_they_are():
    """Versions of the format, names and shapes are fixed; the metadata tell features, task and package version."""
    names = ("a", 'ö "')
    root = Concat(members=(Affine(offset=np.zeros(2, np.float32), scale=np.ones(2, np.float32)), stump(0.5, "le")))
    program = Program(
        n_features=2, task="classification", root=root, classes=np.array(["x", "y", "z"]), feature_names=names
    )
    model = onnx_model(program)
    assert (model.ir_version, model.producer_name, model.producer_version) == (IR_VERSION, "ensemble-1d", version)
    assert {each.domain: each.version for each in model.opset_import} == {"": OPSET, "ai.onnx.ml": ML_OPSET}
    facts = {each.key: each.value for each in model.metadata_props}
    assert json.loads(facts.pop("feature_names")) == list(names)
    assert facts == {"ensemble_1d_version": version, "task": "classification", "accepts_missing": "false"}
    (rows,) = model.graph.input
    outputs = [*model.graph.output, *onnx_model(regression(stump(0.5, "le"))).graph.output]
    shapes = {
        each.name: [axis.dim_param or axis.dim_value for axis in each.type.tensor_type.shape.dim]
        for each in (rows, *outputs)
    }
    assert shapes == {
        "X": ["n_samples", 2],
        "label": ["n_samples"],
        "probabilities": ["n_samples", 3],
        "value": ["n_samples"],
    }
    assert rows.type.tensor_type.elem_type == onnx.TensorProto.FLOAT


def test_bytes_are_the_same_in_another_process(words):
    """The same program makes the same file, whatever the order of hashes."""
    program = forest(random_state=0).fit(words.X, words.y).program()
    code = """
import pickle
from ensemble_1d.export.onnx_graph import onnx_bytes
sys.stdout.buffer.write(onnx_bytes(pickle.load(sys.stdin.buffer)))
"""
    assert run_python(code, blocked=["onnxruntime"], data=pickle.dumps(program)).stdout == onnx_bytes(program)


def test_too_large_models_are_refused(monkeypatch):
    """More leaves than float32 numbers, or more bytes than the format holds, are refused before the file is made."""
    monkeypatch.setattr(onnx_trees, "MOST_LEAVES", 1)
    with pytest.raises(UnsupportedModelError, match=r"the trees have 2 leaves, .* fit fewer or smaller trees"):
        onnx_bytes(regression(stump(0.5, "le")))
    monkeypatch.undo()

    class Large:
        def SerializeToString(self, **_):  # noqa: N802 -- as Protocol Buffers call it
            raise EncodeError("Failed to serialize proto")

    monkeypatch.setattr(onnx_graph, "onnx_model", lambda *_, **__: Large())
    with pytest.raises(
        UnsupportedModelError, match=r"ends at 2 GB, .* 41 bytes of tables\); fit fewer or smaller trees"
    ):
        onnx_bytes(regression(stump(0.5, "le")))
