"""The plain layout: trees as one array a field, for reading, for missing values, and where no other layout has room."""

import textwrap

from ensemble_1d.export.c99_functions import Style, function, store_each
from ensemble_1d.export.c99_text import array, entry
from ensemble_1d.ir import IntegerTreeTable


def plain_layout(node: IntegerTreeTable, source: str, style: Style, label: str) -> list[str]:
    """Return the tables of trees and the function that sums their leaves.

    Args:
        node: The trees.
        source: C type of the input: "int16_t" for codes, "int32_t" further on.
        style: How the header is written.
        label: Name of the function, and prefix of the tables.

    Returns:
        C definitions in order.
    """
    width, n_trees = node.value.shape[1], len(node.root)
    has_nodes, has_missing = len(node.column) > 0, len(node.default_left) > 0
    fields = ["root", "value"]
    if has_nodes:
        fields += ["column", "cut", "left", "right", *(["default_left"] if has_missing else [])]
    single_output = bool((node.output == node.output[0]).all())
    if not single_output:
        fields.append("output")

    def read(field: str, index: str) -> str:
        return entry(f"{label}_{field}", getattr(node, field), index)

    goes_left = f"code <= {read('cut', 'node')}"
    if has_missing:
        goes_left = f"(code == -32768 ? {read('default_left', 'node')} != 0 : {goes_left})"
    walk = f"""\
while (node >= 0) {{
    const int32_t code = (int32_t)x[{read("column", "node")}];
    node = {goes_left} ? {read("left", "node")} : {read("right", "node")};
}}
"""
    first = str(int(node.output[0])) if single_output else read("output", "tree")
    if width == 1:
        add = f"y[{first}] += {read('value', '~node')};"
    else:
        base = f"{first} + " if first != "0" else ""
        value = read("value", f"~node * {width} + i")
        add = f"for (i = 0; i < {width}; i++) {{\n    y[{base}i] += {value};\n}}"
    body = (
        f"int32_t tree;\nint32_t i;\n{store_each(node.n_outputs, '0')}\n"
        f"for (tree = 0; tree < {n_trees}; tree++) {{\n    int32_t node = {read('root', 'tree')};\n"
        f"{textwrap.indent(walk, '    ') if has_nodes else ''}{textwrap.indent(add, '    ')}\n}}"
    )
    tables = [array(f"{label}_{field}", getattr(node, field)) for field in fields]
    return [*tables, function(label, source, style, body)]
