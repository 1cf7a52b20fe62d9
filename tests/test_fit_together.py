"""Networks trained side by side are those trained alone, within float32 sums in another order."""

import numpy as np
import pytest
from samples import network, outputs, sample

from ensemble_1d import InvalidInputError
from ensemble_1d.models import pytorch_training

pytest.importorskip("torch")

SIZES = (110, 97, 120, 60, 97)


def parts(name, *, weighted=False):
    """Return the arguments of several fits on rows that overlap, of unequal number."""
    data = sample(name)
    rng = np.random.default_rng(0)
    found = []
    for size in SIZES:
        rows = rng.permutation(len(data.X))[:size]
        weight = rng.uniform(0.2, 2, size) if weighted else None
        found.append({"X": data.X[rows], "y": data.y[rows], "sample_weight": weight})
    return found


def compare(data, **parameters):
    """Fit networks together and alone, and return both."""

    def make():
        return [
            network(**({"max_epochs": 5, "batch_size": 16, "random_state": i} | parameters)) for i in range(len(data))
        ]

    together, alone = make(), make()
    type(together[0]).fit_together(together, data)
    for model, each in zip(alone, data, strict=True):
        model.fit(**each)
    return together, alone


def assert_same(together, alone, X):
    """Both have the same state, and nearly the same weights."""
    for first, second in zip(together, alone, strict=True):
        assert set(vars(first)) == set(vars(second))
        for name in ("coefs_", "intercepts_"):
            for one, two in zip(getattr(first, name), getattr(second, name), strict=True):
                np.testing.assert_allclose(one, two, rtol=2e-3, atol=2e-3 * np.abs(two).max() + 1e-6)
        np.testing.assert_allclose(first.loss_curve_, second.loss_curve_, rtol=1e-4)
        np.testing.assert_allclose(outputs(first, X), outputs(second, X), rtol=5e-3, atol=5e-3)
        assert (first.n_iter_, first.best_iteration_) == (second.n_iter_, second.best_iteration_)


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("name", ["binary", "multiclass", "regression"])
def test_networks_side_by_side_equal_those_alone(name, weighted, dropout):
    """Unequal numbers of rows, weights and dropout: each network draws from its own generator."""
    data = parts(name, weighted=weighted)
    task = "regression" if name == "regression" else "classification"
    together, alone = compare(data, task=task, dropout=dropout)
    assert_same(together, alone, sample(name).X)
    assert not np.array_equal(together[0].coefs_[0], together[1].coefs_[0])


def test_weights_may_be_given_for_some(binary):
    """A network without weights beside one with them has equal ones."""
    data = parts("binary")
    data[1]["sample_weight"] = np.linspace(0.5, 2, SIZES[1])
    assert_same(*compare(data), binary.X)


def test_networks_of_other_classes_are_trained_too(multiclass):
    """Two classes have one logit, three have three: such networks have other shapes, and are trained apart."""
    two = multiclass.y < 2
    data = [
        {"X": multiclass.X, "y": multiclass.y},
        {"X": multiclass.X[two], "y": multiclass.y[two]},
        {"X": multiclass.X[~two | (multiclass.y == 0)], "y": multiclass.y[~two | (multiclass.y == 0)]},
    ]
    together, alone = compare(data)
    assert [len(model.classes_) for model in together] == [3, 2, 2]
    assert_same(together, alone, multiclass.X)


@pytest.mark.parametrize("given", [False, True])
def test_each_network_stops_by_itself(binary, given):
    """One that has stopped keeps its best epoch, while the others go on."""
    data = parts("binary")
    if given:
        data = [each | {"X_val": binary.X[:40], "y_val": binary.y[:40]} for each in data]
    together, alone = compare(data, early_stopping=True, n_iter_no_change=2, max_epochs=40, learning_rate=0.1)
    assert len({model.n_iter_ for model in alone}) > 1
    for first, second in zip(together, alone, strict=True):
        assert len(first.validation_loss_curve_) == first.n_iter_ <= 40
        early = min(5, first.n_iter_, second.n_iter_)
        np.testing.assert_allclose(
            first.validation_loss_curve_[:early], second.validation_loss_curve_[:early], rtol=2e-2
        )
        assert first.best_iteration_ == 1 + int(np.argmin(first.validation_loss_curve_))


def test_failures_leave_every_network_as_it_was(binary):
    """Wrong rows of one, or a loss that is not finite, and none of the networks is fitted or changed."""
    data = parts("binary")
    models = [network(max_epochs=2, random_state=i) for i in range(3)]
    models[0].fit(**data[0])
    before = [dict(vars(model)) for model in models]
    wrong = [data[0], data[1] | {"y": np.zeros(SIZES[1])}, data[2]]
    with pytest.raises(InvalidInputError, match="one class only"):
        type(models[0]).fit_together(models, wrong)
    assert [dict(vars(model)) for model in models] == before
    wild = [network(learning_rate=1e30) for _ in range(2)]
    with pytest.raises(InvalidInputError, match="training diverged"):
        type(wild[0]).fit_together(wild, data[:2])
    assert not any(hasattr(model, "coefs_") for model in wild)


def test_only_networks_of_as_many_steps_are_trained_side_by_side(binary, monkeypatch):
    """Networks are grouped by the number of batches in an epoch, and come back in their order."""
    groups = []
    inner = pytorch_training._train_side_by_side

    def noted(torch, tasks, options):
        groups.append([len(task.rows.X) for task in tasks])
        return inner(torch, tasks, options)

    monkeypatch.setattr(pytorch_training, "_train_side_by_side", noted)
    together, _ = compare(parts("binary"), batch_size=16)
    side_by_side = groups[: len(groups) - len(SIZES)]
    assert side_by_side == [[110, 97, 97], [120], [60]]
    assert [len(model.loss_curve_) for model in together] == [5] * 5
