"""Checks of what a user hands over, for the parts that work with NumPy alone."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidInputError

C_KEYWORDS = frozenset(
    """
    alignas alignof and and_eq asm auto bitand bitor bool break case catch char char16_t char32_t class compl
    concept const const_cast constexpr continue decltype default delete do double dynamic_cast else enum explicit
    export extern false float for friend goto if inline int long mutable namespace new noexcept not not_eq nullptr
    operator or or_eq private protected public register reinterpret_cast requires restrict return short signed
    sizeof static static_assert static_cast struct switch template this thread_local throw true try typedef typeid
    typename union unsigned using virtual void volatile wchar_t while xor xor_eq
    """.split()  # noqa: SIM905 -- a list of 90 strings reads worse
)


def as_float32_rows(
    X: Any,
    *,
    n_features: int,
    feature_names: Sequence[str] | None = None,
    allow_missing: bool = False,
    caller: str,
) -> npt.NDArray[np.float32]:
    """Return `X` as C-contiguous float32 rows of the right width.

    Args:
        X: Array-like or data frame of shape (n_samples, n_features).
        n_features: The width expected.
        feature_names: Names that a data frame's columns must equal, in order.
        allow_missing: Whether NaN is accepted; infinities never are.
        caller: What the user called, for the message.

    Returns:
        Of shape (n_samples, n_features), float32.

    Raises:
        InvalidInputError: If X is not numeric, not two-dimensional, empty, of another width or order of columns, or
            holds a value that is not allowed.
    """
    _check_feature_names(X, feature_names, caller)
    try:
        given = np.asarray(X)
        is_complex = np.iscomplexobj(given)
        with np.errstate(over="ignore"):
            rows = np.ascontiguousarray(given.real if is_complex else given, dtype=np.float32)
    except (TypeError, ValueError, OverflowError) as error:
        message = f"{caller}: X cannot be read as numbers ({error}); encode text as numbers first"
        raise InvalidInputError(message) from error
    if is_complex:
        raise InvalidInputError(f"{caller}: X is complex; give real numbers")
    if rows.ndim != 2:
        remedy = "reshape one row with X.reshape(1, -1)"
        raise InvalidInputError(f"{caller}: X has {rows.ndim} dimension(s), shape {rows.shape}; it needs 2: {remedy}")
    if rows.shape[1] != n_features:
        raise InvalidInputError(f"{caller}: X has {rows.shape[1]} features; the model was fitted with {n_features}")
    if not len(rows):
        raise InvalidInputError(f"{caller}: X has no row (shape {rows.shape}); give at least one")
    _check_finite(rows, allow_missing=allow_missing, caller=caller)
    return rows


def _check_feature_names(X: Any, feature_names: Sequence[str] | None, caller: str) -> None:
    """Refuse a data frame whose columns are not those of the fit."""
    columns = getattr(X, "columns", None)
    if feature_names is None or columns is None:
        return
    found = [str(name) for name in columns]
    if found != list(feature_names):
        missing = sorted(set(feature_names) - set(found))
        extra = sorted(set(found) - set(feature_names))
        detail = f"missing {missing}, unexpected {extra}" if missing or extra else "the same names in another order"
        raise InvalidInputError(
            f"{caller}: the columns of X differ from those of fit: {detail}; select X[feature_names]"
        )


def _check_finite(rows: npt.NDArray[np.float32], *, allow_missing: bool, caller: str) -> None:
    """Refuse infinities, and NaN where it has no meaning."""
    if bool(np.isfinite(rows).all()):
        return
    infinite = np.argwhere(np.isinf(rows))
    if len(infinite):
        row, column = infinite[0]
        message = f"X[{row}, {column}] is infinite, or too large for float32; clip it or mark it as missing (NaN)"
        raise InvalidInputError(f"{caller}: {message}")
    missing = np.argwhere(np.isnan(rows))
    if len(missing) and not allow_missing:
        row, column = missing[0]
        message = (
            f"X[{row}, {column}] is NaN ({len(missing)} in all), and this model takes no missing values; impute them "
            "first (a network never takes them; a quantized forest does when X_calibration holds some)"
        )
        raise InvalidInputError(f"{caller}: {message}")


def check_identifier(name: str) -> str:
    """Return `name` if it can prefix the names of a C header.

    Raises:
        InvalidInputError: If it is not an identifier, is reserved in C or C++, or is longer than 40 characters.
    """
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]{0,39}", name) or re.search("__|_$", name):
        rule = "a letter, then letters, digits or single underscores, 40 at most"
        raise InvalidInputError(f"name={name!r} is no C identifier; use {rule}, for example 'model'")
    if name in C_KEYWORDS:
        raise InvalidInputError(f"name={name!r} is a keyword of C or C++; use another, for example 'model'")
    return name
