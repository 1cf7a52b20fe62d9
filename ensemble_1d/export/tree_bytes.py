"""The size layout: a forest as one string of bytes, about 3.4 for each split, its leaves among them."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.export.tree_codes import NARROW_COLUMNS, CodeColumn, tree_codes
from ensemble_1d.ir import IntegerTreeTable

_LEFT_LEAF, _RIGHT_LEAF = 0x80, 0x40
_MOST_PURE = 128
_U16 = 65535


@dataclass(frozen=True, slots=True, eq=False)
class TreeBytes:
    """A table of trees in bytes.

    A split is a header (two bits that say which children are leaves, and the column of tree codes), the cut, and what
    follows: both leaves; or one leaf, then the other child; or the number of bytes of the left child, then both. That
    number is one byte, or a zero and two bytes. A leaf of one value has `leaf_bytes` bytes, low byte first. A leaf of
    several is one byte, the class that takes all of `total`; or two, which less `n_classes` in the first are the place
    of a list in `mixtures`: pairs of class and share until the shares add up to `total`.

    Attributes:
        columns: The columns of tree codes that splits read.
        wide: Whether a header has two bytes, the high one first: more than 64 columns.
        data: All trees, one after another.
        sizes: Bytes of each tree.
        trees_of: Number of trees of each output, in order; one entry for leaves of several values.
        leaf_bytes: Bytes of a leaf of one value, 1 or 2.
        leaf_zero: What a leaf of one value is stored above its value, so that none is negative.
        mixtures: The lists of leaves of several values; empty for leaves of one.
        n_classes: Number of values in a leaf of several, else 0.
        total: Sum of the values in a leaf of several.
    """

    columns: tuple[CodeColumn, ...]
    wide: bool
    data: npt.NDArray[np.uint8]
    sizes: npt.NDArray[np.int64]
    trees_of: npt.NDArray[np.int64]
    leaf_bytes: int
    leaf_zero: int
    mixtures: npt.NDArray[np.uint8]
    n_classes: int
    total: int


def tree_bytes(table: IntegerTreeTable) -> TreeBytes | None:
    """Return the bytes of a table of trees, or None where this layout has no room for it.

    Args:
        table: The trees.

    Returns:
        The bytes; None for missing values, for trees of more than 65535 bytes, and for leaves of several values that
        are no shares of one total of 8 bits over at most 128 classes.
    """
    if len(table.default_left) or not len(table.column):
        return None
    leaves = _single_leaves(table) if table.value.shape[1] == 1 else _mixed_leaves(table)
    if leaves is None:
        return None
    texts, mixtures, total = leaves
    codes = tree_codes(table)
    wide = len(codes.columns) > NARROW_COLUMNS
    order = np.argsort(table.output, kind="stable")
    trees = [_tree(table, int(root), codes.column, codes.cut, texts, wide=wide) for root in table.root[order]]
    if any(tree is None or len(tree) > _U16 for tree in trees):
        return None
    strings = [tree for tree in trees if tree is not None]
    is_single = table.value.shape[1] == 1
    return TreeBytes(
        columns=codes.columns,
        wide=wide,
        data=np.frombuffer(b"".join(strings), np.uint8),
        sizes=np.array([len(tree) for tree in strings]),
        trees_of=np.bincount(table.output, minlength=table.n_outputs) if is_single else np.array([len(strings)]),
        leaf_bytes=table.value.dtype.itemsize,
        leaf_zero=_zero(table.value.dtype),
        mixtures=mixtures,
        n_classes=0 if is_single else table.value.shape[1],
        total=total,
    )


def _single_leaves(table: IntegerTreeTable) -> tuple[list[bytes], npt.NDArray[np.uint8], int]:
    """Return the bytes of each leaf of one value."""
    stored = table.value[:, 0].astype(np.int64) + _zero(table.value.dtype)
    n_bytes = table.value.dtype.itemsize
    return [value.to_bytes(n_bytes, "little") for value in stored.tolist()], np.empty(0, np.uint8), 0


def _zero(dtype: "np.dtype[Any]") -> int:
    """Return the stored number of the value zero."""
    return -int(np.iinfo(dtype).min)


def _mixed_leaves(table: IntegerTreeTable) -> tuple[list[bytes], npt.NDArray[np.uint8], int] | None:
    """Return the bytes of each leaf of several values, and the lists they name."""
    values = table.value.astype(np.int64)
    n_classes = values.shape[1]
    total = int(values[0].sum())
    suits = table.value.dtype == np.uint8 and bool((values.sum(axis=1) == total).all()) and 0 < total < 256
    if not suits or n_classes != table.n_outputs or n_classes > _MOST_PURE:
        return None
    texts: list[bytes] = []
    lists = b""
    for value in values:
        held = np.flatnonzero(value)
        if len(held) == 1:
            texts.append(bytes([int(held[0])]))
            continue
        high, low = divmod(len(lists), 256)
        if n_classes + high > 255:
            return None
        texts.append(bytes([n_classes + high, low]))
        lists += bytes(np.column_stack([held, value[held]]).astype(np.uint8).ravel())
    return texts, np.frombuffer(lists, np.uint8), total


def _tree(
    table: IntegerTreeTable,
    root: int,
    column: npt.NDArray[np.int64],
    cut: npt.NDArray[np.int64],
    leaves: list[bytes],
    *,
    wide: bool,
) -> bytes | None:
    """Return the bytes of one tree, children before parents so that every size is known; None if one is too large."""
    if root < 0:
        return None
    done: dict[int, bytes] = {}
    todo = [root]
    while todo:
        node = todo[-1]
        children = [int(table.left[node]), int(table.right[node])]
        missing = [child for child in children if child >= 0 and child not in done]
        if missing:
            todo += missing
            continue
        todo.pop()
        left, right = (leaves[~child] if child < 0 else done.pop(child) for child in children)
        flags = _LEFT_LEAF * (children[0] < 0) | _RIGHT_LEAF * (children[1] < 0)
        high, low = divmod(int(column[node]), 256)
        header = bytes([flags | high, low]) if wide else bytes([flags | low])
        header += bytes([int(cut[node])])
        if flags == _RIGHT_LEAF:
            body = right + left
        elif flags:
            body = left + right
        elif len(left) > _U16:
            return None
        else:
            size = bytes([len(left)]) if len(left) < 256 else b"\0" + len(left).to_bytes(2, "little")
            body = size + left + right
        done[node] = header + body
    return done[root]
