"""The structs of kernels.h as ctypes and NumPy see them."""

import ctypes
from typing import Any

import numpy as np
import numpy.typing as npt

FLOAT32, FLOAT64, INT32 = 0, 1, 2

KINDS = (
    "trees",
    "plain_trees",
    "dense",
    "affine",
    "softmax",
    "sigmoid",
    "complement",
    "log",
    "select",
    "copy",
    "mean",
    "vote",
    "quantize",
    "codes",
    "integer_dense",
    "requantize",
    "integer_softmax",
    "integer_sigmoid",
    "integer_complement",
    "integer_log",
    "integer_mean",
    "integer_vote",
    "dequantize",
)
"""The kinds of steps, in the order of the enumeration in kernels.h."""

NODE = np.dtype([("column", np.uint16), ("rank", np.uint16), ("child", np.int32)])
SELECT = np.dtype(
    [
        ("code", np.uint32),
        ("left", np.uint16),
        ("right", np.uint16),
        ("out", np.uint16),
        ("threshold", np.int8),
        ("unused", np.uint8),
    ]
)
BLOCK = 64
"""Rows that selection answers together."""


def _fields(integers: str, pointers: str) -> list[tuple[str, Any]]:
    """Return fields of int32, then fields of pointers."""
    return [(name, ctypes.c_int32) for name in integers.split()] + [
        (name, ctypes.c_void_p) for name in pointers.split()
    ]


class Trees(ctypes.Structure):
    """e1d_trees."""

    _fields_ = _fields(
        "n_trees n_columns width n_outputs value_type average has_missing n_groups n_walks",
        "feature missing_high start key node leaf root output value bias group select_start select leaf_base narrow",
    )


class PlainTrees(ctypes.Structure):
    """e1d_plain_trees."""

    _fields_ = _fields(
        "n_trees width n_outputs value_type average has_missing strict",
        "feature threshold left right default_left root output value bias",
    )


class Op(ctypes.Structure):
    """e1d_op."""

    _fields_ = [
        *_fields("kind source target n_in n_out", ""),
        ("integer", ctypes.c_int32 * 3),
        ("number", ctypes.c_double),
        ("table", ctypes.c_void_p * 6),
    ]


class Register(ctypes.Structure):
    """e1d_register."""

    _fields_ = _fields("type width is_local", "")


class ProgramStruct(ctypes.Structure):
    """e1d_program."""

    _fields_ = _fields("n_ops n_early n_registers input_type n_features answer tile strip refuse", "op reg")


class Kept:
    """Arrays and structs that C reads by pointer: they live as long as this does."""

    def __init__(self) -> None:
        """Start with none."""
        self._all: list[object] = []

    def array(self, values: npt.ArrayLike, dtype: npt.DTypeLike) -> int:
        """Keep a C-contiguous array of `dtype` and return its address."""
        array = np.ascontiguousarray(values, dtype)
        self._all.append(array)
        return int(array.ctypes.data)

    def struct(self, struct: ctypes.Structure | ctypes.Array[Any]) -> int:
        """Keep a struct, or an array of them, and return its address."""
        self._all.append(struct)
        return ctypes.addressof(struct)
