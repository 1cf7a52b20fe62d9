"""Budgets: limits are checked, what is returned fits, and nothing that fits is better."""

import dataclasses
import re
from importlib.resources import files

import numpy as np
import pytest
from samples import boosting, forest, network
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.model_selection import train_test_split

from ensemble_1d import Budget, Ensemble, InvalidInputError, Predictor
from ensemble_1d.budget_search import ParetoPoint, _undominated, layout_within
from ensemble_1d.export.instruction_model import COSTS, WORK, instructions_of, work_of
from ensemble_1d.export.size_model import COEFFICIENTS, KERNELS, counted, size_of
from ensemble_1d.ir import IntegerTreeTable, descendants


def cancer():
    """Return training rows, test rows, and both labels."""
    X, y = load_breast_cancer(return_X_y=True)
    return train_test_split(X.astype(np.float32), y, test_size=0.3, random_state=0)


@pytest.fixture(scope="module")
def trained():
    """A forest, and the rows it was fitted on."""
    X, _, y, _ = cancer()
    return Predictor(forest(n_estimators=20, max_depth=8, random_state=0).fit(X, y).program()), X, y


# ---------------------------------------------------------------- the budget itself


@pytest.mark.parametrize("field", ["flash", "ram", "instructions"])
@pytest.mark.parametrize("limit", [0, -1, 1.5, "8k"])
def test_a_limit_is_a_positive_whole_number(field, limit):
    """The error names the field, the value and the rule."""
    with pytest.raises(InvalidInputError, match=rf"Budget\.{field}={limit!r} is no limit; use a positive whole number"):
        Budget(**{field: limit})


def test_an_unknown_target_is_refused():
    """The error lists those that are known."""
    with pytest.raises(InvalidInputError, match=r"target='z80' is unknown; use one of .*cortex-m0plus"):
        Budget(target="z80")


@pytest.mark.parametrize("field", ["flash", "ram", "instructions"])
def test_a_budget_holds_up_to_its_limit(field):
    """Each limit counts by itself, and the limit is inside."""
    budget = Budget(**{field: 10})
    size = {"flash": 10, "ram": 10, "instructions": 10}
    assert budget.holds(**size)
    assert not budget.holds(**(size | {field: 11}))
    assert Budget().holds(flash=10**9, ram=10**9, instructions=10**9)


# ---------------------------------------------------------------- sizes


def test_tables_are_counted_byte_for_byte(trained):
    """What `predict` reads, and not what turns floats into codes."""
    predictor, X, _ = trained
    header = predictor.quantize("int8", X, compact=True).c_source(layout="size")
    tables, operations, ram = counted(header, "model")
    sizes = {name: int(header.partition(f"{name}[")[2].partition("]")[0]) for name in ("body_0_size", "body_0_data")}
    assert tables == sum(sizes.values())
    assert operations["split"] == 0
    assert ram == 0
    speed, operations, _ = counted(predictor.quantize("int8", X, compact=True).c_source(layout="speed"), "model")
    assert speed == 0
    assert operations["split"] == sum(len(node.cut) for node in _tables(predictor.quantize("int8", X, compact=True)))


def _tables(predictor):
    return [node for node in descendants(predictor.program.root) if isinstance(node, IntegerTreeTable)]


def test_ram_is_the_deepest_call():
    """Arrays of functions that never run at the same time share their place."""
    text = """\
static inline void m_a(int32_t *y)
{
    uint8_t t[3];
}
static inline void m_b(int32_t *y)
{
    int16_t t[4];
}
static inline int32_t m_predict(const int16_t *q)
{
    int32_t y[2];
    m_a(y);
    m_b(y);
    return 0;
}
"""
    assert counted(text, "m")[2] == 2 * 4 + 4 * 2


def test_kernels_that_count_as_a_whole_are_those_of_the_header():
    """A kernel that gets another name, or is new, would be counted by its operations."""
    text = "".join((files("ensemble_1d.export") / name).read_text("utf-8") for name in ("c99_kernels.h", "c99_dense.h"))
    functions = set(re.findall(r"\be1d_(\w+)\([^;{]*\)\n\{", text))
    of_floats, of_inputs = {"is_nan", "affine_step", "rank_step"}, {"store", "smlad"}
    assert functions == {*KERNELS} | of_floats | of_inputs


