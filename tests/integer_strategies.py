"""Hypothesis strategies for integer programs that no quantizer wrote: any node in any place that the proof admits."""

import numpy as np
from hypothesis import strategies as st
from strategies import FLOAT32_MAX, SEEDS, tree_children

from ensemble_1d.ir import (
    Chain,
    Concat,
    Dequantize,
    IntegerCombine,
    IntegerDense,
    IntegerLink,
    IntegerLog,
    IntegerTreeTable,
    Program,
    Quantize,
    Requantize,
    Select,
    output_bounds,
    output_width,
)

INT32_MAX = 2**31 - 1
ONE = 2**15


def quantizer(rng, n_features, n_further, *, missing):
    """Return an input quantizer of affine and rank columns, some of scale 0."""
    n_columns = n_features + n_further
    is_rank = rng.random(n_columns) < 0.4
    slices = [np.unique(rng.normal(size=5).astype(np.float32)) if rank else np.empty(0, np.float32) for rank in is_rank]
    scale = np.exp(rng.normal(size=n_columns) * 8) * (rng.random(n_columns) < 0.9)
    return Quantize(
        n_features=n_features,
        feature=np.concatenate([np.arange(n_features), rng.integers(0, n_features, n_further)]).astype(np.int32),
        offset=np.where(is_rank, 0, rng.normal(size=n_columns) * rng.choice([1, 1e6])).astype(np.float32),
        scale=np.where(is_rank, 0, scale).astype(np.float32),
        start=np.cumsum([0, *map(len, slices)]).astype(np.int32),
        thresholds=np.concatenate(slices),
        strict=rng.random(n_columns) < 0.5,
        missing=missing,
        narrow=(rng.random(n_columns) < rng.choice([0, 0.5, 1])) & (not missing),
    )


def _trees(rng, width, *, missing):
    """Return trees with leaves of any dtype, up to its limits, and any cut."""
    n_trees, n_nodes = int(rng.integers(1, 5)), int(rng.integers(0, 12))
    n_leaves, vector, n_outputs = int(rng.integers(1, 12)), int(rng.integers(1, 3)), int(rng.integers(1, 4))
    vector = min(vector, n_outputs)
    left, right, root = tree_children(rng, n_trees, n_nodes, n_leaves, rng.choice([np.int8, np.int16, np.int32]))
    dtype = rng.choice([np.int8, np.uint8, np.int16, np.uint16])
    limits = np.iinfo(dtype)
    value = rng.integers(limits.min, limits.max, (n_leaves, vector), endpoint=True)
    cut = rng.choice([*rng.integers(-32768, 32768, 5), -32768, -32767, 32767], n_nodes)
    return IntegerTreeTable(
        column=rng.integers(0, width, n_nodes).astype(rng.choice([np.uint8, np.uint16, np.int32])),
        cut=cut.astype(np.int16),
        left=left,
        right=right,
        default_left=rng.random(n_nodes) < 0.5 if missing else np.empty(0, np.bool_),
        value=value.astype(dtype),
        root=root,
        output=rng.integers(0, n_outputs - vector + 1, n_trees).astype(np.uint8),
        n_outputs=n_outputs,
    )


