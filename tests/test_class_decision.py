"""What `predict` may leave out: it is the argmax of the probabilities all the same, ties to the first one."""

import dataclasses

import numpy as np
import pytest
from c_harness import C99, SANITIZED, assert_predicts
from hypothesis import given
from hypothesis import strategies as st
from integer_forests import decided, fork, grown, quantizer, shares, single_values, table, voted
from integer_strategies import code_rows
from small_nodes import classification, integer_dense, integer_trees, quantize, requantize
from strategies import SEEDS, examples

from ensemble_1d.export.c99 import c99_header
from ensemble_1d.export.class_decision import class_decision
from ensemble_1d.ir import Chain, Dequantize, IntegerLink, Requantize, Select
from ensemble_1d.runtime import evaluate, run_codes

LAYOUTS = ["size", "balanced", "speed", "plain"]


def decision_of(program):
    """Return how the class of a program is decided."""
    first, body, _ = program.integer_parts()
    return class_decision(first, body)


def class_of(decision, scores, steps):
    """Return the class of one row of scores, as the decision says and the remaining steps would."""
    if decision.kind == "threshold":
        return int(scores[0] >= decision.least)
    best = int(np.argmax(scores))
    near = [i for i, score in enumerate(scores) if i != best and scores[best] - score < decision.near]
    if decision.kind == "argmax" or not near:
        return best
    return int(evaluate(Chain(steps=steps), np.array([scores], np.int64))[0].argmax())


def scored(width, *steps, low=-32767, high=32767):
    """Return a program whose scores are its codes, saturated, and what the steps make of them."""
    first = dataclasses.replace(quantizer(np.zeros(width)), missing=False)
    inner = requantize(width, low=low, high=high)
    return classification(
        first,
        Select(column=np.arange(width, dtype=np.int32)),
        inner,
        *steps,
        Dequantize(fraction_bits=15),
        n_features=width,
        classes=np.arange(max(width, 2)),
    )


# ---------------------------------------------------------------- one score


@examples(150)
@given(
    kind=st.sampled_from(["complement", "sigmoid"]),
    multiplier=st.integers(0, 3000),
    shift_in=st.integers(0, 4),
    shift_out=st.integers(0, 12),
    offset=st.integers(-40_000, 40_000),
    twice=st.booleans(),
)
def test_the_threshold_is_the_least_score_of_the_second_class(kind, multiplier, shift_in, shift_out, offset, twice):  # noqa: PLR0917 -- one for each choice
    """Every score from the least to the largest there is, one after the other."""
    scale = requantize(1, 0, 32768, multiplier=multiplier, shift_in=shift_in, shift_out=shift_out, offset=offset)
    wide = requantize(1, -(2**20), 2**20, multiplier=3, shift_out=1) if twice else scale
    program = decided(quantize(), integer_trees([(0, 300), (0, 40), (17, 5)]), scale=scale, kind=kind)
    if twice:
        first, trees, *rest = program.root.steps
        program = classification(first, trees, wide, *rest, classes=np.arange(2))
    decision = decision_of(program)
    assert (decision.kind, decision.n_steps) == ("threshold", 1)
    steps = program.root.steps[2:-1]
    scores = np.arange(5, 358)  # The least and the largest sum of the leaves.
    probabilities = evaluate(Chain(steps=steps), scores[:, np.newaxis])
    second = probabilities[:, 1] > probabilities[:, 0]
    np.testing.assert_array_equal(scores >= decision.least, second)
    assert second.any() or decision.least == 358


def test_a_falling_or_a_wider_step_stays():
    """Only what rises with one score is left out: a negative multiplier, trees, or a link of a link are not."""
    falling = requantize(1, multiplier=-1, offset=32768)
    decision = decision_of(decided(quantize(), integer_trees([(0, 30_000)]), scale=falling))
    assert (decision.kind, decision.n_steps) == ("threshold", 2)
    assert decision.least == 16385
    trees = (integer_trees([(0, 300)]), integer_trees([(100, 20_000)]))
    program = classification(
        quantize(), *trees, IntegerLink(kind="complement"), Dequantize(fraction_bits=15), classes=np.arange(2)
    )
    assert (decision_of(program).kind, decision_of(program).n_steps) == ("threshold", 2)
    links = (IntegerLink(kind="complement"), IntegerLink(kind="softmax"))
    program = classification(
        quantize(), integer_trees([(0, 300)]), *links, Dequantize(fraction_bits=15), classes=np.arange(2)
    )
    assert (decision_of(program).kind, decision_of(program).n_steps) == ("softmax", 2)


