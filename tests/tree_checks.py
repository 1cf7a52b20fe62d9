"""Trees small enough to follow by hand, the ways that rows take through any, and tables that must give the same."""

import numpy as np
from strategies import tables_of

from ensemble_1d.ir import Chain, Combine, Concat, TreeTable, descendants
from ensemble_1d.quantization.tree_sites import tree_sites
from ensemble_1d.runtime import evaluate, leaves_of_rows, run


def ways(table, x):
    """Return the rows that take each way at each split: {(node, goes left): {row, ...}}."""
    found = {}

    def visit(row, node, left):
        for each in zip(row.tolist(), node.tolist(), left.tolist(), strict=True):
            found.setdefault(each[1:], set()).add(each[0])

    leaves_of_rows(table, x, visit)
    return found


def assert_tables_give_the_same(program, other, X):
    """Assert that every tree table gives the same sums for the rows, to the bit, and the program the same outputs."""
    for before, after in zip(tree_sites(program, X), tree_sites(other, X), strict=True):
        first, second = evaluate(before.table, before.X), evaluate(after.table, after.X)
        assert first.dtype == second.dtype
        assert np.array_equal(first, second)
    assert np.array_equal(run(program, X), run(other, X))


def others(program):
    """Return the nodes that compute, beside trees."""
    return [each for each in descendants(program.root) if not isinstance(each, TreeTable | Chain | Combine | Concat)]


def tables(program):
    """Return the tree tables of a program."""
    return [table for table, _ in tables_of(program)]


def points(*values):
    """Return rows of several columns."""
    return np.array(values, np.float32)


def mean_of(*members):
    """Return the mean of members."""
    return Combine(members=members, weights=np.full(len(members), 1 / len(members)), rule="mean")


def two_splits(comparison="le"):
    """Return a tree of two splits on two features: x0 at 0, then on its right x1 at 5; leaves 1, 2 and 4."""
    return TreeTable(
        feature=np.array([0, 1], np.int32),
        threshold=np.array([0, 5], np.float64 if comparison == "le" else np.float32),
        left=np.array([-1, -2], np.int32),
        right=np.array([1, -3], np.int32),
        default_left=np.array([True, True]),
        value=np.array([[1], [2], [4]], np.float32),
        root=np.zeros(1, np.int32),
        output=np.zeros(1, np.int32),
        bias=np.zeros(1, np.float32),
        comparison=comparison,
        average=False,
    )
