"""Two bits a split: the walk of any forest that is numbered breadth first gives its children back, no other does."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from strategies import SEEDS, examples, tree_children

from ensemble_1d import ArtifactError
from ensemble_1d.storage.trees import children_of, walk_of


def numbered(left, right, root):
    """Return the same trees with nodes numbered breadth first, one tree after the other: a plain walk."""
    order, number = [], {}
    for start in root.tolist():
        queue = [start] if start >= 0 else []
        while queue:
            node = queue.pop(0)
            number[node] = len(order)
            order.append(node)
            queue += [child for child in (left[node], right[node]) if child >= 0]

    def renumbered(children):
        return np.array([number.get(int(child), child) for child in children], left.dtype)

    return renumbered(left[order]), renumbered(right[order]), renumbered(root)


@examples(200)
@given(SEEDS, st.integers(1, 6), st.integers(0, 30), st.integers(1, 9), st.sampled_from([np.int8, np.int16, np.int32]))
def test_breadth_first_forests_come_back(seed, n_trees, n_nodes, n_leaves, dtype):
    """Stumps, lone leaves and shared leaves among them."""
    rng = np.random.default_rng(seed)
    given_order = tree_children(rng, n_trees, n_nodes, n_leaves, dtype)
    left, right, root = numbered(*given_order)
    walk = walk_of(left, right, root)
    assert walk is not None
    is_split, leaf = walk
    assert len(is_split) == n_trees + 2 * n_nodes
    assert len(leaf) == n_trees + n_nodes
    for before, after in zip((left, right, root), children_of(is_split, leaf.astype(np.int32), n_trees), strict=True):
        assert np.array_equal(before, after)
    # Any other order is either the same, or is no such walk.
    other = walk_of(*given_order)
    same = all(np.array_equal(a, b) for a, b in zip(given_order, (left, right, root), strict=True))
    assert (other is not None) == same


@examples(200)
@given(st.lists(st.booleans(), max_size=30), st.integers(1, 5))
def test_any_bits_are_a_walk_or_are_refused(bits, n_trees):
    """A walk is what a plain count of open references says it is."""
    trees, need = 0, 0
    for position, bit in enumerate(bits):
        need = (need or 1) + (1 if bit else -1)
        if need == 0:
            trees += 1
        if trees == n_trees and position + 1 < len(bits):
            trees = -1
            break
    is_split = np.array(bits, np.bool_)
    leaf = np.arange(int((~is_split).sum()), dtype=np.int32)
    if trees == n_trees and need == 0:
        left, right, root = children_of(is_split, leaf, n_trees)
        assert (len(root), len(left), len(right)) == (n_trees, len(bits) - len(leaf), len(bits) - len(leaf))
        found = walk_of(left, right, root)
        assert found is not None
        assert np.array_equal(found[0], is_split)
    else:
        with pytest.raises(ArtifactError, match="trees and not"):
            children_of(is_split, leaf, n_trees)
