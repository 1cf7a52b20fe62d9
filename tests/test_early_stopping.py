"""Models that stop early: which rows decide, which rounds are kept, and what `fit` refuses of validation rows."""

import json

import numpy as np
import pytest
from checks_program import rows_to_compare
from samples import boosting, network, outputs, sample, sample_of

from ensemble_1d import EnsembleError, InvalidInputError, RandomForestModel
from ensemble_1d.models.hold_out import Rows, hold_out
from ensemble_1d.runtime import run


def stopping_boosting(**parameters):
    """Return boosted trees that stop after a few rounds."""
    return boosting(
        **{"n_estimators": 60, "early_stopping": True, "n_iter_no_change": 4, "random_state": 0} | parameters
    )


def stopping_network(**parameters):
    """Return a network that stops after a few epochs."""
    return network(**{"early_stopping": True, "n_iter_no_change": 4, "random_state": 0} | parameters)


@pytest.fixture(params=["XGBoostModel", "PyTorchModel"])
def make_stopping(request):
    """A maker of each model that can stop early."""
    pytest.importorskip({"XGBoostModel": "xgboost", "PyTorchModel": "torch"}[request.param])
    return {"XGBoostModel": stopping_boosting, "PyTorchModel": stopping_network}[request.param]


def split_of(X, y, *, fraction=0.1, seed=0, by_class=True):
    """Return the indices of the rows that a fit with this seed trains on, and of those it holds out."""
    rng = np.random.RandomState(seed)
    rng.randint(2**31 - 1)  # The seed of the backend is drawn first.
    numbered = Rows(np.asarray(X, np.float32), np.unique(y, return_inverse=True)[1], np.arange(1.0, len(X) + 1))
    return [part.weight.astype(np.int64) - 1 for part in hold_out(numbered, fraction, rng, by_class=by_class)]


@pytest.mark.parametrize("seed", range(5))
def test_rows_are_held_out_by_class(binary, seed):
    """Validation rows hold each class in its share, a rare one too; each row is in one part."""
    y = np.where(np.arange(120) % 12 == 0, "rare", "common")
    kept, held = split_of(binary.X, y, fraction=0.2, seed=seed)
    assert (y[kept] == "rare").sum() == 8
    assert (y[held] == "rare").sum() == 2
    assert np.array_equal(np.sort(np.concatenate([kept, held])), np.arange(120))
    assert len(held) == 24


@pytest.mark.parametrize("fraction", [0.05, 0.5, 0.95])
def test_every_class_keeps_a_row_to_train_on(fraction):
    """Rare classes, or a share that leaves few rows to train on, take no class away."""
    y = np.repeat([0, 1, 2, 3], [40, 1, 2, 7])
    for seed in range(20):
        kept, held = split_of(np.zeros((50, 1)), y, fraction=fraction, seed=seed)
        assert set(y[kept]) == {0, 1, 2, 3}
        assert len(held) == min(round(fraction * 50), 46)


@pytest.mark.parametrize("by_class", [True, False])
def test_one_row_is_held_out_at_least(by_class):
    """A share of less than one row is one."""
    kept, held = split_of(np.zeros((30, 1)), np.arange(30) % 3, fraction=0.01, by_class=by_class)
    assert (len(kept), len(held)) == (29, 1)


def test_regression_keeps_a_row_to_train_on():
    """Of numbers, any row may be held out, but not all."""
    kept, held = split_of(np.zeros((3, 1)), np.arange(3), fraction=0.99, by_class=False)
    assert (len(kept), len(held)) == (1, 2)


def test_too_few_rows_to_hold_one_out(binary, make_stopping):
    """The message counts the rows of positive weight and names the remedies."""
    ends = [np.argmin(binary.y), np.argmax(binary.y)]
    with pytest.raises(InvalidInputError, match=r"2 sample\(s\) .* beside one of each class .* give X_val and y_val"):
        make_stopping().fit(binary.X[ends], binary.y[ends])
    model = make_stopping(task="regression")
    with pytest.raises(InvalidInputError, match=r"1 sample\(s\) of positive weight; .* set early_stopping=False"):
        model.fit(binary.X[:3], [1.0, 2.0, 3.0], sample_weight=[1.0, 0.0, 0.0])


