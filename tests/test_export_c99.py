"""The C99 header as text: deterministic, float-free on request, one prefix, and labels that survive any string."""

import dataclasses
import re
import subprocess

import numpy as np
import pytest
from c_harness import C99, CPP11, SANITIZED, Case, assert_equal_in_c, check_compiles, need, run_text, undefined_symbols
from hypothesis import given
from hypothesis import strategies as st
from integer_strategies import code_rows, float_rows, integer_programs
from small_nodes import (
    classification,
    dense,
    integer_dense,
    integer_regression,
    integer_trees,
    quantize,
    regression,
    requantize,
)
from strategies import MODES, examples, inputs, programs

from ensemble_1d.errors import InvalidProgramError
from ensemble_1d.export.c99 import c99_header
from ensemble_1d.export.c99_nodes import render
from ensemble_1d.export.c99_text import array, comment, integer, number
from ensemble_1d.ir import Chain, Concat, Dequantize, IntegerCombine, IntegerLink, IntegerLog, Log, Program, Select
from ensemble_1d.quantization.programs import quantize_program

LANGUAGES = [("gcc", C99), ("g++", CPP11), ("clang", C99), ("clang++", CPP11)]
ALL_LANGUAGES = pytest.mark.parametrize(("compiler", "flags"), LANGUAGES, ids=[name for name, _ in LANGUAGES])


def small_classifier(classes=None, **fields):
    """Return an integer program of one column and two classes or more."""
    labels = np.arange(2) if classes is None else np.array(classes)
    steps = (integer_trees([(0, 1)], n_outputs=len(labels)), IntegerLink(kind="softmax"))
    steps = (quantize(), *steps, Dequantize(fraction_bits=15))
    return classification(*steps, classes=labels, **fields)


def case(program):
    rng = np.random.default_rng(0)
    return Case(program, code_rows(program, rng, 20), float_rows(program.n_features, rng, 20))


# ---------------------------------------------------------------- text


@examples(30)
@given(data=st.data())
def test_the_same_program_gives_the_same_text(data):
    """The header is a function of program and name, and ASCII to the last character."""
    program = data.draw(programs())
    X, mode = data.draw(inputs(program)), data.draw(MODES)
    one, other = (c99_header(quantize_program(program, X, mode).program, "model") for _ in range(2))
    assert one == other
    assert one.isascii()
    assert one.endswith("#endif /* MODEL_H */\n")


@examples(30)
@given(program=integer_programs())
def test_every_name_has_the_prefix(program):
    """Functions, tables, types and macros begin with the name given, so that no two headers can collide."""
    text = re.sub(r"/\*.*?\*/", "", c99_header(program, "my_net"), flags=re.DOTALL)
    top_level = re.sub(r"^[ {}#].*$", "", text, flags=re.MULTILINE)
    names = re.findall(r"(\w+)(?=[\[(])", top_level)
    assert names
    assert [name for name in names if not name.startswith("my_net_")] == []
    macros = re.findall(r"# *(?:define|undef|ifn?def) (\w+)", text)
    # What the compiler itself says of its target is asked for, and never defined.
    assert {name for name in macros if not name.startswith("MY_NET_")} == {"__AVR__"}
    assert not re.search(r"# *(?:define|undef) +__AVR__", text)
    assert "e1d" not in text.lower()


def test_macros_hold_what_callers_need():
    """Widths, classes, scale and the missing code are in the header, each where it has a meaning."""
    text = c99_header(small_classifier(), "model")
    assert "#define MODEL_N_FEATURES 1\n#define MODEL_N_CODES 1\n#define MODEL_N_CLASSES 2\n" in text
    assert "MISSING_CODE" not in text
    text = c99_header(integer_regression(integer_trees([(0, 1)]), fraction_bits=-3), "model")
    assert "#define MODEL_OUTPUT_FRACTION_BITS (-3)\n" in text
    assert "N_CLASSES" not in text
    missing = (quantize(missing=True), integer_trees([(0, 1)], missing=True), Dequantize(fraction_bits=0))
    assert "#define MODEL_MISSING_CODE (-32768)\n" in c99_header(regression(*missing), "model")


