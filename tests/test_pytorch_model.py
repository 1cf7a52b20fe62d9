"""What is particular to PyTorchModel: how it trains, when it stops, and what it needs of torch."""

import pickle

import numpy as np
import pytest
from checks_program import network_outputs
from isolation import run_python
from samples import network, outputs, sample, sample_of

from ensemble_1d import InvalidInputError, MissingBackendError, Predictor
from ensemble_1d.ir import Affine, Dense
from ensemble_1d.runtime import run

torch = pytest.importorskip("torch")

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU")
without_gpu = pytest.mark.skipif(torch.cuda.is_available(), reason="torch sees a GPU")


@pytest.mark.parametrize(
    ("parameters", "rule"),
    [
        ({"hidden_layer_sizes": (8, 0)}, r"hidden_layer_sizes=\(8, 0\) is out of range; use positive widths"),
        ({"dropout": 1.0}, r"dropout=1.0 is out of range; use a share in \[0, 1\)"),
        ({"dropout": -0.1}, r"dropout=-0.1 is out of range"),
        ({"dropout": float("nan")}, "dropout=nan is out of range"),
        ({"weight_decay": -1}, "weight_decay=-1 is out of range; use a number >= 0"),
        ({"learning_rate": 0}, "learning_rate=0 is out of range; use a number > 0"),
        ({"batch_size": 0}, "batch_size=0 is out of range; use an integer >= 1"),
        ({"max_epochs": 0}, "max_epochs=0 is out of range; use an integer >= 1"),
        ({"validation_fraction": 1.0}, r"validation_fraction=1.0 is out of range; use a share in \(0, 1\)"),
        ({"n_iter_no_change": 0}, "n_iter_no_change=0 is out of range; use an integer >= 1"),
        ({"device": "tpu"}, "device='tpu' is unknown; use 'auto', 'cpu' or 'cuda'"),
    ],
    ids=str,
)
def test_parameter_out_of_range_is_refused_with_its_rule(binary, parameters, rule):
    """The message names the parameter, its value and the rule."""
    with pytest.raises(InvalidInputError, match=rule):
        network(**parameters).fit(binary.X, binary.y)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("hidden_layer_sizes", 64),
        ("hidden_layer_sizes", (8.5,)),
        ("hidden_layer_sizes", "wide"),
        ("batch_size", 1.5),
        ("max_epochs", 2.5),
        ("learning_rate", "fast"),
        ("n_iter_no_change", None),
    ],
    ids=str,
)
def test_parameter_of_another_kind_is_refused_with_its_rule(binary, name, value):
    """A value of another type is refused like one out of range, not by what fails on it first."""
    with pytest.raises(InvalidInputError, match=f"{name}="):
        network(**{name: value}).fit(binary.X, binary.y)


@without_gpu
def test_cuda_without_a_gpu_says_so(binary):
    """device="cuda" where torch sees no GPU names the remedy; "auto" is then the CPU."""
    with pytest.raises(MissingBackendError, match="torch sees none; use device='auto' or 'cpu'"):
        network(device="cuda").fit(binary.X, binary.y)
    on_cpu, automatic = (network(device=name, random_state=0).fit(binary.X, binary.y) for name in ("cpu", "auto"))
    assert np.array_equal(automatic.predict_proba(binary.X), on_cpu.predict_proba(binary.X))


@needs_gpu
@pytest.mark.parametrize("name", ["binary", "multiclass", "regression"])
def test_gpu_agrees_with_cpu(name):
    """The GPU draws the same weights, batches and dropout masks as the CPU; only rounding differs, and repeats."""
    data = sample(name)
    task = "regression" if name == "regression" else "classification"
    models = [
        network(task=task, device=device, dropout=0.1, max_epochs=10, random_state=0).fit(data.X, data.y)
        for device in ("cpu", "cuda", "cuda", "auto")
    ]
    on_cpu, *on_gpu = (outputs(model, data.X) for model in models)
    assert np.array_equal(on_gpu[0], on_gpu[1])
    assert np.array_equal(on_gpu[0], on_gpu[2])
    np.testing.assert_allclose(on_gpu[0], on_cpu, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("sizes", [(), (7,), [9, 5, 3], np.array([4, 4])], ids=str)
@pytest.mark.parametrize("name", ["binary", "multiclass", "regression"])
def test_any_number_of_hidden_layers(name, sizes):
    """The layers have the widths asked for, and compute what torch.nn.Linear and ReLU do."""
    data = sample(name)
    task = "regression" if name == "regression" else "classification"
    model = network(task=task, hidden_layer_sizes=sizes, random_state=0).fit(data.X, data.y)
    widths = [5, *sizes, 3 if name == "multiclass" else 1]
    assert [weight.shape for weight in model.coefs_] == list(zip(widths[1:], widths[:-1], strict=True))
    assert [bias.shape for bias in model.intercepts_] == [(width,) for width in widths[1:]]
    assert {array.dtype for array in (*model.coefs_, *model.intercepts_)} == {np.dtype(np.float32)}
    expected = network_outputs(model, data.X.astype(np.float32))
    size = max(1.0, np.abs(expected).max())
    np.testing.assert_allclose(run(model.program(), data.X.astype(np.float32)), expected, rtol=0, atol=1e-6 * size)


def test_inputs_are_standardised_inside(binary):
    """Mean and reciprocal deviation are those of the rows; the program starts with them."""
    X = binary.X.astype(np.float32).astype(np.float64)
    model = network(max_epochs=1).fit(X, binary.y)
    np.testing.assert_allclose(model.input_mean_, X.mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(model.input_scale_, 1 / X.std(axis=0), rtol=1e-6)
    affine, *layers = model.program().root.steps
    assert isinstance(affine, Affine)
    assert np.array_equal(affine.offset, model.input_mean_)
    assert [layer.activation for layer in layers if isinstance(layer, Dense)] == ["relu", "relu", "identity"]


def test_scale_and_offset_of_features_hardly_matter(binary):
    """Standardisation makes the network blind to units, within float32."""
    X = np.round(binary.X, 2)
    plain = network(random_state=0).fit(X, binary.y).predict_proba(X)
    other = X * [1024, 2.0**-20, 1, 4, 1] + [0, 0, 512, 0, 0]
    np.testing.assert_allclose(network(random_state=0).fit(other, binary.y).predict_proba(other), plain, atol=2e-3)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e6, -3e7])
