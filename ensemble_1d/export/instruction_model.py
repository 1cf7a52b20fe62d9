"""instructions_of: how many instructions the longest answer takes on a target, from the work that a program does.

`benchmarks/edge/bench_instruction_model.py` fits the cost of each kind of work to counts of an emulator, and compares.
"""

from collections.abc import Mapping
from typing import Final

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.export.c99_functions import Layout
from ensemble_1d.ir import (
    Chain,
    Concat,
    IntegerCombine,
    IntegerDense,
    IntegerLink,
    IntegerLog,
    IntegerTreeTable,
    Node,
    Program,
    Requantize,
    Select,
    output_width,
)
from ensemble_1d.runtime import evaluate, leaves_of_rows

WORK: Final = (
    "answers",
    "split_size",
    "split_balanced",
    "split_speed",
    "split_plain",
    "tree",
    "share",
    "product",
    "activation",
    "code",
    "softmax",
    "sigmoid",
    "log",
    "sum",
)
"""The kinds of work: splits visited in each layout, trees entered, shares of leaves added, products of layers, numbers
requantized, tree codes made, outputs of a softmax, sigmoids, logarithms, and members' outputs added up."""

COSTS: Final[Mapping[str, Mapping[str, float]]] = {
    "cortex-m0plus": {
        "answers": 0.0,
        "split_size": 12.25,
        "split_balanced": 10.43,
        "split_speed": 3.52,
        "split_plain": 14.35,
        "tree": 18.31,
        "share": 18.55,
        "product": 4.13,
        "activation": 32.76,
        "code": 24.45,
        "softmax": 177.95,
        "sigmoid": 224.41,
        "log": 0.0,
        "sum": 90.45,
    },
    "cortex-m4": {
        "answers": 0.0,
        "split_size": 12.11,
        "split_balanced": 11.41,
        "split_speed": 3.07,
        "split_plain": 9.97,
        "tree": 10.46,
        "share": 10.29,
        "product": 1.43,
        "activation": 23.96,
        "code": 0.0,
        "softmax": 37.46,
        "sigmoid": 194.54,
        "log": 64.45,
        "sum": 97.4,
    },
}
"""For each target, the instructions that a piece of each kind of work takes."""


def instructions_of(program: Program, codes: npt.NDArray[np.int16], layout: Layout, target: str) -> int:
    """Return the instructions of the longest answer among some rows, without those saved by an early end.

    Args:
        program: An integer program.
        codes: Input codes of shape (n_samples, n_columns), int16.
        layout: How trees are laid out.
        target: A processor.

    Returns:
        The number of instructions.

    Raises:
        InvalidInputError: If there is no model of the target.
        InvalidProgramError: If the program is float.
    """
    if target not in COSTS:
        raise InvalidInputError(f"instructions on target={target!r} have no model; use one of {sorted(COSTS)}")
    work = work_of(program, codes, layout)
    total = sum(COSTS[target][kind] * amount for kind, amount in work.items())
    return round(float(np.max(total)))


def work_of(program: Program, codes: npt.NDArray[np.int16], layout: Layout) -> dict[str, npt.NDArray[np.float64]]:
    """Return how much work of each kind every row takes, each of shape (n_samples,)."""
    _, body, _ = program.integer_parts()
    work = {kind: np.zeros(len(codes)) for kind in WORK}
    work["answers"] += 1
    made: set[int] = set()
    _add(body, codes, layout, work, made)
    return work


def _add(
    node: Node,
    x: npt.NDArray[np.generic],
    layout: Layout,
    work: dict[str, npt.NDArray[np.float64]],
    made: set[int],
) -> None:
    """Add the work of a node on the rows of its input."""
    match node:
        case Chain():
            for i, step in enumerate(node.steps):
                is_maker = i == 1 and len(node.steps) > 2 and isinstance(node.steps[2], IntegerTreeTable)
                if is_maker and isinstance(node.steps[0], Select):
                    # All trees share what makes their codes.
                    if id(step) not in made:
                        work["code"] += output_width(step, x.shape[1])
                        made.add(id(step))
                else:
                    _add(step, x, layout, work, made)
                x = evaluate(step, x)
        case Concat() | IntegerCombine():
            for member in node.members:
                _add(member, x, layout, work, made)
            if isinstance(node, IntegerCombine):
                work["sum"] += len(node.members) * output_width(node, x.shape[1])
        case IntegerTreeTable():
            _add_trees(node, x, layout, work)
        case IntegerDense():
            work["product"] += node.weight.size
        case Requantize():
            work["activation"] += len(node.multiplier)
        case IntegerLink():
            work["softmax"] += x.shape[1] * (node.kind == "softmax")
            work["sigmoid"] += node.kind == "sigmoid"
        case IntegerLog():
            work["log"] += x.shape[1]
        case _:
            return


def _add_trees(
    table: IntegerTreeTable, x: npt.NDArray[np.generic], layout: Layout, work: dict[str, npt.NDArray[np.float64]]
) -> None:
    """Add the splits that each row visits, the trees, and the shares of several classes."""
    visits = np.zeros(len(x))

    def visit(rows: npt.NDArray[np.intp], nodes: npt.NDArray[np.intp], left: npt.NDArray[np.bool_]) -> None:
        del nodes, left
        np.add.at(visits, rows, 1)

    leaves = leaves_of_rows(table, x, visit)
    work[f"split_{layout}"] += visits
    work["tree"] += len(table.root) * (layout != "speed")
    if table.value.shape[1] > 1:
        work["share"] += (table.value != 0).sum(axis=1)[leaves].sum(axis=1)