def test_a_float_program_has_no_header():
    """It is refused, and so is any float node further down."""
    with pytest.raises(InvalidProgramError, match=r"this program is float; quantize\(\) makes an integer one"):
        c99_header(regression(dense(1, 1)), "model")
    for node in (dense(1, 1), Log(floor=0.5)):
        message = f"{type(node).__name__} has no integer C code; quantize the program first"
        with pytest.raises(InvalidProgramError, match=message):
            render(node, 1, "int16_t", "model", "model_body")


@examples(300)
@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_float_literals_read_back_as_the_same_float32(value):
    """Nine digits are enough, with a suffix and a sign, a point or an exponent: never an integer literal."""
    text = number(float(np.float32(value)))
    assert re.fullmatch(r"-?\d+(\.\d+f|(\.\d+)?e[+-]\d+f)", text)
    assert np.float32(text[:-1]).tobytes() == np.float32(value).tobytes()


def test_integer_literals():
    """The smallest int32 is written as an expression: its digits alone would not fit."""
    assert [integer(value) for value in (-(2**31), -(2**31) + 1, 0, 2**31 - 1)] == [
        "(-2147483647 - 1)",
        "-2147483647",
        "0",
        "2147483647",
    ]


def test_tables_keep_their_values_and_lines_stay_short():
    """Rows follow one another; no line is wider than 110 characters, and no number is broken."""
    values = np.arange(-500, 500, dtype=np.int16).reshape(10, 100) * 60
    text = array("t", values)
    assert text.startswith("static const int16_t t[1000] E1D_TABLE = {\n")
    assert array("t", values, memory="").startswith("static const int16_t t[1000] = {\n")
    assert max(map(len, text.splitlines())) <= 110
    assert list(map(int, re.findall(r"-?\d+", text.split("=")[1]))) == values.ravel().tolist()


# ---------------------------------------------------------------- compiled


@examples(12)
@given(program=integer_programs())
def test_without_its_float_function_a_header_is_integers_alone(program):
    """With MODEL_NO_FLOAT no float is left after preprocessing, and the object code needs nothing from elsewhere."""
    header = c99_header(program, "model")
    text = '#define MODEL_NO_FLOAT\n#include "model.h"\nint32_t f(const int16_t *q);\n'
    text += "int32_t f(const int16_t *q)\n{\n    return model_predict(q);\n}\n"
    if program.classes is not None:
        text += "void g(const int16_t *q, uint16_t *p);\n"
        text += "void g(const int16_t *q, uint16_t *p)\n{\n    model_predict_proba(q, p);\n}\n"
    for compiler in ("gcc", "clang"):
        object_code = check_compiles(text, need(compiler), (*C99, "-O2"), headers={"model.h": header})
        assert undefined_symbols(object_code) == []
    source = text.replace('#include "model.h"', header)
    line = [need("gcc"), "-std=c99", "-E", "-P", "-x", "c", "-"]
    seen = subprocess.run(line, input=source, capture_output=True, text=True, check=True).stdout
    assert "model_predict" in seen
    assert not re.search(r"\b(float|double)\b|\d\.\d", seen)


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
@pytest.mark.parametrize("level", ["-Os", "-O2", "-O3"])
def test_a_hundred_outputs_take_no_library_either(compiler, level):
    """Compilers know loops that clear or copy memory: none of them becomes a call of memset, memcpy or memmove."""
    trees = integer_trees([(0, 1)], n_outputs=100)
    mean = IntegerCombine(members=(trees, trees), weights=np.array([2**14, 2**14], np.int32), rule="mean")
    logarithms = Concat(members=(IntegerLog(floor=1), IntegerLog(floor=2)), names=("a", "b"))
    steps = (mean, IntegerLink(kind="softmax"), logarithms, requantize(200), IntegerLink(kind="softmax"))
    program = classification(quantize(), *steps, Dequantize(fraction_bits=15), classes=np.arange(200))
    text = '#include "m.h"\nint32_t f(const int16_t *q);\n'
    text += "int32_t f(const int16_t *q)\n{\n    return m_predict(q);\n}\n"
    headers = {"m.h": c99_header(program, "m")}
    assert undefined_symbols(check_compiles(text, need(compiler), (*C99, level), headers=headers)) == []


