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
        "branch": 11.97,
        "loop": 0.0,
        "read": 0.0,
        "index": 11.81,
        "call": 0.0,
        "arithmetic": 0.0,
        "shift": 0.0,
        "large": 4.51,
        "split": 8.17,
        "far": 1.26,
        "value": 1.55,
        "distinct": 6.55,
        "class": 0.0,
        "mixture": 17.62,
        "side": 0.0,
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
