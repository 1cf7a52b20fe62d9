"""Layouts of trees in C: each equals the runtime, has room for what it should, and leaves the rest to another one."""

import dataclasses
import re

import numpy as np
import pytest
from c_harness import C99, CPP11, SANITIZED, Case, assert_equal_in_c, need
from hypothesis import given
from hypothesis import strategies as st
from integer_forests import (
    chain,
    fork,
    grown,
    quantizer,
    random_program,
    shares,
    single_values,
    summed,
    table,
    voted,
)
from integer_strategies import code_rows, float_rows, integer_programs
from small_nodes import integer_regression, integer_trees, requantize
from strategies import SEEDS, examples

from ensemble_1d import InvalidInputError, Predictor, RandomForestModel
from ensemble_1d.export.c99 import c99_header

LAYOUTS = ["size", "balanced", "speed", "plain"]
CONFIGURATIONS = [
    ("size", "gcc", (*C99, "-Os")),
    ("size", "clang", (*C99, "-O1", *SANITIZED)),
    ("balanced", "gcc", (*C99, "-O1", *SANITIZED)),
    ("balanced", "clang++", (*CPP11, "-O2")),
    ("speed", "g++", (*CPP11, "-O1")),
    ("speed", "clang", (*C99, "-O1", *SANITIZED)),
    ("plain", "gcc", (*C99, "-O2", *SANITIZED)),
]
ALL = [
    (layout, compiler, (*flags, level, *checks))
    for layout in LAYOUTS
    for compiler, flags in (("gcc", C99), ("g++", CPP11), ("clang", C99), ("clang++", CPP11))
    for level, checks in (("-O0", ()), ("-O2", ()), ("-Os", ()), ("-O1", SANITIZED))
]


def names(configurations):
    """Return an identifier for each."""
    return [f"{layout}-{compiler}-{'-'.join(flags[-3:])}" for layout, compiler, flags in configurations]


def case(program, rng, n_rows=50):
    """Return a program with rows of codes, and a few of floats."""
    return Case(program, code_rows(program, rng, n_rows), float_rows(program.n_features, rng, 3))


def used(program, layout="size"):
    """Return the layout that the only table of a program has in C, from the tables and functions of its header."""
    text = c99_header(program, "m", layout)
    if re.search(r"m_body(_0)*_left\[", text):
        return "plain"
    if re.search(r"m_body(_0)*_data\[", text):
        return "size" if "h & 64" in text else "balanced"
    return "speed"


# ---------------------------------------------------------------- every layout against the runtime


@st.composite
def batches(draw):
    """Draw programs of trees that strain a layout, and one of any nodes: compiled together."""
    seeds = draw(st.lists(SEEDS, min_size=5, max_size=7))
    cases = [case(random_program(rng), rng) for rng in map(np.random.default_rng, seeds)]
    rng = np.random.default_rng(seeds[0])
    return [*cases, case(draw(integer_programs()), rng)]


@pytest.mark.parametrize(("layout", "compiler", "flags"), CONFIGURATIONS, ids=names(CONFIGURATIONS))
@examples(5)
@given(cases=batches())
def test_every_layout_equals_the_runtime(layout, compiler, flags, cases):
    """Long columns, deep trees, every kind of leaf, codes that are bytes, made bytes, or shared by tables."""
    assert_equal_in_c(cases, need(compiler), flags, layout=layout)


@pytest.mark.slow
@pytest.mark.parametrize(("layout", "compiler", "flags"), ALL, ids=names(ALL))
@examples(15)
@given(cases=batches())
def test_every_layout_equals_the_runtime_in_every_language_and_at_every_level(layout, compiler, flags, cases):
    """C and C++, at every level of optimization, and under sanitizers."""
    assert_equal_in_c(cases, need(compiler), flags, layout=layout)


def one_table(tree, value, *, n_columns=1, narrow=True, seed=0, **fields):
    """Return a program of one table over these trees, with random columns and cuts."""
    rng = np.random.default_rng(seed)
    left, right, root = tree
    column = rng.integers(0, n_columns, len(left))
    column[rng.permutation(len(left))[:n_columns]] = np.arange(n_columns)[: len(left)]
    cut = rng.integers(0, 256, len(left)) if narrow else rng.integers(-32768, 32768, len(left))
    trees = table(left, right, root, value(rng, left, right, root), column=column, cut=cut, **fields)
    first = quantizer(np.full(n_columns, narrow))
    if trees.value.shape[1] > 1:
        return voted(first, trees, requantize(trees.n_outputs), width=trees.n_outputs)
    return summed(first, trees, width=trees.n_outputs)