def test_codes_may_be_probabilities_without_a_step_before_the_link():
    """A program of a narrow code and its complement has no score of its own, and an answer all the same."""
    program = classification(
        quantizer([True]), IntegerLink(kind="complement"), Dequantize(fraction_bits=15), classes=np.arange(2)
    )
    assert_predicts([program], lambda _: np.arange(256)[:, np.newaxis], LAYOUTS)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_half_of_the_votes_is_a_draw_to_the_last_step(layout):
    """Sums one below, on, and one above the draw, and sigmoids of -1, 0 and 1: the first class unless it is beaten."""
    programs = []
    for n_trees in (2, 7, 40):
        votes = integer_trees([(0, 1)] * n_trees)
        # Each tree on a column of its own: any number of votes can be had.
        votes = dataclasses.replace(votes, column=np.arange(n_trees, dtype=np.int32))
        first = quantizer(np.ones(n_trees))
        scale = requantize(1, multiplier=32768 // n_trees, offset=(32768 % n_trees) // 2)
        programs.append(decided(first, votes, scale=scale))
        for step in (1, 3, 5000):
            centred = requantize(1, -(2**28), 2**28, multiplier=step, offset=-step * (n_trees // 2))
            programs.append(decided(first, votes, scale=centred, kind="sigmoid"))

    def rows(program):
        n = program.n_features
        return np.tril(np.ones((n + 1, n)), -1) * 200

    outcomes = [run_codes(each, rows(each).astype(np.int16)) for each in programs]
    assert any((outcome[:, 0] == outcome[:, 1]).any() for outcome in outcomes)
    assert_predicts(programs, rows, [layout])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_class_that_is_always_or_never_chosen(layout):
    """No sum reaches the least one, or every sum does: there is nothing to stop early."""
    programs = [
        decided(quantize(), integer_trees([(0, 300), (5, 9)]), scale=requantize(1, offset=offset))
        for offset in (0, 16384, 16379, 16380, 32000)
    ]
    assert [decision_of(each).least for each in programs] == [310, 5, 6, 5, 5]
    assert_predicts(programs, lambda _: [[-5], [0], [1], [9]], [layout])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_least_score_beyond_32_bits_is_never_reached(layout):
    """The largest score may be the largest int32: one above it has no literal."""
    first = quantizer([True])
    score = integer_dense([[1]], [2**31 - 1 - 255])
    program = classification(
        first,
        score,
        requantize(1, multiplier=0),
        IntegerLink(kind="complement"),
        Dequantize(fraction_bits=15),
        classes=np.arange(2),
    )
    assert_predicts([program], lambda _: [[0], [255]], [layout])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_scores_of_a_lone_layer_are_compared_before_their_scale(layout):
    """A layer and the scales after it are one loop, yet the least score is one of the layer alone."""
    program = classification(
        quantizer([True]),
        integer_dense([[3]], [-300]),
        requantize(1, -(2**15), 2**15, shift_out=6),
        IntegerLink(kind="sigmoid"),
        Dequantize(fraction_bits=15),
        classes=np.arange(2),
    )
    decision = decision_of(program)
    assert (decision.kind, decision.n_steps) == ("threshold", 1)
    assert_predicts([program], lambda _: np.arange(256)[:, np.newaxis], [layout])


@pytest.mark.parametrize("layout", LAYOUTS)
def test_trees_that_stay_plain_have_no_early_exit(layout):
    """Where no layout has room for a table, its sum is compared as a whole."""
    rng = np.random.default_rng(0)
    left, right, root = fork(30_000)
    value = single_values(rng, (left, right, root), "few", np.uint8)
    trees = table(left, right, root, value, column=np.zeros(len(left)), cut=rng.integers(0, 255, len(left)))
    scale = requantize(1, multiplier=32768 // 256)
    program = decided(quantizer([True]), trees, scale=scale)
    assert decision_of(program).kind == "threshold"
    assert_predicts([program], lambda each: code_rows(each, rng, 30), [layout])


@pytest.mark.parametrize(("layout", "compiler"), list(zip(LAYOUTS, ["gcc", "clang", "clang", "gcc"], strict=True)))
@examples(6)
@given(seeds=st.lists(SEEDS, min_size=5, max_size=5))
def test_trees_in_order_of_their_reach_stop_at_the_right_sum(layout, compiler, seeds):
    """Forests and boosting of two classes, whose least sum lies anywhere between the least and the largest."""
    programs = []
    for rng in map(np.random.default_rng, seeds):
        left, right, root = grown(rng, int(rng.choice([1, 2, 9, 40, 300])), int(rng.choice([0, 5, 60])))
        dtype = rng.choice([np.int8, np.uint8, np.int16, np.uint16])
        value = single_values(rng, (left, right, root), rng.choice(["any", "two", "either", "few", "steps"]), dtype)
        narrow = rng.random(3) < rng.choice([0, 1])
        column = rng.integers(0, 3, len(left))
        cut = np.where(narrow[column], rng.integers(0, 255, len(left)), rng.integers(-300, 300, len(left)))
        trees = table(left, right, root, value, column=column, cut=cut)
        first = quantizer(narrow)
        sums = evaluate(trees, code_rows(decided(first, trees, scale=requantize(1)), rng, 200))
        # The least sum is one that rows have, or next to it.
        least = int(rng.choice(sums.ravel())) + int(rng.integers(-1, 2))
        offset = requantize(1, -(2**28), 2**28, offset=1 - least)
        programs.append(decided(first, trees, scale=offset, kind="sigmoid"))
    assert {decision_of(each).kind for each in programs} == {"threshold"}
    flags = (*C99, "-O1", *SANITIZED)
    assert_predicts(
        programs, lambda each: code_rows(each, np.random.default_rng(seeds[0]), 60), [layout], compiler, flags
    )


def test_the_early_exit_is_there_for_a_lone_table_alone():
    """`predict` of trees before a link asks whether the sum is reached; of a combination it adds all up."""
    trees = integer_trees([(0, 300), (5, 9)])
    scale = requantize(1, offset=16200)
    assert "return m_body_0_reaches(" in c99_header(decided(quantize(), trees, scale=scale), "m")
    assert "_reaches" not in c99_header(decided(quantize(), Chain(steps=(trees, trees)), scale=scale), "m")
    assert "_reaches" not in c99_header(decided(quantize(), trees, scale=scale), "m", "plain")


# ---------------------------------------------------------------- several scores


@examples(60)
@given(seed=SEEDS, n_classes=st.integers(2, 40), layout=st.sampled_from(["balanced", "speed"]))
def test_near_logits_are_decided_by_their_probabilities(seed, n_classes, layout):
    """Logits that are equal, or a few steps apart, up to where two probabilities must differ."""
    program = scored(n_classes, IntegerLink(kind="softmax"))
    decision = decision_of(program)
    assert (decision.kind, decision.n_steps) == ("softmax", 2)
    rows = near_logits(np.random.default_rng(seed), n_classes, decision.near, 40)
    expected = run_codes(program, rows).argmax(axis=1)
    steps = program.root.steps[3:-1]
    assert [class_of(decision, row, steps) for row in rows.astype(np.int64)] == expected.tolist()
    assert "m_softmax_class(y" in c99_header(program, "m", layout)


def near_logits(rng, n_classes, near, n_rows):
    """Return logits in which some come close to the largest, before and after it."""
    rows = rng.integers(-30_000, 20_000, (n_rows, n_classes))
    top = 20_000 + rng.integers(0, 5, (n_rows, 1))
    close = top - rng.integers(0, near + 3, rows.shape)
    tiny = top - rng.integers(0, 4, rows.shape)
    rows = np.where(rng.random(rows.shape) < rng.random((n_rows, 1)), close, rows)
    rows = np.where(rng.random(rows.shape) < 0.3, tiny, rows)
    rows[np.arange(n_rows), rng.integers(0, n_classes, n_rows)] = top[:, 0]
    return rows.astype(np.int16)


@pytest.mark.parametrize("n_classes", [2, 3, 5, 10, 100, 255])
def test_beyond_near_the_larger_logit_has_the_larger_probability(n_classes):
    """For any number of other classes as large as the largest, which make the quotients coarse."""
    link = IntegerLink(kind="softmax")
    near = decision_of(scored(n_classes, link)).near
    for n_equal in sorted({1, 2, n_classes // 2, n_classes - 1} - {0, n_classes}):
        distance = np.arange(near, min(near + 3000, 40_000))
        rows = np.zeros((len(distance), n_classes), np.int64)
        rows[:, 0] = -distance
        rows[:, 1 + n_equal :] = -30_000
        probability = evaluate(link, rows)
        assert (probability[:, 0] < probability[:, 1]).all()
    # It is no larger than need be: nearer ones may share their probability.
    assert near < 64 * n_classes


def test_more_classes_than_the_proof_covers_are_compared_as_probabilities():
    """From 256 classes on, `predict` takes every step."""
    program = scored(256, IntegerLink(kind="softmax"))
    assert (decision_of(program).kind, decision_of(program).n_steps) == ("argmax", 3)


@pytest.mark.parametrize(("layout", "compiler"), list(zip(LAYOUTS, ["gcc", "clang", "gcc", "clang"], strict=True)))
def test_predict_is_the_argmax_of_near_probabilities(layout, compiler):
    """Networks and boosting: softmax of logits that tie, that nearly tie, and that are far from it."""
    programs = [scored(n_classes, IntegerLink(kind="softmax")) for n_classes in (2, 3, 7, 40)]
    programs += [
        scored(
            n_classes, requantize(n_classes, -(2**28), 2**28, multiplier=3, shift_out=2), IntegerLink(kind="softmax")
        )
        for n_classes in (2, 5)
    ]
    rng = np.random.default_rng(0)

    def rows(program):
        return near_logits(rng, program.n_features, decision_of(program).near, 150)

    tied = [np.sort(run_codes(each, rows(each)), axis=1) for each in programs]
    assert all((each[:, -1] == each[:, -2]).any() for each in tied)
    assert_predicts(programs, rows, [layout], compiler)


# ---------------------------------------------------------------- steps that keep the order


def test_a_step_that_treats_all_classes_alike_is_left_out():
    """Sums of shares are compared as they are; so are sums that several such steps would rescale."""
    sums = integer_trees([(0, 300)], n_outputs=3)
    program = voted(quantize(), sums, requantize(3, multiplier=2), requantize(3, multiplier=3, shift_out=1), width=3)
    decision = decision_of(program)
    assert (decision.kind, decision.n_steps) == ("argmax", 1)


@pytest.mark.parametrize(
    "fields",
    [
        {"multiplier": 1, "shift_out": 1},
        {"multiplier": 2047, "shift_out": 11},
        {"multiplier": 8, "shift_in": 1},
        {"multiplier": 0},
        {"multiplier": -1, "offset": 32768},
        {"multiplier": 110},
        {"offset": -1},
        {"multiplier": 2, "offset": 32768 - 599},
        {"multiplier": np.array([1, 1, 2])},
        {"offset": np.array([0, 1, 0])},
        {"shift_in": np.array([0, 0, 1])},
        {"multiplier": np.array([4, 4, 4]), "shift_out": np.array([1, 1, 2])},
    ],
    ids=repr,
)
def test_a_step_that_merges_saturates_or_prefers_stays(fields):
    """Merged sums tie where the sums did not, and `predict` must choose the first of them, as the runtime does."""
    node = requantize(3)
    dtypes = {name: getattr(node, name).dtype for name in ("shift_in", "multiplier", "shift_out", "offset")}
    node = dataclasses.replace(
        node, **{name: np.broadcast_to(value, 3).astype(dtypes[name]) for name, value in fields.items()}
    )
    program = voted(quantize(), dataclasses.replace(integer_trees([(0, 300)], n_outputs=3)), node, width=3)
    assert (decision_of(program).kind, decision_of(program).n_steps) == ("argmax", 2)


def test_the_largest_step_that_just_fits_is_left_out():
    """One more and it would saturate."""
    trees = integer_trees([(0, 300)], n_outputs=3)
    fits = requantize(3, multiplier=2, offset=32768 - 600)
    assert decision_of(voted(quantize(), trees, fits, width=3)).n_steps == 1


@pytest.mark.parametrize(("layout", "compiler"), list(zip(LAYOUTS, ["clang", "gcc", "clang", "gcc"], strict=True)))
@examples(4)
@given(seeds=st.lists(SEEDS, min_size=6, max_size=6))
def test_predict_is_the_argmax_where_sums_merge_or_saturate(layout, compiler, seeds):
    """Forests of several classes before a step that may keep the order, merge neighbours, saturate, or differ."""
    programs = []
    for rng in map(np.random.default_rng, seeds):
        width = int(rng.integers(2, 6))
        left, right, root = grown(rng, int(rng.choice([2, 4, 9])), 30)
        value = shares(rng, 2 * len(left), width, int(rng.choice([1, 2, 255])))
        trees = table(
            left, right, root, value, column=np.zeros(len(left)), cut=rng.integers(0, 255, len(left)), n_outputs=width
        )
        shift = int(rng.integers(0, 9))
        multiplier = np.full(width, int(rng.integers(1, 2 << shift)))
        offset = np.full(width, int(rng.choice([0, 0, -100, 100])))
        if rng.random() < 0.3:
            multiplier[0] += 1
            offset[-1] += int(rng.integers(-3, 4))
        zero = np.zeros(width, np.uint8)
        high = int(rng.choice([200, 32768]))
        node = Requantize(
            shift_in=zero,
            multiplier=multiplier.astype(np.int32),
            shift_out=zero + np.uint8(shift),
            offset=offset.astype(np.int32),
            low=0,
            high=high,
        )
        programs.append(voted(quantizer([True]), trees, node, width=width))
    assert_predicts(programs, lambda _: np.arange(256)[:, np.newaxis], [layout], compiler)
