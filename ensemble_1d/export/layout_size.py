"""The size layout: trees as one string of bytes, 2.3 to 3.4 for each split, its leaves among them.

A split is a header, the cut, and what follows. The header holds the column, and two bits that say which children are
leaves; after the cut comes `skip left right`, where skip is the number of bytes of the left child; or a leaf and the
other child; or two leaves. Where every leaf is one of two values, the header has a third bit, that of its right leaf or
the inverse of its left one, and no leaf takes a byte. The largest column that a header can hold is none: the column
follows it in bytes of its own, and skip has two bytes. It serves rare columns, and left children of over 255 bytes.
"""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import numpy as np

from ensemble_1d.export.c99_text import array, byte_at, entry
from ensemble_1d.export.tree_leaves import SharedLeaves
from ensemble_1d.export.tree_sets import TreeSet, Walk, encoded_trees, sums_of_trees
from ensemble_1d.ir import smallest_dtype
from ensemble_1d.ir.nodes_integer import INDEX

_LEFT_LEAF, _RIGHT_LEAF, _VALUE = 0x80, 0x40, 0x20
_U16 = 65535


@dataclass(frozen=True, slots=True)
class _Format:
    """How splits are written.

    Attributes:
        has_bits: Whether leaves are bits of the header.
        long_column: Bytes of a column that does not fit in a header, 1 or 2.
    """

    has_bits: bool
    long_column: int

    @property
    def escape(self) -> int:
        """The column of a header that is none."""
        return 31 if self.has_bits else 63


def size_layout(trees: TreeSet, label: str) -> list[str] | None:
    """Return the tables and the functions of trees in the size layout, or None where it has no room for them.

    Args:
        trees: The trees, on codes of one byte.
        label: Name of the function, and prefix of the tables.

    Returns:
        C definitions in order; None for trees of more than 65535 bytes, and for too many lists of shares.
    """
    form = _Format(trees.has_bits, 1 if trees.n_columns <= 256 else 2)
    leaf = _leaf_text(trees, form)
    if leaf is None:
        return None
    strings = encoded_trees(trees, partial(_node, trees, form, leaf))
    sizes = np.array([len(string) for string in strings])
    if sizes.max() > _U16:
        return None
    size = smallest_dtype(sizes, INDEX)
    has_long = trees.n_columns > form.escape or int(sizes.max()) > 255
    begin = f"const uint8_t *p = next;\nuint_fast8_t h;\nnext += {entry(f'{label}_size', size, 'tree')};"
    step = textwrap.indent(_step(trees, form, has_long=has_long), "    ")
    tables = [array(f"{label}_size", size), array(f"{label}_data", np.frombuffer(b"".join(strings), np.uint8))]
    walk = Walk(f"const uint8_t *next = {label}_data;", f"{begin}\nfor (;;) {{\n{step}\n}}", _leaf_value(trees, form))
    return [*tables, *sums_of_trees(trees, label, walk)]


def _leaf_text(trees: TreeSet, form: _Format) -> Callable[[int, int], bytes] | None:
    """Return the function from the child of a split, a leaf, and that split to the leaf's bytes."""
    leaves = trees.leaves
    if isinstance(leaves, SharedLeaves):
        texts = leaves.texts()
        return None if texts is None else lambda child, _: texts[~child]
    n_bytes = 0 if form.has_bits else 1 if leaves.largest < 256 else 2
    return lambda child, node: leaves.stored(child, node).to_bytes(n_bytes, "little") if n_bytes else b""


def _node(
    trees: TreeSet, form: _Format, leaf: Callable[[int, int], bytes], node: int, children: list[bytes | None]
) -> bytes:
    """Return the bytes of one split; a child that is None is a leaf."""
    refs = (int(trees.table.left[node]), int(trees.table.right[node]))
    left, right = (leaf(ref, node) if child is None else child for ref, child in zip(refs, children, strict=True))
    flags = _LEFT_LEAF * (refs[0] < 0) | _RIGHT_LEAF * (refs[1] < 0)
    has_skip = not flags
    if form.has_bits and flags:
        flags |= _VALUE * (trees.stored(refs[1], node) if refs[1] < 0 else 1 - trees.stored(refs[0], node))
    column, cut = int(trees.column[node]), bytes([int(trees.cut[node])])
    is_long = column >= form.escape or (has_skip and len(left) > 255)
    head = (
        bytes([flags | form.escape]) + column.to_bytes(form.long_column, "big") if is_long else bytes([flags | column])
    )
    # A longer skip than two bytes hold is in a tree that is too long in the end.
    skip = (len(left) & _U16).to_bytes(2 if is_long else 1, "little") if has_skip else b""
    # A lone right leaf lies before the left child.
    rest = right + left if flags & (_LEFT_LEAF | _RIGHT_LEAF) == _RIGHT_LEAF else left + right
    return head + cut + skip + rest


