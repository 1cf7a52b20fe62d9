"""arduino_library: an integer Program as the files of an Arduino library, with a sketch that checks one answer."""

import re
import textwrap
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ensemble_1d import __version__
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.export.c99 import c99_header
from ensemble_1d.export.c99_functions import Layout
from ensemble_1d.export.c99_text import integer, number
from ensemble_1d.ir import Program, Quantize
from ensemble_1d.runtime import run_codes
from ensemble_1d.runtime_integer import quantize

_MARKER = "# Written by ensemble-1d, which replaces this folder when it writes it again."
"""The first line of library.properties."""


def arduino_library(
    program: Program, name: str, layout: Layout, row: npt.NDArray[np.float32] | None = None
) -> dict[str, str]:
    """Return the files of an Arduino library, in its format 1.5.

    Args:
        program: An integer program.
        name: Name of the library and prefix of every name in its header: a C identifier, already checked.
        layout: How trees are laid out.
        row: The features that the example answers, of shape (n_features,), float32; the middle of every feature's
            range where it is None.

    Returns:
        The text of each file by its path in the library.

    Raises:
        InvalidInputError: If the layout is unknown.
        InvalidProgramError: If the program is float.

    References:
        Arduino library specification, format 1.5, revision 2.2.
    """
    quantizer, _, _ = program.integer_parts()
    given = middle_row(quantizer) if row is None else row
    properties, keywords, readme, header, sketch = library_paths(name)
    return {
        properties: _properties(program, name),
        keywords: _keywords(program, name),
        readme: _readme(program, name),
        header: c99_header(program, name, layout),
        sketch: _sketch(program, name, given),
    }


def library_paths(name: str) -> tuple[str, str, str, str, str]:
    """Return the paths in a library: those of its properties, keywords, read-me, header and example."""
    demo = f"{name}Demo"
    return "library.properties", "keywords.txt", "README.md", f"src/{name}.h", f"examples/{demo}/{demo}.ino"


def check_library_folder(path: Path) -> None:
    """Refuse a name that the Arduino IDE does not accept for the folder of a library.

    Raises:
        InvalidInputError: If the last part of the path is no such name.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}", path.name):
        rule = "a letter or digit, then letters, digits, dots, dashes or underscores, 63 at most"
        raise InvalidInputError(f"{path.name!r} in path {str(path)!r} is no name for an Arduino library; use {rule}")


def objection_to_replacing(folder: Path) -> str | None:
    """Return why a folder must not be replaced: it is no library that we wrote, or holds files of somebody else's."""
    found = {
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir() or path.is_symlink()
    }
    if not found:
        return None
    properties = folder / "library.properties"
    lines = properties.read_text(encoding="utf-8", errors="replace").splitlines() if properties.is_file() else []
    if lines[:1] != [_MARKER]:
        return f"only a library that ensemble-1d wrote is replaced, whose library.properties begins {_MARKER[:24]!r}"
    name = next((line.partition("=")[2] for line in lines if line.startswith("name=")), "")
    foreign = sorted(found - set(library_paths(name)))
    return f"it holds {foreign[0]!r}, which ensemble-1d did not write" if foreign else None


def middle_row(quantizer: Quantize) -> npt.NDArray[np.float32]:
    """Return the middle of the range of every feature: of its codes, or of its thresholds.

    Args:
        quantizer: The input quantizer.

    Returns:
        Of shape (n_features,), float32.
    """
    row = np.array(quantizer.offset[: quantizer.n_features], np.float64)
    low, high = quantizer.limits()
    for column in range(quantizer.n_features):
        thresholds = quantizer.thresholds[quantizer.start[column] : quantizer.start[column + 1]]
        if len(thresholds):
            row[column] = thresholds[len(thresholds) // 2]
        elif quantizer.scale[column] > 0:
            row[column] += (int(high[column]) - int(low[column])) / 2 / float(quantizer.scale[column])
    return row.astype(np.float32)


def _task(program: Program) -> str:
    """Return what the model does, in a few words."""
    classes = "" if program.classes is None else f" into {len(program.classes)} classes"
    return f"{program.task.capitalize()} of {program.n_features} features{classes}"


def _properties(program: Program, name: str) -> str:
    """Return library.properties."""
    # Versions here are semantic ones: 0.1.0.dev0 is 0.1.0-dev.0.
    version = re.sub(r"\.?(dev|a|b|rc)(\d+)$", r"-\1.\2", __version__)
    return f"""\
{_MARKER}
name={name}
version={version}
author=ensemble-1d
maintainer=ensemble-1d
sentence={_task(program)}, in integers alone.
paragraph=A fitted model as one C header without dependencies. It answers as its Python original, to the last bit.
category=Data Processing
url=https://example.com/
architectures=*
includes={name}.h
"""


def _keywords(program: Program, name: str) -> str:
    """Return keywords.txt: what the editor colours."""
    upper = name.upper()
    functions, constants = ["quantize_input", "predict"], ["N_FEATURES", "N_CODES"]
    if program.classes is None:
        constants.append("OUTPUT_FRACTION_BITS")
    else:
        functions.append("predict_proba")
        constants.append("N_CLASSES")
    lines = [f"{name}_{function}\tKEYWORD2" for function in functions]
    lines += [f"{upper}_{constant}\tLITERAL1" for constant in constants]
    return "\n".join(lines) + "\n"


def _readme(program: Program, name: str) -> str:
    """Return what to do with the library."""
    return f"""\
# {name}

{_task(program)}, written by ensemble-1d {__version__}.

Put this folder among the `libraries` of your sketchbook, or add it zipped by Sketch > Include Library. The sketch
File > Examples > {name} > {name}Demo answers one row, and says whether Python gave the same answer. `src/{name}.h`
tells how to call the model. On AVR boards its tables stay in flash.

Before you publish it, put your name and address, and its own, in `library.properties`.
"""


def _sketch(program: Program, name: str, row: npt.NDArray[np.float32]) -> str:
    """Return the example: one row, its answer, and whether that is Python's."""
    quantizer, _, dequantize = program.integer_parts()
    upper = name.upper()
    output = run_codes(program, quantize(quantizer, row[np.newaxis]))[0]
    values = ", ".join("NAN" if np.isnan(value) else number(value) for value in row.tolist())
    features = textwrap.fill(values, 100, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    if program.classes is None:
        expected, buffer = int(output[0]), ""
        scale = number(2.0**-dequantize.fraction_bits)
        show = f'    Serial.print(F("value: "));\n    Serial.println((float)answer * {scale}, 4);\n'
    else:
        expected, buffer = int(output.argmax()), f"uint16_t probabilities[{upper}_N_CLASSES];\n"
        show = f"""\
    {name}_predict_proba(codes, probabilities);
    Serial.print(F("class: "));
    Serial.println({name}_classes[answer]);
    for (int32_t i = 0; i < {upper}_N_CLASSES; i++) {{
        Serial.print({name}_classes[i]);
        Serial.print(F(": "));
        Serial.println((float)probabilities[i] / 32768.0f, 4);
    }}
"""
    return f"""\
/* Answers one row, and says whether Python gave the same answer. */
#include <{name}.h>

float row[{upper}_N_FEATURES] = {{
{features}
}};
int16_t codes[{upper}_N_CODES];
{buffer}const int32_t expected = {integer(expected)};

void setup()
{{
    Serial.begin(115200);
    while (!Serial) {{
    }}
    {name}_quantize_input(row, codes);
    const int32_t answer = {name}_predict(codes);
{show}    Serial.println(answer == expected ? F("as in Python") : F("not as in Python"));
}}

void loop()
{{
}}
"""
