"""Estimators of scikit-learn as members: which are taken, what reaches them, and the Programs of linear ones."""

import numpy as np
import pytest
from samples import forest, sample
from sklearn import linear_model as linear
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingClassifier, HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, StandardScaler
from sklearn.svm import SVC, LinearSVC
from sklearn.tree import DecisionTreeClassifier
from spies import Frequencies

from ensemble_1d import Ensemble, InvalidInputError, UnsupportedModelError
from ensemble_1d.models.scikit_learn_model import ScikitLearnModel
from ensemble_1d.runtime import run

LOGISTIC = linear.LogisticRegression(solver="newton-cholesky")


def soft(models, **parameters):
    """Return an ensemble that fits each member once."""
    return Ensemble(models, combine="soft", random_state=0, **parameters)


@pytest.mark.parametrize(
    "estimator",
    [
        LOGISTIC,
        HistGradientBoostingClassifier(max_iter=5),
        KNeighborsClassifier(),
        make_pipeline(MinMaxScaler(), DecisionTreeClassifier(max_depth=3)),
        CalibratedClassifierCV(LinearSVC(), cv=2),
        BaggingClassifier(DecisionTreeClassifier(), 3),
    ],
    ids=lambda each: type(each).__name__,
)
def test_any_classifier_may_be_a_member(words, estimator):
    """A classifier predicts as it does alone with the same seed, labels and rows, and learns beside others."""
    ensemble = Ensemble([("any", estimator), forest()], cv=3, random_state=0).fit(words.X, words.y)
    member = ensemble.members_["any"]
    alone = clone(member.backend_).fit(words.X.astype(np.float32).astype(np.float64), words.y)
    np.testing.assert_allclose(
        member.predict_proba(words.X), alone.predict_proba(words.X.astype(np.float32)), atol=1e-6
    )
    assert member.backend_ is not estimator
    assert not hasattr(estimator, "classes_")
    assert ensemble.score(words.X, words.y) > 0.85


@pytest.mark.parametrize(
    "estimator", [linear.Ridge(), HistGradientBoostingRegressor(max_iter=5), KNeighborsRegressor()]
)
def test_any_regressor_may_be_a_member(regression, estimator):
    """A regressor predicts as it does alone, and learns beside others."""
    members = [("any", estimator), forest(task="regression")]
    ensemble = Ensemble(members, task="regression", cv=3, random_state=0).fit(regression.X, regression.y)
    X = regression.X.astype(np.float32).astype(np.float64)
    alone = clone(estimator).fit(X, regression.y)
    np.testing.assert_allclose(ensemble.members_["any"].predict(X), alone.predict(X), rtol=1e-9)


def test_members_are_named_after_the_class_of_the_estimator(binary):
    """An estimator without a name is called after its class in lower case, numbered from _2."""
    ensemble = soft([LOGISTIC, LOGISTIC, KNeighborsClassifier()]).fit(binary.X, binary.y)
    assert list(ensemble.members_) == ["logisticregression", "logisticregression_2", "kneighborsclassifier"]


def test_estimators_without_probabilities_may_only_vote(binary):
    """SVC without probabilities is refused by name, with a remedy; under combine="hard" its votes are its labels."""
    members = [("margin", SVC()), forest()]
    for combine in ("soft", "stacking", "greedy"):
        with pytest.raises(InvalidInputError, match=r"'margin' is SVC\(\), which has no predict_proba; wrap it"):
            Ensemble(members, combine=combine).fit(binary.X, binary.y)
    ensemble = Ensemble(members, combine="hard", weights=[1, 0], random_state=0).fit(binary.X, binary.y)
    X = binary.X.astype(np.float32)
    assert np.array_equal(ensemble.predict(X), SVC().fit(X, binary.y).predict(X))
    with pytest.raises(InvalidInputError, match="which has no predict_proba"):
        ensemble.recombine("soft")
    assert ensemble.combine == "hard"


