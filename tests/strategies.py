"""Hypothesis strategies for float programs and for rows that try them: built through the IR, without any trainer.

Hypothesis draws the structure and a seed, and NumPy fills the arrays: examples stay small, and cheap to make.
"""

import itertools
from collections.abc import Iterator

import numpy as np
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from ensemble_1d.ir import Affine, Chain, Combine, Concat, Dense, Link, Log, Program, Select, TreeTable

FLOAT32_MAX = np.finfo(np.float32).max
SUBNORMAL = np.finfo(np.float32).smallest_subnormal
NAN, INF = np.float32(np.nan), np.float32(np.inf)
SEEDS = st.integers(0, 2**32 - 1)
MODES = st.sampled_from(["int4", "int8", "int16"])


def examples(n):
    """Return settings for n examples, or the share of them that the profile asks for; a failure prints its blob."""
    ignored = [HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.filter_too_much]
    share = settings.default.max_examples / settings.get_profile("default").max_examples
    return settings(
        max_examples=max(1, round(n * share)), deadline=None, print_blob=True, suppress_health_check=ignored
    )


def tree_children(rng, n_trees, n_nodes, n_leaves, dtype=np.int32):
    """Return left, right and root of random trees: any shape, nodes of all trees mixed, leaves shared."""
    reference = ~rng.integers(0, n_leaves, n_trees + 2 * n_nodes)
    slots = list(range(n_trees))
    for node in range(n_nodes):
        reference[slots.pop(int(rng.integers(len(slots))))] = node
        slots += [n_trees + node, n_trees + n_nodes + node]
    root, left, right = np.split(reference.astype(dtype), [n_trees, n_trees + n_nodes])
    return left, right, root


def _thresholds(rng, n_nodes, comparison, scale):
    """Return thresholds on a coarse grid, of any value, or infinite."""
    any_value, grid = rng.normal(size=n_nodes), rng.integers(-3, 4, n_nodes) / 2
    threshold = np.where(rng.random() < 0.5, any_value, grid) * scale
    if comparison == "lt":
        threshold = threshold.astype(np.float32)
    elif rng.random() < 0.5:  # A trained forest has the middle between two float32 values.
        threshold = (threshold.astype(np.float32).astype(np.float64) + threshold) / 2
    infinite = rng.random(n_nodes) < 0.05
    return np.where(infinite, np.where(rng.random(n_nodes) < 0.5, -INF, INF).astype(threshold.dtype), threshold)


@st.composite
def tree_tables(draw, n_features, n_outputs=1, *, leaves="scalar", scales=(1.0,), finite=False):
    """Draw a TreeTable of up to 8 trees.

    Args:
        draw: Given by hypothesis.
        n_features: Columns it may read.
        n_outputs: Columns it writes.
        leaves: "scalar" for one number each, "vector" for distributions over the outputs, "unit" for one number from
            0 to 1 each, averaged.
        scales: Magnitudes of the thresholds.
        finite: Whether to leave out infinite thresholds.
    """
    rng = np.random.default_rng(draw(SEEDS))
    n_trees, n_nodes = draw(st.integers(1, 8)), draw(st.integers(0, 20))
    n_leaves = draw(st.integers(1, 2 * n_nodes + n_trees))
    comparison = draw(st.sampled_from(["le", "lt"]))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    left, right, root = tree_children(rng, n_trees, n_nodes, n_leaves)
    threshold = _thresholds(rng, n_nodes, comparison, draw(st.sampled_from(scales)))
    if finite:
        threshold = np.where(np.isfinite(threshold), threshold, threshold.dtype.type(0.25))
    bias = np.zeros(n_outputs)
    output = np.zeros(n_trees, np.int32)
    average = True
    if leaves == "vector":
        counts = (
            rng.integers(0, 4, (n_leaves, n_outputs))
            + np.eye(n_outputs, dtype=int)[rng.integers(0, n_outputs, n_leaves)]
        )
        value = counts / counts.sum(axis=1, keepdims=True)
    elif leaves == "unit":
        value = rng.integers(0, 5, (n_leaves, 1)) / 4
    else:
        value = draw(st.sampled_from([0.01, 1.0, 5.0])) * rng.normal(size=(n_leaves, 1))
        value = np.round(value) if draw(st.booleans()) else value
        output = rng.integers(0, n_outputs, n_trees).astype(np.int32)
        bias = draw(st.sampled_from([0.0, 1.0, 100.0])) * rng.normal(size=n_outputs)
        average = draw(st.booleans())
    return TreeTable(
        feature=rng.integers(0, n_features, n_nodes).astype(np.int32),
        threshold=threshold,
        left=left,
        right=right,
        default_left=rng.random(n_nodes) < 0.5,
        value=value.astype(dtype),
        root=root,
        output=output,
        bias=bias.astype(dtype),
        comparison=comparison,
        average=average,
    )


