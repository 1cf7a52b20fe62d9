"""Ensemble: its members, their names, weights and seeds, how their outputs become one, and its use in scikit-learn."""

import numpy as np
import pytest
from samples import MAKERS, boosting, forest, network, sample
from sklearn.base import clone
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import get_tags

from ensemble_1d import Ensemble, InvalidInputError, PyTorchModel, RandomForestModel, XGBoostModel
from ensemble_1d.models import defaults
from ensemble_1d.runtime import run


def forests(count=2, **parameters):
    """Return forests that need no optional backend."""
    return [forest(n_estimators=3 + number, **parameters) for number in range(count)]


def test_members_are_named_after_their_class_or_by_the_user(binary):
    """Names given stay; the others are the class's, numbered from _2 where one repeats."""
    pytest.importorskip("xgboost")
    models = [forest(), ("mine", forest()), boosting(), forest(), ["random_forest_3", forest()], forest()]
    names = ["random_forest", "mine", "xgboost", "random_forest_2", "random_forest_3", "random_forest_4"]
    ensemble = Ensemble(models, combine="soft", random_state=0).fit(binary.X, binary.y)
    assert list(ensemble.members_) == names
    assert ensemble.program().root.names == tuple(names)
    assert network().default_name == "pytorch"


def test_members_are_clones(binary):
    """The models given are never fitted or changed; members are fitted copies of the same class."""
    models = forests()
    before = [model.get_params() for model in models]
    ensemble = Ensemble(models, combine="soft", random_state=0, n_jobs=2).fit(binary.X, binary.y)
    assert [model.get_params() for model in models] == before
    assert not any(hasattr(model, "backend_") for model in models)
    assert all(member not in models for member in ensemble.members_.values())
    assert [type(member) for member in ensemble.members_.values()] == [RandomForestModel] * 2


def test_default_models_are_a_forest_and_boosted_trees(binary, regression):
    """models=None fits a forest and XGBoost with their default parameters, in the task of the ensemble."""
    pytest.importorskip("xgboost")
    for task, data in (("classification", binary), ("regression", regression)):
        members = Ensemble(combine="soft", task=task, random_state=0).fit(data.X, data.y).members_
        assert {name: type(each) for name, each in members.items()} == {
            "random_forest": RandomForestModel,
            "xgboost": XGBoostModel,
        }
        assert {member.task for member in members.values()} == {task}


def test_default_models_without_xgboost_are_a_forest_with_a_warning(binary, monkeypatch):
    """Where XGBoost is not installed the default is the forest alone, and a warning names the command."""
    monkeypatch.setattr(defaults, "is_available", lambda _: False)
    with pytest.warns(UserWarning, match=r'xgboost is not installed.*pip install "ensemble-1d\[xgboost\]"'):
        ensemble = Ensemble(combine="soft", random_state=0).fit(binary.X, binary.y)
    assert list(ensemble.members_) == ["random_forest"]


@pytest.mark.parametrize(
    ("models", "message"),
    [
        ([], "models is empty; give one model or more, or None"),
        ((), "models is empty"),
        ("forest", "models='forest' is no list; give a list of models"),
        (forest(), "is no list; give a list of models"),
        ({"a": forest()}, "is no list"),
        (
            [StandardScaler()],
            r"'standardscaler' is StandardScaler\(\), and an ensemble for classification needs a classifier",
        ),
        ([RandomForestModel], "which is no model"),
        ([forest(), None], r"models\[1\] is None, which is no model"),
        ([("a", forest()), ("a", forest())], r"models\[1\] has the name 'a'; .* no other model's name"),
        ([("a__b", forest())], "has the name 'a__b'; use a non-empty text without '__'"),
        ([("weights", forest())], "has the name 'weights'; .* no parameter of Ensemble"),
        ([("", forest())], "has the name ''"),
        ([(3, forest())], "has the name 3"),
        ([("ensemble", forest())], "has the name 'ensemble'"),
        ([forest(task="regression")], "'random_forest' does regression, the ensemble classification; give it task="),
    ],
    ids=[
        *("empty list", "empty tuple", "text", "one model", "dict", "transformer", "class", "None"),
        *("repeated name", "underscores", "parameter", "no name", "number", "evaluate's name", "task"),
    ],
)
def test_wrong_models_are_refused_by_name(binary, models, message):
    """The message says which model is wrong and what to do; the constructor and repr never complain."""
    ensemble = Ensemble(models, combine="soft")
    assert repr(ensemble).startswith("Ensemble(")
    with pytest.raises(InvalidInputError, match=message):
        ensemble.fit(binary.X, binary.y)