def test_members_of_another_kind_are_refused(binary, regression):
    """A regressor among classifiers, and a classifier among regressors, is refused by name."""
    with pytest.raises(InvalidInputError, match=r"'ridge' is Ridge\(\), and an ensemble for classification needs"):
        soft([linear.Ridge()]).fit(binary.X, binary.y)
    with pytest.raises(InvalidInputError, match="an ensemble for regression needs a regressor"):
        soft([KNeighborsClassifier()], task="regression").fit(regression.X, regression.y)


def test_seeds_reach_every_random_state_that_is_none(binary):
    """The seed of the ensemble reaches nested parameters too; a seed that is set stays."""
    nested = BaggingClassifier(DecisionTreeClassifier(max_features=1), 3)
    fixed = make_pipeline(StandardScaler(), DecisionTreeClassifier(random_state=5))
    fits = [soft([nested, fixed]).fit(binary.X, binary.y) for _ in range(2)]
    found = [ensemble.members_["baggingclassifier"].backend_.get_params() for ensemble in fits]
    assert found[0]["random_state"] == found[0]["estimator__random_state"] == found[1]["random_state"] is not None
    assert fits[0].members_["pipeline"].backend_[-1].random_state == 5
    assert np.array_equal(fits[0].predict_proba(binary.X), fits[1].predict_proba(binary.X))
    unseeded = Ensemble([nested], combine="soft").fit(binary.X, binary.y)
    assert unseeded.members_["baggingclassifier"].backend_.random_state is None


def test_class_weights_are_by_the_labels_of_the_user(words):
    """A member sees text labels as given, so a dict of class weights by text works, in every fold too."""
    heavy = clone(LOGISTIC).set_params(class_weight={"benign": 1, "malign": 30})
    plain, weighted = (Ensemble([each], cv=3, random_state=0).fit(words.X, words.y) for each in (LOGISTIC, heavy))
    first, second = (each.members_["logisticregression"].predict_proba(words.X)[:, 1] for each in (plain, weighted))
    assert second.mean() > first.mean() + 0.05
    held = [each._out_of_fold.outputs[0, :, 1].mean() for each in (plain, weighted)]
    assert held[1] > held[0] + 0.05


def test_weights_reach_members_that_take_them_and_a_warning_names_the_others(words):
    """Weights change a linear model and not a classifier whose fit takes none, which the warning names."""
    weights = np.where(words.y == "malign", 10.0, 0.1)
    members = [("linear", LOGISTIC), ("counting", Frequencies()), ("near", KNeighborsClassifier())]
    with pytest.warns(UserWarning, match=r"sample_weight does not reach \['counting', 'near'\], whose fit takes none"):
        ensemble = soft(members).fit(words.X, words.y, weights)
    plain = soft(members).fit(words.X, words.y)
    changed = {
        name: not np.array_equal(
            ensemble.members_[name].predict_proba(words.X), plain.members_[name].predict_proba(words.X)
        )
        for name in ("linear", "counting", "near")
    }
    assert changed == {"linear": True, "counting": False, "near": False}


def test_frozen_estimators_are_not_fitted_again(binary):
    """FrozenEstimator keeps a fitted estimator as it is, in the folds too; its program is that of the estimator."""
    fitted = clone(LOGISTIC).fit(binary.X[:60], binary.y[:60])
    ensemble = Ensemble([("frozen", FrozenEstimator(fitted)), forest()], cv=3, random_state=0).fit(binary.X, binary.y)
    X = binary.X.astype(np.float32)
    assert np.array_equal(ensemble.members_["frozen"].predict_proba(X), fitted.predict_proba(X.astype(np.float64)))
    np.testing.assert_allclose(run(ensemble.program(), X), ensemble.predict_proba(X), atol=1e-5)


CLASSIFIERS = {
    "newton": LOGISTIC,
    "lbfgs": make_pipeline(StandardScaler(), linear.LogisticRegression()),
    "no intercept": make_pipeline(StandardScaler(), linear.LogisticRegression(fit_intercept=False)),
    "no mean": make_pipeline(StandardScaler(with_mean=False), LOGISTIC),
    "no scale": make_pipeline(StandardScaler(with_std=False), LOGISTIC),
    "two scalers": make_pipeline(StandardScaler(), StandardScaler(), linear.LogisticRegression()),
}


