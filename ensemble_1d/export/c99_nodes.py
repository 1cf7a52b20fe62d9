"""render: one C function for each integer node, `void label(const T *x, int32_t *y)`."""

from typing import assert_never

from ensemble_1d.errors import InvalidProgramError
from ensemble_1d.export.c99_combine import add_member, end_of_sum
from ensemble_1d.export.c99_dense import DenseRun, dense_runs, render_run
from ensemble_1d.export.c99_functions import Style, arguments, function, store_each
from ensemble_1d.export.c99_requantize import requantize_call
from ensemble_1d.export.c99_text import array, entry
from ensemble_1d.export.c99_trees import made_table, render_trees
from ensemble_1d.ir import (
    Affine,
    Chain,
    Combine,
    Concat,
    Dense,
    Dequantize,
    IntegerCombine,
    IntegerDense,
    IntegerLink,
    IntegerLog,
    IntegerTreeTable,
    Link,
    Log,
    Node,
    Quantize,
    Requantize,
    Select,
    TreeTable,
    output_width,
    smallest_dtype,
)
from ensemble_1d.ir.nodes_integer import INDEX

_IN_PLACE = (Requantize, IntegerLink, IntegerLog)
"""What can write over its input."""


def render(node: Node, n_inputs: int, source: str, style: Style, label: str) -> list[str]:
    """Return the definitions that compute `node`: those below it, its tables, and last its function `label`.

    Args:
        node: An integer node.
        n_inputs: Number of its input columns.
        source: C type of its input: "int16_t" for codes, "int32_t" further on.
        style: What is common to all nodes.
        label: Name of the function, and prefix of the tables.

    Returns:
        C definitions in order.

    Raises:
        InvalidProgramError: If the node is float.
    """
    match node:
        case Chain():
            return _chain(node, n_inputs, source, style, label)
        case IntegerLog():
            call = _in_place_call(node, n_inputs, "y")
            return [function(label, source, style, f"{_copy(n_inputs)}\n{call}")]
        case Concat():
            return _concat(node, n_inputs, source, style, label)
        case IntegerCombine():
            return _combine(node, n_inputs, source, style, label)
        case IntegerTreeTable():
            return render_trees(node, source, style, label)
        case IntegerDense():
            return _dense(node, source, style, label)
        case Requantize():
            tables, call = requantize_call(node, label)
            loop = f"int32_t i;\nfor (i = 0; i < {n_inputs}; i++) {{\n    y[i] = {call};\n}}"
            return [*tables, function(label, source, style, loop)]
        case IntegerLink():
            call = _in_place_call(node, n_inputs, "y")
            return [function(label, source, style, f"{_copy(n_inputs)}\n{call}")]
        case Select():
            column = smallest_dtype(node.column, INDEX)
            place = entry(f"{label}_column", column, "i")
            loop = f"int32_t i;\nfor (i = 0; i < {len(column)}; i++) {{\n    y[i] = (int32_t)x[{place}];\n}}"
            return [array(f"{label}_column", column), function(label, source, style, loop)]
        case TreeTable() | Dense() | Affine() | Link() | Log() | Combine() | Quantize() | Dequantize():
            raise InvalidProgramError(f"{type(node).__name__} has no integer C code; quantize the program first")
        case _:
            assert_never(node)


def _copy(n_inputs: int) -> str:
    """Return the statements that copy the input to the output."""
    return f"int32_t i;\n{store_each(n_inputs, '(int32_t)x[i]')}"


def _in_place_call(node: IntegerLink | IntegerLog, n_inputs: int, buffer: str) -> str:
    """Return the statement that turns scores into probabilities, or probabilities into logarithms, in place."""
    if isinstance(node, IntegerLog):
        return f"e1d_log2({buffer}, {n_inputs}, {node.floor});"
    if node.kind == "softmax":
        return f"e1d_softmax({buffer}, {n_inputs});"
    return f"e1d_{node.kind}({buffer});"


