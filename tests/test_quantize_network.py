"""Networks in integers: what their codes and their changes of scale look like, alone and beside other members."""

import numpy as np
from small_nodes import layer, regression, stump

from ensemble_1d.ir import Affine, Chain, Combine, IntegerDense, Requantize, Select, descendants
from ensemble_1d.quantization.programs import quantize_program
from ensemble_1d.runtime import run
from ensemble_1d.runtime_integer import quantize


def standardised(X, *layers):
    """Return a regression of layers on standardised features."""
    spread = X.std(axis=0)
    scale = (1 / np.where(spread > 0, spread, 1)).astype(np.float32)
    return regression(Affine(offset=X.mean(axis=0), scale=scale), *layers, n_features=X.shape[1])


def test_the_codes_of_a_network_alone_are_its_activations():
    """No change of scale stands before its first layer: a step of a code is a step of the standardised feature."""
    rng = np.random.default_rng(0)
    X = (rng.normal(size=(200, 6)) * [1, 1e-3, 1e3, 1, 5, 0] + [0, 5, -1e4, 1e5, 2, 7]).astype(np.float32)
    weight = rng.normal(size=(5, 6)).astype(np.float32)
    program = standardised(X, layer(weight, np.ones(5), "relu"), layer(np.ones((1, 5)), [0]))
    done = quantize_program(program, X, "int8")
    first, hidden, *_ = done.program.root.steps
    assert isinstance(hidden, IntegerDense)
    scaled = (X - X.mean(axis=0)) / np.where(X.std(axis=0) > 0, X.std(axis=0), 1)
    limit = 4 * np.abs(scaled[:, :5]).max()
    assert np.abs(quantize(first, X)[:, :5] / 32767 * limit - scaled[:, :5]).max() < 1.1 * limit / 32767 + 1e-2
    assert not hidden.weight[:, 5].any()
    assert np.abs(run(done.program, X) - run(program, X)).max() < 0.02 * np.abs(run(program, X)).max()


def test_other_networks_keep_the_range_of_their_codes():
    """Beside trees, on some of the features, or where 16 bits are too many, a change of scale stands before a layer."""
    X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)
    wide = layer(np.random.default_rng(1).normal(size=(1, 600)).astype(np.float32), [0])
    some = Chain(steps=(Select(column=np.array([2, 0], np.int32)), layer([[1, 2]], [0])))
    beside = Combine(members=(stump(0.0, "lt"), layer([[1, 2, 3]], [0])), weights=np.array([0.5, 0.5]), rule="mean")
    for program, rows_of in (
        (regression(some, n_features=3), X),
        (regression(beside, n_features=3), X),
        (regression(wide, n_features=600), np.ones((5, 1), np.float32) * np.arange(600, dtype=np.float32)),
    ):
        nodes = [type(node) for node in descendants(quantize_program(program, rows_of, "int8").program.root)]
        assert nodes.index(Requantize) < nodes.index(IntegerDense)


def test_layers_of_few_bits_share_their_shifts():
    """In 8 bits one shift serves all columns of a hidden layer, in 16 each has the most exact one."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(100, 8)).astype(np.float32)
    weight = (rng.normal(size=(12, 8)) * np.exp(rng.normal(size=(12, 8)) * 2)).astype(np.float32)
    weight[0, 1:] = 0
    program = standardised(X, layer(weight, np.zeros(12), "relu"), layer(np.ones((1, 12)), [0]))
    for mode, is_common in (("int8", True), ("int16", False)):
        steps = quantize_program(program, X, mode).program.root.steps
        place = next(k for k, step in enumerate(steps) if isinstance(step, IntegerDense)) + 1
        shifts = set(zip(steps[place].shift_in.tolist(), steps[place].shift_out.tolist(), strict=True))
        assert (len(shifts) == 1) is is_common
        assert np.abs(steps[place].multiplier).max() > 1000
