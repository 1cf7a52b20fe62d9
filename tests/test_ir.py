"""Nodes and Program: each rule refuses what breaks it and says so; arrays are read-only."""

import dataclasses
import re

import numpy as np
import pytest

from ensemble_1d.errors import InvalidProgramError
from ensemble_1d.ir import (
    Affine,
    Chain,
    Combine,
    Concat,
    Dense,
    Dequantize,
    IntegerCombine,
    IntegerDense,
    IntegerLink,
    IntegerLog,
    IntegerTreeTable,
    Link,
    Log,
    Program,
    Quantize,
    Requantize,
    Select,
    TreeTable,
    descendants,
    node_bytes,
    smallest_dtype,
)

NAN = float("nan")


def i32(*values):
    return np.array(values, np.int32)


def f32(*values):
    return np.array(values, np.float32)


def tree_table(**changes):
    """Two trees: node 0 over leaf 0 and node 1, node 1 over leaves 1 and 0; and leaf 2 alone."""
    return {
        "feature": i32(0, 1),
        "threshold": np.array([0.5, np.inf]),
        "left": i32(-1, -2),
        "right": i32(1, -1),
        "default_left": np.array([True, False]),
        "value": f32(1, 2, 3)[:, np.newaxis],
        "root": i32(0, -3),
        "output": i32(0, 1),
        "bias": f32(0, 0),
        "comparison": "le",
        "average": False,
    } | changes


def integer_tree_table(**changes):
    """The same trees on codes."""
    return {
        "column": np.array([0, 1], np.uint8),
        "cut": np.array([5, -5], np.int16),
        "left": np.array([-1, -2], np.int8),
        "right": np.array([1, -1], np.int8),
        "default_left": np.array([True, False]),
        "value": np.array([[1], [2], [3]], np.int8),
        "root": np.array([0, -3], np.int8),
        "output": np.array([0, 1], np.uint8),
        "n_outputs": 2,
    } | changes


def quantize(**changes):
    """Two features: an affine code of each, and a rank code of feature 1."""
    return {
        "n_features": 2,
        "feature": i32(0, 1, 1),
        "offset": f32(0, 0, 0),
        "scale": f32(1, 1, 0),
        "start": i32(0, 0, 0, 2),
        "thresholds": f32(1, 2),
        "strict": np.array([False, False, True]),
        "missing": False,
        "narrow": np.array([False, True, False]),
    } | changes


def requantize(**changes):
    return {
        "shift_in": np.array([0, 1], np.uint8),
        "multiplier": i32(1, 2),
        "shift_out": np.array([3, 30], np.uint8),
        "offset": i32(0, 0),
        "low": 0,
        "high": 32768,
    } | changes


def dense(**changes):
    return {"weight": f32([1, 2], [3, 4]), "bias": f32(0, 0), "activation": "relu"} | changes


def integer_dense(**changes):
    return {"weight": np.array([[1, 2], [3, 4]], np.int8), "bias": i32(0, 0)} | changes


def affine(**changes):
    return {"offset": f32(0, 0), "scale": f32(1, 1)} | changes


def combine(**changes):
    members = (Link(kind="softmax"), Link(kind="softmax"))
    return {"members": members, "weights": np.array([0.5, 0.5]), "rule": "mean", "names": ("a", "b")} | changes


def integer_combine(**changes):
    members = (IntegerLink(kind="softmax"), IntegerLink(kind="softmax"))
    return {"members": members, "weights": i32(16384, 16384), "rule": "mean", "names": ("a", "b")} | changes


VALID = {
    TreeTable: tree_table,
    IntegerTreeTable: integer_tree_table,
    Quantize: quantize,
    Requantize: requantize,
    Dense: dense,
    IntegerDense: integer_dense,
    Affine: affine,
    Combine: combine,
    IntegerCombine: integer_combine,
    Select: lambda **changes: {"column": i32(0)} | changes,
    Chain: lambda **changes: {"steps": (Link(kind="softmax"),)} | changes,
    Link: lambda **changes: {"kind": "softmax"} | changes,
    IntegerLink: lambda **changes: {"kind": "softmax"} | changes,
    Log: lambda **changes: {"floor": 0.01, "scale": 2.0} | changes,
    IntegerLog: lambda **changes: {"floor": 33} | changes,
    Concat: lambda **changes: {"members": (Link(kind="softmax"),) * 2, "names": ("a", "b")} | changes,
    Dequantize: lambda **changes: {"fraction_bits": 15} | changes,
}

