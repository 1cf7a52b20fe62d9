"""Narrow columns: codes of one byte on which the splits of one feature part the calibration rows as before.

A narrow column spans the thresholds of its splits, not the data, in as many even steps as a byte tells apart. It is
made of the feature itself (`FloatScale`), or of the input code that a network reads beside the trees (`CodeScale`).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir.fixed_point import NARROW_HIGH
from ensemble_1d.runtime_integer import affine_step

Integers = npt.NDArray[np.int64]
Reals = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]

_FEWEST_STEPS = 190
"""Fewest steps that are tried for a column: a grid of its own for each number of them."""
_LONE_STEPS = 32
"""Steps that are tried in the gap of a threshold that is alone."""
_MOST_COLUMNS = 8
"""A feature that needs more narrow columns than this is better off with another code."""
_LIMIT = float(np.finfo(np.float32).max)
_SHORTEST = 2.0**-126
"""Shortest step whose inverse is a float32."""
_CODE_SHIFTS = (18, 15)
"""Fraction bits of the multiplier from input codes: for steps of 8 codes and more, and down to one."""
_LARGEST_MULTIPLIER = 32767
_LARGEST_OFFSET = 32767


@dataclass(frozen=True, slots=True, eq=False)
class SplitGaps:
    """Between which values the threshold of each split on one feature may move.

    Attributes:
        threshold: Of shape (n_splits,), float32.
        low: The largest calibration value that goes left at the split; minus infinity where none does.
        high: The smallest that goes right; infinity where none does.
        near_low: The largest calibration value of the feature on the left of the threshold, whatever node it reaches.
        near_high: The smallest on its right.
    """

    threshold: Singles
    low: Singles
    high: Singles
    near_low: Singles
    near_high: Singles

    def take(self, splits: npt.NDArray[np.intp]) -> "SplitGaps":
        """Return the gaps of some splits."""
        return SplitGaps(*(getattr(self, field.name)[splits] for field in fields(self)))


@dataclass(frozen=True, slots=True)
class FloatScale:
    """A narrow column of a Quantize node.

    Attributes:
        offset: Its offset.
        scale: Its codes per unit.
    """

    offset: np.float32
    scale: np.float32

    @classmethod
    def of(cls, first: float, step: float) -> "FloatScale":
        """Return the scale whose code 0 ends at `first`, with this step."""
        step = max(step, _SHORTEST)
        return cls(np.float32(np.clip(first - step, -_LIMIT, _LIMIT)), np.float32(1 / step))

    def codes(self, values: Singles) -> Integers:
        """Return the codes of values; those of infinities saturate."""
        size = len(values)
        offset, scale = np.full(size, self.offset), np.full(size, self.scale)
        return affine_step(values, offset, scale, np.float32(NARROW_HIGH)).astype(np.int64)

    def ends(self, cut: Integers) -> Reals:
        """Return the value at which each code ends."""
        return float(self.offset) + (cut + 1) / float(self.scale)


@dataclass(frozen=True, slots=True)
class CodeScale:
    """A narrow column of an input code: `((code * multiplier + half) >> shift) + offset`, saturated to 0..255.

    Attributes:
        shift: 18, or 15 for short steps.
        multiplier: At most 32767.
        offset: At most 32767 in magnitude.
    """

    shift: int
    multiplier: int
    offset: int

    @classmethod
    def of(cls, first: float, step: float) -> "CodeScale":
        """Return the scale whose code 0 ends near `first`, with a step near this one, or the finest there is."""
        long, short = _CODE_SHIFTS
        shift = long if 2**long / step <= _LARGEST_MULTIPLIER else short
        multiplier = min(max(1, round(2**shift / step)), _LARGEST_MULTIPLIER)
        offset = round(0.5 - first * multiplier / 2**shift)
        return cls(shift, multiplier, max(-_LARGEST_OFFSET, min(offset, _LARGEST_OFFSET)))

    def codes(self, values: Singles) -> Integers:
        """Return the narrow codes of input codes; those of infinities saturate."""
        code = np.clip(values, -(2.0**15), 2.0**15).astype(np.int64)
        scaled = (code * self.multiplier + (1 << self.shift >> 1)) >> self.shift
        return np.asarray(np.clip(scaled + self.offset, 0, NARROW_HIGH))

    def ends(self, cut: Integers) -> Reals:
        """Return the input code, a fraction, at which each narrow code ends."""
        return np.asarray((cut + 0.5 - self.offset) * (2**self.shift / self.multiplier))


Scale = FloatScale | CodeScale
MakeScale = Callable[[float, float], Scale]


@dataclass(frozen=True, slots=True, eq=False)
class NarrowColumn:
    """A narrow column, and the splits that read it.

    Attributes:
        scale: How its codes are made.
        splits: The positions of its splits, of shape (n,), int64.
        cut: The largest code that goes left at each of them, of shape (n,), int64.
    """

    scale: Scale
    splits: Integers
    cut: Integers


def narrow_columns(gaps: SplitGaps, make: MakeScale) -> list[NarrowColumn] | None:
    """Return columns on which every split parts the calibration rows as its threshold does.

    Of many grids over the thresholds, each column has the one that lets most splits keep their gaps, with ends of steps
    as near the thresholds as can be. Splits whose gaps hold no end of a step get a finer column over fewer thresholds.

    Args:
        gaps: The splits of one feature.
        make: `FloatScale.of` or `CodeScale.of`.

    Returns:
        The columns, or None where even a column of its own cannot tell a split's sides apart, or too many are needed.
    """
    columns: list[NarrowColumn] = []
    n_distinct = len(np.unique(gaps.threshold))
    is_hopeless = n_distinct > _MOST_COLUMNS * NARROW_HIGH or not np.isfinite(gaps.threshold).all()
    todo = np.arange(0 if is_hopeless else len(gaps.threshold))
    while len(todo):
        if len(columns) == _MOST_COLUMNS:
            return None
        column = _best_column(gaps.take(todo), make)
        if not len(column.splits):
            return None
        columns.append(NarrowColumn(column.scale, todo[column.splits], column.cut))
        todo = np.delete(todo, column.splits)
    return columns or None


def _best_column(gaps: SplitGaps, make: MakeScale) -> NarrowColumn:
    """Return the column on which most splits keep their gaps, nearest to their thresholds."""
    threshold = gaps.threshold.astype(np.float64)
    best: tuple[tuple[int, float], NarrowColumn] | None = None
    for first, step in _grids(gaps, threshold):
        scale = make(first, step)
        cut, is_kept = _cuts(gaps, threshold, scale)
        kept = np.flatnonzero(is_kept)
        worth = (len(kept), -float(np.abs(scale.ends(cut[kept]) - threshold[kept]).sum()))
        if best is None or worth > best[0]:
            best = worth, NarrowColumn(scale, kept, cut[kept])
    # Only a threshold without a gap has no grid.
    return best[1] if best else NarrowColumn(make(0.0, 1.0), np.empty(0, np.int64), np.empty(0, np.int64))


def _grids(gaps: SplitGaps, threshold: Reals) -> Iterator[tuple[float, float]]:
    """Yield where the first step may end, and how long steps may be."""
    low, high = float(threshold.min()), float(threshold.max())
    if low == high:
        # One threshold alone: steps that part its gap evenly; without a gap on some side, steps of its own magnitude.
        reach = max(abs(low), 1.0) / _LONE_STEPS
        left, right = max(float(gaps.low.max()), low - reach), min(float(gaps.high.min()), low + reach)
        for n_steps in range(2, _LONE_STEPS if left < right else 2):
            step = (right - left) / n_steps
            yield left + step, step
        return
    for n_steps in range(NARROW_HIGH - 1, _FEWEST_STEPS, -1):
        step = (high - low) / n_steps
        for shift in (0.0, -0.5, 0.5, 0.25, -0.25) if n_steps < NARROW_HIGH - 1 else (0.0,):
            yield low + shift * step, step


def _cuts(gaps: SplitGaps, threshold: Reals, scale: Scale) -> tuple[Integers, npt.NDArray[np.bool_]]:
    """Return the cut of each split on a column, and whether it parts the rows as the threshold does."""
    low = np.where(np.isneginf(gaps.low), 0, scale.codes(gaps.low))
    high = np.where(np.isposinf(gaps.high), NARROW_HIGH, scale.codes(gaps.high)) - 1
    near_low, near_high = scale.codes(gaps.near_low), scale.codes(gaps.near_high) - 1
    # The step whose end is nearest the threshold: within the gap of all values where it can be, else of the node's.
    step = scale.ends(np.ones(1, np.int64))[0] - scale.ends(np.zeros(1, np.int64))[0]
    natural = np.rint((threshold - scale.ends(np.zeros(1, np.int64))[0]) / step)
    cut = np.clip(natural, 0, NARROW_HIGH - 1).astype(np.int64)
    cut = np.where(near_low <= near_high, np.clip(cut, near_low, np.maximum(near_high, near_low)), cut)
    cut = np.clip(cut, low, np.maximum(high, low))
    return cut, (low <= high) & (cut < NARROW_HIGH)
