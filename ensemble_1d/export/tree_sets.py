"""TreeSet: the trees of one table on codes of one byte, and what layouts that walk bytes have in common."""

import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ensemble_1d.export.c99_functions import Style, function, parameters, store_each
from ensemble_1d.export.c99_text import array, byte_at, entry
from ensemble_1d.export.tree_leaves import SharedLeaves, SingleLeaves
from ensemble_1d.ir import IntegerTreeTable, smallest_dtype
from ensemble_1d.ir.nodes_integer import CHILD, INDEX

Encode = Callable[[int, list[bytes | None]], bytes]
"""From a split and the bytes of its children (None for a leaf) to its own bytes."""


@dataclass(frozen=True, slots=True, eq=False)
class TreeSet:
    """Trees on codes of one byte.

    Attributes:
        table: The trees; every root is a split.
        column: The code column of each split, of shape (n_nodes,), int64.
        cut: The largest code that goes left, of shape (n_nodes,), int64, 0..254.
        n_columns: Number of code columns.
        leaves: The leaves.
        style: How the header is written.
        least_sum: The least sum of stored leaves for which a class is chosen, or None where no class hangs on the sum.
    """

    table: IntegerTreeTable
    column: npt.NDArray[np.int64]
    cut: npt.NDArray[np.int64]
    n_columns: int
    leaves: SingleLeaves | SharedLeaves
    style: Style
    least_sum: int | None = None

    @property
    def codes(self) -> str:
        """The name of the array of codes."""
        return self.style.tree_input

    @property
    def is_apart(self) -> bool:
        """Whether other members stand beside these trees: among them, a loop would lack registers."""
        return len(self.style.place) > 1 or self.style.makes_codes

    @property
    def order(self) -> npt.NDArray[np.intp]:
        """The numbers of the trees: those of an output after one another, and those that matter most first."""
        if isinstance(self.leaves, SharedLeaves):
            return np.argsort(self.table.output, kind="stable")
        return np.lexsort([-self.leaves.reach, self.table.output])

    @property
    def has_bits(self) -> bool:
        """Whether a bit can say every leaf: two values, and different ones in splits of two leaves."""
        table, leaves = self.table, self.leaves
        if isinstance(leaves, SharedLeaves) or leaves.largest > 1:
            return False
        both = (table.left < 0) & (table.right < 0)
        left, right = (leaves.value[~child[both].astype(np.int64)] for child in (table.left, table.right))
        return bool((left != right).all())

    @property
    def roots(self) -> list[int]:
        """The roots in order."""
        return [int(root) for root in self.table.root[self.order]]

    def stored(self, child: int, node: int) -> int:
        """Return the stored number of the leaf that a child of a split refers to."""
        leaves = self.leaves
        return leaves.stored(child, node) if isinstance(leaves, SingleLeaves) else int(leaves.number[~child])


@dataclass(frozen=True, slots=True)
class Walk:
    """The C code that finds the leaf of each tree.

    Attributes:
        start: The declarations before the first tree.
        steps: The statements for one tree, number `tree`.
        leaf: The expression of the stored number of its leaf, or of the place of its first byte for shares.
        first: The first byte of a leaf that is all for class 0.
    """

    start: str
    steps: str
    leaf: str
    first: int = 0


def encoded_trees(trees: TreeSet, encode: Encode) -> list[bytes]:
    """Return the bytes of each tree, children before parents so that every size is known."""
    table = trees.table
    done: dict[int, bytes] = {}
    for root in trees.roots:
        todo = [root]
        while todo:
            node = todo[-1]
            children = [int(table.left[node]), int(table.right[node])]
            missing = [child for child in children if child >= 0 and child not in done]
            if missing:
                todo += missing
                continue
            todo.pop()
            done[node] = encode(node, [None if child < 0 else done.pop(child) for child in children])
    return [done[root] for root in trees.roots]


def sums_of_trees(trees: TreeSet, label: str, walk: Walk) -> list[str]:
    """Return the function that adds up the leaves of all trees, output after output.

    Args:
        trees: The trees.
        label: Name of the function, and prefix of its tables.
        walk: How each leaf is found.

    Returns:
        C definitions in order.
    """
    if isinstance(trees.leaves, SharedLeaves):
        return _sum_of_shares(trees, trees.leaves, label, walk)
    leaves = trees.leaves
    counts, zero = counts_and_zeros(trees.table, leaves)
    kind = sum_type(leaves.bound(trees.table))
    add = f"{walk.steps}\nsum = ({kind})(sum + ({kind})({walk.leaf}));"
    if trees.table.n_outputs == 1:
        return _single_sum(trees, leaves, label, f"{walk.start}\nuint_fast16_t tree;\n{kind} sum = 0;", add)
    tables, operands = [], {}
    for name, values in (("count", counts), ("zero", zero)):
        operands[name] = str(values[0])
        if len(set(values.tolist())) > 1:
            entries = smallest_dtype(values, INDEX if name == "count" else CHILD)
            tables.append(array(f"{label}_{name}", entries))
            operands[name] = entry(f"{label}_{name}", entries, "k")
    body = f"""\
{walk.start}
uint_fast16_t tree = 0;
int32_t k;
for (k = 0; k < {trees.table.n_outputs}; k++) {{
    const uint_fast16_t end = (uint_fast16_t)(tree + {operands["count"]});
    {kind} sum = 0;
    for (; tree < end; tree++) {{
{textwrap.indent(add, "        ")}
    }}
    y[k] = {value_of_sum(leaves, operands["zero"])};
}}"""
    return [*tables, function(label, "int16_t", trees.style, body, is_apart=trees.is_apart)]