REFUSED = [
    # Dtypes and shapes: nothing is converted, nothing is stretched.
    (TreeTable, {"feature": np.array([0, 1])}, "TreeTable.feature has dtype int64; use one of int32"),
    (TreeTable, {"threshold": f32(0.5, 1)}, "TreeTable.threshold has dtype float32; use one of float64"),
    (TreeTable, {"comparison": "lt"}, "TreeTable.threshold has dtype float64; use one of float32"),
    (TreeTable, {"left": i32(-1)}, "TreeTable.left has shape (1,); it must be (2,)"),
    (TreeTable, {"right": i32(1, -1, -1)}, "TreeTable.right has shape (3,)"),
    (TreeTable, {"default_left": np.empty(0, np.bool_)}, "TreeTable.default_left has shape (0,)"),
    (TreeTable, {"default_left": i32(0, 1)}, "TreeTable.default_left has dtype int32"),
    (TreeTable, {"value": f32(1, 2, 3)}, "TreeTable.value has shape (3,); it must be ('any', 'any')"),
    (TreeTable, {"value": np.array([[1], [2], [3]])}, "TreeTable.value has dtype int64"),
    (TreeTable, {"bias": np.zeros(2)}, "TreeTable.bias has dtype float64; use one of float32"),
    (TreeTable, {"output": i32(0)}, "TreeTable.output has shape (1,); it must be (2,)"),
    (TreeTable, {"threshold": np.array([NAN, 0])}, "TreeTable.threshold holds NaN"),
    (TreeTable, {"value": f32([1], [NAN], [3])}, "TreeTable.value holds NaN or infinity"),
    (TreeTable, {"bias": f32(np.inf, 0)}, "TreeTable.bias holds NaN or infinity"),
    (TreeTable, {"comparison": "<"}, "TreeTable.comparison is '<'; use 'le' or 'lt'"),
    (TreeTable, {"feature": i32(0, -1)}, "TreeTable.feature holds a negative column"),
    (TreeTable, {"bias": f32()}, "TreeTable has no output"),
    (TreeTable, {"value": np.empty((3, 0), np.float32)}, "TreeTable has no output"),
    (TreeTable, {"output": i32(0, 2)}, "TreeTable.output writes 1 columns past its 2 outputs"),
    (TreeTable, {"output": i32(-1, 0)}, "TreeTable.output writes 1 columns past its 2 outputs"),
    (TreeTable, {"root": i32(), "output": i32()}, "TreeTable holds no tree"),
    (TreeTable, {"value": np.empty((0, 1), np.float32)}, "TreeTable holds no tree"),
    # Structure: children out of range, loops, nodes shared or never reached.
    (TreeTable, {"right": i32(2, -1)}, "TreeTable: a child points outside its 2 nodes and 3 leaves"),
    (TreeTable, {"left": i32(-4, -2)}, "a child points outside its 2 nodes and 3 leaves"),
    (TreeTable, {"root": i32(0, -4)}, "a child points outside its 2 nodes and 3 leaves"),
    (TreeTable, {"left": i32(-1, 0)}, "the left child of node [1] does not follow its parent"),
    (TreeTable, {"right": i32(0, -1)}, "the right child of node [0] does not follow its parent"),
    (TreeTable, {"left": i32(1, -2)}, "node [1] is reached"),
    (TreeTable, {"root": i32(0, 1)}, "node [1] is reached"),
    (TreeTable, {"right": i32(-1, -1)}, "node [1] is reached"),
    (TreeTable, {"root": i32(-1, -3)}, "node [0] is reached"),
    (IntegerTreeTable, {"column": np.array([0, 1], np.int8)}, "IntegerTreeTable.column has dtype int8"),
    (IntegerTreeTable, {"column": i32(0, -1)}, "IntegerTreeTable.column holds a negative column"),
    (IntegerTreeTable, {"cut": i32(5, -5)}, "IntegerTreeTable.cut has dtype int32; use one of int16"),
    (IntegerTreeTable, {"left": np.array([-1, -2])}, "IntegerTreeTable.left has dtype int64"),
    (IntegerTreeTable, {"right": np.array([1], np.int8)}, "IntegerTreeTable.right has shape (1,)"),
    (IntegerTreeTable, {"default_left": np.array([True])}, "default_left has 1 entries; use 2, or none"),
    (IntegerTreeTable, {"value": i32([1], [2], [3])}, "IntegerTreeTable.value has dtype int32"),
    (IntegerTreeTable, {"root": np.array([0, 3], np.uint8)}, "IntegerTreeTable.root has dtype uint8"),
    (IntegerTreeTable, {"output": np.array([0, 2], np.uint8)}, "writes 1 columns past its 2 outputs"),
    (IntegerTreeTable, {"n_outputs": 0}, "IntegerTreeTable has no output"),
    (IntegerTreeTable, {"value": np.empty((0, 1), np.int8)}, "IntegerTreeTable holds no tree"),
    (
        IntegerTreeTable,
        {"root": np.empty(0, np.int8), "output": np.empty(0, np.uint8)},
        "IntegerTreeTable holds no tree; a model needs at least one",
    ),
    (IntegerTreeTable, {"right": np.array([2, -1], np.int8)}, "IntegerTreeTable: a child points outside"),
    (IntegerTreeTable, {"left": np.array([-1, 1], np.int8)}, "the left child of node [1] does not follow"),
    (IntegerTreeTable, {"left": np.array([1, -2], np.int8)}, "node [1] is reached"),
    (Dense, {"weight": np.ones((2, 2))}, "Dense.weight has dtype float64"),
    (Dense, {"weight": f32([1, np.inf], [3, 4])}, "Dense.weight holds NaN or infinity"),
    (Dense, {"weight": np.empty((2, 0), np.float32)}, "Dense.weight has shape (2, 0); no axis may be empty"),
    (Dense, {"weight": np.empty((0, 2), np.float32)}, "Dense.weight has shape (0, 2); no axis may be empty"),
    (Dense, {"bias": f32(0)}, "Dense.bias has shape (1,); it must be (2,)"),
    (Dense, {"bias": f32(0, NAN)}, "Dense.bias holds NaN or infinity"),
    (Dense, {"activation": "tanh"}, "Dense.activation is 'tanh'; use 'identity' or 'relu'"),
    (Affine, {"scale": f32(1)}, "Affine.scale has shape (1,); it must be (2,)"),
    (Affine, {"scale": f32(1, np.inf)}, "Affine.scale holds NaN or infinity"),
    (Affine, {"offset": f32(), "scale": f32()}, "Affine has no column"),
    (IntegerDense, {"weight": i32([1, 2], [3, 4])}, "IntegerDense.weight has dtype int32"),
    (IntegerDense, {"weight": np.empty((0, 2), np.int8)}, "IntegerDense.weight has shape (0, 2)"),
    (IntegerDense, {"weight": np.empty((2, 0), np.int8)}, "IntegerDense.weight has shape (2, 0); fill both axes"),
    (IntegerDense, {"bias": np.array([0, 0])}, "IntegerDense.bias has dtype int64"),
    (Requantize, {"shift_in": i32(0, 1)}, "Requantize.shift_in has dtype int32; use one of uint8"),
    (Requantize, {"multiplier": i32(1)}, "Requantize.multiplier has shape (1,); it must be (2,)"),
    (Requantize, {"shift_out": np.array([0, 31], np.uint8)}, "Requantize shifts by 31 bits; 30 is the limit"),
    (Requantize, {"shift_in": np.array([99, 0], np.uint8)}, "Requantize shifts by 99 bits; 30 is the limit"),
    (Requantize, {"low": 1, "high": 0}, "Requantize saturates to 1..0; use an int32 range"),
    (Requantize, {"high": 2**31}, "Requantize saturates to 0..2147483648"),
    (Requantize, {"low": -(2**31) - 1}, "Requantize saturates to -2147483649..32768"),
    (
        Requantize,
        {field: requantize()[field][:0] for field in ("shift_in", "multiplier", "shift_out", "offset")},
        "Requantize has no column",
    ),
    (Quantize, {"missing": True}, "a narrow column has no code for missing values"),
    (
        Quantize,
        {"narrow": np.array([False, False, True]), "start": i32(0, 0, 0, 256), "thresholds": f32(*range(256))},
        "a narrow rank column has 256 thresholds; 255 is the limit",
    ),
    (Quantize, {"feature": i32(1, 0, 1)}, "must start with one column for each of its 2 features, in order"),
    (Quantize, {"n_features": 4}, "must start with one column for each of its 4 features, in order"),
    (Quantize, {"n_features": 0}, "must start with one column for each of its 0 features"),
    (Quantize, {"feature": i32(0, 1, 2)}, "Quantize.feature names a feature outside 0..1"),
    (Quantize, {"scale": f32(1, -1, 0)}, "Quantize.scale holds a negative number"),
    (Quantize, {"scale": f32(1, NAN, 0)}, "Quantize.scale holds NaN or infinity"),
    (Quantize, {"offset": f32(np.inf, 0, 0)}, "Quantize.offset holds NaN or infinity"),
    (Quantize, {"start": i32(0, 0, 1, 1)}, "Quantize.start must rise from 0 to the number of thresholds"),
    (Quantize, {"start": i32(1, 1, 1, 2)}, "Quantize.start must rise from 0 to the number of thresholds"),
    (Quantize, {"start": i32(0, 2, 0, 2)}, "Quantize.start must rise from 0 to the number of thresholds"),
    (Quantize, {"start": i32(0, 0, 2)}, "Quantize.start has shape (3,); it must be (4,)"),
    (Quantize, {"thresholds": f32(2, 1)}, "Quantize.thresholds must rise strictly within each column"),
    (Quantize, {"thresholds": f32(1, 1)}, "Quantize.thresholds must rise strictly within each column"),
    (Quantize, {"thresholds": f32(1, np.inf)}, "Quantize.thresholds holds NaN or infinity"),
    (Quantize, {"strict": np.array([True])}, "Quantize.strict has shape (1,)"),
    (
        Quantize,
        {"start": i32(0, 0, 0, 65535), "thresholds": np.arange(65535, dtype=np.float32)},
        "a rank column has 65535 thresholds; 65534 is the limit",
    ),
    (Select, {"column": i32()}, "Select.column must name one column or more, from 0 on"),
    (Select, {"column": i32(-1)}, "Select.column must name one column or more, from 0 on"),
    (Select, {"column": np.array([0])}, "Select.column has dtype int64"),
    (Chain, {"steps": ()}, "Chain.steps must be a tuple of one node or more"),
    (Chain, {"steps": [Link(kind="softmax")]}, "Chain.steps must be a tuple of one node or more"),
    (Link, {"kind": "tanh"}, "the link 'tanh' is unknown; use one of ('softmax', 'sigmoid', 'complement')"),
    (IntegerLink, {"kind": "identity"}, "the link 'identity' is unknown"),
    (Combine, {"members": (), "names": ()}, "Combine.members must be a tuple of one node or more"),
    (Combine, {"members": [Link(kind="softmax")] * 2}, "Combine.members must be a tuple of one node or more"),
    (Combine, {"names": ("a",)}, "Combine.names has 1 entries; give 2, or none"),
    (Combine, {"rule": "median"}, "Combine.rule is 'median'; use 'mean' or 'vote'"),
    (Combine, {"weights": np.array([0.5])}, "Combine.weights has shape (1,); it must be (2,)"),
    (Combine, {"weights": np.array([0.5, 0.6])}, "use non-negative numbers with a sum of 1"),
    (Combine, {"weights": np.array([1.5, -0.5])}, "use non-negative numbers with a sum of 1"),
    (Combine, {"weights": np.array([NAN, 1])}, "Combine.weights holds NaN or infinity"),
    (IntegerCombine, {"members": ()}, "IntegerCombine.members must be a tuple of one node or more"),
    (IntegerCombine, {"names": ("a", "b", "c")}, "IntegerCombine.names has 3 entries; give 2, or none"),
    (IntegerCombine, {"rule": ""}, "IntegerCombine.rule is ''"),
    (
        IntegerCombine,
        {"weights": i32(16384, 16385)},
        "is [16384 16385]; use non-negative integers with a sum of 32768, or less by fewer steps than members",
    ),
    (IntegerCombine, {"weights": i32(16384, 16382)}, "use non-negative integers with a sum of 32768"),
    (IntegerCombine, {"weights": i32(-1, 32769)}, "use non-negative integers with a sum of 32768"),
    (IntegerCombine, {"weights": np.array([16384, 16384])}, "IntegerCombine.weights has dtype int64"),
    (Log, {"floor": 0.0}, "Log.floor is 0.0; use a probability in (0, 1]"),
    (Log, {"floor": -0.1}, "Log.floor is -0.1; use a probability in (0, 1]"),
    (Log, {"floor": 1.01}, "Log.floor is 1.01; use a probability in (0, 1]"),
    (Log, {"floor": NAN}, "Log.floor is nan; use a probability in (0, 1]"),
    (Log, {"scale": 0.0}, "Log.scale is 0.0; use a finite number > 0"),
    (Log, {"scale": -1.0}, "Log.scale is -1.0; use a finite number > 0"),
    (Log, {"scale": np.inf}, "Log.scale is inf; use a finite number > 0"),
    (Log, {"scale": NAN}, "Log.scale is nan; use a finite number > 0"),
    (IntegerLog, {"floor": 0}, "IntegerLog.floor is 0; use a Q15 probability, 1 to 32768"),
    (IntegerLog, {"floor": 32769}, "IntegerLog.floor is 32769; use a Q15 probability, 1 to 32768"),
    (Concat, {"members": (), "names": ()}, "Concat.members must be a tuple of one node or more"),
    (Concat, {"members": [Link(kind="softmax")] * 2}, "Concat.members must be a tuple of one node or more"),
    (Concat, {"names": ("a",)}, "Concat.names has 1 entries; give 2, or none"),
    (Dequantize, {"fraction_bits": 63}, "Dequantize.fraction_bits is 63; use -62 to 62"),
    (Dequantize, {"fraction_bits": -63}, "Dequantize.fraction_bits is -63; use -62 to 62"),
]


