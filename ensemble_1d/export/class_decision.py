"""class_decision: which steps of a program `predict` can leave out, because the class is known before them."""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from ensemble_1d.ir import Chain, IntegerLink, Node, Quantize, Requantize, output_bounds
from ensemble_1d.ir.bounds import Bounds
from ensemble_1d.ir.fixed_point import INT32_MAX
from ensemble_1d.runtime import evaluate
from ensemble_1d.runtime_integer import exp2_negative

_MOST_CLASSES = 255
"""Up to so many classes, a softmax keeps powers apart that differ by one more than there are classes."""


@dataclass(frozen=True, slots=True, eq=False)
class ClassDecision:
    """How the class follows from the scores after the first steps of a program.

    Attributes:
        n_steps: How many steps make the scores.
        kind: "threshold": the second class where the one score reaches `least`; "argmax": the largest score, the first
            where several are equal; "softmax": likewise, unless another is less than `near` below it, when the
            probabilities decide.
        least: See `kind`.
        near: See `kind`.
    """

    n_steps: int
    kind: Literal["threshold", "argmax", "softmax"]
    least: int = 0
    near: int = 0


def class_decision(quantizer: Quantize, body: Chain) -> ClassDecision:
    """Return the decision that equals the argmax of the probabilities, the first where several are equal, on any input.

    Args:
        quantizer: The input quantizer of a classification.
        body: The integer nodes after it.

    Returns:
        The decision after the fewest steps.
    """
    steps = body.steps
    bounds = [quantizer.limits()]
    for step in steps:
        bounds.append(output_bounds(step, *bounds[-1]))
    n_steps = len(steps)
    last = steps[-1]
    if isinstance(last, IntegerLink) and last.kind != "softmax":
        n_steps -= 1
        while n_steps > 1 and _is_rising(steps[n_steps - 1]):
            n_steps -= 1
        least = _least(steps[n_steps:], bounds[n_steps]) if n_steps else 0
        # One above the largest int32 has no literal: a program that never reaches it takes every step.
        if n_steps and least <= INT32_MAX:
            return ClassDecision(n_steps, "threshold", least=least)
        n_steps = len(steps)
    elif isinstance(last, IntegerLink) and n_steps > 1 and len(bounds[-1][0]) <= _MOST_CLASSES:
        return ClassDecision(n_steps - 1, "softmax", near=_near(len(bounds[-1][0])))
    while n_steps > 1 and _keeps_order(steps[n_steps - 1], bounds[n_steps - 1]):
        n_steps -= 1
    return ClassDecision(n_steps, "argmax")


def _is_rising(step: Node) -> bool:
    """Return whether a step turns one score into one that never falls as it rises."""
    return isinstance(step, Requantize) and len(step.multiplier) == 1 and int(step.multiplier[0]) >= 0


def _least(steps: tuple[Node, ...], bounds: Bounds) -> int:
    """Return the least score for which rising steps choose the second class; one above all scores if there is none."""
    low, high = int(bounds[0][0]), int(bounds[1][0]) + 1
    while low < high:
        middle = (low + high) >> 1
        first, second = evaluate(Chain(steps=steps), np.array([[middle]], np.int64))[0]
        if second > first:
            high = middle
        else:
            low = middle + 1
    return low


def _near(n_classes: int) -> int:
    """Return how far below the largest logit another must be for its probability to be smaller.

    The powers then differ by at least n_classes + 1, and their sum is at most n_classes times the larger one: so the
    quotients differ by more than one step.
    """
    distance = np.arange(1, 4096)
    return int(distance[exp2_negative(distance) <= 2**15 - (n_classes + 1)][0])


def _keeps_order(step: Node, bounds: Bounds) -> bool:
    """Return whether a step treats all columns alike and tells apart all scores that differ."""
    if not isinstance(step, Requantize):
        return False
    fields = (step.shift_in, step.multiplier, step.shift_out, step.offset)
    if any((field != field[0]).any() for field in fields) or step.shift_in[0]:
        return False
    ends = np.array([bounds[0].min(), bounds[1].max()])
    half = (1 << int(step.shift_out[0])) >> 1
    scaled = ((ends * int(step.multiplier[0]) + half) >> int(step.shift_out[0])) + int(step.offset[0])
    is_free = step.low <= int(scaled[0]) and int(scaled[1]) <= step.high
    return is_free and int(step.multiplier[0]) >= 1 << int(step.shift_out[0])
