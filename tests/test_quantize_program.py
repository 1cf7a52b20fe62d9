"""quantize_program: how far integer answers may lie from float ones, and what is refused."""

import dataclasses
import re

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from small_nodes import (
    classification,
    constants,
    dense,
    integer_regression,
    integer_trees,
    layer,
    regression,
    rows,
    stump,
    votes,
)
from strategies import MODES, SEEDS, examples, inputs, networks, programs, tree_tables

from ensemble_1d.errors import InvalidInputError, UnsupportedModelError
from ensemble_1d.ir import (
    Affine,
    Chain,
    Combine,
    Concat,
    Link,
    Select,
    descendants,
)
from ensemble_1d.quantization.programs import quantize_program
from ensemble_1d.quantization.routes import arrows
from ensemble_1d.quantization.trees import leaf_table
from ensemble_1d.runtime import evaluate, run

BITS = {"int4": 4, "int8": 8, "int16": 16}
MULTIPLIER = 2.0**-13
"""A multiplier keeps at least 13 bits, so a rescaled sum is off by this share at most."""
ROUNDING = 2.0**-15
LINK = 1e-4
"""Integer softmax and sigmoid are this close to the real ones."""


def quantized(program, X, mode):
    return quantize_program(program, X, mode).program


# ---------------------------------------------------------------- trees


def tree_error(table, mode):
    """Return the bound on the error of a table's sums: half a leaf step for each tree, then one rescaling."""
    divisor = len(table.root) if table.average else 1
    if table.value.shape[1] > 1:
        return 1 / (2 ** BITS[mode] - 1) + MULTIPLIER
    owner, leaf, *_ = leaf_table(table)
    values = [table.value[leaf[owner == tree], 0].astype(np.float64) for tree in range(len(table.root))]
    half_range = max(np.ptp(each) / 2 for each in values)
    step = half_range / (2 ** (BITS[mode] - 1) - 1)
    reach = half_range * len(values)
    dropped = max(reach / max(step, 1e-300) / 2**16, 1) * step  # Sums of more than 17 bits lose their last ones.
    return (len(values) * step / 2 + reach * MULTIPLIER + dropped) / divisor


@examples(100)
@given(data=st.data())
def test_tree_probabilities_are_within_the_error_of_their_leaves(data):
    """A probability moves by at most half of what the largest score moves, beside the error of the link itself."""
    mode = data.draw(MODES)
    n_classes = data.draw(st.integers(2, 4))
    leaves = data.draw(st.sampled_from(["scalar", "vector"]))
    table = data.draw(tree_tables(2, n_classes, leaves=leaves))
    root = table if leaves == "vector" else Chain(steps=(table, Link(kind="softmax")))
    program = classification(root, classes=np.arange(n_classes), n_features=2)
    X = data.draw(inputs(program))
    difference = np.abs(run(quantized(program, X, mode), X) - run(program, X)).max()
    score = tree_error(table, mode) + (0 if leaves == "vector" else ROUNDING * np.log(2) * 8)
    assert difference <= (score + ROUNDING if leaves == "vector" else score / 2 + LINK + ROUNDING)


@examples(100)
@given(data=st.data())
def test_tree_values_are_within_the_error_of_their_leaves(data):
    """A value is off by its leaves and by one step of the output, biases and offsets of any size included."""
    mode = data.draw(MODES)
    table = data.draw(tree_tables(2))
    program = regression(table, n_features=2)
    X = data.draw(inputs(program, min_rows=4))
    before = run(program, X)
    assume(np.ptp(before) > 2.0**-6 * np.abs(table.value).max() * len(table.root))
    integer = quantized(program, X, mode)
    step = 2.0 ** -integer.integer_parts()[2].fraction_bits
    float_noise = 2.0**-22 * (np.abs(before).max() + np.abs(table.value).sum())
    assert np.abs(run(integer, X) - before).max() <= tree_error(table, mode) + 2 * step + float_noise


