"""What holds for every model of the X and y it is given: `checks` lists these functions too."""

import numpy as np
import pytest
from samples import outputs, sample, sample_of, with_missing
from sklearn.utils import get_tags


def check_arguments_are_unchanged_and_may_be_read_only(make_model):
    """X, y and the weights are left as they are: read-only arrays do, and writable ones keep their values."""
    model = make_model()
    data = sample_of(model)
    assert not data.X.flags.writeable
    weights = np.linspace(0, 1, len(data.X))
    weights.flags.writeable = False
    first = outputs(model.fit(data.X, data.y, weights), data.X)
    X, y, copied = data.X.astype(np.float32), data.y.copy(), weights.copy()
    assert np.array_equal(outputs(make_model().fit(X, y, copied), X), first)
    assert np.array_equal(X, data.X.astype(np.float32))
    assert np.array_equal(y, data.y)
    assert np.array_equal(copied, weights)


def check_dtypes_and_containers_agree(make_model):
    """The same numbers give the same bits, whatever the dtype, the order in memory or the container."""
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    data = sample_of(make_model())
    X = (np.median(data.X, axis=0) < data.X).astype(np.float32)
    expected = outputs(make_model().fit(X, data.y), X)
    assert len(np.unique(expected)) > 1
    names = [f"f{i}" for i in range(X.shape[1])]
    doubled = np.repeat(X, 2, axis=1)
    for same in (
        *(X.astype(dtype) for dtype in (np.float64, np.int64, np.uint8, np.bool_, np.float16)),
        X.tolist(),
        np.asfortranarray(X),
        doubled[:, ::2],
        pandas.DataFrame(X, columns=names),
        pandas.DataFrame(X.astype(np.int64), columns=names),
        polars.DataFrame(X, schema=names),
    ):
        assert np.array_equal(outputs(make_model().fit(same, data.y), same), expected), type(same)


def check_another_width_is_refused(make_model):
    """Rows of another width than those of fit are refused."""
    model = make_model()
    data = sample_of(model)
    model.fit(data.X, data.y)
    for X in (data.X[:, 1:], np.hstack([data.X, data.X])):
        with pytest.raises(ValueError, match=f"X has {X.shape[1]} features, but .* is expecting 5 features"):
            model.predict(X)


def check_missing_values_are_learned_or_refused(make_model):
    """NaN is a value that makes a difference, or is refused by fit and predict with a message that names it."""
    model = make_model()
    data = sample_of(model)
    X = with_missing(data.X)
    if get_tags(model).input_tags.allow_nan:
        learned = outputs(model.fit(X, data.y), X)
        assert np.isfinite(learned).all()
        assert not np.array_equal(learned, outputs(make_model().fit(data.X, data.y), data.X))
        assert model.program().accepts_missing
        return
    with pytest.raises(ValueError, match="contains NaN"):
        model.fit(X, data.y)
    model.fit(data.X, data.y)
    assert not model.program().accepts_missing
    with pytest.raises(ValueError, match="contains NaN"):
        model.predict(X)


def check_infinite_values_are_refused(make_model):
    """Infinity, and what is infinite in float32, is refused by fit and predict."""
    model = make_model()
    data = sample_of(model)
    fitted = make_model().fit(data.X, data.y)
    for extreme in (np.inf, -np.inf, 1e39):
        X = data.X.copy()
        X[3, 2] = extreme
        for call in (lambda X=X: model.fit(X, data.y), lambda X=X: fitted.predict(X)):
            with pytest.raises(ValueError, match="infinity or a value too large for dtype"):
                call()


def check_what_is_no_table_of_numbers_is_refused(make_model):
    """Text, complex numbers, objects, other dimensions and no rows or columns at all are refused clearly."""
    model = make_model()
    data = sample_of(model)
    fitted = make_model().fit(data.X, data.y)
    text = data.X.astype(object)
    text[0, 0] = "much"
    for X, message in [
        (text, "could not convert string to float"),
        (data.X + 1j, "Complex data not supported"),
        (data.X[:, 0], "Expected 2D array, got 1D array"),
        (data.X[:, :, np.newaxis], "dim 3"),
        (data.X[:0], r"0 sample\(s\)"),
        (data.X[:, :0], r"0 feature\(s\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.fit(X, data.y[: len(X)])
        with pytest.raises(ValueError, match=message):
            fitted.predict(X)


def check_targets_are_checked(make_model):
    """The target must be as long as X, and finite where it is numbers."""
    model = make_model()
    data = sample_of(model)
    with pytest.raises(ValueError, match="inconsistent numbers of samples"):
        model.fit(data.X, data.y[1:])
    y = data.y.astype(np.float64)
    y[5] = np.nan
    with pytest.raises(ValueError, match="NaN"):
        model.fit(data.X, y)
    with pytest.raises(ValueError, match="y"):
        model.fit(data.X, None)


def check_one_class_is_refused(make_model):
    """A single class is refused by name."""
    data = sample("binary")
    for label in ("only", 7):
        with pytest.raises(ValueError, match=f"one class only, .*{label}.*; a classifier needs two"):
            make_model().fit(data.X, np.full(len(data.X), label))


def check_constant_target_is_learned(make_model):
    """A constant target comes back, within float32 rounding."""
    data = sample("regression")
    predicted = make_model().fit(data.X, np.full(len(data.X), 4.3)).predict(data.X)
    np.testing.assert_allclose(predicted, 4.3, rtol=1e-6)


def check_few_rows_are_enough(make_model):
    """Two rows are enough to fit (for regression one), and one row to predict."""
    model = make_model()
    data = sample("binary")
    rows = [np.argmin(data.y), np.argmax(data.y)] if model.task == "classification" else [0]
    model.fit(data.X[rows], data.y[rows])
    assert model.predict(data.X[:1]).shape == (1,)
    assert np.isfinite(outputs(model, data.X)).all()
    full = make_model().fit(data.X, data.y)
    together = outputs(full, data.X)
    alone = np.concatenate([outputs(full, data.X[i : i + 1]) for i in range(9)])
    # A matrix product adds in another order for one row.
    np.testing.assert_allclose(alone, together[:9], rtol=1e-12, atol=1e-12)


def check_feature_names_are_checked(make_model):
    """Data frames are matched by the names of their columns: other names, or another order, are refused."""
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    data = sample_of(make_model())
    names = ["width", "height", "depth", "mass", "age"]
    columns = dict(zip(names, data.X.T, strict=True))
    for frame in (pandas.DataFrame, polars.DataFrame):
        model = make_model().fit(frame(columns), data.y)
        assert model.feature_names_in_.tolist() == names
        assert model.program().feature_names == tuple(names)
        outputs(model, frame(columns))
        backwards = frame(dict(reversed(columns.items())))
        with pytest.raises(ValueError, match="same order as they were in fit"):
            model.predict(backwards)
        with pytest.raises(ValueError, match=r"unseen at fit time:\n- weight"):
            model.predict(frame({("weight" if name == "mass" else name): each for name, each in columns.items()}))
        with pytest.warns(UserWarning, match="does not have valid feature names"):
            model.predict(data.X)
    assert not hasattr(make_model().fit(data.X, data.y), "feature_names_in_")
