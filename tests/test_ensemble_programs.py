"""Programs of ensembles: every rule, task and option computes what predict does, in floats, integers and C."""

import numpy as np
import pytest
from samples import boosting, forest, linear, network, outputs, sample
from sklearn.model_selection import KFold

from ensemble_1d import Ensemble, Predictor
from ensemble_1d.ir import Chain, Concat, Log, descendants
from ensemble_1d.runtime import run

ANY_TASK = [
    {"combine": "soft"},
    {"combine": "optimized"},
    {"combine": "greedy"},
    {"combine": "stacking"},
    {"combine": "stacking", "passthrough": True},
    {"combine": "stacking", "refit": "average"},
]
CLASSES_ONLY = [
    {"combine": "hard"},
    {"combine": "soft", "calibrate": True},
    {"combine": "hard", "calibrate": True},
    {"combine": "stacking", "calibrate": True, "passthrough": True, "refit": "average"},
]
CASES = [(task, options) for task in ("binary", "multiclass", "regression") for options in ANY_TASK]
CASES += [(task, options) for task in ("binary", "multiclass") for options in CLASSES_ONLY]


def labels_or_values(model, X):
    """Return probabilities of shape (n_samples, n_classes), or values of shape (n_samples, 1)."""
    return outputs(model, X).reshape(len(X), -1)


def ensemble_of(name, **options):
    """Return an ensemble of a forest and a linear model for a data set."""
    task = "regression" if name == "regression" else "classification"
    members = [("wood", forest(task=task)), ("line", linear(task))]
    return Ensemble(members, task=task, **({"cv": 3, "random_state": 0} | options))


@pytest.mark.parametrize(("name", "options"), CASES, ids=str)
def test_programs_are_the_ensemble(name, options):
    """The float program agrees within float32 rounding of coefficients, and the int8 one nearly always."""
    X, y = sample(name).X.astype(np.float32), sample(name).y
    ensemble = ensemble_of(name, **options).fit(X, y)
    program = ensemble.program()
    size = np.abs(outputs(ensemble, X)).max()
    np.testing.assert_allclose(run(program, X), labels_or_values(ensemble, X), rtol=0, atol=1e-4 * size)
    if name != "regression" and options["combine"] != "hard":
        assert np.mean(Predictor(program).predict(X) == ensemble.predict(X)) == 1
    assert ensemble.quantize("int8", X, y).report.agreement >= (0.9 if name == "regression" else 0.95)


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("multiclass", {"calibrate": True, "passthrough": True}),
        ("binary", {"combine": "hard", "calibrate": True}),
        ("regression", {"passthrough": True, "refit": "average"}),
    ],
    ids=str,
)
def test_c_is_the_integer_program(name, options):
    """The header compiles, and gives the integers of Python for every row."""
    X, y = sample(name).X.astype(np.float32), sample(name).y
    predictor = ensemble_of(name, **options).fit(X, y).quantize("int8", X, y)
    assert predictor.verify_c(X).n_different == 0


def test_averages_of_folds_align_their_classes():
    """A fold that never saw a class gives it probability zero, in the average and in its program."""
    data = sample("multiclass")
    order = np.argsort(data.y, kind="stable")
    X, y = data.X[order].astype(np.float32), np.array(["x", "y", "z"])[data.y[order]]
    ensemble = ensemble_of("multiclass", cv=KFold(3), refit="average", combine="soft").fit(X, y)
    average = ensemble.members_["wood"]
    assert {len(model.classes_) for model in average.models} == {2, 3} or len(average.models[0].classes_) == 2
    for label in average.models[0].classes_:
        assert label in average.classes_
    np.testing.assert_allclose(run(ensemble.program(), X), ensemble.predict_proba(X), atol=1e-5)
    np.testing.assert_allclose(ensemble.predict_proba(X).sum(axis=1), 1)
    mean = np.zeros((len(X), 3))
    for model in average.models:
        mean[:, np.searchsorted(ensemble.classes_, model.classes_)] += model.predict_proba(X) / 3
    np.testing.assert_allclose(average._predict_backend(X), mean)
    assert ensemble.quantize("int8", X, y).verify_c(X).n_different == 0


@pytest.mark.parametrize("combine", ["soft", "stacking"])
@pytest.mark.parametrize("name", ["multiclass", "regression"])
def test_ensembles_are_members_of_ensembles(name, combine):
    """An ensemble that learns may be a member of another that learns; program, integers and C nest alike."""
    X, y = sample(name).X.astype(np.float32), sample(name).y
    task = "regression" if name == "regression" else "classification"
    outer = ensemble_of(name, combine=combine)
    outer.set_params(models=[("pair", ensemble_of(name, random_state=None)), ("tree", forest(task=task, max_depth=2))])
    outer.fit(X, y)
    size = np.abs(outputs(outer, X)).max()
    np.testing.assert_allclose(run(outer.program(), X), labels_or_values(outer, X), rtol=0, atol=1e-4 * size)
    again = outer.quantize("int8", X, y)
    assert again.report.agreement > 0.9
    assert again.verify_c(X).n_different == 0
    assert outer.get_params()["pair__wood__max_depth"] == 5


@pytest.mark.parametrize("combine", ["stacking", "greedy", "soft"])
def test_missing_values_reach_trees_under_any_rule(missing, combine):
    """Trees take NaN under a meta-model too, in the program as well."""
    pytest.importorskip("xgboost")
    ensemble = Ensemble([forest(), boosting()], combine=combine, cv=3, random_state=0).fit(missing.X, missing.y)
    X = missing.X.astype(np.float32)
    assert ensemble.program().accepts_missing
    np.testing.assert_allclose(run(ensemble.program(), X), ensemble.predict_proba(X), atol=1e-4)
    predictor = ensemble.quantize("int8", X, missing.y)
    assert predictor.report.agreement > 0.9
    assert predictor.verify_c(X).n_different == 0


def test_a_meta_model_that_sees_the_features_refuses_missing_ones(missing, binary):
    """passthrough=True hands features to a linear layer, to which NaN is no value."""
    ensemble = Ensemble([forest()], passthrough=True, cv=3, random_state=0)
    with pytest.raises(ValueError, match="contains NaN"):
        ensemble.fit(missing.X, missing.y)
    with pytest.raises(ValueError, match="contains NaN"):
        ensemble.fit(binary.X, binary.y).predict(missing.X)
    assert ensemble.recombine("stacking", passthrough=False).predict(missing.X).shape == (120,)


def test_nodes_say_what_they_are(multiclass):
    """Inputs of a meta-model are named after the members; each has a floor under its logarithm."""
    ensemble = ensemble_of("multiclass", passthrough=True).fit(multiclass.X, multiclass.y)
    root = ensemble.program().root
    assert isinstance(root, Chain)
    (concat,) = [node for node in descendants(root) if isinstance(node, Concat)]
    assert concat.names == ("wood", "line", "features")
    assert {node.floor for node in descendants(root) if isinstance(node, Log)} == {2.0**-8}


def test_networks_under_a_meta_model_are_integers_too(binary):
    """A network beside trees under stacking has an int8 form that agrees, and C that equals it."""
    pytest.importorskip("torch")
    X, y = binary.X.astype(np.float32), binary.y
    ensemble = Ensemble([forest(), network(max_epochs=10)], calibrate=True, cv=3, random_state=0).fit(X, y)
    predictor = ensemble.quantize("int8", X, y)
    assert predictor.report.agreement > 0.95
    assert predictor.verify_c(X).n_different == 0
