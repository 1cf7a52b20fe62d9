"""From a library's trees, one by one and numbered its way, to one TreeTable."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import TreeTable


@dataclass(frozen=True, slots=True, eq=False)
class LibraryTree:
    """One tree as a library stores it: arrays over nodes and leaves together, the root first.

    Attributes:
        feature: Split feature.
        threshold: Threshold; its dtype is kept.
        left: Left child, negative at a leaf.
        right: Right child.
        default_left: Where a missing value goes.
        value: Leaf values of shape (n_nodes, width); its dtype is kept.
    """

    feature: npt.NDArray[Any]
    threshold: npt.NDArray[Any]
    left: npt.NDArray[Any]
    right: npt.NDArray[Any]
    default_left: npt.NDArray[np.bool_]
    value: npt.NDArray[Any]


def assemble(
    trees: Sequence[LibraryTree],
    *,
    output: npt.NDArray[np.int32],
    bias: npt.NDArray[Any],
    comparison: Literal["le", "lt"],
    average: bool,
) -> TreeTable:
    """Return one table of all trees, nodes level by level so that children follow parents, equal leaves stored once.

    Args:
        trees: The trees in order of summation.
        output: First output column of each tree, int32.
        bias: What the outputs start at.
        comparison: "le" or "lt".
        average: Whether the sum is divided by the number of trees.

    Returns:
        The table.
    """
    nodes: list[npt.NDArray[np.int64]] = []
    leaves: list[npt.NDArray[np.int64]] = []
    roots, lefts, rights = [], [], []
    n_nodes = n_leaves = 0
    for tree in trees:
        inner, outer = _by_level(tree)
        place = np.empty(len(tree.left), np.int64)
        place[inner] = n_nodes + np.arange(len(inner))
        place[outer] = ~(n_leaves + np.arange(len(outer)))
        roots.append(place[0])
        lefts.append(place[tree.left[inner]])
        rights.append(place[tree.right[inner]])
        nodes.append(inner)
        leaves.append(outer)
        n_nodes += len(inner)
        n_leaves += len(outer)
    value, shared = np.unique(
        np.concatenate([tree.value[outer] for tree, outer in zip(trees, leaves, strict=True)]),
        axis=0,
        return_inverse=True,
    )
    shared = shared.ravel()

    def renumbered(child: npt.NDArray[np.int64]) -> npt.NDArray[np.int32]:
        return np.where(child < 0, ~shared[~np.minimum(child, -1)], child).astype(np.int32)

    def gathered(field: str) -> npt.NDArray[Any]:
        return np.concatenate([getattr(tree, field)[inner] for tree, inner in zip(trees, nodes, strict=True)])

    return TreeTable(
        feature=gathered("feature").astype(np.int32),
        threshold=gathered("threshold"),
        left=renumbered(np.concatenate(lefts)),
        right=renumbered(np.concatenate(rights)),
        default_left=gathered("default_left"),
        value=value,
        root=renumbered(np.array(roots)),
        output=output,
        bias=bias,
        comparison=comparison,
        average=average,
    )


def _by_level(tree: LibraryTree) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the inner nodes and the leaves of a tree, level by level from the root."""
    level = np.zeros(1, np.int64)
    inner, outer = [], []
    while level.size:
        is_leaf = tree.left[level] < 0
        outer.append(level[is_leaf])
        level = level[~is_leaf]
        inner.append(level)
        level = np.column_stack([tree.left[level], tree.right[level]]).ravel().astype(np.int64)
    return np.concatenate(inner), np.concatenate(outer)