def test_the_average_of_a_table_divides_its_bias():
    """Leaves of 1 and 2 beside a leaf of 1 and a bias of 10, averaged over two trees, are 6 and 6.5."""
    both = {
        name: np.concatenate([getattr(table, name) for table in (stump(0.0, "le"), constants([1.0], 0.0, np.float32))])
        for name in ("value", "output")
    }
    table = dataclasses.replace(
        stump(0.0, "le"), **both, root=np.array([0, -3], np.int32), bias=np.array([10], np.float32), average=True
    )
    X = rows(-1, 1)
    assert run(regression(table), X).ravel().tolist() == [6, 6.5]
    np.testing.assert_allclose(run(quantized(regression(table), X, "int16"), X).ravel(), [6, 6.5], rtol=1e-4)


@pytest.mark.parametrize("mode", BITS)
@pytest.mark.parametrize("vector", [True, False])
@pytest.mark.parametrize("n", [1, 2, 3, 5, 7, 50])
def test_a_tie_of_votes_stays_a_tie(n, vector, mode):
    """A binary forest that votes n to n gives both classes one half, and one vote more decides."""
    tie, decided = votes(n, n, vector=vector), votes(n + 1, n, vector=vector)
    for table, expected in ((tie, [0, 0]), (decided, [1, 0])):
        root = table if vector else Chain(steps=(table, Link(kind="complement")))
        program = classification(root, classes=np.arange(2))
        X = rows(-1, 1)
        integer = quantized(program, X, mode)
        assert run(program, X).argmax(axis=1).tolist() == expected
        assert run(integer, X).argmax(axis=1).tolist() == expected
        if table is tie:
            assert (np.diff(run(integer, X)) == 0).all()
            np.testing.assert_allclose(run(integer, X), 0.5, atol=MULTIPLIER)


# ---------------------------------------------------------------- networks


def network_error(steps, X):
    """Return the bound on the error of a network's outputs in 16 bits, layer by layer.

    Codes and activations are off by a step of a range four times as wide, multipliers by 2**-13 of it, weights by half
    a step; a layer then adds up its inputs' errors by weight.
    """
    span = np.maximum(np.ptp(X, axis=0), np.abs(X).max(axis=0) * 2.0**-10)
    error, reach, values = span * 3 / 65534, span * 4, X
    if isinstance(steps[0], Affine):
        slope = np.abs(steps[0].scale.astype(np.float64))
        error, reach = slope * (error + np.abs(X).max(axis=0) * 2.0**-22), slope * reach
        values, steps = evaluate(steps[0], X), steps[1:]
    for step in steps:
        error = error + (4 * np.abs(values).max() + reach) * (MULTIPLIER + 2.0**-14)
        weight = np.abs(step.weight.astype(np.float64))
        on_weights = weight.max(axis=1) / 32767 * (np.abs(values).sum(axis=1).max() + error.sum())
        error = weight @ error + on_weights + np.abs(step.bias) * 2.0**-20
        reach, values = 0.0, evaluate(step, values)
    return float(error.max()) + MULTIPLIER * float(np.abs(values).max())


@examples(100)
@given(data=st.data())
def test_network_probabilities_are_close_in_16_bits(data):
    """Zero weights, constant features, rectified outputs and big biases included."""
    n_classes = data.draw(st.integers(2, 4))
    steps = data.draw(networks(3, n_classes))
    program = classification(*steps, Link(kind="softmax"), classes=np.arange(n_classes), n_features=3)
    X = data.draw(inputs(program, min_rows=4))
    difference = np.abs(run(quantized(program, X, "int16"), X) - run(program, X)).max()
    assert difference <= network_error(steps, X) / 2 + LINK + ROUNDING


def test_a_rectifier_at_the_end_of_a_network_is_kept():
    """The last layer's activation counts like any other's, for values and for scores of classes."""
    X = rows(-1, 0.25, 1)
    program = regression(layer([[1]], [0], "relu"))
    np.testing.assert_allclose(run(quantized(program, X, "int16"), X), np.maximum(X, 0), atol=1e-3)
    scores = layer([[1], [-1]], [0, 0], "relu")
    program = classification(scores, Link(kind="softmax"), classes=np.arange(2))
    np.testing.assert_allclose(run(quantized(program, X, "int16"), X), run(program, X), atol=1e-3)


