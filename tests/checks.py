"""What holds for every model: functions `check_*(make_model)`, listed by `yield_checks`.

`make_model(**parameters)` returns an unfitted model of one kind and task with a fixed seed.
"""

import inspect
import pickle
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import checks_input
import checks_program
import numpy as np
import pytest
from samples import outputs, sample, sample_of
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.metrics import accuracy_score, r2_score
from sklearn.utils import compute_sample_weight

from ensemble_1d import InvalidInputError, Predictor
from ensemble_1d.combination import LEARNED_RULES

Check = Callable[[Callable[..., Any]], None]


def yield_checks(make_model: Callable[..., Any]) -> Iterator[Check]:
    """Yield the checks that concern the task and the parameters of a model."""
    model = make_model()
    unsuitable = CLASSIFICATION_ONLY if model.task == "regression" else REGRESSION_ONLY
    for module in (sys.modules[__name__], checks_input, checks_program):
        for name, check in vars(module).items():
            if not name.startswith("check_") or check in unsuitable:
                continue
            if "class_weight" in name and not hasattr(model, "class_weight"):
                continue
            if splits_rows(model) and check in WITHOUT_SPLIT:
                continue
            if "boosted_trees" in name and "XGBoostModel" not in repr(model):
                continue
            yield check


def sentinels(model: Any) -> dict[str, object]:
    """Return a new object for every parameter of the constructor."""
    return {name: object() for name in inspect.signature(type(model).__init__).parameters if name != "self"}


def check_constructor_stores_parameters_untouched(make_model):
    """The constructor stores the very objects it is given, and looks at none of them."""
    values = sentinels(make_model())
    model = type(make_model())(**values)
    assert all(getattr(model, name) is value for name, value in values.items())
    assert set(vars(model)) == set(values)


def check_parameters_are_got_set_and_cloned(make_model):
    """get_params returns what set_params set; a clone has equal parameters and nothing fitted."""
    model = make_model()
    assert set(model.get_params(deep=False)) == set(sentinels(model))
    assert model.set_params(n_jobs=2, random_state=7) is model
    assert (model.n_jobs, model.random_state) == (2, 7)
    data = sample_of(model)
    copy = clone(model.fit(data.X, data.y))
    assert copy is not model
    assert not [name for name in vars(copy) if name.endswith("_")]
    assert {name: repr(value) for name, value in copy.get_params().items()} == {
        name: repr(value) for name, value in model.get_params().items()
    }
    with pytest.raises(ValueError, match="Invalid parameter 'depth_of_roots'"):
        model.set_params(depth_of_roots=3)


def check_task_decides_the_kind_of_estimator(make_model):
    """Tags and methods follow `task`, which must be known."""
    model = make_model()
    assert is_classifier(model) == hasattr(model, "predict_proba") == (model.task == "classification")
    assert is_regressor(model) == (model.task == "regression")
    data = sample_of(model)
    with pytest.raises(InvalidInputError, match="task='clustering' is unknown; use 'classification' or 'regression'"):
        make_model(task="clustering").fit(data.X, data.y)


def check_labels_return_as_given(make_model):
    """Labels come back with the values and the dtype of y, sorted in `classes_`, also from the program."""
    data = sample("binary")
    for pair in (["no", "yes"], [-7, -2], [3, 9000], [False, True], [0.0, 1.0], np.array([4, 250], np.uint8)):
        labels = np.array(pair)[data.y]
        model = make_model().fit(data.X, labels)
        predicted = model.predict(data.X)
        assert predicted.dtype == model.classes_.dtype == labels.dtype
        assert model.classes_.tolist() == np.array(pair).tolist()
        assert np.mean(predicted == labels) > 0.7
        assert np.array_equal(Predictor(model.program()).predict(data.X), predicted)


