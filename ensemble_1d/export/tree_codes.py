"""Tree codes: the codes of one byte that all trees of a program compare, made of the input codes without loss."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import IntegerTreeTable, Requantize, Select
from ensemble_1d.ir.fixed_point import NARROW_HIGH

_LEVELS = 255
"""Largest tree code, and most cuts that one column of them can tell apart."""
_COARSEST = 8
"""Logarithm of the coarsest grid's step: 256 of these are all codes there are."""
_FEW_COLUMNS = 63
"""Most columns that a split header of one byte tells apart."""
_SHIFTED_BYTES = 4
"""Source, shift and base of a shifted column ..."""
_RANKED_BYTES = 2
"""... and each cut of a ranked one."""

Integers = npt.NDArray[np.int64]
Grid = tuple[int, Integers]
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
    cuts: Integers


@dataclass(frozen=True, slots=True, eq=False)
class TreeCodes:
    """The codes that the splits of some tables compare.

    Attributes:
        columns: The columns of tree codes; empty where the codes that splits read are bytes already.
        maker: The nodes of the program that make these bytes of the input codes; empty where none do.
        n_columns: How many columns splits may read: tree codes, or input codes.
        column: For each table, the column that each split reads, of shape (n_nodes,), int64.
        cut: For each table, the largest code that goes left at each split, of shape (n_nodes,), int64, 0..254.
    """

    columns: tuple[CodeColumn, ...]
    maker: tuple[Select, Requantize] | tuple[()]
    n_columns: int
    column: tuple[Integers, ...]
    cut: tuple[Integers, ...]


def tree_codes(
    tables: Sequence[IntegerTreeTable],
    narrow: npt.NDArray[np.bool_],
    maker: tuple[Select, Requantize] | tuple[()] = (),
) -> TreeCodes:
    """Return codes of one byte on which the splits decide as they do on the input codes, for every input.

    Where all splits read narrow columns, these serve as they are. Else, where all cuts of an input column lie on a grid
    of powers of two, the code is a shift and a subtraction; where they do not, it is a rank among the cuts, and as many
    columns as 255 cuts each take.

    Args:
        tables: Trees that read the input codes, or what `maker` makes of them.
        narrow: Which of the columns that they read hold bytes, of shape (n_columns,).
        maker: Nodes between the input codes and the trees that make only bytes.

    Returns:
        The codes.
    """
    column = np.concatenate([table.column.astype(np.int64) for table in tables])
    cut = np.concatenate([table.cut.astype(np.int64) for table in tables])
    ends = np.cumsum([len(table.cut) for table in tables])[:-1]
    columns: tuple[CodeColumn, ...] = ()
    n_columns = len(narrow)
    # A cut that no byte is above would be a comparison that compilers warn of.
    if not (narrow[column].all() and ((cut >= 0) & (cut < NARROW_HIGH)).all()):
        columns, column, cut = _made_of(column, cut)
        n_columns = len(columns)
    return TreeCodes(columns, maker, n_columns, tuple(np.split(column, ends)), tuple(np.split(cut, ends)))


def _made_of(source_of: Integers, cut_of: Integers) -> tuple[tuple[CodeColumn, ...], Integers, Integers]:
    """Return the columns of tree codes, and the column and the cut of each split on them."""
    columns: list[CodeColumn] = []
    column, cut = np.zeros_like(source_of), np.zeros_like(cut_of)
    for source, (distinct, grids) in _chosen_grids(source_of, cut_of).items():
        mine = np.flatnonzero(source_of == source)
        rank = np.searchsorted(distinct, cut_of[mine])
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
    return tuple(columns[i] for i in order), np.argsort(order)[column], cut


def _chosen_grids(column: Integers, cut: Integers) -> dict[int, tuple[Integers, list[Grid]]]:
    """Return, for each input column that splits read, its distinct cuts and their grids; none where ranks are better.

    Ranks are better where they take fewer bytes, and where the columns they save make room for headers of one byte.
    """
    found = {}
    for source in np.unique(column).tolist():
        distinct = np.unique(cut[column == source])
        grids = _grids(distinct)
        is_smaller = len(grids) * _SHIFTED_BYTES <= len(distinct) * _RANKED_BYTES
        found[source] = (distinct, grids if is_smaller else [])

    def n_columns(source: int) -> int:
        distinct, grids = found[source]
        return len(grids) or -(-len(distinct) // _LEVELS)

    for source in sorted(found, key=n_columns, reverse=True):
        if sum(map(n_columns, found)) > _FEW_COLUMNS and n_columns(source) > 1:
            found[source] = (found[source][0], [])
    return found


def _grids(cuts: Integers) -> list[Grid]:
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
