"""The safetensors container: named arrays behind a JSON header, every number in it checked before it is used.

It is read here and not by the safetensors library, which knows neither our limits nor our errors, and written by it.
"""

import json
import math
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from ensemble_1d.storage.limits import MAX_HEADER_BYTES, MAX_TENSORS, check, refuse, shown

Tensors = dict[str, npt.NDArray[Any]]

_PREFIX: Final = 8
_DTYPES: Final = {
    "BOOL": "|b1",
    "U8": "|u1",
    "I8": "|i1",
    "U16": "<u2",
    "I16": "<i2",
    "U32": "<u4",
    "I32": "<i4",
    "U64": "<u8",
    "I64": "<i8",
    "F16": "<f2",
    "F32": "<f4",
    "F64": "<f8",
}


def header_of(data: bytes) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file, and where its arrays begin.

    Args:
        data: The whole file.

    Returns:
        The header's JSON object, and an offset.

    Raises:
        ArtifactError: If there is no header of a size that can be, or it is no JSON object.
    """
    check(len(data) >= _PREFIX, f"it has {len(data)} bytes, too few for a header")
    n_bytes = int.from_bytes(data[:_PREFIX], "little")
    limit = min(MAX_HEADER_BYTES, len(data) - _PREFIX)
    check(n_bytes <= limit, f"it is no .e1d file, or cut short: its header would have {n_bytes:,} bytes of {limit:,}")
    header = parse_object(data[_PREFIX : _PREFIX + n_bytes], "the header")
    return header, _PREFIX + n_bytes


def parse_object(text: bytes | str, where: str) -> dict[str, Any]:
    """Return a JSON object in which no key stands twice, and no number is NaN or infinite.

    Args:
        text: JSON, as text or UTF-8.
        where: What it is, for the message.

    Returns:
        The object.

    Raises:
        ArtifactError: If it is something else.
    """
    try:
        decoded = text.decode("utf-8") if isinstance(text, bytes) else text
        value = json.loads(decoded, object_pairs_hook=_unique, parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        refuse(f"{where} is no JSON that can be read ({type(error).__name__}: {error})")
    check(isinstance(value, dict), f"{where} is no JSON object")
    return dict(value)


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Return the pairs as a dict, if no key stands twice."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> float:
    """Refuse NaN and infinities, which are no JSON."""
    raise ValueError(f"{name} is no JSON")


def tensors_of(table: Mapping[str, Any], data: bytes, begin: int) -> Tensors:
    """Return the arrays of a safetensors file as views of its bytes.

    Args:
        table: What the header says of each array.
        data: The whole file.
        begin: Where the arrays begin.

    Returns:
        Arrays of at most two axes, by name.

    Raises:
        ArtifactError: If there are too many, one has an unknown dtype, no possible shape or other bytes than its shape
            needs, or they overlap, leave gaps or do not end where the file ends.
    """
    check(len(table) <= MAX_TENSORS, f"it holds {len(table):,} tensors; {MAX_TENSORS:,} is the limit")
    places = sorted((*_place(name, entry), name) for name, entry in table.items())
    end = 0
    tensors: Tensors = {}
    for first, last, name in places:
        check(first == end, f"tensor {name!r} starts at byte {first} and not at {end}, where the one before it ends")
        end = last
        check(begin + end <= len(data), f"tensor {name!r} ends at byte {end}, and there are {len(data) - begin}")
        entry = table[name]
        dtype = np.dtype(_DTYPES[entry["dtype"]])
        array = np.frombuffer(data, dtype, math.prod(entry["shape"]), begin + first).reshape(entry["shape"])
        if dtype == np.bool_:
            check(not (array.view(np.uint8) > 1).any(), f"tensor {name!r} holds a boolean that is neither 0 nor 1")
        tensors[name] = array.astype(dtype.newbyteorder("="), copy=False)
    check(begin + end == len(data), f"{len(data) - begin - end} bytes follow its last tensor")
    return tensors


def _place(name: str, entry: Any) -> tuple[int, int]:
    """Return where an array starts and ends, after checking that its bytes are those of its dtype and shape."""
    keys = {"dtype", "shape", "data_offsets"}
    check(isinstance(entry, dict) and set(entry) == keys, f"tensor {name!r} must have {sorted(keys)} and nothing else")
    known = isinstance(entry["dtype"], str) and entry["dtype"] in _DTYPES
    check(known, f"tensor {name!r} has dtype {shown(entry['dtype'])}, which is none of {', '.join(_DTYPES)}")
    for field, most in (("shape", 2**31), ("data_offsets", 2**33)):
        numbers = entry[field]
        proper = isinstance(numbers, list) and all(type(n) is int and 0 <= n < most for n in numbers)
        check(proper and 1 <= len(numbers) <= 2, f"tensor {name!r} has no possible {field}: {shown(numbers)}")
    check(len(entry["data_offsets"]) == 2, f"tensor {name!r} must have two data_offsets")
    first, last = entry["data_offsets"]
    n_bytes = math.prod(entry["shape"]) * np.dtype(_DTYPES[entry["dtype"]]).itemsize
    check(last - first == n_bytes, f"tensor {name!r} has {last - first} bytes, and its shape needs {n_bytes}")
    return first, last
