"""The balanced layout: trees in 3 to 4 bytes a split, and walked in some ten instructions a split.

A split is its column, the cut, the number of bytes of its left child, and both children; a leaf is a byte above all
columns: its stored number, or that number's place in a palette. Where bytes are left, those above all leaves are splits
of two leaves: the byte, the cut, and the leaves; of trees with two values, two bytes for each column, and no leaves.
Before a split whose left child has more than 255 bytes comes the number of columns; its skip has two bytes.
"""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np
import numpy.typing as npt

from ensemble_1d.export.c99_text import array, byte_at, entry
from ensemble_1d.export.tree_leaves import SharedLeaves, SingleLeaves
from ensemble_1d.export.tree_sets import TreeSet, Walk, encoded_trees, sums_of_trees
from ensemble_1d.ir import smallest_dtype
from ensemble_1d.ir.nodes_integer import INDEX

_U8 = 255
_U16 = 65535


@dataclass(frozen=True, slots=True, eq=False)
class _FirstBytes:
    """What the first byte of a child says.

    Attributes:
        has_far: Whether the byte after those of columns announces two bytes of skip.
        leaf: The first byte of the first leaf.
        pair: The byte of a split of two leaves on column 0; 0 where there is no byte for each column.
        has_bits: Whether a pair has no leaves: 0 and 1, or on the columns after these 1 and 0.
        text: From the child of a split, a leaf, and that split to the leaf's bytes.
        stored: What each byte from `leaf` on stands for; empty where it stands for itself, or for shares.
    """

    has_far: bool
    leaf: int
    pair: int
    has_bits: bool
    text: Callable[[int, int], bytes]
    stored: npt.NDArray[np.int64]


def balanced_layout(trees: TreeSet, label: str) -> list[str] | None:
    """Return the tables and the functions of trees in the balanced layout, or None where it has no room for them.

    Args:
        trees: The trees, on codes of one byte.
        label: Name of the function, and prefix of the tables.

    Returns:
        C definitions in order; None for trees of more than 65535 bytes, and where columns and leaves are more than a
        byte tells apart.
    """
    for has_far in (False, True):
        first = _first_bytes(trees, has_far=has_far)
        if first is None:
            return None
        strings = encoded_trees(trees, partial(_node, trees, first))
        if max(map(len, strings)) <= (_U16 if has_far else _U8):
            return _definitions(trees, label, strings, first)
    return None


def _definitions(trees: TreeSet, label: str, strings: list[bytes], first: _FirstBytes) -> list[str]:
    """Return the C definitions."""
    size = smallest_dtype(np.array([len(string) for string in strings]), INDEX)
    tables = [array(f"{label}_size", size), array(f"{label}_data", np.frombuffer(b"".join(strings), np.uint8))]
    leaf = "p" if isinstance(trees.leaves, SharedLeaves) else f"h - {first.leaf}"
    if len(first.stored):
        values = smallest_dtype(first.stored, INDEX)
        tables.append(array(f"{label}_palette", values))
        leaf = entry(f"{label}_palette", values, leaf)
    begin = f"const uint8_t *p = next;\nuint_fast8_t h;\nnext += {entry(f'{label}_size', size, 'tree')};"
    walk = Walk(f"const uint8_t *next = {label}_data;", f"{begin}\n{_steps(trees, first)}", leaf, first.leaf)
    return [*tables, *sums_of_trees(trees, label, walk)]


def _first_bytes(trees: TreeSet, *, has_far: bool) -> _FirstBytes | None:
    """Return what first bytes say, or None where there are not enough of them."""
    leaves, leaf = trees.leaves, trees.n_columns + has_far
    stored = np.empty(0, np.int64)
    if isinstance(leaves, SharedLeaves):
        texts = leaves.texts(leaf)
        if texts is None:
            return None
        text = partial(_listed, texts)
        n_leaves = max(each[0] for each in texts) - leaf + 1
    else:
        sides = [(child, node) for side in (trees.table.left, trees.table.right) for node, child in enumerate(side)]
        found = np.unique([leaves.stored(int(child), node) for child, node in sides if child < 0])
        is_even = leaf + leaves.largest <= _U8 and 2 * len(found) > leaves.largest
        stored = stored if is_even else found
        text = partial(_byte, leaves, stored, leaf)
        n_leaves = leaves.largest + 1 if is_even else len(found)
    if leaf + n_leaves - 1 > _U8:
        return None
    has_bits = trees.has_bits
    pair = leaf + n_leaves
    if pair + (2 if has_bits else 1) * trees.n_columns - 1 > _U8:
        pair = 0
    return _FirstBytes(has_far, leaf, pair, has_bits, text, stored)


