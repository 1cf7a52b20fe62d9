"""An Ensemble in scikit-learn's own tools: searches, pipelines, routed metadata, data frames, notebooks."""

import re
from copy import copy

import numpy as np
import pytest
from samples import forest
from sklearn import config_context
from sklearn.base import clone
from sklearn.feature_selection import SelectKBest
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_val_score, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from ensemble_1d import Ensemble

LOGISTIC = LogisticRegression(solver="newton-cholesky")


def ensemble_of(**options):
    """Return an ensemble of a forest and a linear model."""
    return Ensemble([("wood", forest(n_estimators=4)), ("line", LOGISTIC)], **({"cv": 3, "random_state": 0} | options))


def test_searches_choose_rules_parameters_and_members(words):
    """A search goes over rules, parameters of members, and members that are dropped."""
    grid = {"combine": ["soft", "stacking", "greedy"], "wood__max_depth": [1, 4], "line": [LOGISTIC, "drop"]}
    search = GridSearchCV(ensemble_of(), grid, cv=2, error_score="raise").fit(words.X, words.y)
    assert len(search.cv_results_["params"]) == 12
    best = search.best_estimator_
    assert best.combine == search.best_params_["combine"]
    assert best.members_["wood"].max_depth == search.best_params_["wood__max_depth"]
    assert ("line" in best.members_) == (search.best_params_["line"] != "drop")
    assert len(set(search.cv_results_["mean_test_score"])) > 3


def test_scaled_ensembles_see_scaled_rows(binary):
    """Behind a scaler an ensemble is fitted on what the scaler gives."""
    scaler, ensemble = StandardScaler(), ensemble_of()
    pipeline = make_pipeline(scaler, ensemble).fit(binary.X, binary.y)
    alone = clone(ensemble).fit(StandardScaler().fit_transform(binary.X), binary.y)
    scaled = StandardScaler().fit(binary.X).transform(binary.X)
    assert np.array_equal(pipeline.predict_proba(binary.X), alone.predict_proba(scaled))


def test_groups_and_weights_are_routed(binary):
    """With metadata routing, cross-validation hands groups and weights to the fit of the ensemble."""
    groups = np.arange(len(binary.X)) // 10
    weights = np.where(groups % 2, 2.0, 1.0)
    with config_context(enable_metadata_routing=True):
        ensemble = ensemble_of(cv=GroupKFold(3)).set_fit_request(groups=True, sample_weight=True)
        ensemble.set_score_request(sample_weight=True)
        found = cross_validate(
            ensemble,
            binary.X,
            binary.y,
            cv=GroupKFold(2),
            params={"groups": groups, "sample_weight": weights},
            return_estimator=True,
            return_indices=True,
            error_score="raise",
        )
    for fitted, train in zip(found["estimator"], found["indices"]["train"], strict=True):
        expected = ensemble_of(cv=GroupKFold(3))
        expected.fit(binary.X[train], binary.y[train], weights[train], groups=groups[train])
        assert np.array_equal(fitted.predict_proba(binary.X), expected.predict_proba(binary.X))
        for inner, held in fitted._splits:
            assert not set(groups[train][inner]) & set(groups[train][held])


def test_cross_validation_scores_every_rule(binary):
    """cross_val_score takes an ensemble of any rule."""
    for combine in ("soft", "hard", "optimized", "greedy", "stacking"):
        assert cross_val_score(ensemble_of(combine=combine), binary.X, binary.y, cv=2, error_score="raise").min() > 0.8


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_data_frames_keep_their_names_through_a_pipeline(binary, library):
    """Steps that give data frames hand names to the ensemble, which checks them at predict."""
    frames = pytest.importorskip(library)
    names = ["width", "height", "depth", "mass", "age"]
    frame = frames.DataFrame(dict(zip(names, binary.X.T, strict=True)))
    pipeline = make_pipeline(StandardScaler(), SelectKBest(k=3), ensemble_of())
    pipeline.set_output(transform=library)
    pipeline.fit(frame, binary.y)
    seen = pipeline[-1].feature_names_in_.tolist()
    assert len(seen) == 3
    assert set(seen) < set(names)
    assert pipeline.score(frame, binary.y) > 0.8
    with pytest.raises(ValueError, match="same order as they were in fit"):
        pipeline[-1].predict(frame[seen[::-1]])


def test_shallow_copies_predict_and_leave_the_first_alone(binary):
    """A copy shares members; a change of its rule is its own."""
    first = ensemble_of().fit(binary.X, binary.y)
    expected = first.predict_proba(binary.X)
    second = copy(first).recombine("soft")
    assert second.members_ is first.members_
    assert np.array_equal(first.predict_proba(binary.X), expected)
    assert not np.array_equal(second.predict_proba(binary.X), expected)


def test_notebooks_show_the_members(binary):
    """The diagram names every member, before and after the fit, and escapes what is no name in HTML."""
    ensemble = Ensemble([("<wood>", forest()), ("line", LOGISTIC), ("gone", "drop")], cv=3)
    for model in (ensemble, clone(ensemble).fit(binary.X, binary.y)):
        page = model._repr_html_()
        text = re.sub(r"<style>.*?</style>", "", page, flags=re.DOTALL)
        assert "&lt;wood&gt;" in text
        assert "<wood>" not in text
        for name in ("line", "gone", "Ensemble", "RandomForestModel", "LogisticRegression"):
            assert name in text
    assert "Ensemble" in Ensemble()._repr_html_()
    assert "Ensemble" in Ensemble("no list")._repr_html_()