def test_with_its_float_function_a_header_needs_nothing_either():
    """Turning floats into codes takes no library."""
    header = c99_header(
        quantize_program(regression(dense(2, 1), n_features=2), np.eye(2, dtype=np.float32), "int8").program, "m"
    )
    text = '#include "m.h"\nvoid f(const float *x, int16_t *q);\n'
    text += "void f(const float *x, int16_t *q)\n{\n    m_quantize_input(x, q);\n}\n"
    assert undefined_symbols(check_compiles(text, need("gcc"), (*C99, "-O2"), headers={"m.h": header})) == []


@pytest.mark.parametrize(
    "name", ["x", "q", "y", "E1D", "my_e1d", "table", "model2", "a" * 40, "Main", "int16", "stdin"]
)
def test_any_accepted_name_is_a_prefix(name):
    """Names of locals, of kernels and near keywords compile, and answer as ever, next to a second model."""
    program = small_classifier()
    headers = {"one.h": c99_header(program, name), "two.h": c99_header(program, "other")}
    text = '#include "one.h"\n#include "two.h"\n#include <stdio.h>\nint main(void)\n{\n    int16_t q[1] = {5};\n'
    text += f'    printf("%ld %ld", (long){name}_predict(q), (long)other_predict(q));\n    return 0;\n}}\n'
    assert run_text(text, need("gcc"), C99, headers=headers) == b"0 0"


def test_a_further_affine_column_is_written_too():
    """A second code of a feature, on another scale than the first, is filled in by C as by Python."""
    first = dataclasses.replace(
        quantize(2), n_features=1, feature=np.zeros(2, np.int32), scale=np.array([1.0, 1e6], np.float32)
    )
    steps = (first, requantize(2, multiplier=2), Dequantize(fraction_bits=15))
    program = classification(*steps, classes=np.arange(2))
    assert_equal_in_c([case(program)], need("gcc"), C99)


@pytest.mark.parametrize(("compiler", "flags"), [("gcc", (*C99, *SANITIZED)), ("clang", (*C99, *SANITIZED))])
def test_nodes_in_every_place_of_a_chain_and_of_a_concat(compiler, flags):
    """Logarithms first, last, alone and in place; members that are single nodes, chains and concats themselves."""
    one, log = Select(column=np.zeros(1, np.int32)), IntegerLog(floor=3)
    probability = requantize(1, low=0, high=32768, multiplier=3)
    both = Concat(members=(Chain(steps=(probability, log)), Chain(steps=(one, probability))))
    bodies = [
        (probability, log, one),
        (Concat(members=(one, one, one)), requantize(3, low=0, high=32768), log, integer_dense([[1, -2, 3]], [4])),
        (Concat(members=(both, both)), one),
        (both, Concat(members=(one, one)), integer_dense([[5, 7]], [0])),
        (
            Concat(members=(Chain(steps=(probability, IntegerLink(kind="complement"), log)), one)),
            integer_dense([[1, 2, 4]], [0]),
        ),
        (probability, Concat(members=(log, IntegerLink(kind="complement"))), integer_dense([[1, 2, 4]], [0])),
    ]
    assert_equal_in_c([case(integer_regression(*body)) for body in bodies], need(compiler), flags)


# ---------------------------------------------------------------- labels


def printed_labels(classes, compiler="gcc", flags=C99):
    """Return the labels as C holds them: bytes of strings, or integers."""
    header = c99_header(small_classifier(classes), "m")
    value = '"%ld\\n", (long)m_classes[i]' if "int32_t m_classes" in header else '"%s\\n", m_classes[i]'
    text = '#include "m.h"\n#include <stdio.h>\n'
    text += (
        f"int main(void)\n{{\n    int i;\n    for (i = 0; i < M_N_CLASSES; i++) {{\n        printf({value});\n    }}\n"
    )
    text += "    return 0;\n}\n"
    return run_text(text, need(compiler), flags, headers={"m.h": header})