@pytest.mark.parametrize(
    ("weights", "shares"),
    [
        (None, (0.5, 0.5)),
        ([3, 1], (0.75, 0.25)),
        ((0.75, 0.25), (0.75, 0.25)),
        ({"random_forest_2": 1, "random_forest": 3}, (0.75, 0.25)),
        ([1, 0], (1.0, 0.0)),
    ],
    ids=str,
)
def test_soft_is_the_weighted_mean_of_probabilities(multiclass, weights, shares):
    """Weights by position or name are divided by their sum, and the outputs are the weighted mean."""
    ensemble = Ensemble(forests(), combine="soft", weights=weights, random_state=0).fit(multiclass.X, multiclass.y)
    assert ensemble.weights_.tolist() == list(shares)
    first, second = (member.predict_proba(multiclass.X) for member in ensemble.members_.values())
    assert np.array_equal(ensemble.predict_proba(multiclass.X), shares[0] * first + shares[1] * second)
    assert not np.array_equal(first, second)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([1], r"weights has shape \(1,\); give one for each of \['random_forest', 'random_forest_2'\]"),
        ([[1, 1]], r"weights has shape \(1, 2\)"),
        ({"random_forest": 1}, "give one for each of"),
        ({"random_forest": 1, "forest": 1}, r"weights names \['forest', 'random_forest'\]"),
        ({"random_forest": 1, 2: 1}, "give one for each of"),
        ([1, -1], "use finite numbers >= 0, not all of them 0"),
        ([1, float("nan")], "use finite numbers >= 0"),
        ([1, float("inf")], "use finite numbers >= 0"),
        ([0, 0], "not all of them 0"),
        (["much", "little"], r"are no numbers; give one for each of"),
        ("equal", "are no numbers"),
        (3, r"weights has shape \(\)"),
    ],
    ids=str,
)
def test_wrong_weights_are_refused(binary, weights, message):
    """The message says what the weights are and what they should be, before any member is fitted."""
    ensemble = Ensemble(forests(), combine="soft", weights=weights)
    with pytest.raises(InvalidInputError, match=message):
        ensemble.fit(binary.X, binary.y)
    assert not hasattr(ensemble, "members_")


def test_weights_may_be_any_mapping(binary):
    """Weights by name may stand in any Mapping, as the signature says."""
    from types import MappingProxyType

    weights = MappingProxyType({"random_forest": 3, "random_forest_2": 1})
    ensemble = Ensemble(forests(), combine="soft", weights=weights, random_state=0).fit(binary.X, binary.y)
    assert ensemble.weights_.tolist() == [0.75, 0.25]


def test_large_weights_keep_their_ratio(binary):
    """Finite weights whose sum is infinite in float64 are still weights."""
    ensemble = Ensemble(forests(), combine="soft", weights=[1e308, 1e308], random_state=0).fit(binary.X, binary.y)
    assert ensemble.weights_.tolist() == [0.5, 0.5]


def test_hard_gives_each_class_the_weight_of_its_votes(multiclass):
    """Each member votes for its own label with its weight; equal votes go to the first class."""
    models = [*forests(3, max_depth=1)]
    ensemble = Ensemble(models, combine="hard", weights=[2, 1, 1], random_state=0).fit(multiclass.X, multiclass.y)
    votes = np.stack([member.predict(multiclass.X) for member in ensemble.members_.values()], axis=1)
    expected = np.zeros((len(votes), 3))
    for row, labels in enumerate(votes):
        for weight, label in zip((0.5, 0.25, 0.25), labels, strict=True):
            expected[row, label] += weight
    assert np.array_equal(ensemble.predict_proba(multiclass.X), expected)
    tied = np.sort(expected, axis=1)[:, 1] == 0.5
    assert tied.any()
    lower = np.minimum(votes[tied, 0], votes[tied, 1])
    assert np.array_equal(ensemble.predict(multiclass.X)[tied], lower)


def test_undecided_members_vote_for_their_first_class():
    """A member whose probabilities are equal gives its whole vote to the first class."""
    X, y = np.zeros((4, 2)), np.array(["b", "a"] * 2)
    models = [forest(bootstrap=False) for _ in range(2)]
    ensemble = Ensemble(models, combine="hard", weights=[3, 1]).fit(X, y)
    assert np.array_equal(ensemble.members_["random_forest"].predict_proba(X), np.full((4, 2), 0.5))
    assert np.array_equal(ensemble.predict_proba(X), np.tile([1.0, 0.0], (4, 1)))
    assert set(ensemble.predict(X)) == {"a"}