def check_labels_of_data_frames_return_as_given(make_model):
    """Text in a pandas or polars column comes back as text; the program holds it without the object dtype."""
    data = sample("words")
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    for y in (
        pandas.Series(data.y),
        pandas.Series(data.y, dtype=object),
        pandas.Series(data.y, dtype="category"),
        polars.Series(data.y),
        data.y.tolist(),
    ):
        model = make_model().fit(data.X, y)
        assert model.classes_.tolist() == ["benign", "malign"]
        assert set(model.predict(data.X).tolist()) == {"benign", "malign"}
        assert model.program().classes.dtype.kind == "U"
        assert model.score(data.X, y) > 0.7


def check_probabilities_sum_to_one_and_predict_is_their_argmax(make_model):
    """Rows of predict_proba sum to one within float64 rounding, and predict is the class of the largest."""
    for n_classes in (2, 3):
        model = make_model()
        data = sample_of(model, n_classes)
        probabilities = model.fit(data.X, data.y).predict_proba(data.X)
        assert probabilities.dtype == np.float64
        assert probabilities.shape == (len(data.X), n_classes)
        assert probabilities.min() >= 0
        assert np.abs(probabilities.sum(axis=1) - 1).max() < 1e-12
        assert np.array_equal(model.predict(data.X), model.classes_[probabilities.argmax(axis=1)])


def check_equal_probabilities_give_the_first_class(make_model):
    """Where probabilities are equal, predict takes the first of `classes_`."""
    data = sample("multiclass")
    model = make_model().fit(data.X, data.y - 10)
    tied = np.tile([0.2, 0.4, 0.4], (len(data.X), 1))
    with mock.patch.object(type(model), "_predict_backend", return_value=tied):
        assert set(model.predict(data.X).tolist()) == {-9}


def check_values_are_float64(make_model):
    """A regressor returns one float64 for each row."""
    data = sample("regression")
    predicted = make_model().fit(data.X, data.y.astype(np.int64)).predict(data.X)
    assert predicted.dtype == np.float64
    assert predicted.shape == (len(data.X),)
    assert len(np.unique(predicted)) > 10


def check_seed_decides_all_with_any_number_of_jobs(make_model):
    """The same seed gives the same bits, whatever `n_jobs`, and whether it is an integer or a RandomState."""
    data = sample_of(make_model())
    first = outputs(make_model(random_state=3).fit(data.X, data.y), data.X)
    for n_jobs in (None, 1, 2):
        again = make_model(random_state=3, n_jobs=n_jobs).fit(data.X, data.y)
        assert np.array_equal(outputs(again, data.X), first)
    states = [make_model(random_state=np.random.RandomState(3)).fit(data.X, data.y) for _ in range(2)]
    assert np.array_equal(outputs(states[0], data.X), outputs(states[1], data.X))


def check_global_random_states_are_untouched(make_model):
    """With a seed, neither fit nor predict draws from, or seeds, a global generator; none of them matters."""

    def states() -> tuple[Any, ...]:
        torch = sys.modules.get("torch")
        kept = None if torch is None else torch.get_rng_state().numpy().tobytes()
        return random.getstate(), pickle.dumps(np.random.get_state()), kept  # noqa: NPY002

    def advance() -> None:
        random.random()  # noqa: S311
        np.random.random(3)  # noqa: NPY002
        if "torch" in sys.modules:
            sys.modules["torch"].rand(3)

    model = make_model()
    data = sample_of(model)
    first = outputs(model.fit(data.X, data.y), data.X)  # Loads the backend.
    advance()  # A fit that seeds a global generator would leave it as the first one did.
    before = states()
    again = outputs(make_model().fit(data.X, data.y), data.X)
    assert states() == before
    assert np.array_equal(again, first)


