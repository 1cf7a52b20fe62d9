"""The speed layout: trees as straight-line code, three instructions a split."""

import textwrap
from collections.abc import Callable, Iterator

from ensemble_1d.export.c99_functions import function, parameters, store_each
from ensemble_1d.export.tree_leaves import SharedLeaves, SingleLeaves
from ensemble_1d.export.tree_sets import (
    TreeSet,
    add_mixture,
    counts_and_zeros,
    mixture_tables,
    sum_type,
    value_of_sum,
)

_MOST_SPLITS = 60
"""Splits in a function: in longer ones, branches are too far for two bytes, and compilers take long over them ..."""
_MOST_TREES = 8
"""... and between functions, a sum may already be decided."""
_DEEPEST = 120
"""Splits within one another: a compiler need take no more than 127 blocks so, and some take few more."""

_U16 = 65535

Leaf = Callable[[int, int], str]
"""From the child of a split, a leaf, and that split to the statement of the leaf, or to nothing."""


def speed_layout(trees: TreeSet, label: str) -> list[str] | None:
    """Return the functions of trees as nested branches, or None for trees too deep for a compiler.

    Args:
        trees: The trees, on codes of one byte.
        label: Name of the function that calls the others, and prefix of their names.

    Returns:
        C definitions in order; None for trees of more than 120 splits within one another.
    """
    if max(_depth(trees, root) for root in trees.roots) > _DEEPEST:
        return None
    leaves = trees.leaves
    return _votes(trees, leaves, label) if isinstance(leaves, SharedLeaves) else _values(trees, leaves, label)


def _values(trees: TreeSet, leaves: SingleLeaves, label: str) -> list[str]:
    """Return functions of trees with leaves of one value: each adds up some trees of one output."""
    counts, zero = counts_and_zeros(trees.table, leaves)
    kind = sum_type(leaves.bound(trees.table))

    def leaf(child: int, node: int) -> str:
        stored = leaves.stored(child, node)
        return f"sum = ({kind})(sum + {stored});" if stored else ""

    definitions: list[str] = []
    lines, stops = [f"{kind} sum;"], [f"{kind} sum = 0;"]
    roots, reach = trees.roots, leaves.reach[trees.order]
    rest, first = leaves.bound(trees.table), 0
    for output, count in enumerate(counts.tolist()):
        lines.append("sum = 0;")
        for begin, end in _parts(trees, roots[first : first + count]):
            branches = _branches(trees, roots[first + begin : first + end], leaf)
            if not branches:
                continue  # Trees whose leaves are all equal add nothing.
            name = f"{label}_{len(definitions)}"
            text = textwrap.indent(f"{kind} sum = 0;\n{branches}\nreturn sum;", "    ")
            head = f"E1D_SHARED {kind} {name}(const E1D_ANEW {_code_type(trees)} *{trees.codes})"
            definitions.append(f"\n{head}\n{{\n{text}\n}}")
            lines.append(f"sum = ({kind})(sum + {name}({trees.codes}));")
            rest -= int(reach[first + begin : first + end].sum())
            stops += [lines[-1], *_stops(trees, rest)]
        lines.append(f"y[{output}] = {value_of_sum(leaves, str(zero[output]))};")
        first += count
    definitions.append(function(label, "int16_t", trees.style, "\n".join(lines)))
    if trees.least_sum is not None:
        text = textwrap.indent("\n".join([*stops[:-2], f"return sum >= {trees.least_sum};"]), "    ")
        unused = "    (void)x;\n" if trees.style.makes_codes else ""
        head = f"static inline int32_t {label}_reaches({parameters('int16_t', trees.style)})"
        definitions.append(f"\n{head}\n{{\n{_declared_first(text, unused)}\n}}")
    return definitions


def _declared_first(text: str, unused: str) -> str:
    """Return statements with the one that uses a parameter after the first, which declares."""
    first, _, rest = text.partition("\n")
    return f"{first}\n{unused}{rest}"


