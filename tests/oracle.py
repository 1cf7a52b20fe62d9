"""What a float Program means, once more: one row at a time, in plain Python, written from the docstrings of the nodes.

For integers that is docs/integers.md.
"""

import ctypes
import math

from ensemble_1d.ir import (
    Affine,
    Chain,
    Combine,
    Concat,
    Dense,
    Link,
    Log,
    Select,
    TreeTable,
)


def float32(value):
    """Return a Python float rounded to float32, to infinity beyond its range."""
    return ctypes.c_float(value).value


def float_row(node, row):
    """Return the outputs of a float node for one row."""
    match node:
        case Chain():
            for step in node.steps:
                row = float_row(step, row)
            return row
        case Select():
            return [row[i] for i in node.column]
        case TreeTable():
            return tree_row(node, row)
        case Affine():
            pairs = zip(row, node.offset.tolist(), node.scale.tolist(), strict=True)
            return [float32(float32(float(x) - offset) * scale) for x, offset, scale in pairs]
        case Dense():
            sums = [
                math.fsum([bias, *(float(x) * w for x, w in zip(row, weights, strict=True))])
                for weights, bias in zip(node.weight.tolist(), node.bias.tolist(), strict=True)
            ]
            return [max(each, 0.0) for each in sums] if node.activation == "relu" else sums
        case Link():
            return link_row(node.kind, [float(x) for x in row])
        case Log():
            return [math.log(max(float(x), node.floor)) * node.scale for x in row]
        case Concat():
            return [output for member in node.members for output in float_row(member, row)]
        case Combine():
            outputs = [[float(each) for each in float_row(member, row)] for member in node.members]
            return combined(node.rule, node.weights.tolist(), outputs)
    raise AssertionError(node)


def tree_row(table, row):
    """Return the sums of all trees for one row: bias first, tree after tree, in the dtype of the leaves."""
    total = list(table.bias)  # NumPy scalars: their sums stay in their dtype.
    for root, first in zip(table.root, table.output, strict=True):
        node = root
        while node >= 0:
            value, threshold = float(row[table.feature[node]]), float(table.threshold[node])
            left = value < threshold if table.comparison == "lt" else value <= threshold
            if math.isnan(value):
                left = table.default_left[node]
            node = table.left[node] if left else table.right[node]
        for column, leaf in enumerate(table.value[~node], start=first):
            total[column] = total[column] + leaf
    return [each / type(each)(len(table.root)) for each in total] if table.average else total


def link_row(kind, row):
    """Return the probabilities of one row of scores."""
    if kind == "complement":
        return [1 - row[0], row[0]]
    scores = [0.0, row[0]] if kind == "sigmoid" else row
    powers = [math.exp(score - max(scores)) for score in scores]
    return [power / math.fsum(powers) for power in powers]


def combined(rule, weights, outputs):
    """Return the weighted mean of the members' outputs, or the weights of those that vote for each class."""
    width = len(outputs[0])
    if rule == "mean":
        return [math.fsum(w * output[i] for w, output in zip(weights, outputs, strict=True)) for i in range(width)]
    votes = [output.index(max(output)) for output in outputs]
    return [math.fsum(w for w, vote in zip(weights, votes, strict=True) if vote == i) for i in range(width)]
