"""Trees in integers: their leaves, their offsets and what they could ever sum to, number by number."""

import dataclasses
import re

import numpy as np
import pytest
from small_nodes import classification, constants, regression, rows, stump, votes
from split_decisions import forest

from ensemble_1d.errors import UnsupportedModelError
from ensemble_1d.ir import IntegerTreeTable, Link, descendants
from ensemble_1d.quantization.programs import quantize_program
from ensemble_1d.quantization.trees import value_bounds


def integer_table(program, X, mode="int8", **options):
    """Return the integer trees of a quantized program."""
    (table,) = [
        node
        for node in descendants(quantize_program(program, X, mode, **options).program.root)
        if isinstance(node, IntegerTreeTable)
    ]
    return table


def test_what_a_table_could_ever_sum_to():
    """Smallest and largest leaf of each tree, the bias, and the number of trees where they are averaged."""
    table = dataclasses.replace(forest([0.0, 1.0], "le"), bias=np.ones(1, np.float32))
    assert value_bounds(table) == (0 + 2 + 1, 1 + 3 + 1)
    assert value_bounds(dataclasses.replace(table, average=True)) == (1.5, 2.5)
    assert value_bounds(constants([1.0, 2.0], 6.0, np.float64, average=True)) == (4.5, 4.5)


def leaves(*rows_of_values, **fields):
    """Return a stump of two classes with these two leaves."""
    table = votes(1, 0, vector=True)
    return dataclasses.replace(table, **{"value": np.array(rows_of_values), **fields})


@pytest.mark.parametrize(
    "table",
    [
        leaves([1.25, -0.25], [0.5, 0.5]),
        leaves([0.5, 0.6], [0.5, 0.5]),
        leaves([0.5, 0.5 + 1.2e-5], [0.5, 0.5]),
        leaves([0.0, 1.0], [1.0, 0.0], average=False),
        leaves([0.0, 1.0], [1.0, 0.0], bias=np.array([0.0, 1.0])),
    ],
)
def test_only_distributions_have_an_integer_form(table):
    """A negative share, another sum, a sum over trees and a bias are each refused."""
    program = classification(table, Link(kind="softmax"), classes=np.arange(2))
    rule = "integer form: their leaves must be distributions (not negative, with a sum of one), averaged, without bias"
    with pytest.raises(UnsupportedModelError, match=re.escape(f"trees with 2 values in a leaf have no {rule}")):
        quantize_program(program, rows(-1, 1), "int8")


@pytest.mark.parametrize("error", [1.05e-5, -1.05e-5])
def test_shares_may_be_off_by_what_float32_rounds(error):
    """A sum of one within 1.1e-5 is one."""
    program = classification(leaves([0.5, 0.5 + error], [0.25, 0.75]), classes=np.arange(2))
    assert integer_table(program, rows(-1, 1)).value.tolist() == [[0], [63]]


@pytest.mark.parametrize(("mode", "full"), [("int4", 14), ("int8", 254), ("int16", 65534)])
def test_of_two_classes_the_share_of_the_second_is_kept_less_one_half(mode, full):
    """0, a half and 1 become minus and plus half of an even number, and zero."""
    table = dataclasses.replace(
        votes(1, 1, vector=True), value=np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.0, 1.0]])
    )
    found = integer_table(classification(table, classes=np.arange(2)), rows(-1, 1), mode)
    assert found.value.ravel().tolist() == [-full // 2, 0, full // 2]
    assert found.n_outputs == 1


@pytest.mark.parametrize(("mode", "full"), [("int4", 15), ("int8", 255), ("int16", 65535)])
def test_of_more_classes_every_leaf_has_the_same_sum(mode, full):
    """Thirds are shared out to the last one."""
    table = dataclasses.replace(
        votes(1, 0, vector=True), value=np.array([[1 / 3, 1 / 3, 1 / 3], [0.0, 0.0, 1.0]]), bias=np.zeros(3)
    )
    found = integer_table(classification(table, classes=np.arange(3)), rows(-1, 1), mode)
    assert found.value.tolist() == [[0, 0, full], [full // 3] * 3]


@pytest.mark.parametrize(("mode", "most"), [("int4", 7), ("int8", 127), ("int16", 32767)])
def test_values_lie_around_the_middle_of_their_tree(mode, most):
    """The tree of the widest range has the largest leaves of both signs; the others share its step."""
    table = dataclasses.replace(forest([0.0, 1.0], "le"), value=np.array([[-9.0], [5.0], [100.0], [107.0]], np.float32))
    found = integer_table(regression(table), rows(-1, 0.5, 2), mode)
    assert found.value.ravel().tolist() == sorted({-most, most, round(-most / 2), round(most / 2)})


def test_a_tree_of_one_leaf_joins_the_offset():
    """Nothing is left of it on the device; a table of such trees alone keeps one."""
    table = forest([0.0, 1.0], "le")
    alone = dataclasses.replace(table, root=np.array([0, 1, ~3], np.int32), output=np.zeros(3, np.int32))
    program = regression(alone)
    done = quantize_program(program, rows(-1, 0.5, 2), "int16").program
    (found,) = [node for node in descendants(done.root) if isinstance(node, IntegerTreeTable)]
    assert found.root.tolist() == [0, 1]
    constant = integer_table(regression(constants([5.0, 7.0], 1.0, np.float64)), rows(-1, 1))
    assert constant.root.tolist() == [-1]
    assert constant.value.tolist() == [[0]]


def test_equal_leaves_are_stored_once():
    """Two trees of the same two values have two leaves between them, and every reference finds its own."""
    table = dataclasses.replace(forest([0.0, 1.0], "le"), value=np.array([[1.0], [2.0], [12.0], [11.0]], np.float32))
    found = integer_table(regression(table), rows(-1, 0.5, 2))
    assert found.value.ravel().tolist() == [-127, 127]
    assert (found.left.tolist(), found.right.tolist()) == ([~0, ~1], [~1, ~0])


def test_splits_may_share_one_leaf():
    """Every way through the tree ends there."""
    two = {name: np.array(values, np.int32) for name, values in (("feature", [0, 0]), ("left", [1, ~0]))}
    rest = {"right": np.full(2, ~0, np.int32), "threshold": np.zeros(2), "default_left": np.zeros(2, np.bool_)}
    table = leaves([0.25, 0.75], **two, **rest)
    found = integer_table(classification(table, classes=np.arange(2)), rows(-1, 1))
    assert (found.left.tolist(), found.right.tolist(), found.value.tolist()) == ([1, ~0], [~0, ~0], [[63]])


def test_missing_values_go_by_default_only_where_rows_have_them():
    """The table of directions is empty where no calibration row lacks a value."""
    program = regression(stump(0.0, "lt", default_left=True))
    assert integer_table(program, rows(-1, 1)).default_left.tolist() == []
    assert integer_table(program, rows(-1, 1, np.nan)).default_left.tolist() == [True]