def _step(trees: TreeSet, form: _Format, *, has_long: bool) -> str:
    """Return the statements that take the walk at p from one split to the next, and break for a leaf.

    At the break h is the header whose value bit is the leaf's, or p the place of the leaf.
    """
    escape = form.escape
    lines = [
        f"while ((h = {byte_at('p')}) < {escape}) {{",
        f"    if ({trees.codes}[h] > {byte_at('p', 1)}) {{\n        p += {byte_at('p', 2)};\n    }}\n    p += 3;",
        "}",
    ]
    column, skip = f"h & {escape}", ""
    if has_long:
        kind = "uint_fast8_t" if form.long_column == 1 else "uint_fast16_t"
        lines.append(f"column = h & {escape};")
        lines.insert(0, f"{kind} column;")
        lines.append(f"if (column == {escape}) {{\n{textwrap.indent(_long_column(form), '    ')}\n}}")
        column = "column"
        distance = f"(uint16_t)({byte_at('p', 2)} | {byte_at('p', 3)} << 8)"
        skip = f"if (h == {escape}) {{\n    p += {distance};\n}}"
    is_left, is_right = "h & 128", "h & 64"
    found = "break;" if form.has_bits else "p += 2;\n    break;"
    left_found = "h = (uint_fast8_t)~h;\n    break;" if form.has_bits else found
    size = "" if form.has_bits else _leaf_size(trees)
    # A right leaf lies after a left one, and before a left child.
    before_right = f"if ({is_left}) {{\n    p += {size};\n}}" if size else ""
    before_left = f"if ({is_right}) {{\n    p += {size};\n}}" if size else ""
    if size and not has_long:
        before_left = f"p += {size};"
    right = "\n".join(part for part in (before_right, f"if ({is_right}) {{\n    {found}\n}}", skip) if part)
    left = "\n".join(part for part in (f"if ({is_left}) {{\n    {left_found}\n}}", before_left) if part)
    lines.append(f"if ({trees.codes}[{column}] > {byte_at('p', 1)}) {{")
    lines += [textwrap.indent(right, "    "), "} else {", textwrap.indent(left, "    "), "}", "p += 2;"]
    if has_long:
        lines.append(f"if (h == {escape}) {{\n    p += 2;\n}}")
    return "\n".join(lines)


def _long_column(form: _Format) -> str:
    """Return the statements that read the column after an escape, and leave p a byte before the cut."""
    if form.long_column == 1:
        return f"p++;\ncolumn = {byte_at('p')};"
    return f"p += 2;\ncolumn = (uint_fast16_t)(E1D_READ_8(p - 1) << 8 | {byte_at('p')});"


def _leaf_size(trees: TreeSet) -> str:
    """Return the expression for the number of bytes of the leaf after the cut."""
    if isinstance(trees.leaves, SharedLeaves):
        return f"{byte_at('p', 2)} < {trees.leaves.n_classes} ? 1 : 2"
    return "1" if trees.leaves.largest < 256 else "2"


def _leaf_value(trees: TreeSet, form: _Format) -> str:
    """Return the expression of the number that the walk has found; of shares the place of their first byte."""
    if isinstance(trees.leaves, SharedLeaves):
        return "p"
    if form.has_bits:
        return "(h >> 5) & 1"
    # An int may have 16 bits: without the cast, the sign of a large leaf would spread.
    return byte_at("p") if trees.leaves.largest < 256 else f"(uint16_t)({byte_at('p')} | {byte_at('p', 1)} << 8)"
