"""Tree tables in C: which codes they compare, and which layout each of them has room in."""

from collections.abc import Iterator, Sequence

import numpy as np

from ensemble_1d.export.c99_functions import Layout, Style
from ensemble_1d.export.c99_requantize import requantize_call
from ensemble_1d.export.c99_text import array, entry, integer
from ensemble_1d.export.class_decision import ClassDecision
from ensemble_1d.export.layout_balanced import balanced_layout
from ensemble_1d.export.layout_plain import plain_layout
from ensemble_1d.export.layout_size import size_layout
from ensemble_1d.export.layout_speed import speed_layout
from ensemble_1d.export.tree_codes import CodeColumn, TreeCodes, tree_codes
from ensemble_1d.export.tree_leaves import SharedLeaves, SingleLeaves, tree_leaves
from ensemble_1d.export.tree_sets import TreeSet
from ensemble_1d.ir import (
    Chain,
    Concat,
    IntegerCombine,
    IntegerTreeTable,
    Node,
    Quantize,
    Requantize,
    Select,
    smallest_dtype,
)
from ensemble_1d.ir.fixed_point import NARROW_HIGH
from ensemble_1d.ir.nodes_integer import INDEX


def tree_style(quantizer: Quantize, body: Chain, layout: Layout, decision: ClassDecision | None) -> Style:
    """Return how the trees of a program are written, with codes of one byte for all tables that can have them."""
    readers = [reader for reader in _readers_of_codes(body) if _has_room(reader[0])] if layout != "plain" else []
    least = {}
    if decision is not None and decision.kind == "threshold" and decision.n_steps == 1:
        least = {id(body.steps[0]): decision.least}
    if not readers:
        return Style(layout, None, {}, least)
    # One array of tree codes serves all tables: those that read other codes stay plain.
    maker = readers[0][1]
    tables = [table for table, other in readers if other == maker]
    narrow = np.ones(len(maker[0].column), np.bool_) if maker else quantizer.narrow
    codes = tree_codes(tables, narrow, maker)
    if maker and codes.columns:
        return Style(layout, None, {}, least)
    return Style(layout, codes, {id(table): i for i, table in enumerate(tables)}, least)


