"""Class columns: the output of a model that knows other classes, moved to the columns of those that are asked for."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import Chain, Dense, Node

Floats64 = npt.NDArray[np.float64]
Labels = npt.NDArray[Any]


def aligned_output(output: Floats64, known: Labels | None, classes: Labels | None) -> Floats64:
    """Return probabilities with one column for each of `classes`; a class that is not known has probability 0.

    Args:
        output: Of shape (n_samples, n_known), or values.
        known: The model's labels, sorted; None for regression. Those that are not among `classes` are left out.
        classes: The labels asked for, sorted; None for regression.

    Returns:
        Of shape (n_samples, n_classes), or the values.
    """
    if known is None or classes is None or np.array_equal(known, classes):
        return output
    aligned = np.zeros((len(output), len(classes)))
    _, places, columns = np.intersect1d(classes, known, assume_unique=True, return_indices=True)
    aligned[:, places] = output[:, columns]
    return aligned


def aligned_node(node: Node, known: Labels | None, classes: Labels | None) -> Node:
    """Return the node followed by one that does what `aligned_output` does."""
    if known is None or classes is None or np.array_equal(known, classes):
        return node
    weight = np.zeros((len(classes), len(known)), np.float32)
    _, places, columns = np.intersect1d(classes, known, assume_unique=True, return_indices=True)
    weight[places, columns] = 1
    return Chain(steps=(node, Dense(weight=weight, bias=np.zeros(len(classes), np.float32), activation="identity")))
