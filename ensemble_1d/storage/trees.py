"""The shape of trees in two bits a split: which references of a breadth-first walk are splits, tree after tree."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.storage.limits import check

Children = npt.NDArray[np.signedinteger[Any]]
Indices = npt.NDArray[np.int64]


def walk_of(left: Children, right: Children, root: Children) -> tuple[npt.NDArray[np.bool_], Indices] | None:
    """Return the references of a forest in the order of a breadth-first walk, if its nodes are numbered that way.

    The references of a tree are its root, then the left and the right child of each of its nodes in order.

    Args:
        left: Left children of shape (n_nodes,): nodes, or `~leaf`.
        right: Right children of shape (n_nodes,).
        root: Roots of shape (n_trees,).

    Returns:
        For each of the n_trees + 2 n_nodes references whether it is a split, bool, and the leaves of the others, int64;
        None if the nodes have another order, which these two could not give back.
    """
    n_nodes, n_trees = len(left), len(root)
    grown = np.flatnonzero(root >= 0)
    first = root[grown].astype(np.int64)
    if n_nodes and not (len(first) and first[0] == 0 and (np.diff(first) > 0).all()):
        return None
    tree = np.repeat(grown, np.diff(np.append(first, n_nodes)))
    before = np.bincount(tree, minlength=n_trees).cumsum() - np.bincount(tree, minlength=n_trees)
    references = np.empty(n_trees + 2 * n_nodes, np.int64)
    references[np.arange(n_trees) + 2 * before] = root
    place = tree + 1 + 2 * np.arange(n_nodes)
    references[place], references[place + 1] = left, right
    is_split = references >= 0
    if not np.array_equal(references[is_split], np.arange(n_nodes)):
        return None
    return is_split, ~references[~is_split]


def children_of(
    is_split: npt.NDArray[np.bool_], leaf: npt.NDArray[np.int32] | None, n_trees: int
) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return left, right and root of a breadth-first walk: what `walk_of` was given.

    Args:
        is_split: For each reference whether it is a split, of shape (n_trees + 2 n_nodes,), bool.
        leaf: The leaves of the other references, int32; None if they are numbered in this order.
        n_trees: Number of trees, at least one.

    Returns:
        Left children and right children of shape (n_nodes,), and roots of shape (n_trees,), int32.

    Raises:
        ArtifactError: If this is no walk of that many trees.
    """
    # What is large is made once and changed in place: to touch new memory takes longer than to compute.
    references = np.cumsum(is_split, dtype=np.int32)
    place = np.arange(len(is_split), dtype=np.int32)
    # A tree ends where its leaves become one more than its splits: there this balance falls to a new low.
    balance = np.empty(len(is_split) + 1, np.int32)
    balance[0] = 1
    np.subtract(references, place, out=balance[1:])
    balance[1:] += references
    np.minimum.accumulate(balance, out=balance)
    ends = np.flatnonzero(balance[1:] != balance[:-1])
    whole = len(ends) == n_trees and int(ends[-1]) == len(is_split) - 1
    check(whole, f"the splits of a tree table make {len(ends)} trees and not {n_trees}, or a tree has no end")
    # Splits and leaves are numbered as they come; what a leaf's number stands for may be listed.
    place *= ~is_split
    references -= place
    references -= 1
    if leaf is not None:
        references[~is_split] = ~leaf
    first = np.concatenate([[0], ends[:-1] + 1])
    pairs = np.delete(references, first).reshape(-1, 2)
    return pairs[:, 0], pairs[:, 1], references[first]