@pytest.mark.parametrize("slope", [1.0, -1.0])
@pytest.mark.parametrize("constant", [0.0, 1e3, 1e6, 1.7e9, 1e30])
def test_a_large_constant_column_hides_nothing(constant, slope):
    """Standardisation makes zero of a constant, and so do the integers, though its code has coarse steps."""
    X = np.column_stack([np.linspace(-1, 1, 50), np.full(50, constant)]).astype(np.float32)
    offset, scale = np.array([0, constant], np.float32), np.array([1, slope], np.float32)
    steps = (Affine(offset=offset, scale=scale), layer([[1, 1], [-1, 1]], [0, 0]))
    program = classification(*steps, Link(kind="softmax"), classes=np.arange(2), n_features=2)
    np.testing.assert_allclose(run(quantized(program, X, "int16"), X), run(program, X), atol=1e-3)
    program = regression(*steps[:1], layer([[1, 1]], [0]), n_features=2)
    np.testing.assert_allclose(run(quantized(program, X, "int16"), X), run(program, X), atol=1e-3)


def test_rows_beyond_the_calibration_rows_are_not_cut_off_at_once():
    """Inputs and activations have room for values twice as far out; much further out they saturate."""
    X = rows(*np.linspace(0, 1, 50))
    program = regression(layer([[1], [-1]], [0, 0.5], "relu"), layer([[1, 1]], [0], "identity"))
    integer = quantized(program, X, "int16")
    beyond = rows(-0.9, 1.7)
    np.testing.assert_allclose(run(integer, beyond), run(program, beyond), atol=2e-3)
    assert run(integer, rows(100)).item() == run(integer, rows(1000)).item() < 4


def test_constant_columns_and_zero_weights():
    """A network that sees nothing answers with its biases."""
    program = classification(layer(np.zeros((2, 3)), [1, 3]), Link(kind="softmax"), classes=np.arange(2), n_features=3)
    X = np.full((5, 3), [0, 7, -1e6], np.float32)
    np.testing.assert_allclose(run(quantized(program, X, "int8"), X), run(program, X), atol=LINK)


def test_features_of_different_magnitudes_are_scaled_apart_by_standardisation():
    """An Affine gives each feature its own scale: one of 1e6 and one of 1e-6 both count."""
    rng = np.random.default_rng(0)
    sizes = np.array([1e6, 1e-6], np.float32)
    X = (rng.normal(size=(200, 2)) * sizes).astype(np.float32)
    steps = (Affine(offset=np.zeros(2, np.float32), scale=1 / sizes), layer([[1, 0], [0, 1]], [0, 0]))
    program = classification(*steps, Link(kind="softmax"), classes=np.arange(2), n_features=2)
    np.testing.assert_allclose(run(quantized(program, X, "int16"), X), run(program, X), atol=1e-3)


# ---------------------------------------------------------------- both


def average_errors(program, X):
    return [np.abs(run(quantized(program, X, mode), X) - run(program, X)).mean() for mode in BITS]


@pytest.mark.parametrize("kind", ["trees", "network"])
def test_the_error_shrinks_with_bits(kind):
    """On the average of random models, 8 bits err less than a quarter of 4 bits, and 16 less than a quarter of 8."""
    rng = np.random.default_rng(0)
    totals = np.zeros(3)
    for _ in range(20):
        X = rng.normal(size=(200, 4)).astype(np.float32)
        if kind == "trees":
            tables = votes(10, 10, vector=False)
            value = rng.normal(size=tables.value.shape)
            tables = dataclasses.replace(tables, value=value, threshold=rng.normal(size=20))
            root = (tables, Link(kind="sigmoid"))
        else:
            root = (layer(rng.normal(size=(8, 4)), rng.normal(size=8), "relu"), layer(rng.normal(size=(2, 8)), [0, 1]))
            root = (*root, Link(kind="softmax"))
        totals += average_errors(classification(*root, classes=np.arange(2), n_features=4), X)
    assert totals[1] < totals[0] / 4
    assert totals[2] < totals[1] / 4


