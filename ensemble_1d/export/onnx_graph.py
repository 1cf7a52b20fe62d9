"""onnx_model: a float Program as one ONNX graph, from features to label and probabilities, or to the value."""

import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, assert_never

import numpy as np
import numpy.typing as npt

from ensemble_1d import __version__
from ensemble_1d._require import require
from ensemble_1d.errors import InvalidProgramError, UnsupportedModelError
from ensemble_1d.export.onnx_builder import GraphBuilder
from ensemble_1d.export.onnx_trees import add_trees
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
    Node,
    Program,
    Quantize,
    Requantize,
    Select,
    TreeTable,
)

if TYPE_CHECKING:
    from onnx import ModelProto

OPSET: Final = 15
"""Version of ai.onnx: of 2021, so that most runtimes know it, with a float64 form of every operator used here."""

ML_OPSET: Final = 3
"""Version of ai.onnx.ml: of 2022, the first whose trees take float64 rows and thresholds. The operator for trees of
version 5 is younger than many runtimes in use, and does no more for us."""

IR_VERSION: Final = 8
"""Version of the file format that belongs to both. The library writes its newest if nothing is said, which older
runtimes refuse."""

INPUT, LABEL, PROBABILITIES, VALUE = "X", "label", "probabilities", "value"
"""Names of the input and of the outputs."""

ROWS = "n_samples"
"""Name of the axis whose length is open."""

_FLOAT, _INT64, _STRING, _BOOL, _DOUBLE = 1, 7, 8, 9, 11
"""Values of TensorProto.DataType, fixed by the format."""

_LABEL_TYPES: Final = {"i": _INT64, "U": _STRING, "b": _BOOL, "f": _DOUBLE}
"""The type of a label by the kind of its NumPy dtype."""


@dataclass(frozen=True, slots=True)
class _Columns:
    """A result in the graph, of shape (n_samples, width): its name, and whether it is float64, not float32."""

    name: str
    width: int
    is_double: bool


def onnx_bytes(program: Program, *, caller: str = "onnx_bytes") -> bytes:
    """Return the ONNX file of a float program; the same bytes for the same program and versions.

    Args:
        program: A float program.
        caller: What the user called, for the message.

    Returns:
        A serialized ModelProto.

    Raises:
        InvalidProgramError: If the program is integer.
        MissingBackendError: If `onnx` is not installed.
        UnsupportedModelError: If labels, leaves or the whole are more than ONNX can hold.
    """
    model = onnx_model(program, caller=caller)
    encode_error = require("google.protobuf.message", caller=caller, extra="onnx").EncodeError
    try:
        return bytes(model.SerializeToString(deterministic=True))
    except (encode_error, ValueError) as error:  # Which of them, depends on the implementation in use.
        rule = f"a Protocol Buffers message ends at 2 GB, and the program has {program.nbytes:,} bytes of tables"
        raise UnsupportedModelError(f"ONNX cannot hold the model ({rule}); fit fewer or smaller trees") from error


def onnx_model(program: Program, *, caller: str = "onnx_model") -> "ModelProto":
    """Return a float program as an ONNX model.

    Its input is `X`, float32 of shape (n_samples, n_features), with any number of rows. Its outputs are `label`, of
    shape (n_samples,), and `probabilities`, float64 of shape (n_samples, n_classes); or for regression `value`, float64
    of shape (n_samples,). Trees give the bits of `runtime.run`; networks and links differ in the last few bits at most.

    NaN goes where the trees send it. Where the program takes no missing values, ONNX cannot refuse a row that holds
    one: such a row gets NaN as its probabilities or value, and its label has no meaning.

    Args:
        program: A float program.
        caller: What the user called, for the message.

    Returns:
        The ModelProto.

    Raises:
        InvalidProgramError: If the program is integer.
        MissingBackendError: If `onnx` is not installed.
        UnsupportedModelError: If there are labels or trees that ONNX cannot hold.

    Example:
        >>> import numpy as np
        >>> from ensemble_1d import Program
        >>> from ensemble_1d.ir import Dense
        >>> layer = Dense(weight=np.ones((1, 2), np.float32), bias=np.ones(1, np.float32), activation="relu")
        >>> model = onnx_model(Program(n_features=2, task="regression", root=layer))
        >>> [output.name for output in model.graph.output]
        ['value']
    """
    onnx = require("onnx", caller=caller, extra="onnx")
    graph = GraphBuilder(onnx)
    result = _double(graph, _add(graph, program.root, _Columns(INPUT, program.n_features, is_double=False)))
    if not program.accepts_missing:
        result = _nan_where_missing(graph, result)
    classes = program.classes
    outputs = _add_value(graph, result) if classes is None else _add_label(graph, classes, result)
    helper = onnx.helper
    describe = helper.make_tensor_value_info
    inputs = [describe(INPUT, _FLOAT, [ROWS, program.n_features])]
    model = helper.make_model(
        helper.make_graph(
            graph.nodes,
            "ensemble_1d",
            inputs,
            [describe(name, *details) for name, details in outputs.items()],
            graph.constants,
        ),
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)],
        producer_name="ensemble-1d",
        producer_version=__version__,
    )
    helper.set_model_props(model, _metadata(program))
    return model  # type: ignore[no-any-return]  # `onnx` is imported by require(), which is Any


