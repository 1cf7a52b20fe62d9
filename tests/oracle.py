"""What a Program means, once more: one row at a time, in plain Python, written from the docstrings of the nodes."""

import ctypes
import math

from ensemble_1d.ir import (
    Affine,
    Chain,
    Combine,
    Concat,
    Dense,
    IntegerCombine,
    IntegerDense,
    IntegerLink,
    IntegerLog,
    IntegerTreeTable,
    Link,
    Log,
    Quantize,
    Requantize,
    Select,
    TreeTable,
)
from ensemble_1d.ir.fixed_point import EXP2_TABLE, LOG2_TABLE


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


def codes_row(node: Quantize, row):
    """Return the input codes of one row of floats."""
    codes = []
    for column in range(len(node.feature)):
        x = float(row[node.feature[column]])
        thresholds = node.thresholds[node.start[column] : node.start[column + 1]].tolist()
        first, most = (0, 255.0) if node.narrow[column] else (-32767, 65534.0)
        if math.isnan(x):
            codes.append(-32768 if node.missing else first)
        elif thresholds:
            passed = [x >= t if node.strict[column] else x > t for t in thresholds]
            codes.append(sum(passed) + first)
        else:
            steps = float32(float32(x - float(node.offset[column])) * float(node.scale[column]))
            codes.append((math.floor(min(steps, most)) if steps > 0 else 0) + first)
    return codes


def integer_row(node, row):
    """Return the outputs of an integer node for one row, in Python's integers."""
    match node:
        case Chain():
            for step in node.steps:
                row = integer_row(step, row)
            return row
        case Select():
            return [row[i] for i in node.column.tolist()]
        case IntegerTreeTable():
            return integer_tree_row(node, row)
        case IntegerDense():
            pairs = zip(node.weight.tolist(), node.bias.tolist(), strict=True)
            return [bias + sum(w * x for w, x in zip(weights, row, strict=True)) for weights, bias in pairs]
        case Requantize():
            fields = (node.shift_in, node.multiplier, node.shift_out, node.offset)
            scales = zip(*(field.tolist() for field in fields), strict=True)
            return [requantized(x, scale, node.low, node.high) for x, scale in zip(row, scales, strict=True)]
        case IntegerLink():
            return integer_link_row(node.kind, row)
        case IntegerLog():
            return [logarithm(max(x, node.floor)) for x in row]
        case Concat():
            return [output for member in node.members for output in integer_row(member, row)]
        case IntegerCombine():
            outputs = [integer_row(member, row) for member in node.members]
            weights = node.weights.tolist()
            if node.rule == "vote":
                votes = [output.index(max(output)) for output in outputs]
                return [
                    sum(w for w, vote in zip(weights, votes, strict=True) if vote == i) for i in range(len(outputs[0]))
                ]
            sums = [sum(w * x for w, x in zip(weights, column, strict=True)) for column in zip(*outputs, strict=True)]
            return [(each + 16384) // 32768 for each in sums]
    raise AssertionError(node)


def integer_tree_row(table, row):
    """Return the sums of all trees for one row of codes."""
    total = [0] * table.n_outputs
    for root, first in zip(table.root.tolist(), table.output.tolist(), strict=True):
        node = root
        while node >= 0:
            code = row[int(table.column[node])]
            left = code <= int(table.cut[node])
            if len(table.default_left) and code == -32768:
                left = bool(table.default_left[node])
            node = int(table.left[node] if left else table.right[node])
        for column, leaf in enumerate(table.value[~node].tolist(), start=first):
            total[column] += leaf
    return total


def requantized(x, scale, low, high):
    """Return one integer in another scale: floor divisions, half a step added before the last."""
    shift_in, multiplier, shift_out, offset = scale
    half = 2**shift_out // 2
    return max(low, min(high, (x // 2**shift_in * multiplier + half) // 2**shift_out + offset))


def power_of_half(distance):
    """Return 2**(-distance / 4096) in Q15 from the table, by its definition."""
    whole, fraction = divmod(distance, 4096)
    index, rest = divmod(fraction, 128)
    chord = EXP2_TABLE[index] - ((EXP2_TABLE[index] - EXP2_TABLE[index + 1]) * rest + 64) // 128
    return (chord + 2**whole // 2) // 2**whole


def logarithm(probability):
    """Return 4096 * log2(probability / 32768) from the table, by its definition."""
    exponent = 16 - probability.bit_length()
    index, rest = divmod(probability * 2**exponent - 32768, 1024)
    chord = LOG2_TABLE[index]
    if rest:
        chord += ((LOG2_TABLE[index + 1] - LOG2_TABLE[index]) * rest + 512) // 1024
    return chord - 4096 * exponent


def share(part, total):
    """Return part / total in Q15 through a reciprocal of the total's first 16 bits."""
    shift = max(total.bit_length() - 16, 0)
    return (part * (2**31 // (total >> shift)) + 2 ** (15 + shift)) // 2 ** (16 + shift)


def integer_link_row(kind, row):
    """Return the Q15 probabilities of one row of integer scores."""
    if kind == "complement":
        return [32768 - row[0], row[0]]
    if kind == "sigmoid":
        larger = share(32768, 32768 + power_of_half(abs(row[0])))
        return [32768 - larger, larger] if row[0] > 0 else [larger, 32768 - larger]
    powers = [power_of_half(max(row) - each) for each in row]
    return [share(power, sum(powers)) for power in powers]
