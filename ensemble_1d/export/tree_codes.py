"""Tree codes: the uint8 codes that trees compare on a device, made of the int16 input codes without loss."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import IntegerTreeTable

_LEVELS = 255
"""Largest tree code, and most cuts that one column of them can tell apart."""
_COARSEST = 8
"""Logarithm of the coarsest grid's step: 256 of these are all codes there are."""
NARROW_COLUMNS = 64
"""Most columns that a split header of one byte tells apart."""
_SHIFTED_BYTES = 4
"""Source, shift and base of a shifted column ..."""
_RANKED_BYTES = 2
"""... and each cut of a ranked one."""

Grid = tuple[int, npt.NDArray[np.int64]]
"""A shift, and the positions of the cuts that lie on its grid, ascending."""


@dataclass(frozen=True, slots=True, eq=False)
class CodeColumn:
    """One column of tree codes.

    Attributes:
        source: The input code column it is made of.
        shift: With no `cuts`, the code is `(x >> shift) - base`, saturated to 0..255.
        base: See `shift`.
        cuts: Ascending int16 numbers, at most 255: the code is how many of them x exceeds. Empty for a shifted column.
    """

    source: int
    shift: int
    base: int
    cuts: npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class TreeCodes:
    """The tree codes of one table, and its splits on them.

    Attributes:
        columns: The columns of tree codes.
        column: The column that each split reads, of shape (n_nodes,), int64.
        cut: The largest tree code that goes left at each split, of shape (n_nodes,), int64, 0..254.
    """

    columns: tuple[CodeColumn, ...]
    column: npt.NDArray[np.int64]
    cut: npt.NDArray[np.int64]


def tree_codes(table: IntegerTreeTable) -> TreeCodes:
    """Return uint8 codes on which the splits of `table` decide as they do on the int16 codes, for every input.

    Where all cuts of an input column lie on a grid of powers of two, the code is a shift and a subtraction; where they
    do not, it is a rank among the cuts, and as many columns as 255 cuts each take.

    Args:
        table: The trees.

    Returns:
        The codes.
    """
    columns: list[CodeColumn] = []
    column = np.zeros(len(table.column), np.int64)
    cut = np.zeros(len(table.column), np.int64)
    for source, (distinct, grids) in _chosen_grids(table).items():
        mine = np.flatnonzero(table.column == source)
        rank = np.searchsorted(distinct, table.cut[mine])
        for shift, held in grids:
            base = int((distinct[held[0]] + 1) >> shift) - 1
            chosen = np.isin(rank, held)
            column[mine[chosen]] = len(columns)
            cut[mine[chosen]] = ((distinct[rank[chosen]] + 1) >> shift) - 1 - base
            columns.append(CodeColumn(source, shift, base, np.empty(0, np.int64)))
        for first in range(0, 0 if grids else len(distinct), _LEVELS):
            chosen = (rank >= first) & (rank < first + _LEVELS)
            column[mine[chosen]], cut[mine[chosen]] = len(columns), rank[chosen] - first
            columns.append(CodeColumn(source, 0, 0, distinct[first : first + _LEVELS]))
    # Shifted columns first, so that one loop makes them all.
    order = sorted(range(len(columns)), key=lambda i: len(columns[i].cuts) > 0)
    return TreeCodes(tuple(columns[i] for i in order), np.argsort(order)[column], cut)


def _chosen_grids(table: IntegerTreeTable) -> dict[int, tuple[npt.NDArray[np.int64], list[Grid]]]:
    """Return, for each input column that splits read, its distinct cuts and their grids; none where ranks are better.

    Ranks are better where they take fewer bytes, and where the columns they save make room for headers of one byte.
    """
    found = {}
    for source in np.unique(table.column).tolist():
        distinct = np.unique(table.cut[table.column == source].astype(np.int64))
        grids = _grids(distinct)
        is_smaller = len(grids) * _SHIFTED_BYTES <= len(distinct) * _RANKED_BYTES
        found[source] = (distinct, grids if is_smaller else [])

    def n_columns(source: int) -> int:
        distinct, grids = found[source]
        return len(grids) or -(-len(distinct) // _LEVELS)

    for source in sorted(found, key=n_columns, reverse=True):
        if sum(map(n_columns, found)) > NARROW_COLUMNS and n_columns(source) > 1:
            found[source] = (found[source][0], [])
    return found


def _grids(cuts: npt.NDArray[np.int64]) -> list[Grid]:
    """Return grids of up to 255 steps on which all cuts lie; each takes as many of those left as one can.

    Args:
        cuts: Ascending, of shape (n_cuts,).

    Returns:
        The grids.
    """
    found: list[Grid] = []
    todo = [np.arange(len(cuts))]
    while todo:
        part = todo.pop()
        best = np.empty(0, np.int64)
        best_shift = 0
        for shift in range(_COARSEST + 1):
            on_grid = part[((cuts[part] + 1) & ((1 << shift) - 1)) == 0]
            fits = len(on_grid) > 0 and (cuts[on_grid[-1]] - cuts[on_grid[0]]) >> shift < _LEVELS
            if fits and len(on_grid) > len(best):
                best, best_shift = on_grid, shift
        if len(best):
            found.append((best_shift, best))
            part = np.setdiff1d(part, best)
            todo += [part] if len(part) else []
        else:
            todo += np.array_split(part, 2)
    return found