ODD_LABELS = [
    ['say "hi"', "back\\slash", "\\"],
    ["a ??/", "??=", "what??!"],
    ["a", "b ???/"],
    ["a", "b ?????/"],
    ["*/ int x;", "/* comment", "//", "/*/"],
    ["tab\t", "bell\x07", "\x7f", "1"],
    ["naïve", "日本", "🙂", "\u2028"],
    ["\\n", "\\0123", "%s%d", "a, b"],
    ["x" * 300, " ", "  two  "],
    ["-", "0", "0x10"],
]


@ALL_LANGUAGES
@pytest.mark.parametrize("labels", ODD_LABELS, ids=range(len(ODD_LABELS)))
def test_odd_strings_are_labels(labels, compiler, flags):
    """Quotes, backslashes, trigraphs, ends of comments and any Unicode reach C as UTF-8, without a warning."""
    assert printed_labels(labels, compiler, flags) == "".join(f"{label}\n" for label in labels).encode()


@examples(15)
@given(
    labels=st.lists(
        st.text(st.characters(codec="utf-8", exclude_characters="\0\n"), min_size=1), min_size=2, unique=True
    )
)
def test_any_text_is_a_label(labels):
    """Whatever text a label holds, C prints it."""
    assert printed_labels(labels) == "".join(f"{label}\n" for label in labels).encode()


def test_a_label_may_span_lines():
    """A newline in a label ends neither the string nor the comment."""
    assert printed_labels(["one\ntwo", "three\r"]) == b"one\ntwo\nthree\r\n"


@pytest.mark.parametrize(
    ("labels", "expected"),
    [
        ([-5, 7], b"-5\n7\n"),
        ([-(2**31), 2**31 - 1], b"-2147483648\n2147483647\n"),
        ([0, 2**31], b"0\n2147483648\n"),
        ([-(2**63), 2**63 - 1], b"-9223372036854775808\n9223372036854775807\n"),
        (np.array([0, 2**64 - 1], np.uint64), b"0\n18446744073709551615\n"),
        ([False, True], b"0\n1\n"),
        ([0.5, -1e300], b"0.5\n-1e+300\n"),
        ([1.0, 2.0], b"1.0\n2.0\n"),
    ],
    ids=repr,
)
def test_numbers_are_labels(labels, expected):
    """Integers stay integers where int32 holds them all; other numbers become their text."""
    assert printed_labels(labels) == expected


@ALL_LANGUAGES
@pytest.mark.parametrize("labels", ODD_LABELS, ids=range(len(ODD_LABELS)))
def test_odd_feature_names_stay_in_the_comment(labels, compiler, flags):
    """Names of features are told at the top, and cannot get out of there."""
    steps = (integer_trees([(0, 1)]), Dequantize(fraction_bits=0))
    n = len(labels)
    program = Program(
        n_features=n,
        task="regression",
        feature_names=tuple(labels),
        root=type(regression(dense(1, 1), dense(1, 1)).root)(steps=(quantize(n), *steps)),
    )
    text = (
        '#include "m.h"\nint32_t f(void);\nint32_t f(void)\n{\n    static int16_t q[9];\n    return m_predict(q);\n}\n'
    )
    check_compiles(text, need(compiler), flags, headers={"m.h": c99_header(program, "m")})


@examples(200)
@given(lines=st.lists(st.text() | st.text("?/*\\\n a", max_size=300), min_size=1))
def test_comments_end_where_they_should(lines):
    """Any text gives one ASCII comment, without a second end, a nested beginning or a trigraph."""
    text = comment(lines)
    assert text.isascii()
    assert text.startswith("/* ")
    assert text.find("*/") == len(text) - 2
    assert "/*" not in text[2:]
    assert "??/" not in text
    assert max(map(len, text.splitlines())) <= 120
