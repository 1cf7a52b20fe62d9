"""bytes_of: from a size as people write it, such as 32k, to bytes."""

import re

from ensemble_1d.errors import InvalidInputError

_SIZE = re.compile(r"([0-9]{1,12})(?:\.([0-9]{1,6}))?\s*([kKmM]?)(?:i?[bB])?")
_UNITS = {"": 1, "k": 1024, "m": 1024**2}


def bytes_of(text: str) -> int:
    """Return a size in bytes; k and M are 1024 and 1024 * 1024, as data sheets of microcontrollers have them.

    Args:
        text: Such as "8192", "32k", "2K", "32KiB", "1.5k" or "1M".

    Returns:
        A whole number of bytes, 1 or more.

    Raises:
        InvalidInputError: If it is no size, or no whole number of bytes.

    Example:
        >>> bytes_of("32k"), bytes_of("1.5KiB"), bytes_of("8192")
        (32768, 1536, 8192)
    """
    found = _SIZE.fullmatch(text.strip())
    if found is None:
        raise InvalidInputError(f"{text!r} is no size; use bytes, or a number with k or M, for example 8192 or 32k")
    whole, part, unit = found[1], found[2] or "", found[3].lower()
    scaled, parts = int(whole + part) * _UNITS[unit], int("1" + "0" * len(part))
    if scaled % parts or not scaled:
        raise InvalidInputError(f"{text!r} is no whole number of bytes from 1 on; use, for example, 8192 or 32k")
    return scaled // parts
