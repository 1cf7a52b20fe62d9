"""Integer trees that strain a layout: long, deep and wide ones, with every kind of leaf, and programs of them."""

import numpy as np
from small_nodes import classification, quantize, regression, requantize
from strategies import tree_children

from ensemble_1d.ir import (
    Chain,
    Concat,
    Dequantize,
    IntegerCombine,
    IntegerDense,
    IntegerLink,
    IntegerTreeTable,
    Quantize,
    Requantize,
    Select,
)

DTYPES = [np.int8, np.uint8, np.int16, np.uint16]
LEAVES = ["any", "two", "either", "equal", "few", "steps"]


def table(left, right, root, value, *, column, cut, output=None, n_outputs=1):
    """Return an integer tree table of these fields."""
    value = np.asarray(value)
    return IntegerTreeTable(
        column=np.asarray(column, np.uint16),
        cut=np.asarray(cut, np.int16),
        left=np.asarray(left, np.int32),
        right=np.asarray(right, np.int32),
        default_left=np.empty(0, np.bool_),
        value=value[:, np.newaxis] if value.ndim == 1 else value,
        root=np.asarray(root, np.int32),
        output=np.asarray(np.zeros(len(root)) if output is None else output, np.uint8),
        n_outputs=n_outputs,
    )


def chain(n_splits, *, to_left=True):
    """Return left, right and root of one tree: each split has a leaf of its own and the next split."""
    following = np.append(np.arange(1, n_splits), -1)
    leaf = ~np.arange(1, n_splits + 1)
    return (following, leaf, [0]) if to_left else (leaf, following, [0])


def fork(n_left, n_right=1):
    """Return left, right and root of one tree: a root over a chain on either side, so that the left one is skipped."""
    first, other, _ = chain(n_left)
    second, last, _ = chain(n_right)
    shift = n_left + 1
    left = np.concatenate([[1], np.where(first >= 0, first + 1, first), np.where(second >= 0, second + shift, second)])
    right = np.concatenate([[shift], other, last])
    return left, right, [0]


def grown(rng, n_trees, n_splits):
    """Return left, right and root of random trees with a split at every root, and a leaf for each reference."""
    left, right, root = tree_children(rng, n_trees, n_trees + n_splits, 1)
    # Random trees may be single leaves: give each of these a split of its own.
    lone = np.flatnonzero(root < 0)
    first = len(left)
    left, right = (np.append(side, np.full(len(lone), -1, np.int32)) for side in (left, right))
    root[lone] = first + np.arange(len(lone))
    number = ~np.arange(2 * len(left), dtype=np.int32)
    left, right = (np.where(side < 0, mine, side) for side, mine in ((left, number[::2]), (right, number[1::2])))
    return left, right, root


