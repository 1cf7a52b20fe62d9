"""Compression steps: what they leave equal to the bit, what they make smaller, and how near the rest stays."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import MAKERS, boosting, forest, sample, sample_of
from small_nodes import classification, constants, dense, regression, stump
from strategies import NAN, SEEDS, examples, inputs, programs, tree_children, tree_tables
from tree_checks import assert_tables_give_the_same, mean_of, others, points, tables, two_splits, ways

from ensemble_1d import InvalidInputError, UnsupportedModelError
from ensemble_1d.ir import Affine, Chain, Link, Select, TreeTable
from ensemble_1d.ir.bounds import tree_of_node
from ensemble_1d.quantization.compression import are_distributions, pruned, thinned, with_merged_leaves, with_trees
from ensemble_1d.quantization.optimization import tree_sizes
from ensemble_1d.quantization.refitting import refitted
from ensemble_1d.quantization.shared_thresholds import with_shared_thresholds
from ensemble_1d.quantization.tree_edits import split_statistics, with_own_leaves
from ensemble_1d.quantization.tree_sites import tree_sites
from ensemble_1d.runtime import evaluate, leaves_of_rows, run

SHARES = st.sampled_from([0.0, 0.3, 0.5, 1.0])


@pytest.fixture(scope="module", params=["forest", "boosting", "binary boosting", "regression", "ensemble"])
def fitted(request):
    """The program of a fitted model, and its training rows."""
    if request.param != "forest":
        pytest.importorskip("xgboost")
    if request.param == "ensemble":
        pytest.importorskip("torch")
    make = {
        "forest": forest,
        "boosting": boosting,
        "binary boosting": boosting,
        "regression": lambda **options: forest(task="regression", **options),
        "ensemble": MAKERS["Ensemble-soft-classification"],
    }[request.param]
    model = make(random_state=0)
    data = sample("binary") if request.param == "binary boosting" else sample_of(model, 3)
    return model.fit(data.X, data.y).program(), data.X.astype(np.float32)


# ---------------------------------------------------------------- what stays equal to the bit


@examples(200)
@given(data=st.data())
def test_pruning_what_no_row_reaches_changes_no_output_of_the_rows(data):
    """Equal to the bit in every table, with NaN, ties and networks beside; what is left is reached from both sides."""
    program = data.draw(programs())
    X = data.draw(inputs(program))
    small = pruned(program, X)
    assert_tables_give_the_same(program, small, X)
    for site in tree_sites(small, X):
        assert len(ways(site.table, site.X)) == 2 * len(site.table.left)
    assert tree_sizes(small).n_splits <= tree_sizes(program).n_splits
    assert [*map(id, others(small))] == [*map(id, others(program))]


def test_fitted_models_keep_their_outputs(fitted):
    """The two exact steps on trained trees, one after the other; they find something to leave out."""
    program, X = fitted
    few = X[::6]
    small = with_shared_thresholds(pruned(program, few), few)
    assert_tables_give_the_same(program, small, few)
    before, after = tree_sizes(program), tree_sizes(small)
    assert after.n_splits < before.n_splits
    assert after.n_thresholds < before.n_thresholds


def test_missing_values_keep_a_side_alive():
    """A side that only rows with NaN reach stays, and its threshold still sends them there."""
    program = regression(two_splits(), n_features=2)
    X = np.array([[3, NAN], [3, 7], [4, 8]], np.float32)
    small = pruned(program, X)
    (table,) = tables(small)
    assert table.feature.tolist() == [1]
    assert run(small, X)[:, 0].tolist() == [2, 4, 4]
    assert_tables_give_the_same(program, with_shared_thresholds(program, X), X)


# ---------------------------------------------------------------- pruning and thinning


def test_sides_of_few_rows_give_way():
    """A side with too few rows gives way to the other; two such sides to a leaf with the mean of the rows."""
    program = regression(two_splits(), n_features=2)
    X = points([3, 4], [3, 6], [3, 7], [-1, 0])
    (once,) = tables(pruned(program, X, 2))
    assert once.feature.tolist() == []
    assert once.value.tolist() == [[4]]
    (mean,) = tables(pruned(program, points([-1, 0], [-1, 0], [3, 4], [3, 6]), 2))
    assert mean.feature.tolist() == [0]
    assert mean.value[~mean.right].tolist() == [[3]]


def test_every_side_has_its_rows(fitted):
    """Splits that remain had that many rows on each side; a larger minimum leaves fewer splits."""
    program, X = fitted
    counts = [tree_sizes(pruned(program, X, k)).n_splits for k in (1, 2, 4, 8, len(X))]
    assert sorted(counts, reverse=True) == counts
    assert counts[0] > counts[3] > counts[4] == 0


@examples(60)
@given(data=st.data())
def test_statistics_are_those_of_the_rows(data):
    """Rows on either side, their mean leaf and how far the sides' means lie from it, counted by hand."""
    table = with_own_leaves(data.draw(tree_tables(2, 2, leaves=data.draw(st.sampled_from(["scalar", "vector"])))))
    X = data.draw(inputs(classification(table, Link(kind="softmax"), classes=np.arange(2), n_features=2)))
    seen = split_statistics(table, X)
    leaf = leaves_of_rows(table, X)
    tree = tree_of_node(table.left, table.right, table.root)
    found = ways(table, X)
    for node in range(len(table.left)):
        sides = [sorted(found.get((node, goes_left), ())) for goes_left in (True, False)]
        assert [len(side) for side in sides] == [seen.left[node], seen.right[node]]
        values = [table.value[leaf[side, tree[node]]].astype(np.float64) for side in sides]
        both = np.concatenate(values)
        if len(both):
            np.testing.assert_allclose(seen.mean[node], both.mean(axis=0), atol=1e-6)
            gain = sum(len(each) * ((each.mean(axis=0) - both.mean(axis=0)) ** 2).sum() for each in values if len(each))
            assert seen.gain[node] == pytest.approx(gain, abs=1e-6, rel=1e-6)
        else:
            assert seen.gain[node] == 0