def _metadata(program: Program) -> dict[str, str]:
    """Return what the graph itself does not tell."""
    told = {"ensemble_1d_version": __version__, "task": program.task}
    told["accepts_missing"] = json.dumps(program.accepts_missing)
    if program.feature_names is not None:
        told["feature_names"] = json.dumps(program.feature_names)
    return told


def _add(graph: GraphBuilder, node: Node, x: _Columns) -> _Columns:
    """Add what a node computes with `x`, in the dtypes of `runtime.evaluate`."""
    match node:
        case Chain():
            for step in node.steps:
                x = _add(graph, step, x)
            return x
        case Select():
            column = graph.constant(node.column.astype(np.int64))
            return _Columns(graph.add("Gather", x.name, column, axis=1), len(node.column), x.is_double)
        case TreeTable():
            total = add_trees(graph, node, x.name, is_double=x.is_double)
            return _Columns(total, len(node.bias), node.value.dtype == np.float64)
        case Dense():
            # Not MatMul: onnxruntime melts a factor that follows or precedes one into it, rounded to float32.
            weight, bias = (graph.constant(array.astype(np.float64)) for array in (node.weight, node.bias))
            total = graph.add("Gemm", _double(graph, x).name, weight, bias, transB=1)
            total = graph.add("Relu", total) if node.activation == "relu" else total
            return _Columns(total, len(node.bias), is_double=True)
        case Affine():
            rows = graph.add("Cast", x.name, to=_FLOAT) if x.is_double else x.name
            centred = graph.add("Sub", rows, graph.constant(node.offset))
            return _Columns(graph.add("Mul", centred, graph.constant(node.scale)), x.width, is_double=False)
        case Link():
            width = x.width if node.kind == "softmax" else 2
            return _Columns(_add_link(graph, node, _double(graph, x).name), width, is_double=True)
        case Log():
            above = graph.add("Max", _double(graph, x).name, graph.constant(np.array(node.floor, np.float64)))
            scale = graph.constant(np.array(node.scale, np.float64))
            return _Columns(graph.add("Mul", graph.add("Log", above), scale), x.width, is_double=True)
        case Concat():
            return _side_by_side(graph, [_add(graph, member, x) for member in node.members])
        case Combine():
            return _combined(graph, node, [_add(graph, member, x) for member in node.members])
        case (
            Quantize()
            | IntegerTreeTable()
            | IntegerDense()
            | Requantize()
            | IntegerLink()
            | IntegerLog()
            | IntegerCombine()
            | Dequantize()
        ):
            remedy = "export the float program it came from, as with Predictor(predictor.reference).export_onnx(...)"
            raise InvalidProgramError(f"this program is integer, and ONNX graphs are made of float ones; {remedy}")
        case _:
            assert_never(node)


def _double(graph: GraphBuilder, x: _Columns) -> _Columns:
    """Return columns as float64."""
    return x if x.is_double else _Columns(graph.add("Cast", x.name, to=_DOUBLE), x.width, is_double=True)


def _add_link(graph: GraphBuilder, node: Link, score: str) -> str:
    """Add class probabilities of float64 scores, by the formulas of the runtime."""
    one = graph.constant(np.array(1.0))
    match node.kind:
        case "softmax":
            return graph.add("Softmax", score, axis=1)
        case "sigmoid":
            small = graph.add("Exp", graph.add("Neg", graph.add("Abs", score)))
            whole = graph.add("Add", one, small)
            low, high = graph.add("Div", small, whole), graph.add("Div", one, whole)
            positive = graph.add("Greater", score, graph.constant(np.array(0.0)))
            first, second = graph.add("Where", positive, low, high), graph.add("Where", positive, high, low)
            return graph.add("Concat", first, second, axis=1)
        case "complement":
            return graph.add("Concat", graph.add("Sub", one, score), score, axis=1)
        case _:
            assert_never(node.kind)


