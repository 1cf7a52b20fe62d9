"""ProgramSummary: what a Program takes and gives, and what it is made of, to read and to print."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal, assert_never

from ensemble_1d._html import Markup, html_facts, html_table
from ensemble_1d.ir import (
    Affine,
    Chain,
    Combine,
    Concat,
    Dense,
    Dequantize,
    IntegerCombine,
    IntegerDense,
    IntegerLink,
    IntegerLog,
    IntegerTreeTable,
    Link,
    Log,
    Node,
    Program,
    Quantize,
    Requantize,
    Select,
    TreeTable,
    node_bytes,
)

_SHOWN = 8
"""Names and labels that are printed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSummary:
    """One node.

    Attributes:
        depth: How many nodes it lies within.
        name: What the node that holds it calls it, or "".
        kind: Its class.
        size: What there is of it, in words.
        n_bytes: Bytes of its arrays and of those below it.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import RandomForestModel
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RandomForestModel(n_estimators=5, max_depth=3, random_state=0).fit(X, y)
        >>> summary = model.quantize("int8", X).summary()
        >>> [(node.depth, node.kind) for node in summary.nodes]
        [(0, 'Chain'), (1, 'Quantize'), (1, 'IntegerTreeTable'), (1, 'Requantize'), (1, 'Dequantize')]
    """

    depth: int
    name: str
    kind: str
    size: str
    n_bytes: int

    @property
    def title(self) -> str:
        """Its name, if it has one, and its kind."""
        return f"{self.name}: {self.kind}" if self.name else self.kind


@dataclass(frozen=True, slots=True, kw_only=True)
class ProgramSummary:
    """A program in words and numbers; prints as a text.

    Attributes:
        task: "classification" or "regression".
        arithmetic: "float" or "integer".
        n_features: Width of the input.
        feature_names: Names of the features, or None.
        classes: The labels, or None for regression.
        accepts_missing: Whether NaN is a legal feature value.
        n_bytes: Bytes of all arrays in memory.
        nodes: All nodes, parents first.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import RandomForestModel
        >>> X, y = load_iris(return_X_y=True)
        >>> model = RandomForestModel(n_estimators=5, max_depth=3, random_state=0).fit(X, y)
        >>> summary = model.quantize("int8", X).summary()
        >>> summary.arithmetic, summary.classes, summary.accepts_missing
        ('integer', (0, 1, 2), False)
    """

    task: Literal["classification", "regression"]
    arithmetic: Literal["float", "integer"]
    n_features: int
    feature_names: tuple[str, ...] | None
    classes: tuple[Any, ...] | None
    accepts_missing: bool
    n_bytes: int
    nodes: tuple[NodeSummary, ...]

    def __str__(self) -> str:
        """Return a line for each fact, then a line for each node."""
        named = "" if self.feature_names is None else f": {_some(self.feature_names)}"
        missing = "accepted" if self.accepts_missing else "not accepted"
        heads = [
            f"{self.task}, {self.arithmetic} arithmetic, {self.n_bytes:,} bytes of arrays",
            f"{_count(self.n_features, 'feature')}{named}; missing values {missing}",
        ]
        if self.classes is not None:
            heads.append(f"{len(self.classes)} classes: {_some(self.classes)}")
        lines = [("  " * node.depth + node.title, node.size, f"{node.n_bytes:,}") for node in self.nodes]
        widths = [max(len(line[column]) for line in [("node", "size", "bytes"), *lines]) for column in range(3)]
        rows = [
            f"{node:<{widths[0]}}  {size:<{widths[1]}}  {n_bytes:>{widths[2]}}".rstrip()
            for node, size, n_bytes in [("node", "size", "bytes"), *lines]
        ]
        return "\n".join([*heads, "", *rows])

    def _repr_html_(self) -> str:
        """Return the facts as one table in HTML and the nodes as another."""
        space = "\N{NO-BREAK SPACE}" * 4
        rows = [(space * node.depth + node.title, node.size, f"{node.n_bytes:,}") for node in self.nodes]
        return html_facts(self._facts()) + html_table(["node", "size", "bytes"], rows, words=(1,))

    def card(self) -> Markup:
        """Return the facts as one table in HTML, with the bytes of each part of the program."""
        parts = [(f"bytes of {name}", f"{n_bytes:,}") for name, n_bytes in self.bytes_by_part]
        return html_facts([*self._facts(), *(parts if len(parts) > 1 else ())])

    @property
    def bytes_by_part(self) -> tuple[tuple[str, int], ...]:
        """Name and bytes of the input codes, of each member and of what else there is."""
        named = [node for node in self.nodes if node.name]
        depth = min((node.depth for node in named), default=0)
        parts = [("inputs", node.n_bytes) for node in self.nodes if node.kind == "Quantize"]
        parts += [(node.name, node.n_bytes) for node in named if node.depth == depth]
        rest = self.n_bytes - sum(n_bytes for _, n_bytes in parts)
        return (*parts, ("combination" if named else "model", rest))

    def _facts(self) -> list[tuple[str, str]]:
        """Return what the program takes, gives and is made of."""
        named = "" if self.feature_names is None else f": {_some(self.feature_names)}"
        classes = [] if self.classes is None else [("classes", f"{len(self.classes)}: {_some(self.classes)}")]
        return [
            ("task", self.task),
            ("features", f"{self.n_features:,}{named}"),
            *classes,
            ("missing values", "accepted" if self.accepts_missing else "not accepted"),
            ("arithmetic", self.arithmetic),
            ("bytes of arrays", f"{self.n_bytes:,}"),
        ]