def subtrees(table, node):
    """Yield every set of splits that hangs together from a node down, the empty one included."""
    yield frozenset()
    if node >= 0:
        for left, right in itertools.product(subtrees(table, table.left[node]), subtrees(table, table.right[node])):
            yield left | right | {int(node)}


@examples(100)
@given(seed=SEEDS, share=st.sampled_from([0.2, 0.4, 0.6, 0.8]))
def test_thinning_keeps_the_splits_that_explain_most(seed, share):
    """No other choice of as many splits, connected from the roots, leaves the rows closer to the tree's own answers."""
    rng = np.random.default_rng(seed)
    left, right, root = tree_children(rng, 1, 6, 7)
    table = TreeTable(
        feature=rng.integers(0, 3, 6).astype(np.int32),
        threshold=rng.normal(size=6) / 2,
        left=left,
        right=right,
        default_left=np.zeros(6, np.bool_),
        value=rng.normal(size=(7, 1)),
        root=root,
        output=np.zeros(1, np.int32),
        bias=np.zeros(1),
        comparison="le",
        average=False,
    )
    program = regression(table, n_features=3)
    X = rng.normal(size=(60, 3)).astype(np.float32)
    reached = pruned(program, X)
    (whole,) = tables(reached)
    small = thinned(program, X, share)
    n_kept = tree_sizes(small).n_splits
    assert n_kept <= share * 6
    goal = run(program, X)[:, 0]
    at = {node: [] for node in range(len(whole.left))}
    for (node, _), found in ways(whole, X).items():
        at[node] += found

    def error(kept):
        """Return the squared distance after splits outside `kept` have become means."""
        answers = goal.copy()
        for node in range(len(whole.left) - 1, -1, -1):  # children first, so that the highest mean has the last word
            if node not in kept:
                answers[at[node]] = goal[at[node]].mean()
        return ((answers - goal) ** 2).sum()

    best = min(error(kept) for kept in subtrees(whole, whole.root[0]) if len(kept) == n_kept)
    assert ((run(small, X)[:, 0] - goal) ** 2).sum() == pytest.approx(best, abs=1e-9)


@pytest.mark.parametrize("side", ["left", "right"])
def test_thinning_keeps_a_split_for_what_comes_below_it(side):
    """A split that explains nothing by itself stays if one of its sides explains much."""
    table = replace(two_splits(), value=np.array([[0], [-1], [1]], np.float32))
    X = points([-1, 0], [-1, 0], [3, 4], [3, 6])
    if side == "left":
        table = replace(table, left=np.array([1, -2], np.int32), right=np.array([-1, -3], np.int32))
        X[:, 0] *= -1
    program = regression(table, n_features=2)
    assert_tables_give_the_same(program, thinned(program, X, 1.0), X)
    assert tree_sizes(thinned(program, X, 1.0)).n_splits == 2
    assert tree_sizes(thinned(program, X, 0.5)).n_splits == 0


