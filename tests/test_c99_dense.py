"""Dense layers in C: every kernel gives the integers of NumPy, for any shape, any bits and the extremes of both."""

import subprocess

import c_harness
import numpy as np
import pytest
from boards import BOARDS
from c_harness import C99, CPP11, SANITIZED, Case, assert_equal_in_c, check_compiles, need, run_text, undefined_symbols
from hypothesis import assume, given
from hypothesis import strategies as st
from integer_strategies import code_rows, dense_programs, float_rows
from small_nodes import integer_regression, requantize
from strategies import SEEDS, examples
from target_boards import different_rows, foreign_calls
from target_tools import missing

from ensemble_1d.export.c99 import c99_header
from ensemble_1d.export.c99_dense import DenseRun, dense_runs
from ensemble_1d.export.dense_weights import bias_table, dense_weights, weight_table
from ensemble_1d.ir import IntegerDense, Select

COMPILERS = {
    "gcc -O0": ("gcc", (*C99, "-O0")),
    "gcc sanitized": ("gcc", (*C99, "-O1", *SANITIZED)),
    "g++ -O2": ("g++", (*CPP11, "-O2")),
    "clang sanitized": ("clang", (*C99, "-O2", *SANITIZED, "-fsanitize=integer")),
    "clang++ -Os": ("clang++", (*CPP11, "-Os")),
}
WITH_TARGETS = pytest.mark.skipif(bool(missing()), reason=f"not installed: {missing()}")


@st.composite
def cases(draw):
    """Draw a network with rows of any codes."""
    program, rng = draw(dense_programs()), np.random.default_rng(draw(SEEDS))
    return Case(program, code_rows(program, rng, 40), float_rows(program.n_features, rng, 2))


def layer(weight, bias=0, dtype=np.int8):
    """Return a layer of one bias."""
    weight = np.array(weight, dtype)
    return IntegerDense(weight=weight, bias=np.full(len(weight), bias, np.int32))


def case_of(*steps, codes):
    """Return a regression of the steps on rows of codes."""
    codes = np.array(codes, np.int16)
    program = integer_regression(*steps, n_features=codes.shape[1])
    return Case(program, codes, np.zeros((1, codes.shape[1]), np.float32))


def software_dsp(n_models):
    """Return the flags that take the way of SMLAD on this machine."""
    return tuple(f"-DM{i}_SOFTWARE_DSP" for i in range(n_models))


# ---------------------------------------------------------------- kernels


@pytest.mark.parametrize("compiler", COMPILERS)
@examples(4)
@given(batch=st.lists(cases(), min_size=3, max_size=5))
def test_any_network_answers_as_numpy_does(compiler, batch):
    """Any layers, on unsigned activations and, two to a word, on signed ones."""
    command, flags = COMPILERS[compiler]
    for further in ((), software_dsp(len(batch))):
        assert_equal_in_c(batch, need(command), (*flags, *further))


@pytest.mark.parametrize("further", ["", "_SOFTWARE_DSP"], ids=["portable", "dsp"])
@pytest.mark.parametrize(("dtype", "largest"), [(np.int8, 7), (np.int8, 127), (np.int16, 2000)], ids=["4", "8", "16"])
def test_extremes_of_both_sides(dtype, largest, further):
    """All weights and codes at their ends, of equal and of other signs, with the largest bias that 32 bits admit."""
    batch = []
    for n_inputs in (1, 2, 3, 5, 8, 15, 31):
        codes = np.stack([np.full(n_inputs, -32768), np.full(n_inputs, 32767), np.zeros(n_inputs)])
        room = 2**31 - 1 - 32768 * n_inputs * (largest + 1)
        for first in (-largest - 1, largest):
            mixed = np.where(np.arange(n_inputs) % 2, first, -1 - first)
            weight = np.stack([np.full(n_inputs, first), mixed, -1 - mixed])
            for bias in (-room, room):
                row = Select(column=np.array([len(batch) % 3], np.int32))
                batch.append(case_of(layer(weight, bias, dtype), row, codes=codes))
    flags = [f"-DM{i}{further}" for i in range(len(batch))] if further else []
    assert_equal_in_c(batch, need("gcc"), (*C99, "-O2", *flags))