@examples(60)
@given(data=st.data())
def test_probabilities_stay_probabilities(data):
    """Of any program, in any mode: each from 0 to 1, and rows sum to one within a step for each class and member."""
    program = data.draw(programs(task="classification"))
    X = data.draw(inputs(program))
    integer = quantized(program, X, data.draw(MODES))
    found = run(integer, X)
    n_members = sum(len(node.members) for node in descendants(program.root) if isinstance(node, Combine))
    assert found.min() >= 0
    assert found.max() <= 1
    if not any(isinstance(node, Combine) and node.rule == "vote" for node in descendants(program.root)):
        assert np.abs(found.sum(axis=1) - 1).max() <= (len(program.classes) + max(n_members, 1)) * 2.0**-15


# ---------------------------------------------------------------- refused


@pytest.mark.parametrize("mode", ["float16", "float32", "dynamic", "int2", "", None, 8])
def test_other_modes_are_refused(mode):
    """The message holds the mode and names the three that there are."""
    message = f"mode={mode!r} quantizes no program; use one of ['int4', 'int8', 'int16']"
    with pytest.raises(InvalidInputError, match=re.escape(message)):
        quantize_program(regression(dense(1, 1)), rows(1), mode)


def test_an_integer_program_is_not_quantized_again():
    """The remedy is the float model."""
    with pytest.raises(UnsupportedModelError, match="the program is integer already; quantize the float model"):
        quantize_program(integer_regression(integer_trees([(0, 1)])), rows(1), "int8")


SOFTMAX, PAIR = Link(kind="softmax"), Select(column=np.array([0, 1], np.int32))
BOTH = Combine(members=(SOFTMAX, SOFTMAX), weights=np.array([0.5, 0.5]), rule="mean")


REFUSED = [
    ((dense(2, 2), BOTH), "Dense -> Combine has no integer form; trees, selections and combinations must come first"),
    ((dense(2, 2), Concat(members=(SOFTMAX,))), "Dense -> Concat has no integer form; trees, selections and"),
    ((dense(2, 2), PAIR, SOFTMAX), "Dense -> Select -> Link has no integer form; trees, selections and combinations"),
    ((SOFTMAX, votes(1, 1, vector=True)), "Link -> TreeTable has no integer form; trees, selections and combinations"),
    ((PAIR,), "a selection alone has no integer form; pass features through an Affine"),
    ((Concat(members=(PAIR,)), SOFTMAX), "a selection alone has no integer form; pass features through an Affine"),
]


@pytest.mark.parametrize(("steps", "message"), REFUSED, ids=lambda each: arrows(each) if type(each) is tuple else "")
def test_chains_without_an_integer_form_are_refused(steps, message):
    """What a float program may hold and integers may not is named, in order."""
    program = classification(*steps, classes=np.arange(2), n_features=2)
    with pytest.raises(UnsupportedModelError, match=re.escape(message)):
        quantize_program(program, np.zeros((2, 2), np.float32), "int8")


def test_vector_leaves_that_are_no_distributions_are_refused():
    """Their integers would say how a leaf is shared out, and forget how large it is."""
    value = np.array([[3.0, -1.0], [0.0, 2.0], [1.0, 1.0], [-5.0, 1.0]])
    table = dataclasses.replace(votes(1, 1, vector=True), value=value)
    program = classification(table, Link(kind="softmax"), classes=np.arange(2))
    with pytest.raises(UnsupportedModelError, match="distribution"):
        quantize_program(program, rows(-1, 1), "int8")


@examples(20)
@given(program=programs(), seed=SEEDS)
def test_the_rest_of_the_program_stays(program, seed):
    """Task, classes, names and width are those of the float program, and the same rows give the same integers."""
    X = np.random.default_rng(seed).normal(size=(9, program.n_features)).astype(np.float32)
    one, other = quantized(program, X, "int8"), quantized(program, X, "int8")
    assert (one.task, one.n_features, one.feature_names) == (program.task, program.n_features, program.feature_names)
    assert one.is_integer
    np.testing.assert_array_equal(np.array(one.classes), np.array(program.classes))
    np.testing.assert_array_equal(run(one, X), run(other, X))
