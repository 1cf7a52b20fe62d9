"""Meta-models in integers: layers, links and logarithms over members, whatever their scale, and over features."""

import dataclasses

import numpy as np
import pytest
from samples import boosting, forest, network
from sklearn.datasets import load_breast_cancer, load_diabetes, load_wine
from small_nodes import classification, layer, regression, stump, votes

from ensemble_1d.ir import Affine, Chain, Combine, Concat, IntegerLog, Link, Log, Select, descendants
from ensemble_1d.quantization.programs import quantize_program
from ensemble_1d.runtime import run

RNG = np.random.default_rng(0)
ROWS = RNG.normal(size=(400, 3)).astype(np.float32)
ROWS.flags.writeable = False
SOFTMAX, FLOOR = Link(kind="softmax"), 2.0**-15
SQUARE = RNG.normal(size=(5, 3, 3)) * 2
STANDARD = Affine(offset=np.array([0.2, -0.1, 0], np.float32), scale=np.array([1, 0.5, -2], np.float32))


def linear(i):
    """Return one of five layers of three scores."""
    return layer(SQUARE[i], SQUARE[i, 0] / 4)


def classifier(i):
    """Return one of five networks of one layer."""
    return Chain(steps=(linear(i), SOFTMAX))


def combined(*members, rule="mean"):
    return Combine(members=members, weights=np.full(len(members), 1 / len(members)), rule=rule)


def beside(*members, **fields):
    return Concat(members=members, **fields)


def compare(program, X, mode):
    """Return float outputs, integer outputs, and whether both give the same label where the float margin is clear."""
    before, after = run(program, X), run(quantize_program(program, X, mode).program, X)
    if program.classes is None:
        return before, after, True
    first, second = np.sort(before, axis=1)[:, :-3:-1].T
    clear = first - second > 0.05
    return before, after, bool((before.argmax(axis=1) == after.argmax(axis=1))[clear].all())


# ---------------------------------------------------------------- any chain of layers and links


CHAINS = {
    "mean -> link": (combined(linear(0), linear(1)), SOFTMAX),
    "mean of a mean -> link": (combined(linear(0), combined(linear(1), linear(2))), SOFTMAX),
    "mean of a vote -> link": (combined(linear(0), combined(linear(1), linear(2), rule="vote")), SOFTMAX),
    "mean of a vote of large scores -> link": (
        combined(
            linear(0), combined(layer(SQUARE[1] * 1e4, [0, 0, 0]), layer(SQUARE[2] * 1e4, [0, 0, 0]), rule="vote")
        ),
        SOFTMAX,
    ),
    "vote of scores": (combined(linear(0), linear(1), linear(2), rule="vote"),),
    "mean of probabilities -> link": (combined(classifier(0), classifier(1)), SOFTMAX),
    "mean -> log -> link": (combined(classifier(0), classifier(1)), Log(floor=FLOOR), SOFTMAX),
    "vote -> log -> link": (combined(classifier(0), classifier(1), rule="vote"), Log(floor=0.01), SOFTMAX),
    "mean -> dense -> link": (combined(classifier(0), classifier(1)), linear(2), SOFTMAX),
    "trees -> dense -> link": (votes(1, 2, vector=True), layer([[3, 0], [0, 1], [1, 1]], [0, 0, 0]), SOFTMAX),
    "trees -> link -> dense -> link": (
        stump(0.0, "lt"),
        Link(kind="sigmoid"),
        layer(SQUARE[0, :, :2], [0, 0, 0]),
        SOFTMAX,
    ),
    "dense -> link -> dense -> link": (linear(0), SOFTMAX, linear(1), SOFTMAX),
    "affine -> link": (STANDARD, SOFTMAX),
    "dense -> affine -> link": (linear(0), STANDARD, SOFTMAX),
    "dense -> affine -> dense -> link": (linear(0), STANDARD, linear(1), SOFTMAX),
    "dense -> link -> log -> link": (linear(0), SOFTMAX, Log(floor=FLOOR), SOFTMAX),
    "link of features": (SOFTMAX,),
    "concat of logs -> dense -> link": (
        beside(*(Chain(steps=(classifier(i), Log(floor=FLOOR))) for i in range(2))),
        layer(np.hstack([np.eye(3), np.eye(3)]) / 2, [0, 0, 0]),
        SOFTMAX,
    ),
    "concat of single classes -> link": (
        beside(*(Chain(steps=(classifier(i), layer([np.eye(3)[i]], [0]))) for i in range(3))),
        SOFTMAX,
    ),
    "concat in a concat -> dense -> link": (
        beside(beside(classifier(0), STANDARD), combined(classifier(1), classifier(2))),
        layer(np.hstack([np.eye(3) * 3, np.eye(3), np.eye(3) * 3]), [0, 0, 0]),
        SOFTMAX,
    ),
    "concat as a member": (combined(Chain(steps=(beside(STANDARD), linear(0), SOFTMAX)), classifier(1)),),
}


