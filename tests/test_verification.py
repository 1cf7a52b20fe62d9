"""verify_header finds what is wrong with a header, and says clearly when it cannot even look."""

import dataclasses
import re

import numpy as np
import pytest
from c_harness import need
from small_nodes import classification, dense, integer_regression, integer_trees, quantize, regression, rows

from ensemble_1d._compiler import compile_c, find_compiler
from ensemble_1d.errors import CompilerError, InvalidProgramError
from ensemble_1d.export import verification
from ensemble_1d.export.c99 import c99_header
from ensemble_1d.export.verification import CVerification, expected_records, verify_header
from ensemble_1d.ir import Combine, Dequantize, IntegerLink, Quantize
from ensemble_1d.quantization.programs import quantize_program


def classifier():
    """Return one tree for each of two classes, both split at code 0: 0 and 500 on the left, equal on the right."""
    table = integer_trees([(0, 9000), (500, 9000)], n_outputs=2)
    steps = (dataclasses.replace(table, output=np.array([0, 1], np.uint8)), IntegerLink(kind="softmax"))
    return classification(quantize(), *steps, Dequantize(fraction_bits=15), classes=np.array(["a", "b"]))


ROWS = rows(0, 1, 32766, 32767, 32768, 40000)
"""Codes -32767, -32766, -1, 0, 1 and 7233: the split parts the first four from the others."""


@pytest.fixture
def corrupt(monkeypatch):
    """A function that replaces a part of every header that is verified from now on."""

    def apply(before, after):
        def corrupted(program, name, layout):
            text = c99_header(program, name, layout)
            assert before in text
            return text.replace(before, after)

        monkeypatch.setattr(verification, "c99_header", corrupted)

    return apply


@pytest.fixture
def gcc(monkeypatch):
    """The compiler that is used."""
    monkeypatch.setenv("CC", need("gcc"))


def test_an_honest_header_has_no_difference(gcc):
    """Every row is compared, and none differs; the options are those given."""
    found = verify_header(classifier(), ROWS, flags=("-O1", "-g"))
    assert (found.n_rows, found.n_different, found.first_different) == (6, 0, None)
    assert (found.compiler, found.flags) == (("gcc",), ("-O1", "-g"))
    assert str(found) == "6 of 6 rows equal (gcc -O1 -g)"


CORRUPTIONS = {
    "leaf on the left": ("0, 9000, 500, 9000", "0, 9000, 501, 9000", [0, 1, 2, 3]),
    "leaf on the right": ("0, 9000, 500, 9000", "0, 9001, 500, 9000", [4, 5]),
    "cuts up": ("cut[2] MODEL_TABLE = {\n    0, 0\n}", "cut[2] MODEL_TABLE = {\n    1, 1\n}", [4]),
    "one cut down": ("cut[2] MODEL_TABLE = {\n    0, 0\n}", "cut[2] MODEL_TABLE = {\n    0, -1\n}", [3]),
    "offset": ("offset[1] MODEL_TABLE = {\n    0.0f", "offset[1] MODEL_TABLE = {\n    1.0f", [1, 2, 3, 4, 5]),
    "comparison": (
        "code <= (int16_t)MODEL_READ_16(&model_body_0_cut",
        "code < (int16_t)MODEL_READ_16(&model_body_0_cut",
        [3],
    ),
    "ties": ("y[i] > y[best]", "y[i] >= y[best]", [4, 5]),
    "division": ("quotient |= 1u", "quotient |= 0u", [0, 1, 2, 3, 4, 5]),
    "exponential": ("((drop + 64) >> 7)", "((drop + 64) >> 6)", [0, 1, 2, 3]),
    "answer": ("return best;", "return 1 - best;", [0, 1, 2, 3, 4, 5]),
    "probability": ("p[i] = (uint16_t)y[i];", "p[i] = (uint16_t)(y[i] + i);", [0, 1, 2, 3, 4, 5]),
}


@pytest.mark.parametrize("name", CORRUPTIONS)
def test_a_corrupted_header_is_found(gcc, corrupt, name):
    """One altered number or operator makes rows differ, and the first of them is told."""
    before, after, different = CORRUPTIONS[name]
    corrupt(before, after)
    found = verify_header(classifier(), ROWS, layout="plain")
    assert (found.n_different, found.first_different) == (len(different), different[0])
    assert str(found).startswith(f"{6 - len(different)} of 6 rows equal")


def test_an_altered_value_of_a_regression_is_found(gcc, corrupt):
    """Values are compared to the last bit, like probabilities."""
    program = integer_regression(integer_trees([(5, 7)]))
    assert verify_header(program, ROWS).n_different == 0
    corrupt("(int32_t)sum * 2 + 5", "(int32_t)sum * 1 + 5")
    assert verify_header(program, ROWS).n_different == 2


def test_an_altered_rank_is_found(gcc, corrupt):
    """A threshold moved by one unit in the last place changes the code of the value on it."""
    first = Quantize(
        n_features=1,
        feature=np.zeros(1, np.int32),
        offset=np.zeros(1, np.float32),
        scale=np.zeros(1, np.float32),
        start=np.array([0, 1], np.int32),
        thresholds=np.array([1.5], np.float32),
        strict=np.array([True]),
        missing=False,
        narrow=np.zeros(1, np.bool_),
    )
    program = regression(first, integer_trees([(0, 1)]), Dequantize(fraction_bits=0))
    assert verify_header(program, rows(1, 1.5, 2)).n_different == 0
    corrupt("1.5f", "1.50000012f")
    assert verify_header(program, rows(1, 1.5, 2)).first_different == 1


