"""Input codes: one int16 per feature on which every split decision of the calibration rows is kept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import CODE_HIGH, CODE_LOW, MISSING_CODE, Quantize, TreeTable
from ensemble_1d.ir.fixed_point import CODE_STEPS
from ensemble_1d.runtime import leaves_of_rows, row_blocks
from ensemble_1d.runtime_integer import affine_code, quantize

_TREE_MARGIN = 1 / 64
"""Room on either side of a range that only trees read, as a share of it: values beyond a threshold get codes beyond."""
_NETWORK_MARGIN = 1.0
"""Room on either side of a range that a network reads, for rows beyond the calibration rows."""
_TAIL = 0.1
"""Percentage on either side that may be outliers ..."""
_TAIL_RATIO = 16.0
"""... where they stretch the range this many times: they then saturate, so that a network sees the rest."""


@dataclass(frozen=True, slots=True, eq=False)
class TreeUse:
    """A tree table, and the feature of the program that each of its input columns is.

    Attributes:
        table: The float trees.
        feature: Program feature of each split, of shape (n_nodes,), int64.
    """

    table: TreeTable
    feature: npt.NDArray[np.int64]

    @property
    def side(self) -> str:
        """The comparison, which rank columns must share."""
        return self.table.comparison

    def floored_thresholds(self) -> npt.NDArray[np.float32]:
        """Return the largest float32 not above each threshold: the same decision for every float32 input."""
        with np.errstate(over="ignore"):
            rounded = self.table.threshold.astype(np.float32)
            below = np.nextafter(rounded, np.float32(-np.inf))
        return np.asarray(np.where(rounded > self.table.threshold, below, rounded))


@dataclass(frozen=True, slots=True, eq=False)
class InputCodes:
    """The input quantizer, and where each table's splits find their column and cut.

    Attributes:
        node: The quantizer.
        column: For each table, the code column of each split, of shape (n_nodes,), int64.
        cut: For each table, the largest code that goes left, of shape (n_nodes,), int16.
        n_splits: Number of splits of all tables.
        n_inexact_splits: Splits on which some calibration row goes the other way; 0 unless a feature has more than
            65534 thresholds.
    """

    node: Quantize
    column: tuple[npt.NDArray[np.int64], ...]
    cut: tuple[npt.NDArray[np.int16], ...]
    n_splits: int
    n_inexact_splits: int


def choose_codes(
    X: npt.NDArray[np.float32], tables: Sequence[TreeUse], network_features: npt.NDArray[np.int64]
) -> InputCodes:
    """Choose a code for every feature, so that trees decide as before and networks see every value.

    Each feature gets an affine code over the range of its values and thresholds. Each integer cut is moved into the
    gap between the calibration values around its threshold, and between the rows that went left and right at its node.
    Where a gap is empty (two rows that a split
    separates share a code), the trees get a rank code of that feature, which is exact for every input: in place of
    the affine code if nothing else reads it, else in a further column.

    Args:
        X: Calibration rows of shape (n_samples, n_features), float32, NaN for missing.
        tables: The tree tables.
        network_features: Features that a network reads.

    Returns:
        The codes.
    """
    n_features = X.shape[1]
    affine = _affine_quantizer(X, tables, network_features)
    codes = quantize(affine, X)
    cuts, collapsed = zip(*(_fit_cuts(use, X, codes, affine) for use in tables), strict=True) if tables else ((), ())
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
    n_splits = sum(len(use.feature) for use in tables)
    return InputCodes(node, tuple(columns), tuple(final_cuts), n_splits, n_inexact_splits)


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
    limit = float(np.finfo(np.float32).max)
    return Quantize(
        n_features=n_features,
        feature=np.arange(n_features, dtype=np.int32),
        offset=np.clip(low - span * margin, -limit, limit).astype(np.float32),
        scale=(CODE_STEPS / (span * (1 + 2 * margin))).astype(np.float32),
        start=np.zeros(n_features + 1, np.int32),
        thresholds=np.empty(0, np.float32),
        strict=np.zeros(n_features, np.bool_),
        missing=bool(np.isnan(X).any()),
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


def _fit_cuts(
    use: TreeUse, X: npt.NDArray[np.float32], codes: npt.NDArray[np.int16], node: Quantize
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]:
    """Return the cut of each split on affine codes, and which splits no cut can keep."""
    table = use.table
    largest_left = np.full(len(use.feature), MISSING_CODE, np.int64)
    smallest_right = np.full(len(use.feature), CODE_HIGH + 1, np.int64)
    for block in row_blocks(len(X), len(table.root)):
        x, block_codes = X[block], codes[block]

        def visit(
            rows: npt.NDArray[np.intp],
            nodes: npt.NDArray[np.intp],
            left: npt.NDArray[np.bool_],
            x: npt.NDArray[np.float32] = x,
            block_codes: npt.NDArray[np.int16] = block_codes,
        ) -> None:
            feature = use.feature[nodes]
            present = ~np.isnan(x[rows, feature])
            value = block_codes[rows, feature].astype(np.int64)
            np.maximum.at(largest_left, nodes[left & present], value[left & present])
            np.minimum.at(smallest_right, nodes[~left & present], value[~left & present])

        leaves_of_rows(table, x[:, _columns_read(use)] if len(use.feature) else x, visit)
    collapsed = largest_left >= smallest_right
    cut = np.clip(_natural_cuts(use, X, codes, node), largest_left, np.maximum(smallest_right - 1, largest_left))
    return np.minimum(cut, CODE_HIGH), collapsed


def _natural_cuts(
    use: TreeUse, X: npt.NDArray[np.float32], codes: npt.NDArray[np.int16], node: Quantize
) -> npt.NDArray[np.int64]:
    """Return the cut of each split from its threshold and from all values of its feature, whatever node they reach.

    A threshold often equals a possible value, on a grid of measurements. Then the code of the threshold says little,
    and the nearest values on either side decide, unless they share a code.
    """
    threshold = use.floored_thresholds()
    own = affine_code(threshold, node.offset[use.feature], node.scale[use.feature]).astype(np.int64)
    cut = own - (use.side == "lt")
    for feature in np.unique(use.feature):
        mine = np.flatnonzero(use.feature == feature)
        present = ~np.isnan(X[:, feature])
        values, first = np.unique(X[present, feature], return_index=True)
        steps = codes[present, feature][first].astype(np.int64)
        place = np.searchsorted(values, threshold[mine], side="left" if use.side == "lt" else "right")
        below = np.concatenate([[MISSING_CODE], steps])[place]
        above = np.concatenate([steps, [CODE_HIGH + 1]])[place]
        apart = below < above
        cut[mine[apart]] = np.clip(cut[mine], below, above - 1)[apart]
    return np.where(np.isposinf(threshold), CODE_HIGH, np.where(np.isneginf(threshold), MISSING_CODE, cut))


def _columns_read(use: TreeUse) -> npt.NDArray[np.int64]:
    """Return the program feature of each column of the table's own input."""
    columns = np.zeros(int(use.table.feature.max()) + 1, np.int64)
    columns[use.table.feature] = use.feature
    return columns


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
