"""From a member of a float program, or a combination of members, to integer scores with a meaning."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import UnsupportedModelError
from ensemble_1d.ir import (
    PROBABILITY_BITS,
    Chain,
    Combine,
    Concat,
    IntegerCombine,
    Link,
    Log,
    Node,
    Select,
    TreeTable,
    output_bounds,
)
from ensemble_1d.ir.bounds import Bounds
from ensemble_1d.quantization.common_scales import (
    ONE,
    ValueScale,
    as_probabilities,
    as_values,
    logarithms,
    probabilities,
    value_scale,
)
from ensemble_1d.quantization.fixed_point_scales import Scores, apportion
from ensemble_1d.quantization.inputs import InputCodes
from ensemble_1d.quantization.network import quantize_network, with_affine_meaning
from ensemble_1d.quantization.routes import Features, arrows, leading_network, route
from ensemble_1d.quantization.trees import quantize_trees
from ensemble_1d.runtime import evaluate

_META_BITS = 16
"""Bits of the weights of a layer over members: it is small, and every error of a member passes through it."""

_SLACK = 1e-3
"""How far rounding may take the bounds of a probability beyond 0 and 1."""

Splits = Iterator[tuple[Features, npt.NDArray[np.int16]]]
Columns = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True, slots=True, eq=False)
class Context:
    """What every member's quantization needs.

    Attributes:
        codes: The input quantizer, and what makes tree codes.
        splits: Code columns and cuts of each tree table, left to right.
        X: Calibration rows.
        bits: Bits of leaves and weights.
        is_regression: Whether outputs are values.
    """

    codes: InputCodes
    splits: Splits
    X: npt.NDArray[np.float32]
    bits: int
    is_regression: bool


def scores_of(node: Node, features: Features, context: Context, values: ValueScale | None = None) -> Scores:
    """Return the integer form of a member or of a combination.

    Args:
        node: What to quantize.
        features: The features it reads.
        context: What is common to all members.
        values: The scale of a mean of values that stands last; None where it has one of its own.
    """
    steps, features = route(node, features)
    first = steps[0]
    bits, done = context.bits, 1
    if isinstance(first, TreeTable):
        scores = _trees(first, context)
    elif isinstance(first, Combine):
        shared = values if len(steps) == 1 else None
        scores = _combination(first, features, context, shared)
    elif isinstance(first, Concat):
        bits = _META_BITS
        scores = _side_by_side([scores_of(member, features, context) for member in first.members], first.names)
    else:
        scores, done = _selected_codes(features, context), 0
    columns: Columns = context.X[:, features]
    while True:
        for step in steps[:done]:
            columns = evaluate(step, columns)
        steps = steps[done:]
        if not steps:
            return scores
        network = leading_network(steps)
        reads_features, done = done == 0, len(network) or 1
        if network:
            scores = quantize_network(network, scores, columns, bits=bits, apart=not reads_features)
        elif isinstance(step := steps[0], Link):
            scores = probabilities(scores, step)
        elif isinstance(step, Log):
            scores = logarithms(scores, step)
        else:
            raise UnsupportedModelError(f"{arrows(steps)} has no integer form here")


def _trees(table: TreeTable, context: Context) -> Scores:
    """Return the integer form of the next tree table."""
    column, cut = next(context.splits)
    scores = quantize_trees(table, column, cut, context.codes, bits=context.bits)
    return scores if len(scores.scale) == len(table.bias) else probabilities(scores, Link(kind="complement"))


def _combination(node: Combine, features: Features, context: Context, values: ValueScale | None) -> Scores:
    """Return the weighted mean or the votes of members that are brought to one scale: Q15, or that of their values."""
    if context.is_regression:
        values = values or value_scale(node.members, features, context.X)
    members = [scores_of(member, features, context, values) for member in node.members]
    if not context.is_regression and not all(map(_are_probabilities, members)):
        values = value_scale(node.members, features, context.X)
    members = [as_values(member, values) if values else as_probabilities(member) for member in members]
    is_vote = node.rule == "vote"
    weights = _integer_weights(node.weights, is_mean_of_values=values is not None and not is_vote)
    chains = tuple(Chain(steps=member.steps) for member in members)
    integer = IntegerCombine(members=chains, weights=weights, rule=node.rule, names=node.names)
    width = len(members[0].scale)
    scale, offset = (np.full(width, 1 / ONE), np.zeros(width)) if is_vote else (members[0].scale, members[0].offset)
    return Scores((integer,), _bounds(integer, context), scale, offset)


def _are_probabilities(scores: Scores) -> bool:
    """Return whether no score can mean less than 0 or more than 1, beside rounding."""
    ends = np.stack([bound * scores.scale + scores.offset for bound in scores.bounds])
    return bool(((ends > -_SLACK) & (ends < 1 + _SLACK)).all())


def _side_by_side(members: list[Scores], names: tuple[str, ...]) -> Scores:
    """Return the scores of all members, each with its own meaning."""
    low, high = (np.concatenate([member.bounds[side] for member in members]) for side in (0, 1))
    # Features that pass through as their codes have no step of their own.
    chains = [member.steps or (Select(column=np.arange(len(member.scale), dtype=np.int32)),) for member in members]
    return Scores(
        (Concat(members=tuple(Chain(steps=steps) for steps in chains), names=names),),
        (low, high),
        np.concatenate([member.scale for member in members]),
        np.concatenate([member.offset for member in members]),
    )


def _integer_weights(weights: npt.NDArray[np.float64], *, is_mean_of_values: bool) -> npt.NDArray[np.int32]:
    """Return Q15 weights: with a sum of exactly one for values, and for classes with equal weights kept equal.

    Three equal members must stay equal, or a draw between their classes would go to the one whose weight was rounded
    up; a sum that is two steps short of one moves no class before another. A mean of values has no draws.
    """
    if is_mean_of_values:
        return apportion(weights, 2**PROBABILITY_BITS).astype(np.int32)
    return np.floor(weights * ONE + 1e-9).astype(np.int32)


def _selected_codes(features: Features, context: Context) -> Scores:
    """Return the affine codes that a network reads."""
    n_columns = context.codes.node.n_columns
    everything = np.zeros(n_columns)
    codes = Scores((), context.codes.node.limits(), everything, everything)
    if not np.array_equal(features, np.arange(n_columns)):
        codes = codes.then(Select(column=features.astype(np.int32)), everything[features], everything[features])
    return with_affine_meaning(codes, context.codes.node, features, context.X)


def _bounds(node: Node, context: Context) -> Bounds:
    """Return the bounds of a node that reads the input codes."""
    return output_bounds(node, *context.codes.node.limits())
