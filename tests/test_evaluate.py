"""evaluate: the metrics of scikit-learn, for a model, and for an ensemble and each of its members."""

import numpy as np
import pytest
from samples import MAKERS, forest, sample, skip_without_backends
from sklearn import metrics

from ensemble_1d import Ensemble


def expected_classification(y, probabilities, classes):
    """Return the metrics as scikit-learn gives them in one call each."""
    predicted = classes[probabilities.argmax(axis=1)]
    options = {"average": "weighted", "zero_division": 0}
    if len(classes) == 2:
        area = metrics.roc_auc_score(y, probabilities[:, 1])
    else:
        area = metrics.roc_auc_score(y, probabilities, multi_class="ovr", average="weighted", labels=classes)
    return {
        "accuracy": metrics.accuracy_score(y, predicted),
        "f1": metrics.f1_score(y, predicted, **options),
        "precision": metrics.precision_score(y, predicted, **options),
        "recall": metrics.recall_score(y, predicted, **options),
        "log_loss": metrics.log_loss(y, probabilities, labels=classes),
        "roc_auc": area,
    }


def expected_regression(y, predicted):
    """Return the metrics as scikit-learn gives them in one call each."""
    return {
        "r2": metrics.r2_score(y, predicted),
        "mae": metrics.mean_absolute_error(y, predicted),
        "rmse": np.sqrt(metrics.mean_squared_error(y, predicted)),
    }


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("name", [name for name in MAKERS if name.endswith("classification")])
def test_classifiers_are_measured_as_by_scikit_learn(name, n_classes):
    """Every metric equals scikit-learn's on rows that were not fitted, for text labels too."""
    skip_without_backends(name)
    data = sample("binary" if n_classes == 2 else "multiclass")
    y = np.array(["b", "c", "a"])[data.y]
    model = MAKERS[name]().fit(data.X[:60], y[:60])
    found = model.evaluate(data.X[60:], y[60:])
    parts = {"ensemble": model, **model.members_} if name.startswith("Ensemble") else {"": model}
    found = found if name.startswith("Ensemble") else {"": found}
    assert set(found) == set(parts)
    for part, each in parts.items():
        expected = expected_classification(y[60:], each.predict_proba(data.X[60:]), model.classes_)
        assert found[part] == pytest.approx(expected, rel=1e-12)
        assert all(type(value) is float for value in found[part].values())


@pytest.mark.parametrize("name", [name for name in MAKERS if name.endswith("regression")])
def test_regressors_are_measured_as_by_scikit_learn(name, regression):
    """R2, mean absolute and root mean squared error equal scikit-learn's."""
    skip_without_backends(name)
    X, y = regression.X, regression.y
    model = MAKERS[name]().fit(X[:60], y[:60])
    found = model.evaluate(X[60:], y[60:])
    parts = {"ensemble": model, **model.members_} if name.startswith("Ensemble") else {"": model}
    found = found if name.startswith("Ensemble") else {"": found}
    assert set(found) == set(parts)
    for part, each in parts.items():
        assert found[part] == pytest.approx(expected_regression(y[60:], each.predict(X[60:])), rel=1e-12)


def test_nested_ensemble_hides_nothing(multiclass):
    """The metrics of the whole, under "ensemble", and of a nested ensemble without a name are both there."""
    outer = Ensemble([Ensemble([forest(max_depth=1)], combine="soft"), forest()], combine="soft", random_state=0).fit(
        multiclass.X, multiclass.y
    )
    found = outer.evaluate(multiclass.X, multiclass.y)
    assert len(found) == 3
    assert found["ensemble"]["accuracy"] == outer.score(multiclass.X, multiclass.y)


def test_class_that_y_does_not_hold_is_left_out(multiclass):
    """A class absent from y counts in the log loss alone; the area is weighted over those present."""
    model = forest(max_depth=2, random_state=0).fit(multiclass.X, multiclass.y)
    rows = multiclass.y > 0
    X, y = multiclass.X[rows], multiclass.y[rows]
    probabilities = model.predict_proba(X)
    found = model.evaluate(X, y)
    areas = [metrics.roc_auc_score(y == label, probabilities[:, label]) for label in (1, 2)]
    assert found["roc_auc"] == pytest.approx(np.average(areas, weights=np.bincount(y)[1:]))
    assert found["log_loss"] == pytest.approx(metrics.log_loss(y, probabilities, labels=[0, 1, 2]))
    assert found["accuracy"] == model.score(X, y)


@pytest.mark.parametrize("name", ["binary", "multiclass"])
def test_one_class_has_no_area(name):
    """Where y holds one class only, ROC AUC is NaN, without a warning, and the rest is measured."""
    data = sample(name)
    model = forest(random_state=0).fit(data.X, data.y)
    rows = data.y == 1
    found = model.evaluate(data.X[rows], data.y[rows])
    assert np.isnan(found["roc_auc"])
    assert found["accuracy"] == model.score(data.X[rows], data.y[rows])


def test_class_never_predicted_counts_as_precision_zero(binary):
    """A model that predicts one class alone is measured without a warning."""
    X = np.zeros((10, 1))
    model = forest().fit(X, [0] * 9 + [1])
    found = model.evaluate(X, [0] * 5 + [1] * 5)
    assert (found["precision"], found["recall"], found["roc_auc"]) == (0.25, 0.5, 0.5)


def test_one_row_has_no_r2(regression):
    """R2 of one row is NaN, without a warning; the errors are its own."""
    model = forest(task="regression", random_state=0).fit(regression.X, regression.y)
    found = model.evaluate(regression.X[:1], regression.y[:1] + 5)
    assert np.isnan(found["r2"])
    difference = abs(regression.y[0] + 5 - model.predict(regression.X[:1])[0])
    assert (found["mae"], found["rmse"]) == pytest.approx((difference, difference))


def test_labels_that_fit_never_saw_are_refused(words):
    """An unknown label is a ValueError that names it."""
    model = forest().fit(words.X, words.y)
    with pytest.raises(ValueError, match="unheard"):
        model.evaluate(words.X, np.where(words.y == "malign", "unheard-of", "benign"))
