"""c99_header: an integer Program as one C99 header; data are rendered here, fixed code comes from c99_kernels.h."""

import textwrap
from collections.abc import Iterator
from importlib.resources import files
from typing import get_args

import numpy as np

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.export.c99_avr import avr_limit
from ensemble_1d.export.c99_combine import class_of_members
from ensemble_1d.export.c99_functions import Layout, Style, arguments
from ensemble_1d.export.c99_nodes import render
from ensemble_1d.export.c99_text import array, comment, entry, integer, label_table
from ensemble_1d.export.c99_trees import code_maker, tree_style
from ensemble_1d.export.class_decision import ClassDecision, class_decision
from ensemble_1d.ir import Chain, Dequantize, IntegerCombine, IntegerDense, Program, Quantize, smallest_dtype
from ensemble_1d.ir.fixed_point import CODE_STEPS, EXP2_TABLE, LOG2_TABLE, NARROW_HIGH
from ensemble_1d.ir.nodes_integer import INDEX


def c99_header(program: Program, name: str, layout: Layout = "size") -> str:
    """Return an integer program as a C99 header.

    Args:
        program: An integer program.
        name: Prefix of every name: a C identifier, already checked.
        layout: How trees are laid out: "size", "balanced", "speed" or "plain", as `Predictor.c_source` says.

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
    decision = None if program.classes is None else class_decision(quantizer, body)
    style = tree_style(quantizer, body, layout, decision)
    if (
        decision is not None
        and decision.n_steps < len(body.steps)
        and (decision.n_steps > 1 or isinstance(body.steps[0], IntegerDense))
    ):
        # What makes the scores is one function, that both entry points call; a lone layer would take in what follows.
        body = Chain(steps=(Chain(steps=body.steps[: decision.n_steps]), *body.steps[decision.n_steps :]))
    definitions = render(body, quantizer.n_columns, "int16_t", style, "e1d_body")
    is_combined = decision is not None and decision.kind == "argmax" and decision.n_steps == 1
    if is_combined and layout in {"balanced", "speed"} and isinstance(first := body.steps[0], IntegerCombine):
        # More code, and as a rule fewer members.
        definitions += class_of_members(first, quantizer.limits(), style, "e1d_body_0")
    texts = [
        _kernels("c99_kernels.h"),
        _kernels("c99_dense.h") if any("e1d_activation" in text for text in definitions) else "",
        *(code_maker(style.codes) if style.codes is not None and style.makes_codes else []),
        *definitions,
        _entry_points(program, style, body, decision, early=_early_end(definitions)),
        _input_quantizer(quantizer),
    ]
    code = "\n".join(text for text in texts if text)
    parts = [
        _opening(program, name, quantizer, dequantize),
        f"#ifndef {upper}_H\n#define {upper}_H\n\n#include <stdint.h>\n",
        "\n".join(_macros(program, upper, quantizer, dequantize)),
        "" if program.classes is None else label_table(program.classes, name),
        avr_limit(code, name),
        _named(code, name),
        f"#endif /* {upper}_H */\n",
    ]
    return "\n".join(part for part in parts if part)


def _named(code: str, name: str) -> str:
    """Return code under the model's own name."""
    return code.replace("e1d_", f"{name}_").replace("E1D_", f"{name.upper()}_")


def _kernels(file: str) -> str:
    """Return the fixed code of a file, without the comment that opens it."""
    _, _, text = files("ensemble_1d.export").joinpath(file).read_text(encoding="utf-8").partition("*/\n")
    for marker, entries in (("E1D_EXP2_TABLE", EXP2_TABLE), ("E1D_LOG2_TABLE", LOG2_TABLE)):
        table = textwrap.indent(textwrap.fill(", ".join(map(str, entries)), 100), " " * 8).strip()
        text = text.replace(marker, f"\n        {table}\n    ")
    return f"\n{text}"


def _opening(program: Program, name: str, quantizer: Quantize, dequantize: Dequantize) -> str:
    """Return the comment at the top: what this is and how to call it."""
    lines = [f"{name}.h: {program.task} of {program.n_features} features, integers only. Written by ensemble-1d."]
    lines += [""]
    if quantizer.n_columns == program.n_features:
        lines.append(f"int16_t q[{name.upper()}_N_CODES] holds one code for each feature, in order:")
    else:
        lines.append(f"int16_t q[{name.upper()}_N_CODES] holds one code for each feature, in order, then further ones:")
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


def _early_end(definitions: list[str]) -> str:
    """Return the name of the function that chooses the class before all is added up, or nothing."""
    names = ("e1d_body_0_reaches", "e1d_body_0_class")
    return next((name for name in names if any(f"{name}(" in text for text in definitions)), "")