@pytest.mark.parametrize("target", sorted(COEFFICIENTS))
def test_layouts_grow_from_size_to_speed(trained, target):
    """The size model knows every target, and orders the layouts."""
    predictor, X, _ = trained
    quantized = predictor.quantize("int8", X, compact=True)
    sizes = [size_of(quantized.c_source(layout=each), "model", target) for each in ("size", "balanced", "speed")]
    assert sizes[0].flash < sizes[1].flash < sizes[2].flash
    assert all(size.flash > size.tables for size in sizes)


def test_an_unknown_target_has_no_size(trained):
    """The error lists those that have one."""
    predictor, X, _ = trained
    with pytest.raises(InvalidInputError, match="target='z80' has no size model"):
        size_of(predictor.quantize("int8", X).c_source(), "model", "z80")


# ---------------------------------------------------------------- work


def test_work_counts_splits_trees_and_products():
    """Each row visits as many splits as its leaves lie deep; layers multiply every weight."""
    X, _, y, _ = cancer()
    members = [forest(n_estimators=3, max_depth=1, random_state=0), network(hidden_layer_sizes=(4,), random_state=0)]
    predictor = Ensemble(members, combine="soft", random_state=0).fit(X, y).quantize("int8", X, compact=True)
    work = work_of(predictor.program, predictor.quantize_input(X[:10]), "size")
    assert set(work) == set(WORK)
    assert work["split_size"].tolist() == [3.0] * 10
    assert work["tree"].tolist() == [3.0] * 10
    assert work["product"].tolist() == [30.0 * 4 + 4] * 10
    assert work["code"][0] >= len(np.unique(_tables(predictor)[0].column))
    assert work["sigmoid"].tolist() == [1.0] * 10
    assert work["sum"].tolist() == [4.0] * 10


@pytest.mark.parametrize("target", sorted(COSTS))
def test_faster_layouts_take_fewer_instructions(trained, target):
    """Straight-line code is fastest."""
    predictor, X, _ = trained
    quantized = predictor.quantize("int8", X, compact=True)
    codes = quantized.quantize_input(X[:50])
    size, balanced, speed = (
        instructions_of(quantized.program, codes, layout, target) for layout in ("size", "balanced", "speed")
    )
    assert speed < balanced < size


# ---------------------------------------------------------------- layouts


def test_auto_is_the_fastest_layout_that_fits(trained):
    """With room there is speed, without there is size, and in between there is balance."""
    predictor, X, _ = trained
    quantized = predictor.quantize("int8", X, compact=True)
    sizes = {each: size_of(quantized.c_source(layout=each), "model", "cortex-m0plus").flash for each in LAYOUTS}
    for layout, size in sizes.items():
        budget = Budget(flash=size)
        assert layout_within(budget, quantized.program) == layout
        assert quantized.c_source(layout="auto", budget=budget) == quantized.c_source(layout=layout)
    with pytest.raises(InvalidInputError, match=f"layout 'size' takes {sizes['size']} bytes of flash"):
        quantized.c_source(layout="auto", budget=Budget(flash=sizes["size"] - 1))
    with pytest.raises(InvalidInputError, match="give budget=Budget"):
        quantized.c_source(layout="auto")
    with pytest.raises(InvalidInputError, match=r"no rows to count Budget\.instructions=5000 on"):
        quantized.c_source(layout="auto", budget=Budget(instructions=5000))


LAYOUTS = ("speed", "balanced", "size")


# ---------------------------------------------------------------- the search


