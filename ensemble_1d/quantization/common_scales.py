"""The fixed-point scales at which members meet: probabilities in Q15, logits, logarithms and values."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ensemble_1d.ir import PROBABILITY_BITS, Chain, IntegerLink, IntegerLog, Link, Log, Node, TreeTable
from ensemble_1d.ir.fixed_point import INT32_MAX, LOGIT_BITS
from ensemble_1d.quantization.fixed_point_scales import Reals, Scores, rescale
from ensemble_1d.quantization.routes import Features, terms
from ensemble_1d.quantization.trees import value_bounds
from ensemble_1d.runtime import evaluate

_VALUE_HIGH = 32767
_LOGIT_HIGH = 2**28
ONE = 2.0**PROBABILITY_BITS


@dataclass(frozen=True, slots=True, eq=False)
class ValueScale:
    """The fixed-point scale that members with values of any range share: `real = center + v * 2**-fraction_bits`.

    Attributes:
        fraction_bits: Fraction bits of every output.
        center: The real value of zero, a whole number of steps.
    """

    fraction_bits: int
    center: float


def value_scale(nodes: Sequence[Node], features: Features, X: npt.NDArray[np.float32]) -> ValueScale:
    """Return a power-of-two scale at which twice the nodes' range on the calibration rows fits in 16 bits."""
    averaged = [term for node in nodes for term in terms(node, features)]
    outputs = np.hstack([evaluate(Chain(steps=tuple(steps)), X[:, each]) for steps, each in averaged])
    low, high = float(outputs.min()), float(outputs.max())
    center = low / 2 + high / 2
    tables = [step for steps, _ in averaged if len(steps) == 1 and isinstance(step := steps[0], TreeTable)]
    possible = max((abs(bound - center) for table in tables for bound in value_bounds(table)), default=0.0)
    # What no calibration row reached saturates, but never so early that steps would have to be coarser first.
    reach = max(high / 2 - low / 2, possible * 2.0**-13, 2.0**-40)
    fraction_bits = math.floor(math.log2(_VALUE_HIGH / (2 * reach)))
    if center:
        fraction_bits = min(fraction_bits, math.floor(math.log2((INT32_MAX - 2 * _VALUE_HIGH) / abs(center))))
    return ValueScale(fraction_bits, round(center * 2.0**fraction_bits) * 2.0**-fraction_bits)


def as_values(scores: Scores, values: ValueScale) -> Scores:
    """Return the scores at the common scale of values."""
    zero = np.zeros(len(scores.scale))
    return _at_scale(scores, zero + 2.0**values.fraction_bits, zero + values.center, -_VALUE_HIGH, _VALUE_HIGH)


def as_probabilities(scores: Scores) -> Scores:
    """Return the scores in Q15, saturated to 0..1."""
    zero = np.zeros(len(scores.scale))
    return _at_scale(scores, zero + ONE, zero, 0, int(ONE))


def _at_scale(scores: Scores, target: Reals, offset: Reals, low: int, high: int) -> Scores:
    """Return the scores rescaled, or as they are where that would change nothing."""
    is_there = np.array_equal(scores.scale, 1 / target) and np.array_equal(scores.offset, offset)
    if is_there and low <= int(scores.bounds[0].min()) and int(scores.bounds[1].max()) <= high:
        return scores
    return rescale(scores, target, offset, low, high)


def probabilities(scores: Scores, link: Link) -> Scores:
    """Return Q15 probabilities of scores."""
    zero = np.zeros(len(scores.scale))
    if link.kind == "complement":
        scores = as_probabilities(scores)
    else:
        scores = rescale(scores, zero + 2.0**LOGIT_BITS / np.log(2), zero, -_LOGIT_HIGH, _LOGIT_HIGH)
    n_outputs = len(zero) if link.kind == "softmax" else 2
    return scores.then(IntegerLink(kind=link.kind), np.full(n_outputs, 1 / ONE), np.zeros(n_outputs))


def logarithms(scores: Scores, node: Log) -> Scores:
    """Return logarithms of probabilities."""
    scores = as_probabilities(scores)
    floor = min(max(1, round(node.floor * ONE)), int(ONE))
    scale = np.full(len(scores.scale), np.log(2) / 2.0**LOGIT_BITS * node.scale)
    return scores.then(IntegerLog(floor=floor), scale, np.zeros(len(scale)))