@st.composite
def dense_layers(draw, n_inputs, n_outputs):
    """Draw a Dense layer, some rows of it zero, some biases far above the weights."""
    rng = np.random.default_rng(draw(SEEDS))
    weight = rng.normal(size=(n_outputs, n_inputs)) * draw(st.sampled_from([0.01, 1.0, 3.0]))
    weight[rng.random(n_outputs) < 0.2] = 0
    bias = rng.normal(size=n_outputs) * draw(st.sampled_from([0.0, 1.0, 30.0]))
    activation = draw(st.sampled_from(["relu", "identity"]))
    return Dense(weight=weight.astype(np.float32), bias=bias.astype(np.float32), activation=activation)


@st.composite
def networks(draw, n_features, n_outputs):
    """Draw a tuple of steps: an Affine or none, then one to three Dense layers; constant features have scale 0."""
    rng = np.random.default_rng(draw(SEEDS))
    steps = []
    if draw(st.booleans()):
        scale = rng.choice([0.0, 0.1, 1.0, 2.0, -1.0], n_features)
        steps.append(Affine(offset=rng.normal(size=n_features).astype(np.float32) * 10, scale=scale.astype(np.float32)))
    widths = [n_features, *draw(st.lists(st.integers(1, 6), max_size=2)), n_outputs]
    steps += [draw(dense_layers(a, b)) for a, b in itertools.pairwise(widths)]
    return tuple(steps)


@st.composite
def _members(draw, n_features, n_outputs, kinds, scales):
    """Draw a model of n_outputs outputs (one for regression), perhaps with a selection of columns in front."""
    steps = []
    if draw(st.booleans()) and draw(st.booleans()):
        columns = draw(st.lists(st.integers(0, n_features - 1), min_size=1, max_size=n_features + 1))
        steps, n_features = [Select(column=np.array(columns, np.int32))], len(columns)
    kind = draw(st.sampled_from(kinds))
    options = {"scales": scales}
    if n_outputs == 1:
        body = draw(networks(n_features, 1)) if kind == "network" else (draw(tree_tables(n_features, **options)),)
    elif kind == "network":
        one = n_outputs == 2 and draw(st.booleans())
        link = Link(kind="sigmoid" if one else "softmax")
        body = (*draw(networks(n_features, 1 if one else n_outputs)), link)
    else:
        leaves = draw(st.sampled_from(["scalar", "vector", "unit"] if n_outputs == 2 else ["scalar", "vector"]))
        if leaves == "vector":
            body = (draw(tree_tables(n_features, n_outputs, leaves="vector", **options)),)
        elif leaves == "unit":
            body = (draw(tree_tables(n_features, leaves="unit", **options)), Link(kind="complement"))
        else:
            one = n_outputs == 2 and draw(st.booleans())
            table = draw(tree_tables(n_features, 1 if one else n_outputs, **options))
            body = (table, Link(kind="sigmoid" if one else "softmax"))
    steps = (*steps, *body)
    return steps[0] if len(steps) == 1 else Chain(steps=steps)