@pytest.mark.parametrize("name", ["binary", "multiclass", "regression"])
def test_rounds_kept_are_the_best_of_xgboost_itself(name):
    """XGBoost's own loop on the same rows, run to its end, has its least loss in the last round kept."""
    xgboost = pytest.importorskip("xgboost")
    data, is_regression = sample(name), name == "regression"
    model = stopping_boosting(task="regression" if is_regression else "classification", n_iter_no_change=7)
    model.fit(data.X, data.y)
    kept, held = split_of(data.X, data.y, by_class=not is_regression)
    objective, metric = {
        "binary": ("binary:logistic", "logloss"),
        "multiclass": ("multi:softprob", "mlogloss"),
        "regression": ("reg:squarederror", "rmse"),
    }[name]
    parameters = {"objective": objective, "max_depth": 3, "learning_rate": 0.3, "nthread": 1}
    if name == "multiclass":
        parameters["num_class"] = 3
    X = data.X.astype(np.float32)
    train = xgboost.QuantileDMatrix(X[kept], data.y[kept], nthread=1)
    validation = xgboost.QuantileDMatrix(X[held], data.y[held], ref=train, nthread=1)
    log = {}
    evals = [(validation, "held")]
    full = xgboost.train(parameters, train, 60, evals=evals, evals_result=log, verbose_eval=False)
    losses = log["held"][metric]
    best = int(np.argmin(losses[: model.n_iter_]))
    assert model.best_iteration_ == best + 1
    assert model.n_iter_ == min(60, best + 1 + 7)
    assert model.best_iteration_ < 60
    expected = full.inplace_predict(X, iteration_range=(0, best + 1), predict_type="margin")
    assert np.array_equal(model.backend_.predict(X, output_margin=True), expected)


@pytest.mark.parametrize("backend_params", [{}, {"num_parallel_tree": 3, "subsample": 0.7}, {"tree_method": "exact"}])
def test_trees_after_the_best_round_take_no_part(multiclass, backend_params):
    """The backend, its booster, the model and its program hold the rounds kept and no other."""
    pytest.importorskip("xgboost")
    model = stopping_boosting(backend_params=backend_params).fit(multiclass.X, multiclass.y)
    assert model.best_iteration_ == model.n_iter_ - 4
    booster = model.backend_.get_booster()
    n_trees = model.best_iteration_ * 3 * backend_params.get("num_parallel_tree", 1)
    assert len(booster.get_dump()) == len(model.program().root.steps[0].root) == n_trees
    assert model.backend_.best_iteration == model.best_iteration_ - 1
    rows = rows_to_compare(model, multiclass.X)
    np.testing.assert_allclose(model.predict_proba(rows), model.backend_.predict_proba(rows), atol=1e-6)
    np.testing.assert_allclose(run(model.program(), rows), model.backend_.predict_proba(rows), atol=1e-6)


def test_without_early_stopping_all_rounds_are_kept(binary):
    """The rounds run and kept are those asked for."""
    pytest.importorskip("xgboost")
    model = boosting(n_estimators=7).fit(binary.X, binary.y)
    assert model.best_iteration_ == model.n_iter_ == model.backend_.get_booster().num_boosted_rounds() == 7


def test_boosting_stops_where_the_loss_stays_the_same(binary):
    """A loss that does not fall is no improvement: trees without a split end after n_iter_no_change rounds."""
    pytest.importorskip("xgboost")
    model = stopping_boosting(gamma=1e9, n_iter_no_change=3).fit(binary.X, binary.y)
    assert (model.best_iteration_, model.n_iter_) == (1, 4)