def test_unknown_rules_are_refused(binary, regression):
    """An unknown rule names the known ones; votes on numbers name the remedy."""
    with pytest.raises(InvalidInputError, match=r"combine='median' is unknown; use one of \('soft', 'hard', "):
        Ensemble(forests(), combine="median").fit(binary.X, binary.y)
    with pytest.raises(InvalidInputError, match="this is regression; use combine='soft'"):
        Ensemble(forests(task="regression"), task="regression", combine="hard").fit(regression.X, regression.y)


@pytest.mark.parametrize("combine", ["soft", "hard"])
def test_classes_are_combined_as_by_scikit_learn(multiclass, combine):
    """VotingClassifier over the same fitted members and weights gives the same probabilities and labels."""
    X, y = multiclass.X.astype(np.float32), np.array(["c", "a", "b"])[multiclass.y]
    weights = [0.3, 0.5, 0.2]
    ensemble = Ensemble(forests(3), combine=combine, weights=weights, random_state=0).fit(X, y)
    voting = VotingClassifier(list(ensemble.members_.items()), voting=combine, weights=weights).fit(X, y)
    voting.estimators_ = [clone(member).fit(X, voting.le_.transform(y)) for member in ensemble.members_.values()]
    assert np.array_equal(voting.predict(X), ensemble.predict(X))
    if combine == "soft":
        np.testing.assert_allclose(voting.predict_proba(X), ensemble.predict_proba(X), rtol=0, atol=1e-15)


def test_values_are_combined_as_by_scikit_learn(regression):
    """VotingRegressor over the same members gives the same values."""
    ensemble = Ensemble(
        forests(3, task="regression"), combine="soft", task="regression", weights=[1, 2, 3], random_state=0
    )
    ensemble.fit(regression.X, regression.y)
    voting = VotingRegressor(list(ensemble.members_.items()), weights=[1, 2, 3]).fit(regression.X, regression.y)
    np.testing.assert_allclose(voting.predict(regression.X), ensemble.predict(regression.X), rtol=1e-14)


def test_random_state_seeds_members_that_have_no_seed(binary):
    """One seed decides everything; a member's own seed stays, and others do not depend on it."""
    models = [forest(), forest(random_state=11), forest()]
    first, same, other = (
        Ensemble(models, combine="soft", random_state=seed).fit(binary.X, binary.y) for seed in (1, 1, 2)
    )
    seeds = [[member.random_state for member in each.members_.values()] for each in (first, same, other)]
    assert seeds[0] == seeds[1]
    assert seeds[0][1] == seeds[2][1] == 11
    assert len({seeds[0][0], seeds[0][2], seeds[2][0], seeds[2][2]}) == 4
    assert np.array_equal(first.predict_proba(binary.X), same.predict_proba(binary.X))
    unseeded = Ensemble([forest() for _ in models], combine="soft", random_state=1).fit(binary.X, binary.y)
    assert unseeded.members_["random_forest_3"].random_state == seeds[0][2]
    assert Ensemble(models, combine="soft").fit(binary.X, binary.y).members_["random_forest"].random_state is None


def test_number_of_jobs_is_shared_by_members_that_set_none(binary):
    """Four threads are two for each of two members; a member's own number stays."""
    ensemble = Ensemble([forest(), forest(n_jobs=1)], combine="soft", n_jobs=4, random_state=0).fit(binary.X, binary.y)
    assert [member.n_jobs for member in ensemble.members_.values()] == [2, 1]


def test_nested_parameters_are_got_and_set(binary):
    """`name__parameter` reaches a model, and `name` replaces it, in lists with and without names."""
    for models in ([forest(), ("net", network())], [("random_forest", forest()), ("net", network())]):
        ensemble = Ensemble(models, combine="soft")
        parameters = ensemble.get_params()
        assert parameters["random_forest__n_estimators"] == 8
        assert parameters["net"] is models[1][1]
        assert "net" not in ensemble.get_params(deep=False)
        ensemble.set_params(random_forest__n_estimators=2, net__dropout=0.25, weights=[1, 2])
        assert ensemble.get_params()["random_forest__n_estimators"] == 2
        assert (ensemble.get_params()["net__dropout"], ensemble.weights) == (0.25, [1, 2])
        replacement = forest(n_estimators=1)
        given = list(models)
        assert ensemble.set_params(net=replacement, random_forest__max_depth=1) is ensemble
        assert ensemble.get_params()["net"] is replacement
        assert models == given
        assert list(ensemble.fit(binary.X, binary.y).members_) == ["random_forest", "net"]
    with pytest.raises(ValueError, match="Invalid parameter 'forest'"):
        ensemble.set_params(forest__max_depth=1)
    ensemble.set_params(models=[forest()], random_forest__max_depth=3)
    assert ensemble.get_params()["random_forest__max_depth"] == 3


