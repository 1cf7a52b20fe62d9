"""The proof that no integer overflows: what it refuses, what it lets pass, and that it holds."""

import numpy as np
import pytest
from hypothesis import given
from integer_strategies import INT32_MAX, code_rows, integer_programs
from small_nodes import (
    classification,
    dense,
    integer_dense,
    integer_regression,
    integer_trees,
    quantize,
    refuses,
    requantize,
)
from strategies import SEEDS, examples

from ensemble_1d.errors import InvalidProgramError
from ensemble_1d.ir import (
    Chain,
    Concat,
    Dequantize,
    IntegerCombine,
    IntegerDense,
    IntegerLink,
    IntegerLog,
    IntegerTreeTable,
    Link,
    Log,
    Requantize,
    Select,
    output_bounds,
    output_width,
)
from ensemble_1d.ir.bounds import log2_floor
from ensemble_1d.runtime import evaluate, leaves_of_rows
from ensemble_1d.runtime_integer import log2_probability


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        # 32768 = the largest magnitude of a code: 2 * 32768 * 32767 + bias passes 2**31 at a bias of 65536.
        ((integer_dense([[32767, 32767]], [65536]),), "IntegerDense could reach 2147483648, beyond 32 bits"),
        ((requantize(2, multiplier=65536),), "Requantize could reach 2147483648, beyond 32 bits"),
        ((requantize(2, multiplier=65535, shift_out=30),), "Requantize could reach 2684321792, beyond 32 bits"),
        ((requantize(2, offset=INT32_MAX - 32766),), "Requantize could reach 2147483648, beyond 32 bits"),
        ((integer_trees([(0, 65535)] * 32769),), "IntegerTreeTable could reach 2147516415, beyond 32 bits"),
        (
            (requantize(2, multiplier=65535, low=-(2**31), high=INT32_MAX), IntegerLink(kind="softmax")),
            "IntegerLink could reach 4294836225, beyond 32 bits",
        ),
        (
            (
                IntegerCombine(
                    members=(requantize(2, multiplier=3, low=-98304, high=98304),),
                    weights=np.array([32768], np.int32),
                    rule="mean",
                ),
            ),
            "IntegerCombine could reach 3221241856, beyond 32 bits",
        ),
    ],
    ids=lambda each: type(each[-1]).__name__ if isinstance(each, tuple) else "",
)
def test_a_program_that_could_overflow_is_refused(steps, message):
    """The proof knows the largest magnitude of every intermediate to the last step, and one step less passes."""
    tail = () if output_width(Chain(steps=steps), 2) == 1 else (Select(column=np.zeros(1, np.int32)),)
    with refuses(message):
        integer_regression(*steps, *tail, n_features=2)


def test_sums_beyond_64_bits_are_refused():
    """So many inputs that their sum would wrap to a small number."""
    n_inputs = 2**18
    layer = integer_dense(np.full((1, n_inputs), 2**14, np.int16), [0])
    ends = np.full(n_inputs, 2**31, np.int64)
    with pytest.raises(InvalidProgramError, match="IntegerDense could reach 9223372036854775808, beyond 32 bits"):
        output_bounds(layer, -ends, ends)


def test_one_step_below_32_bits_is_accepted():
    """The largest legal magnitudes pass."""
    integer_regression(integer_dense([[32767, 32767]], [65535]), n_features=2)
    integer_regression(requantize(multiplier=65535))
    integer_regression(requantize(offset=INT32_MAX - 32767 - 1))
    integer_regression(integer_trees([(0, 65535)] * 32768))


def test_a_softmax_of_65536_scores_is_refused():
    """Regression: as many equal scores have powers whose sum is 2**31, which C wrapped and NumPy did not."""
    link, scores = IntegerLink(kind="softmax"), np.zeros(65536, np.int64)
    with refuses("IntegerLink could reach 2147483648, beyond 32 bits"):
        output_bounds(link, scores, scores)
    low, high = output_bounds(link, scores[1:], scores[1:])
    assert (low.tolist(), high.tolist()) == ([0] * 65535, [32768] * 65535)