@pytest.mark.parametrize("name", CHAINS)
def test_chains_of_layers_and_links_keep_their_answers(name):
    """In 16 bits no probability is off by more than 0.01, and no clear label changes."""
    program = classification(*CHAINS[name], classes=np.arange(3), n_features=3)
    before, after, same = compare(program, ROWS, "int16")
    assert same
    np.testing.assert_allclose(after, before, atol=0.01)


def test_features_pass_through_by_selection_and_affine():
    """Of three features, the last and the first, beside a member; a further tree needs a column of its own."""
    passed = Chain(
        steps=(Select(column=np.array([2, 0], np.int32)), Affine(offset=STANDARD.offset[:2], scale=STANDARD.scale[:2]))
    )
    root = beside(stump(0.1, "lt"), passed, classifier(0))
    program = classification(
        root, layer(RNG.normal(size=(3, 6)), [0, 0, 0]), SOFTMAX, classes=np.arange(3), n_features=3
    )
    for mode, tolerance in (("int16", 0.002), ("int8", 0.03)):
        before, after, same = compare(program, ROWS, mode)
        assert same
        np.testing.assert_allclose(after, before, atol=tolerance)


@pytest.mark.parametrize("temperature", [0.25, 1.0, 4.0])
def test_a_temperature_keeps_every_label_and_its_probabilities(temperature):
    """Labels are those of the scores; a probability of p can only be off as far as Q15 blurs p itself."""
    program = classification(
        linear(0), SOFTMAX, Log(floor=FLOOR, scale=1 / temperature), SOFTMAX, classes=np.arange(3), n_features=3
    )
    before, after, same = compare(program, ROWS, "int16")
    assert same
    # d(p**s) at p = 2**-15, half a step wide, is what a flatter temperature could make of the smallest probabilities.
    np.testing.assert_allclose(after, before, atol=max(0.005, FLOOR ** (1 / temperature) / 2))


def test_the_floor_of_a_logarithm_becomes_that_of_q15():
    """A floor below 2**-15 becomes 2**-15, any other the nearest step, and one stays one."""
    for floor, expected in ((1e-9, 1), (FLOOR, 1), (0.01, 328), (1.0, 32768)):
        program = classification(linear(0), SOFTMAX, Log(floor=floor), SOFTMAX, classes=np.arange(3), n_features=3)
        integer = quantize_program(program, ROWS, "int8").program
        (found,) = [node.floor for node in descendants(integer.root) if isinstance(node, IntegerLog)]
        assert found == expected


# ---------------------------------------------------------------- columns of any scale


@pytest.mark.parametrize("center", [0.0, 1e2, 1e4, 1e6, -1e6])
@pytest.mark.parametrize("hidden", [False, True])
def test_members_far_from_zero_keep_their_differences(center, hidden):
    """A meta-model sees what members differ in, however far from zero they lie: within 0.2 % of the range."""
    members = [layer(RNG.normal(size=(1, 3)), [center]) for _ in range(3)]
    over = layer([[0.3, 0.3, 0.4]], [0.0])
    if hidden:
        above = layer([[0.5, 0.5, 0.0], [0, 0.5, 0.5]], [-center, -center], "relu")
        over = Chain(steps=(above, layer([[1, 1]], [center])))
    program = regression(beside(*members), over, n_features=3)
    before, after, _ = compare(program, ROWS, "int16")
    assert np.abs(after - before).max() < 0.002 * np.ptp(before)


@pytest.mark.parametrize("size", [1e-6, 1.0, 1e2, 1e4, 1e6])
def test_features_of_any_magnitude_pass_through_beside_probabilities(size):
    """Neither the features drown the probabilities, nor these the features."""
    passed = Affine(offset=np.zeros(3, np.float32), scale=np.full(3, size, np.float32))
    weight = np.hstack([SQUARE[0], SQUARE[1] / size])
    program = classification(
        beside(classifier(2), passed), layer(weight, [0, 0, 0]), SOFTMAX, classes=np.arange(3), n_features=3
    )
    before, after, same = compare(program, ROWS, "int16")
    assert same
    np.testing.assert_allclose(after, before, atol=0.003)


def test_a_probability_that_the_calibration_rows_never_reach_is_not_cut_off():
    """A member that is sure of a class on every calibration row may change its mind on another row."""
    member = Chain(steps=(layer([[4.0], [-4.0]], [0, 0]), SOFTMAX))
    program = classification(beside(member), layer([[2, 0], [0, 2]], [0, 0]), SOFTMAX, classes=np.arange(2))
    X = np.linspace(1, 3, 50, dtype=np.float32)[:, np.newaxis]
    integer = quantize_program(program, X, "int16").program
    beyond = np.array([[0.3], [0.0], [-0.3]], np.float32)
    np.testing.assert_allclose(run(integer, beyond), run(program, beyond), atol=0.003)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_one_calibration_row_is_enough(task):
    """It gives columns no range: they keep what they could be, and the row its answer."""
    if task == "regression":
        root = (beside(stump(0.0, "lt"), layer([[1, 2, 3]], [100])), layer([[0.5, 0.5]], [1]))
        program = regression(*root, n_features=3)
    else:
        root = (beside(classifier(0), STANDARD), layer(np.hstack([np.eye(3), np.eye(3)]), [0, 0, 0]), SOFTMAX)
        program = classification(*root, classes=np.arange(3), n_features=3)
    before, after, same = compare(program, ROWS[:1], "int16")
    assert same
    np.testing.assert_allclose(after, before, atol=0.003, rtol=1e-3)


