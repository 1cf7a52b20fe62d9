"""The integer nodes of a Program: exact arithmetic in 32 bits, the same in NumPy and in generated C."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir._arrays import check_tree_structure, ensure, frozen_array
from ensemble_1d.ir.fixed_point import CODE_HIGH, CODE_LOW, CODE_STEPS, MISSING_CODE, NARROW_HIGH, PROBABILITY_BITS
from ensemble_1d.ir.nodes_float import LinkKind, check_link_kind, check_members, check_output_columns, check_rule

if TYPE_CHECKING:
    from ensemble_1d.ir.nodes import Node

INDEX = (np.uint8, np.uint16, np.int32)
CHILD = (np.int8, np.int16, np.int32)
LEAF = (np.int8, np.uint8, np.int16, np.uint16)
MAX_SHIFT = 30


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Quantize:
    """From float32 features to int16 codes, one code column after the other; the only float step of an integer program.

    An affine column holds `floor((x - offset) * scale) - 32767` in float32, saturated to -32767..32767. (Subtract
    first: no compiler can fuse that order into one rounding.) A rank column holds the number of its thresholds that x
    exceeds ("le": x > t, "lt": x >= t), less 32767: exact for every tree that uses only those thresholds. Column i is
    feature i; further columns repeat features for which one code cannot serve every member.
    A NaN gives -32768 where `missing`, else -32767.

    The codes of a narrow column start at 0 instead of -32767 and saturate at 255: one byte, for trees.

    Attributes:
        n_features: Width of the float input.
        feature: Source feature of shape (n_columns,), int32.
        offset: Start of the affine range of shape (n_columns,), float32; 0 in rank columns.
        scale: Codes per unit of shape (n_columns,), float32, >= 0; 0 in rank columns.
        start: Where each column's thresholds start, of shape (n_columns + 1,), int32; an empty slice means affine.
        thresholds: Thresholds of all rank columns, float32, ascending within each.
        strict: Whether a rank column counts x >= t ("lt") instead of x > t ("le"), of shape (n_columns,), bool.
        missing: Whether NaN has a code of its own; then no column is narrow.
        narrow: Whether a column's codes are 0..255, of shape (n_columns,), bool.

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import Quantize
        >>> from ensemble_1d.runtime import evaluate
        >>> inputs = Quantize(
        ...     n_features=1, feature=np.array([0], np.int32), offset=np.array([0], np.float32),
        ...     scale=np.array([65534], np.float32), start=np.array([0, 0], np.int32),
        ...     thresholds=np.empty(0, np.float32), strict=np.array([False]), missing=False, narrow=np.array([False]),
        ... )
        >>> evaluate(inputs, np.array([[-1], [0.5], [2]], np.float32)).tolist()
        [[-32767], [0], [32767]]
    """

    n_features: int
    feature: npt.NDArray[np.int32]
    offset: npt.NDArray[np.float32]
    scale: npt.NDArray[np.float32]
    start: npt.NDArray[np.int32]
    thresholds: npt.NDArray[np.float32]
    strict: npt.NDArray[np.bool_]
    missing: bool
    narrow: npt.NDArray[np.bool_]

    def __post_init__(self) -> None:
        """Check shapes, the order of thresholds and that every feature leads its own column."""
        n_columns = len(frozen_array(self, "feature", [np.int32], (None,)))
        frozen_array(self, "offset", [np.float32], (n_columns,), finite=True)
        scale = frozen_array(self, "scale", [np.float32], (n_columns,), finite=True)
        start = frozen_array(self, "start", [np.int32], (n_columns + 1,)).astype(np.int64)
        thresholds = frozen_array(self, "thresholds", [np.float32], (None,), finite=True)
        frozen_array(self, "strict", [np.bool_], (n_columns,))
        frozen_array(self, "narrow", [np.bool_], (n_columns,))
        leading = np.arange(self.n_features)
        ensure(
            n_columns >= self.n_features > 0 and bool((self.feature[: self.n_features] == leading).all()),
            f"Quantize must start with one column for each of its {self.n_features} features, in order",
        )
        inside = bool(((self.feature >= 0) & (self.feature < self.n_features)).all())
        ensure(inside, f"Quantize.feature names a feature outside 0..{self.n_features - 1}")
        ensure(bool((np.asarray(scale, np.float64) >= 0).all()), "Quantize.scale holds a negative number")
        sizes = np.diff(start)
        ensure(
            start[0] == 0 and start[-1] == len(thresholds) and bool((sizes >= 0).all()),
            "Quantize.start must rise from 0 to the number of thresholds",
        )
        ensure(int(sizes.max()) <= CODE_STEPS, f"a rank column has {sizes.max()} thresholds; 65534 is the limit")
        most = int(sizes[self.narrow].max(initial=0))
        ensure(most <= NARROW_HIGH, f"a narrow rank column has {most} thresholds; {NARROW_HIGH} is the limit")
        no_code = "a narrow column has no code for missing values; let it be wide, or `missing` false"
        ensure(not (self.missing and self.narrow.any()), no_code)
        rising = np.diff(np.asarray(thresholds, np.float64)) > 0
        rising[start[1:-1][(start[1:-1] > 0) & (start[1:-1] < len(thresholds))] - 1] = True
        ensure(bool(rising.all()), "Quantize.thresholds must rise strictly within each column")

    @property
    def n_columns(self) -> int:
        """Number of code columns."""
        return len(self.feature)

    def is_rank(self) -> npt.NDArray[np.bool_]:
        """Return, for each column, whether it is a rank column."""
        return np.asarray(np.diff(self.start) > 0)

    def first_codes(self) -> npt.NDArray[np.int32]:
        """Return the code of step or rank 0 of each column."""
        return np.where(self.narrow, 0, CODE_LOW).astype(np.int32)

    def limits(self) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
        """Return the smallest and the largest code that each column may be given."""
        low = np.where(self.narrow, 0, MISSING_CODE).astype(np.int64)
        return low, np.where(self.narrow, NARROW_HIGH, CODE_HIGH).astype(np.int64)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IntegerTreeTable:
    """Trees on int16 codes with small integer leaves; a row goes left where `code[column] <= cut`.

    Children, roots and outputs are as in TreeTable; the outputs start at zero and are summed in int32.

    Attributes:
        column: Code column of shape (n_nodes,), the smallest of uint8, uint16 and int32 that holds it.
        cut: Of shape (n_nodes,), int16; -32768 never goes left unless the code is missing and goes left by default.
        left: Left child of shape (n_nodes,), signed.
        right: Right child of shape (n_nodes,), signed.
        default_left: Where a missing code goes: of shape (n_nodes,), bool, or empty when no code is ever missing
            (then -32768 is a code like any other).
        value: Leaf values of shape (n_leaves, width), 8 or 16 bits.
        root: First node, or `~leaf`, of each tree, of shape (n_trees,), signed.
        output: First output column of each tree, of shape (n_trees,).
        n_outputs: Number of output columns.

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import IntegerTreeTable
        >>> from ensemble_1d.runtime import evaluate
        >>> stump = IntegerTreeTable(
        ...     column=np.array([0], np.uint8), cut=np.array([100], np.int16), left=np.array([-1], np.int8),
        ...     right=np.array([-2], np.int8), default_left=np.empty(0, np.bool_), value=np.array([[1], [7]], np.int8),
        ...     root=np.array([0], np.int8), output=np.array([0], np.uint8), n_outputs=1,
        ... )
        >>> evaluate(stump, np.array([[100], [101]], np.int16)).tolist()
        [[1], [7]]
    """

    column: npt.NDArray[np.integer[Any]]
    cut: npt.NDArray[np.int16]
    left: npt.NDArray[np.signedinteger[Any]]
    right: npt.NDArray[np.signedinteger[Any]]
    default_left: npt.NDArray[np.bool_]
    value: npt.NDArray[np.integer[Any]]
    root: npt.NDArray[np.signedinteger[Any]]
    output: npt.NDArray[np.integer[Any]]
    n_outputs: int

    def __post_init__(self) -> None:
        """Check dtypes, shapes and that the children form trees."""
        n_nodes = len(frozen_array(self, "column", INDEX, (None,)))
        frozen_array(self, "cut", [np.int16], (n_nodes,))
        for field in ("left", "right"):
            frozen_array(self, field, CHILD, (n_nodes,))
        frozen_array(self, "default_left", [np.bool_], (None,))
        ensure(
            len(self.default_left) in {0, n_nodes},
            f"IntegerTreeTable.default_left has {len(self.default_left)} entries; use {n_nodes}, or none",
        )
        n_leaves, width = frozen_array(self, "value", LEAF, (None, None)).shape
        n_trees = len(frozen_array(self, "root", CHILD, (None,)))
        frozen_array(self, "output", INDEX, (n_trees,))
        ensure(n_trees > 0 and n_leaves > 0, "IntegerTreeTable holds no tree; a model needs at least one")
        ensure(n_nodes == 0 or int(self.column.min()) >= 0, "IntegerTreeTable.column holds a negative column")
        check_output_columns(self.output, width, self.n_outputs, "IntegerTreeTable")
        check_tree_structure(self, self.left, self.right, self.root, n_leaves)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IntegerDense:
    """A fully connected layer in integers, `x @ weight.T + bias`, exact in int32.

    Attributes:
        weight: Of shape (n_outputs, n_inputs), int8 or int16.
        bias: Of shape (n_outputs,), int32.

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import IntegerDense
        >>> from ensemble_1d.runtime import evaluate
        >>> layer = IntegerDense(weight=np.array([[1, -2]], np.int8), bias=np.array([5], np.int32))
        >>> evaluate(layer, np.array([[3, 1]], np.int64)).tolist()
        [[6]]
    """

    weight: npt.NDArray[np.int8 | np.int16]
    bias: npt.NDArray[np.int32]

    def __post_init__(self) -> None:
        """Check dtypes and shapes."""
        n_outputs, n_inputs = frozen_array(self, "weight", [np.int8, np.int16], (None, None)).shape
        ensure(n_outputs > 0 and n_inputs > 0, f"IntegerDense.weight has shape {(n_outputs, n_inputs)}; fill both axes")
        frozen_array(self, "bias", [np.int32], (n_outputs,))


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Requantize:
    """From one fixed-point scale to another, for each column, then saturated.

    `y = clip((((x >> shift_in) * multiplier + half) >> shift_out) + offset, low, high)` where shifts are arithmetic
    (they round down) and `half` is `2**shift_out / 2`. With low = 0 this is also the rectifier.

    Attributes:
        shift_in: Of shape (n_columns,), uint8, at most 30.
        multiplier: Of shape (n_columns,), int32.
        shift_out: Of shape (n_columns,), uint8, at most 30.
        offset: Of shape (n_columns,), int32.
        low: Smallest result.
        high: Largest result.

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import Requantize
        >>> from ensemble_1d.runtime import evaluate
        >>> halved = Requantize(
        ...     shift_in=np.array([0], np.uint8), multiplier=np.array([1], np.int32), shift_out=np.array([1], np.uint8),
        ...     offset=np.array([0], np.int32), low=0, high=127,
        ... )
        >>> evaluate(halved, np.array([[-9], [9], [999]], np.int64)).tolist()
        [[0], [5], [127]]
    """

    shift_in: npt.NDArray[np.uint8]
    multiplier: npt.NDArray[np.int32]
    shift_out: npt.NDArray[np.uint8]
    offset: npt.NDArray[np.int32]
    low: int
    high: int

    def __post_init__(self) -> None:
        """Check dtypes, shapes, shifts and limits."""
        n_columns = len(frozen_array(self, "shift_in", [np.uint8], (None,)))
        frozen_array(self, "multiplier", [np.int32], (n_columns,))
        frozen_array(self, "shift_out", [np.uint8], (n_columns,))
        frozen_array(self, "offset", [np.int32], (n_columns,))
        ensure(n_columns > 0, "Requantize has no column; give it at least one")
        largest = max(int(self.shift_in.max()), int(self.shift_out.max()))
        ensure(largest <= MAX_SHIFT, f"Requantize shifts by {largest} bits; {MAX_SHIFT} is the limit")
        ensure(
            -(2**31) <= self.low <= self.high < 2**31,
            f"Requantize saturates to {self.low}..{self.high}; use an int32 range",
        )


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IntegerLink:
    """From integer scores to Q15 probabilities.

    "softmax" and "sigmoid" take logits in base 2 with 12 fraction bits; see `runtime_integer.exp2_negative` and
    `runtime_integer.normalise` for the exact steps. "complement" takes one Q15 probability p and gives 32768 - p and p.

    Attributes:
        kind: "softmax", "sigmoid" or "complement".

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import IntegerLink
        >>> from ensemble_1d.runtime import evaluate
        >>> evaluate(IntegerLink(kind="complement"), np.array([[8192]], np.int64)).tolist()
        [[24576, 8192]]
    """

    kind: LinkKind

    def __post_init__(self) -> None:
        """Check the kind."""
        check_link_kind(self.kind)


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IntegerLog:
    """From Q15 probabilities to logarithms in base 2 with 12 fraction bits; see `runtime_integer.log2_probability`.

    Attributes:
        floor: Smallest probability told from zero, in Q15: 1 to 32768.

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import IntegerLog
        >>> from ensemble_1d.runtime import evaluate
        >>> evaluate(IntegerLog(floor=1), np.array([[32768, 16384, 0]], np.int64)).tolist()
        [[0, -4096, -61440]]
    """

    floor: int

    def __post_init__(self) -> None:
        """Check the floor."""
        inside = 1 <= self.floor <= 2**PROBABILITY_BITS
        ensure(inside, f"IntegerLog.floor is {self.floor}; use a Q15 probability, 1 to 32768")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class IntegerCombine:
    """Members combined in Q15: `(sum(weight * output) + 2**14) >> 15`, or votes.

    Attributes:
        members: At least one node; all have the same number of outputs.
        weights: Of shape (n_members,), int32, not negative. Their sum is 32768, or less by fewer than n_members steps,
            so that equal weights can stay equal.
        rule: "mean", or "vote": each class gets the weights of the members whose largest output it is (the first one,
            where several are equal).
        names: What the members are called, for reports; one for each, or none at all.

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import IntegerCombine, Select
        >>> from ensemble_1d.runtime import evaluate
        >>> members = tuple(Select(column=np.array([column], np.int32)) for column in (0, 1))
        >>> mean = IntegerCombine(members=members, weights=np.array([24576, 8192], np.int32), rule="mean")
        >>> evaluate(mean, np.array([[32768, 0]], np.int64)).tolist()
        [[24576]]
    """

    members: "tuple[Node, ...]"
    weights: npt.NDArray[np.int32]
    rule: Literal["mean", "vote"]
    names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Check the members, the weights and the rule."""
        check_members(self.members, self.names, "IntegerCombine")
        check_rule(self.rule, "IntegerCombine")
        weights = frozen_array(self, "weights", [np.int32], (len(self.members),))
        short = 2**PROBABILITY_BITS - int(self.weights.sum(dtype=np.int64))
        good = bool((self.weights >= 0).all()) and 0 <= short < len(self.members)
        rule = "use non-negative integers with a sum of 32768, or less by fewer steps than members"
        ensure(good, f"IntegerCombine.weights is {weights}; {rule}")


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Dequantize:
    """The meaning of the final integers: `y * 2**-fraction_bits`.

    Attributes:
        fraction_bits: 15 for probabilities; for regression what the target's range allows, from -62 to 62.

    Example:
        >>> import numpy as np
        >>> from ensemble_1d.ir import Dequantize
        >>> from ensemble_1d.runtime import evaluate
        >>> evaluate(Dequantize(fraction_bits=15), np.array([[8192]], np.int64))
        array([[0.25]])
    """

    fraction_bits: int

    def __post_init__(self) -> None:
        """Check the number of bits."""
        inside = -62 <= self.fraction_bits <= 62
        ensure(inside, f"Dequantize.fraction_bits is {self.fraction_bits}; use -62 to 62")