def test_records_hold_codes_answer_and_probabilities():
    """For each row: int16 codes, the int32 answer, uint16 probabilities; a value has no probabilities."""
    record = expected_records(classifier(), rows(40000))
    assert record.shape == (1, 2 + 4 + 2 * 2)
    assert record[:, :2].view(np.int16).tolist() == [[7233]]
    assert record[:, 2:6].view(np.int32).tolist() == [[0]]
    assert record[:, 6:].view(np.uint16).tolist() == [[16384, 16384]]
    record = expected_records(integer_regression(integer_trees([(5, 7)])), rows(40000))
    assert record.shape == (1, 2 + 4)
    assert record[:, 2:].view(np.int32).tolist() == [[7]]


def test_a_compiled_model_that_crashes_is_an_error(gcc, corrupt):
    """The status is told: no answer is not zero differences."""
    corrupt("return model_argmax(y, 2);", "__builtin_trap();")
    with pytest.raises(CompilerError, match=r"the compiled model ended with status -\d+ and 0 bytes"):
        verify_header(classifier(), ROWS)


def test_a_compiled_model_that_hangs_is_an_error(gcc, corrupt, monkeypatch):
    """The limit and the number of rows are told."""
    monkeypatch.setattr(verification, "_TIMEOUT_SECONDS", 0.5)
    corrupt("return model_argmax(y, 2);", "while (*(volatile int32_t *)y != -1) { }\n    return 0;")
    with pytest.raises(CompilerError, match=r"took over 0.5 seconds for 6 rows; compare fewer"):
        verify_header(classifier(), ROWS)


def test_a_float_program_is_refused():
    """Only integers can be equal bit for bit."""
    with pytest.raises(InvalidProgramError, match="this program is float"):
        verify_header(regression(dense(1, 1)), rows(1))


def test_a_refused_header_is_an_error(gcc, corrupt):
    """The command, its status and what the compiler said are in the message."""
    corrupt("int32_t y[2];", "int32_t y[2] = oops;")
    with pytest.raises(CompilerError, match=r"(?s)^gcc -std=c99 -Wall .* failed with exit status 1:.*oops"):
        verify_header(classifier(), ROWS)


def test_warnings_are_errors(gcc, corrupt):
    """A header that merely warns is refused: the strict options are always on."""
    corrupt("p[i] = (uint16_t)y[i];", "p[i] = y[i];")
    with pytest.raises(CompilerError, match="conversion"):
        verify_header(classifier(), ROWS, flags=())


# ---------------------------------------------------------------- compilers


def test_the_compiler_of_the_environment_is_used(monkeypatch):
    """CC may hold options."""
    monkeypatch.setenv("CC", f"{need('gcc')} -O3 '-DA B'")
    assert find_compiler() == ["gcc", "-O3", "-DA B"]


@pytest.mark.parametrize("value", ["", "  "])
def test_without_cc_the_first_known_compiler_is_used(monkeypatch, tmp_path, value):
    """Cc comes before gcc, and gcc before clang."""
    monkeypatch.setenv("CC", value)
    monkeypatch.setenv("PATH", str(tmp_path))
    for name in ("clang", "gcc", "cc"):
        path = tmp_path / name
        path.write_text("#!/bin/sh\n", encoding="utf-8")
        path.chmod(0o755)
        assert find_compiler() == [name]


@pytest.mark.parametrize("value", ["no-such-compiler", "no-such-compiler -O2", "'gcc", '""'])
def test_a_compiler_that_cannot_be_found_is_named(monkeypatch, value):
    """The variable, its value and the remedy are in the message."""
    monkeypatch.setenv("CC", value)
    with pytest.raises(CompilerError, match=rf"CC.*{re.escape(repr(value))}.*correct it or unset it"):
        find_compiler()


def test_without_any_compiler_the_message_says_how_to_get_one(monkeypatch):
    """An empty PATH holds none."""
    monkeypatch.delenv("CC", raising=False)
    monkeypatch.setenv("PATH", "")
    message = r"no C compiler found \(tried cc, gcc, clang\); install one \(Debian: apt-get install gcc; .* or set CC"
    with pytest.raises(CompilerError, match=message):
        verify_header(classifier(), ROWS)


def test_what_a_compiler_says_is_told(tmp_path):
    """A failing compiler's exit status and last words are in the error."""
    source = tmp_path / "bad.c"
    source.write_text("int main(void) { return missing_name; }\n", encoding="utf-8")
    with pytest.raises(CompilerError, match=r"(?s)gcc -O1 .*bad\.c -o .* failed with exit status 1:.*missing_name"):
        compile_c([need("gcc")], ["-O1"], [source], tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_verification_prints_its_first_difference():
    """The text counts equal rows."""
    found = CVerification(n_rows=9, n_different=2, first_different=4, compiler=("cc",), flags=("-O2",))
    assert str(found) == "7 of 9 rows equal (cc -O2); the first different row is 4"


def test_combined_programs_are_verified(gcc):
    """A whole combination of trees and a network has no difference, garbage rows included."""
    members = (dense(2, 1), dense(2, 1))
    program = regression(Combine(members=members, weights=np.array([0.5, 0.5]), rule="mean"), n_features=2)
    X = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    integer = quantize_program(program, X, "int8").program
    garbage = np.concatenate([X, X * 1e30, np.full((1, 2), np.inf), np.full((1, 2), np.nan)]).astype(np.float32)
    assert verify_header(integer, garbage).n_different == 0