def test_grid_search_pipeline_and_cross_validation_work(words):
    """Model selection of scikit-learn takes the ensemble, its nested parameters, and whole models among them."""
    grid = {
        "ensemble__random_forest__max_depth": [1, 4],
        "ensemble__random_forest_2": [forest(n_estimators=2), forest(n_estimators=9)],
    }
    pipeline = make_pipeline(StandardScaler(), Ensemble(forests(), combine="soft", random_state=0))
    search = GridSearchCV(pipeline, grid, cv=2, scoring="roc_auc", error_score="raise").fit(words.X, words.y)
    assert len(search.cv_results_["params"]) == 4
    assert set(search.predict(words.X)) == {"malign", "benign"}
    depth = search.best_params_["ensemble__random_forest__max_depth"]
    assert search.best_estimator_[-1].members_["random_forest"].max_depth == depth
    scores = cross_val_score(Ensemble(forests(), combine="soft", random_state=0), words.X, words.y, cv=3)
    assert scores.min() > 0.7


def test_ensembles_nest(multiclass):
    """An ensemble is a model like any other: it may be a member, and the program nests alike."""
    inner = Ensemble(forests(), combine="soft", weights=[1, 3])
    models = [("pair", inner), forest()]
    outer = Ensemble(models, combine="hard", random_state=0).fit(multiclass.X, multiclass.y)
    assert list(outer.members_) == ["pair", "random_forest"]
    assert outer.get_params()["pair__random_forest_2__n_estimators"] == 4
    rows = multiclass.X.astype(np.float32)
    assert np.array_equal(run(outer.program(), rows), outer.predict_proba(rows))
    again = Ensemble(models, combine="hard", random_state=0).fit(multiclass.X, multiclass.y)
    assert np.array_equal(again.predict_proba(rows), outer.predict_proba(rows))


@pytest.mark.parametrize("name", [name for name in MAKERS if name.startswith("Ensemble")])
def test_program_is_the_ensemble(name):
    """The program of an ensemble equals it within 1e-12 where members compute in float64, and 1e-6 with XGBoost."""
    pytest.importorskip("xgboost")
    pytest.importorskip("torch")
    data = sample("regression" if "regression" in name else "multiclass")
    ensemble = MAKERS[name]().fit(data.X, data.y)
    rows = data.X.astype(np.float32)
    size = max(1.0, np.abs(data.y).max())
    np.testing.assert_allclose(run(ensemble.program(), rows), ensemble._predict_rows(rows), rtol=0, atol=1e-6 * size)
    exact = ensemble.set_params(models=[forest(task=ensemble.task), network(task=ensemble.task)]).fit(data.X, data.y)
    np.testing.assert_allclose(run(exact.program(), rows), exact._predict_rows(rows), rtol=0, atol=1e-12 * size)


def test_sample_weight_reaches_every_member(binary):
    """Each member is fitted with the weights of the rows."""
    weights = np.where(binary.y == 1, 10.0, 0.1)
    ensemble = Ensemble(forests(), combine="soft", random_state=0).fit(binary.X, binary.y, weights)
    for member in ensemble.members_.values():
        alone = clone(member).fit(binary.X, binary.y, weights)
        assert np.array_equal(alone.predict_proba(binary.X), member.predict_proba(binary.X))
        unweighted = clone(member).fit(binary.X, binary.y)
        assert not np.array_equal(unweighted.predict_proba(binary.X), member.predict_proba(binary.X))


def test_members_see_the_labels_as_given(words):
    """A member's class_weight by label works: members are fitted on labels, not on codes."""
    by_label = {"benign": 1, "malign": 20}
    ensemble = Ensemble([forest(class_weight=by_label)], combine="soft", random_state=0).fit(words.X, words.y)
    assert ensemble.members_["random_forest"].classes_.tolist() == ["benign", "malign"]
    alone = clone(ensemble.members_["random_forest"]).fit(words.X, words.y)
    assert np.array_equal(ensemble.predict_proba(words.X), alone.predict_proba(words.X))


def test_missing_values_are_accepted_where_every_member_accepts_them(missing):
    """One network makes an ensemble that refuses NaN, also within a nested ensemble."""
    trees = Ensemble([forest(), Ensemble(forests(), combine="soft")], combine="soft", random_state=0)
    assert get_tags(trees).input_tags.allow_nan
    assert trees.fit(missing.X, missing.y).program().accepts_missing
    for mixed in (
        Ensemble([forest(), network()], combine="soft"),
        Ensemble([forest(), Ensemble([PyTorchModel()], combine="soft")], combine="soft"),
    ):
        assert not get_tags(mixed).input_tags.allow_nan
        with pytest.raises(ValueError, match="contains NaN"):
            mixed.fit(missing.X, missing.y)