def test_constant_feature_changes_nothing(binary, value):
    """A constant column has scale one, its rounding errors are not blown up, and the model stays finite."""
    X = np.column_stack([binary.X, np.full(len(binary.X), value)])
    model = network(random_state=0).fit(X, binary.y)
    assert model.input_scale_[5] == 1
    assert model.score(X, binary.y) > 0.8


def test_targets_with_a_large_offset_are_learned(regression):
    """Targets are standardised too: an offset of 1e5 costs float32 rounding, not the fit."""
    plain = network(task="regression", random_state=0).fit(regression.X, regression.y)
    offset = network(task="regression", random_state=0).fit(regression.X, regression.y + 1e5)
    difference = offset.predict(regression.X) - 1e5 - plain.predict(regression.X)
    assert np.abs(difference).max() < 0.05  # float32 resolves 1e5 in steps of 0.008.
    assert offset.score(regression.X, regression.y + 1e5) > 0.4
    tiny = network(task="regression", random_state=0).fit(regression.X, regression.y * 1e-12)
    np.testing.assert_allclose(tiny.predict(regression.X) * 1e12, plain.predict(regression.X), rtol=1e-3, atol=0.05)


def test_loss_decreases(multiclass):
    """The loss of the last epoch is far below that of the first, and one is kept for each epoch."""
    model = network(random_state=0).fit(multiclass.X, multiclass.y)
    assert len(model.loss_curve_) == model.n_iter_ == model.best_iteration_ == 30
    assert model.loss_curve_[-1] < 0.5 * model.loss_curve_[0]
    assert model.loss_curve_[0] == pytest.approx(np.log(3), rel=0.3)
    assert model.validation_loss_curve_ == []


def test_early_stopping_stops_and_keeps_the_best_epoch(regression):
    """Training ends n_iter_no_change epochs after the best one, and the weights are those of the best."""
    parameters = {"task": "regression", "early_stopping": True, "validation_fraction": 0.25, "random_state": 0}
    model = network(max_epochs=500, n_iter_no_change=7, **parameters).fit(regression.X, regression.y)
    losses = model.validation_loss_curve_
    assert model.n_iter_ == len(losses) == len(model.loss_curve_) < 500
    assert model.best_iteration_ == 1 + int(np.argmin(losses)) == model.n_iter_ - 7
    stopped = network(max_epochs=model.best_iteration_, n_iter_no_change=500, **parameters)
    stopped.fit(regression.X, regression.y)
    assert np.array_equal(stopped.predict(regression.X), model.predict(regression.X))


def test_early_stopping_stops_where_the_loss_stays_the_same(binary):
    """A loss that does not fall is no improvement: with steps of nothing, training ends after n_iter_no_change."""
    model = network(early_stopping=True, learning_rate=1e-30, n_iter_no_change=3, max_epochs=50)
    model.fit(binary.X, binary.y)
    assert len(set(model.validation_loss_curve_)) == 1
    assert (model.best_iteration_, model.n_iter_) == (1, 4)


def test_class_of_one_row_does_not_stop_early_stopping(binary):
    """A class of a single row cannot be split by class, so rows are held out at random."""
    y = np.where(np.arange(120) == 60, "rare", "common").astype(object)
    model = network(early_stopping=True, random_state=0).fit(binary.X, y)
    assert np.isfinite(model.predict_proba(binary.X)).all()


