"""table_bytes: how many bytes each constant table of a header takes, from its text."""

import re

_TABLE = re.compile(r"static const (\w+) (\w+)\[(\d*)\]( \w+_TABLE)? = \{([^}]*)\}")
_BYTES = {"uint8_t": 1, "int8_t": 1, "uint16_t": 2, "int16_t": 2, "int32_t": 4, "uint32_t": 4, "float": 4}
_MACRO_BYTES = 4


def table_bytes(code: str, *, in_program_memory: bool = False) -> dict[str, int]:
    r"""Return the bytes of each table of numbers by name; each macro of weights has four.

    Args:
        code: A header, or part of one.
        in_program_memory: Whether only those count that an AVR keeps there.

    Returns:
        Bytes by name.

    Example:
        >>> table_bytes("static const int16_t cut[2] E1D_TABLE = {\n    1, -2\n};")
        {'cut': 4}
    """
    found = {}
    for kind, name, length, memory, entries in _TABLE.findall(code):
        if kind in _BYTES and (memory or not in_program_memory):
            found[name] = _BYTES[kind] * int(length)
        elif "_weights" in kind:
            found[name] = _MACRO_BYTES * entries.count("(")
    return found
