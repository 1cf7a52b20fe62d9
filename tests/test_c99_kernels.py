"""The fixed C functions on their own, over the whole range of their arguments or at its edges."""

from importlib.resources import files

import numpy as np
import pytest
from c_harness import C99, CPP11, SANITIZED, check_compiles, need, run_text

from ensemble_1d.ir.fixed_point import EXP2_TABLE, LOG2_TABLE
from ensemble_1d.ir.nodes import IntegerLink, IntegerLog
from ensemble_1d.runtime_integer import exp2_negative, link, log2_probability, normalise

LANGUAGES = [("gcc", C99), ("g++", CPP11), ("clang", C99), ("clang++", CPP11)]
ALL_LANGUAGES = pytest.mark.parametrize(("compiler", "flags"), LANGUAGES, ids=[name for name, _ in LANGUAGES])
HEADERS = {"kernels.h": files("ensemble_1d.export").joinpath("c99_kernels.h").read_text(encoding="utf-8")}
OPENING = f"""\
#include <stdint.h>
#define E1D_EXP2_TABLE {", ".join(map(str, EXP2_TABLE))}
#define E1D_LOG2_TABLE {", ".join(map(str, LOG2_TABLE))}
#include "kernels.h"
#include <stdio.h>
"""


def results(body, numbers, compiler="gcc", flags=C99):
    """Return the int32 that C statements leave in `y` for each int32 `x`, a fixed list of which is compiled in."""
    text = f"""{OPENING}
static const int32_t xs[{len(numbers)}] = {{{", ".join(map(str, numbers))}}};
int main(void)
{{
    int32_t i;
    for (i = 0; i < {len(numbers)}; i++) {{
        const int32_t x = xs[i];
        int32_t y[2] = {{0, 0}};
        {body}
        if (fwrite(y, sizeof y, 1, stdout) != 1) {{
            return 1;
        }}
    }}
    return 0;
}}
"""
    return np.frombuffer(run_text(text, need(compiler), flags, headers=HEADERS), np.int32).reshape(-1, 2)


@ALL_LANGUAGES
def test_kernels_compile_on_their_own(compiler, flags):
    """They are plain C, and C++, once stdint.h and the tables are there, with and without floats."""
    text = f"{OPENING}int32_t f(void);\nint32_t f(void)\n{{\n    return e1d_exp2_negative(4096);\n}}\n"
    for further in ((), ("-DE1D_NO_FLOAT",)):
        check_compiles(text, need(compiler), (*flags, *further), headers=HEADERS)


def test_exponential():
    """Every distance at which the result is not zero, and beyond."""
    distance = np.concatenate([np.arange(18 * 4096), [2**29, 2**31 - 1]])
    found = results("y[0] = e1d_exp2_negative(x);", distance)
    np.testing.assert_array_equal(found[:, 0], exp2_negative(distance))


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("sanitizers", [(), SANITIZED], ids=["plain", "sanitized"])
def test_logarithm(compiler, sanitizers):
    """Every Q15 probability, zero included, alone and beside another, above and below a floor."""
    probability = np.arange(32769)
    for floor in (1, 33, 32768):
        body = f"y[0] = x; y[1] = 32768 - x; e1d_log2(y, 2, {floor});"
        found = results(body, probability, compiler, (*C99, *sanitizers))
        both = np.column_stack([probability, 32768 - probability])
        np.testing.assert_array_equal(found, log2_probability(IntegerLog(floor=floor), both))


@pytest.mark.parametrize("part", [0, 1, 2, 16383, 16384, 32767, 32768])
def test_quotient(part):
    """Totals around every power of two, where the number of bits to drop changes, and others."""
    powers = 2 ** np.arange(15, 31)
    edges = np.concatenate([powers - 1, powers, powers + 1, 3 * powers[:-1] // 2, [2**31 - 1]])
    total = np.unique(np.concatenate([edges[edges >= 2**15], np.random.default_rng(0).integers(2**15, 2**31, 500)]))
    body = f"uint8_t shift; uint32_t r = e1d_reciprocal(x, &shift); y[0] = e1d_normalise({part}, r, shift);"
    np.testing.assert_array_equal(results(body, total)[:, 0], normalise(np.full_like(total, part), total))


def test_sigmoid_and_complement():
    """Logits around zero, in steps, and as large as they come; probabilities at both ends."""
    score = np.concatenate([np.arange(-70000, 70001, 37), np.arange(-5, 6), [-(2**30), 2**30, 65536, -65536]])
    found = results("y[0] = x; e1d_sigmoid(y);", score)
    np.testing.assert_array_equal(found, link(IntegerLink(kind="sigmoid"), score[:, np.newaxis].astype(np.int64)))
    probability = np.array([0, 1, 16384, 32767, 32768])
    found = results("y[0] = x; e1d_complement(y);", probability)
    np.testing.assert_array_equal(found, np.column_stack([32768 - probability, probability]))


def test_softmax_of_two():
    """Every distance between two logits, either way round."""
    distance = np.arange(-18 * 4096, 18 * 4096, 3)
    found = results("y[0] = 77; y[1] = 77 + x; e1d_softmax(y, 2);", distance)
    scores = np.column_stack([np.zeros_like(distance), distance])
    np.testing.assert_array_equal(found, link(IntegerLink(kind="softmax"), scores))


def test_argmax_takes_the_first_of_equals():
    """Of one, and of equal ones."""
    body = "const int32_t z[4] = {x, 5, 5, x}; y[0] = e1d_argmax(z, 4); y[1] = e1d_argmax(z + 1, 1);"
    assert results(body, [4, 5, 6]).tolist() == [[1, 0], [0, 0], [0, 0]]