def test_dropout_and_weight_decay_act(regression):
    """Dropout raises the training loss but is off in predict; weight decay shrinks the weights."""
    plain, dropped, decayed = (
        network(task="regression", random_state=0, **parameters).fit(regression.X, regression.y)
        for parameters in ({}, {"dropout": 0.5}, {"weight_decay": 10.0})
    )
    assert dropped.loss_curve_[-1] > plain.loss_curve_[-1]
    assert np.array_equal(dropped.predict(regression.X), dropped.predict(regression.X))
    assert np.abs(decayed.coefs_[0]).mean() < 0.5 * np.abs(plain.coefs_[0]).mean()


def test_batches_larger_than_the_rows_are_one_batch(binary):
    """A batch of more rows than there are is all of them."""
    exact, large = (network(batch_size=size, random_state=0).fit(binary.X, binary.y) for size in (120, 10_000))
    assert np.array_equal(exact.predict_proba(binary.X), large.predict_proba(binary.X))
    small = network(batch_size=7, random_state=0).fit(binary.X, binary.y)
    assert not np.array_equal(small.predict_proba(binary.X), large.predict_proba(binary.X))


def test_diverging_training_is_an_error(regression):
    """A loss that is no number any more stops the fit with the remedy."""
    with pytest.raises(InvalidInputError, match=r"training diverged: the loss is .* lower learning_rate=1e\+30"):
        network(task="regression", learning_rate=1e30).fit(regression.X, regression.y)


def test_values_too_far_from_the_mean_are_an_error(binary):
    """A finite value that would overflow the first layer is refused by its place."""
    model = network().fit(binary.X, binary.y)
    X = binary.X.copy()
    X[7, 4] = -1e30
    with pytest.raises(InvalidInputError, match=r"X\[7, 4\] = -1.*e\+30 is too many standard deviations from the mean"):
        model.predict_proba(X)


def test_number_of_threads_is_restored(binary):
    """Both fit and predict bound torch's threads for themselves alone, also where they fail."""
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        model = network(n_jobs=2).fit(binary.X, binary.y)
        model.predict(binary.X)
        assert torch.get_num_threads() == 3
        with pytest.raises(InvalidInputError):
            network(learning_rate=1e30).fit(binary.X, binary.y)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_global_settings_of_torch_do_not_matter(task):
    """A default dtype of float64, or a caller that has turned gradients off, changes not one bit."""
    data = sample_of(network(task=task))
    expected = outputs(network(task=task, dropout=0.2, random_state=0).fit(data.X, data.y), data.X)
    torch.set_default_dtype(torch.float64)
    try:
        double = outputs(network(task=task, dropout=0.2, random_state=0).fit(data.X, data.y), data.X)
    finally:
        torch.set_default_dtype(torch.float32)
    assert np.array_equal(double, expected)


def test_default_device_of_torch_does_not_matter(binary):
    """`device` decides where to train: torch's default device, here one that holds no numbers, does not."""
    parameters = {"dropout": 0.2, "early_stopping": True, "random_state": 0}
    expected = network(**parameters).fit(binary.X, binary.y).predict_proba(binary.X)
    with torch.device("meta"):
        elsewhere = network(**parameters).fit(binary.X, binary.y).predict_proba(binary.X)
    assert np.array_equal(elsewhere, expected)


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_callers_without_gradients_can_fit(binary, mode):
    """Training turns gradients on for itself."""
    expected = network(random_state=0).fit(binary.X, binary.y).predict_proba(binary.X)
    with mode():
        inside = network(random_state=0).fit(binary.X, binary.y).predict_proba(binary.X)
    assert np.array_equal(inside, expected)


def test_fitted_network_needs_torch_for_predictions_alone(multiclass):
    """Without torch a fitted network is unpickled, lowered and quantized; predict names the command."""
    model = network(random_state=0).fit(multiclass.X, multiclass.y)
    code = """
import pickle
from ensemble_1d import MissingBackendError, Predictor
model, X = pickle.load(sys.stdin.buffer)
answer = Predictor(model.program()).predict_proba(X), model.quantize("int8", X).predict(X)
try:
    model.predict(X)
except MissingBackendError as error:
    sys.stdout.buffer.write(pickle.dumps((*answer, str(error))))
"""
    done = run_python(code, blocked=["torch", "xgboost"], data=pickle.dumps((model, multiclass.X)))
    probabilities, labels, message = pickle.loads(done.stdout)  # noqa: S301
    assert np.array_equal(probabilities, Predictor(model.program()).predict_proba(multiclass.X))
    assert np.mean(labels == model.predict(multiclass.X)) > 0.95
    assert message == (
        'PyTorchModel.predict needs torch, which is not installed. Install it with: pip install "ensemble-1d[torch]"'
    )


def test_extreme_targets_stay_finite(regression):
    """A single row, and targets that are all equal but for one, are learned without a warning."""
    y = np.zeros(120)
    y[3] = 1e-3
    predicted = network(task="regression", random_state=0).fit(regression.X, y).predict(regression.X)
    assert np.isfinite(predicted).all()
    assert np.abs(predicted).max() < 1e-2
