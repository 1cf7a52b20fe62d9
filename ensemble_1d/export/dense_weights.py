"""Weights of a dense layer as the kernels of c99_dense.h read them: 4, 8 or 16 bits, two rows side by side."""

import textwrap
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import IntegerDense

_INPUTS_TOGETHER = {4: 4, 8: 2, 16: 2}
"""How many neighbours one entry of a table needs, for the processors that multiply several at once."""


@dataclass(frozen=True, slots=True, eq=False)
class DenseWeights:
    """A layer of even rows, each of as many inputs as the kernel asks for; what was added changes no other result.

    Attributes:
        bits: Bits of a weight: 4, 8 or 16.
        weight: Of shape (n_rows, n_inputs), int64; a row too many repeats the one before it, inputs too many weigh 0.
        bias: Of shape (n_rows,), int64.
    """

    bits: Literal[4, 8, 16]
    weight: npt.NDArray[np.int64]
    bias: npt.NDArray[np.int64]

    @property
    def n_inputs(self) -> int:
        """Number of inputs that the kernel reads."""
        return int(self.weight.shape[1])


def dense_weights(node: IntegerDense) -> DenseWeights:
    """Return the weights of a layer in the fewest bits that hold them.

    Example:
        >>> import numpy as np
        >>> dense_weights(IntegerDense(weight=np.array([[-8, 7, 1]], np.int8), bias=np.zeros(1, np.int32))).weight
        array([[-8,  7,  1,  0],
               [-8,  7,  1,  0]])
    """
    weight = node.weight.astype(np.int64)
    low, high = int(weight.min()), int(weight.max())
    bits: Literal[4, 8, 16] = 4 if min(low, ~high) >= -8 else 8 if min(low, ~high) >= -128 else 16
    n_outputs, n_inputs = weight.shape
    weight = np.pad(weight, ((0, n_outputs % 2), (0, 0)), mode="edge")
    weight = np.pad(weight, ((0, 0), (0, -n_inputs % _INPUTS_TOGETHER[bits])))
    return DenseWeights(bits, weight, even(node.bias.astype(np.int64)))


def even(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return as many values or one more, to an even number: the last one repeated."""
    return np.pad(values, (0, len(values) % 2), mode="edge")


def weight_table(weights: DenseWeights, name: str) -> str:
    """Return the definition of a layer's weights, in macros that know the processor.

    Args:
        weights: The weights.
        name: Name of the table.

    Returns:
        One C definition.
    """
    values = weights.weight
    if weights.bits < 16:
        raised = values + (1 << (weights.bits - 1))
        values = raised[0::2] + (raised[1::2] << weights.bits)
    together = _INPUTS_TOGETHER[weights.bits]
    macro = f"E1D_WEIGHTS{weights.bits}"
    entries = [f"{macro}({','.join(map(str, group))})" for group in values.reshape(-1, together).tolist()]
    text = textwrap.fill(", ".join(entries), 110, initial_indent="    ", subsequent_indent="    ")
    return f"static const e1d_weights{weights.bits} {name}[] E1D_TABLE = {{\n{text}\n}};"


def bias_table(weights: DenseWeights, name: str, *, raised: bool) -> str:
    """Return the definition of a layer's biases.

    Args:
        weights: The layer.
        name: Name of the table.
        raised: Whether its inputs are raised where activations are unsigned.

    Returns:
        One C definition.
    """
    sums = weights.weight.sum(axis=1).tolist()
    pairs = zip(weights.bias.tolist(), sums, strict=True)
    entries = [f"E1D_BIAS({bias},{total if raised else 0})" for bias, total in pairs]
    text = textwrap.fill(", ".join(entries), 110, initial_indent="    ", subsequent_indent="    ")
    return f"static const uint32_t {name}[{len(entries)}] E1D_TABLE = {{\n{text}\n}};"
