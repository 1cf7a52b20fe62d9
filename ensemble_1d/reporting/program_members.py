"""The members of a program as programs of their own: what each would answer alone, and what it weighs."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidProgramError
from ensemble_1d.ir import (
    PROBABILITY_BITS,
    Affine,
    Chain,
    Combine,
    Concat,
    Dense,
    Dequantize,
    IntegerCombine,
    IntegerLog,
    Log,
    Node,
    Program,
)

Floats64 = npt.NDArray[np.float64]


def member_programs(program: Program) -> dict[str, Program]:
    """Return the members of a combination as programs that answer alone, before any temperature, by name.

    Args:
        program: A float or integer program.

    Returns:
        Empty for a model of one. Values of a quantized meta-model's members have scales that the program does not tell,
        so these are left out.
    """
    return dict(_members(program))


def member_weights(program: Program) -> dict[str, float]:
    """Return the weight of each member by name: its share of the combination, or of a meta-model's coefficients.

    Args:
        program: A float or integer program.

    Returns:
        Empty for a model of one, and for a quantized meta-model, whose coefficients stand on scales of their own.
    """
    _, node, rest = _parts(program)
    if isinstance(node, Combine | IntegerCombine):
        weights = node.weights.astype(np.float64)
        return dict(zip(_names(node), (weights / weights.sum()).tolist(), strict=True))
    if isinstance(node, Concat) and rest and isinstance(layer := rest[0], Dense):
        named = [name for name, member in zip(_names(node), node.members, strict=True) if not _passes(name, member)]
        n_outputs = len(layer.bias)
        sizes = np.abs(layer.weight[:, : len(named) * n_outputs].astype(np.float64))
        total = sizes.reshape(n_outputs, len(named), n_outputs).sum(axis=(0, 2))
        shares = total / total.sum() if total.any() else np.full(len(named), 1 / len(named))
        return dict(zip(named, shares.tolist(), strict=True))
    return {}


def _members(program: Program) -> Iterator[tuple[str, Program]]:
    """Yield the name of each member, and its program."""
    before, node, after = _parts(program)
    if not isinstance(node, Combine | IntegerCombine | Concat):
        return
    for name, member in zip(_names(node), node.members, strict=True):
        if isinstance(node, Concat):
            if _passes(name, member) or (program.is_integer and program.classes is None):
                continue
            last = (Dequantize(fraction_bits=PROBABILITY_BITS),) if program.is_integer else ()
            steps = (*before, _without_logarithm(member), *last)
        else:
            steps = (*before, _without_logarithm(member), *after)
        try:
            yield name, replace(program, root=Chain(steps=steps))
        except InvalidProgramError:  # Its outputs are none that a program may give, such as scores of no scale.
            continue


def _parts(program: Program) -> tuple[tuple[Node, ...], Node, tuple[Node, ...]]:
    """Return what comes before the combination, if there is one, the combination, and what follows it."""
    steps = program.root.steps if isinstance(program.root, Chain) else (program.root,)
    n_before = 1 if program.is_integer else 0
    return steps[:n_before], steps[n_before], steps[n_before + 1 :]


def _names(node: Combine | IntegerCombine | Concat) -> tuple[str, ...]:
    """Return what the members are called."""
    return node.names or tuple(f"member {i}" for i in range(len(node.members)))


def _passes(name: str, member: Node) -> bool:
    """Return whether this is no member, but the features that a meta-model sees beside them."""
    return name == "features" and isinstance(member, Affine)


def _without_logarithm(member: Node) -> Node:
    """Return a member without its temperature, and without the logarithm that a meta-model reads."""
    steps = member.steps if isinstance(member, Chain) else (member,)
    ends = [i for i, step in enumerate(steps) if isinstance(step, Log | IntegerLog)]
    return Chain(steps=steps[: ends[0]]) if ends else member
