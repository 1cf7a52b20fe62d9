"""Tree tables in C: the plain layout, one array a field, and the size layout, one string of bytes."""

import textwrap
from dataclasses import dataclass
from typing import Literal

import numpy as np

from ensemble_1d.export.c99_text import array, integer
from ensemble_1d.export.tree_bytes import TreeBytes, tree_bytes
from ensemble_1d.ir import IntegerTreeTable, smallest_dtype
from ensemble_1d.ir.nodes_integer import INDEX

Layout = Literal["plain", "size"]


@dataclass(frozen=True, slots=True)
class Style:
    """How a header is written.

    Attributes:
        prefix: Prefix of every name in it.
        layout: How trees are laid out: "size" in one string of bytes, "plain" in one array a field.
    """

    prefix: str
    layout: Layout


def render_trees(node: IntegerTreeTable, source: str, style: Style, label: str) -> list[str]:
    """Return the tables of all trees and the function that sums their leaves.

    Args:
        node: The trees.
        source: C type of the input: "int16_t" for codes, "int32_t" further on.
        style: How to write it; where the size layout has no room for a table, it is plain.
        label: Name of the function, and prefix of the tables.

    Returns:
        C definitions in order.
    """
    encoded = tree_bytes(node) if style.layout == "size" and source == "int16_t" else None
    return _plain(node, source, label) if encoded is None else _bytes(encoded, node.n_outputs, style.prefix, label)


def function(label: str, source: str, body: str) -> str:
    """Return a function definition."""
    return f"\nstatic inline void {label}(const {source} *x, int32_t *y)\n{{\n{textwrap.indent(body, '    ')}\n}}"


def store_each(n_outputs: int, value: str) -> str:
    """Return the loop that stores a value in each output: volatile, lest it become a call of memset or memcpy."""
    return f"for (i = 0; i < {n_outputs}; i++) {{\n    ((volatile int32_t *)y)[i] = {value};\n}}"


def _bytes(trees: TreeBytes, n_outputs: int, prefix: str, label: str) -> list[str]:
    """Return the size layout."""
    return [
        *_codes(trees, prefix, label),
        array(f"{label}_size", smallest_dtype(trees.sizes, INDEX)),
        array(f"{label}_data", trees.data),
        _walk(trees, label),
        *(_sum_of_values(trees, n_outputs, label) if not trees.n_classes else _sum_of_shares(trees, label)),
    ]


def _codes(trees: TreeBytes, prefix: str, label: str) -> list[str]:
    """Return the function from input codes to tree codes."""
    shifted = [column for column in trees.columns if not len(column.cuts)]
    ranked = [column for column in trees.columns if len(column.cuts)]
    tables: list[str] = []

    def operand(field: str, values: list[int]) -> str:
        """Return a number that all columns share, or an entry of a table."""
        if len(set(values)) == 1:
            return integer(values[0])
        tables.append(array(f"{label}_{field}", smallest_dtype(np.array(values), (np.uint8, np.int16, np.int32))))
        return f"{label}_{field}[i]"

    lines = ["int32_t i;"]
    if shifted:
        places = [column.source for column in shifted]
        place = "i" if places == list(range(len(places))) else operand("source", places)
        shift, base = (
            operand("shift", [each.shift for each in shifted]),
            operand("base", [each.base for each in shifted]),
        )
        lines += [
            f"for (i = 0; i < {len(shifted)}; i++) {{",
            f"    const int32_t code = ((int32_t)x[{place}] >> {shift}) - {base};",
            "    t[i] = (uint8_t)(code < 0 ? 0 : (code > 255 ? 255 : code));",
            "}",
        ]
    if ranked:
        starts = np.cumsum([0, *(len(column.cuts) for column in ranked)])
        tables.append(array(f"{label}_start", smallest_dtype(starts, INDEX)))
        tables.append(array(f"{label}_cuts", np.concatenate([column.cuts for column in ranked]).astype(np.int16)))
        place = operand("ranked", [column.source for column in ranked])
        lines += [
            f"for (i = 0; i < {len(ranked)}; i++) {{",
            f"    const int32_t first = (int32_t){label}_start[i];",
            f"    const int32_t n = (int32_t){label}_start[i + 1] - first;",
            f"    t[{len(shifted)} + i] = {prefix}_rank(x[{place}], &{label}_cuts[first], n);",
            "}",
        ]
    body = textwrap.indent("\n".join(lines), "    ")
    return [*tables, f"\nstatic inline void {label}_codes(const int16_t *x, uint8_t *t)\n{{\n{body}\n}}"]


