"""The integer conventions that every consumer shares: input codes, probabilities, and the table behind softmax."""

from typing import Final

import numpy as np

MISSING_CODE: Final = -32768
"""Input code of a missing value, where the program accepts missing values."""

CODE_LOW: Final = -32767
"""Smallest input code of a present value; everything below the range saturates here."""

CODE_HIGH: Final = 32767
"""Largest input code of a present value; everything above the range saturates here."""

CODE_STEPS: Final = CODE_HIGH - CODE_LOW
"""How many steps the affine input code has: 65534."""

NARROW_HIGH: Final = 255
"""Largest code of a narrow column."""

PROBABILITY_BITS: Final = 15
"""Probabilities and combination weights are Q15: 32768 means one."""

LOGIT_BITS: Final = 12
"""Logits are in base 2 with 12 fraction bits: 4096 doubles the odds."""

EXP2_BITS: Final = 5
"""The exponential is interpolated between 2**5 + 1 entries."""

LOG2_BITS: Final = 5
"""The logarithm is interpolated between 2**5 + 1 entries."""

INT32_MAX: Final = 2**31 - 1
"""No intermediate of an integer program exceeds this in magnitude."""


def _exp2_table() -> tuple[int, ...]:
    """Return round(2**15 * 2**(-i / 32)), lowered inside by half the error of a chord, exact at both ends.

    A chord lies above a convex function, by at most h**2 / 8 * ln(2)**2 (h = 1/32) of its value; lowering the inner
    entries by half of that halves the largest error. The ends stay powers of two, so the function remains monotone.
    """
    steps = 2**EXP2_BITS
    exact = 2.0**PROBABILITY_BITS * 2.0 ** (-np.arange(steps + 1) / steps)
    exact[1:-1] *= 1 - (np.log(2) / steps) ** 2 / 16
    return tuple(int(value) for value in np.rint(exact))


def _log2_table() -> tuple[int, ...]:
    """Return round(2**12 * log2(1 + i / 32)), raised inside by half the error of a chord, exact at both ends.

    A chord lies below a concave function, by at most h**2 / 8 / ln(2) / (1 + x)**2 (h = 1/32); raising the inner
    entries by half of that halves the largest error.
    """
    steps = 2**LOG2_BITS
    x = np.arange(steps + 1) / steps
    exact = np.log2(1 + x)
    exact[1:-1] += 1 / (16 * steps**2 * np.log(2) * (1 + x[1:-1]) ** 2)
    return tuple(int(value) for value in np.rint(2.0**LOGIT_BITS * exact))


LOG2_TABLE: Final = _log2_table()
"""Entry i is about 2**12 * log2(1 + i / 32)."""

EXP2_TABLE: Final = _exp2_table()
"""Entry i is about 2**15 * 2**(-i / 32)."""