def check_fit_forgets_the_fit_before(make_model):
    """A second fit leaves the same model as the first fit of a new one would."""
    pandas = pytest.importorskip("pandas")
    model = make_model()
    before, data = sample_of(model, 3), sample_of(model)
    model.fit(pandas.DataFrame(before.X[:, :3], columns=["a", "b", "c"]), before.y)
    assert model.n_features_in_ == 3
    model.fit(data.X, data.y)
    fresh = make_model().fit(data.X, data.y)
    assert set(vars(model)) == set(vars(fresh))
    assert model.n_features_in_ == data.X.shape[1]
    assert np.array_equal(outputs(model, data.X), outputs(fresh, data.X))


def check_failed_fits_mix_nothing_in(make_model):
    """After a fit that fails, the model predicts as it did before or is not fitted: never a mixture of both."""
    pandas = pytest.importorskip("pandas")
    data = sample_of(make_model())
    frame = pandas.DataFrame(data.X, columns=list("abcde"))
    narrow = pandas.DataFrame(data.X[:, :3], columns=list("xyz"))
    unusable = np.full(len(data.X), np.nan) if make_model().task == "regression" else np.zeros(len(data.X), np.int64)
    for X, y, parameters in [
        (narrow, unusable, {}),
        (narrow.replace(narrow.iloc[0, 0], np.inf), data.y, {}),
        (narrow, data.y, {"random_state": "no seed"}),
    ]:
        model = make_model().fit(frame, data.y)
        before = outputs(model, frame)
        with pytest.raises(ValueError, match=r"one class|NaN|infinity|seed"):
            model.set_params(**parameters).fit(X, y)
        try:
            after = outputs(model, frame)
        except NotFittedError:
            continue
        assert np.array_equal(after, before)
        assert model.program().feature_names == tuple("abcde")


def check_unfitted_models_say_so(make_model):
    """Every method that needs a fit raises NotFittedError before one."""
    model = make_model()
    data = sample_of(model)
    calls = [model.predict, model.score, model.evaluate, model.quantize]
    arguments = [(data.X,), (data.X, data.y), (data.X, data.y), ("int8", data.X)]
    if model.task == "classification":
        calls, arguments = [*calls, model.predict_proba], [*arguments, (data.X,)]
    for call, values in zip([*calls, model.program], [*arguments, ()], strict=True):
        with pytest.raises(NotFittedError, match=f"This {type(model).__name__} instance is not fitted yet"):
            call(*values)


def check_pickles_predict_the_same(make_model):
    """A pickled and restored model predicts the same bits; the class and an unfitted model can be pickled too."""
    model = make_model()
    data = sample_of(model)
    assert pickle.loads(pickle.dumps(type(model))) is type(model)  # noqa: S301
    unfitted = pickle.loads(pickle.dumps(model))  # noqa: S301
    model.fit(data.X, data.y)
    restored = pickle.loads(pickle.dumps(model))  # noqa: S301
    assert np.array_equal(outputs(restored, data.X), outputs(model, data.X))
    assert np.array_equal(outputs(unfitted.fit(data.X, data.y), data.X), outputs(model, data.X))


def check_score_is_accuracy_or_r2(make_model):
    """The score is the accuracy or R2, weighted where weights are given."""
    model = make_model()
    data = sample_of(model)
    metric = accuracy_score if model.task == "classification" else r2_score
    predicted = model.fit(data.X[:90], data.y[:90]).predict(data.X)
    weights = np.linspace(0, 2, len(data.X))
    assert model.score(data.X, data.y) == metric(data.y, predicted)
    assert model.score(data.X, data.y, weights) == metric(data.y, predicted, sample_weight=weights)


def without_bootstrap(model: Any) -> Any:
    """Return the model with every forest seeing all rows: a bootstrap draws other rows where others are given."""
    names = [name for name in model.get_params() if name.rpartition("__")[2] == "bootstrap"]
    return model.set_params(**dict.fromkeys(names, False))


