"""A fitted model as data: its inputs, its labels, and the tree of nodes that says what it computes."""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidProgramError
from ensemble_1d.ir._arrays import ensure
from ensemble_1d.ir.bounds import output_bounds
from ensemble_1d.ir.fixed_point import PROBABILITY_BITS
from ensemble_1d.ir.nodes import Chain, Combine, Dequantize, IntegerCombine, IntegerNode, Node, Quantize, Routing
from ensemble_1d.ir.walk import accepts_missing, descendants, node_bytes, output_width

PROGRAM_VERSION: Final = 1

Task = Literal["classification", "regression"]


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Program:
    """What a fitted model computes, from float32 features to probabilities or values, as data.

    A program is either float, or integer: then its root is a chain that starts with Quantize, ends with Dequantize and
    holds integer nodes between. Creating an integer program proves that no input whatever can overflow 32 bits.

    Attributes:
        version: Version of the node set and its meaning.
        n_features: Width of the input.
        feature_names: Names of the features, or None.
        classes: Labels in the order of the outputs, of shape (n_classes,); None for regression.
        task: "classification" or "regression".
        root: What is computed.

    Raises:
        InvalidProgramError: If the parts contradict each other, or an integer could overflow.

    Example:
        >>> from ensemble_1d import Program
        >>> from ensemble_1d.ir import Dense
        >>> import numpy as np
        >>> layer = Dense(weight=np.ones((1, 2), np.float32), bias=np.zeros(1, np.float32), activation="identity")
        >>> Program(n_features=2, task="regression", root=layer).is_integer
        False
    """

    n_features: int
    task: Task
    root: Node
    classes: npt.NDArray[np.generic] | None = None
    feature_names: tuple[str, ...] | None = None
    version: int = PROGRAM_VERSION

    def __post_init__(self) -> None:
        """Check that input, nodes, outputs and labels fit together."""
        ensure(self.version == PROGRAM_VERSION, f"Program.version is {self.version}; this release knows 1")
        ensure(self.n_features > 0, f"Program.n_features is {self.n_features}; it must be positive")
        names = self.feature_names
        ensure(
            names is None or (isinstance(names, tuple) and len(names) == self.n_features),
            f"Program.feature_names must be a tuple of {self.n_features} names, or None",
        )
        width = output_width(self.root, self.n_features)
        if self.task == "classification":
            self._check_classes(width)
        else:
            ensure(self.task == "regression", f"Program.task is {self.task!r}; use 'classification' or 'regression'")
            ensure(self.classes is None, "Program.classes must be None for regression")
            ensure(width == 1, f"a regression program has one output, and this one has {width}")
            votes = any(
                isinstance(each, Combine | IntegerCombine) and each.rule == "vote" for each in descendants(self.root)
            )
            ensure(not votes, "a regression program holds a vote, which only classes have; use the rule 'mean'")
        self._check_integers()

    def _check_classes(self, width: int) -> None:
        """Store the labels read-only after checking that there is one for each output."""
        classes = np.array(self.classes)
        ensure(
            classes.ndim == 1 and len(classes) == width >= 2 and classes.dtype.kind in "biufU",
            f"Program.classes must hold {width} numbers or strings, one for each output, and at least two; "
            f"got shape {classes.shape} of {classes.dtype}",
        )
        # np.unique would import numpy.ma, which takes as long as this whole package; NaN differs from itself.
        labels = {None if label != label else label for label in classes.tolist()}  # noqa: PLR0124
        ensure(len(labels) == width, f"Program.classes holds a label twice: {classes}")
        classes.flags.writeable = False
        object.__setattr__(self, "classes", classes)

    def _check_integers(self) -> None:
        """Refuse a mixture of float and integer nodes, and any integer that could overflow."""
        found = [isinstance(each, IntegerNode) for each in descendants(self.root) if not isinstance(each, Routing)]
        if not any(found):
            return
        steps = self.root.steps if isinstance(self.root, Chain) else ()
        ends = len(steps) >= 3 and isinstance(steps[0], Quantize) and isinstance(steps[-1], Dequantize)
        inner = [each for step in steps[1:-1] for each in descendants(step)]
        ensure(
            all(found) and ends and not any(isinstance(each, Quantize | Dequantize) for each in inner),
            "an integer program is a chain of Quantize, integer nodes, and Dequantize, and holds no float node",
        )
        quantize, body, dequantize = self.integer_parts()
        low, high = output_bounds(body, *quantize.limits())
        if self.task == "classification":
            proper = int(low.min()) >= 0 and int(high.max()) <= 2**PROBABILITY_BITS
            ensure(
                proper and dequantize.fraction_bits == PROBABILITY_BITS,
                f"the class outputs lie in {low.min()}..{high.max()}; they must be Q15 probabilities, 0..32768",
            )

    @property
    def is_integer(self) -> bool:
        """Whether everything after the input quantizer is integer arithmetic."""
        return isinstance(self.root, Chain) and isinstance(self.root.steps[0], Quantize)

    @property
    def accepts_missing(self) -> bool:
        """Whether NaN is a legal feature value."""
        return accepts_missing(self.root)

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return node_bytes(self.root)

    def integer_parts(self) -> tuple[Quantize, Chain, Dequantize]:
        """Return the input quantizer, the integer body and the output scale of an integer program.

        Raises:
            InvalidProgramError: If this is a float program.

        Example:
            >>> from sklearn.datasets import load_iris
            >>> from ensemble_1d import RandomForestModel
            >>> X, y = load_iris(return_X_y=True)
            >>> small = RandomForestModel(n_estimators=5, random_state=0).fit(X, y).quantize("int8", X)
            >>> quantizer, body, scale = small.program.integer_parts()
            >>> quantizer.n_columns, len(body.steps), scale.fraction_bits
            (4, 2, 15)
        """
        steps = self.root.steps if isinstance(self.root, Chain) else ()
        if len(steps) >= 3:
            first, *body, last = steps
            if isinstance(first, Quantize) and isinstance(last, Dequantize):
                return first, Chain(steps=tuple(body)), last
        raise InvalidProgramError("this program is float; quantize() makes an integer one")
