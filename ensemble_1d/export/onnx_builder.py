"""GraphBuilder: collects the operators and constants of an ONNX graph, and gives each result a name."""

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Attribute = int | str | list[str] | npt.NDArray[Any]
Domain = Literal["", "ai.onnx.ml"]


class GraphBuilder:
    """Operators in the order in which they are added, and the constants that they read.

    Args:
        onnx: The imported `onnx`.

    Attributes:
        nodes: The operators, each after those it reads, as NodeProto.
        constants: The constants, no two of them equal, as TensorProto.
    """

    def __init__(self, onnx: ModuleType) -> None:
        """Start an empty graph."""
        self.nodes: list[Any] = []
        self.constants: list[Any] = []
        self._onnx = onnx
        self._names: dict[tuple[str, tuple[int, ...], bytes], str] = {}

    def add(self, operator: str, *inputs: str, output: str = "", **attributes: Attribute) -> str:
        """Add an operator of ai.onnx, as `add_node` does, with attributes as keywords."""
        return self.add_node(operator, inputs, attributes, output=output)

    def add_node(
        self,
        operator: str,
        inputs: Iterable[str],
        attributes: Mapping[str, Attribute],
        *,
        domain: Domain = "",
        output: str = "",
    ) -> str:
        """Add an operator with one result.

        Args:
            operator: Its name in the domain.
            inputs: Names of what it reads.
            attributes: Integers, strings, lists of strings, arrays of shape (n,) of integers or float32, or float64
                arrays of shape (n,), which become tensors.
            domain: "" for ai.onnx, or "ai.onnx.ml".
            output: Name of the result; by default the operator and a number.

        Returns:
            The name of the result.
        """
        name = output or f"{operator}_{len(self.nodes)}"
        node = self._onnx.NodeProto(op_type=operator, domain=domain, input=inputs, output=[name])
        # helper.make_attribute looks at each number in Python, which takes seconds for a large forest.
        node.attribute.extend(self._attribute(key, value) for key, value in attributes.items())
        self.nodes.append(node)
        return name

    def constant(self, array: npt.NDArray[Any]) -> str:
        """Add a constant of numbers, booleans or text, or find an equal one.

        Args:
            array: Of any shape.

        Returns:
            Its name.
        """
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._names:
            self._names[key] = name = f"constant_{len(self.constants)}"
            self.constants.append(self._tensor(name, array))
        return self._names[key]

    def _attribute(self, name: str, value: Attribute) -> Any:
        """Return an attribute as the kind that its value is."""
        kind, proto = self._onnx.AttributeProto, self._onnx.AttributeProto(name=name)
        if isinstance(value, int):
            proto.type, proto.i = kind.INT, value
        elif isinstance(value, str):
            proto.type, proto.s = kind.STRING, value.encode()
        elif isinstance(value, list):
            proto.type = kind.STRINGS
            proto.strings.extend(each.encode() for each in value)
        elif value.dtype == np.float64:
            proto.type = kind.TENSOR
            proto.t.CopyFrom(self._tensor(name, value))
        elif value.dtype == np.float32:
            proto.type = kind.FLOATS
            proto.floats.extend(value.tolist())
        else:
            proto.type = kind.INTS
            proto.ints.extend(value.tolist())
        return proto

    def _tensor(self, name: str, array: npt.NDArray[Any]) -> Any:
        """Return an array as TensorProto."""
        if array.dtype.kind == "U":
            text = [each.encode() for each in array.tolist()]
            return self._onnx.helper.make_tensor(name, self._onnx.TensorProto.STRING, array.shape, text)
        return self._onnx.numpy_helper.from_array(array, name)
