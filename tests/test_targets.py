"""Program by processor: on microcontrollers, in emulators, the header answers as Python does, to the last bit."""

import numpy as np
import pytest
from boards import BOARDS
from c_harness import Case
from hypothesis import given
from integer_strategies import code_rows, float_rows, integer_programs
from strategies import SEEDS, examples
from target_boards import different_rows, foreign_calls
from target_models import RECIPES, case_for, fitted_case
from target_tools import missing

from ensemble_1d.export.c99 import c99_header

ABSENT = ", ".join(f"{tool} ({package})" for tool, package in missing().items())
pytestmark = [
    pytest.mark.targets,
    pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {ABSENT}"),
]

LEVELS = ("-Os", "-O2")
EVERY_BOARD = pytest.mark.parametrize("board", BOARDS)
EVERY_LEVEL = pytest.mark.parametrize("level", LEVELS)
EVERY_RECIPE = pytest.mark.parametrize("recipe", RECIPES)


def header(case):
    """Return the header of a case, as the boards' program includes it."""
    return c99_header(case.program, "model")


@EVERY_LEVEL
@EVERY_BOARD
@EVERY_RECIPE
def test_fitted_models_answer_as_python_does(recipe, board, level):
    """Every class, value and probability of every test row, and every code of its floats, NaN and infinity included."""
    case = case_for(recipe, board)
    assert different_rows(BOARDS[board], level, case, header(case)) == 0


@EVERY_LEVEL
@EVERY_BOARD
@EVERY_RECIPE
def test_integer_code_calls_nothing(recipe, board, level):
    """No division, no float and no memset, even from libgcc; only the ATmega takes its multiplication from there."""
    assert foreign_calls(BOARDS[board], level, header(fitted_case(recipe))) == []


@EVERY_LEVEL
@EVERY_BOARD
@examples(5)
@given(program=integer_programs(), seed=SEEDS)
def test_any_program_answers_as_python_does(board, level, program, seed):
    """Nodes that no quantizer wrote, with codes at every edge, and any floats."""
    rng = np.random.default_rng(seed)
    case = Case(program, code_rows(program, rng, 60), float_rows(program.n_features, rng, 40))
    assert different_rows(BOARDS[board], level, case, header(case)) == 0
    assert foreign_calls(BOARDS[board], level, header(case)) == []


@EVERY_BOARD
@pytest.mark.parametrize(("constant", "wrong"), [("digit > 0", "digit > 1"), ("- 32767)", "- 32766)")])
def test_a_wrong_constant_is_seen(board, constant, wrong):
    """Off by one in the probabilities, or in the codes of floats: the comparison does compare both."""
    case = fitted_case("boosting-wine")
    assert constant in header(case)
    assert different_rows(BOARDS[board], "-Os", case, header(case).replace(constant, wrong)) > 0