def test_another_seed_holds_out_other_rows(make_stopping, multiclass):
    """The seed decides which rows are held out; the same one gives the same model."""
    first, same, other = (
        make_stopping(random_state=seed).fit(multiclass.X, multiclass.y).predict_proba(multiclass.X)
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, same)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_rows_given_do_what_rows_held_out_do(make_stopping, task):
    """A fit that is given the rows another would hold out is that other, to the last bit, with their weights too."""
    data = sample_of(make_stopping(task=task))
    weights = np.linspace(0.5, 2, len(data.X))
    kept, held = split_of(data.X, data.y, by_class=task == "classification")
    parameters = {"task": task} | ({"class_weight": {0: 3.0}} if task == "classification" else {})
    whole = make_stopping(**parameters).fit(data.X, data.y, weights)
    given = make_stopping(**parameters).fit(
        *(data.X[kept], data.y[kept], weights[kept]),
        X_val=data.X[held],
        y_val=data.y[held],
        sample_weight_val=weights[held],
    )
    assert (given.best_iteration_, given.n_iter_) == (whole.best_iteration_, whole.n_iter_)
    assert np.array_equal(outputs(given, data.X), outputs(whole, data.X))


def test_other_rows_given_stop_elsewhere(make_stopping, binary):
    """The rows given decide: the training rows themselves improve for long, wrong labels at once no more."""
    same = make_stopping().fit(binary.X, binary.y, X_val=binary.X, y_val=binary.y)
    wrong = make_stopping().fit(binary.X, binary.y, X_val=binary.X, y_val=1 - binary.y)
    assert wrong.best_iteration_ == 1
    assert wrong.n_iter_ == 5
    assert same.best_iteration_ > 10


def test_classes_that_training_lacks_are_left_out(make_stopping, multiclass):
    """Validation rows of a class that y lacks, or holds at weight zero alone, take no part; labels are the user's."""
    names = np.array(["apple", "birch", "cedar"])[multiclass.y]
    trained, unknown = names[:80] != "cedar", names[80:] == "cedar"
    X, y, X_val, y_val = multiclass.X[:80], names[:80], multiclass.X[80:], names[80:]
    model = make_stopping().fit(X[trained], y[trained], X_val=X_val, y_val=y_val)
    only = make_stopping().fit(X[trained], y[trained], X_val=X_val[~unknown], y_val=y_val[~unknown])
    assert np.array_equal(model.predict_proba(X), only.predict_proba(X))
    assert model.best_iteration_ == only.best_iteration_ > 1
    weighted = make_stopping().fit(X, y, trained, X_val=X_val, y_val=y_val)
    only = make_stopping().fit(X, y, trained, X_val=X_val[~unknown], y_val=y_val[~unknown])
    assert weighted.classes_.tolist() == ["apple", "birch", "cedar"]
    assert losses_of(weighted) == losses_of(only)
    with pytest.raises(InvalidInputError, match=r"none of the \d+ row\(s\) of X_val can be used"):
        make_stopping().fit(X[trained], y[trained], X_val=X_val[unknown], y_val=y_val[unknown])


def test_missing_class_among_the_rows_given_is_no_fault(make_stopping, multiclass):
    """Validation rows of one class only are enough to stop by."""
    one = multiclass.y == 2
    model = make_stopping().fit(multiclass.X, multiclass.y, X_val=multiclass.X[one], y_val=multiclass.y[one])
    assert model.predict_proba(multiclass.X).shape == (120, 3)


def test_weights_of_validation_rows_count(make_stopping, binary):
    """Weight zero removes a row, and class_weight multiplies: "balanced" by the classes of y, not of y_val."""
    X, y, X_val, y_val = binary.X[:80], binary.y[:80], binary.X[80:], binary.y[80:]

    def losses_with(X_val, y_val, weight, **parameters):
        return losses_of(make_stopping(**parameters).fit(X, y, X_val=X_val, y_val=y_val, sample_weight_val=weight))

    weights = np.linspace(1, 3, 40) * (np.arange(40) % 3 > 0)
    used = weights > 0
    weighted = losses_with(X_val, y_val, weights)
    assert weighted == losses_with(X_val[used], y_val[used], weights[used])
    assert weighted != losses_with(X_val[used], y_val[used], None)
    balanced = len(y) / (2 * np.bincount(y))
    by_name = losses_with(X_val, y_val, weights, class_weight="balanced")
    assert by_name == losses_with(X_val, y_val, weights, class_weight=dict(enumerate(balanced)))
    meant = make_stopping().fit(
        *(X, y, balanced[y]), X_val=X_val, y_val=y_val, sample_weight_val=weights * balanced[y_val]
    )
    assert losses_of(meant) == by_name


