"""c99_combine: members added up one by one, until those that are left cannot change the class."""

import textwrap

import numpy as np

from ensemble_1d.export.c99_functions import Style, arguments, parameters, store_each
from ensemble_1d.ir import IntegerCombine, IntegerDense, Node, descendants, output_bounds
from ensemble_1d.ir.bounds import Bounds
from ensemble_1d.ir.fixed_point import INT32_MAX, PROBABILITY_BITS


def add_member(node: IntegerCombine, i: int, width: int, given: str, label: str) -> str:
    """Return the statements that call member `i` and add its output to `y`.

    Args:
        node: The combination.
        i: Which member.
        width: Number of outputs.
        given: The arguments of the member.
        label: Name of the function of the combination.
    """
    call, weight = f"{label}_m{i}({given}, part);", node.weights[i]
    if node.rule == "vote":
        return f"{call}\ny[e1d_argmax(part, {width})] += {weight};"
    return f"{call}\nfor (i = 0; i < {width}; i++) {{\n    y[i] += {weight} * part[i];\n}}"


def end_of_sum(node: IntegerCombine, width: int) -> list[str]:
    """Return the statement that rounds the sum of a mean to Q15; votes need none."""
    return [f"for (i = 0; i < {width}; i++) {{\n    y[i] = (y[i] + 16384) >> 15;\n}}"] if node.rule == "mean" else []


def class_of_members(node: IntegerCombine, inputs: Bounds, style: Style, label: str) -> list[str]:
    """Return the function `label`_class: the class that a combination chooses, without the members it can do without.

    Members come in the order of their work, networks last. As soon as the leading class is so far ahead that those left
    cannot catch up, whatever they say, it is the class.

    Args:
        node: The combination.
        inputs: Limits of the codes.
        style: How the header is written.
        label: Name of the function of the combination, whose members have been rendered.

    Returns:
        The definition, or none where no member can be left out, or distances may exceed 32 bits.
    """
    order = sorted(range(len(node.members)), key=lambda i: _n_products(node.members[i]))
    spans = [_span(node, i, inputs) for i in order]
    leads = [_lead(node, sum(spans[n:])) for n in range(1, len(order))]
    if sum(spans) > INT32_MAX or not any(lead <= sum(spans[:n]) for n, lead in enumerate(leads, 1)):
        return []
    width = len(output_bounds(node, *inputs)[0])
    lines = [f"int32_t y[{width}];", f"int32_t part[{width}];", "int32_t i;", store_each(width, "0")]
    for n, i in enumerate(order, 1):
        lines.append(add_member(node, i, width, arguments("x", "int16_t", style), label))
        if n < len(order) and leads[n - 1] <= sum(spans[:n]):
            lines.append(f"i = e1d_leader(y, {width}, {leads[n - 1]});\nif (i >= 0) {{\n    return i;\n}}")
    lines += [*end_of_sum(node, width), f"return e1d_argmax(y, {width});"]
    head = f"static inline int32_t {label}_class({parameters('int16_t', style)})"
    return [f"\n{head}\n{{\n{textwrap.indent(chr(10).join(lines), '    ')}\n}}"]


def _n_products(member: Node) -> int:
    """Return the number of weights of the layers of a member."""
    return sum(node.weight.size for node in descendants(member) if isinstance(node, IntegerDense))


def _span(node: IntegerCombine, i: int, inputs: Bounds) -> int:
    """Return by how much a member can change the distance between two classes."""
    low, high = output_bounds(node.members[i], *inputs)
    return int(node.weights[i]) * (1 if node.rule == "vote" else int(np.max(high) - np.min(low)))


def _lead(node: IntegerCombine, rest: int) -> int:
    """Return the distance at which the leading class stays ahead, by one step at least of what is compared last."""
    return rest + (1 if node.rule == "vote" else 1 << PROBABILITY_BITS)
