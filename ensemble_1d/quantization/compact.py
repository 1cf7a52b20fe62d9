"""compact_codes: one byte a feature for the trees of a program, wherever their splits allow it."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import CODE_HIGH, MISSING_CODE, Quantize, Requantize, Select
from ensemble_1d.ir.fixed_point import NARROW_HIGH
from ensemble_1d.quantization.cuts import Gaps, TreeUse, float_gaps
from ensemble_1d.quantization.narrow import (
    CodeScale,
    FloatScale,
    NarrowColumn,
    SplitGaps,
    narrow_columns,
)

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class CompactCodes:
    """Codes of one byte for all trees of a program.

    Attributes:
        node: The input quantizer.
        maker: What makes tree codes of the input codes, where a network reads some of these too; else empty, and trees
            read the input codes.
        column: The column that each split of all tables reads, of shape (n_splits,), int64.
        cut: The largest code that goes left at each of them, of shape (n_splits,), int64.
    """

    node: Quantize
    maker: tuple[Select, Requantize] | tuple[()]
    column: Integers
    cut: Integers


def compact_codes(
    X: npt.NDArray[np.float32],
    tables: Sequence[TreeUse],
    affine: Quantize,
    gaps: Sequence[Gaps],
    network_features: Integers,
) -> CompactCodes | None:
    """Return codes of one byte on which all calibration rows part as before.

    Args:
        X: Calibration rows without missing values, of shape (n_samples, n_features), float32.
        tables: The tree tables; at least one split.
        affine: The input quantizer of one wide affine column a feature.
        gaps: The gaps of each table's splits on its codes.
        network_features: Features that a network reads: these keep their wide column, of which tree codes are made.

    Returns:
        The codes, or None where some feature needs finer ones.
    """
    feature = np.concatenate([use.feature for use in tables])
    is_shared = np.isin(feature, network_features)
    of_codes = _joined([_as_splits(each) for each in gaps])
    of_values = of_codes if is_shared.all() else _joined([float_gaps(use, X) for use in tables])
    found: dict[int, list[NarrowColumn]] = {}
    for each in np.unique(feature).tolist():
        mine = np.flatnonzero(feature == each)
        if is_shared[mine[0]]:
            columns = narrow_columns(of_codes.take(mine), CodeScale.of)
        else:
            columns = narrow_columns(of_values.take(mine), FloatScale.of)
        if columns is None:
            return None
        found[each] = [replace(column, splits=mine[column.splits]) for column in columns]
    if not is_shared.any():
        return _read_directly(affine, found, len(feature))
    return _made_of_codes(affine, found, len(feature))


def _joined(gaps: Sequence[SplitGaps]) -> SplitGaps:
    """Return the gaps of all tables."""
    return SplitGaps(*(np.concatenate([getattr(gap, field.name) for gap in gaps]) for field in fields(SplitGaps)))


def _as_splits(gaps: Gaps) -> SplitGaps:
    """Return gaps between input codes as gaps between values; thresholds lie between two codes."""
    low, high = gaps.low.astype(np.float32), (gaps.high + 1).astype(np.float32)
    return SplitGaps(
        threshold=(gaps.natural + 0.5).astype(np.float32),
        low=np.where(low <= MISSING_CODE, np.float32(-np.inf), low),
        high=np.where(high > CODE_HIGH, np.float32(np.inf), high),
        near_low=gaps.near_low.astype(np.float32),
        near_high=(gaps.near_high + 1).astype(np.float32),
    )


def _read_directly(affine: Quantize, found: dict[int, list[NarrowColumn]], n_splits: int) -> CompactCodes:
    """Return input codes that are narrow: the first column of a feature in its own place, the others at the end."""
    column, cut = np.zeros((2, n_splits), np.int64)
    further = [(each, narrow) for each, columns in found.items() for narrow in columns[1:]]
    places = [(each, columns[0]) for each, columns in found.items()]
    places += [(affine.n_columns + i, narrow) for i, (_, narrow) in enumerate(further)]
    node = _with_further(affine, [each for each, _ in further])
    offset, scale, is_narrow = node.offset.copy(), node.scale.copy(), node.narrow.copy()
    for place, narrow in places:
        column[narrow.splits], cut[narrow.splits] = place, narrow.cut
        if isinstance(narrow.scale, FloatScale):
            offset[place], scale[place], is_narrow[place] = narrow.scale.offset, narrow.scale.scale, True
    return CompactCodes(replace(node, offset=offset, scale=scale, narrow=is_narrow), (), column, cut)


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """What one column of tree codes is made of, and the splits that read it.

    Attributes:
        place: The input code column.
        multiplier: As in Requantize.
        shift: Its shift_out.
        offset: As in Requantize.
        splits: The positions of the splits.
        cut: Their cuts.
    """

    place: int
    multiplier: int
    shift: int
    offset: int
    splits: Integers
    cut: Integers


def _with_further(affine: Quantize, features: Sequence[int]) -> Quantize:
    """Return the quantizer with further columns, still empty, for some features."""
    more = len(features)
    return replace(
        affine,
        feature=np.append(affine.feature, np.array(features, np.int32)),
        offset=np.append(affine.offset, np.zeros(more, np.float32)),
        scale=np.append(affine.scale, np.zeros(more, np.float32)),
        start=np.append(affine.start, np.full(more, affine.start[-1])),
        strict=np.append(affine.strict, np.zeros(more, np.bool_)),
        narrow=np.append(affine.narrow, np.zeros(more, np.bool_)),
    )


def _made_of_codes(affine: Quantize, found: dict[int, list[NarrowColumn]], n_splits: int) -> CompactCodes:
    """Return narrow columns where trees alone read a feature, and what makes tree codes of all columns they read."""
    own = {each: columns for each, columns in found.items() if isinstance(columns[0].scale, FloatScale)}
    direct = _read_directly(affine, own, n_splits)
    sources: list[_Source] = []
    for place in np.flatnonzero(direct.node.narrow).tolist():
        splits = np.concatenate(
            [c.splits for columns in own.values() for c in columns if direct.column[c.splits[0]] == place]
        )
        sources.append(_Source(place, 1, 0, 0, splits, direct.cut[splits]))
    for each, columns in found.items():
        for narrow in columns:
            if isinstance(narrow.scale, CodeScale):
                scale = narrow.scale
                sources.append(_Source(each, scale.multiplier, scale.shift, scale.offset, narrow.splits, narrow.cut))
    # Columns that many splits read come first: the first ones have the shortest headers.
    sources.sort(key=lambda source: -len(source.splits))
    column, cut = np.zeros((2, n_splits), np.int64)
    for i, source in enumerate(sources):
        column[source.splits], cut[source.splits] = i, source.cut
    requantize = Requantize(
        shift_in=np.zeros(len(sources), np.uint8),
        multiplier=np.array([source.multiplier for source in sources], np.int32),
        shift_out=np.array([source.shift for source in sources], np.uint8),
        offset=np.array([source.offset for source in sources], np.int32),
        low=0,
        high=NARROW_HIGH,
    )
    select = Select(column=np.array([source.place for source in sources], np.int32))
    return CompactCodes(direct.node, (select, requantize), column, cut)
