"""c99_header: an integer Program as one C99 header; data are rendered here, fixed code comes from c99_kernels.h."""

import textwrap
from collections.abc import Iterator
from importlib.resources import files
from typing import get_args

import numpy as np

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.export.c99_nodes import render
from ensemble_1d.export.c99_text import array, comment, label_table
from ensemble_1d.export.c99_trees import Layout, Style
from ensemble_1d.ir import Dequantize, Program, Quantize
from ensemble_1d.ir.fixed_point import EXP2_TABLE, LOG2_TABLE


def c99_header(program: Program, name: str, layout: Layout = "size") -> str:
    """Return an integer program as a C99 header.

    Args:
        program: An integer program.
        name: Prefix of every name: a C identifier, already checked.
        layout: How trees are laid out: "size" in one string of bytes, "plain" in one array a field.

    Returns:
        The text of the header; the same program and name always give the same text.

    Raises:
        InvalidInputError: If the layout is unknown.
        InvalidProgramError: If the program is float.
    """
    if layout not in get_args(Layout):
        raise InvalidInputError(f"layout={layout!r} is unknown; use one of {get_args(Layout)}")
    quantizer, body, dequantize = program.integer_parts()
    upper = name.upper()
    parts = [
        _opening(program, name, quantizer, dequantize),
        f"#ifndef {upper}_H\n#define {upper}_H\n\n#include <stdint.h>\n",
        "\n".join(_macros(program, upper, quantizer, dequantize)),
        "" if program.classes is None else label_table(program.classes, name),
        _kernels(name),
        *render(body, quantizer.n_columns, "int16_t", Style(name, layout), f"{name}_body"),
        _entry_points(program, name, f"{name}_body"),
        _input_quantizer(quantizer, name, upper),
        f"#endif /* {upper}_H */\n",
    ]
    return "\n".join(part for part in parts if part)


def _kernels(name: str) -> str:
    """Return the fixed code under the model's own prefix, without the comment that opens its file."""
    _, _, text = files("ensemble_1d.export").joinpath("c99_kernels.h").read_text(encoding="utf-8").partition("*/\n")
    for marker, entries in (("E1D_EXP2_TABLE", EXP2_TABLE), ("E1D_LOG2_TABLE", LOG2_TABLE)):
        table = textwrap.indent(textwrap.fill(", ".join(map(str, entries)), 100), " " * 8).strip()
        text = text.replace(marker, f"\n        {table}\n    ")
    return "\n" + text.replace("e1d_", f"{name}_").replace("E1D_", f"{name.upper()}_")


def _opening(program: Program, name: str, quantizer: Quantize, dequantize: Dequantize) -> str:
    """Return the comment at the top: what this is and how to call it."""
    lines = [f"{name}.h: {program.task} of {program.n_features} features, integers only. Written by ensemble-1d."]
    lines += [""]
    if quantizer.n_columns == program.n_features:
        lines.append(f"int16_t q[{name.upper()}_N_CODES] holds one code for each feature, in order:")
    else:
        lines.append(f"int16_t q[{name.upper()}_N_CODES] holds one code for each feature, in order, then rank codes:")
    lines.append(f"    {name}_quantize_input(x, q);   float x[{name.upper()}_N_FEATURES] to codes")
    if program.classes is None:
        scale = f"2**{-dequantize.fraction_bits}"
        lines.append(f"    {name}_predict(q)              the value in steps of {scale}")
    else:
        lines.append(f"    {name}_predict(q)              index of the most probable class")
        lines.append(f"    {name}_predict_proba(q, p)     its probability and the others' in Q15: 32768 is one")
        lines.append("classes: " + ", ".join(str(label) for label in program.classes.tolist()))
    if program.feature_names:
        lines.append("features: " + ", ".join(program.feature_names))
    missing = (
        "a code of -32768 means missing" if quantizer.missing else "missing values have no code; NaN saturates low"
    )
    lines += [
        f"Values beyond their range saturate; {missing}.",
        f"Define {name.upper()}_NO_FLOAT to leave the float function out.",
    ]
    return comment(lines)