def valued(kind, dtype=np.uint8):
    """Return a function that makes leaves of one value."""
    return lambda rng, left, right, root: single_values(rng, (left, right, root), kind, dtype)


def shared(n_classes, total=255, **fields):
    """Return a function that makes leaves of shares."""
    return lambda rng, left, right, root: shares(
        rng, int((~np.concatenate([left, right])).max()) + 1, n_classes, total, **fields
    )


def wood(n_trees=8, n_splits=60, seed=1):
    """Return random trees."""
    return grown(np.random.default_rng(seed), n_trees, n_splits)


NAMED = {
    "a lone split": (one_table(chain(1), valued("any")), ("size", "balanced", "speed")),
    "two values, bits of headers": (one_table(wood(), valued("either")), ("size", "balanced", "speed")),
    "two values, and equal ones in a split": (one_table(wood(), valued("two")), ("size", "balanced", "speed")),
    "equal leaves": (one_table(wood(), valued("equal", np.int16)), ("size", "balanced", "speed")),
    "bits, and more columns than they leave room for": (
        one_table(wood(), valued("either"), n_columns=40),
        ("size", "balanced", "speed"),
    ),
    "63 columns": (one_table(wood(8, 900), valued("any"), n_columns=63), ("size", "size", "speed")),
    "64 columns": (one_table(wood(), valued("few"), n_columns=64), ("size", "balanced", "speed")),
    "255 columns": (one_table(wood(9, 250), valued("either"), n_columns=255), ("size", "size", "speed")),
    "256 columns": (one_table(wood(9, 290), valued("any"), n_columns=256), ("size", "size", "speed")),
    "257 columns": (one_table(wood(9, 290), valued("any"), n_columns=257), ("size", "size", "speed")),
    "300 columns, two values": (one_table(wood(9, 400), valued("either"), n_columns=300), ("size", "size", "speed")),
    "a left child of 255 bytes": (one_table(fork(84), valued("few")), ("size", "balanced", "speed")),
    "a left child of 258 bytes": (one_table(fork(85), valued("few")), ("size", "balanced", "speed")),
    "a left child of 65,000 bytes": (
        one_table(fork(21_600, 30), valued("few"), n_columns=5),
        ("size", "size", "size"),
    ),
    "a left child of 30,000 bytes": (
        one_table(fork(10_000, 30), valued("few"), n_columns=5),
        ("size", "balanced", "size"),
    ),
    "a tree of over 65,535 bytes": (one_table(fork(30_000), valued("few")), ("plain", "plain", "plain")),
    "a right child of 1,000 bytes": (one_table(fork(1, 330), valued("few")), ("size", "balanced", "size")),
    "leaves of two bytes": (one_table(wood(9, 500), valued("any", np.uint16), n_columns=3), ("size", "size", "speed")),
    "many steps of one number": (one_table(wood(), valued("steps", np.int16)), ("size", "balanced", "speed")),
    "wide codes": (one_table(wood(), valued("few"), n_columns=9, narrow=False), ("size", "balanced", "speed")),
    "outputs side by side": (
        one_table(wood(), valued("few", np.int8), output=np.arange(8) % 3, n_outputs=3),
        ("size", "balanced", "speed"),
    ),
    "an output without trees": (
        one_table(wood(), valued("any", np.int8), output=np.arange(8) % 2 * 2, n_outputs=4),
        ("size", "balanced", "speed"),
    ),
    "shares of two classes": (one_table(wood(), shared(2), n_outputs=2), ("size", "balanced", "speed")),
    "pure leaves alone": (one_table(wood(), shared(9, pure=1), n_outputs=9), ("size", "balanced", "speed")),
    "shares of one": (one_table(wood(), shared(5, 1), n_outputs=5), ("size", "balanced", "speed")),
    "shares of 128 classes": (one_table(wood(), shared(128), n_outputs=128), ("size", "balanced", "speed")),
    "shares of 129 classes": (one_table(wood(), shared(129), n_outputs=129), ("plain", "plain", "plain")),
    "more lists than places": (
        one_table(wood(3, 400), shared(120, held=60, pure=0.1), n_outputs=120),
        ("plain", "plain", "speed"),
    ),
    "shares over 70 columns": (one_table(wood(), shared(3), n_columns=70, n_outputs=3), ("size", "balanced", "speed")),
    "shares in a deep tree": (one_table(fork(90), shared(3), n_outputs=3), ("size", "balanced", "speed")),
}