@pytest.mark.parametrize("kind", VALID, ids=lambda kind: kind.__name__)
def test_the_examples_are_valid(kind):
    """What every refused case changes is accepted unchanged."""
    kind(**VALID[kind]())


@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    REFUSED,
    ids=[f"{kind.__name__}-{'-'.join(c)}-{i}" for i, (kind, c, _) in enumerate(REFUSED)],
)
def test_a_node_refuses_what_breaks_a_rule(kind, changes, message):
    """The error names the field, what it holds, and the rule."""
    with pytest.raises(InvalidProgramError, match=re.escape(message)):
        kind(**VALID[kind](**changes))


def test_limits_themselves_are_accepted():
    """The last value inside each rule is legal."""
    Dequantize(fraction_bits=62)
    Dequantize(fraction_bits=-62)
    Log(floor=1.0)
    Log(floor=5e-324, scale=1e308)
    IntegerLog(floor=1)
    IntegerLog(floor=32768)
    Concat(members=(Link(kind="softmax"),))
    Requantize(**requantize(shift_in=np.array([30, 30], np.uint8), low=-(2**31), high=2**31 - 1))
    Requantize(**requantize(low=5, high=5))
    IntegerCombine(**integer_combine(weights=i32(16384, 16383)))
    IntegerTreeTable(**integer_tree_table(default_left=np.empty(0, np.bool_)))
    TreeTable(**tree_table(threshold=np.array([-np.inf, np.inf])))
    thresholds = np.arange(65534, dtype=np.float32)
    Quantize(**quantize(start=i32(0, 0, 0, 65534), thresholds=thresholds))
    narrow = {"narrow": np.array([False, False, True]), "start": i32(0, 0, 0, 255), "thresholds": f32(*range(255))}
    Quantize(**quantize(**narrow))
    largest = np.finfo(np.float32).max
    Quantize(**quantize(thresholds=f32(-largest, largest)))
    # Thresholds start anew in each column, and one column's may lie below the last of the one before.
    Quantize(**quantize(scale=f32(1, 0, 0), start=i32(0, 0, 2, 4), thresholds=f32(5, 6, 1, 2)))


