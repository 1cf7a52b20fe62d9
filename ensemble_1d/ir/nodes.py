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

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import Affine, Chain, Link
        >>> from ensemble_1d.runtime import evaluate
        >>> scaled = Affine(offset=np.array([1], np.float32), scale=np.array([0.5], np.float32))
        >>> evaluate(Chain(steps=(scaled, Link(kind="sigmoid"))), np.array([[1]], np.float32))
        array([[0.5, 0.5]])
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

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import Select
        >>> from ensemble_1d.runtime import evaluate
        >>> evaluate(Select(column=np.array([2, 0], np.int32)), np.array([[10, 11, 12]], np.float32))
        array([[12., 10.]], dtype=float32)
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

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import Concat, Select
        >>> from ensemble_1d.runtime import evaluate
        >>> first, last = (Select(column=np.array([column], np.int32)) for column in (0, 2))
        >>> evaluate(Concat(members=(last, first)), np.array([[10, 11, 12]], np.float32))
        array([[12., 10.]], dtype=float32)
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
