"""requantize_call: a change of fixed-point scale as a C expression."""

from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.export.c99_text import array, entry, integer
from ensemble_1d.ir import Requantize, smallest_dtype


def requantize_call(node: Requantize, label: str) -> tuple[list[str], str]:
    """Return the tables of what differs between columns, and the call for column i."""
    tables: list[str] = []

    def operand(field: str, values: npt.NDArray[Any]) -> str:
        if bool((values == values[0]).all()):
            return integer(int(values[0]))
        tables.append(array(f"{label}_{field}", values))
        return entry(f"{label}_{field}", values, "i")

    shift_in = operand("shift_in", node.shift_in)
    multiplier = operand("multiplier", smallest_dtype(node.multiplier, (np.int16, np.int32)))
    shift_out = operand("shift_out", node.shift_out)
    offset = operand("offset", smallest_dtype(node.offset, (np.int16, np.int32)))
    limits = f"{integer(node.low)}, {integer(node.high)}"
    return tables, f"e1d_requantize((int32_t)x[i], {shift_in}, {multiplier}, {shift_out}, {offset}, {limits})"
