"""Program: input, nodes, outputs and labels must fit together."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from small_nodes import (
    classification,
    dense,
    integer_dense,
    integer_trees,
    quantize,
    refuses,
    regression,
    requantize,
    stump,
)
from strategies import SEEDS, examples, programs

from ensemble_1d.ir import (
    Affine,
    Chain,
    Combine,
    Concat,
    Dequantize,
    IntegerLink,
    IntegerLog,
    Link,
    Log,
    Program,
    Select,
    accepts_missing,
    output_width,
)
from ensemble_1d.runtime import evaluate, run

# ---------------------------------------------------------------- inputs, labels, task


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"version": 2}, "Program.version is 2; this release knows 1"),
        ({"n_features": 0}, "Program.n_features is 0; it must be positive"),
        ({"n_features": 3}, "Dense takes 1 columns and gets 3"),
        ({"feature_names": ["a"]}, "Program.feature_names must be a tuple of 1 names, or None"),
        ({"feature_names": ("a", "b")}, "Program.feature_names must be a tuple of 1 names, or None"),
        ({"classes": np.arange(2)}, "Program.classes must be None for regression"),
        ({"task": "ranking"}, "Program.task is 'ranking'; use 'classification' or 'regression'"),
        (
            {"root": Combine(members=(dense(1, 1),), weights=np.ones(1), rule="vote")},
            "a regression program holds a vote, which only classes have; use the rule 'mean'",
        ),
        ({"root": dense(1, 2)}, "a regression program has one output, and this one has 2"),
    ],
)
def test_program_refuses_parts_that_contradict_each_other(fields, message):
    """Each message names what was given and what must hold."""
    with refuses(message):
        Program(**{"n_features": 1, "task": "regression", "root": dense(1, 1)} | fields)


@pytest.mark.parametrize(
    "classes", [None, np.arange(3), np.arange(1), np.arange(4).reshape(2, 2), np.array([1j, 2]), np.array([None, 1])]
)
def test_classes_are_one_plain_label_for_each_output(classes):
    """Another number, shape or kind of labels is refused, and so are labels for too few outputs."""
    with refuses("Program.classes must hold 2 numbers or strings"):
        classification(dense(1, 2), classes=classes)
    with refuses("Program.classes must hold 1 numbers or strings"):
        classification(dense(1, 1), classes=np.arange(1))


def test_a_label_stands_once():
    """Two equal labels could not be told apart, and neither could two that are NaN."""
    for classes in (["a", "a"], [np.nan, np.nan]):
        with refuses("Program.classes holds a label twice"):
            classification(dense(1, 2), classes=np.array(classes))
    classification(dense(1, 2), classes=np.array([np.nan, 0.0]))


@pytest.mark.parametrize(
    "classes", [["b", "a"], [False, True], [-5, 2**40], [0.5, 0.25], np.array([3, 200], np.uint8)], ids=repr
)
def test_labels_are_kept_as_given_and_read_only(classes):
    """Order and dtype stay; the caller's array is not the program's."""
    given_array = np.array(classes)
    stored = classification(dense(1, 2), classes=given_array).classes
    assert stored.dtype == given_array.dtype
    assert stored.tolist() == given_array.tolist()
    assert given_array.flags.writeable
    assert not stored.flags.writeable
    assert not np.shares_memory(stored, given_array)


# ---------------------------------------------------------------- widths


@pytest.mark.parametrize(
    ("node", "n_inputs", "n_outputs"),
    [
        (dense(2, 3), 2, 3),
        (Link(kind="sigmoid"), 1, 2),
        (Link(kind="complement"), 1, 2),
        (Link(kind="softmax"), 5, 5),
        (IntegerLink(kind="sigmoid"), 1, 2),
        (Select(column=np.array([1, 1, 0], np.int32)), 2, 3),
        (integer_trees([(0, 1)], n_outputs=4), 1, 4),
        (integer_dense([[1, 2]], [0]), 2, 1),
        (requantize(3), 3, 3),
        (quantize(2), 2, 2),
        (Dequantize(fraction_bits=0), 7, 7),
        (Chain(steps=(dense(2, 1), Link(kind="sigmoid"))), 2, 2),
        (Log(floor=0.5), 3, 3),
        (IntegerLog(floor=1), 3, 3),
        (Concat(members=(dense(2, 3), Select(column=np.array([1], np.int32)), Log(floor=0.5))), 2, 6),
        (Combine(members=(dense(2, 3), dense(2, 3)), weights=np.array([0.5, 0.5]), rule="vote"), 2, 3),
    ],
    ids=lambda each: type(each).__name__,
)
def test_output_width(node, n_inputs, n_outputs):
    """Each node says how many columns it makes of the right number of columns."""
    assert output_width(node, n_inputs) == n_outputs


@pytest.mark.parametrize(
    ("node", "n_inputs", "message"),
    [
        (dense(2, 3), 3, "Dense takes 2 columns and gets 3"),
        (Affine(offset=np.zeros(2, np.float32), scale=np.ones(2, np.float32)), 1, "Affine takes 2 columns and gets 1"),
        (requantize(2), 3, "Requantize takes 2 columns and gets 3"),
        (quantize(2), 1, "Quantize takes 2 columns and gets 1"),
        (integer_dense([[1, 2]], [0]), 1, "IntegerDense takes 2 columns and gets 1"),
        (Link(kind="softmax"), 1, "softmax got 1 column; it needs two or more"),
        (Link(kind="sigmoid"), 2, "sigmoid takes 1 columns and gets 2"),
        (IntegerLink(kind="complement"), 3, "complement takes 1 columns and gets 3"),
        (Select(column=np.array([0, 2], np.int32)), 2, "Select reads column 2, and there are 2"),
        (integer_trees([(0, 1)], column=1), 1, "IntegerTreeTable reads column 1, and there are 1"),
        (Chain(steps=(dense(1, 2), dense(1, 2))), 1, "Dense takes 1 columns and gets 2"),
        (Concat(members=(dense(1, 3), dense(2, 3))), 1, "Dense takes 2 columns and gets 1"),
        (
            Combine(members=(dense(1, 3), dense(1, 2)), weights=np.array([0.5, 0.5]), rule="mean"),
            1,
            "Combine has members with [2, 3] outputs; make them equal",
        ),
    ],
    ids=lambda each: type(each).__name__,
)
def test_output_width_refuses_another_width(node, n_inputs, message):
    """Each node refuses columns it cannot take, wherever it stands, and so does a Program."""
    with refuses(message):
        output_width(node, n_inputs)
    with refuses(message):
        regression(node, n_features=n_inputs)


def test_a_tree_table_reads_only_columns_that_exist():
    """The largest feature decides."""
    table = dataclasses.replace(stump(0.0, "le"), feature=np.array([4], np.int32))
    assert output_width(table, 5) == 1
    with refuses("TreeTable reads column 4, and there are 4"):
        output_width(table, 4)


@examples(50)
@given(program=programs(), seed=SEEDS)
def test_the_width_is_that_of_the_answers(program, seed):
    """`output_width` says what the runtime returns; only programs without a network take NaN."""
    X = np.random.default_rng(seed).normal(size=(3, program.n_features)).astype(np.float32)
    assert run(program, X).shape == (3, output_width(program.root, program.n_features))
    X[0] = np.nan
    assert np.isfinite(run(program, X)).all() or not program.accepts_missing


def test_missing_values_are_accepted_by_trees_and_by_a_quantizer_with_a_code_for_them():
    """A network anywhere refuses them."""
    table = integer_trees([(0, 1)])
    assert accepts_missing(Chain(steps=(quantize(missing=True), table)))
    assert not accepts_missing(Chain(steps=(quantize(missing=False), table)))
    assert not accepts_missing(dense(1, 1))
    combined = Combine(members=(table, dense(1, 1)), weights=np.array([0.5, 0.5]), rule="mean")
    assert not accepts_missing(combined)


FIRST = Select(column=np.zeros(1, np.int32))


@pytest.mark.parametrize(
    ("node", "accepts"),
    [
        (Chain(steps=(stump(0.0, "lt"), dense(1, 2))), True),
        (Chain(steps=(Concat(members=(stump(0.0, "lt"), stump(1.0, "le"))), dense(2, 2))), True),
        (Chain(steps=(Concat(members=(stump(0.0, "lt"), dense(1, 1))), dense(2, 2))), False),
        (Chain(steps=(Concat(members=(stump(0.0, "lt"), FIRST)), dense(2, 2))), False),
        (Chain(steps=(Concat(members=(stump(0.0, "lt"), FIRST)), stump(0.0, "lt"), dense(1, 2))), True),
        (Chain(steps=(FIRST, stump(0.0, "lt"))), True),
        (Chain(steps=(Chain(steps=(FIRST, FIRST)), Chain(steps=(stump(0.0, "lt"), Link(kind="sigmoid"))))), True),
        (Chain(steps=(FIRST, dense(1, 1))), False),
        (FIRST, False),
        (Log(floor=0.5), False),
        (Link(kind="sigmoid"), False),
    ],
)
def test_missing_values_count_where_they_are_read(node, accepts):
    """Layers over trees never see a NaN; features that pass through reach what comes next."""
    assert accepts_missing(node) == accepts
    finite = np.isfinite(evaluate(node, np.full((1, 1), np.nan, np.float32))).all()
    assert finite == accepts


# ---------------------------------------------------------------- integers


@pytest.mark.parametrize(
    "steps",
    [
        (quantize(), dense(1, 1), Dequantize(fraction_bits=0)),
        (quantize(), integer_trees([(0, 1)])),
        (integer_trees([(0, 1)]), Dequantize(fraction_bits=0)),
        (dense(1, 1), requantize()),
        (quantize(), Dequantize(fraction_bits=0)),
        (quantize(), quantize(), Dequantize(fraction_bits=0)),
        (quantize(), Chain(steps=(integer_trees([(0, 1)]), Dequantize(fraction_bits=0))), Dequantize(fraction_bits=0)),
        (quantize(), Combine(members=(requantize(),), weights=np.ones(1), rule="mean"), Dequantize(fraction_bits=0)),
        (integer_trees([(0, 1)]),),
    ],
    ids=lambda steps: "-".join(type(step).__name__ for step in steps),
)
def test_float_and_integer_nodes_do_not_mix(steps):
    """An integer program is Quantize, integer nodes, Dequantize: nothing else among or around them."""
    with refuses("an integer program is a chain of Quantize, integer nodes, and Dequantize, and holds no float node"):
        regression(*steps)


def test_parts_of_an_integer_program():
    """`integer_parts` returns the three; a float program has none."""
    steps = (quantize(), integer_trees([(0, 1)]), requantize(), Dequantize(fraction_bits=3))
    program = regression(*steps)
    first, body, last = program.integer_parts()
    assert (first, *body.steps, last) == steps
    assert program.is_integer
    for root in (dense(1, 1), Chain(steps=(dense(1, 1), dense(1, 1), dense(1, 1)))):
        plain = regression(root)
        assert not plain.is_integer
        with refuses("this program is float; quantize() makes an integer one"):
            plain.integer_parts()
