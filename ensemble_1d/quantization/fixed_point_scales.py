"""From a real scale to integer multipliers and shifts."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import Node, Requantize, output_bounds
from ensemble_1d.ir.bounds import Bounds
from ensemble_1d.ir.fixed_point import INT32_MAX
from ensemble_1d.ir.nodes_integer import MAX_SHIFT

Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_OPERAND_BITS = 17
"""Bits kept of the number that is multiplied: they leave the multiplier at least 14."""


@dataclass(frozen=True, slots=True, eq=False)
class Scores:
    """Integer scores on their way through a program, and what they mean: `real = integer * scale + offset`.

    Attributes:
        steps: The nodes so far.
        bounds: Smallest and largest integer of each column.
        scale: Of shape (n_columns,).
        offset: Of shape (n_columns,).
    """

    steps: tuple[Node, ...]
    bounds: Bounds
    scale: Reals
    offset: Reals

    def then(self, node: Node, scale: Reals, offset: Reals) -> "Scores":
        """Return the scores after one more node, whose outputs have the meaning given."""
        return Scores((*self.steps, node), output_bounds(node, *self.bounds), scale, offset)


def rescale(scores: Scores, target: Reals, offset: Reals, low: int, high: int) -> Scores:
    """Return the scores as `real = integer / target + offset`, saturated to low..high.

    Args:
        scores: What to rescale.
        target: Integers per real unit, of shape (n_columns,), positive.
        offset: Real value of the integer zero afterwards, of shape (n_columns,).
        low: Smallest result.
        high: Largest result.

    Returns:
        The scores with a Requantize node added; its products fill 31 bits and never exceed them.
    """
    magnitude = np.maximum(np.abs(scores.bounds[0]), np.abs(scores.bounds[1]))
    shift_in: Integers = np.maximum(bit_length(magnitude) - _OPERAND_BITS, 0)
    operand: Integers = (magnitude >> shift_in) + 1
    factor = np.ldexp(scores.scale * target, shift_in)
    shift_out = _largest_shift(operand, factor)
    shift_out = np.minimum(shift_out, MAX_SHIFT)
    node = Requantize(
        shift_in=shift_in.astype(np.uint8),
        multiplier=np.rint(np.ldexp(factor, shift_out)).astype(np.int32),
        shift_out=shift_out.astype(np.uint8),
        offset=np.rint((scores.offset - offset) * target).astype(np.int32),
        low=low,
        high=high,
    )
    return scores.then(node, 1 / target, offset)


def _largest_shift(operand: Integers, factor: Reals) -> Integers:
    """Return the most fraction bits a multiplier can have while `operand * multiplier + half` stays below 2**31."""
    limit = np.floor(np.log2((INT32_MAX - 2**29) / np.maximum(operand * np.abs(factor), 2.0**-60)))
    return np.clip(limit, 0, MAX_SHIFT).astype(np.int64)


def bit_length(magnitude: Integers) -> Integers:
    """Return the number of bits of non-negative integers below 2**53."""
    return np.frexp(magnitude.astype(np.float64))[1].astype(np.int64)


def apportion(shares: Reals, total: int) -> Integers:
    """Return non-negative integers in proportion to `shares` whose sum along the last axis is exactly `total`.

    The method of largest remainders (Hamilton); equal remainders favour the lower index.

    Example:
        >>> import numpy as np
        >>> apportion(np.array([1 / 3, 1 / 3, 1 / 3]), 16)
        array([6, 5, 5])
    """
    shares = np.asarray(shares, np.float64)
    exact = shares / shares.sum(axis=-1, keepdims=True) * total
    # A share such as 0.1 + 0.2 counts as 0.3: without it, rounding errors and not remainders would break ties.
    floor = np.floor(exact + 1e-9)
    missing = (total - floor.sum(axis=-1, keepdims=True)).astype(np.int64)
    order = np.argsort(-np.round(exact - floor, 9), axis=-1, kind="stable")
    rank = np.argsort(order, axis=-1, kind="stable")
    return np.asarray(floor.astype(np.int64) + (rank < missing))