def _chain(node: Chain, n_inputs: int, source: str, style: Style, label: str) -> list[str]:
    """Return a function that calls each step; scores are rescaled and linked in place, the rest between two buffers."""
    table = made_table(node)
    rest: tuple[Node, ...] = node.steps
    if table is not None and id(table) in style.place:
        # What makes its codes has run for all tables at once.
        n_inputs, rest = output_width(Chain(steps=rest[:2]), n_inputs), rest[2:]
    steps = dense_runs(rest, source)
    widths = [n_inputs]
    for step in steps:
        widths.append(step.n_outputs if isinstance(step, DenseRun) else output_width(step, widths[-1]))
    definitions: list[str] = []
    lines: list[str] = []
    current, current_type = "x", source
    sizes: dict[str, int] = {}
    for i, step in enumerate(steps):
        if isinstance(step, _IN_PLACE) and current != "x":
            sizes[current] = max(sizes.get(current, 0), widths[i + 1])
            if not isinstance(step, Requantize):
                lines.append(_in_place_call(step, widths[i], current))
                continue
            target = current
        else:
            rest_in_place = all(isinstance(later, _IN_PLACE) for later in steps[i + 1 :])
            target = "y" if rest_in_place else "b" if current == "a" else "a"
            sizes[target] = max(sizes.get(target, 0), widths[i + 1])
        if isinstance(step, DenseRun):
            definitions += render_run(step, widths[i], current_type, style, f"{label}_{i}")
        else:
            definitions += render(step, widths[i], current_type, style, f"{label}_{i}")
        lines.append(f"{label}_{i}({arguments(current, current_type, style)}, {target});")
        current, current_type = target, "int32_t"
    buffers = [f"int32_t {name}[{sizes[name]}];" for name in ("a", "b") if name in sizes]
    return [*definitions, function(label, source, style, "\n".join([*buffers, *lines]))]


def _concat(node: Concat, n_inputs: int, source: str, style: Style, label: str) -> list[str]:
    """Return a function whose members write side by side."""
    definitions: list[str] = []
    lines: list[str] = []
    first = 0
    for i, member in enumerate(node.members):
        definitions += render(member, n_inputs, source, style, f"{label}_m{i}")
        y = f"y + {first}" if first else "y"
        lines.append(f"{label}_m{i}({arguments('x', source, style)}, {y});")
        first += output_width(member, n_inputs)
    return [*definitions, function(label, source, style, "\n".join(lines))]


def _combine(node: IntegerCombine, n_inputs: int, source: str, style: Style, label: str) -> list[str]:
    """Return a function that adds up the members' outputs by weight, or their votes."""
    width = output_width(node, n_inputs)
    definitions: list[str] = []
    lines = [f"int32_t part[{width}];", "int32_t i;", store_each(width, "0")]
    for i, member in enumerate(node.members):
        definitions += render(member, n_inputs, source, style, f"{label}_m{i}")
        lines.append(add_member(node, i, width, arguments("x", source, style), label))
    lines += end_of_sum(node, width)
    return [*definitions, function(label, source, style, "\n".join(lines))]


def _dense(node: IntegerDense, source: str, style: Style, label: str) -> list[str]:
    """Return the weights and the matrix-vector product."""
    n_outputs, n_inputs = node.weight.shape
    body = f"""\
int32_t i;
int32_t o;
for (o = 0; o < {n_outputs}; o++) {{
    int32_t sum = {entry(f"{label}_bias", node.bias, "o")};
    for (i = 0; i < {n_inputs}; i++) {{
        sum += (int32_t){entry(f"{label}_weight", node.weight, f"o * {n_inputs} + i")} * (int32_t)x[i];
    }}
    y[o] = sum;
}}"""
    return [
        array(f"{label}_weight", node.weight),
        array(f"{label}_bias", node.bias),
        function(label, source, style, body),
    ]