def _least_sum(node: IntegerTreeTable, leaves: SingleLeaves | SharedLeaves, style: Style) -> int | None:
    """Return the least sum of stored leaves for which a class is chosen; None where it always or never is."""
    if isinstance(leaves, SharedLeaves) or id(node) not in style.least:
        return None
    least = -(-(style.least[id(node)] - int(leaves.low.sum())) // leaves.step)
    return least if 0 < least <= leaves.bound(node) else None


def render_trees(node: IntegerTreeTable, source: str, style: Style, label: str) -> list[str]:
    """Return the tables of all trees and the function that sums their leaves.

    Args:
        node: The trees.
        source: C type of the input: "int16_t" for codes, "int32_t" further on.
        style: How to write it; where a layout has no room for a table, the next one takes it.
        label: Name of the function, and prefix of the tables.

    Returns:
        C definitions in order.
    """
    place = style.place.get(id(node))
    leaves = tree_leaves(node)
    found = None
    if place is not None and style.codes is not None and leaves is not None and source == "int16_t":
        codes = style.codes
        least = _least_sum(node, leaves, style)
        trees = TreeSet(node, codes.column[place], codes.cut[place], codes.n_columns, leaves, style, least)
        if style.layout == "speed":
            found = speed_layout(trees, label)
        elif style.layout == "balanced":
            found = balanced_layout(trees, label)
        found = found or size_layout(trees, label)
    return found or plain_layout(node, source, style, label)


def _readers_of_codes(node: Node) -> Iterator[tuple[IntegerTreeTable, tuple[Select, Requantize] | tuple[()]]]:
    """Yield the tables that read the input codes, or bytes made of them, and what makes these."""
    match node:
        case Chain():
            yield from _readers_of_codes(node.steps[0])
            table = made_table(node)
            if table is not None:
                select, requantize, *_ = node.steps
                if isinstance(select, Select) and isinstance(requantize, Requantize):
                    yield table, (select, requantize)
        case Concat() | IntegerCombine():
            for member in node.members:
                yield from _readers_of_codes(member)
        case IntegerTreeTable():
            yield node, ()
        case _:
            return


def made_table(chain: Chain) -> IntegerTreeTable | None:
    """Return the table of a chain that begins with a selection, a requantization to bytes, and trees."""
    if len(chain.steps) < 3:
        return None
    select, requantize, table = chain.steps[:3]
    is_bytes = isinstance(requantize, Requantize) and requantize.low >= 0 and requantize.high <= NARROW_HIGH
    return table if isinstance(select, Select) and is_bytes and isinstance(table, IntegerTreeTable) else None


def _has_room(table: IntegerTreeTable) -> bool:
    """Return whether a table may have codes of one byte: no missing values, and every tree with a split."""
    return not len(table.default_left) and int(table.root.min()) >= 0 and tree_leaves(table) is not None


def code_maker(codes: TreeCodes) -> list[str]:
    """Return the function `e1d_tree_codes` from input codes `x` to tree codes `t`, with its tables."""
    return _rescaled_codes(*codes.maker) if codes.maker else _own_codes(codes.columns)


def _rescaled_codes(select: Select, requantize: Requantize) -> list[str]:
    """Return the function that rescales input codes."""
    column = smallest_dtype(select.column, INDEX)
    tables, value = requantize_call(requantize, "e1d_code")
    value = value.replace("x[i]", f"x[{entry('e1d_code_source', column, 'i')}]")
    loop = f"for (i = 0; i < {len(column)}; i++) {{\n        t[i] = (uint8_t){value};\n    }}"
    head = "static inline void e1d_tree_codes(const int16_t *x, uint8_t *t)"
    return [array("e1d_code_source", column), *tables, f"\n{head}\n{{\n    int32_t i;\n    {loop}\n}}"]


def _own_codes(columns: Sequence[CodeColumn]) -> list[str]:
    """Return the function that shifts input codes, or finds their ranks."""
    shifted = [column for column in columns if not len(column.cuts)]
    ranked = [column for column in columns if len(column.cuts)]
    tables: list[str] = []

    def operand(field: str, values: list[int]) -> str:
        """Return a number that all columns share, or an entry of a table."""
        if len(set(values)) == 1:
            return integer(values[0])
        table = smallest_dtype(np.array(values), (np.uint8, np.int16, np.int32))
        tables.append(array(f"e1d_code_{field}", table))
        return entry(f"e1d_code_{field}", table, "i")

    lines = ["uint_fast8_t i;" if len(columns) < 256 else "uint_fast16_t i;"]
    if shifted:
        places = [column.source for column in shifted]
        place = "i" if places == list(range(len(places))) else operand("source", places)
        shift = operand("shift", [each.shift for each in shifted])
        base = operand("base", [each.base for each in shifted])
        lines += [
            f"for (i = 0; i < {len(shifted)}; i++) {{",
            f"    const int32_t code = ((int32_t)x[{place}] >> {shift}) - {base};",
            "    t[i] = (uint8_t)(code < 0 ? 0 : (code > 255 ? 255 : code));",
            "}",
        ]
    if ranked:
        starts = smallest_dtype(np.cumsum([0, *(len(column.cuts) for column in ranked)]), INDEX)
        cuts = np.concatenate([column.cuts for column in ranked]).astype(np.int16)
        tables += [array("e1d_code_start", starts), array("e1d_code_cuts", cuts)]
        place = operand("ranked", [column.source for column in ranked])
        lines += [
            f"for (i = 0; i < {len(ranked)}; i++) {{",
            f"    const int32_t first = (int32_t){entry('e1d_code_start', starts, 'i')};",
            f"    const int32_t n = (int32_t){entry('e1d_code_start', starts, 'i + 1')} - first;",
            f"    t[{len(shifted)} + i] = e1d_rank(x[{place}], &e1d_code_cuts[first], n);",
            "}",
        ]
    body = "\n".join(f"    {line}" for line in lines)
    return [*tables, f"\nstatic inline void e1d_tree_codes(const int16_t *x, uint8_t *t)\n{{\n{body}\n}}"]