def _entry_points(program: Program, style: Style, body: Chain, decision: ClassDecision | None, *, early: str) -> str:
    """Return the functions that users call."""
    codes = ""
    if style.codes is not None and style.makes_codes:
        codes = f"uint8_t t[{style.codes.n_columns}];\n    e1d_tree_codes(q, t);\n    "
    given = arguments("q", "int16_t", style)
    call = f"{codes}e1d_body({given}, y);"
    if decision is None or program.classes is None:
        return f"""\
/* The value of one row of codes, in steps of 2**-E1D_OUTPUT_FRACTION_BITS. */
static inline int32_t e1d_predict(const int16_t *q)
{{
    int32_t y[1];
    {call}
    return y[0];
}}
"""
    n_classes = len(program.classes)
    choice = f"int32_t y[{n_classes}];\n    {call}\n    return e1d_argmax(y, {n_classes});"
    is_partial = decision.n_steps < len(body.steps)
    if early:
        choice = f"{codes}return {early}({given});"
    elif decision.kind == "threshold":
        choice = f"int32_t y[1];\n    {codes}e1d_body_0({given}, y);\n    return y[0] >= {integer(decision.least)};"
    elif decision.kind == "argmax" and is_partial:
        choice = f"int32_t y[{n_classes}];\n    {codes}e1d_body_0({given}, y);\n    return e1d_argmax(y, {n_classes});"
    elif decision.kind == "softmax" and style.layout in {"balanced", "speed"}:
        # More code, and as a rule no softmax.
        last = f"return e1d_softmax_class(y, {n_classes}, {decision.near});"
        choice = f"int32_t y[{n_classes}];\n    {codes}e1d_body_0({given}, y);\n    {last}"
    return f"""\
/* Index of the most probable class of one row of codes; the first, where several are equal. */
static inline int32_t e1d_predict(const int16_t *q)
{{
    {choice}
}}

/* Probabilities of one row of codes, in Q15. */
static inline void e1d_predict_proba(const int16_t *q, uint16_t *p)
{{
    int32_t i;
    int32_t y[{n_classes}];
    {call}
    for (i = 0; i < {n_classes}; i++) {{
        p[i] = (uint16_t)y[i];
    }}
}}
"""


def _input_quantizer(node: Quantize) -> str:
    """Return the function from floats to codes."""
    tables = [array("e1d_offset", node.offset), array("e1d_scale", node.scale)]
    source = "x[i]"
    if node.n_columns > node.n_features:
        feature = smallest_dtype(node.feature, INDEX)
        tables.append(array("e1d_feature", feature))
        source = f"x[{entry('e1d_feature', feature, 'i')}]"
    step = f"e1d_affine_step({source}, {entry('e1d_offset', node.offset, 'i')}, {entry('e1d_scale', node.scale, 'i')}, "
    narrow, wide = f"(int16_t){step}{NARROW_HIGH})", f"(int16_t)({step}{CODE_STEPS}) - 32767)"
    lines = [f"for (i = 0; i < {node.n_columns}; i++) {{"]
    if node.narrow.all() or not node.narrow.any():
        lines.append(f"    q[i] = {narrow if node.narrow.all() else wide};")
    else:
        tables.append(array("e1d_narrow", node.narrow))
        lines += [f"    if ({entry('e1d_narrow', node.narrow, 'i')}) {{", f"        q[i] = {narrow};"]
        lines += ["    } else {", f"        q[i] = {wide};", "    }"]
    lines.append("}")
    ranks = np.flatnonzero(node.is_rank())
    if len(ranks):
        tables.append(array("e1d_thresholds", node.thresholds))
    for column in ranks.tolist():
        begin, end = int(node.start[column]), int(node.start[column + 1])
        call = f"x[{node.feature[column]}], &e1d_thresholds[{begin}], {end - begin}, {int(node.strict[column])}"
        # A NaN compares false with every threshold: rank 0 in both orders of comparison.
        rank, first = f"e1d_rank_step({call})", int(node.first_codes()[column])
        lines.append(f"q[{column}] = (int16_t)({rank} - {-first});" if first else f"q[{column}] = (int16_t){rank};")
    if node.missing:
        lines += [
            f"for (i = 0; i < {node.n_columns}; i++) {{",
            f"    if (e1d_is_nan({source})) {{\n        q[i] = -32768;\n    }}",
            "}",
        ]
    definitions, body = "\n".join(tables), textwrap.indent("\n".join(["int32_t i;", *lines]), "    ")
    return f"""\
#ifndef E1D_NO_FLOAT
{definitions}

/* Codes of one row of floats. */
static inline void e1d_quantize_input(const float *x, int16_t *q)
{{
{body}
}}
#endif
"""
