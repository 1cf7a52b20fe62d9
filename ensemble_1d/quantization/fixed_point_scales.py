"""From a real scale to integer multipliers and shifts."""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import Node, Requantize, output_bounds
from ensemble_1d.ir.bounds import Bounds
from ensemble_1d.ir.nodes_integer import MAX_SHIFT

Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]
_OPERAND_BITS = 17
"""Bits kept of the number that is multiplied: they leave the multiplier at least 13."""
_PRODUCT_HIGH = 2**30
"""Largest product: half a step of rounding, at most 2**29, and an offset have room above it in 32 bits."""
_OFFSET_HIGH = 2**30 - 1
_COARSEST = 4.0
"""Steps of the result that one step of an operand may be, where columns share a shift ..."""
_COMMON_BITS = 12
"""... and the fraction bits that a shared shift must leave the multipliers: they then err by 16 steps at most."""


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


def rescale(scores: Scores, target: Reals, offset: Reals, low: int, high: int, *, is_common: bool = False) -> Scores:
    """Return the scores as `real = integer / target + offset`, saturated to low..high.

    Args:
        scores: What to rescale.
        target: Integers per real unit, of shape (n_columns,), positive.
        offset: Real value of the integer zero afterwards, of shape (n_columns,).
        low: Smallest result.
        high: Largest result.
        is_common: Whether columns share their shifts, wherever that costs next to nothing: a device then needs no
            table of them.

    Returns:
        The scores with one Requantize added, whose products fill 31 bits and never exceed them; or with two, where
        the integers could go so far beyond low..high that they must saturate in coarser steps first.
    """
    magnitude = np.maximum(np.abs(scores.bounds[0]), np.abs(scores.bounds[1]))
    beyond = float((magnitude * np.abs(scores.scale) * target).max()) / _PRODUCT_HIGH
    coarser = min(math.ceil(math.log2(beyond)), high.bit_length() - 1) if beyond > 1 else 0
    if not coarser:
        return _rescale_once(scores, target, offset, low, high, is_common=is_common)
    limits = low >> coarser, high >> coarser
    saturated = _rescale_once(scores, np.ldexp(target, -coarser), offset, *limits, is_common=is_common)
    none = np.zeros(len(target), np.int32)
    node = Requantize(
        shift_in=none.astype(np.uint8),
        multiplier=none + np.int32(1 << coarser),
        shift_out=none.astype(np.uint8),
        offset=none,
        low=low,
        high=high,
    )
    return saturated.then(node, 1 / target, offset)


def _rescale_once(scores: Scores, target: Reals, offset: Reals, low: int, high: int, *, is_common: bool) -> Scores:
    """Return the scores with one Requantize added."""
    magnitude = np.maximum(np.abs(scores.bounds[0]), np.abs(scores.bounds[1]))
    shift_in: Integers = np.maximum(bit_length(magnitude) - _OPERAND_BITS, 0)
    if is_common and float(np.abs(scores.scale * target).max()) * 2.0 ** int(shift_in.max()) <= _COARSEST:
        shift_in = np.full_like(shift_in, shift_in.max())
    operand: Integers = (magnitude >> shift_in) + 1
    factor = np.ldexp(scores.scale * target, shift_in)
    shift_out = _largest_shift(operand, factor)
    if is_common and int(shift_out.min()) >= _COMMON_BITS:
        shift_out = np.full_like(shift_out, shift_out.min())
    largest = _PRODUCT_HIGH // operand
    multiplier = np.clip(np.rint(np.ldexp(factor, shift_out)), -largest, largest)
    node = Requantize(
        shift_in=shift_in.astype(np.uint8),
        multiplier=multiplier.astype(np.int32),
        shift_out=shift_out.astype(np.uint8),
        # An offset beyond the limits saturates every score, however far beyond it is.
        offset=np.clip(np.rint((scores.offset - offset) * target), -_OFFSET_HIGH, _OFFSET_HIGH).astype(np.int32),
        low=low,
        high=high,
    )
    return scores.then(node, 1 / target, offset)


def _largest_shift(operand: Integers, factor: Reals) -> Integers:
    """Return the most fraction bits a multiplier can have while `operand * multiplier + half` stays below 2**31."""
    limit = np.floor(np.log2(_PRODUCT_HIGH / np.maximum(operand * np.abs(factor), 2.0**-60)))
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
    exact = shares / shares.sum(axis=-1, keepdims=True) * total
    floor = np.floor(exact)
    # A share such as 0.1 + 0.2 counts as 0.3: without rounding, errors and not remainders would break ties.
    order = np.argsort(-np.round(exact - floor, 9), kind="stable")
    missing = total - floor.sum(axis=-1, keepdims=True)
    return np.asarray(floor.astype(np.int64) + (np.argsort(order) < missing))
