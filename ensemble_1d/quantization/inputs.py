"""Input codes: one int16 per feature on which every split decision of the calibration rows is kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import CODE_HIGH, CODE_LOW, MISSING_CODE, Quantize, Requantize, Select, output_bounds
from ensemble_1d.ir.bounds import Bounds
from ensemble_1d.ir.fixed_point import CODE_STEPS
from ensemble_1d.quantization.compact import compact_codes
from ensemble_1d.quantization.cuts import TreeUse, gaps_of
from ensemble_1d.runtime_integer import quantize

_TREE_MARGIN = 1 / 64
"""Room on either side of a range that only trees read, as a share of it: values beyond a threshold get codes beyond."""
_NETWORK_MARGIN = 1.0
"""Room on either side of a range that a network reads, for rows beyond the calibration rows."""
_TAIL = 0.1
"""Percentage on either side that may be outliers ..."""
_TAIL_RATIO = 16.0
"""... where they stretch the range this many times: they then saturate, so that a network sees the rest."""


@dataclass(frozen=True, slots=True, eq=False)
class InputCodes:
    """The input quantizer, and where each table's splits find their column and cut.

    Attributes:
        node: The quantizer.
        maker: What makes the codes that trees read of those of the quantizer; empty where trees read the latter.
        column: For each table, the column of each split, of shape (n_nodes,), int64.
        cut: For each table, the largest code that goes left, of shape (n_nodes,), int16.
        n_splits: Number of splits of all tables.
        n_inexact_splits: Splits on which some calibration row goes the other way; 0 unless a feature has more than
            65534 thresholds.
    """

    node: Quantize
    maker: tuple[Select, Requantize] | tuple[()]
    column: tuple[npt.NDArray[np.int64], ...]
    cut: tuple[npt.NDArray[np.int16], ...]
    n_splits: int
    n_inexact_splits: int

    def limits(self) -> Bounds:
        """Return the smallest and the largest of the codes that trees read."""
        bounds = self.node.limits()
        for step in self.maker:
            bounds = output_bounds(step, *bounds)
        return bounds


def choose_codes(
    X: npt.NDArray[np.float32],
    tables: Sequence[TreeUse],
    network_features: npt.NDArray[np.int64],
    *,
    compact: bool = False,
) -> InputCodes:
    """Choose a code for every feature, so that trees decide as before and networks see every value.

    Each feature gets an affine code over the range of its values and thresholds. Each integer cut is moved into the
    gap between the calibration values around its threshold, and between the rows that went left and right at its node.
    Where a gap is empty (two rows that a split separates share a code), the trees get a rank code of that feature,
    which is exact for every input: in place of the affine code if nothing else reads it, else in a further column.

    Args:
        X: Calibration rows of shape (n_samples, n_features), float32, NaN for missing.
        tables: The tree tables.
        network_features: Features that a network reads.
        compact: Whether trees read codes of one byte, where every split of the calibration rows can be kept on them.
            Rows with missing values have none.

    Returns:
        The codes.
    """
    n_features = X.shape[1]
    affine = _affine_quantizer(X, tables, network_features)
    codes = quantize(affine, X)
    gaps = [gaps_of(use, X, codes, affine) for use in tables]
    n_splits = sum(len(use.feature) for use in tables)
    if compact and n_splits and not affine.missing:
        found = compact_codes(X, tables, affine, gaps, network_features)
        if found is not None:
            ends = np.cumsum([len(use.feature) for use in tables])[:-1]
            cuts_of = tuple(np.split(found.cut.astype(np.int16), ends))
            return InputCodes(found.node, found.maker, tuple(np.split(found.column, ends)), cuts_of, n_splits, 0)
    collapsed = [gap.is_empty for gap in gaps]
    cuts = [gap.clipped(gap.natural) for gap in gaps]
    ranked = {
        (int(feature), use.side)
        for use, bad in zip(tables, collapsed, strict=True)
        for feature in np.unique(use.feature[bad])
        if len(_rank_thresholds(tables, int(feature), use.side)) <= CODE_STEPS
    }
    needs_affine = set(map(int, network_features)) | {
        int(feature) for use in tables for feature in np.unique(use.feature) if (int(feature), use.side) not in ranked
    }
    first = {feature: side for feature, side in sorted(ranked, reverse=True) if feature not in needs_affine}
    further = sorted((feature, side) for feature, side in ranked if first.get(feature) != side)
    sides = [first.get(feature) for feature in range(n_features)] + [side for _, side in further]
    features = [*range(n_features), *(feature for feature, _ in further)]
    node = _with_ranks(affine, features, sides, tables)
    place = {
        (feature, side): column for column, (feature, side) in enumerate(zip(features, sides, strict=True)) if side
    }
    columns = []
    final_cuts = []
    n_inexact_splits = 0
    for use, cut, bad in zip(tables, cuts, collapsed, strict=True):
        column = use.feature.copy()
        is_ranked = np.zeros(len(column), np.bool_)
        for (feature, side), code_column in place.items():
            mine = (use.feature == feature) if side == use.side else np.zeros(len(column), np.bool_)
            column[mine] = code_column
            is_ranked |= mine
        columns.append(column)
        final_cuts.append(np.where(is_ranked, _rank_cuts(use, node, column), cut).astype(np.int16))
        n_inexact_splits += int((bad & ~is_ranked).sum())
    return InputCodes(node, (), tuple(columns), tuple(final_cuts), n_splits, n_inexact_splits)


def _affine_quantizer(
    X: npt.NDArray[np.float32], tables: Sequence[TreeUse], network_features: npt.NDArray[np.int64]
) -> Quantize:
    """Return one affine column for each feature, over its values and, where they are not far off, its thresholds."""
    n_features = X.shape[1]
    is_network = np.isin(np.arange(n_features), network_features)
    low, high = _value_ranges(X)
    core_low, core_high, is_heavy = _cores(X, low, high)
    is_heavy &= is_network
    low, high = np.where(is_heavy, core_low, low), np.where(is_heavy, core_high, high)
    for use in tables:
        threshold = use.floored_thresholds().astype(np.float64)
        counted = np.isfinite(threshold) & ~is_heavy[use.feature]
        np.minimum.at(low, use.feature[counted], threshold[counted])
        np.maximum.at(high, use.feature[counted], threshold[counted])
    empty = low > high
    low[empty], high[empty] = 0, 0
    magnitude = np.maximum(np.abs(low), np.abs(high))
    # A constant column still gets a range that float32 resolves.
    span = np.maximum.reduce([high - low, magnitude * 2.0**-10, np.full(n_features, 2.0**-100)])
    margin = np.where(is_network, _NETWORK_MARGIN, _TREE_MARGIN)
    return Quantize(
        n_features=n_features,
        feature=np.arange(n_features, dtype=np.int32),
        offset=np.maximum(low - span * margin, np.finfo(np.float32).min).astype(np.float32),
        scale=(CODE_STEPS / (span * (1 + 2 * margin))).astype(np.float32),
        start=np.zeros(n_features + 1, np.int32),
        thresholds=np.empty(0, np.float32),
        strict=np.zeros(n_features, np.bool_),
        missing=bool(np.isnan(X).any()),
        narrow=np.zeros(n_features, np.bool_),
    )


def _value_ranges(X: npt.NDArray[np.float32]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return the smallest and largest value of each feature; infinity and minus infinity where all are missing."""
    is_missing = np.isnan(X)
    low = np.where(is_missing, np.float32(np.inf), X).min(axis=0)
    high = np.where(is_missing, np.float32(-np.inf), X).max(axis=0)
    return low.astype(np.float64), high.astype(np.float64)


