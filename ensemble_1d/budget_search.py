"""fitted_to: the most accurate integer form of a float program that a budget holds, and the table it is chosen from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import numpy.typing as npt

from ensemble_1d._html import html_table
from ensemble_1d.budget import Budget
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.export.c99 import c99_header
from ensemble_1d.export.c99_functions import Layout
from ensemble_1d.export.instruction_model import instructions_of
from ensemble_1d.export.size_model import size_of
from ensemble_1d.ir import Chain, Combine, Dense, Program, descendants
from ensemble_1d.quantization.compression import pruned, thinned, with_trees
from ensemble_1d.quantization.guard import Guard, rows_and_guard
from ensemble_1d.quantization.optimization import tree_sizes
from ensemble_1d.quantization.programs import QuantizedProgram, quantize_program
from ensemble_1d.quantization.refitting import refitted
from ensemble_1d.runtime_integer import quantize

LAYOUTS: tuple[Layout, ...] = ("speed", "balanced", "size")
"""From fast to small."""
_SHAPES = ((1.0, 1.0), (1.0, 0.5), (0.5, 1.0), (0.5, 0.5), (0.25, 0.5), (0.1, 0.5), (0.1, 0.25))
"""Shares of trees and of splits that are kept."""
_MODES = ("int16", "int8", "int4")
"""From many bits to few."""
_MOST_MEMBERS = 4
"""Members of which every combination is tried."""
_ROWS = 200
"""Rows on which instructions are counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoPoint:
    """One form of the model, and what it takes.

    Attributes:
        members: The members kept; empty for a model of one.
        n_trees: Trees kept.
        n_splits: Splits kept.
        mode: Mode of quantization.
        layout: Layout of the trees.
        flash: Bytes of code and tables, by the size model.
        ram: Bytes of input codes and stack arrays.
        instructions: Instructions of the longest answer, by the instruction model.
        score: Accuracy or R2 on held-out rows, less what the float model would expect to lose on rows between them.
        fits: Whether the budget holds it.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import Budget, RandomForestModel
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RandomForestModel(n_estimators=10, random_state=0).fit(X, y)
        >>> table = model.quantize("int8", X, y, budget=Budget(flash=1000)).pareto()
        >>> point = table.points[0]  # the smallest form
        >>> point.fits, point.flash <= 1000, point.members
        (True, True, ())
    """

    members: tuple[str, ...]
    n_trees: int
    n_splits: int
    mode: str
    layout: Layout
    flash: int
    ram: int
    instructions: int
    score: float
    fits: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoTable:
    """What a budget was spent on: every form that no other beats in score, flash and instructions at once.

    Attributes:
        points: The forms, from small to large.
        chosen: The position of the one chosen.
        budget: The budget.
        n_tried: How many forms were tried.
        score_name: What the score is called.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import Budget, RandomForestModel
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RandomForestModel(n_estimators=10, random_state=0).fit(X, y)
        >>> table = model.quantize("int8", X, y, budget=Budget(flash=1000)).pareto()
        >>> table.points[table.chosen].fits, table.n_tried > 10
        (True, True)
    """

    points: tuple[ParetoPoint, ...]
    chosen: int
    budget: Budget
    n_tried: int
    score_name: str

    def __str__(self) -> str:
        """Return the forms as lines of text, the chosen one marked."""
        head = f"{self.n_tried} forms tried for {self.budget}"
        names = f"  {'flash':>8}{'ram':>7}{'instr.':>9}{'trees':>7}{'splits':>8}  mode  layout    {self.score_name}"
        lines = [head, names]
        for i, each in enumerate(self.points):
            mark = ">" if i == self.chosen else " " if each.fits else "x"
            counts = f"{each.flash:>8,}{each.ram:>7,}{each.instructions:>9,}{each.n_trees:>7,}{each.n_splits:>8,}"
            members = f"  {', '.join(each.members)}" if each.members else ""
            lines.append(f"{mark} {counts}  {each.mode}  {each.layout:<9} {each.score:.4f}{members}")
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        """Return the forms as a table in HTML."""
        header = ["", "flash", "RAM", "instructions", "trees", "splits", "mode", "layout", self.score_name, "members"]
        rows = []
        for i, each in enumerate(self.points):
            mark = "chosen" if i == self.chosen else "" if each.fits else "too large"
            counts = (each.flash, each.ram, each.instructions, each.n_trees, each.n_splits)
            numbers = [f"{count:,}" for count in counts]
            rows.append([mark, *numbers, each.mode, each.layout, f"{each.score:.4f}", ", ".join(each.members)])
        return html_table(header, rows, caption=f"{self.n_tried} forms tried for {self.budget}", words=(6, 7, 9))


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """The form that was chosen.

    Attributes:
        quantized: The integer program.
        mode: Mode of quantization.
        layout: Layout of its trees.
        table: What it was chosen from.
    """

    quantized: QuantizedProgram
    mode: str
    layout: Layout
    table: ParetoTable


