"""The closed union of nodes, and the two that only route columns: Chain and Select."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir._arrays import ensure, frozen_array
from ensemble_1d.ir.nodes_float import Affine, Combine, Dense, Link, TreeTable
from ensemble_1d.ir.nodes_integer import (
    Dequantize,
    IntegerCombine,
    IntegerDense,
    IntegerLink,
    IntegerTreeTable,
    Quantize,
    Requantize,
)

__all__ = [
    "Affine",
    "Chain",
    "Combine",
    "Dense",
    "Dequantize",
    "FloatNode",
    "IntegerCombine",
    "IntegerDense",
    "IntegerLink",
    "IntegerNode",
    "IntegerTreeTable",
    "Link",
    "Node",
    "Quantize",
    "Requantize",
    "Select",
    "TreeTable",
]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Chain:
    """Nodes one after another, each fed by the one before; float or integer.

    Attributes:
        steps: At least one node.
    """

    steps: "tuple[Node, ...]"

    def __post_init__(self) -> None:
        """Check that there is a step."""
        ensure(isinstance(self.steps, tuple) and len(self.steps) > 0, "Chain.steps must be a tuple of one node or more")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Select:
    """Some of the columns, in the order given; float or integer.

    Attributes:
        column: Of shape (n_outputs,), int32.
    """

    column: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        """Check the columns."""
        column = frozen_array(self, "column", [np.int32], (None,))
        ensure(column.size > 0 and int(column.min()) >= 0, "Select.column must name one column or more, from 0 on")


FloatNode: TypeAlias = TreeTable | Dense | Affine | Link | Combine
IntegerNode: TypeAlias = (
    Quantize | IntegerTreeTable | IntegerDense | Requantize | IntegerLink | IntegerCombine | Dequantize
)
Node: TypeAlias = FloatNode | IntegerNode | Chain | Select