def _dense(rng, low, high, n_outputs):
    """Return a layer whose sums come as close to 32 bits as its dtype and inputs allow."""
    reach = int(np.maximum(np.abs(low), np.abs(high)).sum()) + 1
    dtype = rng.choice([np.int8, np.int16])
    limit = min(int(np.iinfo(dtype).max), (INT32_MAX - 2**20) // reach)
    weight = rng.integers(-limit, limit, (n_outputs, len(low)), endpoint=True)
    weight = np.where(rng.random(weight.shape) < 0.3, limit * rng.choice([-1, 1], weight.shape), weight)
    bias = rng.integers(-(2**20), 2**20, n_outputs, endpoint=True)
    return IntegerDense(weight=weight.astype(dtype), bias=bias.astype(np.int32))


def _requantize(rng, low, high, limits=None):
    """Return a change of scale whose products come close to 32 bits, saturated to `limits`."""
    shift_in, shift_out = rng.integers(0, 31, len(low)), rng.integers(0, 31, len(low))
    shift_in = np.where(rng.random(len(low)) < 0.5, 0, shift_in)
    reach = np.maximum(np.abs(low >> shift_in), np.abs(high >> shift_in)) + 1
    limit = (INT32_MAX - 2**29) // reach
    multiplier = np.where(rng.random(len(low)) < 0.5, limit, rng.integers(-limit, limit, endpoint=True))
    room = np.maximum(INT32_MAX - ((np.abs(multiplier) * reach + 2**29) >> shift_out) - 1, 0)
    offset = rng.integers(-room, room, endpoint=True) >> rng.choice([0, 12, 31])
    if limits is None:
        limits = sorted(map(int, rng.integers(-(2**31), 2**31, 2) >> rng.choice([0, 15])))
    return Requantize(
        shift_in=shift_in.astype(np.uint8),
        multiplier=multiplier.astype(np.int32),
        shift_out=shift_out.astype(np.uint8),
        offset=offset.astype(np.int32),
        low=limits[0],
        high=limits[1],
    )


class _Builder:
    """Steps of a chain, and the proven bounds of its outputs so far."""

    def __init__(self, rng, low, high, *, missing, votes):
        """Start without steps at the bounds of the input; only a classification has votes."""
        self.rng, self.low, self.high, self.missing, self.votes, self.steps = rng, low, high, missing, votes, []

    def add(self, node):
        """Append a node."""
        self.steps.append(node)
        self.low, self.high = output_bounds(node, self.low, self.high)

    def add_any(self, depth):
        """Append a node of any kind that fits."""
        rng, width = self.rng, len(self.low)
        kinds = ["trees", "trees", "dense", "requantize", "select", "chain", "combine", "concat", "link", "log"]
        kind = rng.choice(kinds)
        if kind == "trees":
            self.add(_trees(rng, width, missing=self.missing))
        elif kind == "dense":
            self.add(_dense(rng, self.low, self.high, int(rng.integers(1, 4))))
        elif kind == "select":
            self.add(Select(column=rng.integers(0, width, rng.integers(1, 5)).astype(np.int32)))
        elif kind == "chain" and depth:
            self.add(self.inner(depth - 1))
        elif kind == "combine" and depth:
            self.add_combination(depth - 1, int(rng.integers(1, 4)))
        elif kind == "concat" and depth:
            members = tuple(self.inner(depth - 1) for _ in range(rng.integers(1, 4)))
            self.add(Concat(members=members, names=tuple(f"m{i}" for i in range(len(members)))))
        elif kind == "link" and width <= 4:
            self.add_link()
        elif kind == "log":
            self.add_log()
        else:
            self.add(_requantize(rng, self.low, self.high))

    def inner(self, depth, finish=None):
        """Return a chain of one to three further nodes."""
        builder = _Builder(self.rng, self.low, self.high, missing=self.missing, votes=self.votes)
        for _ in range(self.rng.integers(1, 4)):
            builder.add_any(depth)
        if finish:
            finish(builder)
        return Chain(steps=tuple(builder.steps))

    def add_width(self, width):
        """Append a selection or a layer that leaves `width` columns."""
        if self.rng.random() < 0.5:
            self.add(Select(column=self.rng.integers(0, len(self.low), width).astype(np.int32)))
        else:
            self.add(_dense(self.rng, self.low, self.high, width))

    def add_combination(self, depth, width):
        """Append a weighted mean or a vote of members of `width` outputs."""
        limits = (0, ONE) if self.rng.random() < 0.5 else (-65535, 65535)

        def finish(builder):
            builder.add_width(width)
            builder.add(_requantize(self.rng, builder.low, builder.high, limits))

        members = tuple(self.inner(depth, finish) for _ in range(self.rng.integers(1, 4)))
        weights = self.rng.multinomial(ONE, self.rng.dirichlet(np.ones(len(members)))).astype(np.int32)
        rule = self.rng.choice(["mean", "vote"]).item() if self.votes else "mean"
        self.add(IntegerCombine(members=members, weights=weights, rule=rule))

    def add_link(self):
        """Append the link that fits the width, after saturation to what it takes."""
        if len(self.low) > 1:
            kind, limits = "softmax", (-(2**30), 2**30 - 1)
        else:
            kind = self.rng.choice(["sigmoid", "complement"]).item()
            limits = (-(2**30), 2**30 - 1) if kind == "sigmoid" else (0, ONE)
        self.add(_requantize(self.rng, self.low, self.high, limits))
        self.add(IntegerLink(kind=kind))

    def add_log(self):
        """Append a logarithm, after saturation to Q15 unless the numbers are proven to lie there."""
        if int(self.low.min()) < 0 or int(self.high.max()) > ONE:
            self.add(_requantize(self.rng, self.low, self.high, (0, ONE)))
        self.add(IntegerLog(floor=int(self.rng.choice([1, 2, 33, ONE - 1, ONE, self.rng.integers(1, ONE)]))))

    def add_classes(self, depth):
        """Append what ends in probabilities of two classes or more."""
        end = self.rng.integers(4)
        if end == 0:
            self.add_width(int(self.rng.integers(1, 4)))
            self.add_link()
        elif end == 1 and depth:
            self.add_combination(depth - 1, int(self.rng.integers(2, 4)))
        self.add_width(int(self.rng.integers(2, 5))) if len(self.low) < 2 else None
        if int(self.low.min()) < 0 or int(self.high.max()) > ONE:
            self.add(_requantize(self.rng, self.low, self.high, (0, ONE)))
        if not self.steps:  # Narrow codes are probabilities as they are, and a program has a node.
            self.add_width(len(self.low))
            self.add(_requantize(self.rng, self.low, self.high, (0, ONE)))


@st.composite
def integer_programs(draw):
    """Draw an integer Program of up to 3 features and any nodes."""
    rng = np.random.default_rng(draw(SEEDS))
    n_features, n_further, depth = draw(st.integers(1, 3)), draw(st.integers(0, 2)), draw(st.integers(0, 2))
    missing, is_regression = draw(st.booleans()), draw(st.booleans())
    first = quantizer(rng, n_features, n_further, missing=missing)
    low, high = first.limits()
    builder = _Builder(rng, low, high, missing=missing, votes=not is_regression)
    for _ in range(draw(st.integers(0, 4))):
        builder.add_any(depth)
    if is_regression:
        builder.add_width(1)
    else:
        builder.add_classes(depth)
    last = Dequantize(fraction_bits=int(rng.integers(-62, 63)) if is_regression else 15)
    body = Chain(steps=tuple(builder.steps))
    return Program(
        n_features=n_features,
        task="regression" if is_regression else "classification",
        root=Chain(steps=(first, *builder.steps, last)),
        classes=None if is_regression else np.arange(output_width(body, first.n_columns)),
    )


@st.composite
def dense_programs(draw):
    """Draw a regression of dense layers of any shapes, in 4, 8 and 16 bits, with activations of either sign."""
    rng = np.random.default_rng(draw(SEEDS))
    n_features = draw(st.integers(1, 70))
    low, high = np.full(n_features, -32768, np.int64), np.full(n_features, 32767, np.int64)
    builder = _Builder(rng, low, high, missing=False, votes=False)

    def limits():
        return [0, 32767] if rng.random() < 0.5 else sorted(map(int, rng.integers(-32768, 32768, 2)))

    if draw(st.booleans()):
        builder.add(_requantize(rng, low, high, limits()))
    for n_outputs in draw(st.lists(st.integers(1, 35), max_size=3)):
        builder.add(_narrow(rng, _dense(rng, builder.low, builder.high, n_outputs), draw(st.booleans())))
        for _ in range(rng.integers(1, 3)):
            builder.add(_requantize(rng, builder.low, builder.high, limits()))
    builder.add(_narrow(rng, _dense(rng, builder.low, builder.high, 1), draw(st.booleans())))
    if draw(st.booleans()):
        builder.add(_requantize(rng, builder.low, builder.high))
    first, last = quantizer(rng, n_features, 0, missing=False), Dequantize(fraction_bits=0)
    return Program(n_features=n_features, task="regression", root=Chain(steps=(first, *builder.steps, last)))


def _narrow(rng, node, is_narrow):
    """Return the layer, or one with weights of 4 bits, both ends among them."""
    if not is_narrow:
        return node
    return IntegerDense(weight=rng.integers(-8, 8, node.weight.shape).astype(np.int8), bias=node.bias)


def cuts_of(node):
    """Yield the column and the cut of every split that reads the codes directly."""
    match node:
        case Chain():
            yield from cuts_of(node.steps[0])
        case IntegerCombine() | Concat():
            for member in node.members:
                yield from cuts_of(member)
        case IntegerTreeTable():
            yield from zip(node.column.tolist(), node.cut.tolist(), strict=True)


def code_rows(program, rng, n_rows):
    """Return rows of any codes that the columns may have: random ones, the extremes, and cuts with both neighbours."""
    first, body, _ = program.integer_parts()
    codes = rng.integers(-32768, 32768, (n_rows, first.n_columns))
    extremes = np.array([-32768, -32767, -1, 0, 1, 32766, 32767])
    codes = np.where(rng.random(codes.shape) < 0.2, rng.choice(extremes, codes.shape), codes)
    cuts = list(cuts_of(body))
    for row in range(n_rows if cuts else 0):
        column, cut = cuts[int(rng.integers(len(cuts)))]
        codes[row, column] = cut + rng.integers(-1, 2)
    codes[: len(extremes)] = extremes[:n_rows, np.newaxis]
    low, high = first.limits()
    narrow = np.where(rng.random(codes.shape) < 0.7, codes % 256, codes)
    return np.clip(np.where(first.narrow, narrow, codes), low, high).astype(np.int16)


def float_rows(n_features, rng, n_rows):
    """Return any float32 rows: every kind of value there is, by random bits and by name."""
    X = rng.integers(0, 2**32, (n_rows, n_features), dtype=np.uint32).view(np.float32)
    tiny = np.finfo(np.float32).smallest_subnormal
    special = np.array([np.nan, np.inf, -np.inf, 0, -0.0, tiny, -tiny, FLOAT32_MAX, -FLOAT32_MAX, 1, -1], np.float32)
    plain = rng.normal(size=X.shape).astype(np.float32)
    X = np.where(rng.random(X.shape) < 0.4, plain, X)
    return np.where(rng.random(X.shape) < 0.3, rng.choice(special, X.shape), X)
