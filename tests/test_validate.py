"""Checks of what users hand over: rows of numbers, and names for C."""

import re

import numpy as np
import pandas as pd
import pytest
from strategies import FLOAT32_MAX

from ensemble_1d._validate import C_KEYWORDS, as_float32_rows, check_identifier
from ensemble_1d.errors import InvalidInputError

NAN, INF = float("nan"), float("inf")


def checked(X, n_features=2, **options):
    return as_float32_rows(X, n_features=n_features, caller="Model.predict", **options)


def refuses(message):
    return pytest.raises(InvalidInputError, match=re.escape(message))


# ---------------------------------------------------------------- rows


@pytest.mark.parametrize(
    "X",
    [
        [[1, 2], [3, 4]],
        ((1.0, 2.0), (3.0, 4.0)),
        np.array([[1, 2], [3, 4]], np.int8),
        np.array([[1, 2], [3, 4]], np.float16),
        np.array([[1, 2], [3, 4]], ">f8"),
        np.array([[1, 2], [3, 4]], object),
        np.asfortranarray([[1.0, 2.0], [3.0, 4.0]]),
        np.array([[1, 0, 2, 0], [3, 0, 4, 0]])[:, ::2],
        pd.DataFrame({"a": [1, 3], "b": [2.0, 4.0]}),
        pd.DataFrame({"a": [1, 3], "b": [2, 4]}).astype("Int64"),
    ],
    ids=["list", "tuple", "int8", "float16", "big-endian", "object", "columns-first", "strided", "frame", "Int64"],
)
def test_anything_numeric_becomes_float32_rows(X):
    """Lists, arrays of any dtype and layout, and frames become C-contiguous float32."""
    rows = checked(X)
    assert rows.dtype == np.float32
    assert rows.flags.c_contiguous
    assert rows.tolist() == [[1, 2], [3, 4]]


def test_rows_that_are_right_are_not_copied():
    """Float32 rows pass as they are; others are never changed."""
    X = np.ones((2, 2), np.float32)
    assert np.shares_memory(checked(X), X)
    doubles = np.full((1, 2), 0.1)
    assert checked(doubles).tolist() == [[np.float32(0.1)] * 2]
    assert doubles.dtype == np.float64


def test_true_and_false_are_one_and_zero():
    """A mask is numeric."""
    assert checked(np.array([[True, False]])).tolist() == [[1, 0]]


@pytest.mark.parametrize(
    ("X", "message"),
    [
        ([1, 2], "Model.predict: X has 1 dimension(s), shape (2,); it needs 2: reshape one row with X.reshape(1, -1)"),
        (5, "Model.predict: X has 1 dimension(s), shape (1,)"),
        (np.zeros((1, 2, 1)), "Model.predict: X has 3 dimension(s), shape (1, 2, 1)"),
        ([[1, 2, 3]], "Model.predict: X has 3 features; the model was fitted with 2"),
        (np.zeros((3, 0)), "Model.predict: X has 0 features; the model was fitted with 2"),
        (np.zeros((0, 2)), "Model.predict: X has no row (shape (0, 2)); give at least one"),
        ([], "Model.predict: X has 1 dimension(s), shape (0,)"),
        ([["a", "b"]], "Model.predict: X cannot be read as numbers (could not convert string to float: "),
        ([["1", "x"]], "Model.predict: X cannot be read as numbers"),
        ([[1, 2], [3]], "Model.predict: X cannot be read as numbers"),
        ([[{}, 1]], "Model.predict: X cannot be read as numbers"),
        ([[10**400, 1]], "Model.predict: X cannot be read as numbers (int too large to convert to float)"),
        (pd.DataFrame({"a": ["x"], "b": [1]}), "encode text as numbers first"),
        ([[1j, 2]], "Model.predict: X is complex; give real numbers"),
        (np.ones((1, 2), np.complex64), "Model.predict: X is complex; give real numbers"),
        (pd.DataFrame({"a": [1j], "b": [1]}), "Model.predict: X is complex; give real numbers"),
    ],
    ids=lambda each: each[:0] if isinstance(each, str) else None,
)
def test_what_is_no_rows_of_numbers_is_refused(X, message):
    """Wrong shape or width, no row, text, ragged, nothing and complex: each has its own message."""
    with refuses(message):
        checked(X)


@pytest.mark.parametrize("value", [INF, -INF, 1e39, -1e300, np.float64(FLOAT32_MAX) * 1.0001])
@pytest.mark.parametrize("allow_missing", [True, False])
def test_infinite_and_too_large_values_are_refused(value, allow_missing):
    """The first is told by row and column, with the remedy; NaN is never a reason to accept them."""
    X = np.zeros((3, 2))
    X[2, 1] = value
    message = "Model.predict: X[2, 1] is infinite, or too large for float32; clip it or mark it as missing (NaN)"
    with refuses(message):
        checked(X, allow_missing=allow_missing)
    X[0, 0] = NAN
    with refuses(message):
        checked(X, allow_missing=allow_missing)