def test_what_is_returned_fits_and_nothing_that_fits_is_better(trained):
    """More flash never makes the answer worse, and the C code answers as Python does."""
    predictor, X, y = trained
    scores = []
    for flash in (300, 600, 5000):
        found = predictor.quantize("int8", X, y, budget=Budget(flash=flash))
        table = found.pareto()
        chosen = table.points[table.chosen]
        assert chosen.fits
        assert chosen.flash == size_of(found.c_source(), "model", "cortex-m0plus").flash <= flash
        assert chosen.score == max(point.score for point in table.points if point.fits)
        assert found.c_source() == found.c_source(layout=chosen.layout)
        assert found.verify_c(X).n_different == 0
        scores.append(chosen.score)
        assert "forms tried for Budget(flash=" in str(table)
        assert sum(line.startswith(">") for line in str(table).splitlines()) == 1
    assert scores == sorted(scores)
    assert chosen.layout == "speed"


def test_a_budget_that_nothing_fits_says_what_the_least_takes(trained):
    """The remedy is in the error."""
    predictor, X, y = trained
    with pytest.raises(
        InvalidInputError, match=r"nothing fits Budget\(flash=50.*the smallest form tried takes \d+ bytes"
    ):
        predictor.quantize("int8", X, y, budget=Budget(flash=50))
    with pytest.raises(InvalidInputError, match="quantizes no program"):
        predictor.quantize("float32", X, y, budget=Budget(flash=5000))


def test_members_that_do_not_fit_are_left_out():
    """A small budget keeps some members of three, named in the table; labels and the fit on rows are not needed."""
    X, _, y, _ = cancer()
    members = [
        ("forest", forest(n_estimators=5, max_depth=4, random_state=0)),
        ("boosting", boosting(n_estimators=5, random_state=0)),
        ("network", network(hidden_layer_sizes=(4,), random_state=0)),
    ]
    ensemble = Ensemble(members, combine="soft", random_state=0).fit(X, y)
    found = ensemble.quantize("int8", X, budget=Budget(flash=700))
    chosen = found.pareto().points[found.pareto().chosen]
    assert 1 <= len(chosen.members) < 3
    assert found.pareto().score_name == "agreement"
    assert (found.predict(X) == ensemble.predict(X)).mean() > 0.9
    everything = {point.members for point in found.pareto().points}
    assert all(set(each) <= {"forest", "boosting", "network"} for each in everything)


def test_values_have_a_budget_too():
    """Regression is scored by R2."""
    X, y = load_diabetes(return_X_y=True)
    model = boosting(task="regression", n_estimators=20, random_state=0).fit(X, y)
    found = model.quantize("int8", X, y, budget=Budget(flash=1200, ram=100))
    chosen = found.pareto().points[found.pareto().chosen]
    assert found.pareto().score_name == "R2"
    assert chosen.flash <= 1200
    assert chosen.ram <= 100


def test_without_a_budget_there_is_no_table(trained):
    """The error says how to get one."""
    predictor, X, _ = trained
    with pytest.raises(InvalidInputError, match=r"quantize.*budget=Budget"):
        predictor.quantize("int8", X).pareto()


def test_instructions_are_a_limit_too(trained):
    """Straight-line code answers within fewer instructions than any other layout; none answers within ten."""
    predictor, X, y = trained
    found = predictor.quantize("int8", X, y, budget=Budget(instructions=700))
    chosen = found.pareto().points[found.pareto().chosen]
    assert chosen.instructions <= 700
    with pytest.raises(InvalidInputError, match="nothing fits"):
        predictor.quantize("int8", X, y, budget=Budget(instructions=10))
    with pytest.raises(InvalidInputError, match="target='z80' have no model"):
        instructions_of(found.program, found.quantize_input(X), "size", "z80")


def test_beaten_points_are_left_out():
    """A point stays if no other is as good in score, flash and instructions; the chosen one stays in any case."""
    base = ParetoPoint(
        members=(), n_trees=1, n_splits=1, mode="int8", layout="size", flash=10, ram=0, instructions=10, score=0.5,
        fits=True,
    )  # fmt: skip
    better = dataclasses.replace(base, score=0.6)
    smaller = dataclasses.replace(base, flash=9, score=0.4)
    slower = dataclasses.replace(base, instructions=11)
    assert _undominated([base, better, smaller, slower], better) == [better, smaller]
    assert _undominated([base, better], base) == [base, better]
    assert _undominated([base, dataclasses.replace(base)], base) == [base, base]
