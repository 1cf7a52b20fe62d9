"""Tree codes: bytes on which splits decide as they do on the input codes, for every input code there is."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from integer_forests import chain, maker, table
from strategies import SEEDS, examples

from ensemble_1d.export.tree_codes import CodeColumn, tree_codes

CODES = np.arange(-32768, 32768)


def chain_table(rng, n_splits, n_columns, shift):
    """Return one chain of splits with cuts on a grid, one in ten of them beside it."""
    left, right, root = chain(n_splits)
    cut = (rng.integers(-100, 100, n_splits) << shift) - 1
    cut += rng.random(n_splits) < 0.1
    value = rng.integers(0, 256, n_splits + 1).astype(np.uint8)
    return table(left, right, root, value, column=rng.integers(0, n_columns, n_splits), cut=cut)


def column_code(column: CodeColumn, x):
    """Return the tree codes of input codes, from the definition."""
    if len(column.cuts):
        return (column.cuts[:, np.newaxis] < x).sum(axis=0)
    return np.clip((x >> column.shift) - column.base, 0, 255)


@examples(40)
@given(seed=SEEDS, shift=st.integers(0, 8), n_splits=st.integers(1, 300), n_columns=st.integers(1, 90))
def test_tree_codes_decide_as_input_codes_do_for_every_code(seed, shift, n_splits, n_columns):
    """Every split of every table goes left for the same of all 65536 codes, whether its column is shifted or ranked."""
    rng = np.random.default_rng(seed)
    tables = [chain_table(rng, n_splits, n_columns, shift), chain_table(rng, 9, n_columns, 3)]
    codes = tree_codes(tables, np.zeros(n_columns, np.bool_))
    made = [column_code(column, CODES) for column in codes.columns]
    assert codes.n_columns == len(codes.columns)
    assert all(each.min() >= 0 and each.max() <= 255 for each in made)
    for trees, columns, cuts in zip(tables, codes.column, codes.cut, strict=True):
        assert ((cuts >= 0) & (cuts < 255)).all()
        for node in rng.permutation(len(trees.cut))[:30]:
            column = int(columns[node])
            assert codes.columns[column].source == trees.column[node]
            np.testing.assert_array_equal(made[column] <= cuts[node], trees.cut[node] >= CODES)


def test_cuts_on_a_grid_take_one_column_a_feature_and_no_ranks():
    """A grid of up to 255 steps is a shift and a base."""
    rng = np.random.default_rng(0)
    left, right, root = chain(200)
    cut = (rng.integers(-100, 100, 200) << 7) - 1
    value = np.arange(201).astype(np.uint8)
    trees = table(left, right, root, value, column=np.arange(200) % 5, cut=cut)
    codes = tree_codes([trees], np.zeros(5, np.bool_))
    assert len(codes.columns) == 5
    assert {column.shift for column in codes.columns} == {7}
    assert not any(len(column.cuts) for column in codes.columns)


def lone(column, cut):
    """Return one split."""
    left, right, root = chain(1)
    return table(left, right, root, np.array([1, 2], np.uint8), column=[column], cut=[cut])


def test_bytes_serve_as_they_are():
    """Where all splits read narrow columns, no codes are made: neither of the input, nor of what a maker makes."""
    codes = tree_codes([lone(2, 0), lone(1, 254)], np.array([False, True, True]))
    assert codes.columns == codes.maker == ()
    assert codes.n_columns == 3
    assert [each.tolist() for each in codes.column] == [[2], [1]]
    assert [each.tolist() for each in codes.cut] == [[0], [254]]
    made = maker(np.random.default_rng(0), 3, 2)
    assert tree_codes([lone(1, 7)], np.ones(2, np.bool_), made).maker is made


@pytest.mark.parametrize(("column", "cut"), [(0, 7), (1, -1), (1, 255), (1, 256), (1, -32768)])
def test_one_split_that_reads_no_byte_has_codes_made_for_all(column, cut):
    """A wide column, and cuts that part no bytes: the tree codes are as many as the splits need."""
    codes = tree_codes([lone(column, cut), lone(1, 9)], np.array([False, True]))
    assert sorted({each.source for each in codes.columns}) == sorted({column, 1})
    made = [column_code(each, CODES) for each in codes.columns]
    for (place,), (byte,), kept in zip(codes.column, codes.cut, (cut, 9), strict=True):
        np.testing.assert_array_equal(made[place] <= byte, kept >= CODES)