def _macros(program: Program, upper: str, quantizer: Quantize, dequantize: Dequantize) -> Iterator[str]:
    """Yield the numbers that callers need."""
    yield f"#define {upper}_N_FEATURES {program.n_features}"
    yield f"#define {upper}_N_CODES {quantizer.n_columns}"
    if program.classes is None:
        yield f"#define {upper}_OUTPUT_FRACTION_BITS ({dequantize.fraction_bits})"
    else:
        yield f"#define {upper}_N_CLASSES {len(program.classes)}"
    if quantizer.missing:
        yield f"#define {upper}_MISSING_CODE (-32768)"


def _entry_points(program: Program, name: str, body: str) -> str:
    """Return the functions that users call."""
    if program.classes is None:
        return f"""\
/* The value of one row of codes, in steps of 2**-{name.upper()}_OUTPUT_FRACTION_BITS. */
static inline int32_t {name}_predict(const int16_t *q)
{{
    int32_t y[1];
    {body}(q, y);
    return y[0];
}}
"""
    n_classes = len(program.classes)
    return f"""\
/* Index of the most probable class of one row of codes; the first, where several are equal. */
static inline int32_t {name}_predict(const int16_t *q)
{{
    int32_t y[{n_classes}];
    {body}(q, y);
    return {name}_argmax(y, {n_classes});
}}

/* Probabilities of one row of codes, in Q15. */
static inline void {name}_predict_proba(const int16_t *q, uint16_t *p)
{{
    int32_t y[{n_classes}];
    int32_t i;
    {body}(q, y);
    for (i = 0; i < {n_classes}; i++) {{
        p[i] = (uint16_t)y[i];
    }}
}}
"""


def _input_quantizer(node: Quantize, name: str, upper: str) -> str:
    """Return the function from floats to codes."""
    ranks = np.flatnonzero(node.is_rank())
    tables = [array(f"{name}_offset", node.offset), array(f"{name}_scale", node.scale)]
    if len(ranks):
        tables.append(array(f"{name}_thresholds", node.thresholds))
    further = range(node.n_features, node.n_columns)
    lines = [
        f"    int32_t i;\n    for (i = 0; i < {node.n_features}; i++) {{",
        f"        q[i] = {name}_affine_code(x[i], {name}_offset[i], {name}_scale[i]);",
        "    }",
    ]
    for column in (column for column in further if not node.is_rank()[column]):
        source = f"x[{node.feature[column]}]"
        lines.append(
            f"    q[{column}] = {name}_affine_code({source}, {name}_offset[{column}], {name}_scale[{column}]);"
        )
    for column in ranks.tolist():
        begin, end = int(node.start[column]), int(node.start[column + 1])
        source = f"x[{node.feature[column]}]"
        strict = int(node.strict[column])
        call = f"{name}_rank_code({source}, &{name}_thresholds[{begin}], {end - begin}, {strict})"
        # A NaN compares false with every threshold: rank 0 in both orders of comparison.
        lines.append(f"    q[{column}] = {call};")
    if node.missing:
        lines += [
            f"    for (i = 0; i < {node.n_features}; i++) {{",
            f"        if ({name}_is_nan(x[i])) {{\n            q[i] = -32768;\n        }}",
            "    }",
        ]
        for column in further:
            lines.append(f"    if ({name}_is_nan(x[{node.feature[column]}])) {{\n        q[{column}] = -32768;\n    }}")
    definitions, body = "\n".join(tables), "\n".join(lines)
    return f"""\
#ifndef {upper}_NO_FLOAT
{definitions}

/* Codes of one row of floats. */
static inline void {name}_quantize_input(const float *x, int16_t *q)
{{
{body}
}}
#endif
"""
