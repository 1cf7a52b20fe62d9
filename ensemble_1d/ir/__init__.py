"""Program: the one contract between the models that write it and everything that runs, quantizes or exports it."""

from ensemble_1d.ir._arrays import smallest_dtype
from ensemble_1d.ir.bounds import output_bounds
from ensemble_1d.ir.fixed_point import CODE_HIGH, CODE_LOW, MISSING_CODE, PROBABILITY_BITS
from ensemble_1d.ir.nodes import (
    Affine,
    Chain,
    Combine,
    Concat,
    Dense,
    Dequantize,
    IntegerCombine,
    IntegerDense,
    IntegerLink,
    IntegerLog,
    IntegerTreeTable,
    Link,
    Log,
    Node,
    Quantize,
    Requantize,
    Select,
    TreeTable,
)
from ensemble_1d.ir.program import PROGRAM_VERSION, Program
from ensemble_1d.ir.walk import accepts_missing, descendants, node_bytes, output_width

__all__ = [
    "CODE_HIGH",
    "CODE_LOW",
    "MISSING_CODE",
    "PROBABILITY_BITS",
    "PROGRAM_VERSION",
    "Affine",
    "Chain",
    "Combine",
    "Concat",
    "Dense",
    "Dequantize",
    "IntegerCombine",
    "IntegerDense",
    "IntegerLink",
    "IntegerLog",
    "IntegerTreeTable",
    "Link",
    "Log",
    "Node",
    "Program",
    "Quantize",
    "Requantize",
    "Select",
    "TreeTable",
    "accepts_missing",
    "descendants",
    "node_bytes",
    "output_bounds",
    "output_width",
    "smallest_dtype",
]