def _stops(trees: TreeSet, rest: int) -> list[str]:
    """Return the statements that end a sum which the trees left, that can add `rest`, cannot turn."""
    least = trees.least_sum
    if least is None:
        return ["", ""]
    too_small = f"if (sum < {least - rest}) {{\n    return 0;\n}}" if least > rest else ""
    return [f"if (sum >= {least}) {{\n    return 1;\n}}", too_small]


def _votes(trees: TreeSet, leaves: SharedLeaves, label: str) -> list[str]:
    """Return functions of trees with leaves of several values: each adds some trees to all classes."""
    tables = mixture_tables(leaves, label)
    if tables:
        body = textwrap.indent(add_mixture(leaves, label, "place"), "    ")
        place = "uint16_t" if len(leaves.mixtures) <= _U16 else "uint32_t"
        tables.append(f"\nstatic inline void {label}_mix({place} place, int32_t *y)\n{{\n{body}\n}}")

    def leaf(child: int, node: int) -> str:
        number = trees.stored(child, node)
        if number < leaves.n_classes:
            return f"y[{number}] += {leaves.total};"
        return f"{label}_mix({number - leaves.n_classes}, y);"

    definitions: list[str] = []
    lines = ["int32_t i;", store_each(leaves.n_classes, "0")]
    roots = trees.roots
    for begin, end in _parts(trees, roots):
        name = f"{label}_{len(definitions)}"
        text = textwrap.indent(_branches(trees, roots[begin:end], leaf), "    ")
        head = f"E1D_SHARED void {name}(const E1D_ANEW {_code_type(trees)} *{trees.codes}, int32_t *y)"
        definitions.append(f"\n{head}\n{{\n{text}\n}}")
        lines.append(f"{name}({trees.codes}, y);")
    return [*tables, *definitions, function(label, "int16_t", trees.style, "\n".join(lines))]


def _code_type(trees: TreeSet) -> str:
    """Return the type of a code."""
    return "uint8_t" if trees.style.makes_codes else "int16_t"


def _parts(trees: TreeSet, roots: list[int]) -> Iterator[tuple[int, int]]:
    """Yield where the trees of each function begin and end among these."""
    begin = size = 0
    for place, root in enumerate(roots):
        more = _n_splits(trees, root)
        if place > begin and (size + more > _MOST_SPLITS or place - begin == _MOST_TREES):
            yield begin, place
            begin, size = place, 0
        size += more
    if roots:
        yield begin, len(roots)


def _n_splits(trees: TreeSet, root: int) -> int:
    """Return the number of splits of a tree."""
    todo, count = [root], 0
    while todo:
        node = todo.pop()
        count += 1
        todo += [child for child in (int(trees.table.left[node]), int(trees.table.right[node])) if child >= 0]
    return count


def _depth(trees: TreeSet, root: int) -> int:
    """Return how many splits lie within one another in a tree."""
    level, depth = [root], 0
    while level:
        pairs = ((int(trees.table.left[node]), int(trees.table.right[node])) for node in level)
        level, depth = [child for pair in pairs for child in pair if child >= 0], depth + 1
    return depth


def _branches(trees: TreeSet, roots: list[int], leaf: Leaf) -> str:
    """Return trees as nested branches."""
    table, made = trees.table, trees.style.makes_codes
    lines: list[str] = []
    # Lines to write, and splits with their depth to turn into lines.
    todo: list[str | tuple[int, int]] = [(root, 0) for root in reversed(roots)]
    while todo:
        item = todo.pop()
        if isinstance(item, str):
            lines.append(item)
            continue
        node, depth = item
        indent = " " * depth
        code = f"{trees.codes}[{trees.column[node]}]"
        code = code if made else f"E1D_CODE({code})"
        sides: list[list[str | tuple[int, int]]] = []
        for child in (int(table.left[node]), int(table.right[node])):
            text = leaf(child, node) if child < 0 else ""
            sides.append([(child, depth + 1)] if child >= 0 else [f"{indent} {text}"] if text else [])
        left, right = sides
        sign = "<=" if left else ">"
        inner = [*left, f"{indent}}} else {{", *right] if left and right else left or right
        if inner:
            todo += reversed([f"{indent}if ({code} {sign} {trees.cut[node]}) {{", *inner, f"{indent}}}"])
    return "\n".join(lines)