def summarise(program: Program) -> ProgramSummary:
    """Return the summary of a program.

    Args:
        program: A float or integer program.

    Returns:
        The summary.

    Example:
        >>> import numpy as np
        >>> from ensemble_1d import Program
        >>> from ensemble_1d.ir import Dense
        >>> layer = Dense(weight=np.ones((1, 2), np.float32), bias=np.zeros(1, np.float32), activation="relu")
        >>> print(summarise(Program(n_features=2, task="regression", root=layer)))
        regression, float arithmetic, 12 bytes of arrays
        2 features; missing values not accepted
        <BLANKLINE>
        node   size                               bytes
        Dense  2 inputs, 1 output, float32, relu     12
    """
    classes = program.classes
    return ProgramSummary(
        task=program.task,
        arithmetic="integer" if program.is_integer else "float",
        n_features=program.n_features,
        feature_names=program.feature_names,
        classes=None if classes is None else tuple(classes.tolist()),
        accepts_missing=program.accepts_missing,
        n_bytes=program.nbytes,
        nodes=tuple(_nodes(program.root, 0, "")),
    )


def _nodes(node: Node, depth: int, name: str) -> Iterator[NodeSummary]:
    """Yield the summary of a node and of all below it."""
    yield NodeSummary(depth=depth, name=name, kind=type(node).__name__, size=_size(node), n_bytes=node_bytes(node))
    match node:
        case Chain():
            for step in node.steps:
                yield from _nodes(step, depth + 1, "")
        case Combine() | IntegerCombine() | Concat():
            for member, called in zip(node.members, node.names or ("",) * len(node.members), strict=True):
                yield from _nodes(member, depth + 1, called)
        case _:
            return


def _size(node: Node) -> str:
    """Return what there is of a node, in words."""
    match node:
        case TreeTable():
            n_outputs = len(node.bias)
            return f"{_trees(node)}, {_count(n_outputs, 'output')}, {node.value.dtype} leaves"
        case IntegerTreeTable():
            return f"{_trees(node)}, {_count(node.n_outputs, 'output')}, {node.value.dtype} leaves"
        case Dense() | IntegerDense():
            n_outputs, n_inputs = node.weight.shape
            activation = f", {node.activation}" if isinstance(node, Dense) else ""
            inputs, outputs = _count(n_inputs, "input"), _count(n_outputs, "output")
            return f"{inputs}, {outputs}, {node.weight.dtype}{activation}"
        case Affine():
            return _count(len(node.offset), "column")
        case Requantize():
            return f"{_count(len(node.multiplier), 'column')}, {node.low}..{node.high}"
        case Quantize():
            ranks = int(node.is_rank().sum())
            return f"{_count(node.n_columns, 'code column')}, {ranks} by rank, {int(node.narrow.sum())} of one byte"
        case Link() | IntegerLink():
            return node.kind
        case Log():
            return f"floor {node.floor:g}, scale {node.scale:g}"
        case IntegerLog():
            return f"floor {node.floor} of 32768"
        case Dequantize():
            return _count(node.fraction_bits, "fraction bit")
        case Select():
            return _count(len(node.column), "column")
        case Chain():
            return _count(len(node.steps), "step")
        case Concat():
            return _count(len(node.members), "member")
        case Combine() | IntegerCombine():
            shares = node.weights if isinstance(node, Combine) else node.weights / 2**15
            return f"{node.rule} of {_count(len(node.members), 'member')}, weights {_some(f'{w:.3g}' for w in shares)}"
        case _:
            assert_never(node)


def _trees(node: TreeTable | IntegerTreeTable) -> str:
    """Return trees, splits and leaves of a table."""
    return f"{_count(len(node.root), 'tree')}, {_count(len(node.left), 'split')}, {_count(len(node.value), 'leaf')}"


def _count(number: int, noun: str) -> str:
    """Return a number with its noun."""
    plural = {"leaf": "leaves"}.get(noun, noun + "s")
    return f"{number:,} {noun if number == 1 else plural}"


def _some(values: Any) -> str:
    """Return the first values, and how many more there are."""
    texts = [str(value) for value in values]
    more = f" and {len(texts) - _SHOWN:,} more" if len(texts) > _SHOWN else ""
    return ", ".join(texts[:_SHOWN]) + more
