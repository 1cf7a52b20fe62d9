"""FIELDS: what each node of a Program holds, by kind of storage; read by who writes a node and by who reads one.

A test holds it against the dataclasses, so that no node and no field can be forgotten.
"""

from typing import Final, Literal, TypeAlias

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
    Quantize,
    Requantize,
    Select,
    TreeTable,
)

FieldKind: TypeAlias = Literal["array", "children", "flags", "nodes", "names", "bool", "count", "int", "float", "text"]

FIELDS: Final[dict[type[Node], dict[str, FieldKind]]] = {
    TreeTable: {
        "feature": "array",
        "threshold": "array",
        "left": "children",
        "right": "children",
        "default_left": "flags",
        "value": "array",
        "root": "children",
        "output": "array",
        "bias": "array",
        "comparison": "text",
        "average": "bool",
    },
    Dense: {"weight": "array", "bias": "array", "activation": "text"},
    Affine: {"offset": "array", "scale": "array"},
    Link: {"kind": "text"},
    Log: {"floor": "float", "scale": "float"},
    Combine: {"members": "nodes", "weights": "array", "rule": "text", "names": "names"},
    Quantize: {
        "n_features": "count",
        "feature": "array",
        "offset": "array",
        "scale": "array",
        "start": "array",
        "thresholds": "array",
        "strict": "array",
        "missing": "bool",
        "narrow": "array",
    },
    IntegerTreeTable: {
        "column": "array",
        "cut": "array",
        "left": "children",
        "right": "children",
        "default_left": "flags",
        "value": "array",
        "root": "children",
        "output": "array",
        "n_outputs": "count",
    },
    IntegerDense: {"weight": "array", "bias": "array"},
    Requantize: {
        "shift_in": "array",
        "multiplier": "array",
        "shift_out": "array",
        "offset": "array",
        "low": "int",
        "high": "int",
    },
    IntegerLink: {"kind": "text"},
    IntegerLog: {"floor": "int"},
    IntegerCombine: {"members": "nodes", "weights": "array", "rule": "text", "names": "names"},
    Dequantize: {"fraction_bits": "int"},
    Chain: {"steps": "nodes"},
    Select: {"column": "array"},
    Concat: {"members": "nodes", "names": "names"},
}
"""The fields of each node in the order of its dataclass.

"children" are left, right and root of a tree table together; "flags" are `default_left`, one bit a split; "names" are
those of members; a "count" is a number of columns.
"""

NODES: Final[dict[str, type[Node]]] = {kind.__name__: kind for kind in FIELDS}
"""Every node by the name that a file gives it."""

CHILDREN: Final = ("left", "right", "root")
"""The fields that a file holds as one."""

SPLIT_FIELD: Final = {TreeTable: "feature", IntegerTreeTable: "column"}
"""The field of a tree table that says how many splits it has."""