@pytest.mark.parametrize(
    ("low", "high", "reach"),
    [
        (-(2**30), 2**30 - 1, INT32_MAX),
        (5, INT32_MAX, INT32_MAX),
        (-INT32_MAX, -5, INT32_MAX),
        (-(2**30), 2**30, 2**31),
        (5, 2**31, 2**31),
        (-(2**31), -5, 2**31),
    ],
)
@pytest.mark.parametrize("kind", ["softmax", "sigmoid"])
def test_scores_of_a_link_differ_by_31_bits_at_most(kind, low, high, reach):
    """From each other in a softmax, and from zero in a sigmoid, which takes their magnitude."""
    node, low, high = IntegerLink(kind=kind), np.array([low, low]), np.array([high, high])
    if reach > INT32_MAX:
        with refuses(f"IntegerLink could reach {reach}, beyond 32 bits"):
            output_bounds(node, low, high)
    else:
        assert output_bounds(node, low, high)[1].tolist() == [32768, 32768]


def test_complement_takes_a_probability():
    """A score below 0 or above 32768 has no complement."""
    with refuses("complement gets -1..32768; it takes a Q15 probability, 0..32768"):
        output_bounds(IntegerLink(kind="complement"), np.array([-1]), np.array([32768]))
    with refuses("complement gets 0..32769"):
        output_bounds(IntegerLink(kind="complement"), np.array([0]), np.array([32769]))


@pytest.mark.parametrize(("low", "high"), [(-1, 32768), (0, 32769)])
def test_logarithms_are_of_probabilities(low, high):
    """Zero becomes the floor; what could be below 0 or above 32768 is refused, in a program too, and in any column."""
    message = f"IntegerLog gets {low}..{high}; it takes Q15 probabilities, 0..32768"
    with refuses(message):
        output_bounds(IntegerLog(floor=1), np.array([0, low]), np.array([high, 32768]))
    with refuses(message):
        integer_regression(requantize(low=low, high=high, multiplier=2), IntegerLog(floor=1))
    integer_regression(requantize(low=0, high=32768, multiplier=2), IntegerLog(floor=1))


def test_the_lower_bound_of_a_logarithm_is_one_and_a_tight_one():
    """No probability is below it, whatever the floor; at a floor that is a power of two it is reached."""
    for floor in range(1, 32769):
        lowest = int(log2_probability(IntegerLog(floor=floor), np.zeros((1, 1), np.int64))[0, 0])
        assert log2_floor(floor) <= lowest <= log2_floor(floor) + 4096
        assert log2_floor(floor) == lowest or floor & (floor - 1)
    low, high = output_bounds(IntegerLog(floor=1), np.zeros(2, np.int64), np.full(2, 32768))
    assert (low.tolist(), high.tolist()) == ([-15 * 4096] * 2, [0, 0])


def test_bounds_of_members_stand_side_by_side():
    """Each column has those of its own member, in order."""
    node = Concat(members=(integer_trees([(0, 5)]), requantize(low=-3, high=7), IntegerLink(kind="sigmoid")))
    low, high = output_bounds(node, np.array([-32768]), np.array([32767]))
    assert low.tolist() == [0, -3, 0, 0]
    assert high.tolist() == [5, 7, 32768, 32768]
    with refuses("IntegerTreeTable could reach 2147516415, beyond 32 bits"):
        integer_regression(
            Concat(members=(requantize(), integer_trees([(0, 65535)] * 32769))), integer_dense([[1, 0]], [0])
        )


@pytest.mark.parametrize(("low", "high"), [(-1, 32768), (0, 32769)])
def test_class_outputs_are_probabilities(low, high):
    """Outputs outside 0..32768 would not fit predict_proba's 16 bits."""
    steps = (requantize(2, low=low, high=high, multiplier=2),)
    with refuses(f"the class outputs lie in {low}..{high}; they must be Q15 probabilities, 0..32768"):
        classification(quantize(2), *steps, Dequantize(fraction_bits=15), classes=np.arange(2), n_features=2)


