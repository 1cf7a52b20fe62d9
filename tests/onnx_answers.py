"""What onnxruntime makes of a float program, beside what the NumPy runtime makes of it."""

from dataclasses import replace

import numpy as np
import onnxruntime

from ensemble_1d import Program
from ensemble_1d.export.onnx_graph import onnx_bytes
from ensemble_1d.ir import Dense
from ensemble_1d.runtime import run

OTHER_BITS = 1e-12
"""Exponentials and sums of products end in other bits; no float32 rounding hides below this."""


def session(content):
    """Return an onnxruntime session on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])


def answers(program, X):
    """Return what onnxruntime makes of a program: labels or None, and numbers of shape (n_samples, n_outputs)."""
    return named(program, session(onnx_bytes(program)).run(None, {"X": X}))


def named(program, outputs):
    """Return labels or None, and numbers in columns."""
    return (None, outputs[0][:, np.newaxis]) if program.classes is None else tuple(outputs)


def assert_same(program, X, found):
    """Assert that labels are equal, and numbers but for their last bits; the class of a near tie may be either."""
    labels, numbers = found
    expected = run(program, X)
    assert numbers.dtype == np.float64
    assert numbers.shape == expected.shape
    np.testing.assert_allclose(numbers, expected, rtol=OTHER_BITS, atol=OTHER_BITS * np.abs(expected).max(initial=0))
    if labels is not None:
        assert np.array_equal(labels, program.classes[expected.argmax(axis=1)])


def regression(root, n_features=1):
    """Return a program with one output."""
    return Program(n_features=n_features, task="regression", root=root)


def layer(weight, bias=None, activation="identity"):
    """Return a layer without bias, or with one."""
    weight = np.array(weight, np.float32)
    return Dense(weight=weight, bias=np.zeros(len(weight), np.float32) if bias is None else bias, activation=activation)


def with_leaves(table, left, right):
    """Return a tree of one split with other outputs to its left and right, in float64."""
    value = np.array([left, right], np.float64)
    return replace(table, value=value, bias=np.zeros(value.shape[1]))