def test_thinning_keeps_at_most_the_share(fitted):
    """A share of the splits of each table, down to none; with all of them the outputs of the rows stay."""
    program, X = fitted
    for share in (0.0, 0.1, 0.5, 1.0):
        small = thinned(program, X, share)
        for before, after in zip(tables(program), tables(small), strict=True):
            assert share * len(before.left) * 0.8 - 1 <= len(after.left) <= share * len(before.left) or share == 1
    np.testing.assert_allclose(run(small, X), run(program, X), rtol=1e-5)


# ---------------------------------------------------------------- leaves


@examples(100)
@given(data=st.data(), bits=st.integers(1, 10))
def test_merged_leaves_lie_on_the_grid(data, bits):
    """Distributions are multiples that add up to one, other leaves multiples of a step; no split is between equals."""
    program = data.draw(programs(kinds=("trees",)))
    small = with_merged_leaves(program, bits)
    for before, after in zip(tables(program), tables(small), strict=True):
        value = after.value.astype(np.float64)
        assert not ((after.left < 0) & (after.left == after.right)).any()
        if are_distributions(before):
            units = value * 2**bits
            assert np.array_equal(units, np.rint(units))
            assert (units.sum(axis=1) == 2**bits).all()
        else:
            assert len(np.unique(value)) <= 2**bits + 1
            step = (float(before.value.max()) - float(before.value.min())) / (2**bits - 1)
            if step > 0:
                assert np.abs(value / step - np.rint(value / step)).max() < 1e-3
    X = data.draw(inputs(program))
    for before, after in zip(tree_sites(program, X), tree_sites(small, X), strict=True):
        table = before.table
        difference = evaluate(table, before.X).astype(np.float64) - evaluate(after.table, before.X)
        n_added = 1 if table.average else len(table.root)
        coarsest = 2.0**-bits if are_distributions(table) else float(np.ptp(table.value)) / (2**bits - 1) / 2
        assert np.abs(difference).max() <= n_added * coarsest * 1.001 + 1e-4


def test_splits_between_equal_leaves_go_all_the_way_up():
    """Leaves that become equal take their splits with them, level by level."""
    table = two_splits()
    program = regression(table, n_features=2)
    (merged,) = tables(with_merged_leaves(program, 1))  # A grid of one step, 3: 1 becomes 0, 2 and 4 become 3.
    assert merged.feature.tolist() == [0]
    assert merged.value[[~merged.left[0], ~merged.right[0]]].tolist() == [[0], [3]]
    (same,) = tables(with_merged_leaves(regression(constants([2, 2], 0, np.float32)), 1))
    assert same.value.tolist() == [[2]]


# ---------------------------------------------------------------- trees


def test_first_rounds_stay_and_the_mean_of_the_others_moves_into_the_bias():
    """Boosting keeps the first trees of each class, and each class its mean margin over the rows."""
    pytest.importorskip("xgboost")
    data = sample("multiclass")
    program = boosting(random_state=0).fit(data.X, data.y).program()
    X = data.X.astype(np.float32)
    small = with_trees(program, X, 0.5)
    (before,), (after,) = tree_sites(program, X), tree_sites(small, X)
    assert after.table.output.tolist() == [0, 1, 2] * 3
    assert len(before.table.root) == 15
    margins = [evaluate(site.table, X).mean(axis=0) for site in (before, after)]
    np.testing.assert_allclose(*margins, atol=1e-5)
    assert not np.array_equal(before.table.bias, after.table.bias)


def test_each_output_keeps_its_share_of_the_rounds():
    """Outputs with other numbers of trees keep their own first ones; constants move into the bias without a loss."""
    one = constants([1, 2, 3, 4, 5, 6], 0, np.float32)
    table = replace(one, output=np.array([0, 0, 0, 0, 1, 1], np.int32), bias=np.array([7, 8], np.float32))
    program = classification(table, Link(kind="softmax"), classes=np.arange(2))
    X = np.zeros((3, 1), np.float32)
    (small,) = tables(with_trees(program, X, 0.5))
    assert small.output.tolist() == [0, 0, 1]
    assert small.bias.tolist() == [7 + 3 + 4, 8 + 6]
    assert evaluate(small, X).tolist() == evaluate(table, X).tolist()


