"""ModelOptimizer: trees made fewer and smaller, step by step, while held-out rows are answered as well as before."""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidInputError, UnsupportedModelError
from ensemble_1d.ir import Program
from ensemble_1d.quantization.compression import checked_share, pruned, thinned, with_merged_leaves, with_trees
from ensemble_1d.quantization.guard import rows_and_guard
from ensemble_1d.quantization.mixed_rows import Rows
from ensemble_1d.quantization.optimization import Measurement, OptimizationResult, OptimizationStep, tree_sizes
from ensemble_1d.quantization.refitting import refitted
from ensemble_1d.quantization.shared_thresholds import with_shared_thresholds

Step = tuple[str, Callable[[Program], Program]]


class ModelOptimizer:
    """Compresses the trees of a fitted model, step by step, under a guard that says what each step costs.

    The steps, each tried on what the ones before have left:

    1. `pruned`: without what no row reaches, then without sides of few rows;
    2. `with_trees`: fewer trees;
    3. `thinned`: fewer splits;
    4. `with_merged_leaves`: leaf values on coarser grids;
    5. `with_shared_thresholds`: fewer distinct thresholds.

    After the first three, `refitted` brings the outputs back towards those of the original. Each kind goes from gentle
    to harsh and ends with the first step that is rejected. All of them are functions of their own in
    `ensemble_1d.quantization`. Other nodes of the program stay as they are; a program without trees stays whole.

    A step is accepted if accuracy, or R2, on held-out rows is at most `max_accuracy_drop` below that of the original,
    and so is what the original itself would expect on rows mixed from neighbours (`Guard.regret`): hundreds of held-out
    rows are too few to show a loss of 0.002, and to those of the fit a model is too sure of its answers.
    Hold out rows that the model was not fitted on if there are any to spare.

    Args:
        max_accuracy_drop: How far accuracy, or R2 for regression, may fall in all.
        min_samples: Fewest rows on each side of a split, in the order tried.
        tree_shares: Shares of the original trees to keep, in the order tried.
        split_shares: Shares of the original splits to keep, in the order tried.
        leaf_bits: Bits of leaf values, in the order tried.
        threshold_reaches: How far thresholds may move towards the ends of their gaps, in the order tried.
        ridge: How many rows the present value of a leaf counts for when leaves are refitted.
        validation_fraction: Share of the rows to hold out, where none are given.
        n_mixed: How many rows to mix from neighbours; with 0 the held-out rows decide alone.
        random_state: Seed of the rows held out and mixed.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import ModelOptimizer, RandomForestModel
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RandomForestModel(n_estimators=20, random_state=0).fit(X[::2], y[::2])
        >>> optimizer = ModelOptimizer(max_accuracy_drop=0.01)
        >>> result = optimizer.optimize(model, X[::2], y[::2], X_val=X[1::2], y_val=y[1::2])
        >>> result.after.score >= result.before.score - 0.01
        True
        >>> result.after.sizes.n_splits < result.before.sizes.n_splits / 2
        True
    """

    def __init__(
        self,
        *,
        max_accuracy_drop: float = 0.002,
        min_samples: Sequence[int] = (2, 3, 5),
        tree_shares: Sequence[float] = (0.75, 0.5, 0.35, 0.25, 0.15, 0.1),
        split_shares: Sequence[float] = (0.75, 0.6, 0.45, 0.35, 0.25, 0.2, 0.15, 0.1, 0.07, 0.05),
        leaf_bits: Sequence[int] = (8, 6, 5, 4, 3),
        threshold_reaches: Sequence[float] = (0.25, 0.5, 1.0),
        ridge: float = 1.0,
        validation_fraction: float = 0.2,
        n_mixed: int = 2000,
        random_state: int = 0,
    ) -> None:
        """Store the parameters."""
        self.max_accuracy_drop = max_accuracy_drop
        self.min_samples = min_samples
        self.tree_shares = tree_shares
        self.split_shares = split_shares
        self.leaf_bits = leaf_bits
        self.threshold_reaches = threshold_reaches
        self.ridge = ridge
        self.validation_fraction = validation_fraction
        self.n_mixed = n_mixed
        self.random_state = random_state

    def optimize(
        self,
        model: Any,
        X: npt.ArrayLike,
        y: npt.ArrayLike | None = None,
        *,
        X_val: npt.ArrayLike | None = None,
        y_val: npt.ArrayLike | None = None,
    ) -> OptimizationResult:
        """Return a smaller program that answers the held-out rows as well, within the drop allowed.

        Args:
            model: A float Program, or what has one: a Predictor, a fitted model or ensemble. Not changed.
            X: Rows of shape (n_samples, n_features), best those of the fit: which parts of trees they reach, and what
                the model answers there, is what the steps go by. NaN where the model accepts missing values.
            y: Their labels or values, or None. The steps never see them; the guard does, where it holds out some of
                these rows.
            X_val: Rows for the guard, or None to hold out `validation_fraction` of X: these then guide no step.
            y_val: Labels or values of `X_val`. Without them, as without y, the guard compares with the original
                program's answers.

        Returns:
            The program, and every step tried.

        Raises:
            InvalidInputError: If a parameter is out of its range, or rows and labels do not fit the model.
            UnsupportedModelError: If the program is integer.
        """
        program = _program_of(model)
        self._check_parameters()
        rows, guard = rows_and_guard(
            program,
            X,
            y,
            X_val,
            y_val,
            validation_fraction=self.validation_fraction,
            n_mixed=self.n_mixed,
            random_state=self.random_state,
        )
        before = guard.measured(program)
        current, now = program, before
        tried = []
        for kind in self._kinds(program, rows) if before.sizes.n_trees else ():
            for name, change in kind:
                candidate = change(current)
                if not tree_sizes(candidate).is_smaller_than(now.sizes):
                    continue
                after = guard.measured(candidate)
                step = OptimizationStep(name=name, before=now, after=after, accepted=self._allows(before, after))
                tried.append(step)
                if not step.accepted:
                    break
                current, now = candidate, after
        return OptimizationResult(
            program=current,
            original=program,
            before=before,
            after=now,
            steps=tuple(tried),
            score_name=guard.score_name,
            n_samples=len(guard.X),
            max_accuracy_drop=float(self.max_accuracy_drop),
        )

    def _allows(self, before: Measurement, after: Measurement) -> bool:
        """Return whether neither the score nor what the original expects has fallen too far."""
        # Both are quotients: their rounding must not decide about a drop that is just allowed.
        limit = self.max_accuracy_drop + 1e-12
        return before.score - after.score <= limit and after.regret <= limit

    def _kinds(self, program: Program, X: Rows) -> Iterator[list[Step]]:
        """Yield the steps of each kind, from gentle to harsh."""
        sizes = tree_sizes(program)

        def refit(change: Callable[[Program], Program], current: Program) -> Program:
            smaller = change(current)
            if not tree_sizes(smaller).is_smaller_than(tree_sizes(current)):
                return current
            return refitted(smaller, program, X, ridge=self.ridge)

        def to_trees(share: float, current: Program) -> Program:
            return with_trees(current, X, min(1.0, share * sizes.n_trees / tree_sizes(current).n_trees))

        def to_splits(share: float, current: Program) -> Program:
            return thinned(current, X, min(1.0, share * sizes.n_splits / max(tree_sizes(current).n_splits, 1)))

        yield [("without what no row reaches", partial(pruned, X=X))]
        yield [
            (f"{rows} rows or more on a side, refit", partial(refit, partial(pruned, X=X, min_samples=rows)))
            for rows in self.min_samples
        ]
        yield [
            (f"{share:.0%} of the trees, refit", partial(refit, partial(to_trees, share))) for share in self.tree_shares
        ]
        yield [
            (f"{share:.0%} of the splits, refit", partial(refit, partial(to_splits, share)))
            for share in self.split_shares
        ]
        yield [(f"leaves of {bits} bits", partial(with_merged_leaves, bits=bits)) for bits in self.leaf_bits]
        yield [
            (f"thresholds shared, reach {reach:.0%}", partial(with_shared_thresholds, X=X, reach=reach))
            for reach in self.threshold_reaches
        ]

    def _check_parameters(self) -> None:
        """Refuse a drop, a share or a seed out of range before any work; the steps check what is theirs."""
        drop = self.max_accuracy_drop
        if not (isinstance(drop, int | float | np.number) and 0 <= drop < math.inf):
            raise InvalidInputError(f"max_accuracy_drop={drop!r} allows nothing; use a number from 0 on, such as 0.002")
        fraction = checked_share(self.validation_fraction, "validation_fraction")
        if fraction in {0.0, 1.0}:
            rule = "use a share between 0 and 1, such as 0.2"
            raise InvalidInputError(
                f"validation_fraction={fraction:g} leaves no rows to steer by, or none to guard; {rule}"
            )
        for name, what in (("random_state", "seed"), ("n_mixed", "number of rows")):
            number = getattr(self, name)
            if not isinstance(number, int | np.integer) or number < 0:
                raise InvalidInputError(f"{name}={number!r} is no {what}; use a whole number from 0 on")


def _program_of(model: Any) -> Program:
    """Return a program, or that of what has one."""
    found = model if isinstance(model, Program) else getattr(model, "program", None)
    found = found() if callable(found) else found
    if not isinstance(found, Program):
        rule = "give a float Program, a Predictor, or a fitted model or ensemble"
        raise InvalidInputError(f"{type(model).__name__} holds no program to compress; {rule}")
    if found.is_integer:
        raise UnsupportedModelError("the program is integer already; compress the float model it came from")
    return found
