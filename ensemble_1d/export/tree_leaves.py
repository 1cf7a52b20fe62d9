"""How leaves are stored: single numbers above the smallest of their tree, distributions as lists of shares."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import IntegerTreeTable
from ensemble_1d.ir.bounds import tree_of_node

_MOST_PURE = 128
_LIST_LEVELS = 256

Integers = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class SingleLeaves:
    """Leaves of one value: `low + step * stored`, where every tree has a low of its own.

    Attributes:
        value: Of shape (n_leaves,).
        tree: The tree of each split, of shape (n_nodes,).
        low: The smallest leaf of each tree, of shape (n_trees,).
        reach: The largest stored number of each tree, of shape (n_trees,).
        step: The value of each stored unit.
    """

    value: Integers
    tree: Integers
    low: Integers
    reach: Integers
    step: int

    @property
    def largest(self) -> int:
        """The largest stored number."""
        return int(self.reach.max())

    def bound(self, table: IntegerTreeTable) -> int:
        """Return the largest sum of stored numbers that an output can have."""
        sums = np.zeros(table.n_outputs, np.int64)
        np.add.at(sums, table.output, self.reach)
        return int(sums.max())

    def stored(self, child: int, node: int) -> int:
        """Return the stored number of the leaf that a child of a split refers to."""
        return int(self.value[~child] - self.low[self.tree[node]]) // self.step


@dataclass(frozen=True, slots=True, eq=False)
class SharedLeaves:
    """Leaves that share one total among several classes: pure, or a mixture that is a list of shares.

    Attributes:
        number: Of shape (n_leaves,): the class of a pure leaf, or `n_classes` and the place of its list in `mixtures`.
        mixtures: All lists: pairs of class and share, until the shares add up to the total; a byte each or, if packed,
            half a byte, the class above the share.
        n_classes: Number of classes.
        total: What a pure leaf gives its class.
    """

    number: Integers
    mixtures: npt.NDArray[np.uint8]
    n_classes: int
    total: int

    @property
    def is_packed(self) -> bool:
        """Whether a class and a share have half a byte each."""
        return _is_packed(self.n_classes, self.total)

    def texts(self, first: int = 0) -> list[bytes] | None:
        """Return each leaf in bytes that start at `first` or above, or None where a place does not fit.

        A pure leaf is one byte, `first` and its class; a mixture two: `first`, the number of classes and the high byte
        of its place, then the low one.
        """
        pairs = [divmod(number - self.n_classes, 256) for number in self.number.tolist()]
        if first + self.n_classes + max(high for high, _ in pairs) > 255:
            return None
        return [
            bytes([first + number]) if number < self.n_classes else bytes([first + self.n_classes + high, low])
            for number, (high, low) in zip(self.number.tolist(), pairs, strict=True)
        ]


def tree_leaves(table: IntegerTreeTable) -> SingleLeaves | SharedLeaves | None:
    """Return the leaves of a table as they are stored, without loss.

    Args:
        table: The trees; every root is a split.

    Returns:
        The leaves; None for leaves of several values that are no shares of one total of 8 bits over at most 128
        classes.
    """
    values = table.value.astype(np.int64)
    if values.shape[1] == 1:
        return _single_leaves(table, values[:, 0])
    n_classes = values.shape[1]
    total = int(values[0].sum())
    is_shared = bool((values >= 0).all() and (values.sum(axis=1) == total).all()) and 0 < total < _LIST_LEVELS
    if not is_shared or n_classes != table.n_outputs or n_classes > _MOST_PURE:
        return None
    number = np.zeros(len(values), np.int64)
    lists = b""
    places: dict[bytes, int] = {}
    for i, value in enumerate(values):
        held = np.flatnonzero(value)
        if len(held) == 1:
            number[i] = held[0]
            continue
        pairs = np.column_stack([held, value[held]])
        packed = pairs @ [16, 1] if _is_packed(n_classes, total) else pairs.ravel()
        text = bytes(packed.astype(np.uint8))
        if text not in places:
            places[text] = len(lists)
            lists += text
        number[i] = n_classes + places[text]
    return SharedLeaves(number, np.frombuffer(lists, np.uint8), n_classes, total)


def _is_packed(n_classes: int, total: int) -> bool:
    """Return whether classes and shares have four bits or fewer."""
    return n_classes <= 16 and total <= 15


def _single_leaves(table: IntegerTreeTable, value: Integers) -> SingleLeaves:
    """Return leaves of one value above the smallest of their tree."""
    tree = tree_of_node(table.left, table.right, table.root)
    low, high = np.full(len(table.root), 2**31), np.full(len(table.root), -(2**31))
    above: list[Integers] = []
    for child in (table.left.astype(np.int64), table.right.astype(np.int64)):
        held = child < 0
        np.minimum.at(low, tree[held], value[~child[held]])
        np.maximum.at(high, tree[held], value[~child[held]])
    for child in (table.left.astype(np.int64), table.right.astype(np.int64)):
        held = child < 0
        above.append(value[~child[held]] - low[tree[held]])
    step = int(np.gcd.reduce(np.concatenate(above))) or 1
    return SingleLeaves(value, tree, low, (high - low) // step, step)