ARRAY_FIELDS = [
    (kind, name) for kind, make in VALID.items() for name, value in make().items() if isinstance(value, np.ndarray)
]


@pytest.mark.parametrize(("kind", "name"), ARRAY_FIELDS, ids=[f"{kind.__name__}.{name}" for kind, name in ARRAY_FIELDS])
def test_arrays_are_copied_when_writable_and_read_only_then(kind, name):
    """The caller's writable array stays writable and apart; a read-only one is kept as it is."""
    fields = VALID[kind]()
    before = fields[name].copy()
    node = kind(**fields)
    stored = getattr(node, name)
    assert fields[name].flags.writeable
    assert not np.shares_memory(stored, fields[name])
    with pytest.raises(ValueError, match="read-only"):
        stored[...] = stored
    fields[name][...] = 0
    np.testing.assert_array_equal(stored, before)
    assert getattr(dataclasses.replace(node), name) is stored


def test_view_is_copied_though_it_be_read_only():
    """A read-only view of a writable array could change with its base: the node has data of its own."""
    base = np.arange(6, dtype=np.float32).reshape(2, 3)
    view = base[:]
    view.flags.writeable = False
    node = Dense(weight=view, bias=f32(0, 0), activation="relu")
    base[...] = 7
    assert node.weight.tolist() == [[0, 1, 2], [3, 4, 5]]
    assert dataclasses.replace(node).weight is node.weight