def test_missing_values_reach_trees_below_a_meta_model():
    """Layers over trees alone never see a NaN: the program takes it, and so do its integers."""
    table = dataclasses.replace(stump(0.0, "lt"), default_left=np.array([True]))
    member = Chain(steps=(table, Link(kind="sigmoid")))
    program = classification(
        beside(member, member), layer([[1, 0, 1, 0], [0, 2, 0, 2]], [0, 0]), SOFTMAX, classes=np.arange(2)
    )
    X = np.array([[-1], [1], [np.nan]], np.float32)
    assert program.accepts_missing
    integer = quantize_program(program, X, "int8").program
    assert integer.accepts_missing
    found = run(integer, X)
    np.testing.assert_allclose(found, run(program, X), atol=0.002)
    assert found[2].tolist() == found[0].tolist() != found[1].tolist()


# ---------------------------------------------------------------- stacks of trained members


def standardised(X):
    """Return float32 columns of mean 0 and deviation 1."""
    return ((X - X.mean(axis=0)) / X.std(axis=0)).astype(np.float32)


def member_programs(X, y, task):
    """Return the programs of a forest, boosted trees and a network."""
    pytest.importorskip("xgboost")
    pytest.importorskip("torch")
    made = (forest, boosting, network)
    return [make(task=task, random_state=0).fit(X, y).program().root for make in made]


@pytest.mark.parametrize("loader", [load_breast_cancer, load_wine], ids=["binary", "multiclass"])
@pytest.mark.parametrize("form", ["logarithms", "probabilities", "passthrough"])
def test_a_stack_of_classifiers_in_8_bits_is_the_float_one(loader, form):
    """Labels agree on 99 % of all rows, and probabilities within 0.01 on the calibration rows.

    Beyond these a row may lie between a threshold and its integer cut, and a tree of eight votes otherwise.
    """
    X, y = loader(return_X_y=True)
    X = standardised(X[:, :8])
    order = np.random.default_rng(0).permutation(len(X))
    train = order[: len(X) // 2]
    roots = member_programs(X[train], y[train], "classification")
    n_classes = len(np.unique(y))
    columns = [Chain(steps=(root, Log(floor=FLOOR))) if form == "logarithms" else root for root in roots]
    scale = 0.4 if form == "logarithms" else 3.0
    noise = np.random.default_rng(1).normal(size=(n_classes, 3 * n_classes)) * 0.05
    weight = scale * (np.hstack([np.eye(n_classes)] * 3) + noise)
    if form == "passthrough":
        columns.append(Affine(offset=np.zeros(8, np.float32), scale=np.ones(8, np.float32)))
        weight = np.hstack([weight, np.random.default_rng(2).normal(size=(n_classes, 8)) * 0.3])
    steps = (beside(*columns, names=("a", "b", "c", "d")[: len(columns)]), layer(weight, np.zeros(n_classes)), SOFTMAX)
    program = classification(*steps, classes=np.arange(n_classes), n_features=8)
    integer = quantize_program(program, X[train], "int8").program
    before, after = run(program, X), run(integer, X)
    assert (before.argmax(axis=1) == after.argmax(axis=1)).mean() >= 0.99
    np.testing.assert_allclose(after[train], before[train], atol=0.01)


@pytest.mark.parametrize("passthrough", [False, True])
def test_a_stack_of_regressors_in_8_bits_is_the_float_one(passthrough):
    """Values differ by less than 1 % of their deviation on the average, and 5 % at most."""
    X, y = load_diabetes(return_X_y=True)
    X = standardised(X)
    train = np.random.default_rng(0).permutation(len(X))[: len(X) // 2]
    columns = member_programs(X[train], y[train], "regression")
    weight = [0.3, 0.3, 0.4]
    if passthrough:
        columns.append(Affine(offset=np.zeros(10, np.float32), scale=np.ones(10, np.float32)))
        weight = [*weight, *np.linspace(-5, 5, 10)]
    program = regression(beside(*columns), layer([weight], [2.5]), n_features=10)
    integer = quantize_program(program, X[train], "int8").program
    difference = np.abs(run(integer, X) - run(program, X)) / run(program, X).std()
    assert difference.mean() < 0.01
    assert difference.max() < 0.05
