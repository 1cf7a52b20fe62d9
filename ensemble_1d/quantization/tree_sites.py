"""Where the tree tables of a float program stand: what each one reads, and other tables in their place."""

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import UnsupportedModelError
from ensemble_1d.ir import Chain, Combine, Concat, Node, Program, Select, TreeTable, descendants
from ensemble_1d.runtime import evaluate


@dataclass(frozen=True, slots=True, eq=False)
class TreeSite:
    """A tree table of a program, and what it reads.

    Attributes:
        table: The trees.
        X: Its input rows, of shape (n_samples, n_inputs).
        column: What each input column is, of shape (n_inputs,), int64: a feature of the program, or a number above the
            features for what other nodes have computed. Equal numbers mean equal columns, across tables too.
    """

    table: TreeTable
    X: npt.NDArray[Any]
    column: npt.NDArray[np.int64]


def tree_sites(program: Program, X: npt.NDArray[np.float32]) -> list[TreeSite]:
    """Return the tree tables of a float program, left to right, with what they read of the rows of `X`.

    Args:
        program: A float program.
        X: Of shape (n_samples, n_features), float32; NaN where the program accepts missing values.

    Raises:
        UnsupportedModelError: If the program is integer.
    """
    if program.is_integer:
        raise UnsupportedModelError("the program is integer already; compress the float model it came from")
    computed = itertools.count(program.n_features)
    return list(_sites(program.root, X, np.arange(program.n_features), computed))


def with_tables(program: Program, tables: Sequence[TreeTable]) -> Program:
    """Return the program with these tables in place of its own, left to right; other nodes are the same objects."""
    return replace(program, root=_replaced(program.root, iter(tables)))


def with_each_table(program: Program, X: npt.NDArray[np.float32], change: Callable[[TreeSite], TreeTable]) -> Program:
    """Return the program with every tree table changed."""
    return with_tables(program, [change(site) for site in tree_sites(program, X)])


def tables_of(program: Program) -> list[TreeTable]:
    """Return the tree tables of a float program, left to right."""
    return [node for node in descendants(program.root) if isinstance(node, TreeTable)]


def _sites(
    node: Node, X: npt.NDArray[Any], column: npt.NDArray[np.int64], computed: Iterator[int]
) -> Iterator[TreeSite]:
    """Yield the tables of a node that reads `X`."""
    match node:
        case TreeTable():
            yield TreeSite(node, X, column)
        case Combine() | Concat():
            for member in node.members:
                yield from _sites(member, X, column, computed)
        case Chain():
            for place, step in enumerate(node.steps):
                yield from _sites(step, X, column, computed)
                if not any(map(_holds_trees, node.steps[place + 1 :])):
                    return
                X = evaluate(step, X)
                if isinstance(step, Select):
                    column = column[step.column]
                else:
                    column = np.fromiter(itertools.islice(computed, X.shape[1]), np.int64)
        case _:
            return


def _holds_trees(node: Node) -> bool:
    """Return whether there is a tree table in `node`."""
    return any(isinstance(each, TreeTable) for each in descendants(node))


def _replaced(node: Node, tables: Iterator[TreeTable]) -> Node:
    """Return `node` with the next tables in place of its own."""
    match node:
        case TreeTable():
            return next(tables)
        case Chain() if _holds_trees(node):
            return replace(node, steps=tuple(_replaced(step, tables) for step in node.steps))
        case Combine() | Concat() if _holds_trees(node):
            return replace(node, members=tuple(_replaced(member, tables) for member in node.members))
        case _:
            return node
