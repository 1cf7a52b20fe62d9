"""Which nodes of a program read the features, and what follows them."""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import UnsupportedModelError
from ensemble_1d.ir import Affine, Chain, Combine, Concat, Dense, Node, Select, TreeTable

Features = npt.NDArray[np.int64]


def route(node: Node, features: Features) -> tuple[list[Node], Features]:
    """Return the steps of a member, chains dissolved, and the features its first step reads, selections applied."""
    steps: list[Node] = []
    todo = [node]
    while todo:
        step = todo.pop(0)
        if isinstance(step, Chain):
            todo[:0] = step.steps
        elif isinstance(step, Select) and not steps:
            features = features[step.column]
        else:
            steps.append(step)
    if not steps:
        raise UnsupportedModelError("a selection alone has no integer form; pass features through an Affine")
    if any(isinstance(step, Combine | Concat | Select | TreeTable) for step in steps[1:]):
        rule = "trees, selections and combinations must come first in their member"
        raise UnsupportedModelError(f"{arrows(steps)} has no integer form; {rule}")
    return steps, features


def arrows(steps: list[Node]) -> str:
    """Return the names of nodes in order."""
    return " -> ".join(type(step).__name__ for step in steps)


def feature_readers(node: Node, features: Features) -> Iterator[tuple[list[Node], Features]]:
    """Yield the steps and features of each member that reads features, left to right."""
    steps, features = route(node, features)
    if isinstance(first := steps[0], Combine | Concat):
        for member in first.members:
            yield from feature_readers(member, features)
    else:
        yield steps, features


def terms(node: Node, features: Features) -> Iterator[tuple[list[Node], Features]]:
    """Yield the steps and features of what a mean of values is the mean of, left to right."""
    steps, features = route(node, features)
    if len(steps) == 1 and isinstance(first := steps[0], Combine) and first.rule == "mean":
        for member in first.members:
            yield from terms(member, features)
    else:
        yield steps, features


def leading_network(steps: list[Node]) -> list[Affine | Dense]:
    """Return an optional Affine and the Dense layers after it that `steps` begin with."""
    network: list[Affine | Dense] = []
    for step in steps:
        if not isinstance(step, Dense) and not (isinstance(step, Affine) and not network):
            break
        network.append(step)
    return network