@pytest.mark.parametrize("name", NAMED)
def test_a_layout_is_used_where_it_has_room(name):
    """What has no room in one layout takes the next: balanced and speed fall back to size, and size to plain."""
    program, expected = NAMED[name]
    assert tuple(used(program, layout) for layout in LAYOUTS) == (*expected, "plain")


EDGES = [CONFIGURATIONS[i] for i in (1, 2, 4, 6)]


@pytest.mark.parametrize(("layout", "compiler", "flags"), EDGES, ids=names(EDGES))
def test_every_layout_equals_the_runtime_at_its_limits(layout, compiler, flags):
    """Columns, skips, leaves and lists at the edges of their bytes."""
    rng = np.random.default_rng(2)
    cases = [case(program, rng, 15) for program, _ in NAMED.values()]
    assert_equal_in_c(cases, need(compiler), flags, layout=layout)


@pytest.mark.parametrize(
    "change",
    [
        lambda trees: {"default_left": np.zeros(len(trees.cut), np.bool_)},
        lambda trees: {"value": trees.value // 2},
        lambda trees: {"value": trees.value.astype(np.uint16) * 2},
        lambda trees: {
            "root": np.append(trees.root, -1).astype(np.int32),
            "output": np.append(trees.output, trees.output[:1]),
        },
    ],
    ids=["missing values", "shares of no total", "shares of 9 bits", "a tree of one leaf"],
)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_no_layout_has_room_for_stays_plain(layout, change):
    """The header is written all the same, with one array a field, and answers as ever."""
    program, _ = NAMED["shares of 128 classes"]
    first, trees, *rest = program.root.steps
    trees = dataclasses.replace(trees, **change(trees))
    if len(trees.default_left):
        first = dataclasses.replace(first, missing=True, narrow=np.zeros(first.n_columns, np.bool_))
    program = dataclasses.replace(program, root=dataclasses.replace(program.root, steps=(first, trees, *rest)))
    assert used(program, layout) == "plain"
    assert_equal_in_c([case(program, np.random.default_rng(0))], need("gcc"), C99, layout=layout)


# ---------------------------------------------------------------- the bytes of the size layout


def numbers(text, name):
    """Return the entries of a table of a header."""
    return list(map(int, re.search(rf"\b{name}\[\d+\] M_TABLE = {{([^}}]*)}}", text)[1].split(",")))


def test_a_lone_split_is_packed():
    """The smallest trees there are: a header, a cut and two leaves; of two values a header and a cut."""
    text = c99_header(integer_regression(integer_trees([(3, 4), (9, 11)])), "m")
    # By what a leaf can change: 9 or 11 first.
    assert numbers(text, "m_body_0_data") == [0xC0, 0, 0, 2, 0xC0, 0, 0, 1]
    assert "y[0] = (int32_t)sum + 12;" in text
    text = c99_header(integer_regression(integer_trees([(3, 4), (9, 8)])), "m")
    assert numbers(text, "m_body_0_data") == [0xE0, 0, 0xC0, 0]


# ---------------------------------------------------------------- models


def test_layouts_are_chosen_by_name(multiclass):
    """The size layout is the default and smaller, all equal Python; another name is refused."""
    model = RandomForestModel(n_estimators=100, random_state=0).fit(multiclass.X, multiclass.y)
    predictor = model.quantize("int8", multiclass.X)
    assert isinstance(predictor, Predictor)
    plain, size = predictor.c_source(layout="plain"), predictor.c_source()
    assert "model_body_0_data" in size
    assert "model_body_0_data" not in plain
    assert len(size) < len(plain)
    for layout in LAYOUTS:
        assert predictor.verify_c(multiclass.X, layout=layout).n_different == 0
    with pytest.raises(InvalidInputError, match="layout='fast' is unknown"):
        predictor.c_source(layout="fast")
