"""How numbers, tables, labels and comments are spelled in C99 and C++11 alike.

`e1d` and `E1D` stand for the model's own name, which they become when the header is complete.
"""

import re
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

_TYPES = {
    "bool": "uint8_t",
    "int8": "int8_t",
    "uint8": "uint8_t",
    "int16": "int16_t",
    "uint16": "uint16_t",
    "int32": "int32_t",
    "float32": "float",
}


def integer(value: int) -> str:
    """Return an int32 literal; the smallest one has no literal of its own."""
    return "(-2147483647 - 1)" if value == -(2**31) else str(int(value))


def number(value: float) -> str:
    """Return a float literal that reads back as the same float32."""
    text = f"{value:.9g}"
    return f"{text}f" if any(mark in text for mark in ".e") else f"{text}.0f"


def array(name: str, values: npt.NDArray[Any], *, memory: str = " E1D_TABLE") -> str:
    r"""Return the definition of a constant table, rows after one another; `entry` and `byte_at` read it.

    On an AVR it lies in program memory.

    Args:
        name: The table's name.
        values: Of an integer dtype up to 32 bits, bool or float32; not empty.
        memory: The macro that names its memory; empty for tables that users read without `entry`.

    Returns:
        One C definition.

    Example:
        >>> import numpy as np
        >>> array("cut", np.array([1, -2], np.int16))
        'static const int16_t cut[2] E1D_TABLE = {\n    1, -2\n};'
    """
    flat = values.ravel()
    spell = number if flat.dtype.kind == "f" else integer
    text = ", ".join(spell(value) for value in flat.tolist())
    wrapped = textwrap.fill(text, 110, initial_indent="    ", subsequent_indent="    ", break_on_hyphens=False)
    return f"static const {_TYPES[flat.dtype.name]} {name}[{flat.size}]{memory} = {{\n{wrapped}\n}};"


def entry(name: str, values: npt.NDArray[Any], index: str) -> str:
    """Return the expression that reads one entry of a table that `array` defined.

    Example:
        >>> import numpy as np
        >>> entry("cut", np.array([1, -2], np.int16), "i")
        '(int16_t)E1D_READ_16(&cut[i])'
        >>> entry("size", np.array([3], np.uint8), "0")
        'E1D_READ_8(&size[0])'
    """
    kind = _TYPES[values.dtype.name]
    read = f"E1D_READ_{'FLOAT' if kind == 'float' else 8 * values.dtype.itemsize}(&{name}[{index}])"
    return f"({kind}){read}" if kind.startswith("int") else read


def byte_at(pointer: str, offset: int = 0) -> str:
    """Return the expression that reads a byte of a table through a pointer."""
    return f"E1D_READ_8({pointer} + {offset})" if offset else f"E1D_READ_8({pointer})"


def comment(lines: Sequence[str]) -> str:
    """Return a block comment; text from outside can neither end it, nor span lines, nor leave ASCII."""
    safe = [_ascii(line).replace("*/", "* /").replace("/*", "/ *") for line in lines]
    wrapped = [part for line in safe for part in (textwrap.wrap(line, 110, subsequent_indent="    ") or [""])]
    return "/* " + "\n * ".join(wrapped).replace(" * \n", " *\n") + "\n */"


def _ascii(text: str) -> str:
    """Return printable ASCII: other characters as Python escapes; no backslash ends a line, no trigraph is formed."""
    escaped = text.encode("unicode_escape").decode("ascii")
    return re.sub(r"\?(?=\?)", "? ", escaped).rstrip("\\")


def label_table(classes: npt.NDArray[Any], name: str) -> str:
    """Return the table from class index to label: int32 where all labels fit, else strings in UTF-8."""
    if classes.dtype.kind in "biu" and int(classes.min()) >= -(2**31) and int(classes.max()) < 2**31:
        return f"/* Label of each class index. */\n{array(f'{name}_classes', classes.astype(np.int32), memory='')}"
    strings = ", ".join(_string(str(label)) for label in classes.tolist())
    wrapped = textwrap.indent(strings.replace('", "', '",\n"'), "    ")
    return (
        f"/* Label of each class index. */\n"
        f"static const char *const {name}_classes[{len(classes)}] = {{\n{wrapped}\n}};"
    )


def _string(text: str) -> str:
    """Return a string literal: anything but plain characters as octal, which ends after three digits."""
    plain = b" !#$%&'()*+,-./:;<=>@[]^_`{|}~"
    spelled = [
        chr(byte) if bytes([byte]).isalnum() or byte in plain else f"\\{byte:03o}" for byte in text.encode("utf-8")
    ]
    return '"' + "".join(spelled) + '"'
