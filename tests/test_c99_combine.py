"""The class of a combination, without the members that cannot change it: the argmax of all of them all the same."""

import re

import numpy as np
import pytest
from c_harness import C99, SANITIZED, assert_predicts
from hypothesis import given
from hypothesis import strategies as st
from integer_forests import quantizer
from small_nodes import classification, integer_dense, requantize
from strategies import SEEDS, examples

from ensemble_1d.export.c99 import c99_header
from ensemble_1d.ir import Chain, Dequantize, IntegerCombine, IntegerLink, Select

ONE = 2**15


def shown(first, width, high=ONE - 1):
    """Return a member whose outputs are the codes from `first` on, from 0 to `high`."""
    return Chain(steps=(Select(column=np.arange(first, first + width, dtype=np.int32)), requantize(width, high=high)))


def combined(width, weights, rule="mean", members=None):
    """Return a program of members that show their codes, one after the other."""
    n_codes = width * len(weights)
    members = members or [shown(width * i, width) for i in range(len(weights))]
    node = IntegerCombine(members=tuple(members), weights=np.array(weights, np.int32), rule=rule)
    first = quantizer(np.zeros(n_codes))
    return classification(first, node, Dequantize(fraction_bits=15), n_features=n_codes, classes=np.arange(width))


def shares(rng, n_members):
    """Return weights whose sum is one, or a little less."""
    cuts = np.sort(rng.integers(0, ONE + 1, n_members - 1))
    weights = np.diff(np.concatenate([[0], cuts, [ONE]]))
    return np.full(n_members, ONE // n_members) if rng.random() < 0.5 else weights


def near_draws(rng, width, n_members, n_rows=200):
    """Return codes of rows on which members disagree so that sums come close, on top of any others."""
    rows = rng.integers(-5, ONE, (n_rows, n_members, width))
    rows[: n_rows // 2] = rng.choice([0, ONE - 1], (n_rows // 2, n_members, width))
    rows[n_rows // 4 : n_rows // 2] += rng.integers(-3, 1, (n_rows // 4, n_members, width))
    # The last member makes up for the others, to a step or so.
    half = rows[: n_rows // 2]
    half[:, -1, 0] = half[:, :-1, 1:].sum(axis=(1, 2)) - half[:, :-1, 0].sum(axis=1) + rng.integers(-2, 3, len(half))
    return np.clip(rows, -32767, ONE - 1).reshape(n_rows, -1).astype(np.int16)


@pytest.mark.parametrize(("layout", "compiler"), [("balanced", "gcc"), ("speed", "clang")])
@examples(6)
@given(seeds=st.lists(SEEDS, min_size=5, max_size=5))
def test_members_that_are_left_cannot_change_the_class(layout, compiler, seeds):
    """Means and votes of members that agree, disagree, and come within a step of a draw."""
    programs, rows = [], {}
    for rng in map(np.random.default_rng, seeds):
        width, n_members = int(rng.integers(2, 5)), int(rng.integers(2, 6))
        program = combined(width, shares(rng, n_members), rng.choice(["mean", "vote"]))
        programs.append(program)
        rows[id(program)] = near_draws(rng, width, n_members)
    assert_predicts(programs, lambda each: rows[id(each)], [layout], compiler, (*C99, "-O1", *SANITIZED))


@pytest.mark.parametrize("layout", ["balanced", "speed", "size", "plain"])
@pytest.mark.parametrize("rule", ["mean", "vote"])
def test_a_lead_of_just_enough_and_of_one_less(rule, layout):
    """Two members of three are ahead by as much as the third can add, by one more, and by one less."""
    high = ONE - 1
    program = combined(2, [ONE // 4, ONE // 4, ONE // 2], rule)
    firsts = [(high, 0), (0, high), (high, 1), (1, high), (high - 1, 0), (high, high), (0, 0)]
    rows = [(*a, *b, *c) for a in firsts for b in firsts for c in firsts]
    assert_predicts([program], lambda _: np.array(rows, np.int16), [layout])


def test_networks_come_last_and_an_end_before_them():
    """Of three equal members, the first two may decide; the one with weights is asked last, wherever it stands."""
    network = Chain(steps=(integer_dense(np.ones((2, 6), np.int8), [0, 0]), requantize(2, high=ONE - 1)))
    program = combined(2, [ONE // 3] * 3, members=[network, shown(2, 2), shown(4, 2)])
    text = c99_header(program, "m", "balanced")
    body = re.search(r"int32_t m_body_0_class\(.*?\n}", text, re.DOTALL)[0]
    assert re.findall(r"m_body_0_m\d|m_leader|m_argmax", body) == [
        *("m_body_0_m1", "m_body_0_m2", "m_leader", "m_body_0_m0", "m_argmax"),
    ]
    assert "m_body_0_class(" not in c99_header(program, "m", "size")
    codes = near_draws(np.random.default_rng(0), 2, 3)
    assert_predicts([program], lambda _: codes, ["balanced"])


@pytest.mark.parametrize("weights", [[ONE // 2, ONE // 2], [0, 0, ONE], [ONE]])
def test_no_early_end_where_the_last_member_always_counts(weights):
    """A member with half of the weight or more can always change the class."""
    assert "m_body_0_class(" not in c99_header(combined(3, weights), "m", "speed")


@pytest.mark.parametrize("layout", ["balanced", "speed"])
@pytest.mark.parametrize("kind", ["sigmoid", "softmax"])
def test_a_link_after_the_combination_decides_by_its_own_rule(kind, layout):
    """One score against a threshold, or near logits against their probabilities: no lead tells the class there."""
    width = 1 if kind == "sigmoid" else 3
    node = IntegerCombine(
        members=(shown(0, width), shown(width, width), shown(2 * width, width)),
        weights=np.full(3, ONE // 3, np.int32),
        rule="mean",
    )
    # Scores around zero for the sigmoid, and close together for the softmax.
    scale = requantize(width, -(2**15), 2**15, shift_out=2, offset=-4096)
    program = classification(
        quantizer(np.zeros(3 * width)),
        node,
        scale,
        IntegerLink(kind=kind),
        Dequantize(fraction_bits=15),
        n_features=3 * width,
        classes=np.arange(max(width, 2)),
    )
    codes = np.random.default_rng(0).integers(0, ONE, (200, 3 * width)).astype(np.int16)
    assert_predicts([program], lambda _: codes, [layout])
