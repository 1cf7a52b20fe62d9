"""Nodes and programs small enough to follow by hand."""

import re

import numpy as np
import pytest

from ensemble_1d.errors import InvalidProgramError
from ensemble_1d.ir import (
    Chain,
    Dense,
    Dequantize,
    IntegerDense,
    IntegerTreeTable,
    Program,
    Quantize,
    Requantize,
    TreeTable,
)


def stump(threshold, comparison, default_left=False):
    """Return a tree that gives 1 on the left and 2 on the right."""
    return TreeTable(
        feature=np.zeros(1, np.int32),
        threshold=np.array([threshold], np.float64 if comparison == "le" else np.float32),
        left=np.array([-1], np.int32),
        right=np.array([-2], np.int32),
        default_left=np.array([default_left]),
        value=np.array([[1.0], [2.0]], np.float32),
        root=np.zeros(1, np.int32),
        output=np.zeros(1, np.int32),
        bias=np.zeros(1, np.float32),
        comparison=comparison,
        average=False,
    )


def constants(values, bias, dtype, *, average=False):
    """Return trees of one leaf each."""
    n_trees = len(values)
    nothing = np.empty(0, np.int32)
    return TreeTable(
        feature=nothing,
        threshold=np.empty(0),
        left=nothing,
        right=nothing,
        default_left=np.empty(0, np.bool_),
        value=np.array(values, dtype)[:, np.newaxis],
        root=~np.arange(n_trees, dtype=np.int32),
        output=np.zeros(n_trees, np.int32),
        bias=np.array([bias], dtype),
        comparison="le",
        average=average,
    )


def quantize(n_features=1, *, missing=False):
    """Return an input quantizer whose codes are x - 32767, rounded down."""
    return Quantize(
        n_features=n_features,
        feature=np.arange(n_features, dtype=np.int32),
        offset=np.zeros(n_features, np.float32),
        scale=np.ones(n_features, np.float32),
        start=np.zeros(n_features + 1, np.int32),
        thresholds=np.empty(0, np.float32),
        strict=np.zeros(n_features, np.bool_),
        missing=missing,
        narrow=np.zeros(n_features, np.bool_),
    )


def requantize(n_columns=1, low=0, high=32768, **fields):
    """Return a node that changes no value but those outside low..high, unless fields say otherwise."""
    values = {"shift_in": 0, "multiplier": 1, "shift_out": 0, "offset": 0} | fields
    dtypes = {"shift_in": np.uint8, "multiplier": np.int32, "shift_out": np.uint8, "offset": np.int32}
    arrays = {name: np.full(n_columns, value, dtypes[name]) for name, value in values.items()}
    return Requantize(low=low, high=high, **arrays)


def integer_dense(weight, bias):
    """Return a layer with int16 weights."""
    return IntegerDense(weight=np.array(weight, np.int16), bias=np.array(bias, np.int32))


def integer_trees(values, n_outputs=1, column=0, missing=False):
    """Return one tree with two leaves for each pair of values."""
    n_trees = len(values)
    return IntegerTreeTable(
        column=np.full(n_trees, column, np.int32),
        cut=np.zeros(n_trees, np.int16),
        left=~np.arange(0, 2 * n_trees, 2, dtype=np.int32),
        right=~np.arange(1, 2 * n_trees, 2, dtype=np.int32),
        default_left=np.zeros(n_trees if missing else 0, np.bool_),
        value=np.array(values, np.uint16).reshape(-1, 1),
        root=np.arange(n_trees, dtype=np.int32),
        output=np.zeros(n_trees, np.uint8),
        n_outputs=n_outputs,
    )


def dense(n_inputs, n_outputs):
    """Return a layer of ones."""
    weight, bias = np.ones((n_outputs, n_inputs), np.float32), np.zeros(n_outputs, np.float32)
    return Dense(weight=weight, bias=bias, activation="identity")


def regression(*steps, n_features=1, **fields):
    """Return a regression program of the steps."""
    root = steps[0] if len(steps) == 1 else Chain(steps=steps)
    return Program(n_features=n_features, task="regression", root=root, **fields)


def classification(*steps, classes, n_features=1, **fields):
    """Return a classification program of the steps."""
    root = steps[0] if len(steps) == 1 else Chain(steps=steps)
    return Program(n_features=n_features, task="classification", classes=classes, root=root, **fields)


def integer_regression(*steps, n_features=1, fraction_bits=0):
    """Return an integer regression program; the steps stand between Quantize and Dequantize."""
    return regression(quantize(n_features), *steps, Dequantize(fraction_bits=fraction_bits), n_features=n_features)


def refuses(message):
    """Expect InvalidProgramError with the message."""
    return pytest.raises(InvalidProgramError, match=re.escape(message))


def layer(weight, bias, activation="identity"):
    """Return a Dense layer of these numbers."""
    return Dense(weight=np.array(weight, np.float32), bias=np.array(bias, np.float32), activation=activation)


def rows(*values):
    """Return rows of one column."""
    return np.array(values, np.float32)[:, np.newaxis]


def votes(n_left, n_right, *, vector):
    """Return a forest of which n_left trees vote for class 1 left of 0, and the others right of 0."""
    n_trees = n_left + n_right
    second = np.array([[1.0], [0.0]] * n_left + [[0.0], [1.0]] * n_right)
    numbers = np.arange(n_trees, dtype=np.int32)
    return TreeTable(
        feature=np.zeros(n_trees, np.int32),
        threshold=np.zeros(n_trees),
        left=~(2 * numbers),
        right=~(2 * numbers + 1),
        default_left=np.zeros(n_trees, np.bool_),
        value=np.hstack([1 - second, second]) if vector else second,
        root=numbers,
        output=np.zeros(n_trees, np.int32),
        bias=np.zeros(2 if vector else 1),
        comparison="le",
        average=True,
    )
