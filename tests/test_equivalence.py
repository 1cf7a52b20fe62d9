"""Program by consumer: the generated C equals the NumPy runtime bit for bit, under every compiler and option."""

import numpy as np
import pytest
from c_harness import C99, CPP11, SANITIZED, WARNINGS, Case, assert_equal_in_c, need
from hypothesis import given
from hypothesis import strategies as st
from integer_strategies import code_rows, float_rows, integer_programs
from strategies import MODES, SEEDS, examples, inputs, programs

from ensemble_1d.export.verification import verify_header
from ensemble_1d.quantization.programs import quantize_program

CONFIGURATIONS = {
    "gcc -O0": ("gcc", (*C99, "-O0")),
    "gcc -O2": ("gcc", (*C99, "-O2")),
    "gcc sanitized": ("gcc", (*C99, "-O1", *SANITIZED)),
    "g++ -O2": ("g++", (*CPP11, "-O2")),
    "clang -O2": ("clang", (*C99, "-O2")),
    "clang++ -O1": ("clang++", (*CPP11, "-O1")),
}

LANGUAGES = {"c99": ("-std=c99",), "gnu11": ("-std=gnu11",), "c++11": ("-x", "c++", "-std=c++11")}
FURTHER = {
    f"{compiler} {language} {level}": (compiler, (*flags, *WARNINGS, level))
    for compiler in ("gcc", "clang")
    for language, flags in LANGUAGES.items()
    for level in ("-O0", "-O1", "-O2", "-O3", "-Os")
} | {
    "gcc native": ("gcc", ("-std=gnu11", *WARNINGS, "-O3", "-march=native", "-funsigned-char")),
    "clang sanitized": ("clang", (*C99, "-O1", *SANITIZED, "-fsanitize=integer,float-cast-overflow")),
    "clang++ sanitized": ("clang++", (*CPP11, "-O2", *SANITIZED)),
}


@st.composite
def quantized_cases(draw):
    """Draw a float program quantized on random rows."""
    program = draw(programs())
    integer = quantize_program(program, draw(inputs(program)), draw(MODES)).program
    return _case(integer, draw(SEEDS))


@st.composite
def integer_cases(draw):
    """Draw an integer program of any nodes."""
    return _case(draw(integer_programs()), draw(SEEDS))


def _case(program, seed):
    rng = np.random.default_rng(seed)
    return Case(program, code_rows(program, rng, 60), float_rows(program.n_features, rng, 40))


BATCHES = st.lists(st.one_of(quantized_cases(), integer_cases()), min_size=4, max_size=8)
"""Models that are compiled together: starting a compiler takes longer than compiling one of them."""


@pytest.mark.parametrize("configuration", CONFIGURATIONS)
@examples(10)
@given(cases=BATCHES)
def test_c_equals_the_runtime_on_any_codes_and_floats(configuration, cases):
    """Any int16 codes give the answers and probabilities of NumPy, and any floats its codes."""
    compiler, flags = CONFIGURATIONS[configuration]
    assert_equal_in_c(cases, need(compiler), flags)


@pytest.mark.slow
@pytest.mark.parametrize("configuration", FURTHER)
@examples(15)
@given(cases=BATCHES)
def test_c_equals_the_runtime_in_every_language_and_at_every_level(configuration, cases):
    """C and C++, GNU or not, at every level of optimization, on this machine's own instructions, under sanitizers."""
    compiler, flags = FURTHER[configuration]
    assert_equal_in_c(cases, need(compiler), flags)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@examples(10)
@given(cases=BATCHES)
def test_integers_survive_options_that_break_floats(compiler, cases):
    """Under -ffast-math only the codes of floats could change: no answer to a code does."""
    only_codes = [Case(case.program, case.codes, case.floats[:0]) for case in cases]
    assert_equal_in_c(only_codes, need(compiler), (*C99, "-O2", "-ffast-math"))


@examples(15)
@given(cases=st.lists(quantized_cases(), min_size=1, max_size=3))
def test_verify_header_finds_no_difference(cases):
    """The package's own check agrees, on floats of every kind."""
    need("cc")
    for case in cases:
        found = verify_header(case.program, case.floats, flags=("-O1",))
        assert (found.n_rows, found.n_different) == (len(case.floats), 0)