def _listed(texts: list[bytes], child: int, node: int) -> bytes:
    """Return the bytes of a leaf from a list of all."""
    del node
    return texts[~child]


def _byte(leaves: SingleLeaves, palette: npt.NDArray[np.int64], first: int, child: int, node: int) -> bytes:
    """Return the byte of a leaf: its stored number, or the place of that in the palette if there is one."""
    stored = leaves.stored(child, node)
    return bytes([first + (int(np.searchsorted(palette, stored)) if len(palette) else stored)])


def _node(trees: TreeSet, first: _FirstBytes, node: int, children: list[bytes | None]) -> bytes:
    """Return the bytes of one split; a child that is None is a leaf."""
    refs = (int(trees.table.left[node]), int(trees.table.right[node]))
    left, right = (first.text(ref, node) if child is None else child for ref, child in zip(refs, children, strict=True))
    column, cut = int(trees.column[node]), bytes([int(trees.cut[node])])
    if first.pair and children == [None, None]:
        if first.has_bits:
            return bytes([first.pair + column + trees.n_columns * trees.stored(refs[0], node)]) + cut
        return bytes([first.pair + column]) + cut + left + right
    if len(left) <= _U8:
        return bytes([column]) + cut + bytes([len(left)]) + left + right
    # A longer skip than two bytes hold is in a tree that is too long in the end.
    return bytes([min(trees.n_columns, _U8), column]) + cut + (len(left) & _U16).to_bytes(2, "little") + left + right


def _steps(trees: TreeSet, first: _FirstBytes) -> str:
    """Return the statements from the root at p to a leaf, whose first byte is h."""
    near = f"""\
while ((h = {byte_at("p")}) < {trees.n_columns}) {{
    if ({trees.codes}[h] > {byte_at("p", 1)}) {{
        p += {byte_at("p", 2)};
    }}
    p += 3;
}}"""
    if first.has_far:
        near = f"""\
for (;;) {{
{textwrap.indent(near, "    ")}
    if (h != {trees.n_columns}) {{
        break;
    }}
    if ({trees.codes}[{byte_at("p", 1)}] > {byte_at("p", 2)}) {{
        p += (uint16_t)({byte_at("p", 3)} | {byte_at("p", 4)} << 8);
    }}
    p += 5;
}}"""
    return f"{near}\n{_pair(trees, first)}" if first.pair else near


def _pair(trees: TreeSet, first: _FirstBytes) -> str:
    """Return the statements that choose between the leaves of a pair."""
    if first.has_bits:
        other = first.pair + trees.n_columns
        column = f"h - {first.pair}"
        is_right = f"{trees.codes}[{column}] > {byte_at('p', 1)}"
        is_left = f"{trees.codes}[h - {other}] <= {byte_at('p', 1)}"
        return f"""\
if (h >= {other}) {{
    h = {first.leaf} + ({is_left});
}} else if (h >= {first.pair}) {{
    h = {first.leaf} + ({is_right});
}}"""
    size = (
        f"{byte_at('p')} < {first.leaf + trees.leaves.n_classes} ? 1 : 2"
        if isinstance(trees.leaves, SharedLeaves)
        else "1"
    )
    end = "" if isinstance(trees.leaves, SharedLeaves) else f"\n    h = {byte_at('p')};"
    return f"""\
if (h >= {first.pair}) {{
    const uint_fast8_t cut = {byte_at("p", 1)};
    p += 2;
    if ({trees.codes}[h - {first.pair}] > cut) {{
        p += {size};
    }}{end}
}}"""
