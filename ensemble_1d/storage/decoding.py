"""From the JSON object and the arrays of a file to a Program: whatever they say, it is that or an ArtifactError."""

import math
import re
from typing import Any, Final, assert_never

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import (
    PROGRAM_VERSION,
    Chain,
    Combine,
    Concat,
    IntegerCombine,
    Node,
    Program,
    output_width,
)
from ensemble_1d.storage.container import Tensors
from ensemble_1d.storage.fields import CHILDREN, FIELDS, NODES, SPLIT_FIELD
from ensemble_1d.storage.limits import (
    MAX_COLUMNS,
    MAX_DEPTH,
    MAX_NODES,
    MAX_OUTPUTS,
    UPGRADE,
    check,
    check_growth,
    refuse,
    shown,
)
from ensemble_1d.storage.trees import children_of

_DTYPES: Final = ("bool", "uint8", "int8", "uint16", "int16", "int32", "float32", "float64")
_LABELS: Final = {f"{order}{kind}" for order in "<>" for kind in ("i2", "i4", "i8", "u2", "u4", "u8", "f2", "f4", "f8")}
_LABEL_DTYPES: Final = frozenset(_LABELS | {"|b1", "|i1", "|u1"})


def decode_program(described: Any, tensors: Tensors) -> Program:
    """Return the program of a file.

    Args:
        described: The JSON of the program.
        tensors: The arrays of the file; each must be named once.

    Returns:
        The program.

    Raises:
        ArtifactError: If the two are no program, or one beyond the limits.
        InvalidProgramError: If the nodes contradict each other.
    """
    decoder = _Decoder(tensors)
    version = fields_of(described, "the program", None).get("version")
    check(type(version) is int, f"its program has no version: {shown(version)}")
    if version != PROGRAM_VERSION:
        refuse(f"it holds a program of version {version}, and this release knows {PROGRAM_VERSION}", UPGRADE)
    keys = {"version", "task", "n_features", "feature_names", "classes", "root"}
    given = fields_of(described, "the program", keys)
    n_features, names, classes = _count(given["n_features"], "n_features"), given["feature_names"], given["classes"]
    check(given["task"] in ("classification", "regression"), f"its task is {shown(given['task'])}, which is unknown")
    root = decoder.node(given["root"], 1)
    labels = None if classes is None else decoder.labels(classes)
    unused = sorted(set(tensors) - decoder.used)
    check(not unused, f"no node names the tensors {shown(unused)}")
    _count_outputs(root, n_features, 0)
    return Program(
        n_features=n_features,
        task=given["task"],
        root=root,
        classes=labels,
        feature_names=None if names is None else _texts(names, "feature_names"),
    )


