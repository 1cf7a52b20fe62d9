"""Fewer distinct thresholds: splits of one feature whose gaps between the rows overlap get one threshold in common."""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import Program
from ensemble_1d.quantization.compression import checked_share
from ensemble_1d.quantization.tree_sites import TreeSite, tree_sites, with_tables
from ensemble_1d.runtime import leaves_of_rows, row_blocks

Floats = npt.NDArray[Any]


@dataclass(frozen=True, slots=True, eq=False)
class _Splits:
    """The splits of all tables with one comparison.

    Attributes:
        column: What each split reads, of shape (n_splits,), int64.
        threshold: Its threshold.
        low: The smallest threshold that parts the rows at the split as it does.
        high: The largest.
    """

    column: npt.NDArray[np.int64]
    threshold: Floats
    low: Floats
    high: Floats


def with_shared_thresholds(program: Program, X: npt.NDArray[np.float32], reach: float = 1.0) -> Program:
    """Return the program with as few distinct thresholds as part the rows exactly as before.

    At each split, any threshold will do that lies between the largest value that goes left and the smallest that goes
    right. For each feature and each comparison, in all tables together, these gaps are stabbed by the fewest points
    (greedily, by their right ends), and the splits at one point share a threshold: the middle one of theirs that lies
    in all of their gaps, else the middle of what the gaps have in common. The outputs for these rows stay equal to the
    bit; other rows close to a threshold may go the other way.

    Args:
        program: A float program. Not changed.
        X: Rows of shape (n_samples, n_features), float32, NaN where the program accepts missing values.
        reach: How far a threshold may move towards the ends of its gap, from 0 (not at all) to 1.

    Returns:
        The program with other thresholds.

    Raises:
        InvalidInputError: If `reach` is not from 0 to 1.
        UnsupportedModelError: If the program is integer.
    """
    reach = checked_share(reach, "reach")
    sites = tree_sites(program, X)
    thresholds = [site.table.threshold.copy() for site in sites]
    for comparison in ("le", "lt"):
        mine = [place for place, site in enumerate(sites) if site.table.comparison == comparison]
        if not mine:
            continue
        found = [_splits_of(sites[place], reach) for place in mine]
        shared = _stabbed(_Splits(*(np.concatenate([getattr(each, name) for each in found]) for name in _FIELDS)))
        parts = np.split(shared, np.cumsum([len(each.threshold) for each in found])[:-1])
        for place, part in zip(mine, parts, strict=True):
            thresholds[place] = part
    tables = [replace(site.table, threshold=each) for site, each in zip(sites, thresholds, strict=True)]
    return with_tables(program, tables)


_FIELDS = ("column", "threshold", "low", "high")


def _splits_of(site: TreeSite, reach: float) -> _Splits:
    """Return the splits of a table, and between which thresholds each may move."""
    table = site.table
    largest_left = np.full(len(table.left), -np.inf, table.threshold.dtype)
    smallest_right = np.full(len(table.left), np.inf, table.threshold.dtype)
    for block in row_blocks(len(site.X), len(table.root)):
        x = site.X[block]

        def visit(
            rows: npt.NDArray[np.intp], nodes: npt.NDArray[np.intp], left: npt.NDArray[np.bool_], x: Floats = x
        ) -> None:
            value = x[rows, table.feature[nodes]].astype(largest_left.dtype)
            goes_left, goes_right = left & ~np.isnan(value), ~left & ~np.isnan(value)
            np.maximum.at(largest_left, nodes[goes_left], value[goes_left])
            np.minimum.at(smallest_right, nodes[goes_right], value[goes_right])

        leaves_of_rows(table, x, visit)
    low, high = largest_left, smallest_right
    with np.errstate(over="ignore"):  # Beyond the largest number of its dtype, a threshold is infinite.
        if table.comparison == "le":
            high = np.where(np.isposinf(high), high, np.nextafter(high, -np.inf, dtype=high.dtype))
        else:
            low = np.where(np.isneginf(low), low, np.nextafter(low, np.inf, dtype=low.dtype))
    if reach < 1:
        low, high = _towards(table.threshold, low, reach), _towards(table.threshold, high, reach)
    return _Splits(site.column[table.feature], table.threshold, low, high)


def _towards(threshold: Floats, end: Floats, reach: float) -> Floats:
    """Return the point that far on the way from each threshold to the end of its gap, if that is finite."""
    is_finite = np.isfinite(end) & np.isfinite(threshold)
    start, stop = np.where(is_finite, threshold, 0), np.where(is_finite, end, 0)
    point = ((1 - reach) * start + reach * stop).astype(threshold.dtype)
    inside = np.clip(point, np.minimum(start, stop), np.maximum(start, stop))
    return np.where(is_finite, inside, threshold)


def _stabbed(splits: _Splits) -> Floats:
    """Return the threshold of each split, shared wherever gaps on one column overlap."""
    threshold = splits.threshold.copy()
    order = np.lexsort((splits.low, splits.high, splits.column))
    column, low, high = splits.column[order], splits.low[order], splits.high[order]
    is_free = np.ones(len(order), np.bool_)
    for begin, end in _runs(column):
        for first in range(begin, end):
            if not is_free[first]:
                continue
            # The gap that ends first is stabbed at its end, as far right as any point in it can reach others.
            group = first + np.flatnonzero(is_free[first:end] & (low[first:end] <= high[first]))
            is_free[group] = False
            mine = order[group]
            threshold[mine] = _common(splits.threshold[mine], low[group].max(), high[first])
    return threshold


def _runs(column: npt.NDArray[np.int64]) -> list[tuple[int, int]]:
    """Return begin and end of each run of equal numbers."""
    ends = [*(np.flatnonzero(np.diff(column)) + 1).tolist(), len(column)]
    return [pair for pair in zip([0, *ends[:-1]], ends, strict=True) if pair[0] < pair[1]]


def _common(threshold: Floats, low: Any, high: Any) -> Any:
    """Return one threshold from low to high for splits that had these."""
    inside = np.sort(threshold[(threshold >= low) & (threshold <= high)])
    if inside.size:
        return inside[(inside.size - 1) // 2]
    # Without one of their own inside, some lie below and some above: both ends are finite.
    return np.clip(low / 2 + high / 2, low, high)