def _cores(
    X: npt.NDArray[np.float32], low: npt.NDArray[np.float64], high: npt.NDArray[np.float64]
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64], npt.NDArray[np.bool_]]:
    """Return the range of each feature without its outermost values, and where these stretch it many times."""
    if np.isnan(X).any():  # Then no network reads it.
        return low, high, np.zeros(len(low), np.bool_)
    core_low, core_high = np.percentile(X.astype(np.float64), [_TAIL, 100 - _TAIL], axis=0)
    core = core_high - core_low
    return core_low, core_high, (core > 0) & (high - low > _TAIL_RATIO * core)


def _rank_thresholds(tables: Sequence[TreeUse], feature: int, side: str) -> npt.NDArray[np.float32]:
    """Return the distinct finite thresholds on `feature` of all tables with that comparison, ascending."""
    found = [use.floored_thresholds()[use.feature == feature] for use in tables if use.side == side]
    thresholds = np.unique(np.concatenate(found))
    return np.asarray(thresholds[np.isfinite(thresholds)])


def _with_ranks(affine: Quantize, features: list[int], sides: list[str | None], tables: Sequence[TreeUse]) -> Quantize:
    """Return the quantizer with rank columns where `sides` names a comparison."""
    empty = np.empty(0, np.float32)
    pairs = zip(features, sides, strict=True)
    thresholds = [_rank_thresholds(tables, feature, side) if side else empty for feature, side in pairs]
    is_rank = np.array([side is not None for side in sides])
    return Quantize(
        n_features=affine.n_features,
        feature=np.array(features, np.int32),
        offset=np.where(is_rank, np.float32(0), affine.offset[features]),
        scale=np.where(is_rank, np.float32(0), affine.scale[features]),
        start=np.concatenate([[0], np.cumsum([len(each) for each in thresholds])]).astype(np.int32),
        thresholds=np.concatenate(thresholds),
        strict=np.array([side == "lt" for side in sides]),
        missing=affine.missing,
        narrow=np.zeros(len(features), np.bool_),
    )


def _rank_cuts(use: TreeUse, node: Quantize, column: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return, for each split, the cut on the rank code of its column (only rank columns mean anything)."""
    threshold = use.floored_thresholds()
    cut = np.zeros(len(column), np.int64)
    for each in np.unique(column):
        mine = column == each
        own = node.thresholds[node.start[each] : node.start[each + 1]]
        cut[mine] = np.searchsorted(own, threshold[mine]) + CODE_LOW
    return np.where(np.isposinf(threshold), CODE_HIGH, np.where(np.isneginf(threshold), MISSING_CODE, cut))