def test_a_forest_keeps_the_trees_whose_mean_is_nearest():
    """Each tree is the one that, beside those chosen, brings the mean nearest to that of the whole forest."""
    data = sample("multiclass")
    program = forest(random_state=0).fit(data.X, data.y).program()
    X = data.X.astype(np.float32)
    (site,) = tree_sites(program, X)
    table = site.table
    leaf = leaves_of_rows(table, X)
    output = table.value[leaf].transpose(1, 0, 2)
    chosen = []
    for _ in range(3):
        left = [tree for tree in range(8) if tree not in chosen]
        distance = [((output[[*chosen, tree]].mean(axis=0) - output.mean(axis=0)) ** 2).sum() for tree in left]
        chosen.append(left[int(np.argmin(distance))])
    small = with_trees(program, X, 0.375)
    np.testing.assert_allclose(run(small, X), output[sorted(chosen)].mean(axis=0))
    assert with_trees(program, X, 1.0).nbytes == program.nbytes


def test_means_of_several_outputs_keep_their_trees():
    """Where averaged trees write to different outputs, fewer of them would change the mean: they stay."""
    one = constants([1, 2], 0, np.float32, average=True)
    table = replace(one, output=np.array([0, 1], np.int32), bias=np.zeros(2, np.float32))
    program = classification(table, classes=np.arange(2))
    assert tree_sizes(with_trees(program, np.zeros((3, 1), np.float32), 0.5)).n_trees == 2


# ---------------------------------------------------------------- refitting


def objective(program, reference, before, X, ridge):
    """Return what refitting makes small, for programs of one table of scalar leaves and the same structure."""
    (now,), (goal,), (start,) = (tree_sites(each, X) for each in (program, reference, before))
    distance = ((evaluate(now.table, X).astype(np.float64) - evaluate(goal.table, X)) ** 2).sum()
    leaves, starts = leaves_of_rows(now.table, X), leaves_of_rows(start.table, X)
    moved = 0.0
    for tree in range(len(now.table.root)):
        _, first = np.unique(starts[:, tree], return_index=True)
        values = [site.table.value[leaf[first, tree]] for site, leaf in ((now, leaves), (start, starts))]
        moved += ((values[0].astype(np.float64) - values[1]) ** 2).sum()
    return distance + ridge * moved


def test_refitting_finds_the_ridge_solution():
    """Block by block, the objective comes within a percent of the exact solution of all leaves at once."""
    pytest.importorskip("xgboost")
    data = sample("regression")
    X = data.X.astype(np.float32)
    program = boosting(task="regression", n_estimators=8, random_state=0).fit(data.X, data.y).program()
    small = pruned(program, X, 8)
    (site,), (goal,) = tree_sites(small, X), tree_sites(program, X)
    leaf = leaves_of_rows(site.table, X)
    names = [(tree, each) for tree in range(8) for each in np.unique(leaf[:, tree])]
    indicator = np.array([[leaf[row, tree] == each for tree, each in names] for row in range(len(X))], float)
    start = np.array([site.table.value[each, 0] for _, each in names], float)
    wanted = evaluate(goal.table, X)[:, 0] - site.table.bias[0]
    system = np.concatenate([indicator, np.sqrt(0.5) * np.eye(len(names))])
    exact = np.linalg.lstsq(system, np.concatenate([wanted, np.sqrt(0.5) * start]), rcond=None)[0]
    least = ((indicator @ exact - wanted) ** 2).sum() + 0.5 * ((exact - start) ** 2).sum()
    found = objective(refitted(small, program, X, ridge=0.5), program, small, X, 0.5)
    assert least * (1 - 1e-4) <= found <= least * 1.01
    assert found < objective(small, program, small, X, 0.5) / 1.3


def test_refitting_comes_closer_to_the_reference(fitted):
    """After pruning, the outputs of every table come closer to those of the original, and of no leaf too many."""
    program, X = fitted
    small = pruned(program, X, 6)
    again = refitted(small, program, X)
    for goal, before, after in zip(*(tree_sites(each, X) for each in (program, small, again)), strict=True):
        target = evaluate(goal.table, goal.X)
        distances = [((evaluate(site.table, site.X) - target) ** 2).sum() for site in (before, after)]
        assert distances[1] < distances[0]
        assert are_distributions(after.table) == are_distributions(before.table)
        if after.table.average:
            assert after.table.value.min() >= before.table.value.min()
            assert after.table.value.max() <= before.table.value.max()
    assert [*map(id, others(again))] == [*map(id, others(program))]


