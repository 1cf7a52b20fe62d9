"""Columns: the features that a member sees, chosen by position, name, mask or slice."""

import numpy as np
import pytest
from samples import forest, network, sample, stopping
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from ensemble_1d import Ensemble, InvalidInputError
from ensemble_1d.runtime import run

NAMES = ["width", "height", "depth", "mass", "age"]
LOGISTIC = LogisticRegression(solver="newton-cholesky")


def chosen(columns, **parameters):
    """Return an ensemble in which the first of two members sees some features only."""
    options = {"combine": "soft", "random_state": 0} | parameters
    return Ensemble([("some", forest(random_state=1)), ("all", forest(random_state=2))], columns=columns, **options)


@pytest.mark.parametrize(
    "choice",
    [
        [3, 1],
        (3, 1),
        np.array([-2, 1]),
        ["mass", "height"],
        np.array(["mass", "height"]),
        np.array(["mass", "height"], object),
    ],
    ids=str,
)
def test_positions_and_names_choose_in_their_order(binary, choice):
    """A member is fitted on its features in the order given, and predicts from rows with all of them."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(binary.X, columns=NAMES)
    ensemble = chosen({"some": choice}).fit(frame, binary.y)
    alone = forest(random_state=1).fit(binary.X[:, [3, 1]], binary.y)
    member = ensemble.members_["some"]
    assert member.n_features_in_ == 2
    assert ensemble.members_["all"].n_features_in_ == ensemble.n_features_in_ == 5
    expected = (alone.predict_proba(binary.X[:, [3, 1]]) + ensemble.members_["all"].predict_proba(binary.X)) / 2
    np.testing.assert_allclose(ensemble.predict_proba(frame), expected, rtol=1e-15)


@pytest.mark.parametrize(
    ("choice", "positions"),
    [
        (slice(1, 3), [1, 2]),
        (slice(None, None, -2), [4, 2, 0]),
        ([True, False, False, False, True], [0, 4]),
        (np.arange(5) > 2, [3, 4]),
        (range(2), [0, 1]),
    ],
    ids=str,
)
def test_slices_and_masks_choose(binary, choice, positions):
    """A slice or a boolean mask means the positions that it means for an array."""
    ensemble = chosen({"some": choice}).fit(binary.X, binary.y)
    assert ensemble._fitted_members[0].columns.tolist() == positions
    assert ensemble._fitted_members[1].columns is None


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ([1, 2], r"columns=\[1, 2\] is no dict; give each member's features by its name"),
        ({"none": [1]}, r"columns names the members \['none'\]; the members are \['all', 'some'\]"),
        ({"some": [5]}, r"columns\['some'\]=\[5\] chooses none of 5 features"),
        ({"some": []}, r"columns\['some'\]=\[\] chooses no|chooses none"),
        ({"some": [False] * 5}, "chooses no features"),
        ({"some": [True, False]}, "chooses none of 5 features"),
        ({"some": [0.5]}, "chooses none of 5 features"),
        ({"some": 2}, "chooses no features"),
        ({"some": ["mass"]}, r"columns\['some'\] names \['mass'\], and X came without names of features"),
    ],
    ids=str,
)
def test_wrong_columns_are_refused(binary, columns, message):
    """The message names the member, its choice and the rule."""
    with pytest.raises(InvalidInputError, match=message):
        chosen(columns).fit(binary.X, binary.y)


def test_unknown_names_are_refused(binary):
    """A name that is no feature is refused with those that are."""
    frame = pytest.importorskip("pandas").DataFrame(binary.X, columns=NAMES)
    with pytest.raises(InvalidInputError, match=r"names \['weight'\], and the features are \['width', 'height'"):
        chosen({"some": ["mass", "weight"]}).fit(frame, binary.y)


@pytest.mark.parametrize("data", ["multiclass", "regression"])
@pytest.mark.parametrize("options", [{}, {"passthrough": True}, {"refit": "average"}, {"combine": "soft"}], ids=str)
def test_programs_know_the_columns(data, options, tmp_path):
    """Program, integers and C take rows with all features, and the members in them their own."""
    pytest.importorskip("torch")
    X, y = sample(data).X.astype(np.float32), sample(data).y
    task = "regression" if data == "regression" else "classification"
    members = [("trees", forest(task=task)), ("net", network(task=task, max_epochs=10))]
    columns = {"trees": [0, 2], "net": slice(1, 5)}
    ensemble = Ensemble(members, task=task, columns=columns, cv=3, random_state=0, **options).fit(X, y)
    size = max(1.0, np.abs(y).max())
    np.testing.assert_allclose(run(ensemble.program(), X), ensemble._predict_rows(X), rtol=0, atol=1e-9 * size)
    predictor = ensemble.quantize("int8", X, y)
    assert predictor.report.agreement > 0.85
    assert predictor.verify_c(X).n_different == 0


def test_columns_reach_held_out_rows(binary):
    """A member that stops early gets validation rows with its own features only."""
    pytest.importorskip("xgboost")
    ensemble = Ensemble([stopping(), LOGISTIC], columns={"xgboost": [2, 0]}, cv=3, random_state=0)
    assert ensemble.fit(binary.X, binary.y).members_["xgboost"].n_features_in_ == 2


def test_search_sets_columns(binary):
    """Columns are a parameter like any other."""
    ensemble = chosen({"some": [0]}).set_params(columns={"all": [1, 2]})
    fitted = clone(ensemble).fit(binary.X, binary.y)
    assert [member.n_features_in_ for member in fitted.members_.values()] == [5, 2]