@pytest.mark.parametrize("data", ["binary", "multiclass"])
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_programs_of_linear_classifiers_are_their_probabilities(name, data):
    """Layer and link give scikit-learn's probabilities, within float32 rounding of weights and features."""
    X, y = sample(data).X.astype(np.float32), sample(data).y
    model = ScikitLearnModel(CLASSIFIERS[name]).fit(X, y)
    np.testing.assert_allclose(run(model.program(), X), model.backend_.predict_proba(X.astype(np.float64)), atol=2e-5)


REGRESSORS = {
    **{each.__name__: each() for each in (linear.LinearRegression, linear.Ridge, linear.RidgeCV, linear.BayesianRidge)},
    **{each.__name__: each(alpha=0.1) for each in (linear.Lasso, linear.ElasticNet, linear.QuantileRegressor)},
    "scaled": make_pipeline(StandardScaler(), linear.Ridge(fit_intercept=False)),
    "huber": make_pipeline(StandardScaler(), linear.HuberRegressor(max_iter=1000)),
    "sgd": make_pipeline(StandardScaler(), linear.SGDRegressor(random_state=0)),
}


@pytest.mark.parametrize("name", REGRESSORS)
def test_programs_of_linear_regressors_are_their_values(name, regression):
    """One layer gives scikit-learn's values, within float32 rounding."""
    X = regression.X.astype(np.float32)
    model = ScikitLearnModel(REGRESSORS[name], task="regression").fit(X, regression.y)
    np.testing.assert_allclose(
        run(model.program(), X), model.backend_.predict(X.astype(np.float64))[:, None], rtol=2e-5
    )


@pytest.mark.parametrize(
    ("estimator", "message"),
    [
        (KNeighborsClassifier(), "member 'other': KNeighborsClassifier has no Program: scikit-learn's linear"),
        (make_pipeline(MinMaxScaler(), LOGISTIC), "member 'other': MinMaxScaler has no Program"),
        (
            make_pipeline(StandardScaler(), KNeighborsClassifier()),
            "member 'other': KNeighborsClassifier has no Program",
        ),
    ],
    ids=["neighbours", "scaler", "pipeline"],
)
def test_estimators_without_a_program_say_so(binary, estimator, message):
    """The ensemble predicts with any member; its program names the one that has none."""
    ensemble = soft([forest(), ("other", estimator)]).fit(binary.X, binary.y)
    assert ensemble.score(binary.X, binary.y) > 0.8
    for call in (ensemble.program, lambda: ensemble.quantize("int8", binary.X)):
        with pytest.raises(UnsupportedModelError, match=message):
            call()


def test_one_class_against_the_rest_is_refused(binary, multiclass):
    """Probabilities of liblinear are a sigmoid for two classes, and no softmax for more: then there is no Program."""
    liblinear = make_pipeline(StandardScaler(), linear.LogisticRegression(solver="liblinear"))
    model = ScikitLearnModel(liblinear).fit(binary.X, binary.y)
    X = binary.X.astype(np.float32)
    np.testing.assert_allclose(run(model.program(), X), model.predict_proba(X), atol=2e-5)
    model = ScikitLearnModel(clone(LOGISTIC)).fit(multiclass.X, multiclass.y)
    model.backend_.solver = "liblinear"  # Newer releases refuse to fit it, older ones do.
    with pytest.raises(UnsupportedModelError, match="has no softmax; use solver='lbfgs'"):
        model.program()


def test_missing_values_are_accepted_where_every_estimator_accepts_them(missing):
    """The tags of an estimator decide whether NaN is a value to it."""
    ensemble = soft([HistGradientBoostingClassifier(max_iter=3), forest()]).fit(missing.X, missing.y)
    assert np.isfinite(ensemble.predict_proba(missing.X)).all()
    with pytest.raises(ValueError, match="contains NaN"):
        soft([KNeighborsClassifier(), forest()]).fit(missing.X, missing.y)
