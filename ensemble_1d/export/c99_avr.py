"""avr_limit: a header whose tables an AVR cannot reach must not compile there, for it would read other bytes."""

from ensemble_1d.export.table_bytes import table_bytes

_REACH = 65536 - 1024
"""Bytes of tables that 16-bit pointers reach: interrupt vectors and trampolines lie before them in flash."""
_LARGEST_TABLE = 32767
"""Bytes of the largest C object where int has 16 bits."""


def avr_limit(code: str, name: str) -> str:
    """Return the directive that stops an AVR's compiler with a message; empty where all tables are within reach.

    Args:
        code: The header's code, with `E1D_TABLE` as it was written.
        name: The model's name.

    Returns:
        Lines for the preprocessor, or nothing.
    """
    sizes = list(table_bytes(code, in_program_memory=True).values())
    total, largest = sum(sizes), max(sizes, default=0)
    if total <= _REACH and largest <= _LARGEST_TABLE:
        return ""
    have = f"{name}.h has {total} bytes of tables, {largest} in the largest"
    limit = f"an AVR reads {_REACH}, and {_LARGEST_TABLE} in one"
    remedy = "fit fewer or shallower trees or fewer units, or export layout='speed', which has splits as code"
    return f'#ifdef __AVR__\n#error "{have}; {limit}: {remedy}"\n#endif\n'