def test_a_kernel_that_is_off_by_one_is_seen(monkeypatch):
    """A wrong shift in either way to the sums gives other answers: the comparison does run both."""
    batch = [case_of(layer([[100, -100, 3]]), codes=[[1, 2, 3], [-5, 7, 11]])]
    good = c_harness.c99_header
    for right, wrong, flags in (("t >> bits", "t >> 7", ()), ("*w >> 24", "*w >> 23", software_dsp(1))):
        assert right in good(batch[0].program, "m0")
        assert_equal_in_c(batch, need("gcc"), (*C99, *flags))
        with monkeypatch.context() as patch:
            wrong_header = good(batch[0].program, "m0").replace(right, wrong)
            patch.setattr(c_harness, "c99_header", lambda *_, text=wrong_header: text)
            with pytest.raises(AssertionError, match="model 0 differs"):
                assert_equal_in_c(batch, need("gcc"), (*C99, *flags))


# ---------------------------------------------------------------- what is a run


def test_layers_and_the_scales_around_them_are_one_step():
    """From the scale before the first layer to the one behind the last; what does not limit to 16 bits parts runs."""
    one, narrow, wide = layer([[1]]), requantize(1, low=-32768, high=32767), requantize(1, low=0, high=32768)
    select = Select(column=np.zeros(1, np.int32))

    def kinds(steps, source):
        return [len(each.layers) if isinstance(each, DenseRun) else type(each) for each in dense_runs(steps, source)]

    assert kinds((narrow, one, narrow, one, wide), "int16_t") == [2]
    assert kinds((one, narrow, wide, select), "int16_t") == [1, Select]
    assert kinds((one, wide, one), "int16_t") == [1, IntegerDense]
    assert kinds((one, select, narrow, one), "int32_t") == [IntegerDense, Select, 1]
    assert kinds((wide, wide, narrow, one), "int32_t") == [1]
    assert kinds((narrow, select), "int16_t") == [type(narrow), Select]


def test_limits_are_written_where_values_can_reach_them():
    """No comparison is left where the bounds of a layer rule it out, and one on each side that they do not."""
    program = integer_regression(layer([[2]]), requantize(1, low=-65536, high=65533), layer([[1]]))
    text = c99_header(program, "m")
    assert "x > 65533" in text
    assert "x < " not in text.partition("m_body_0_1_scale(")[2]


# ---------------------------------------------------------------- tables


def test_weights_take_the_fewest_bits_that_hold_them():
    """4 bits from -8 to 7, 8 from -128 to 127, else 16; rows are even, inputs as many as a processor takes at once."""
    for weight, bits, n_inputs in (
        ([-8, 7], 4, 4),
        ([-9, 0], 8, 2),
        ([0, 8, 0], 8, 4),
        ([127, -128], 8, 2),
        ([128], 16, 2),
    ):
        found = dense_weights(layer([weight], 5, np.int16))
        assert (found.bits, found.weight.shape, found.bias.tolist()) == (bits, (2, n_inputs), [5, 5])
        assert found.weight[0].tolist() == found.weight[1].tolist() == weight + [0] * (n_inputs - len(weight))


def test_tables_by_hand():
    """Two rows in one number, raised to be positive, the second one above the first."""
    both = [[1, -128, 127], [-1, 0, 2]]
    text = weight_table(dense_weights(layer(both)), "w")
    units = [129 + (127 << 8), 0 + (128 << 8), 255 + (130 << 8), 128 + (128 << 8)]
    first, second = (f"E1D_WEIGHTS8({units[k]},{units[k + 1]})" for k in (0, 2))
    assert text.split() == f"static const e1d_weights8 w[] E1D_TABLE = {{ {first}, {second} }};".split()
    text = weight_table(dense_weights(layer([[-8, 7, 0, 1], [1, 2, 3, 4]])), "w")
    assert "E1D_WEIGHTS4(144,175,184,201)" in text
    text = weight_table(dense_weights(layer([[-300, 300]], dtype=np.int16)), "w")
    assert "E1D_WEIGHTS16(-300,300), E1D_WEIGHTS16(-300,300)" in text
    for is_raised, weights in ((True, "126"), (False, "0")):
        text = bias_table(dense_weights(layer([[127, -1]], -7)), "b", raised=is_raised)
        assert text.split()[-3:] == [f"E1D_BIAS(-7,{weights}),", f"E1D_BIAS(-7,{weights})", "};"]


