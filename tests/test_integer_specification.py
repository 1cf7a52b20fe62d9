"""docs/integers.md is the oracle of integers: its blocks, in plain Python, give the integers that the package gives."""

import dataclasses
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from integer_strategies import INT32_MAX, code_rows, float_rows, integer_programs, quantizer
from pages import definitions_of, plain, plain_program, sections_of
from samples import boosting, forest, sample
from small_nodes import integer_dense, integer_trees, requantize
from strategies import MODES, SEEDS, examples, inputs, programs

from ensemble_1d import Ensemble, PyTorchModel, XGBoostModel
from ensemble_1d.errors import InvalidProgramError
from ensemble_1d.ir import (
    Chain,
    Concat,
    IntegerCombine,
    IntegerLink,
    IntegerLog,
    IntegerTreeTable,
    Select,
    descendants,
    output_bounds,
    output_width,
)
from ensemble_1d.ir.fixed_point import EXP2_TABLE, LOG2_TABLE
from ensemble_1d.ir.nodes import IntegerNode, Routing
from ensemble_1d.quantization.programs import quantize_program
from ensemble_1d.runtime import run, run_codes
from ensemble_1d.runtime_integer import exp2_negative, link, log2_probability, normalise, quantize
from ensemble_1d.storage.fields import FIELDS

PAGE = definitions_of("integers")
ONE = 2**15
NODES = (*get_args(IntegerNode), *get_args(Routing))


def assert_equal_on_codes(program, codes):
    """Compare the integers of every row."""
    described = plain_program(program)
    assert run_codes(program, codes).tolist() == [PAGE.integers_of(described, row) for row in codes.tolist()]


def assert_equal_on_rows(program, X):
    """Compare the codes, and the labels or values, of float rows."""
    first, _, _ = program.integer_parts()
    described, node = plain_program(program), plain(first)
    assert quantize(first, X).tolist() == [PAGE.codes_of(node, row) for row in X.tolist()]
    output = run(program, X)
    expected = output[:, 0] if program.classes is None else program.classes[output.argmax(axis=1)]
    assert expected.tolist() == [PAGE.answer_of(described, row) for row in X.tolist()]


# ---------------------------------------------------------------- the page is whole


@pytest.mark.parametrize("kind", NODES, ids=lambda kind: kind.__name__)
def test_the_page_describes_every_integer_node_and_field(kind):
    """A node has a section with its name in the title, and the section names each of its fields."""
    title, text = next(
        (title, text) for title, text in sections_of("integers").items() if f"`{kind.__name__}`" in title
    )
    missing = [field for field in FIELDS[kind] if f"`{field}`" not in text]
    assert not missing, title


def test_the_tables_are_those_of_the_package():
    """The numbers on the page are the specification of both tables."""
    assert (PAGE.EXP2, PAGE.LOG2) == (EXP2_TABLE, LOG2_TABLE)


# ---------------------------------------------------------------- any program


@examples(150)
@given(program=integer_programs(), seed=SEEDS)
def test_any_integer_program_gives_the_integers_of_the_page(program, seed):
    """Any nodes in any place on any codes, extremes and cuts among them; no intermediate of the page leaves 32 bits."""
    assert_equal_on_codes(program, code_rows(program, np.random.default_rng(seed), 12))


@examples(60)
@given(program=integer_programs(), seed=SEEDS)
def test_any_integer_program_gives_the_answers_of_the_page(program, seed):
    """Any float32 rows give the same codes, labels and values."""
    assert_equal_on_rows(program, float_rows(program.n_features, np.random.default_rng(seed), 12))


@examples(80)
@given(data=st.data())
def test_any_quantized_program_gives_the_answers_of_the_page(data):
    """Whatever the quantizer makes of float programs of any shape, in each mode, with codes of one byte or two."""
    program = data.draw(programs())
    X = data.draw(inputs(program, max_rows=15))
    mode, compact = data.draw(MODES), data.draw(st.booleans())
    integer = quantize_program(program, X, mode, compact=compact).program
    assert_equal_on_codes(integer, code_rows(integer, np.random.default_rng(data.draw(SEEDS)), 8))
    assert_equal_on_rows(integer, X)


@examples(150)
@given(data=st.data())
def test_input_codes_are_those_of_the_page(data):
    """Of any float32: NaN, infinities, subnormals and ties on thresholds included; none leaves its range."""
    rng = np.random.default_rng(data.draw(SEEDS))
    node = quantizer(rng, 2, data.draw(st.integers(0, 2)), missing=data.draw(st.booleans()))
    X = float_rows(2, rng, 30)
    if len(node.thresholds):
        X[:5] = node.thresholds[0]
    found = quantize(node, X)
    assert found.dtype == np.int16
    described = plain(node)
    assert found.tolist() == [PAGE.codes_of(described, row) for row in X.tolist()]
    assert node.missing or found.min() >= -32767