def losses_of(model):
    """Return the validation loss of each round."""
    if hasattr(model, "validation_loss_curve_"):
        return model.validation_loss_curve_
    (losses,) = model.backend_.evals_result()["validation_0"].values()
    return losses


def test_weight_of_zero_removes_a_class_and_nothing_else(multiclass):
    """A class whose rows all weigh nothing is never predicted, and the others as if it were not there."""
    pytest.importorskip("xgboost")
    weights = (multiclass.y != 1).astype(np.float64)
    used = weights > 0
    for early_stopping in (False, True):
        model = stopping_boosting(early_stopping=early_stopping).fit(multiclass.X, multiclass.y, weights)
        probabilities = model.predict_proba(multiclass.X)
        assert probabilities.shape == (120, 3)
        assert probabilities[:, 1].max() < 0.1
        assert np.mean(model.predict(multiclass.X)[used] == multiclass.y[used]) > 0.9


def test_rows_of_weight_zero_are_not_drawn(regression):
    """Where each tree draws rows, those of weight zero are not among them: the bits are those of a fit without them."""
    pytest.importorskip("xgboost")
    weights = np.where(np.arange(120) % 4 == 0, 0.0, 1.5)
    used = weights > 0
    weighted = boosting(task="regression", subsample=0.5, random_state=0).fit(regression.X, regression.y, weights)
    alone = boosting(task="regression", subsample=0.5, random_state=0)
    alone.fit(regression.X[used], regression.y[used], weights[used])
    assert np.array_equal(weighted.predict(regression.X), alone.predict(regression.X))


@pytest.mark.parametrize(
    ("parameters", "given", "message"),
    [
        (
            {"early_stopping": False},
            ["X_val", "y_val"],
            "X_val, y_val given, .* set early_stopping=True or fit without",
        ),
        ({"early_stopping": False}, ["sample_weight_val"], "sample_weight_val given, and early_stopping=False"),
        ({}, ["X_val"], "X_val given alone; validation rows are X_val and y_val: give both or none"),
        ({}, ["y_val"], "y_val given alone"),
        ({}, ["X_val", "sample_weight_val"], "X_val, sample_weight_val given alone"),
        ({"early_stopping": "auto"}, [], "early_stopping='auto' is out of range; use True or False"),
        ({"validation_fraction": 0}, [], r"validation_fraction=0 is out of range; use a share in \(0, 1\)"),
        ({"n_iter_no_change": 0}, [], "n_iter_no_change=0 is out of range; use an integer >= 1"),
    ],
    ids=str,
)
def test_what_contradicts_early_stopping_is_refused(make_stopping, binary, parameters, given, message):
    """The message names what was given, the rule and the remedy; the model stays as it was."""
    rows = {"X_val": binary.X, "y_val": binary.y, "sample_weight_val": np.ones(120)}
    model = make_stopping().fit(binary.X, binary.y)
    before = model.predict_proba(binary.X)
    model.set_params(**parameters)
    with pytest.raises(InvalidInputError, match=message):
        model.fit(binary.X[:50, :3], binary.y[:50], **{name: rows[name] for name in given})
    assert np.array_equal(model.predict_proba(binary.X), before)