def test_arrays_are_stored_in_rows():
    """A transposed array is copied into C order, as generated tables list it."""
    weight = np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3))
    weight.flags.writeable = False
    stored = Dense(weight=weight, bias=f32(0, 0), activation="relu").weight
    assert stored.flags.c_contiguous
    np.testing.assert_array_equal(stored, weight)


@pytest.mark.parametrize("kind", VALID, ids=lambda kind: kind.__name__)
def test_nodes_are_frozen_and_compare_by_identity(kind):
    """Fields cannot be set, new ones neither; two equal nodes are two nodes."""
    node = kind(**VALID[kind]())
    field = dataclasses.fields(kind)[0].name
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(node, field, None)
    assert not hasattr(node, "__dict__")
    assert node != kind(**VALID[kind]())


def test_codes_and_limits_of_wide_and_narrow_columns():
    """Step 0 of a wide column is -32767, below which only a missing value lies; a narrow one holds 0 to 255."""
    node = Quantize(**quantize())
    assert node.is_rank().tolist() == [False, False, True]
    assert (node.first_codes().dtype, node.first_codes().tolist()) == (np.int32, [-32767, 0, -32767])
    low, high = node.limits()
    assert low.dtype == high.dtype == np.int64
    assert (low.tolist(), high.tolist()) == ([-32768, 0, -32768], [32767, 255, 32767])


