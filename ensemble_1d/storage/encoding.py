"""From a Program to a JSON object and the arrays it names, each in the smallest dtype that gives all its bits back."""

import operator
from typing import Any, Final, assert_never

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import ArtifactError
from ensemble_1d.ir import Node, Program
from ensemble_1d.storage.container import Tensors
from ensemble_1d.storage.fields import CHILDREN, FIELDS
from ensemble_1d.storage.trees import Children, walk_of

_SMALLER: Final = (np.uint8, np.int8, np.uint16, np.int16)


def encode_program(program: Program) -> tuple[dict[str, Any], Tensors]:
    """Return what a file says of a program, and its arrays by name.

    Args:
        program: A float or integer program.

    Returns:
        A JSON object, and the arrays that it names.

    Raises:
        ArtifactError: If the labels or names are none that JSON or a file can hold.
    """
    encoder = _Encoder()
    names = program.feature_names
    described = {
        "version": program.version,
        "task": program.task,
        "n_features": operator.index(program.n_features),
        "feature_names": None if names is None else _texts(names, "feature_names"),
        "classes": None if program.classes is None else encoder.labels(program.classes),
        "root": encoder.node(program.root),
    }
    return described, encoder.tensors


class _Encoder:
    """The arrays stored so far, named by the number of their node in the order of the file."""

    def __init__(self) -> None:
        """Start without arrays."""
        self.tensors: Tensors = {}
        self.n_nodes = 0

    def node(self, node: Node) -> dict[str, Any]:
        """Return the JSON of a node, its arrays stored."""
        prefix = str(self.n_nodes)
        self.n_nodes += 1
        described: dict[str, Any] = {"node": type(node).__name__}
        for field, kind in FIELDS[type(node)].items():
            value, name = getattr(node, field), f"{prefix}.{field}"
            match kind:
                case "array":
                    described[field] = self.array(name, value)
                case "children":
                    if field == "left":  # Stored together, in the place of the first.
                        described["children"] = self.children(prefix, *(getattr(node, each) for each in CHILDREN))
                case "flags":
                    described[field] = self.flags(name, value)
                case "nodes":
                    described[field] = [self.node(child) for child in value]
                case "names":
                    described[field] = _texts(value, field)
                case "bool":
                    described[field] = bool(value)
                case "int" | "count":
                    described[field] = operator.index(value)
                case "float":
                    described[field] = float(value)
                case "text":
                    described[field] = str(value)
                case _:
                    assert_never(kind)
        return described

    def array(self, name: str, array: npt.NDArray[Any]) -> str | dict[str, str]:
        """Store an array, and return its name, with its dtype where the stored one is smaller."""
        stored = _narrowed(array)
        self.tensors[name] = stored
        return name if stored.dtype == array.dtype else {"tensor": name, "dtype": array.dtype.name}

    def children(self, prefix: str, left: Children, right: Children, root: Children) -> dict[str, Any]:
        """Return left, right and root: two bits and a leaf a split where the order of nodes allows it."""
        children = dict(zip(CHILDREN, (left, right, root), strict=True))
        walk = walk_of(left, right, root)
        if walk is None:
            return {"order": "any"} | {name: self.array(f"{prefix}.{name}", each) for name, each in children.items()}
        is_split, leaf = walk
        self.tensors[f"{prefix}.splits"] = np.packbits(is_split)
        in_order = np.array_equal(leaf, np.arange(len(leaf)))
        if not in_order:
            self.tensors[f"{prefix}.leaf"] = _narrowed(leaf.astype(np.int32))
        return {
            "order": "breadth first",
            "splits": f"{prefix}.splits",
            "leaf": None if in_order else f"{prefix}.leaf",
            "dtypes": [each.dtype.name for each in children.values()],
        }

    def flags(self, name: str, flags: npt.NDArray[np.bool_]) -> bool | str | None:
        """Return None for no flags, the one value that all have, or the name of their packed bits."""
        if not len(flags):
            return None
        if flags.all() or not flags.any():
            return bool(flags[0])
        self.tensors[name] = np.packbits(flags)
        return name

    def labels(self, classes: npt.NDArray[np.generic]) -> dict[str, Any]:
        """Return the JSON of the class labels."""
        dtype = classes.dtype
        if dtype.kind == "U":
            return {"dtype": dtype.str, "labels": _texts(classes.tolist(), "classes")}
        if dtype.kind not in "biuf" or dtype.itemsize > 8:
            raise ArtifactError(f"classes are {dtype}; a file holds booleans, strings and numbers of 64 bits at most")
        self.tensors["classes"] = classes.astype(dtype.newbyteorder("="))
        return {"dtype": dtype.str, "tensor": "classes"}


def _narrowed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return the array in the smallest dtype from which every entry comes back bit for bit."""
    if array.dtype == np.float64:
        with np.errstate(over="ignore", under="ignore"):
            single = array.astype(np.float32)
        same = np.array_equal(single.astype(np.float64).view(np.int64), array.view(np.int64))
        return single if same else array
    if array.dtype.kind in "iu" and array.size:
        low, high = int(array.min()), int(array.max())
        for smaller in _SMALLER:
            limits = np.iinfo(smaller)
            if limits.dtype.itemsize < array.dtype.itemsize and limits.min <= low and high <= limits.max:
                return array.astype(smaller)
    return array


def _texts(values: Any, what: str) -> list[str]:
    """Return strings as a list, if they are strings."""
    texts = list(values)
    if not all(isinstance(text, str) for text in texts):
        raise ArtifactError(f"{what} must be strings to be saved; got {texts}")
    return [str(text) for text in texts]