def test_validation_rows_are_checked_like_those_to_predict(make_stopping, binary):
    """Another width, other names, infinity, other lengths, bad weights, and NaN where it is no value, are refused."""
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(binary.X, columns=list("abcde"))
    extreme = binary.X.copy()
    extreme[3, 3] = np.inf
    for X_val, y_val, weight, message in [
        (binary.X[:, :3], binary.y, None, "X has 3 features, but .* is expecting 5 features"),
        (frame.rename(columns={"e": "z"}), binary.y, None, "feature names"),
        (extreme, binary.y, None, "infinity"),
        (binary.X, binary.y[1:], None, "inconsistent numbers of samples"),
        (binary.X, binary.y, -np.ones(120), "Negative values"),
        (binary.X, binary.y, np.zeros(120), "at least one non-zero|none of the 120 row"),
    ]:
        X = frame if isinstance(X_val, pandas.DataFrame) else binary.X
        with pytest.raises(InvalidInputError, match=message):
            make_stopping().fit(X, binary.y, X_val=X_val, y_val=y_val, sample_weight_val=weight)
    missing = sample("missing")
    if make_stopping is stopping_boosting:
        assert make_stopping().fit(missing.X, missing.y, X_val=missing.X, y_val=missing.y).best_iteration_ > 1
    else:
        with pytest.raises(InvalidInputError, match="the validation rows do not fit: Input X contains NaN"):
            make_stopping().fit(binary.X, binary.y, X_val=missing.X, y_val=missing.y)


@pytest.mark.parametrize(
    ("backend_params", "early_stopping", "message"),
    [
        ({"early_stopping_rounds": 3}, False, "early_stopping_rounds=3 in backend_params; set early_stopping=True"),
        ({"early_stopping_rounds": 3}, True, "early_stopping_rounds=3 in backend_params; set early_stopping=True"),
        ({"eval_metric": "auc"}, True, "eval_metric='auc' in backend_params; .* leave it out"),
        ({"n_estimators": 9}, True, "n_estimators=9 in backend_params; .* set that parameter of XGBoostModel"),
        ({"booster": "dart"}, True, "'dart': it scales the trees of earlier rounds, .* use 'gbtree'"),
    ],
    ids=str,
)
def test_backend_parameters_that_contradict_are_refused(binary, backend_params, early_stopping, message):
    """What XGBoost would take over or ignore without a word is refused by name."""
    pytest.importorskip("xgboost")
    with pytest.raises(EnsembleError, match=message):
        boosting(early_stopping=early_stopping, backend_params=backend_params).fit(binary.X, binary.y)


def test_objective_decides_the_loss(regression):
    """Another objective of regression is stopped by its own loss."""
    pytest.importorskip("xgboost")
    model = stopping_boosting(task="regression", backend_params={"objective": "reg:absoluteerror"})
    model.fit(regression.X, regression.y)
    assert list(model.backend_.evals_result()["validation_0"]) == ["mae"]
    assert np.array_equal(run(model.program(), regression.X.astype(np.float32))[:, 0], model.predict(regression.X))


def test_callbacks_of_the_user_are_called_too(binary, capsys):
    """Callbacks in backend_params stay beside that of early stopping; nothing is printed unasked."""
    xgboost = pytest.importorskip("xgboost")
    seen = []

    class Count(xgboost.callback.TrainingCallback):
        def after_iteration(self, model, epoch, evals_log):
            seen.append(epoch)
            return False

    model = stopping_boosting(backend_params={"callbacks": [Count()]}).fit(binary.X, binary.y)
    assert len(seen) == model.n_iter_ == model.best_iteration_ + 4
    assert not "".join(capsys.readouterr())


def test_parameter_of_the_rounds_is_named(make_stopping):
    """The parameter with the largest number of rounds is one of the constructor, and bounds the rounds."""
    data = sample("binary")
    model = make_stopping()
    model.set_params(**{model._rounds_parameter: 2}).fit(data.X, data.y)
    assert model.n_iter_ == 2


def test_models_without_rounds_take_no_validation_rows(binary):
    """A forest has no argument that it would not use."""
    with pytest.raises(TypeError, match="X_val"):
        RandomForestModel().fit(binary.X, binary.y, X_val=binary.X, y_val=binary.y)


def test_saved_booster_holds_the_rounds_kept(binary, tmp_path):
    """XGBoost's own file of the fitted backend holds no tree after the best round."""
    pytest.importorskip("xgboost")
    model = stopping_boosting().fit(binary.X, binary.y)
    model.backend_.get_booster().save_model(tmp_path / "model.json")
    stored = json.loads((tmp_path / "model.json").read_text(encoding="utf-8"))
    assert len(stored["learner"]["gradient_booster"]["model"]["trees"]) == model.best_iteration_ < model.n_iter_
