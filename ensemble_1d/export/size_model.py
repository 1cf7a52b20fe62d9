"""size_of: how much flash and RAM a header takes on a target, from its text alone.

Tables count byte for byte. Code is counted by its operations, each at the bytes that a compiler spends on it on
average; `benchmarks/bench_size_model.py` fits these averages to linked programs, and compares.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.export.table_bytes import table_bytes

_FUNCTION = re.compile(
    r"^(?:static inline|\w+_SHARED) [\w ]+?\**(\w+)\(([^)]*)\)\n\{\n(.*?)^\}", re.MULTILINE | re.DOTALL
)
_LOCAL = re.compile(r"^ *(?:u?int(?:_fast)?(\d+)_t) (\w+)\[(\d+)\];", re.MULTILINE)
_ACTIVATIONS = re.compile(r"_activation \w+\[\w+_ROOM\((\d+)\)\];")
_ACTIVATION_BYTES = 2
_WORD = re.compile(r"\w+")
_SPLIT = re.compile(r"if \((?:\w+\()?[tx]\[(\d+)\]\)? (?:<=|>) \d+\)")
_FAR_COLUMN = 32
OPERATIONS: Final = {
    "branch": r"\bif \(|\?",
    "loop": r"\b(?:for|while) \(",
    "read": r"READ_\w+\(",
    "index": r"\w\[(?!\d+\])",
    "call": r"\b[a-z]\w*_\w+\(",
    "arithmetic": r" [-+*&|^] | [-+&|^]?= |\+\+|--",
    "shift": r">>|<<",
    "large": r"\b(?:\d{4,}|[3-9]\d\d|2[6-9]\d|25[6-9])\b",
}
"""What is counted in the body of each function that `predict` reaches, by name."""
KERNELS: Final = (
    *("requantize", "argmax", "leader", "rank", "exp2_negative", "reciprocal", "normalise", "softmax", "softmax_class"),
    *("sigmoid", "log2", "complement", "dot4", "dot8", "dot16"),
)
"""Functions that are the same in every header: each is counted as a whole."""
SPLITS: Final = ("split", "far", "value", "distinct", "class", "mixture", "side")
"""What is counted instead where trees are branches: splits, those on columns far from the first, additions of a value
and how many of these differ in a function, votes for a class and for a mixture, and sides that are no end."""


@dataclass(frozen=True, slots=True)
class Size:
    """What a model takes on a target.

    Attributes:
        flash: Bytes of code and tables.
        tables: Bytes of tables among them.
        ram: Bytes of all arrays on the stack at the deepest call, and of the input codes; frames of functions beside
            them take some tens of bytes more.
    """

    flash: int
    tables: int
    ram: int


COEFFICIENTS: Final[Mapping[str, Mapping[str, float]]] = {
    "cortex-m0plus": {
        "branch": 0.0,
        "loop": 0.0,
        "read": 0.0,
        "index": 7.26,
        "call": 0.0,
        "arithmetic": 3.88,
        "shift": 0.0,
        "large": 5.49,
        "requantize": 19.87,
        "argmax": 55.77,
        "leader": 0.0,
        "rank": 12.19,
        "exp2_negative": 21.53,
        "reciprocal": 31.7,
        "normalise": 31.7,
        "softmax": 130.57,
        "softmax_class": 9.99,
        "sigmoid": 0.0,
        "log2": 68.52,
        "complement": 0.0,
        "dot4": 122.88,
        "dot8": 162.43,
        "dot16": 81.19,
        "split": 4.91,
        "far": 3.09,
        "value": 4.46,
        "distinct": 0.57,
        "class": 3.99,
        "mixture": 3.48,
        "side": 0.0,
    },
    "cortex-m4": {
        "branch": 3.04,
        "loop": 3.78,
        "read": 0.43,
        "index": 9.51,
        "call": 0.0,
        "arithmetic": 1.93,
        "shift": 0.0,
        "large": 6.43,
        "requantize": 0.0,
        "argmax": 80.85,
        "leader": 9.12,
        "rank": 10.47,
        "exp2_negative": 8.96,
        "reciprocal": 8.96,
        "normalise": 33.71,
        "softmax": 155.33,
        "softmax_class": 18.29,
        "sigmoid": 0.0,
        "log2": 53.41,
        "complement": 0.0,
        "dot4": 137.53,
        "dot8": 115.75,
        "dot16": 64.2,
        "split": 3.96,
        "far": 1.57,
        "value": 6.29,
        "distinct": 0.0,
        "class": 5.62,
        "mixture": 1.15,
        "side": 0.0,
    },
    "rv32imc": {
        "branch": 0.0,
        "loop": 0.0,
        "read": 19.97,
        "index": 8.77,
        "call": 0.0,
        "arithmetic": 0.46,
        "shift": 1.49,
        "large": 0.0,
        "requantize": 50.24,
        "argmax": 0.0,
        "leader": 35.79,
        "rank": 0.0,
        "exp2_negative": 21.38,
        "reciprocal": 52.51,
        "normalise": 52.51,
        "softmax": 72.51,
        "softmax_class": 12.43,
        "sigmoid": 0.09,
        "log2": 71.24,
        "complement": 0.0,
        "dot4": 306.85,
        "dot8": 371.69,
        "dot16": 179.49,
        "split": 6.19,
        "far": 0.0,
        "value": 10.3,
        "distinct": 0.11,
        "class": 7.77,
        "mixture": 0.0,
        "side": 0.0,
    },
    "atmega2560": {
        "branch": 0.0,
        "loop": 0.0,
        "read": 7.29,
        "index": 23.19,
        "call": 0.0,
        "arithmetic": 1.33,
        "shift": 33.0,
        "large": 0.0,
        "requantize": 0.0,
        "argmax": 156.43,
        "leader": 203.85,
        "rank": 0.0,
        "exp2_negative": 201.53,
        "reciprocal": 536.73,
        "normalise": 201.53,
        "softmax": 1.2,
        "softmax_class": 0.0,
        "sigmoid": 0.0,
        "log2": 52.2,
        "complement": 0.0,
        "dot4": 884.48,
        "dot8": 738.85,
        "dot16": 1012.06,
        "split": 6.73,
        "far": 0.0,
        "value": 0.0,
        "distinct": 2.97,
        "class": 6.19,
        "mixture": 0.0,
        "side": 4.61,
    },
}
"""For each target, the bytes of code that an operation takes on average."""


def size_of(header: str, name: str, target: str) -> Size:
    """Return what `predict` of a header takes on a target.

    Args:
        header: The text of a header.
        name: The prefix of its names.
        target: A processor.

    Returns:
        The size, at -Os.

    Raises:
        InvalidInputError: If the target is unknown.
    """
    if target not in COEFFICIENTS:
        raise InvalidInputError(f"target={target!r} has no size model; use one of {sorted(COEFFICIENTS)}")
    tables, counts, ram = counted(header, name)
    code = sum(COEFFICIENTS[target][operation] * count for operation, count in counts.items())
    return Size(flash=tables + round(code), tables=tables, ram=ram)


def counted(header: str, name: str) -> tuple[int, dict[str, int], int]:
    """Return the bytes of tables, the operations of the code, and the bytes of arrays that `predict` reaches."""
    functions = {found[1]: found[3] for found in _FUNCTION.finditer(header)}
    tables = table_bytes(header)
    reached: dict[str, None] = {}
    todo = [f"{name}_predict"]
    while todo:
        function = todo.pop()
        if function in reached:
            continue
        reached[function] = None
        todo += [word for word in _WORD.findall(functions[function]) if word in functions]
    used = {word for function in reached for word in _WORD.findall(functions[function]) if word in tables}
    counts = dict.fromkeys((*OPERATIONS, *SPLITS, *KERNELS), 0)
    for function in reached:
        kernel, body = function.removeprefix(f"{name}_"), functions[function]
        if kernel in KERNELS:
            counts[kernel] = 1
            continue
        splits = [int(column) for column in _SPLIT.findall(body)]
        if not splits:
            for operation, pattern in OPERATIONS.items():
                counts[operation] += len(re.findall(pattern, body))
            continue
        added = re.findall(r"sum \+ (\d+)\)", body)
        counts["split"] += len(splits)
        counts["far"] += sum(column >= _FAR_COLUMN for column in splits)
        counts["value"] += len(added)
        counts["distinct"] += len(set(added))
        counts["class"] += len(re.findall(r"y\[\d+\] \+=", body))
        counts["mixture"] += body.count("_mix(")
        counts["side"] += body.count("} else {")
    return sum(tables[each] for each in used), counts, _stack(functions, f"{name}_predict")


def _stack(functions: Mapping[str, str], name: str) -> int:
    """Return the bytes of the arrays of a function and of the deepest of those that it calls."""
    body = functions[name]
    own = sum(int(bits) // 8 * int(size) for bits, _, size in _LOCAL.findall(body))
    own += sum(_ACTIVATION_BYTES * int(size) for size in _ACTIVATIONS.findall(body))
    called = {word for word in _WORD.findall(body) if word in functions and word != name}
    return own + max((_stack(functions, each) for each in called), default=0)