def fitted_to(
    budget: Budget,
    program: Program,
    X: npt.NDArray[np.float32],
    y: npt.NDArray[np.generic] | None,
    mode: str = "int8",
) -> Fitted:
    """Return the most accurate integer form of a program within a budget; among equals the fastest, then the smallest.

    Forms differ in the members kept, the share of trees and of splits kept (refitted to the outputs of all), the bits
    of leaves and weights, and the layout of trees. A fifth of the rows is held out to score them.

    Args:
        budget: What there is.
        program: A float program.
        X: Calibration rows of shape (n_samples, n_features), float32.
        y: Their labels or values, or None: then scores are agreement with the program's own answers.
        mode: The most bits of leaves and weights that are tried.

    Returns:
        The form, and the table.

    Raises:
        InvalidInputError: If nothing fits.
        UnsupportedModelError: If the program has no integer form.
    """
    rows, guard = rows_and_guard(program, X, y, None, None, validation_fraction=0.2, n_mixed=2000, random_state=0)
    modes = _MODES[_MODES.index(mode) :]
    tried = list(_forms(budget, program, (rows, X), guard, modes))
    fitting = [form for form in tried if form[0].fits]
    if not fitting:
        least = min((point for point, _ in tried), key=lambda point: point.flash)
        sizes = f"{least.flash} bytes of flash, {least.ram} of RAM and {least.instructions} instructions"
        raise InvalidInputError(
            f"nothing fits {budget}: the smallest form tried takes {sizes}; give more, or fit a smaller model"
        )
    best, quantized = max(
        fitting,
        key=lambda each: (each[0].score, -each[0].instructions, -LAYOUTS.index(each[0].layout), -each[0].flash),
    )
    points = sorted(_undominated([point for point, _ in tried], best), key=lambda point: (point.flash, -point.score))
    table = ParetoTable(
        points=tuple(points),
        chosen=points.index(best),
        budget=budget,
        n_tried=len(tried),
        score_name=guard.score_name,
    )
    return Fitted(quantized, best.mode, best.layout, table)


def layout_within(budget: Budget, program: Program) -> Layout:
    """Return the fastest layout in which the flash and the RAM of a budget hold an integer program.

    Raises:
        InvalidInputError: If none does, or the budget limits instructions, which only rows can tell.
        InvalidProgramError: If the program is float.
    """
    if budget.instructions is not None:
        raise InvalidInputError(
            f'layout="auto" has no rows to count Budget.instructions={budget.instructions} on; leave it out, or give '
            "the budget to quantize(budget=...)"
        )
    quantizer, _, _ = program.integer_parts()
    for layout in LAYOUTS:
        size = size_of(c99_header(program, "model", layout), "model", budget.target)
        ram = size.ram + 2 * quantizer.n_columns
        if budget.holds(flash=size.flash, ram=ram, instructions=0):
            return layout
    raise InvalidInputError(
        f"nothing fits {budget}: layout 'size' takes {size.flash} bytes of flash and {ram} of RAM; give more, or let "
        "quantize(budget=...) look for a smaller form"
    )


