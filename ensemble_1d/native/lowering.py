"""From a Program to the steps that the kernels run."""

import ctypes
from dataclasses import dataclass, field
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt

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
)
from ensemble_1d.ir.fixed_point import EXP2_TABLE, LOG2_TABLE
from ensemble_1d.native.packed_trees import ordered_keys, pack_trees
from ensemble_1d.native.structs import (
    FLOAT32,
    FLOAT64,
    INT32,
    KINDS,
    Kept,
    Op,
    ProgramStruct,
    Register,
    Trees,
)

TILE = 8192
"""Rows that a forest is walked with at once: their ranks stay in the second-level cache, and so does a tree."""

STRIP = 512
"""Rows that all other steps take at once: their numbers stay near the processor."""

_INPUT = 0
_WEIGHT_BLOCK = 16


@dataclass(frozen=True, slots=True, eq=False)
class NativeTables:
    """A packed program: the struct that C takes, and what it points to.

    Attributes:
        struct: The steps.
        kept: Everything that the struct points to.
        width: Number of outputs.
    """

    struct: ProgramStruct
    kept: Kept
    width: int

    @property
    def address(self) -> int:
        """Where the struct lies."""
        return ctypes.addressof(self.struct)

    def refusing(self, refuse: int) -> "NativeTables":
        """Return the same steps, which give no answer to rows that hold infinities (1), or missing values too (2)."""
        struct = ProgramStruct.from_buffer_copy(self.struct)
        struct.refuse = refuse
        return NativeTables(struct, self.kept, self.width)


@dataclass(frozen=True, slots=True, eq=False)
class _Source:
    """A register, or some columns of one."""

    register: int
    columns: npt.NDArray[Any] | None = None


@dataclass(slots=True, eq=False)
class _Builder:
    """Steps and registers so far."""

    kept: Kept
    registers: list[tuple[int, int]]
    base: int = _INPUT
    ops: list[Op] = field(default_factory=list)

    def add(
        self,
        kind: str,
        source: int,
        width: int,
        *,
        tables: tuple[int, ...] = (),
        integers: tuple[int, ...] = (),
        number: float = 0.0,
        target: int | None = None,
        dtype: int | None = None,
    ) -> int:
        """Append a step and return the register it writes, a new one unless told otherwise."""
        if target is None:
            self.registers.append((self.registers[source][0] if dtype is None else dtype, width))
            target = len(self.registers) - 1
        op = Op(kind=KINDS.index(kind), source=source, target=target, n_in=self.registers[source][1], n_out=width)
        op.number = number
        op.integer[: len(integers)] = integers
        op.table[: len(tables)] = tables
        self.ops.append(op)
        return target

    def whole(self, source: _Source, dtype: int | None = None) -> int:
        """Return a register that holds the source alone, in `dtype` if that matters."""
        register, (found, width) = source.register, self.registers[source.register]
        out = found if found == INT32 else FLOAT64
        if source.columns is not None:
            table = self.kept.array(source.columns, np.int32)
            return self.add("select", register, len(source.columns), tables=(table,), dtype=out)
        if dtype is not None and found != dtype:
            return self.add("copy", register, width, integers=(0,), dtype=dtype)
        return register


def pack_program(program: Program) -> NativeTables:
    """Return the steps that answer float32 rows.

    Args:
        program: A float or integer program.

    Returns:
        The tables; outputs are float64.
    """
    builder = _Builder(Kept(), [(FLOAT32, program.n_features)])
    answer = _lower(builder, program.root, _Source(_INPUT))
    return _finished(builder, builder.whole(answer, FLOAT64), FLOAT32, program.n_features)


def pack_body(program: Program) -> NativeTables:
    """Return the steps that answer the int16 codes of an integer program; outputs are int32.

    Raises:
        InvalidProgramError: If the program is float.
    """
    quantizer, body, _ = program.integer_parts()
    builder = _Builder(Kept(), [(INT32, quantizer.n_columns)])
    builder.base = builder.add("codes", _INPUT, quantizer.n_columns)
    answer = builder.whole(_lower(builder, body, _Source(builder.base)))
    return _finished(builder, answer, INT32, quantizer.n_columns)


def _finished(builder: _Builder, answer: int, input_type: int, n_features: int) -> NativeTables:
    """Return the tables: steps that walk large forests first, on whole tiles."""
    walks = [op for op in builder.ops if op.source == builder.base and _is_walk(op)]
    early = ([op for op in builder.ops if op.target == builder.base] + walks) if walks else []
    ops = early + [op for op in builder.ops if op not in early]
    shared = {_INPUT, *(op.target for op in early)}
    registers = [
        Register(type=dtype, width=width, is_local=int(i not in shared))
        for i, (dtype, width) in enumerate(builder.registers)
    ]
    struct = ProgramStruct(
        n_ops=len(ops),
        n_early=len(early),
        n_registers=len(registers),
        input_type=input_type,
        n_features=n_features,
        answer=answer,
        tile=TILE,
        strip=STRIP,
        refuse=0,
        op=builder.kept.struct((Op * len(ops))(*ops)),
        reg=builder.kept.struct((Register * len(registers))(*registers)),
    )
    return NativeTables(struct, builder.kept, builder.registers[answer][1])


def _is_walk(op: Op) -> bool:
    """Return whether a step walks trees."""
    return op.kind == KINDS.index("trees") and bool(Trees.from_address(op.table[0]).n_walks)