def counts_and_zeros(
    table: IntegerTreeTable, leaves: SingleLeaves
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return the number of trees of each output, and its value where every stored leaf is 0."""
    counts, zero = np.zeros((2, table.n_outputs), np.int64)
    np.add.at(counts, table.output, 1)
    np.add.at(zero, table.output, leaves.low)
    return counts, zero


def _single_sum(trees: TreeSet, leaves: SingleLeaves, label: str, start: str, add: str) -> list[str]:
    """Return the function of the one output, and one that says, as soon as it can tell, whether it is large enough."""
    n_trees = len(trees.table.root)
    kind, zero = sum_type(leaves.bound(trees.table)), int(leaves.low.sum())
    begin = f"{start}\nfor (tree = 0; tree < {n_trees}; tree++) {{"
    inner = textwrap.indent(add, "    ")
    body = f"{begin}\n{inner}\n}}\ny[0] = {value_of_sum(leaves, str(zero))};"
    definitions = [function(label, "int16_t", trees.style, body, is_apart=trees.is_apart)]
    least = trees.least_sum
    if least is None:
        return definitions
    reach = leaves.reach[trees.order]
    after = np.cumsum(reach[::-1])[::-1] - reach
    if len(set(reach.tolist())) == 1:
        rest = f"({kind})({n_trees - 1} - tree) * {reach[0]}"
    else:
        rests = smallest_dtype(after, INDEX)
        definitions.append(array(f"{label}_rest", rests))
        rest = f"({kind}){entry(f'{label}_rest', rests, 'tree')}"
    stop = textwrap.indent(
        f"if (sum >= {least}) {{\n    return 1;\n}}\nif (sum + {rest} < {least}) {{\n    break;\n}}", "    "
    )
    text = textwrap.indent(f"{begin}\n{inner}\n{stop}\n}}\nreturn 0;", "    ")
    head = f"static inline int32_t {label}_reaches({parameters('int16_t', trees.style)})"
    unused = "    (void)x;\n" if trees.style.makes_codes else ""
    definitions.append(f"\n{head}\n{{\n{unused}{text}\n}}")
    return definitions


def sum_type(largest: int) -> str:
    """Return the type of a sum of stored numbers: no wider than an 8-bit processor needs."""
    return "uint_fast8_t" if largest < 256 else "uint_fast16_t" if largest < 65536 else "uint32_t"


def value_of_sum(leaves: SingleLeaves, zero: str) -> str:
    """Return the expression of the sum of all leaves from the `sum` of what is stored of them, and what that leaves."""
    scaled = "(int32_t)sum" if leaves.step == 1 else f"(int32_t)sum * {leaves.step}"
    if zero == "0":
        return scaled
    return f"{scaled} - {zero[1:]}" if zero.startswith("-") else f"{scaled} + {zero}"


def mixture_tables(leaves: SharedLeaves, label: str) -> list[str]:
    """Return the table of the lists of shares, where there is one."""
    return [array(f"{label}_mixtures", leaves.mixtures)] if len(leaves.mixtures) else []


def add_mixture(leaves: SharedLeaves, label: str, place: str) -> str:
    """Return the statements that add the shares of the list at a place to the classes."""
    if leaves.is_packed:
        return f"""\
const uint8_t *list = &{label}_mixtures[{place}];
int32_t rest = {leaves.total};
while (rest > 0) {{
    const uint_fast8_t pair = {byte_at("list")};
    y[pair >> 4] += (int32_t)(pair & 15);
    rest -= (int32_t)(pair & 15);
    list++;
}}"""
    pair, share = byte_at("pair"), byte_at("pair", 1)
    return f"""\
const uint8_t *pair = &{label}_mixtures[{place}];
int32_t rest = {leaves.total};
while (rest > 0) {{
    y[{pair}] += {share};
    rest -= {share};
    pair += 2;
}}"""


def _sum_of_shares(trees: TreeSet, leaves: SharedLeaves, label: str, walk: Walk) -> list[str]:
    """Return the function that adds leaves of several values: all for one class, or a list of shares."""
    tables = mixture_tables(leaves, label)
    number = f"{byte_at(walk.leaf)} - {walk.first}" if walk.first else byte_at(walk.leaf)
    add = f"y[class_or_list] += {leaves.total};"
    if tables:
        place = f"(class_or_list - {leaves.n_classes}) << 8 | {byte_at(walk.leaf, 1)}"
        mixed = textwrap.indent(add_mixture(leaves, label, place), "    ")
        add = f"if (class_or_list < {leaves.n_classes}) {{\n    {add}\n}} else {{\n{mixed}\n}}"
    last = textwrap.indent(f"const int32_t class_or_list = {number};\n{add}", "    ")
    inner = textwrap.indent(f"{walk.steps}\n{{\n{last}\n}}", "    ")
    body = f"""\
{walk.start}
uint_fast16_t tree;
int32_t i;
{store_each(leaves.n_classes, "0")}
for (tree = 0; tree < {len(trees.table.root)}; tree++) {{
{inner}
}}"""
    return [*tables, function(label, "int16_t", trees.style, body, is_apart=trees.is_apart)]