def single_values(rng, tree, kind, dtype):
    """Return leaf values of shape (n_leaves,): how many differ, and by how much, depends on the kind.

    "any" takes all of the dtype, "two" one of two, "either" likewise and never the same in both leaves of a split,
    "equal" the same everywhere, "few" of five far numbers, "steps" multiples of one number.
    """
    left, right, root = map(np.asarray, tree)
    limits = np.iinfo(dtype)
    n_leaves = 1 + max(int((~np.concatenate([left, right, root])).max()), 0)
    pool = rng.integers(limits.min, limits.max, 5, endpoint=True)
    if kind == "any":
        value = rng.integers(limits.min, limits.max, n_leaves, endpoint=True)
    elif kind == "steps":
        value = rng.integers(limits.min // 60, limits.max // 60, n_leaves, endpoint=True) * int(rng.integers(1, 60))
    else:
        value = rng.choice(pool[: {"two": 2, "either": 2, "equal": 1, "few": 5}[kind]], n_leaves)
    if kind == "either":
        both = (left < 0) & (right < 0)
        for one, other in zip(left[both], right[both], strict=True):
            value[~other] = pool[0] if value[~one] == pool[1] else pool[1]
    return value.astype(dtype)


def shares(rng, n_leaves, n_classes, total, *, pure=0.4, held=4):
    """Return leaves of shape (n_leaves, n_classes) that give all of the total to one class, or share it among some."""
    value = np.zeros((n_leaves, n_classes), np.uint8)
    for leaf in value:
        some = rng.choice(n_classes, 1 if rng.random() < pure else min(held, n_classes), replace=False)
        leaf[some] = rng.multinomial(total, rng.dirichlet(np.ones(len(some))))
    return value


def quantizer(narrow):
    """Return an input quantizer with a column for each entry, narrow or not."""
    first = quantize(len(narrow))
    fields = {name: getattr(first, name) for name in first.__dataclass_fields__}
    return Quantize(**fields | {"narrow": np.asarray(narrow, np.bool_)})


def random_cuts(rng, narrow, column):
    """Return a cut for each split: of all codes, on a grid, or near each other; of narrow columns mostly bytes."""
    n = len(column)
    grid = (rng.integers(-60, 60, n) << int(rng.integers(0, 9))) - 1
    style = rng.integers(0, 3)
    wide = rng.integers(-32768, 32768, n) if style == 0 else grid if style == 1 else rng.integers(500, 900, n)
    wide = np.where(rng.random(n) < 0.02, rng.choice([-32768, -32767, 32766, 32767], n), wide)
    byte = rng.integers(0, 256, n)
    byte = np.where(rng.random(n) < (0.05 if rng.random() < 0.2 else 0), rng.choice([-32768, -1, 256, 32767], n), byte)
    return np.clip(np.where(narrow[column], byte, wide), -32768, 32767)


def random_table(rng, narrow, n_outputs=1, *, vector=False):
    """Return a table of random trees of any shape and size on these columns; leaves of one value, or shares."""
    n_columns = len(narrow)
    shape = rng.choice(["grown", "grown", "chain", "fork"])
    if shape == "grown":
        left, right, root = grown(rng, int(rng.integers(1, 30)), int(rng.choice([0, 3, 30, 400])))
    elif shape == "chain":
        left, right, root = chain(int(rng.choice([1, 2, 40, 100])), to_left=bool(rng.random() < 0.5))
    else:
        left, right, root = fork(int(rng.choice([60, 85, 110])), int(rng.integers(1, 3)))
    read = rng.choice(n_columns, int(rng.integers(1, n_columns, endpoint=True)), replace=False)
    column = rng.choice(read, len(left))
    cut = random_cuts(rng, narrow, column)
    if vector:
        n_leaves = 1 + max(int((~np.concatenate([left, right, root])).max()), 0)
        value = shares(rng, n_leaves, n_outputs, int(rng.choice([1, 15, 254, 255])), pure=rng.choice([0, 0.5, 1]))
        return table(left, right, root, value, column=column, cut=cut, n_outputs=n_outputs)
    value = single_values(rng, (left, right, root), rng.choice(LEAVES), rng.choice(DTYPES))
    output = rng.integers(0, n_outputs, len(root))
    return table(left, right, root, value, column=column, cut=cut, output=output, n_outputs=n_outputs)


def summed(first, *steps, width=1):
    """Return a regression program whose value depends on every output of the last of the steps."""
    weight = 1 + 2 * np.arange(width, dtype=np.int16)[np.newaxis, ::-1]
    last = (IntegerDense(weight=weight, bias=np.zeros(1, np.int32)),) if width > 1 else ()
    return regression(first, *steps, *last, Dequantize(fraction_bits=0), n_features=first.n_features)


def voted(first, *steps, width):
    """Return a classification program of as many classes as the last of the steps has outputs, 0..32768 each."""
    return classification(
        first, *steps, Dequantize(fraction_bits=15), n_features=first.n_features, classes=np.arange(width)
    )


def decided(first, trees, *, scale=None, kind="complement"):
    """Return a classification program that turns the sum of trees into the probabilities of two classes."""
    scale = scale or requantize(1)
    steps = (trees, scale, IntegerLink(kind=kind), Dequantize(fraction_bits=15))
    return classification(first, *steps, n_features=first.n_features, classes=np.arange(2))


def maker(rng, n_codes, n_columns):
    """Return nodes that make bytes of codes, as of codes that a network reads too."""
    node = Requantize(
        shift_in=np.zeros(n_columns, np.uint8),
        multiplier=rng.integers(1, 32768, n_columns).astype(np.int32),
        shift_out=rng.choice([15, 18], n_columns).astype(np.uint8),
        offset=rng.integers(-300, 300, n_columns).astype(np.int32),
        low=0,
        high=255,
    )
    return Select(column=rng.integers(0, n_codes, n_columns).astype(np.int32)), node


def random_program(rng):
    """Return a program of one to three tables: alone, combined, side by side, with or without a maker of codes."""
    n_columns = int(rng.choice([1, 2, 5, 33, 70, 300]))
    narrow = rng.random(n_columns) < rng.choice([0, 0.5, 1, 1])
    first = quantizer(narrow)
    kind = rng.choice(["values", "outputs", "votes", "decided", "members", "made"])
    if kind == "values":
        return summed(first, random_table(rng, narrow))
    if kind == "decided":
        trees = random_table(rng, narrow)
        scale = requantize(
            1,
            multiplier=int(rng.integers(1, 400)),
            shift_out=int(rng.integers(0, 12)),
            offset=int(rng.integers(0, 32768)),
        )
        kind = rng.choice(["complement", "sigmoid"]).item()
        return decided(first, trees, scale=scale, kind=kind)
    if kind == "votes":
        width = int(rng.choice([2, 3, 10, 64, 128]))
        return voted(first, random_table(rng, narrow, width, vector=True), requantize(width), width=width)
    if kind == "outputs":
        width = int(rng.integers(2, 5))
        return summed(first, random_table(rng, narrow, width), width=width)
    if kind == "members":
        tables = [random_table(rng, narrow) for _ in range(3)]
        if rng.random() < 0.5:
            return summed(first, Concat(members=tuple(tables)), width=3)
        chains = [Chain(steps=(each, requantize(1, low=-32767, high=32767, shift_out=7))) for each in tables]
        weights = np.array([2**14, 2**13, 2**13], np.int32)
        return summed(first, IntegerCombine(members=tuple(chains), weights=weights, rule="mean"))
    made = int(rng.integers(1, 40))
    common, other = maker(rng, n_columns, made), maker(rng, n_columns, made)
    is_byte = np.ones(made, np.bool_)
    makers = [common, common, other if rng.random() < 0.3 else common]
    chains = [Chain(steps=(*each, random_table(rng, is_byte))) for each in makers]
    return summed(first, Concat(members=(*chains, random_table(rng, narrow))), width=4)