def _forms(
    budget: Budget,
    program: Program,
    samples: tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]],
    guard: Guard,
    modes: Sequence[str],
) -> Iterator[tuple[ParetoPoint, QuantizedProgram]]:
    """Yield every form; of the samples, the first compress and all calibrate."""
    rows, X = samples
    for names, part in _subsets(program):
        for form in _smaller(part, rows):
            # Fewer bits shorten weights, not trees.
            has_network = any(isinstance(node, Dense) for node in descendants(form.root))
            for mode in modes if has_network else modes[:1]:
                quantized = quantize_program(form, X, mode, compact=True)
                score = guard.score(quantized.program) - guard.regret(quantized.program)
                codes = quantize(quantized.codes.node, X[:_ROWS])
                sizes = tree_sizes(form)
                for layout in LAYOUTS if sizes.n_trees else LAYOUTS[-1:]:
                    size = size_of(c99_header(quantized.program, "model", layout), "model", budget.target)
                    instructions = instructions_of(quantized.program, codes, layout, budget.target)
                    ram = size.ram + 2 * codes.shape[1]
                    point = ParetoPoint(
                        members=names,
                        n_trees=sizes.n_trees,
                        n_splits=sizes.n_splits,
                        mode=mode,
                        layout=layout,
                        flash=size.flash,
                        ram=ram,
                        instructions=instructions,
                        score=score,
                        fits=budget.holds(flash=size.flash, ram=ram, instructions=instructions),
                    )
                    yield point, quantized


def _names(program: Program) -> tuple[str, ...]:
    """Return the names of the members that a weighted combination may lose; none where the members are needed."""
    combine = _combination(program)
    if combine is None or not 2 <= len(combine.members) <= _MOST_MEMBERS:
        return ()
    return combine.names or tuple(f"member {i}" for i in range(len(combine.members)))


def _combination(program: Program) -> Combine | None:
    """Return the combination at the root of a program."""
    root = program.root
    if isinstance(root, Chain) and len(root.steps) == 1:
        root = root.steps[0]
    return root if isinstance(root, Combine) else None


def _subsets(program: Program) -> Iterator[tuple[tuple[str, ...], Program]]:
    """Yield the program with every choice of its members, their weights brought to a sum of one."""
    names, combine = _names(program), _combination(program)
    if not names or combine is None:
        yield (), program
        return
    for size in range(len(names), 0, -1):
        for kept in combinations(range(len(names)), size):
            weights = combine.weights[list(kept)]
            if size == len(names) or weights.sum() > 0:
                root = Combine(
                    members=tuple(combine.members[i] for i in kept),
                    weights=weights / weights.sum(),
                    rule=combine.rule,
                    names=tuple(names[i] for i in kept),
                )
                yield tuple(names[i] for i in kept), replace(program, root=root)


def _smaller(program: Program, rows: npt.NDArray[np.float32]) -> Iterator[Program]:
    """Yield the program as it is, and with fewer trees and splits."""
    yield program
    sizes = tree_sizes(program)
    if not sizes.n_trees:
        return
    seen = {(sizes.n_trees, sizes.n_splits)}
    whole = pruned(program, rows)
    for tree_share, split_share in _SHAPES:
        form = whole
        if tree_share < 1:
            form = with_trees(form, rows, tree_share)
        if split_share < 1:
            form = thinned(form, rows, split_share)
        sizes = tree_sizes(form)
        if (sizes.n_trees, sizes.n_splits) not in seen:
            seen.add((sizes.n_trees, sizes.n_splits))
            yield form if form is whole else refitted(form, program, rows)


def _undominated(points: Sequence[ParetoPoint], best: ParetoPoint) -> list[ParetoPoint]:
    """Return the points that no other beats in score, flash and instructions at once, and the best."""

    def is_beaten(point: ParetoPoint) -> bool:
        mine = (-point.score, point.flash, point.instructions)
        others = ((-other.score, other.flash, other.instructions) for other in points)
        return any(other != mine and all(a <= b for a, b in zip(other, mine, strict=True)) for other in others)

    return [point for point in points if point is best or not is_beaten(point)]
