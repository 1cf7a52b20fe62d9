"""Cuts of integer splits: where each may lie so that calibration rows part as before."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import CODE_HIGH, CODE_LOW, MISSING_CODE, Quantize, TreeTable
from ensemble_1d.ir.fixed_point import CODE_STEPS
from ensemble_1d.quantization.narrow import SplitGaps
from ensemble_1d.runtime import leaves_of_rows, row_blocks
from ensemble_1d.runtime_integer import affine_step


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
class Gaps:
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

    @property
    def is_empty(self) -> npt.NDArray[np.bool_]:
        """Whether no cut keeps the split."""
        return self.low > self.high

    def clipped(self, cut: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Return cuts within the gaps."""
        return np.minimum(np.clip(cut, self.low, np.maximum(self.high, self.low)), CODE_HIGH)


def gaps_of(use: TreeUse, X: npt.NDArray[np.float32], codes: npt.NDArray[np.int16], node: Quantize) -> Gaps:
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
    return Gaps(low, high, natural, np.minimum(near_low, kept), np.maximum(near_high, kept))


def float_gaps(use: TreeUse, X: npt.NDArray[np.float32]) -> SplitGaps:
    """Return the gaps of a table's splits among the values of rows without missing ones."""
    table = use.table
    low, high = (np.full(len(use.feature), bound, np.float32) for bound in (-np.inf, np.inf))
    for block in row_blocks(len(X), len(table.root)):
        x = X[block]

        def visit(
            rows: npt.NDArray[np.intp],
            nodes: npt.NDArray[np.intp],
            left: npt.NDArray[np.bool_],
            x: npt.NDArray[np.float32] = x,
        ) -> None:
            value = x[rows, use.feature[nodes]]
            np.maximum.at(low, nodes[left], value[left])
            np.minimum.at(high, nodes[~left], value[~left])

        leaves_of_rows(table, x[:, _columns_read(use)] if len(use.feature) else x, visit)
    threshold, is_strict = use.floored_thresholds(), use.side == "lt"
    near_low, near_high = np.empty_like(low), np.empty_like(high)
    for feature in np.unique(use.feature):
        mine = np.flatnonzero(use.feature == feature)
        values = np.unique(X[:, feature])
        place = np.searchsorted(values, threshold[mine], side="left" if is_strict else "right")
        near_low[mine] = np.append(np.float32(-np.inf), values)[place]
        near_high[mine] = np.append(values, np.float32(np.inf))[place]
    return SplitGaps(threshold, low, high, near_low, near_high)


def _natural_cuts(
    use: TreeUse, X: npt.NDArray[np.float32], codes: npt.NDArray[np.int16], node: Quantize
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the cut of each split from its threshold and from all values of its feature, whatever node they reach.

    A threshold often equals a possible value, on a grid of measurements. Then the code of the threshold says little,
    and the nearest values on either side decide, unless they share a code. Their codes come second and third.
    """
    threshold = use.floored_thresholds()
    step = affine_step(threshold, node.offset[use.feature], node.scale[use.feature], np.float32(CODE_STEPS))
    own = step.astype(np.int64) + CODE_LOW
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