def test_the_largest_float32_is_accepted():
    """So is what rounds to it, and a value so small that it becomes zero."""
    X = [[float(FLOAT32_MAX), -float(FLOAT32_MAX)], [float(FLOAT32_MAX) * (1 + 1e-9), 1e-300]]
    assert checked(X).tolist() == [[FLOAT32_MAX, -FLOAT32_MAX], [FLOAT32_MAX, 0]]


def test_missing_values_are_refused_or_accepted():
    """Where they have no meaning, the first is told by place, and how many there are."""
    X = [[1, 2], [3, NAN], [NAN, NAN]]
    with refuses("Model.predict: X[1, 1] is NaN (3 in all), and this model takes no missing values; impute them first"):
        checked(X)
    assert np.isnan(checked(X, allow_missing=True)).sum() == 3
    assert np.isnan(checked([[None, 1]], allow_missing=True)).tolist() == [[True, False]]
    frame = pd.DataFrame({"a": [1.0, None], "b": [2.0, 3.0]})
    assert np.isnan(checked(frame, allow_missing=True)).tolist() == [[False, False], [True, False]]


# ---------------------------------------------------------------- names of columns

FRAME = pd.DataFrame({"a": [1.0], "b": [2.0]})


def test_a_frame_with_the_columns_of_the_fit_is_accepted():
    """Names in the order of the fit; numbers as names are compared as text; arrays have no names."""
    assert checked(FRAME, feature_names=["a", "b"]).tolist() == [[1, 2]]
    assert checked(pd.DataFrame([[1, 2]]), feature_names=("0", "1")).tolist() == [[1, 2]]
    assert checked([[1, 2]], feature_names=["a", "b"]).tolist() == [[1, 2]]
    assert checked(FRAME, feature_names=None).tolist() == [[1, 2]]


@pytest.mark.parametrize(
    ("names", "detail"),
    [
        (["b", "a"], "the same names in another order"),
        (["a", "c"], "missing ['c'], unexpected ['b']"),
        (["a"], "missing [], unexpected ['b']"),
        (["a", "b", "c"], "missing ['c'], unexpected []"),
    ],
)
def test_a_frame_with_other_columns_is_refused(names, detail):
    """What is missing, what is unexpected, or that only the order differs, and what to select."""
    message = f"Model.predict: the columns of X differ from those of fit: {detail}; select X[feature_names]"
    with refuses(message):
        checked(FRAME, feature_names=names)


# ---------------------------------------------------------------- identifiers


@pytest.mark.parametrize("name", ["model", "m", "M2", "my_model_2", "a" * 40, "Int", "INT", "mainly"])
def test_identifiers_are_returned(name):
    """Letters, digits and single underscores, up to 40."""
    assert check_identifier(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        " ",
        "2nd",
        "_m",
        "my-model",
        "my model",
        "my__model",
        "model_",
        "a" * 41,
        "modèle",
        "m\n",
        "a.b",
        None,
        5,
        b"m",
    ],
)
def test_other_names_are_refused(name):
    """A digit or underscore first, two underscores (one at the end makes two), other characters, over 40, no string."""
    with refuses(f"name={name!r} is no C identifier; use a letter, then letters, digits or single underscores, 40"):
        check_identifier(name)


@pytest.mark.parametrize("name", ["int", "class", "template", "inline", "restrict", "bool", "xor"])
def test_keywords_are_refused(name):
    """Of C, of C++, and the operators that C++ spells as words."""
    assert name in C_KEYWORDS
    with refuses(f"name={name!r} is a keyword of C or C++; use another, for example 'model'"):
        check_identifier(name)


def test_every_keyword_of_c99_and_cpp11_is_known():
    """Those that begin with a letter; a table kept by hand could miss one."""
    c99 = "auto break case char const continue default do double else enum extern float for goto if inline int long"
    c99 += (
        " register restrict return short signed sizeof static struct switch typedef union unsigned void volatile while"
    )
    cpp = "alignas alignof and and_eq asm bitand bitor bool catch class compl const_cast constexpr decltype delete"
    cpp += " dynamic_cast explicit export false friend mutable namespace new noexcept not not_eq nullptr operator or"
    cpp += " or_eq private protected public reinterpret_cast static_assert static_cast template this thread_local throw"
    cpp += " true try typeid typename using virtual wchar_t xor xor_eq char16_t char32_t"
    assert sorted(set(f"{c99} {cpp}".split()) - C_KEYWORDS) == []