def check_zero_weight_removes_rows(make_model):
    """Rows of weight zero act like rows that are not there: within 1e-5, for float32 sums in another order."""
    model = without_bootstrap(make_model())
    data = sample_of(model)
    weights = np.where(np.arange(len(data.X)) % 4 == 0, 0.0, 1.0)
    kept = without_bootstrap(make_model()).fit(data.X[weights > 0], data.y[weights > 0])
    full = without_bootstrap(make_model()).fit(data.X, data.y)
    weighted = outputs(model.fit(data.X, data.y, sample_weight=weights), data.X)
    np.testing.assert_allclose(weighted, outputs(kept, data.X), rtol=1e-5, atol=1e-5)
    assert np.abs(outputs(full, data.X) - weighted).max() > 1e-3


def check_weights_are_checked(make_model):
    """Weights must be finite, not negative, not all zero, and one for each row."""
    model = make_model()
    data = sample_of(model)
    weights = np.ones(len(data.X))
    for wrong, message in [
        (-weights, "Negative values"),
        (weights * np.nan, "NaN"),
        (weights * 0, "at least one non-zero"),
        (weights[1:], r"sample_weight\.shape"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(data.X, data.y, wrong)


def check_class_weight_is_by_label(make_model):
    """class_weight takes the labels as given, and equals the sample weights that it means, times those given."""
    data = sample("words")
    by_label = {"benign": 1.0, "malign": 5.0}
    given = np.linspace(0.5, 2, len(data.X))
    for class_weight in (by_label, "balanced"):
        meant = compute_sample_weight(class_weight, data.y)
        weighted = make_model(class_weight=class_weight)
        assert np.array_equal(
            weighted.fit(data.X, data.y).predict_proba(data.X),
            make_model().fit(data.X, data.y, meant).predict_proba(data.X),
        )
        assert np.array_equal(
            weighted.fit(data.X, data.y, given).predict_proba(data.X),
            make_model().fit(data.X, data.y, meant * given).predict_proba(data.X),
        )
    plain = make_model().fit(data.X, data.y).predict_proba(data.X)
    assert (make_model(class_weight=by_label).fit(data.X, data.y).predict_proba(data.X) - plain)[:, 1].mean() > 0.01


def check_class_weight_is_checked(make_model):
    """A class_weight of another kind, negative, or that leaves no row a weight is a ValueError that names it."""
    data = sample("words")
    for wrong in ("heavy", {"benign": -1.0, "malign": 1.0}, {"benign": 0.0, "malign": 0.0}):
        with pytest.raises(ValueError, match="class_weight"):
            make_model(class_weight=wrong).fit(data.X, data.y)
    model = make_model(class_weight={"benign": 0.0, "malign": 1.0})
    with pytest.raises(ValueError, match="class_weight"):
        model.fit(data.X, data.y, np.where(data.y == "benign", 1.0, 0.0))


def check_class_weight_is_refused_for_regression(make_model):
    """class_weight has no meaning for regression, and the message says what has."""
    data = sample("regression")
    with pytest.raises(InvalidInputError, match=r"class_weight='balanced' .* regression; use sample_weight"):
        make_model(class_weight="balanced").fit(data.X, data.y)


def splits_rows(model: Any) -> bool:
    """Return whether a model is an ensemble that fits its members on folds too, or holds rows out."""
    learns = getattr(model, "combine", None) in LEARNED_RULES or getattr(model, "calibrate", False)
    return learns or getattr(model, "refit", None) == "average" or getattr(model, "early_stopping", False)


WITHOUT_SPLIT = {checks_input.check_few_rows_are_enough}
"""Checks of too few rows for folds, or to hold one out."""
CLASSIFICATION_ONLY = {
    check_labels_return_as_given,
    check_labels_of_data_frames_return_as_given,
    check_probabilities_sum_to_one_and_predict_is_their_argmax,
    check_equal_probabilities_give_the_first_class,
    check_class_weight_is_by_label,
    check_class_weight_is_checked,
    checks_input.check_one_class_is_refused,
}
REGRESSION_ONLY = {
    check_values_are_float64,
    check_class_weight_is_refused_for_regression,
    checks_input.check_constant_target_is_learned,
}