@pytest.mark.parametrize("flags", [(), ("-DM_SOFTWARE_DSP",)], ids=["portable", "dsp"])
@pytest.mark.parametrize(("limit", "n_bytes"), [(7, 2048), (127, 4096), (300, 8192)])
def test_weights_are_packed(limit, n_bytes, flags):
    """A layer of 64 by 64 takes half a byte a weight in 4 bits, one in 8 and two in 16, on every processor."""
    program = integer_regression(
        layer(np.full((64, 64), limit), dtype=np.int16), Select(column=np.zeros(1, np.int32)), n_features=64
    )
    text = '#include "m.h"\n#include <stdio.h>\nint main(void)\n{\n'
    text += '    printf("%d", (int)sizeof m_body_0_1_weight);\n    return 0;\n}\n'
    assert int(run_text(text, need("gcc"), (*C99, *flags), headers={"m.h": c99_header(program, "m")})) == n_bytes


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-Os", "-O2", "-O3"])
def test_a_wide_network_takes_no_library(compiler, level):
    """No loop over activations becomes a call of memcpy or memset."""
    hidden = layer(np.ones((300, 300)))
    wide = requantize(300, low=-32768, high=32767)
    program = integer_regression(hidden, wide, hidden, wide, layer(np.ones((1, 300))), n_features=300)
    text = '#include "m.h"\nint32_t f(const int16_t *q);\n'
    text += "int32_t f(const int16_t *q)\n{\n    return m_predict(q);\n}\n"
    for further in ((), ("-DM_SOFTWARE_DSP",)):
        flags = (*C99, level, *further)
        assert (
            undefined_symbols(check_compiles(text, need(compiler), flags, headers={"m.h": c99_header(program, "m")}))
            == []
        )


# ---------------------------------------------------------------- processors


@pytest.mark.targets
@WITH_TARGETS
@pytest.mark.parametrize("level", ["-Os", "-O2"])
@pytest.mark.parametrize("board", BOARDS)
@examples(6)
@given(case=cases())
def test_any_network_answers_on_a_processor(board, level, case):
    """In the assembly of a Cortex-M0, with SMLAD, and in C, without any library."""
    assume(board != "atmega2560" or case.program.nbytes <= 4000)  # It has 8 KB of RAM for tables and rows.
    header = c99_header(case.program, "model")
    assert different_rows(BOARDS[board], level, case, header) == 0
    assert foreign_calls(BOARDS[board], level, header) == []


@pytest.mark.targets
@WITH_TARGETS
@pytest.mark.parametrize(
    ("board", "constant", "wrong"), [("cortex-m0", "muls %6", "adds %6, %6"), ("cortex-m4", "ror #8", "ror #16")]
)
def test_assembly_is_what_runs(board, constant, wrong):
    """Another instruction there gives other answers here."""
    case = case_of(layer([[100, -100, 3]] * 2), Select(column=np.array([1], np.int32)), codes=[[1, 2, 3], [-5, 7, 11]])
    header = c99_header(case.program, "model")
    assert constant in header
    assert different_rows(BOARDS[board], "-Os", case, header) == 0
    assert different_rows(BOARDS[board], "-Os", case, header.replace(constant, wrong)) > 0


@pytest.mark.targets
@WITH_TARGETS
@pytest.mark.parametrize("cpu", ["cortex-m0plus", "cortex-m23", "cortex-m4", "cortex-m7", "cortex-m33"])
@pytest.mark.parametrize("flags", [("-O0",), ("-O1",), ("-O3",), ("-O2", "-fno-omit-frame-pointer")], ids=" ".join)
def test_assembly_has_registers_enough(cpu, flags, tmp_path):
    """Even where the compiler keeps one to itself, in C as in C++."""
    program = integer_regression(layer(np.full((2, 9), 100)), requantize(2), layer([[7, -8]]), n_features=9)
    (tmp_path / "m.h").write_text(c99_header(program, "m"), encoding="utf-8")
    text = '#include "m.h"\nint32_t f(const int16_t *q);\nint32_t f(const int16_t *q)\n{\n    return m_predict(q);\n}\n'
    (tmp_path / "main.c").write_text(text, encoding="utf-8")
    for language in (C99, CPP11):
        line = ["arm-none-eabi-gcc", "-mthumb", f"-mcpu={cpu}", *language, *flags, "-c", "main.c", "-o", "main.o"]
        done = subprocess.run(line, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
