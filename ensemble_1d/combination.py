"""How members' outputs become one: the rules an Ensemble can name, what they learn, and the nodes they are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.ir import Affine, Chain, Combine, Concat, Dense, Link, Log, Node
from ensemble_1d.learned_weights import greedy_weights, optimized_weights
from ensemble_1d.out_of_fold import OutOfFold
from ensemble_1d.runtime import combine_outputs, evaluate
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
        weights: One for each member, with a sum of one. For "stacking" these are shares of the absolute coefficients.
        temperatures: Of shape (n_members,), or None where members are not calibrated.
        steps: For each member, the nodes that its output passes before it is combined.
        layer: The nodes of the meta-model of "stacking", over all members side by side; else none.
        features: What standardises the features for a meta-model that sees them, else None.
    """

    rule: str
    weights: Floats64
    temperatures: Floats64 | None
    steps: tuple[tuple[Node, ...], ...]
    layer: tuple[Node, ...] = ()
    features: Affine | None = None

    @property
    def node_rule(self) -> Literal["mean", "vote"]:
        """What a rule without a meta-model does, in the words of the Combine node."""
        return "vote" if self.rule == "hard" else "mean"


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
    calibrate: bool,
    passthrough: bool,
) -> Combination:
    """Return a rule with its given weights and with what it learns from out-of-fold predictions.

    Args:
        rule: One of RULES.
        weights: One for each member, for a rule that learns none; else None.
        predictions: Out-of-fold predictions of all members, or None.
        calibrate: Whether each member's probabilities get a temperature first.
        passthrough: Whether the meta-model of "stacking" sees the features.

    Returns:
        The combination.

    Raises:
        InvalidInputError: If something is to be learned and there is nothing to learn it from.
    """
    if weights is not None and not calibrate:
        return Combination(rule, weights, None, ((),) * len(weights))
    if predictions is None or (passthrough and predictions.features is None):
        wanted = "out-of-fold predictions" if predictions is None else "the features of held-out rows"
        remedy = f"fit with combine set to one of {LEARNED_RULES}" + " and passthrough=True" * passthrough
        raise InvalidInputError(f"combine={rule!r} needs {wanted}, and this fit made none; {remedy} first")
    seen = predictions if passthrough else predictions.without_features()
    found = None
    steps: tuple[tuple[Node, ...], ...] = ((),) * len(seen.outputs)
    if calibrate:
        found = temperatures(seen)
        steps = tuple((Log(floor=LOG_FLOOR, scale=1 / float(each)), Link(kind="softmax")) for each in found)
        seen = seen.with_outputs(np.stack(_stepped(steps, seen.outputs)))
    if rule != "stacking":
        learned = _LEARNED_WEIGHTS[rule](seen) if weights is None else weights
        return Combination(rule, learned, found, steps)
    meta = stacked(seen)
    layer: tuple[Node, ...] = (Dense(weight=meta.weight, bias=meta.bias, activation="identity"),)
    if seen.is_classification:
        steps = tuple((*each, Log(floor=LOG_FLOOR)) for each in steps)
        layer = (*layer, Link(kind="softmax"))
    features = None
    if meta.feature_mean is not None and meta.feature_scale is not None:
        features = Affine(offset=meta.feature_mean, scale=meta.feature_scale)
    return Combination(rule, _shares(meta, len(steps)), found, steps, layer, features)


def combination_node(combination: Combination, members: Sequence[Node], names: Sequence[str]) -> Node:
    """Return the node of a combination.

    Args:
        combination: What to compute.
        members: The members' nodes.
        names: What the members are called.

    Returns:
        The node.
    """
    pairs = zip(members, combination.steps, strict=True)
    nodes = [Chain(steps=(node, *steps)) if steps else node for node, steps in pairs]
    if not combination.layer:
        weights, rule = combination.weights, combination.node_rule
        return Combine(members=tuple(nodes), weights=weights, rule=rule, names=tuple(names))
    if combination.features is not None:
        nodes, names = [*nodes, combination.features], [*names, "features"]
    return Chain(steps=(Concat(members=tuple(nodes), names=tuple(names)), *combination.layer))


def combined_output(combination: Combination, outputs: Sequence[Floats64], X: npt.NDArray[np.float32]) -> Floats64:
    """Return the members' outputs combined: what `combination_node` computes, where the members have answered already.

    Args:
        combination: What to compute.
        outputs: For each member, of shape (n_samples, n_outputs).
        X: The rows, of shape (n_samples, n_features), which only a meta-model with features reads.

    Returns:
        Of shape (n_samples, n_outputs), float64.
    """
    columns = _stepped(combination.steps, outputs)
    if not combination.layer:
        return combine_outputs(combination.node_rule, combination.weights, columns)
    if combination.features is not None:
        columns.append(np.asarray(evaluate(combination.features, X)))
    return _through(combination.layer, np.hstack(columns))


def _stepped(steps: Sequence[tuple[Node, ...]], outputs: Iterable[Floats64]) -> list[npt.NDArray[Any]]:
    """Return each member's output after its steps."""
    return [_through(nodes, output) for nodes, output in zip(steps, outputs, strict=True)]


def _through(nodes: Sequence[Node], columns: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Return what nodes, one after another, make of columns that are computed already."""
    for node in nodes:
        columns = evaluate(node, columns)
    return columns


def _shares(meta: MetaModel, n_members: int) -> Floats64:
    """Return each member's share of the absolute coefficients; equal ones where all are zero."""
    n_outputs = len(meta.bias)
    blocks = np.abs(meta.weight[:, : n_members * n_outputs].astype(np.float64)).reshape(n_outputs, n_members, n_outputs)
    total = blocks.sum(axis=(0, 2))
    return np.asarray(total / total.sum() if total.any() else np.full(n_members, 1 / n_members))