# ---------------------------------------------------------------- trained ensembles


@pytest.fixture(scope="module", params=["binary", "multiclass", "regression"])
def ensemble(request):
    """A forest, boosted trees and a network, with features and temperatures for the meta-model of a classification."""
    pytest.importorskip("xgboost")
    pytest.importorskip("torch")
    data = sample(request.param)
    task = "regression" if request.param == "regression" else "classification"
    members = [
        forest(task=task),
        XGBoostModel(task=task, n_estimators=5, max_depth=3),
        PyTorchModel(task=task, hidden_layer_sizes=(8,), max_epochs=10, device="cpu"),
    ]
    calibrate = {} if task == "regression" else {"calibrate": True}
    return Ensemble(members, task=task, cv=3, passthrough=True, random_state=0, **calibrate).fit(data.X, data.y), data


@pytest.mark.parametrize("rule", ["stacking", "soft", "hard", "optimized", "greedy"])
@pytest.mark.parametrize(("mode", "compact"), [("int8", False), ("int4", True), ("int16", True)])
def test_a_trained_ensemble_gives_the_answers_of_the_page(ensemble, rule, mode, compact):
    """Every combination rule, on the rows it saw, on rows far outside, and on any codes."""
    fitted, data = ensemble
    if rule == "hard" and fitted.task == "regression":
        pytest.skip("values have no votes")
    if fitted.combine != rule:
        fitted.recombine(rule)
    small = fitted.quantize(mode, data.X, compact=compact)
    rng = np.random.default_rng(0)
    far = data.X[:20] * rng.choice([-1e30, -10, 0, 10, 1e30], data.X[:20].shape)
    assert_equal_on_rows(small.program, np.vstack([data.X[:30], far]).astype(np.float32))
    assert_equal_on_codes(small.program, code_rows(small.program, rng, 20))


def test_trained_trees_give_the_answers_of_the_page_on_missing_values():
    """A NaN goes where the trees learned to send it, by a code of its own."""
    pytest.importorskip("xgboost")
    data = sample("missing")
    fitted = Ensemble([forest(), boosting()], combine="soft", random_state=0).fit(data.X, data.y)
    small = fitted.quantize("int8", data.X)
    tables = [node for node in descendants(small.program.root) if isinstance(node, IntegerTreeTable)]
    assert all(len(table.default_left) for table in tables)
    X = data.X.astype(np.float32)
    X[0] = np.nan
    assert_equal_on_rows(small.program, X)
    assert_equal_on_codes(small.program, code_rows(small.program, np.random.default_rng(0), 50))


# ---------------------------------------------------------------- each function over its whole range


def test_the_power_of_half_is_that_of_the_page():
    """Every distance until it is zero, and the largest there can be."""
    distance = [*range(18 * 4096), 2**29, INT32_MAX]
    assert exp2_negative(np.array(distance)).tolist() == [PAGE.power_of_half(each) for each in distance]


def test_the_logarithm_is_that_of_the_page():
    """Every probability, zero too, above floors at both ends and between."""
    probability = list(range(ONE + 1))
    for floor in (1, 3, 1000, ONE - 1, ONE):
        found = log2_probability(IntegerLog(floor=floor), np.array([probability]))[0]
        assert found.tolist() == [PAGE.logarithm(each, floor) for each in probability]


@examples(200)
@given(total=st.integers(ONE, INT32_MAX), part=st.integers(0, ONE))
def test_a_share_is_that_of_the_page(total, part):
    """Any part of any total, in 32 unsigned bits."""
    assert normalise(np.array([part]), np.array([total])).tolist() == [PAGE.share(part, total)]


def test_shares_of_totals_of_every_size_are_those_of_the_page():
    """Totals of every number of bits: what is dropped, the reciprocal, and where a half is rounded up."""
    totals = {min(max(2**k + d, ONE), INT32_MAX) for k in range(15, 32) for d in (-1, 0, 1, 2 ** max(k - 3, 0))}
    parts = np.unique(np.linspace(0, ONE, 200).astype(np.int64))
    for total in sorted(totals):
        found = normalise(parts, np.full_like(parts, total))
        assert found.tolist() == [PAGE.share(part, total) for part in parts.tolist()]


def test_the_sigmoid_is_that_of_the_page():
    """On both sides of the draw at zero, and at both ends."""
    scores = [*range(-3000, 3000), *range(-70000, 70000, 7), -INT32_MAX, INT32_MAX]
    found = link(IntegerLink(kind="sigmoid"), np.array(scores)[:, np.newaxis])
    assert found.tolist() == [PAGE.probabilities("sigmoid", [each]) for each in scores]