@st.composite
def _roots(draw, n_features, n_outputs, *, kinds, scales, depth):
    """Draw a member, or a combination or a meta-model whose members may be combinations or meta-models."""
    n_members = draw(st.integers(0, 3)) if depth else 0
    if n_members == 0:
        return draw(_members(n_features, n_outputs, kinds, scales))
    smaller = _roots(n_features, n_outputs, kinds=kinds, scales=scales, depth=depth - 1)
    if draw(st.integers(0, 2)) == 0:
        if n_outputs > 1 and draw(st.booleans()):
            return Chain(steps=(draw(smaller), draw(logs()), Link(kind="softmax")))
        return draw(_meta_models(smaller, n_features, n_outputs, passthrough="network" in kinds))
    members = [draw(smaller) for _ in range(n_members)]
    weights = np.array(draw(st.lists(st.integers(0, 9), min_size=n_members, max_size=n_members)), np.float64)
    weights[draw(st.integers(0, n_members - 1))] += 1
    return Combine(
        members=tuple(members),
        weights=weights / weights.sum(),
        rule="mean" if n_outputs == 1 else draw(st.sampled_from(["mean", "vote"])),
        names=tuple(f"m{i}" for i in range(n_members)) if draw(st.booleans()) else (),
    )


@st.composite
def logs(draw):
    """Draw logarithms with a floor near that of Q15, and a temperature."""
    return Log(floor=draw(st.sampled_from([1e-6, 2.0**-15, 1e-3])), scale=draw(st.sampled_from([1.0, 0.25, 3.0])))


@st.composite
def _meta_models(draw, members, n_features, n_outputs, *, passthrough):
    """Draw layers over outputs, logarithms or single classes of one to three members, and perhaps over features."""
    columns = []
    for _ in range(draw(st.integers(1, 3))):
        steps, width = (draw(members),), n_outputs
        if n_outputs > 1:
            form = draw(st.sampled_from(["outputs", "logarithms", "one class"]))
            if form == "logarithms":
                steps = (*steps, draw(logs()))
            elif form == "one class":
                weight = np.eye(n_outputs, dtype=np.float32)[[draw(st.integers(0, n_outputs - 1))]]
                steps, width = (*steps, Dense(weight=weight, bias=np.zeros(1, np.float32), activation="identity")), 1
        columns.append((steps[0] if len(steps) == 1 else Chain(steps=steps), width))
    if passthrough and draw(st.booleans()):
        columns.append(draw(_passed_features(n_features)))
    nodes, widths = zip(*draw(st.permutations(columns)), strict=True)
    names = tuple(f"c{i}" for i in range(len(nodes))) if draw(st.booleans()) else ()
    # No Affine on computed columns: it would round them to float32, each order of additions to another one.
    layers = [step for step in draw(networks(sum(widths), n_outputs)) if isinstance(step, Dense)]
    link = (Link(kind="softmax"),) if n_outputs > 1 else ()
    return Chain(steps=(Concat(members=nodes, names=names), *layers, *link))


@st.composite
def _passed_features(draw, n_features):
    """Draw an Affine of all features or of some, and the number of its columns."""
    columns = draw(st.none() | st.lists(st.integers(0, n_features - 1), min_size=1, max_size=n_features + 1))
    width = n_features if columns is None else len(columns)
    rng = np.random.default_rng(draw(SEEDS))
    affine = Affine(
        offset=rng.normal(size=width).astype(np.float32), scale=rng.choice([0.0, 0.5, -2.0], width).astype(np.float32)
    )
    if columns is None:
        return affine, width
    return Chain(steps=(Select(column=np.array(columns, np.int32)), affine)), width


