"""Input codes: one int16 per feature on which every split decision of the calibration rows is kept."""

from collections.abc import Sequence
from dataclasses import dataclass, fields

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
_GRID_STEPS = 255
"""Steps of a grid of cuts: what one byte tells apart."""
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
    X: npt.NDArray[np.float32],
    tables: Sequence[TreeUse],
    network_features: npt.NDArray[np.int64],
    *,
    is_coarse: bool = False,
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
        is_coarse: Whether cuts keep to a grid of up to 255 steps for each feature wherever their gaps allow it: trees
            then read one byte a feature on a device.

    Returns:
        The codes.
    """
    n_features = X.shape[1]
    affine = _affine_quantizer(X, tables, network_features)
    codes = quantize(affine, X)
    gaps = [_gaps(use, X, codes, affine) for use in tables]
    collapsed = [gap.is_empty for gap in gaps]
    cuts = [gap.clipped(gap.natural) for gap in gaps]
    if is_coarse and tables:
        cuts = cuts_on_grids(tables, gaps)
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


@dataclass(frozen=True, slots=True, eq=False)
class _Gaps:
    """Between which codes the cut of each split of a table must lie, so that calibration rows part as before.

    Attributes:
        low: The largest code that went left, of shape (n_nodes,), int64.
        high: One less than the smallest that went right.
        natural: The cut that the threshold itself and the values of its feature suggest.
        near_low: Smallest cut that also parts all values of the feature as the threshold does, itself included.
        near_high: The largest such cut.
    """

    low: npt.NDArray[np.int64]
    high: npt.NDArray[np.int64]
    natural: npt.NDArray[np.int64]
    near_low: npt.NDArray[np.int64]
    near_high: npt.NDArray[np.int64]

    def take(self, rows: npt.NDArray[np.intp]) -> "_Gaps":
        """Return the gaps of some splits."""
        return _Gaps(*(getattr(self, field.name)[rows] for field in fields(self)))

    @property
    def is_empty(self) -> npt.NDArray[np.bool_]:
        """Whether no cut keeps the split."""
        return self.low > self.high

    def clipped(self, cut: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return cuts within the gaps."""
        return np.minimum(np.clip(cut, self.low, np.maximum(self.high, self.low)), CODE_HIGH)


def _gaps(use: TreeUse, X: npt.NDArray[np.float32], codes: npt.NDArray[np.int16], node: Quantize) -> _Gaps:
    """Return the gaps of a table's splits on affine codes."""
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
    low, high = largest_left, smallest_right - 1
    natural, below, above = _natural_cuts(use, X, codes, node)
    kept = np.minimum(np.clip(natural, low, np.maximum(high, low)), CODE_HIGH)
    # What equals the threshold keeps its side: left of "<=", right of "<".
    is_strict = use.side == "lt"
    near_low = np.maximum(low, below) if is_strict else kept
    near_high = kept if is_strict else np.minimum(high, above - 1)
    return _Gaps(low, high, natural, np.minimum(near_low, kept), np.maximum(near_high, kept))


def cuts_on_grids(tables: Sequence[TreeUse], gaps: Sequence[_Gaps]) -> list[npt.NDArray[np.int64]]:
    """Return the cuts of all tables, for each feature on as few and as fine grids of up to 255 steps as its gaps allow.

    A grid of 2**shift codes has a cut below each of its multiples.
    """
    feature = np.concatenate([use.feature for use in tables])
    every = _Gaps(*(np.concatenate([getattr(gap, field.name) for gap in gaps]) for field in fields(_Gaps)))
    cut = every.clipped(every.natural)
    for each in np.unique(feature):
        todo = [np.flatnonzero((feature == each) & ~every.is_empty)]
        while todo:
            mine = todo.pop()
            on_grid, found = _on_grid(every.take(mine))
            cut[mine[on_grid]] = found[on_grid]
            rest = mine[~on_grid]
            # Cuts that lie closer together get a finer grid of their own.
            if 0 < len(rest) < len(mine):
                todo.append(rest)
            elif len(rest) > 1:
                middle = np.sort(cut[rest])[(len(rest) - 1) // 2]
                todo += [
                    part for part in (rest[cut[rest] <= middle], rest[cut[rest] > middle]) if len(part) < len(rest)
                ]
    return np.split(cut, np.cumsum([len(use.feature) for use in tables])[:-1])


def _on_grid(gaps: _Gaps) -> tuple[npt.NDArray[np.bool_], npt.NDArray[np.int64]]:
    """Return which gaps hold a cut of the finest grid that spans all of them in 255 steps, and these cuts."""
    natural = gaps.clipped(gaps.natural)
    is_within = (natural > MISSING_CODE) & (natural < CODE_HIGH)
    if not is_within.any():
        return is_within, natural
    span = int(natural[is_within].max() - natural[is_within].min())
    shift = (span // (_GRID_STEPS - 1)).bit_length()
    nearest = (natural + 1 + ((1 << shift) >> 1)) >> shift
    # Where no step parts all values of the feature, one that parts the rows which reach the node has to do.
    lowest, highest = -((-gaps.near_low - 1) >> shift), (gaps.near_high + 1) >> shift
    is_far = lowest > highest
    lowest = np.where(is_far, -((-gaps.low - 1) >> shift), lowest)
    highest = np.where(is_far, (gaps.high + 1) >> shift, highest)
    step = np.clip(nearest, lowest, np.maximum(highest, lowest))
    first = int(nearest[is_within].min())
    inside = (step >= first) & (step < first + _GRID_STEPS)
    return is_within & (lowest <= highest) & inside, np.asarray((step << shift) - 1)


def _natural_cuts(
    use: TreeUse, X: npt.NDArray[np.float32], codes: npt.NDArray[np.int16], node: Quantize
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the cut of each split from its threshold and from all values of its feature, whatever node they reach.

    A threshold often equals a possible value, on a grid of measurements. Then the code of the threshold says little,
    and the nearest values on either side decide, unless they share a code. Their codes come second and third.
    """
    threshold = use.floored_thresholds()
    own = affine_code(threshold, node.offset[use.feature], node.scale[use.feature]).astype(np.int64)
    cut = own - (use.side == "lt")
    lower, upper = np.full(len(cut), MISSING_CODE, np.int64), np.full(len(cut), CODE_HIGH + 1, np.int64)
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
        lower[mine[apart]], upper[mine[apart]] = below[apart], above[apart]
        lower[mine[~apart]], upper[mine[~apart]] = cut[mine[~apart]], cut[mine[~apart]] + 1
    cut = np.where(np.isposinf(threshold), CODE_HIGH, np.where(np.isneginf(threshold), MISSING_CODE, cut))
    return cut, lower, upper


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