@examples(100)
@given(data=st.data())
def test_refitting_to_itself_changes_nothing(data):
    """What already gives the outputs wanted is left alone; leaves of votes stay votes for any other goal."""
    program = data.draw(programs(kinds=("trees",)))
    X = data.draw(inputs(program))
    for before, after in zip(tree_sites(program, X), tree_sites(refitted(program, program, X), X), strict=True):
        first, second = evaluate(before.table, before.X), evaluate(after.table, after.X)
        np.testing.assert_allclose(second, first, rtol=1e-4, atol=1e-4)
    small = thinned(program, X, 0.5)
    for before, after in zip(tables(small), tables(refitted(small, program, X)), strict=True):
        if are_distributions(before):
            assert are_distributions(after)


# ---------------------------------------------------------------- where tables stand


def test_tables_behind_other_nodes_are_found():
    """Trees behind a selection, an Affine and trees see what these compute; equal columns share thresholds."""
    scaled = Affine(offset=np.array([1, 0], np.float32), scale=np.array([2, 1], np.float32))
    swapped = Select(column=np.array([1, 0], np.int32))
    program = regression(swapped, scaled, mean_of(stump(3, "le"), stump(3.5, "le")), n_features=2)
    X = points([0, 2], [0, 4])
    first, second = tree_sites(program, X)
    assert first.X[:, 0].tolist() == [2, 6]
    assert first.column.tolist() == second.column.tolist() == [2, 3]
    shared = with_shared_thresholds(program, X)
    assert tree_sizes(program).n_thresholds == 2
    assert tree_sizes(shared).n_thresholds == 1
    second_column = Chain(steps=(Select(column=np.array([1], np.int32)), stump(3, "le")))
    selected = Chain(steps=(swapped, stump(3.5, "le")))
    for member, n_thresholds in ((selected, 1), (stump(3.5, "le"), 2)):
        both = regression(mean_of(second_column, member), n_features=2)
        assert tree_sizes(with_shared_thresholds(both, points([2, 2], [4, 4]))).n_thresholds == n_thresholds
    apart = mean_of(stump(3, "le"), Chain(steps=(scaled, stump(3.5, "le"))))
    other = with_shared_thresholds(regression(apart, n_features=2), points([2, 0], [4, 0]))
    assert tree_sizes(other).n_thresholds == 2


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p, X: pruned(p, X, 0), "min_samples=0 is no number of rows; use a whole number from 1 on"),
        (lambda p, X: pruned(p, X, 2.5), r"min_samples=2\.5 is no number of rows"),
        (lambda p, X: thinned(p, X, 1.5), r"share=1\.5 is no share; use a number from 0 to 1"),
        (lambda p, X: thinned(p, X, "half"), "share='half' is no share"),
        (lambda p, X: with_trees(p, X, 0), "share=0 keeps no tree, and every table needs one; use a share above 0"),
        (lambda p, X: with_trees(p, X, NAN), "share=.*nan.* is no share"),
        (lambda p, _: with_merged_leaves(p, 0), "bits=0 makes no grid of leaves; use a whole number from 1 to 16"),
        (lambda p, _: with_merged_leaves(p, 17), "bits=17 makes no grid"),
        (lambda p, X: with_shared_thresholds(p, X, -1), "reach=-1 is no share; use a number from 0 to 1"),
        (lambda p, X: refitted(p, p, X, ridge=-1), "ridge=-1 is no number of rows; use a finite number from 0 on"),
        (
            lambda p, X: refitted(p, regression(dense(1, 1)), X),
            r"reference has tables of \[\] outputs, and program of \[1\]",
        ),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    """The message names the value, the rule and the remedy."""
    with pytest.raises(InvalidInputError, match=message):
        call(regression(stump(0.5, "le")), np.zeros((2, 1), np.float32))


def test_integer_programs_are_not_compressed():
    """The float program comes first, then its integers."""
    data = sample("binary")
    program = forest(random_state=0).fit(data.X, data.y).quantize("int8", data.X).program
    with pytest.raises(UnsupportedModelError, match="integer already; compress the float model it came from"):
        pruned(program, data.X.astype(np.float32))
