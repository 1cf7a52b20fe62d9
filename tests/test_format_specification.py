"""docs/format.md is true: its reader gives what `load` gives, and with docs/integers.md the answers too."""

import json
from pathlib import Path

import numpy as np
import pytest
from e1d_files import file_of, unpacked
from hypothesis import given
from integer_strategies import integer_programs
from pages import definitions_of, plain_program, text_of
from samples import boosting, forest, sample
from small_nodes import integer_regression, integer_trees
from strategies import examples, programs

from ensemble_1d import Predictor, load
from ensemble_1d.ir import Program
from ensemble_1d.storage import limits
from ensemble_1d.storage.artifact import LAYOUTS
from ensemble_1d.storage.fields import FIELDS

PAGE = definitions_of("format")
GOLDEN = Path(__file__).parent / "golden"


def assert_read(program: Program):
    """Compare the program of the page's reader with the one that was saved."""
    assert PAGE.program_of(file_of(program)) == plain_program(program) | {"version": program.version}


@examples(60)
@given(program=programs())
def test_the_reader_reads_any_float_program(program):
    """Trees in any order, labels of any kind, infinite thresholds."""
    assert_read(program)


@examples(60)
@given(program=integer_programs())
def test_the_reader_reads_any_integer_program(program):
    """Every integer node in any place."""
    assert_read(program)


@pytest.mark.parametrize("task", ["binary", "words", "multiclass", "regression", "missing"])
def test_the_reader_reads_trained_trees(task):
    """Breadth-first trees in two bits a split, single leaves among them."""
    pytest.importorskip("xgboost")
    data = sample(task)
    kind = "regression" if task == "regression" else "classification"
    forms = set()
    for make in (forest, boosting):
        model = make(task=kind, random_state=0).fit(data.X, data.y)
        for program in (model.program(), model.quantize("int8", data.X).program):
            assert_read(program)
            forms |= forms_of(program)
    assert forms >= {"breadth first", "leaves by number"}
    assert "packed flags" in forms or task != "missing"


def test_the_reader_reads_leaves_in_the_order_of_the_walk():
    """No leaf is numbered in the file then."""
    program = integer_regression(integer_trees([(1, 2), (3, 4)]))
    assert forms_of(program) == {"breadth first"}
    assert_read(program)
    assert PAGE.program_of(file_of(program))["root"]["steps"][1]["left"] == [-1, -3]


def forms_of(program):
    """Return which of the forms of the page the trees of a file have."""
    text = json.dumps(unpacked(file_of(program))[:2])
    found = {"breadth first": "breadth first", ".leaf": "leaves by number", ".default_left": "packed flags"}
    return {form for key, form in found.items() if key in text}


def test_two_pages_give_the_answers_of_a_golden_file():
    """From the bytes of a file to its labels and probabilities, with nothing but what the pages say."""
    integers = definitions_of("integers")
    answers = json.loads((GOLDEN / "v1-integer.json").read_text(encoding="utf-8"))
    program = PAGE.program_of((GOLDEN / "v1-integer.e1d").read_bytes())
    rows = np.array(answers["rows"], np.float32).tolist()
    assert [integers.answer_of(program, row) for row in rows] == answers["labels"]
    codes = [integers.codes_of(program["root"]["steps"][0], row) for row in rows]
    found = [[each / 32768 for each in integers.integers_of(program, row)] for row in codes]
    assert found == answers["probabilities"]
    assert codes == Predictor(load(GOLDEN / "v1-integer.e1d").program).quantize_input(np.array(rows)).tolist()


def test_the_page_names_limits_layouts_and_text_as_they_are():
    """What the page lists by value or by name is what the code has."""
    text = text_of("format")
    for most in (limits.MAX_TENSORS, limits.MAX_NODES, limits.MAX_COLUMNS, limits.MAX_OUTPUTS):
        assert f"| {most:,}" in text
    assert f"at most {limits.MAX_DEPTH} within each other" in text
    assert (limits.MAX_FILE_BYTES, limits.MAX_HEADER_BYTES) == (4 * 2**30, 16 * 2**20)
    assert "| file | 4 GiB |\n| header | 16 MiB |" in text
    assert all(f'`"{layout}"`' in text for layout in LAYOUTS)
    kinds = {field: kind for fields in FIELDS.values() for field, kind in fields.items()}
    (line,) = [line for line in text.splitlines() if line.startswith("| text (")]
    assert set(line.split("`")[1::2]) == {field for field, kind in kinds.items() if kind == "text"}
    (line,) = [line for line in text.splitlines() if line.startswith("| nodes (")]
    assert set(line.split("`")[1::2]) == {field for field, kind in kinds.items() if kind == "nodes"}
