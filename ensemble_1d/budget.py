"""Budget: what a microcontroller has to spare for a model."""

from dataclasses import dataclass, fields
from typing import Final

import numpy as np

from ensemble_1d.errors import InvalidInputError

TARGETS: Final = ("cortex-m0plus", "cortex-m4")
"""Processors whose sizes and instructions have been fitted; others take about as much flash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a model may take on a microcontroller; `quantize(..., budget=...)` finds the best that fits.

    Attributes:
        flash: Bytes of code and tables of `predict`, or None for as many as it takes.
        ram: Bytes of input codes and stack, or None.
        instructions: Instructions of one answer in the worst case, or None.
        target: The processor: "cortex-m0plus", or "cortex-m4". Flash is that of -Os; instructions are those of -Os on
            the first and of -O2 on the second.

    Example:
        >>> from ensemble_1d import Budget
        >>> Budget(flash=8192, ram=512)
        Budget(flash=8192, ram=512, instructions=None, target='cortex-m0plus')
    """

    flash: int | None = None
    ram: int | None = None
    instructions: int | None = None
    target: str = "cortex-m0plus"

    def __post_init__(self) -> None:
        """Check that limits are positive, and that the target is known."""
        for field in fields(self)[:3]:
            limit = getattr(self, field.name)
            if limit is not None and (not isinstance(limit, int | np.integer) or limit <= 0):
                raise InvalidInputError(
                    f"Budget.{field.name}={limit!r} is no limit; use a positive whole number or None"
                )
        if self.target not in TARGETS:
            raise InvalidInputError(f"Budget.target={self.target!r} is unknown; use one of {TARGETS}")

    def holds(self, *, flash: int, ram: int, instructions: int) -> bool:
        """Return whether a model of this size is within all limits.

        Args:
            flash: Its bytes of code and tables.
            ram: Its bytes of input codes and stack.
            instructions: Its instructions in the worst case.

        Example:
            >>> Budget(flash=8192).holds(flash=8000, ram=900, instructions=12_000)
            True
        """
        pairs = ((self.flash, flash), (self.ram, ram), (self.instructions, instructions))
        return all(limit is None or size <= limit for limit, size in pairs)
