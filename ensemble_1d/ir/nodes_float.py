"""The float nodes of a Program: what each computes is said here, and computed in `runtime`."""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir._arrays import check_tree_structure, ensure, frozen_array

if TYPE_CHECKING:
    from ensemble_1d.ir.nodes import Node

Floats: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.float64]
FLOATS = (np.float32, np.float64)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class TreeTable:
    """A whole forest or boosted ensemble as one struct of arrays.

    A row starts at each tree's root and goes left where `x[feature] <= threshold` ("le", scikit-learn: float32 input
    against a float64 threshold) or `x[feature] < threshold` ("lt", XGBoost: both float32). A NaN goes where
    `default_left` says. A child >= 0 is a node, a child < 0 is the leaf `~child`; nodes follow their parent.
    The outputs start at `bias` and add `value[leaf]`, tree after tree in order and in the dtype of `value`, to the
    columns from `output[tree]` on; `average` then divides them by the number of trees.

    Attributes:
        feature: Split feature of shape (n_nodes,), int32.
        threshold: Threshold of shape (n_nodes,), float64 for "le" and float32 for "lt"; infinities are allowed.
        left: Left child of shape (n_nodes,), int32.
        right: Right child of shape (n_nodes,), int32.
        default_left: Where a NaN goes, of shape (n_nodes,), bool.
        value: Leaf values of shape (n_leaves, width), float32 or float64.
        root: First node, or `~leaf`, of each tree, of shape (n_trees,), int32.
        output: First output column of each tree, of shape (n_trees,), int32.
        bias: What the outputs start at, of shape (n_outputs,), dtype of `value`.
        comparison: "le" or "lt".
        average: Whether the sum is divided by the number of trees.

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import TreeTable
        >>> from ensemble_1d.runtime import evaluate
        >>> stump = TreeTable(
        ...     feature=np.array([0], np.int32), threshold=np.array([2.5]), left=np.array([-1], np.int32),
        ...     right=np.array([-2], np.int32), default_left=np.array([True]), value=np.array([[1.0], [7.0]]),
        ...     root=np.array([0], np.int32), output=np.array([0], np.int32), bias=np.zeros(1),
        ...     comparison="le", average=True,
        ... )
        >>> evaluate(stump, np.array([[2.5], [2.6]], np.float32))
        array([[1.],
               [7.]])
    """

    feature: npt.NDArray[np.int32]
    threshold: Floats
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    default_left: npt.NDArray[np.bool_]
    value: Floats
    root: npt.NDArray[np.int32]
    output: npt.NDArray[np.int32]
    bias: Floats
    comparison: Literal["le", "lt"]
    average: bool

    def __post_init__(self) -> None:
        """Check dtypes, shapes and that the children form trees."""
        ensure(self.comparison in {"le", "lt"}, f"TreeTable.comparison is {self.comparison!r}; use 'le' or 'lt'")
        n_nodes = len(frozen_array(self, "feature", [np.int32], (None,)))
        threshold = frozen_array(self, "threshold", [np.float64 if self.comparison == "le" else np.float32], (n_nodes,))
        ensure(not np.isnan(threshold).any(), "TreeTable.threshold holds NaN; no row could be compared with it")
        for field in ("left", "right"):
            frozen_array(self, field, [np.int32], (n_nodes,))
        frozen_array(self, "default_left", [np.bool_], (n_nodes,))
        n_leaves, width = frozen_array(self, "value", FLOATS, (None, None), finite=True).shape
        n_trees = len(frozen_array(self, "root", [np.int32], (None,)))
        frozen_array(self, "output", [np.int32], (n_trees,))
        n_outputs = len(frozen_array(self, "bias", [self.value.dtype], (None,), finite=True))
        check_output_columns(self.output, width, n_outputs, "TreeTable")
        ensure(n_trees > 0 and n_leaves > 0, "TreeTable holds no tree; a model needs at least one")
        ensure(n_nodes == 0 or int(self.feature.min()) >= 0, "TreeTable.feature holds a negative column")
        check_tree_structure(self, self.left, self.right, self.root, n_leaves)


