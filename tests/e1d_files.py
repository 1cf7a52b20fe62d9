"""Files of the .e1d format taken apart and put together again, by the few lines that its description takes."""

import copy
import json

from ensemble_1d.storage.artifact import Artifact, artifact_bytes

KEY = "ensemble_1d"


def file_of(program):
    """Return the file of a program as bytes."""
    return artifact_bytes(Artifact(program=program))


def unpacked(data):
    """Return the table of tensors, the JSON of the metadata, and the bytes of all tensors."""
    end = 8 + int.from_bytes(data[:8], "little")
    table = json.loads(data[8:end])
    return table, json.loads(table.pop("__metadata__")[KEY]), data[end:]


def packed(table, described, body):
    """Return the file of a table, JSON (an object, or text as it is) and bytes."""
    text = described if isinstance(described, str) else json.dumps(described)
    header = json.dumps({"__metadata__": {KEY: text}, **table}).encode()
    return len(header).to_bytes(8, "little") + header + body


def places_of(value, path=()):
    """Yield the path to every value within a JSON value."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, each in items:
        yield from places_of(each, (*path, key))


def at(value, path):
    """Return what lies at a path."""
    for key in path:
        value = value[key]
    return value


def replaced(value, path, new):
    """Return a copy of a JSON value with another value at a path."""
    if not path:
        return new
    value = copy.deepcopy(value)
    at(value, path[:-1])[path[-1]] = new
    return value


def with_tensor(data, name, array):
    """Return the file with another array in the place of a tensor."""
    table, described, body = unpacked(data)
    codes = {"bool": "BOOL", "float32": "F32", "float64": "F64"}
    code = codes.get(array.dtype.name, f"{array.dtype.kind.upper()}{8 * array.dtype.itemsize}")
    parts, fresh, end = [], {}, 0
    for each, entry in sorted(table.items(), key=lambda item: item[1]["data_offsets"]):
        content, what = body[slice(*entry["data_offsets"])], {**entry}
        if each == name:
            content, what = array.tobytes(), {"dtype": code, "shape": list(array.shape)}
        fresh[each] = {**what, "data_offsets": [end, end + len(content)]}
        parts.append(content)
        end += len(content)
    return packed(fresh, described, b"".join(parts))
