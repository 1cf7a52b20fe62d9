"""How members' outputs become one: the rules an Ensemble can name, what they learn, and the nodes they are."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.ir import Affine, Chain, Combine, Concat, Dense, Link, Log, Node, Select
from ensemble_1d.learned_weights import greedy_weights, optimized_weights
from ensemble_1d.out_of_fold import OutOfFold
from ensemble_1d.runtime import evaluate
from ensemble_1d.stacking import LOG_FLOOR, MetaModel, stacked
from ensemble_1d.temperature import temperatures

Floats64 = npt.NDArray[np.float64]

Rule = Literal["soft", "hard", "optimized", "greedy", "stacking"]
RULES: Final[tuple[str, ...]] = get_args(Rule)

_LEARNED_WEIGHTS: Final[dict[str, Callable[[OutOfFold], Floats64]]] = {
    "optimized": optimized_weights,
    "greedy": greedy_weights,
}

LEARNED_RULES: Final = (*_LEARNED_WEIGHTS, "stacking")
"""The rules that learn from out-of-fold predictions."""


@dataclass(frozen=True, slots=True, eq=False)
class Combination:
    """A rule with all that it was given or has learned.

    Attributes:
        rule: One of RULES.
        is_classification: Whether outputs are probabilities.
        weights: One for each member, with a sum of one. For "stacking" these are shares of the absolute coefficients.
        temperatures: Of shape (n_members,), or None where members are not calibrated.
        meta: The meta-model of "stacking", else None.
    """

    rule: str
    is_classification: bool
    weights: Floats64
    temperatures: Floats64 | None = None
    meta: MetaModel | None = None


def check_rule(rule: str, task: str, weights: object, *, calibrate: bool, passthrough: bool) -> None:
    """Refuse an unknown rule, and what does not suit a rule or the task.

    Raises:
        InvalidInputError: If the rule is unknown or contradicts the task, the weights or another parameter.
    """
    if rule not in RULES:
        raise InvalidInputError(f"combine={rule!r} is unknown; use one of {RULES}")
    if rule == "hard" and task == "regression":
        raise InvalidInputError("combine='hard' counts votes for classes, and this is regression; use combine='soft'")
    if rule in LEARNED_RULES and weights is not None:
        raise InvalidInputError(
            f"combine={rule!r} learns the weights, and weights={weights!r} gives them; use combine='soft' for those"
        )
    if calibrate and task == "regression":
        raise InvalidInputError("calibrate=True scales probabilities, and this is regression; use calibrate=False")
    if passthrough and rule != "stacking":
        raise InvalidInputError(f"passthrough=True is for combine='stacking', and combine={rule!r}; drop one")


def member_weights(weights: Any, listed: Sequence[str], kept: Sequence[str]) -> Floats64:
    """Return one weight for each member that is kept, with a sum of one.

    Args:
        weights: None for equal weights, a sequence in the order of the members, or a mapping by name.
        listed: Names of all members.
        kept: Names of those that were not dropped.

    Returns:
        Of shape (n_kept,), float64.

    Raises:
        InvalidInputError: If a weight is missing, negative or not finite, or all that are kept are zero.
    """
    if weights is None:
        return np.full(len(kept), 1 / len(kept))
    if isinstance(weights, Mapping):
        if set(weights) - set(listed) or set(kept) - set(weights):
            found = sorted(weights, key=str)
            raise InvalidInputError(f"weights names {found}; give one for each of {sorted(kept)}")
        weights = [weights.get(name, 0.0) for name in listed]
    try:
        array = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        raise InvalidInputError(f"weights={weights!r} are no numbers; give one for each of {list(listed)}") from None
    if array.shape != (len(listed),):
        raise InvalidInputError(f"weights has shape {array.shape}; give one for each of {list(listed)}")
    array = array[[name in kept for name in listed]]
    if not (np.isfinite(array).all() and (array >= 0).all() and array.any()):
        raise InvalidInputError(f"weights={weights!r}; use finite numbers >= 0, not all of them 0")
    # Divided by the largest first: the sum of finite weights need not be finite.
    shares = array / array.max()
    return np.asarray(shares / shares.sum())


def make_combination(
    rule: str,
    weights: Floats64 | None,
    predictions: OutOfFold | None,
    *,
    is_classification: bool,
    calibrate: bool,
    passthrough: bool,
) -> Combination:
    """Return a rule with its given weights and with what it learns from out-of-fold predictions.

    Args:
        rule: One of RULES.
        weights: One for each member, for a rule that learns none; else None.
        predictions: Out-of-fold predictions of all members, or None.
        is_classification: Whether outputs are probabilities.
        calibrate: Whether each member's probabilities get a temperature first.
        passthrough: Whether the meta-model of "stacking" sees the features.

    Returns:
        The combination.

    Raises:
        InvalidInputError: If something is to be learned and there is nothing to learn it from.
    """
    if weights is not None and not calibrate:
        return Combination(rule, is_classification, weights)
    if predictions is None or (passthrough and predictions.features is None):
        wanted = "out-of-fold predictions" if predictions is None else "the features of held-out rows"
        remedy = f"fit with combine set to one of {LEARNED_RULES}" + " and passthrough=True" * passthrough
        raise InvalidInputError(f"combine={rule!r} needs {wanted}, and this fit made none; {remedy} first")
    seen = predictions if passthrough else predictions.without_features()
    found = None
    if calibrate:
        found = temperatures(seen)
        pairs = zip(seen.outputs, found, strict=True)
        calibrated = [evaluate(Chain(steps=_calibration(each)), output) for output, each in pairs]
        seen = seen.with_outputs(np.stack(calibrated))
    if rule == "stacking":
        meta = stacked(seen)
        return Combination(rule, is_classification, _shares(meta, len(seen.outputs)), found, meta)
    return Combination(rule, is_classification, _LEARNED_WEIGHTS[rule](seen) if weights is None else weights, found)


def combination_node(
    combination: Combination, members: Sequence[Node], names: Sequence[str], features: Select | None = None
) -> Node:
    """Return the node of a combination over the members' nodes.

    Args:
        combination: What to compute.
        members: The members' nodes: what they compute, or selections of outputs that are computed already.
        names: What the members are called.
        features: Where the features stand, for a meta-model that sees them; None if they are the input.

    Returns:
        The node.
    """
    nodes = list(members)
    if combination.temperatures is not None:
        pairs = zip(nodes, combination.temperatures, strict=True)
        nodes = [Chain(steps=(node, *_calibration(each))) for node, each in pairs]
    meta = combination.meta
    if meta is None:
        rule: Literal["mean", "vote"] = "vote" if combination.rule == "hard" else "mean"
        return Combine(members=tuple(nodes), weights=combination.weights, rule=rule, names=tuple(names))
    if combination.is_classification:
        nodes = [Chain(steps=(node, Log(floor=LOG_FLOOR))) for node in nodes]
    titles = list(names)
    if meta.feature_mean is not None and meta.feature_scale is not None:
        standardised = Affine(offset=meta.feature_mean, scale=meta.feature_scale)
        nodes.append(standardised if features is None else Chain(steps=(features, standardised)))
        titles += ["features"] if names else []
    inputs = Concat(members=tuple(nodes), names=tuple(titles))
    layer = Dense(weight=meta.weight, bias=meta.bias, activation="identity")
    return Chain(steps=(inputs, layer, *((Link(kind="softmax"),) if combination.is_classification else ())))


def combined_output(combination: Combination, outputs: Sequence[Floats64], X: npt.NDArray[np.float32]) -> Floats64:
    """Return the members' outputs combined: what `combination_node` computes, where the members have answered already.

    Args:
        combination: What to compute.
        outputs: For each member, of shape (n_samples, n_outputs).
        X: The rows, of shape (n_samples, n_features), which only a meta-model with features reads.

    Returns:
        Of shape (n_samples, n_outputs), float64.
    """
    width = outputs[0].shape[1]
    first = len(outputs) * width
    members = [Select(column=each) for each in np.arange(first, dtype=np.int32).reshape(len(outputs), width)]
    if combination.meta is None or combination.meta.feature_mean is None:
        return np.asarray(evaluate(combination_node(combination, members, ()), np.hstack(outputs)))
    features = Select(column=np.arange(first, first + X.shape[1], dtype=np.int32))
    return np.asarray(evaluate(combination_node(combination, members, (), features), np.hstack([*outputs, X])))


def _calibration(temperature: float) -> tuple[Node, ...]:
    """Return the nodes that scale a member's log-probabilities."""
    return Log(floor=LOG_FLOOR, scale=1 / float(temperature)), Link(kind="softmax")


def _shares(meta: MetaModel, n_members: int) -> Floats64:
    """Return each member's share of the absolute coefficients; equal ones where all are zero."""
    n_outputs = len(meta.bias)
    blocks = np.abs(meta.weight[:, : n_members * n_outputs].astype(np.float64)).reshape(n_outputs, n_members, n_outputs)
    total = blocks.sum(axis=(0, 2))
    return np.asarray(total / total.sum() if total.any() else np.full(n_members, 1 / n_members))