def check_output_columns(output: npt.NDArray[np.integer[Any]], width: int, n_outputs: int, owner: str) -> None:
    """Refuse trees that write outside the outputs."""
    ensure(width > 0 and n_outputs > 0, f"{owner} has no output; give it at least one")
    inside = bool(((output >= 0) & (output.astype(np.int64) + width <= n_outputs)).all())
    ensure(inside, f"{owner}.output writes {width} columns past its {n_outputs} outputs")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Dense:
    """A fully connected layer, `activation(x @ weight.T + bias)`, with float32 numbers and float64 arithmetic.

    Attributes:
        weight: Of shape (n_outputs, n_inputs), float32, finite.
        bias: Of shape (n_outputs,), float32, finite.
        activation: "identity" or "relu".

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import Dense
        >>> from ensemble_1d.runtime import evaluate
        >>> layer = Dense(weight=np.array([[1, -2]], np.float32), bias=np.array([1], np.float32), activation="relu")
        >>> evaluate(layer, np.array([[3, 1], [0, 1]], np.float32))
        array([[2.],
               [0.]])
    """

    weight: npt.NDArray[np.float32]
    bias: npt.NDArray[np.float32]
    activation: Literal["identity", "relu"]

    def __post_init__(self) -> None:
        """Check dtypes and shapes."""
        n_outputs, n_inputs = frozen_array(self, "weight", [np.float32], (None, None), finite=True).shape
        ensure(n_outputs > 0 and n_inputs > 0, f"Dense.weight has shape {(n_outputs, n_inputs)}; no axis may be empty")
        frozen_array(self, "bias", [np.float32], (n_outputs,), finite=True)
        known = self.activation in {"identity", "relu"}
        ensure(known, f"Dense.activation is {self.activation!r}; use 'identity' or 'relu'")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Affine:
    """Standardisation, `(x - offset) * scale` for each column, in float32.

    Attributes:
        offset: Of shape (n_features,), float32, finite.
        scale: Of shape (n_features,), float32, finite.

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import Affine
        >>> from ensemble_1d.runtime import evaluate
        >>> scaled = Affine(offset=np.array([10], np.float32), scale=np.array([0.5], np.float32))
        >>> evaluate(scaled, np.array([[14]], np.float32))
        array([[2.]], dtype=float32)
    """

    offset: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]

    def __post_init__(self) -> None:
        """Check dtypes and shapes."""
        n_features = len(frozen_array(self, "offset", [np.float32], (None,), finite=True))
        frozen_array(self, "scale", [np.float32], (n_features,), finite=True)
        ensure(n_features > 0, "Affine has no column; give it at least one")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Log:
    """Scaled log-probabilities, `log(max(x, floor)) * scale` in natural logarithms, in float64.

    Attributes:
        floor: Smallest probability told from zero, in (0, 1].
        scale: A positive factor: the reciprocal of a temperature.

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import Log
        >>> from ensemble_1d.runtime import evaluate
        >>> evaluate(Log(floor=0.01), np.array([[0.0, 1.0]])).round(3)
        array([[-4.605,  0.   ]])
    """

    floor: float
    scale: float = 1.0

    def __post_init__(self) -> None:
        """Check floor and scale."""
        ensure(0 < self.floor <= 1, f"Log.floor is {self.floor}; use a probability in (0, 1]")
        ensure(0 < self.scale < math.inf, f"Log.scale is {self.scale}; use a finite number > 0")


LinkKind = Literal["softmax", "sigmoid", "complement"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Link:
    """From scores to class probabilities, in float64.

    Attributes:
        kind: "softmax" of n scores; "sigmoid" of one score, giving two columns; "complement" of one probability p,
            giving 1 - p and p.

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import Link
        >>> from ensemble_1d.runtime import evaluate
        >>> evaluate(Link(kind="complement"), np.array([[0.25]]))
        array([[0.75, 0.25]])
    """

    kind: LinkKind

    def __post_init__(self) -> None:
        """Check the kind."""
        check_link_kind(self.kind)


def check_link_kind(kind: str) -> None:
    """Refuse an unknown link."""
    known = ("softmax", "sigmoid", "complement")
    ensure(kind in known, f"the link {kind!r} is unknown; use one of {known}")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Combine:
    """Members that see the same input and are combined by weight, in float64.

    Attributes:
        members: At least one node; all have the same number of outputs.
        weights: Of shape (n_members,), float64, not negative, with a sum of one.
        rule: "mean" is the weighted mean of the outputs. "vote" gives each class the weight of the members whose
            largest output it is (the first one, where several are equal).
        names: What the members are called, for reports; one for each, or none at all.

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import Combine, Select
        >>> from ensemble_1d.runtime import evaluate
        >>> pairs = tuple(Select(column=np.array(columns, np.int32)) for columns in ([0, 1], [2, 3]))
        >>> mean = Combine(members=pairs, weights=np.array([0.75, 0.25]), rule="mean")
        >>> evaluate(mean, np.array([[1, 0, 0, 1]], np.float32))
        array([[0.75, 0.25]])
    """

    members: "tuple[Node, ...]"
    weights: npt.NDArray[np.float64]
    rule: Literal["mean", "vote"]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the members, the weights and the rule."""
        check_members(self.members, self.names, "Combine")
        check_rule(self.rule, "Combine")
        weights = frozen_array(self, "weights", [np.float64], (len(self.members),), finite=True)
        good = bool((weights >= 0).all()) and abs(float(weights.sum()) - 1.0) < 1e-9
        ensure(good, f"Combine.weights is {weights}; use non-negative numbers with a sum of 1")


def check_rule(rule: str, owner: str) -> None:
    """Refuse an unknown rule."""
    ensure(rule in {"mean", "vote"}, f"{owner}.rule is {rule!r}; use 'mean' or 'vote'")


def check_members(members: tuple[object, ...], names: tuple[str, ...], owner: str) -> None:
    """Refuse a node without members, or with a wrong number of names."""
    ensure(isinstance(members, tuple) and len(members) > 0, f"{owner}.members must be a tuple of one node or more")
    ensure(len(names) in {0, len(members)}, f"{owner}.names has {len(names)} entries; give {len(members)}, or none")
