"""Whether counts are exact on this machine: a function whose cost is known must be measured at exactly that."""

import tempfile
from pathlib import Path

import numpy as np
from measuring import measure
from outputs import Output
from targets import Target

_KNOWN = """\
#include "entry.h"

edge_output edge_predict(const edge_input *x)
{
#ifdef __AVR__
    __builtin_avr_delay_cycles(1048578);
#else
    __asm__ volatile(".syntax unified\\nmovs r3, #1\\nlsls r3, #19\\n0: subs r3, #1\\nbne 0b" ::: "r3", "cc");
#endif
    (void)x;
    return 0;
}
"""
COST = 2 + 2 * 2**19


def check_counts(target: Target) -> None:
    """Measure the function, a stub but for its loop, and end the program if its cost is not what it is known to be.

    Args:
        target: Where to count.

    Raises:
        SystemExit: If any row took another number.
    """
    rows = np.arange(6, dtype=np.int16).reshape(3, 2)
    with tempfile.TemporaryDirectory() as name:
        (Path(name) / "edge.c").write_text(_KNOWN, encoding="utf-8")
        found = measure(Output("calibration", "known", Path(name), True, rows, rows[:, 0], rows[:, 0]), target)
    counts = [] if found.run is None else found.run.counts.tolist()
    if counts != [COST] * len(rows):
        raise SystemExit(f"{target.name}: {COST} {target.unit} were measured as {counts}{found.obstacle}")
