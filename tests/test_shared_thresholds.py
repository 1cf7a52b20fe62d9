"""Shared thresholds: every row takes the way it took, and there are as few as the gaps between the rows allow."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_nodes import regression, stump
from strategies import examples, inputs, programs, tree_tables
from tree_checks import assert_tables_give_the_same, mean_of, others, points, tables, ways

from ensemble_1d.ir import TreeTable
from ensemble_1d.quantization.optimization import tree_sizes
from ensemble_1d.quantization.shared_thresholds import with_shared_thresholds
from ensemble_1d.quantization.tree_sites import tree_sites


@examples(200)
@given(data=st.data())
def test_shared_thresholds_part_the_rows_as_before(data):
    """Every row takes the same way at every split, whatever the reach, and there are no more thresholds than before."""
    program = data.draw(programs())
    X = data.draw(inputs(program))
    other = with_shared_thresholds(program, X, data.draw(st.sampled_from([0.0, 0.25, 0.7, 1.0])))
    assert_tables_give_the_same(program, other, X)
    for before, after in zip(tree_sites(program, X), tree_sites(other, X), strict=True):
        assert ways(before.table, before.X) == ways(after.table, before.X)
    assert tree_sizes(other).n_thresholds <= tree_sizes(program).n_thresholds
    assert [*map(id, others(other))] == [*map(id, others(program))]


@examples(60)
@given(data=st.data())
def test_thresholds_are_as_few_as_the_gaps_allow(data):
    """As many as there are gaps of which no two overlap, counted by hand from the rows on either side."""
    table = data.draw(tree_tables(1, finite=True))
    program = regression(table, n_features=1)
    X = data.draw(inputs(program, missing=False, extreme=False))
    gaps = []
    for node in range(len(table.left)):
        sides = [[float(X[row, 0]) for row in ways(table, X).get((node, left), ())] for left in (True, False)]
        gaps.append((max(sides[0], default=-np.inf), min(sides[1], default=np.inf)))
    count, last = 0, -np.inf
    for low, high in sorted(gaps, key=lambda gap: gap[1]):
        # "<=" takes any threshold in [low, high), "<" any in (low, high]: the next gap is apart if it begins behind.
        if count == 0 or low >= last:
            count, last = count + 1, high
    assert tree_sizes(with_shared_thresholds(program, X)).n_thresholds == count


def test_the_shared_threshold_is_the_middle_one_of_those_that_fit():
    """Three gaps overlap, and hold all three thresholds: the middle one stays, and with no reach each its own."""
    X = points([0], [10])
    program = regression(mean_of(*(stump(each, "le") for each in (2, 5, 9))))
    shared = with_shared_thresholds(program, X)
    assert [table.threshold.tolist() for table in tables(shared)] == [[5.0]] * 3
    kept = with_shared_thresholds(program, X, 0.0)
    assert [table.threshold.tolist() for table in tables(kept)] == [[2.0], [5.0], [9.0]]


def test_where_no_threshold_fits_all_gaps_it_is_the_middle_of_what_they_share():
    """x1 parts the rows; then 1 may move from 0 to below 10, and 15 from 8 to below 20: both become 9."""
    table = TreeTable(
        feature=np.array([1, 0, 0], np.int32),
        threshold=np.array([0.0, 1, 15]),
        left=np.array([1, -1, -3], np.int32),
        right=np.array([2, -2, -4], np.int32),
        default_left=np.zeros(3, np.bool_),
        value=np.arange(4, dtype=np.float64)[:, np.newaxis],
        root=np.zeros(1, np.int32),
        output=np.zeros(1, np.int32),
        bias=np.zeros(1),
        comparison="le",
        average=False,
    )
    program = regression(table, n_features=2)
    X = points([0, -1], [10, -1], [8, 1], [20, 1])
    (shared,) = tables(with_shared_thresholds(program, X))
    assert shared.threshold == pytest.approx([0, 9, 9])
    assert shared.threshold[1] == shared.threshold[2]
    (half,) = tables(with_shared_thresholds(program, X, 0.5))
    assert half.threshold.tolist() == [0, 1, 15]