class _Decoder:
    """The arrays of a file, those used so far, and the number of nodes made of them."""

    def __init__(self, tensors: Tensors) -> None:
        """Start with no array used."""
        self.tensors, self.used, self.n_nodes = tensors, set[str](), 0
        self.stored_bytes = sum(array.nbytes for array in tensors.values())

    def node(self, described: Any, depth: int) -> Node:
        """Return a node and all below it."""
        check(depth <= MAX_DEPTH, f"its nodes lie more than {MAX_DEPTH} deep within each other")
        self.n_nodes += 1
        check(self.n_nodes <= MAX_NODES, f"it has more than {MAX_NODES:,} nodes")
        name = fields_of(described, "a node", None).get("node")
        known = isinstance(name, str) and name in NODES
        check(known, f"it has a node {shown(name)}, which this release does not know")
        kinds = FIELDS[NODES[str(name)]]
        is_table = "children" in kinds.values()
        keys = {"node", *(kind if kind == "children" else field for field, kind in kinds.items())}
        given = fields_of(described, str(name), keys)
        values: dict[str, Any] = {}
        for field, kind in kinds.items():
            value, where = given.get(field), f"{name}.{field}"
            match kind:
                case "array":
                    values[field] = self.array(value, where)
                case "children":
                    pass  # Their number is known once all arrays are.
                case "flags":
                    values[field] = self.flags(value, where, len(values[SPLIT_FIELD[NODES[str(name)]]]))
                case "nodes":
                    check(isinstance(value, list), f"{where} is no list of nodes: {shown(value)}")
                    values[field] = tuple(self.node(child, depth + 1) for child in list(value or ()))
                case "names":
                    values[field] = _texts(value, where)
                case "bool":
                    check(isinstance(value, bool), f"{where} is {shown(value)}, and no boolean")
                    values[field] = value
                case "count":
                    values[field] = _count(value, where)
                case "int":
                    values[field] = _int(value, where)
                case "float":
                    check(type(value) is float, f"{where} is {shown(value)}, and no number with a fraction")
                    values[field] = value
                case "text":
                    check(isinstance(value, str), f"{where} is {shown(value)}, and no string")
                    values[field] = value
                case _:
                    assert_never(kind)
        if is_table:
            n_splits, n_trees = len(values[SPLIT_FIELD[NODES[str(name)]]]), len(values["output"])
            values |= self.children(given["children"], n_splits, n_trees)
            # The proof that integers cannot overflow goes over every leaf of every tree, shared or not, in 64 bits.
            n_leaves = n_splits + n_trees
            check_growth(8 * n_leaves * math.prod(values["value"].shape[1:]), self.stored_bytes, str(name))
        return NODES[str(name)](**values)

    def array(self, described: Any, where: str) -> npt.NDArray[Any]:
        """Return an array by its name, widened to the dtype given with it."""
        if isinstance(described, str):
            return self.take(described, where)
        given = fields_of(described, where, {"tensor", "dtype"})
        stored = self.take(given["tensor"], where)
        check(given["dtype"] in _DTYPES, f"{where} has dtype {shown(given['dtype'])}; use one of {', '.join(_DTYPES)}")
        dtype = np.dtype(given["dtype"])
        alike = {stored.dtype.kind, dtype.kind} <= {"i", "u"} or stored.dtype.kind == dtype.kind == "f"
        check(alike and np.can_cast(stored.dtype, dtype, "safe"), f"{where} cannot go from {stored.dtype} to {dtype}")
        return stored.astype(dtype)

    def take(self, name: Any, where: str) -> npt.NDArray[Any]:
        """Return an array by its name, once."""
        known = isinstance(name, str) and name in self.tensors
        check(known, f"{where} names the tensor {shown(name)}, which is not there")
        check(name not in self.used, f"{where} names the tensor {shown(name)}, which is used already")
        self.used.add(name)
        return self.tensors[name]

    def bits(self, name: Any, where: str, n_bits: int) -> npt.NDArray[np.bool_]:
        """Return packed bits by their name."""
        stored = self.take(name, where)
        proper = stored.dtype == np.uint8 and stored.shape == (-(-n_bits // 8),)
        check(proper, f"{where} is {stored.dtype} of shape {stored.shape}; {n_bits} bits are needed, packed in uint8")
        bits = np.unpackbits(stored)
        check(not bits[n_bits:].any(), f"{where} has bits set beyond its {n_bits}")
        return bits[:n_bits].astype(np.bool_)

    def flags(self, described: Any, where: str, n_flags: int) -> npt.NDArray[np.bool_]:
        """Return the flags of all splits."""
        if described is None:
            return np.empty(0, np.bool_)
        if isinstance(described, bool):
            return np.full(n_flags, described, np.bool_)
        return self.bits(described, where, n_flags)

    def children(self, described: Any, n_splits: int, n_trees: int) -> dict[str, npt.NDArray[Any]]:
        """Return left, right and root of a tree table."""
        where = "the children of a tree table"
        order = fields_of(described, where, None).get("order")
        if order == "any":
            given = fields_of(described, where, {"order", *CHILDREN})
            return {field: self.array(given[field], field) for field in CHILDREN}
        check(order == "breadth first", f"{where} have the order {shown(order)}; 'any' and 'breadth first' are known")
        given = fields_of(described, where, {"order", "splits", "leaf", "dtypes"})
        is_split = self.bits(given["splits"], where, n_trees + 2 * n_splits)
        found = int(is_split.sum())
        check(found == n_splits, f"{where} are {found} splits, and the table has {n_splits}")
        check(n_trees > 0, "a tree table holds no tree")
        leaf = None if given["leaf"] is None else self._leaves(given["leaf"], where, n_splits + n_trees)
        dtypes = given["dtypes"]
        proper = (
            isinstance(dtypes, list) and len(dtypes) == 3 and all(each in ("int8", "int16", "int32") for each in dtypes)
        )
        check(proper, f"{where} have the dtypes {shown(dtypes)}; use three of int8, int16 and int32")
        found_children = children_of(is_split, leaf, n_trees)
        return {
            field: _fitting(array, np.dtype(dtype), field)
            for field, array, dtype in zip(CHILDREN, found_children, dtypes, strict=True)
        }

    def _leaves(self, name: Any, where: str, n_leaves: int) -> npt.NDArray[np.int32]:
        """Return the leaves of a walk by their name."""
        leaf = self.take(name, where)
        proper = leaf.dtype.kind in "iu" and np.can_cast(leaf.dtype, np.int32, "safe") and leaf.shape == (n_leaves,)
        check(proper, f"{where} have leaves of {leaf.dtype} and shape {leaf.shape}; {n_leaves} integers are needed")
        check(int(leaf.min()) >= 0, f"{where} have a negative leaf")
        return leaf.astype(np.int32)

    def labels(self, described: Any) -> npt.NDArray[Any]:
        """Return the class labels in the dtype they had."""
        dtype = fields_of(described, "classes", None).get("dtype")
        check(isinstance(dtype, str), f"classes have the dtype {shown(dtype)}, which is no string")
        text = re.fullmatch(r"[<>]U([1-9][0-9]{0,5})", str(dtype))
        if text is None:
            given = fields_of(described, "classes", {"dtype", "tensor"})
            check(dtype in _LABEL_DTYPES, f"classes have the dtype {shown(dtype)}, which labels cannot have")
            stored = self.take(given["tensor"], "classes")
            same = stored.dtype == np.dtype(str(dtype)).newbyteorder("=")
            check(same, f"classes are {stored.dtype}, and {dtype} was announced")
            return stored.astype(str(dtype))
        labels, width = _texts(fields_of(described, "classes", {"dtype", "labels"})["labels"], "classes"), int(text[1])
        longest = max(map(len, labels), default=0)
        check(longest <= width, f"a class label has {longest} characters, and {dtype} was announced")
        check_growth(4 * width * len(labels), sum(map(len, labels)), "the class labels")
        return np.array(labels, str(dtype))


def fields_of(described: Any, where: str, keys: set[str] | None) -> dict[str, Any]:
    """Return a JSON object, after checking that it has these keys and no other, or with None any."""
    check(isinstance(described, dict), f"{where} is {shown(described)}, and no JSON object")
    given = dict(described)
    if keys is not None and set(given) != keys:
        missing, unknown = sorted(keys - set(given)), sorted(set(given) - keys)
        refuse(f"{where} lacks {shown(missing)} and has {shown(unknown)} beside what this release knows")
    return given


def _int(value: Any, where: str) -> int:
    """Return an integer of 64 bits."""
    check(type(value) is int and -(2**63) <= value < 2**63, f"{where} is {shown(value)}, and no integer of 64 bits")
    return int(value)


def _count(value: Any, where: str) -> int:
    """Return a number of columns, of which arrays may be made."""
    number = _int(value, where)
    check(0 < number <= MAX_COLUMNS, f"{where} is {number}; 1 to {MAX_COLUMNS:,} is the range")
    return number


def _texts(value: Any, where: str) -> tuple[str, ...]:
    """Return a list of strings as a tuple."""
    proper = isinstance(value, list) and all(isinstance(each, str) for each in value)
    check(proper, f"{where} is {shown(value)}, and no list of strings")
    return tuple(value)


def _fitting(array: npt.NDArray[np.int32], dtype: np.dtype[Any], where: str) -> npt.NDArray[Any]:
    """Return references in the dtype announced, if it holds them."""
    limits = np.iinfo(dtype)
    fits = not array.size or (limits.min <= int(array.min()) and int(array.max()) <= limits.max)
    check(fits, f"the {where} children do not fit in {dtype}")
    return array.astype(dtype)


def _count_outputs(node: Node, n_inputs: int, before: int) -> tuple[int, int]:
    """Return the width of a node and the outputs of all nodes up to it: a softmax of a softmax is cheap to ask for."""
    match node:
        case Chain():
            width, total = n_inputs, before
            for step in node.steps:
                width, total = _count_outputs(step, width, total)
        case Combine() | IntegerCombine() | Concat():
            width, total = 0, before
            for member in node.members:
                more, total = _count_outputs(member, n_inputs, total)
                width = width + more if isinstance(node, Concat) else more
        case _:
            width = output_width(node, n_inputs)
            total = before
    total += width
    check(total <= MAX_OUTPUTS, f"its nodes have {total:,} outputs or more; {MAX_OUTPUTS:,} is the limit")
    return width, total
