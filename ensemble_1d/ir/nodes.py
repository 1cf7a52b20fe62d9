"""The closed union of nodes, and those that only route columns: Chain, Select and Concat."""

from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir._arrays import ensure, frozen_array
from ensemble_1d.ir.nodes_float import Affine, Combine, Dense, Link, Log, TreeTable, check_members
from ensemble_1d.ir.nodes_integer import (
    Dequantize,
    IntegerCombine,
    IntegerDense,
    IntegerLink,
    IntegerLog,
    IntegerTreeTable,
    Quantize,
    Requantize,
)

__all__ = [
    "Affine",
    "Chain",
    "Combine",
    "Concat",
    "Dense",
    "Dequantize",
    "FloatNode",
    "IntegerCombine",
    "IntegerDense",
    "IntegerLink",
    "IntegerLog",
    "IntegerNode",
    "IntegerTreeTable",
    "Link",
    "Log",
    "Node",
    "Quantize",
    "Requantize",
    "Routing",
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


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Concat:
    """Members that see the same input, their outputs side by side; float or integer.

    Attributes:
        members: At least one node.
        names: What the members are called, for reports; one for each, or none at all.
    """

    members: "tuple[Node, ...]"
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the members."""
        check_members(self.members, self.names, "Concat")


FloatNode: TypeAlias = TreeTable | Dense | Affine | Link | Log | Combine
IntegerNode: TypeAlias = (
    Quantize | IntegerTreeTable | IntegerDense | Requantize | IntegerLink | IntegerLog | IntegerCombine | Dequantize
)
Routing: TypeAlias = Chain | Select | Concat
Node: TypeAlias = FloatNode | IntegerNode | Routing