def test_class_outputs_have_15_fraction_bits():
    """Any other scale would not be a probability."""
    steps = (quantize(2), requantize(2, multiplier=2))
    classification(*steps, Dequantize(fraction_bits=15), classes=np.arange(2), n_features=2)
    with refuses("they must be Q15 probabilities"):
        classification(*steps, Dequantize(fraction_bits=14), classes=np.arange(2), n_features=2)


def test_output_bounds_refuses_float_nodes():
    """Float nodes have no integer bounds."""
    for node in (dense(1, 1), quantize(), Dequantize(fraction_bits=0), Link(kind="sigmoid"), Log(floor=0.5)):
        with refuses(f"{type(node).__name__} has no place between Quantize and Dequantize"):
            output_bounds(node, np.zeros(1, np.int64), np.ones(1, np.int64))


def test_bounds_of_trees_add_the_extremes_of_each_tree():
    """Two trees of 0..5 and 7..9 sum to 7..14: each reaches only its own leaves."""
    low, high = output_bounds(integer_trees([(0, 5), (9, 7)]), np.array([-32768]), np.array([32767]))
    assert (low.tolist(), high.tolist()) == ([7], [14])


@pytest.mark.parametrize("rule", ["mean", "vote"])
def test_bounds_of_a_combination_are_tight(rule):
    """A member that is alone keeps its bounds to the last step; votes are probabilities."""
    node = IntegerCombine(members=(requantize(2, low=-3, high=7),), weights=np.array([32768], np.int32), rule=rule)
    low, high = output_bounds(node, np.full(2, -32768), np.full(2, 32767))
    assert (low.tolist(), high.tolist()) == (([-3, -3], [7, 7]) if rule == "mean" else ([0, 0], [32768, 32768]))


# ---------------------------------------------------------------- the proof holds


def partial_sums_fit(node, x):
    """Return whether every intermediate of one node, in 64 bits, stays within 32."""
    match node:
        case IntegerDense():
            terms = x[:, np.newaxis, :] * node.weight.astype(np.int64)
            return np.abs(np.cumsum(terms, axis=2) + node.bias[:, np.newaxis]).max() <= INT32_MAX
        case Requantize():
            product = (x >> node.shift_in) * node.multiplier.astype(np.int64)
            rounded = product + (2 ** node.shift_out.astype(np.int64) >> 1)
            return max(np.abs(product).max(), np.abs(rounded).max()) <= INT32_MAX
        case IntegerTreeTable():
            leaves = node.value.astype(np.int64)[leaves_of_rows(node, x)]
            return np.abs(leaves).sum(axis=1).max() <= INT32_MAX
        case IntegerCombine() if node.rule == "mean":
            outputs = [evaluate(member, x) * int(w) for member, w in zip(node.members, node.weights, strict=True)]
            return np.abs(np.cumsum(outputs, axis=0) + 2**14).max() <= INT32_MAX
    return True


def assert_within_bounds(node, x, low, high):
    """Assert that a node and all below it stay inside their proven bounds; return the outputs and their bounds."""
    if isinstance(node, Chain):
        for step in node.steps:
            x, low, high = assert_within_bounds(step, x, low, high)
        return x, low, high
    if isinstance(node, IntegerCombine | Concat):
        for member in node.members:
            assert_within_bounds(member, x, low, high)
    assert partial_sums_fit(node, x)
    found = np.asarray(evaluate(node, x), np.int64)
    low, high = output_bounds(node, low, high)
    assert (found >= low).all()
    assert (found <= high).all()
    return found, low, high


@examples(200)
@given(program=integer_programs(), seed=SEEDS)
def test_no_code_leaves_the_proven_bounds(program, seed):
    """Outputs of every node lie inside its bounds, and every intermediate inside 32 bits, for any codes."""
    first, body, _ = program.integer_parts()
    codes = code_rows(program, np.random.default_rng(seed), 60).astype(np.int64)
    assert_within_bounds(body, codes, *first.limits())