def _lower(builder: _Builder, node: Node, source: _Source) -> _Source:
    """Append the steps of a node and return where its output is."""
    kept = builder.kept
    match node:
        case Chain():
            for step in node.steps:
                source = _lower(builder, step, source)
            return source
        case Select():
            columns = node.column if source.columns is None else source.columns[node.column]
            return _Source(source.register, columns)
        case TreeTable() | IntegerTreeTable():
            return _Source(_lower_trees(builder, node, source))
        case Dense():
            x = builder.whole(source, FLOAT64)
            n_outputs = len(node.bias)
            padded = -(-n_outputs // _WEIGHT_BLOCK) * _WEIGHT_BLOCK
            weight = np.zeros((node.weight.shape[1], padded))
            weight[:, :n_outputs] = node.weight.T
            bias = np.zeros(padded)
            bias[:n_outputs] = node.bias
            tables = kept.array(weight, np.float64), kept.array(bias, np.float64)
            return _Source(
                builder.add("dense", x, n_outputs, tables=tables, integers=(int(node.activation == "relu"),))
            )
        case Affine():
            tables = kept.array(node.offset, np.float32), kept.array(node.scale, np.float32)
            return _Source(builder.add("affine", builder.whole(source), len(node.offset), tables=tables, dtype=FLOAT64))
        case Link() | IntegerLink():
            return _Source(_lower_link(builder, node, builder.whole(source)))
        case Log():
            x = builder.whole(source)
            table = kept.array([node.floor], np.float64)
            width = builder.registers[x][1]
            return _Source(builder.add("log", x, width, tables=(table,), number=node.scale, dtype=FLOAT64))
        case IntegerLog():
            x = builder.whole(source)
            table = kept.array([*LOG2_TABLE, 0], np.int32)
            return _Source(
                builder.add("integer_log", x, builder.registers[x][1], tables=(table,), integers=(node.floor,))
            )
        case Concat():
            return _Source(_lower_concat(builder, node, source))
        case Combine() | IntegerCombine():
            return _Source(_lower_combination(builder, node, source))
        case Quantize():
            builder.base = _lower_quantizer(builder, node)
            return _Source(builder.base)
        case IntegerDense():
            tables = kept.array(node.weight, np.int32), kept.array(node.bias, np.int32)
            return _Source(builder.add("integer_dense", builder.whole(source), len(node.bias), tables=tables))
        case Requantize():
            arrays = node.shift_in, node.multiplier, node.shift_out, node.offset
            fields = tuple(kept.array(array, np.int32) for array in arrays)
            return _Source(
                builder.add(
                    "requantize",
                    builder.whole(source),
                    len(node.offset),
                    tables=fields,
                    integers=(node.low, node.high),
                )
            )
        case Dequantize():
            x = builder.whole(source)
            width = builder.registers[x][1]
            return _Source(builder.add("dequantize", x, width, integers=(node.fraction_bits,), dtype=FLOAT64))
        case _:
            assert_never(node)


def _lower_trees(builder: _Builder, node: TreeTable | IntegerTreeTable, source: _Source) -> int:
    """Append trees, which read their source's columns without a copy."""
    dtype, width = builder.registers[source.register]
    columns = np.arange(width) if source.columns is None else source.columns
    kind, struct = pack_trees(builder.kept, node, columns, dtype)
    out = INT32 if isinstance(node, IntegerTreeTable) else FLOAT64
    return builder.add(kind, source.register, struct.n_outputs, tables=(builder.kept.struct(struct),), dtype=out)


def _lower_link(builder: _Builder, node: Link | IntegerLink, x: int) -> int:
    """Append a link."""
    width = builder.registers[x][1] if node.kind == "softmax" else 2
    if isinstance(node, Link):
        return builder.add(node.kind, x, width, dtype=FLOAT64)
    table = builder.kept.array([*EXP2_TABLE, 0], np.int32)
    return builder.add(f"integer_{node.kind}", x, width, tables=(table,))


def _lower_concat(builder: _Builder, node: Concat, source: _Source) -> int:
    """Append the members, and a copy of each to its columns."""
    outputs = [builder.whole(_lower(builder, member, source)) for member in node.members]
    widths = [builder.registers[register][1] for register in outputs]
    dtype = INT32 if builder.registers[outputs[0]][0] == INT32 else FLOAT64
    target, first = None, 0
    for register, width in zip(outputs, widths, strict=True):
        target = builder.add("copy", register, sum(widths), integers=(first,), target=target, dtype=dtype)
        first += width
    # A Concat has a member: the loop made the register.
    assert target is not None  # noqa: S101  # nosec B101
    return target


def _lower_combination(builder: _Builder, node: Combine | IntegerCombine, source: _Source) -> int:
    """Append the members, each followed by the addition of its share."""
    target = None
    last = len(node.members) - 1
    for i, (member, weight) in enumerate(zip(node.members, node.weights, strict=True)):
        x = builder.whole(_lower(builder, member, source))
        width = builder.registers[x][1]
        if isinstance(node, Combine):
            target = builder.add(
                node.rule, x, width, integers=(int(i == 0),), number=float(weight), target=target, dtype=FLOAT64
            )
        else:
            integers = int(weight), int(i == 0), int(i == last)
            target = builder.add(f"integer_{node.rule}", x, width, integers=integers, target=target)
    # A combination has a member: the loop made the register.
    assert target is not None  # noqa: S101  # nosec B101
    return target


def _lower_quantizer(builder: _Builder, node: Quantize) -> int:
    """Append the input quantizer: rank columns count ordered integers, as trees do."""
    kept, strict = builder.kept, np.repeat(node.strict, np.diff(node.start))
    tables = (
        kept.array(node.feature, np.int32),
        kept.array(node.offset, np.float32),
        kept.array(node.scale, np.float32),
        kept.array(node.start, np.int32),
        kept.array(ordered_keys(node.thresholds) - strict, np.int32),
        kept.array(node.first_codes(), np.int32),
    )
    return builder.add("quantize", _INPUT, node.n_columns, tables=tables, integers=(int(node.missing),), dtype=INT32)
