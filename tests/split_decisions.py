"""Which way rows take through trees in float and in integers, and forests of one split a tree."""

import numpy as np
from strategies import tables_of

from ensemble_1d.ir import IntegerTreeTable, TreeTable, descendants
from ensemble_1d.runtime import evaluate, leaves_of_rows
from ensemble_1d.runtime_integer import quantize


def decisions(table, x):
    """Return a number for each row, node and direction; quantization keeps the numbers of nodes."""
    found = [np.empty(0, np.int64)]
    n_nodes = len(table.left)
    leaves_of_rows(table, x, lambda rows, nodes, left: found.append((rows * n_nodes + nodes) * 2 + left))
    return np.sort(np.concatenate(found))


def tree_inputs(done, X):
    """Return the codes that the trees of a quantized program read."""
    codes = quantize(done.codes.node, X)
    for step in done.codes.maker:
        codes = evaluate(step, codes)
    return codes


def assert_same_decisions(program, done, X):
    """Assert that every row takes the same way through every tree in float and in integers."""
    codes = tree_inputs(done, X)
    integer = [node for node in descendants(done.program.root) if isinstance(node, IntegerTreeTable)]
    for (table, features), integer_table in zip(tables_of(program), integer, strict=True):
        np.testing.assert_array_equal(decisions(integer_table, codes), decisions(table, X[:, features]))


def forest(thresholds, comparison, features=None):
    """Return one tree of one split for each threshold."""
    n_trees = len(thresholds)
    numbers = np.arange(n_trees, dtype=np.int32)
    return TreeTable(
        feature=np.zeros(n_trees, np.int32) if features is None else np.array(features, np.int32),
        threshold=np.array(thresholds, np.float64 if comparison == "le" else np.float32),
        left=~(2 * numbers),
        right=~(2 * numbers + 1),
        default_left=numbers % 2 == 0,
        value=np.arange(2 * n_trees, dtype=np.float32)[:, np.newaxis],
        root=numbers,
        output=np.zeros(n_trees, np.int32),
        bias=np.zeros(1, np.float32),
        comparison=comparison,
        average=False,
    )