def test_descendants_and_bytes():
    """Parents come first, members in order; bytes are those of all arrays."""
    layer, link = Dense(**dense()), Link(kind="softmax")
    chain = Chain(steps=(layer, link))
    root = Combine(members=(chain, link), weights=np.array([0.5, 0.5]), rule="mean")
    assert [type(each) for each in descendants(root)] == [Combine, Chain, Dense, Link, Link]
    beside = Concat(members=(root, Chain(steps=(link, Log(floor=0.5)))))
    assert [type(each) for each in descendants(beside)][5:] == [Link, Chain, Link, Log]
    assert list(descendants(beside))[1] is root
    assert node_bytes(beside) == node_bytes(root)
    assert node_bytes(layer) == 4 * 4 + 2 * 4
    assert node_bytes(root) == node_bytes(layer) + 2 * 8
    assert Program(n_features=2, task="classification", classes=np.arange(2), root=root).nbytes == node_bytes(root)


@pytest.mark.parametrize(
    ("values", "dtype"),
    [([], "int8"), ([127, -128], "int8"), ([0, 255], "uint8"), ([-1, 128], "int16"), ([65535], "uint16")],
)
def test_smallest_dtype(values, dtype):
    """The first dtype that holds all values; none at all fits the first."""
    choices = (np.int8, np.uint8, np.int16, np.uint16)
    found = smallest_dtype(np.array(values, np.int64), choices)
    assert found.dtype == dtype
    assert found.tolist() == values
