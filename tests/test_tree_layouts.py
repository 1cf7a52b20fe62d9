"""Trees in bytes: uint8 codes decide as int16 codes do, and a walk through the bytes finds the same leaves."""

import dataclasses

import numpy as np
import pytest
from c_harness import C99, Case, assert_equal_in_c, need
from hypothesis import given
from hypothesis import strategies as st
from integer_strategies import code_rows, float_rows, integer_programs
from small_nodes import integer_regression, integer_trees
from strategies import SEEDS, examples

from ensemble_1d import InvalidInputError, Predictor, RandomForestModel
from ensemble_1d.export.tree_bytes import TreeBytes, tree_bytes
from ensemble_1d.export.tree_codes import CodeColumn, tree_codes
from ensemble_1d.ir import IntegerTreeTable, descendants
from ensemble_1d.runtime import evaluate

CODES = np.arange(-32768, 32768)


def forest(rng, *, shift=0, n_splits=40, width=1, n_columns=3, dtype=np.int8, n_trees=4):
    """Return trees that are chains of splits, with cuts on a grid and leaves of any value or shares of 255."""
    left, right, root = [], [], []
    leaf = 0
    for _ in range(n_trees):
        first = len(left)
        root.append(first)
        for node in range(first, first + n_splits):
            is_last = node == first + n_splits - 1
            child, leaf = (~leaf if is_last else node + 1), leaf + is_last
            other, leaf = ~leaf, leaf + 1
            pair = (child, other) if rng.random() < 0.5 else (other, child)
            left.append(pair[0])
            right.append(pair[1])
    if width > 1:
        values = rng.multinomial(255, rng.dirichlet(np.full(width, 0.3)), leaf)
        values[::3] = 255 * np.eye(width, dtype=np.int64)[rng.integers(0, width, len(values[::3]))]
    else:
        limits = np.iinfo(dtype)
        values = rng.integers(limits.min, limits.max, (leaf, 1), endpoint=True)
    n_outputs = width if width > 1 else 2
    return IntegerTreeTable(
        column=rng.integers(0, n_columns, len(left)).astype(np.uint16),
        cut=((rng.integers(-100, 100, len(left)) << shift) - 1).astype(np.int16),
        left=np.array(left, np.int32),
        right=np.array(right, np.int32),
        default_left=np.empty(0, np.bool_),
        value=values.astype(np.uint8 if width > 1 else dtype),
        root=np.array(root, np.int32),
        output=np.zeros(n_trees, np.uint8) if width > 1 else rng.integers(0, 2, n_trees).astype(np.uint8),
        n_outputs=n_outputs,
    )


def column_code(column: CodeColumn, x):
    """Return the tree codes of input codes, from the definition."""
    if len(column.cuts):
        return (column.cuts[:, np.newaxis] < x).sum(axis=0)
    return np.clip((x >> column.shift) - column.base, 0, 255)


def walked(trees: TreeBytes, row, n_outputs):
    """Return the sums of one row of tree codes by reading the bytes as their docstring says."""
    total = [0] * n_outputs
    data, start = trees.data.tolist(), 0
    outputs = np.repeat(np.arange(len(trees.trees_of)), trees.trees_of)
    for size, output in zip(trees.sizes.tolist(), outputs.tolist(), strict=True):
        p, n_head = start, 3 if trees.wide else 2
        while True:
            head = data[p]
            column = (head & 63) * 256 + data[p + 1] if trees.wide else head & 63
            goes_right = row[column] > data[p + n_head - 1]
            p += n_head
            if head >> 6 == 0:
                skip, p = data[p], p + 1
                if skip == 0:
                    skip, p = data[p] + 256 * data[p + 1], p + 2
                p += skip if goes_right else 0
                continue
            length = (1 if data[p] < trees.n_classes else 2) if trees.n_classes else trees.leaf_bytes
            if (head >> 6 == 1) == goes_right or head >> 6 == 3:
                p += length if head >> 6 == 3 and goes_right else 0
                break
            p += length
        if not trees.n_classes:
            total[output] += int.from_bytes(bytes(data[p : p + trees.leaf_bytes]), "little") - trees.leaf_zero
        elif data[p] < trees.n_classes:
            total[data[p]] += trees.total
        else:
            place, rest = (data[p] - trees.n_classes) * 256 + data[p + 1], trees.total
            while rest:
                label, share = trees.mixtures[place : place + 2].tolist()
                total[label] += share
                rest, place = rest - share, place + 2
        start += size
    return total


@examples(40)
@given(seed=SEEDS, shift=st.integers(0, 8), n_splits=st.integers(1, 300), n_columns=st.integers(1, 90))
def test_tree_codes_decide_as_input_codes_do_for_every_code(seed, shift, n_splits, n_columns):
    """Every split goes left for the same of all 65536 codes, whether its column is shifted or ranked."""
    rng = np.random.default_rng(seed)
    table = forest(rng, shift=shift, n_splits=n_splits, n_columns=n_columns)
    table = dataclasses.replace(table, cut=np.where(rng.random(len(table.cut)) < 0.1, table.cut + 1, table.cut))
    codes = tree_codes(table)
    made = [column_code(column, CODES) for column in codes.columns]
    for node in rng.permutation(len(table.cut))[:50]:
        column = int(codes.column[node])
        assert codes.columns[column].source == table.column[node]
        left = made[column] <= codes.cut[node]
        np.testing.assert_array_equal(left, table.cut[node] >= CODES)


def test_cuts_on_a_grid_take_one_column_a_feature_and_no_ranks():
    """A grid of up to 255 steps is a shift and a base."""
    codes = tree_codes(forest(np.random.default_rng(0), shift=7, n_splits=200, n_columns=5))
    assert len(codes.columns) == 5
    assert {column.shift for column in codes.columns} == {7}
    assert not any(len(column.cuts) for column in codes.columns)