def _side_by_side(graph: GraphBuilder, members: list[_Columns]) -> _Columns:
    """Return all columns of some results, as float64 if one of them is."""
    is_double = any(member.is_double for member in members)
    names = [_double(graph, member).name if is_double else member.name for member in members]
    return _Columns(graph.add("Concat", *names, axis=1), sum(member.width for member in members), is_double)


def _combined(graph: GraphBuilder, node: Combine, members: list[_Columns]) -> _Columns:
    """Add the weighted mean of the members' outputs, or the weights of those that vote for each class."""
    width, total = members[0].width, ""
    for weight, member in zip(node.weights.tolist(), members, strict=True):
        if node.rule == "mean":
            term = graph.add("Mul", _double(graph, member).name, graph.constant(np.array(weight)))
        else:
            # Rows of a scaled identity: onnxruntime has no OneHot of float64.
            choice = graph.add("ArgMax", member.name, axis=1, keepdims=0)
            term = graph.add("Gather", graph.constant(weight * np.eye(width)), choice, axis=0)
        total = graph.add("Add", total, term) if total else term
    return _Columns(total, width, is_double=True)


def _nan_where_missing(graph: GraphBuilder, result: _Columns) -> _Columns:
    """Give NaN to rows that hold one: operators differ in what they make of it, and a vote would hide it."""
    missing = graph.add("Cast", graph.add("IsNaN", INPUT), to=_FLOAT)
    missing = graph.add("ReduceMax", missing, axes=np.array([1]), keepdims=1)
    missing = graph.add("Cast", missing, to=_BOOL)
    guarded = graph.add("Where", missing, graph.constant(np.array(np.nan)), result.name)
    return _Columns(guarded, result.width, is_double=True)


def _add_value(graph: GraphBuilder, result: _Columns) -> dict[str, tuple[int, list[Any]]]:
    """Add the output of a regression; return type and shape by name."""
    graph.add("Squeeze", result.name, graph.constant(np.array([1])), output=VALUE)
    return {VALUE: (_DOUBLE, [ROWS])}


def _add_label(graph: GraphBuilder, classes: npt.NDArray[Any], result: _Columns) -> dict[str, tuple[int, list[Any]]]:
    """Add the outputs of a classification; return type and shape by name."""
    index = graph.add("ArgMax", result.name, axis=1, keepdims=0)
    labels = onnx_labels(classes)
    graph.add("Gather", graph.constant(labels), index, axis=0, output=LABEL)
    graph.add("Identity", result.name, output=PROBABILITIES)
    return {LABEL: (_LABEL_TYPES[labels.dtype.kind], [ROWS]), PROBABILITIES: (_DOUBLE, [ROWS, result.width])}


def onnx_labels(classes: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return labels as ONNX holds them: int64, bool, float64 or text.

    Args:
        classes: Of shape (n_classes,): integers, booleans, floats or text of any size.

    Returns:
        Equal labels of shape (n_classes,).

    Raises:
        UnsupportedModelError: If a label is too large for its type, has too many digits, or is no valid Unicode.
    """
    remedy = "fit with other labels, for example 0 to n_classes - 1, and keep their meaning beside the file"
    if classes.dtype.kind == "U":
        for label in classes.tolist():
            try:
                label.encode()
            except UnicodeEncodeError as error:
                raise UnsupportedModelError(f"ONNX holds text as UTF-8, and {label!r} has none; {remedy}") from error
        return classes
    if classes.dtype.kind == "b":
        return classes
    wide = np.dtype(np.float64 if classes.dtype.kind == "f" else np.int64)
    with np.errstate(over="ignore"):
        labels = classes.astype(wide)
    pairs = zip(classes.tolist(), labels.tolist(), strict=True)  # Python compares numbers of any type exactly.
    same = [held == label or math.isnan(label) for label, held in pairs]
    if not all(same):
        label = classes[same.index(False)]
        raise UnsupportedModelError(f"label {label!r} is no {wide}, and ONNX has no wider type; {remedy}")
    return labels