@st.composite
def programs(draw, *, task=None, kinds=("trees", "network"), scales=(1.0, 1000.0), depth=2):
    """Draw a float Program of up to 4 features and 4 classes.

    Args:
        draw: Given by hypothesis.
        task: "classification", "regression", or None for either.
        kinds: Which models: "trees", "network".
        scales: Magnitudes of thresholds.
        depth: How many combinations or meta-models may lie within each other.
    """
    task = task or draw(st.sampled_from(["classification", "regression"]))
    n_features = draw(st.integers(1, 4))
    n_outputs = 1 if task == "regression" else draw(st.integers(2, 4))
    labels = None
    if task == "classification":
        labels = np.array([f"label {i}" for i in range(n_outputs)]) if draw(st.booleans()) else np.arange(n_outputs) - 1
    return Program(
        n_features=n_features,
        task=task,
        root=draw(_roots(n_features, n_outputs, kinds=kinds, scales=scales, depth=depth)),
        classes=labels,
        feature_names=tuple(f"f{i}" for i in range(n_features)) if draw(st.booleans()) else None,
    )


def walk(node, features):
    """Yield every tree table and network layer, with the program feature of each of its input columns (else None)."""
    match node:
        case Chain():
            for step in node.steps:
                if isinstance(step, Select):
                    features = features[step.column]
                else:
                    yield from walk(step, features)
        case Combine() | Concat():
            for member in node.members:
                yield from walk(member, features)
        case _:
            yield node, features


def tables_of(program) -> Iterator[tuple[TreeTable, np.ndarray]]:
    """Yield every tree table of a float program, left to right, with the feature of each input column."""
    found = walk(program.root, np.arange(program.n_features))
    return ((node, features) for node, features in found if isinstance(node, TreeTable))


def _column(rng, thresholds, n_rows, *, extreme):
    """Return values of one feature: constant, few and repeated, or on, beside and far from thresholds."""
    ties = thresholds[np.isfinite(thresholds)]
    beside = [np.nextafter(ties, -INF), np.nextafter(ties, INF)]
    near = np.concatenate([ties, *beside, np.array([0.0, -0.0, 1.0], np.float32)])
    style = rng.integers(4)
    if style == 0:
        return np.full(n_rows, rng.choice(near))
    if style == 1:
        return rng.choice(rng.choice(near, 3), n_rows)
    values = rng.normal(size=n_rows) * rng.choice([1.0, max(1.0, float(np.abs(near).max()))])
    values = np.clip(values, -FLOAT32_MAX, FLOAT32_MAX).astype(np.float32)
    values = np.where(rng.random(n_rows) < 0.5, rng.choice(near, n_rows), values)
    if extreme and style == 2:
        far = np.array([FLOAT32_MAX, -FLOAT32_MAX, SUBNORMAL, -SUBNORMAL, 1e30, -1e30, 1e-30], np.float32)
        values = np.where(rng.random(n_rows) < 0.2, rng.choice(far, n_rows), values)
    return values.astype(np.float32)


@st.composite
def inputs(draw, program, *, min_rows=1, max_rows=40, missing=None, extreme=True):
    """Draw float32 rows for a float program: ties, neighbours, duplicates, and for trees alone NaN and extremes.

    Args:
        draw: Given by hypothesis.
        program: A float program.
        min_rows: Fewest rows.
        max_rows: Most rows.
        missing: Whether there may be NaN; None leaves it to chance. Never for a program that does not accept it.
        extreme: Whether values may be as large as float32 goes. Never for a program with a network.
    """
    rng = np.random.default_rng(draw(SEEDS))
    n_rows = draw(st.integers(min_rows, max_rows))
    only_trees = program.accepts_missing
    thresholds = [[] for _ in range(program.n_features)]
    for table, features in tables_of(program):
        for feature, threshold in zip(table.feature, table.threshold, strict=True):
            thresholds[features[feature]].append(np.float32(threshold))
    columns = [_column(rng, np.array(each, np.float32), n_rows, extreme=extreme and only_trees) for each in thresholds]
    X = np.column_stack(columns)
    if only_trees and (draw(st.booleans()) if missing is None else missing):
        X[rng.random(X.shape) < 0.15] = NAN
        if rng.random() < 0.2:
            X[:, rng.integers(X.shape[1])] = NAN
    return np.ascontiguousarray(X[rng.integers(0, n_rows, n_rows)] if draw(st.booleans()) else X)