@examples(40)
@given(
    seed=SEEDS,
    shift=st.sampled_from([0, 3, 8]),
    n_splits=st.sampled_from([1, 3, 40, 200]),
    width=st.sampled_from([1, 1, 2, 3, 10]),
    n_columns=st.sampled_from([1, 5, 100]),
    dtype=st.sampled_from([np.int8, np.uint8, np.int16, np.uint16]),
)
def test_a_walk_through_the_bytes_finds_the_sums_of_the_runtime(  # noqa: PLR0917 -- one for each choice
    seed, shift, n_splits, width, n_columns, dtype
):
    """Headers of one and two bytes, short and long skips, leaves of one value and of several."""
    rng = np.random.default_rng(seed)
    table = forest(rng, shift=shift, n_splits=n_splits, width=width, n_columns=n_columns, dtype=dtype)
    trees = tree_bytes(table)
    assert trees is not None
    rows = rng.integers(-32768, 32768, (10, n_columns)).astype(np.int16)
    rows[5:] = rng.choice(table.cut, (5, n_columns)) + rng.integers(0, 2, (5, n_columns))
    codes = np.column_stack([column_code(column, rows[:, column.source].astype(np.int64)) for column in trees.columns])
    assert codes.min() >= 0
    assert codes.max() <= 255
    found = [walked(trees, row, table.n_outputs) for row in codes.tolist()]
    np.testing.assert_array_equal(found, evaluate(table, rows))


@pytest.mark.parametrize(
    "change",
    [
        lambda table: {"default_left": np.zeros(len(table.cut), np.bool_)},
        lambda table: {"value": table.value // 2},
        lambda table: {"value": table.value.astype(np.uint16)},
    ],
    ids=["missing values", "shares of no total", "shares of 16 bits"],
)
def test_what_the_size_layout_has_no_room_for_stays_plain(change):
    """The header is written all the same, with one array a field."""
    table = forest(np.random.default_rng(0), width=3)
    table = dataclasses.replace(table, **change(table))
    assert tree_bytes(table) is None


def test_trees_of_one_leaf_and_trees_too_long_stay_plain():
    """A root that is a leaf has no split to begin with; a tree must fit in 65535 bytes."""
    assert tree_bytes(forest(np.random.default_rng(0), n_splits=30_000, n_trees=1)) is None
    table = forest(np.random.default_rng(0), n_trees=1)
    lone = dataclasses.replace(table, root=np.array([0, -1], np.int32), output=np.zeros(2, np.uint8))
    assert tree_bytes(lone) is None


@pytest.mark.parametrize("layout", ["plain", "size"])
@examples(6)
@given(data=st.data())
def test_both_layouts_equal_the_runtime(layout, data):
    """Random programs and chains of splits give the same integers in C in either layout."""
    seeds = data.draw(st.lists(SEEDS, min_size=3, max_size=5))
    cases = []
    for seed in seeds:
        rng = np.random.default_rng(seed)
        table = forest(rng, shift=int(rng.integers(0, 9)), width=1, n_columns=int(rng.choice([2, 80])))
        table = dataclasses.replace(table, output=np.zeros(len(table.root), np.uint8), n_outputs=1)
        program = integer_regression(table, n_features=80)
        cases.append(Case(program, code_rows(program, rng, 40), float_rows(80, rng, 5)))
    program = data.draw(integer_programs())
    rng = np.random.default_rng(seeds[0])
    cases.append(Case(program, code_rows(program, rng, 40), float_rows(program.n_features, rng, 10)))
    assert_equal_in_c(cases, need("gcc"), (*C99, "-O1"), layout=layout)


def test_layouts_are_chosen_by_name(multiclass):
    """The size layout is the default, smaller, and as equal as the plain one; another name is refused."""
    model = RandomForestModel(n_estimators=100, random_state=0).fit(multiclass.X, multiclass.y)
    predictor = model.quantize("int8", multiclass.X)
    assert isinstance(predictor, Predictor)
    plain, size = predictor.c_source(layout="plain"), predictor.c_source()
    assert "model_body_0_data" in size
    assert "model_body_0_data" not in plain
    assert len(size) < len(plain)
    for layout in ("plain", "size"):
        assert predictor.verify_c(multiclass.X, layout=layout).n_different == 0
    with pytest.raises(InvalidInputError, match="layout='fast' is unknown"):
        predictor.c_source(layout="fast")


def test_compact_cuts_lie_on_grids(multiclass):
    """On few features of small models most splits read a shifted column, and no calibration row changes sides."""
    model = RandomForestModel(n_estimators=10, max_depth=4, random_state=0).fit(multiclass.X, multiclass.y)
    predictor = model.quantize("int8", multiclass.X, compact=True)
    (table,) = (node for node in descendants(predictor.program.root) if isinstance(node, IntegerTreeTable))
    codes = tree_codes(table)
    is_shifted = np.array([not len(column.cuts) for column in codes.columns])
    assert is_shifted[codes.column].mean() > 0.8
    assert predictor.report.n_inexact_splits == 0
    assert predictor.verify_c(multiclass.X).n_different == 0
    fine = model.quantize("int8", multiclass.X)
    (exact,) = (node for node in descendants(fine.program.root) if isinstance(node, IntegerTreeTable))
    assert not np.array_equal(exact.cut, table.cut)


def test_a_lone_split_is_packed():
    """The smallest tree there is: a header, a cut and two leaves."""
    table = integer_trees([(3, 4)])
    assert tree_bytes(table).data.tolist() == [0xC0, 0, 3, 0, 4, 0]
    assert "model_body_0_data" in Predictor(integer_regression(table)).c_source()
