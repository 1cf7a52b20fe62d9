"""Class columns: every class asked for has its column, whatever the model knows."""

import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression
from small_nodes import dense

from ensemble_1d import Ensemble, RandomForestModel
from ensemble_1d.models.class_columns import aligned_node, aligned_output
from ensemble_1d.runtime import evaluate

OUTPUT = np.array([[0.1, 0.9], [0.4, 0.6]])


@pytest.mark.parametrize(
    ("known", "classes", "expected"),
    [
        (["a", "c"], ["a", "c"], [[0.1, 0.9], [0.4, 0.6]]),
        (["a", "c"], ["a", "b", "c"], [[0.1, 0, 0.9], [0.4, 0, 0.6]]),
        (["a", "c"], ["c", "d"], [[0.9, 0], [0.6, 0]]),
        (["a", "c"], ["a", "b"], [[0.1, 0], [0.4, 0]]),
    ],
    ids=["equal", "fewer known", "one unknown, one not asked for", "as many, but others"],
)
def test_columns_are_found_by_label(known, classes, expected):
    """A class that is not known has probability 0, one that is not asked for is left out; the node does the same."""
    known, classes = np.array(known), np.array(classes)
    np.testing.assert_array_equal(aligned_output(OUTPUT, known, classes), expected)
    if not np.array_equal(known, classes):
        layer = aligned_node(dense(2, 2), known, classes).steps[1]
        np.testing.assert_allclose(evaluate(layer, OUTPUT), expected)


def test_a_frozen_member_keeps_its_columns_where_a_fold_lacks_a_class(multiclass):
    """Its probabilities stand in the columns of their labels, though the fold's rows know fewer of them."""
    X, y = multiclass.X.astype(np.float32).astype(np.float64), multiclass.y
    frozen = LogisticRegression(max_iter=5000).fit(X, y)
    held = np.flatnonzero(y == 2)
    rest = np.flatnonzero(y != 2)
    folds = [(rest, held), (np.arange(len(y)), rest)]
    members = [("frozen", FrozenEstimator(frozen)), RandomForestModel(n_estimators=5)]
    ensemble = Ensemble(members, combine="optimized", cv=folds, random_state=0).fit(X, y)
    np.testing.assert_allclose(ensemble._out_of_fold.outputs[0][len(held) :], frozen.predict_proba(X[rest]), atol=1e-12)
    np.testing.assert_allclose(
        ensemble._out_of_fold.outputs[0][: len(held), :2], frozen.predict_proba(X[held])[:, :2], atol=1e-12
    )