def _walk(trees: TreeBytes, label: str) -> str:
    """Return the function that finds the leaf of one tree."""
    column = "((uint16_t)(p[0] & 63) << 8 | p[1])" if trees.wide else "p[0] & 63"
    n_head = 3 if trees.wide else 2
    leaf = f"p[0] < {trees.n_classes} ? 1 : 2" if trees.n_classes else str(trees.leaf_bytes)
    return f"""
/* The leaf of the tree at p: a split is a header, the cut, and what it parts. */
static inline const uint8_t *{label}_leaf(const uint8_t *p, const uint8_t *t)
{{
    for (;;) {{
        const uint8_t head = p[0];
        const uint8_t right = t[{column}] > p[{n_head - 1}];
        p += {n_head};
        if (head & 128) {{
            if (!right) {{
                return p;
            }}
            p += {leaf};
            if (head & 64) {{
                return p;
            }}
        }} else if (head & 64) {{
            if (right) {{
                return p;
            }}
            p += {leaf};
        }} else {{
            uint16_t skip = *p++;
            if (skip == 0) {{
                skip = (uint16_t)(p[0] | (uint16_t)p[1] << 8);
                p += 2;
            }}
            if (right) {{
                p += skip;
            }}
        }}
    }}
}}"""


def _sum_of_values(trees: TreeBytes, n_outputs: int, label: str) -> list[str]:
    """Return the function that adds leaves of one value, output after output."""
    counts = trees.trees_of.tolist()
    tables = []
    count = str(counts[0])
    if len(set(counts)) > 1:
        tables.append(array(f"{label}_trees_of", smallest_dtype(trees.trees_of, INDEX)))
        count = f"(int32_t){label}_trees_of[k]"
    value = "leaf[0]" if trees.leaf_bytes == 1 else "(int32_t)(leaf[0] | (uint16_t)leaf[1] << 8)"
    zero = f" - {trees.leaf_zero} * n" if trees.leaf_zero else ""
    body = f"""\
uint8_t t[{len(trees.columns)}];
const uint8_t *p = {label}_data;
int32_t tree = 0;
int32_t k;
{label}_codes(x, t);
for (k = 0; k < {n_outputs}; k++) {{
    const int32_t n = {count};
    const int32_t end = tree + n;
    int32_t sum = 0;
    for (; tree < end; tree++) {{
        const uint8_t *leaf = {label}_leaf(p, t);
        sum += {value};
        p += {label}_size[tree];
    }}
    y[k] = sum{zero};
}}"""
    return [*tables, function(label, "int16_t", body)]


def _sum_of_shares(trees: TreeBytes, label: str) -> list[str]:
    """Return the function that adds leaves of several values: all for one class, or a list of shares."""
    tables = [array(f"{label}_mixtures", trees.mixtures)] if len(trees.mixtures) else []
    mixed = f"""\
else {{
        const uint8_t *pair = &{label}_mixtures[(uint16_t)(leaf[0] - {trees.n_classes}) << 8 | leaf[1]];
        int32_t rest = {trees.total};
        while (rest > 0) {{
            y[pair[0]] += pair[1];
            rest -= pair[1];
            pair += 2;
        }}
    }}"""
    body = f"""\
uint8_t t[{len(trees.columns)}];
const uint8_t *p = {label}_data;
int32_t tree;
int32_t i;
{label}_codes(x, t);
{store_each(trees.n_classes, "0")}
for (tree = 0; tree < {len(trees.sizes)}; tree++) {{
    const uint8_t *leaf = {label}_leaf(p, t);
    if (leaf[0] < {trees.n_classes}) {{
        y[leaf[0]] += {trees.total};
    }} {mixed if tables else ""}
    p += {label}_size[tree];
}}"""
    return [*tables, function(label, "int16_t", body)]


def _plain(node: IntegerTreeTable, source: str, label: str) -> list[str]:
    """Return the plain layout."""
    width, n_trees = node.value.shape[1], len(node.root)
    has_nodes, has_missing = len(node.column) > 0, len(node.default_left) > 0
    tables = [array(f"{label}_root", node.root), array(f"{label}_value", node.value)]
    if has_nodes:
        fields = ["column", "cut", "left", "right", *(["default_left"] if has_missing else [])]
        tables += [array(f"{label}_{field}", getattr(node, field)) for field in fields]
    single_output = bool((node.output == node.output[0]).all())
    if not single_output:
        tables.append(array(f"{label}_output", node.output))
    goes_left = f"code <= {label}_cut[node]"
    if has_missing:
        goes_left = f"(code == -32768 ? {label}_default_left[node] != 0 : {goes_left})"
    walk = f"""\
while (node >= 0) {{
    const int32_t code = (int32_t)x[{label}_column[node]];
    node = {goes_left} ? {label}_left[node] : {label}_right[node];
}}
"""
    first = str(int(node.output[0])) if single_output else f"{label}_output[tree]"
    if width == 1:
        add = f"y[{first}] += {label}_value[~node];"
    else:
        base = f"{first} + " if first != "0" else ""
        add = f"for (i = 0; i < {width}; i++) {{\n    y[{base}i] += {label}_value[~node * {width} + i];\n}}"
    body = (
        f"int32_t tree;\nint32_t i;\n{store_each(node.n_outputs, '0')}\n"
        f"for (tree = 0; tree < {n_trees}; tree++) {{\n    int32_t node = {label}_root[tree];\n"
        f"{textwrap.indent(walk, '    ') if has_nodes else ''}{textwrap.indent(add, '    ')}\n}}"
    )
    return [*tables, function(label, source, body if has_nodes else f"(void)x;\n{body}")]
