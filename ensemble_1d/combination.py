"""How members' outputs become one: the rules an Ensemble can name, their weights, and their nodes."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Literal, get_args

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.ir import Combine, Node
from ensemble_1d.learned_weights import greedy_weights, optimized_weights
from ensemble_1d.out_of_fold import OutOfFold

Rule = Literal["soft", "hard", "optimized", "greedy"]
RULES: Final[tuple[str, ...]] = get_args(Rule)

NODE_RULE: Final[dict[str, Literal["mean", "vote"]]] = {
    "soft": "mean",
    "hard": "vote",
    "optimized": "mean",
    "greedy": "mean",
}
"""What each rule does to outputs, in the words of the Combine node."""

LEARNED_WEIGHTS: Final[dict[str, Callable[[OutOfFold], npt.NDArray[np.float64]]]] = {
    "optimized": optimized_weights,
    "greedy": greedy_weights,
}
"""The rules whose weights come from out-of-fold predictions."""


def check_rule(rule: str, task: str, weights: object) -> None:
    """Refuse an unknown rule, votes on numbers, or given weights where the rule learns them.

    Raises:
        InvalidInputError: If the rule is unknown or does not suit the task or the weights.
    """
    if rule not in RULES:
        raise InvalidInputError(f"combine={rule!r} is unknown; use one of {RULES}")
    if rule == "hard" and task == "regression":
        raise InvalidInputError("combine='hard' counts votes for classes, and this is regression; use combine='soft'")
    if rule in LEARNED_WEIGHTS and weights is not None:
        raise InvalidInputError(f"combine={rule!r} learns the weights, and weights={weights!r} gives them; drop one")


def member_weights(weights: Any, names: Sequence[str]) -> npt.NDArray[np.float64]:
    """Return one weight for each member, with a sum of one.

    Args:
        weights: None for equal weights, a sequence in the order of the members, or a mapping by name.
        names: Names of the members.

    Returns:
        Of shape (n_members,), float64.

    Raises:
        InvalidInputError: If a weight is missing, negative or not finite, or all are zero.
    """
    if weights is None:
        return np.full(len(names), 1 / len(names))
    if isinstance(weights, Mapping):
        if set(weights) != set(names):
            found = sorted(weights, key=str)
            raise InvalidInputError(f"weights names {found}; give one for each of {sorted(names)}")
        weights = [weights[name] for name in names]
    try:
        array = np.asarray(weights, np.float64)
    except (TypeError, ValueError):
        raise InvalidInputError(f"weights={weights!r} are no numbers; give one for each of {list(names)}") from None
    if array.shape != (len(names),):
        raise InvalidInputError(f"weights has shape {array.shape}; give one for each of {list(names)}")
    if not (np.isfinite(array).all() and (array >= 0).all() and array.any()):
        raise InvalidInputError(f"weights={weights!r}; use finite numbers >= 0, not all of them 0")
    # Divided by the largest first: the sum of finite weights need not be finite.
    shares = array / array.max()
    return np.asarray(shares / shares.sum())


def combination_node(
    rule: str, weights: npt.NDArray[np.float64], members: Sequence[Node], names: Sequence[str]
) -> Combine:
    """Return the node of a rule over the members' nodes."""
    return Combine(members=tuple(members), weights=weights, rule=NODE_RULE[rule], names=tuple(names))