# ---------------------------------------------------------------- the proof


def _outcome(refusal, bounds):
    """Return bounds as lists, or None for a refusal."""
    try:
        low, high = bounds()
    except refusal:
        return None
    return [list(map(int, low)), list(map(int, high))]


@examples(100)
@given(program=integer_programs(), seed=SEEDS)
def test_the_proof_is_that_of_the_page(program, seed):
    """Both give the same bounds, and refuse the same nodes, where they get any bounds of 32 bits."""
    rng = np.random.default_rng(seed)
    first, body, _ = program.integer_parts()
    widths = {}
    _note_widths(body, first.n_columns, widths)
    for node, width in widths.values():
        ends = np.sort(rng.integers(-(2**31), 2**31, (2, width)) >> rng.choice([0, 8, 15, 16, 30, 31], width), axis=0)
        ends = np.maximum(ends, 0) if rng.random() < 0.5 else ends
        low, high = first.limits() if node is body else ends
        expected = _outcome(InvalidProgramError, lambda low=low, high=high, node=node: output_bounds(node, low, high))
        found = _outcome(
            (OverflowError, ValueError),
            lambda low=low, high=high, node=node: PAGE.bounds_of(plain(node), low.tolist(), high.tolist()),
        )
        assert found == expected
        assert found is not None or node is not body


def _note_widths(node, width, widths):
    """Note every node with the width of its input, and return the width of its output."""
    widths[id(node)] = node, width
    if isinstance(node, Chain):
        for step in node.steps:
            width = _note_widths(step, width, widths)
        return width
    if isinstance(node, Concat | IntegerCombine):
        for member in node.members:
            _note_widths(member, width, widths)
    return output_width(node, width)


CODES = (-32768, 32767)


def _layer(bias):
    return integer_dense([[32767, 32767]], [bias])


def _deep_trees(n):
    return dataclasses.replace(integer_trees([(0, 0)] * n), value=np.full((2 * n, 1), -32768, np.int16))


def _softmax_of_equals(n):
    return Chain(steps=(Select(column=np.zeros(n, np.int32)), IntegerLink(kind="softmax")))


def _mean():
    member = Select(column=np.arange(2, dtype=np.int32))
    return IntegerCombine(members=(member, member), weights=np.array([ONE - 1, 0], np.int32), rule="mean")


def _shifted(multiplier):
    return requantize(2, multiplier=multiplier, shift_out=30)


SOFTMAX, SIGMOID, COMPLEMENT = (IntegerLink(kind=kind) for kind in ("softmax", "sigmoid", "complement"))
LIMITS = {
    "leaves": ((_deep_trees(65535), CODES), (_deep_trees(65536), CODES)),
    "bias": ((_layer(-65535), CODES), (_layer(-65536), CODES)),
    "product": ((requantize(2, multiplier=65535), CODES), (requantize(2, multiplier=65536), CODES)),
    "half": ((_shifted(49151), CODES), (_shifted(49152), CODES)),
    "offset": ((requantize(2, offset=-INT32_MAX + 32768), CODES), (requantize(2, offset=-INT32_MAX + 32767), CODES)),
    "distance": ((SOFTMAX, (-(2**30), 2**30 - 1)), (SOFTMAX, (-(2**30), 2**30))),
    "score": ((SIGMOID, (-INT32_MAX, -5)), (SIGMOID, (-INT32_MAX - 1, -5))),
    "powers": ((_softmax_of_equals(65535), CODES), (_softmax_of_equals(65536), CODES)),
    "complement": ((COMPLEMENT, (0, ONE)), (COMPLEMENT, (-1, ONE))),
    "logarithm": ((IntegerLog(floor=7), (0, ONE)), (IntegerLog(floor=7), (0, ONE + 1))),
    "mean": ((_mean(), (-65537, 5)), (_mean(), (-65538, 5))),
}
"""What is just accepted, and one step further: a node, and the ends of both columns of its input."""


@pytest.mark.parametrize("name", LIMITS)
def test_the_proof_ends_where_that_of_the_page_ends(name):
    """Up to the last number both give the same bounds; one step further both refuse."""
    for (node, ends), is_accepted in zip(LIMITS[name], (True, False), strict=True):
        low, high = (np.full(2, end, np.int64) for end in ends)
        expected = _outcome(InvalidProgramError, lambda node=node, low=low, high=high: output_bounds(node, low, high))
        described = plain(node)
        found = _outcome(
            (OverflowError, ValueError),
            lambda low=low, high=high, described=described: PAGE.bounds_of(described, low.tolist(), high.tolist()),
        )
        assert found == expected
        assert (found is not None) == is_accepted
