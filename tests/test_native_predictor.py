"""`compile()`: a Predictor like any other, whose answers come from C."""

import pickle
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pandas as pd
import pytest
from c_harness import need
from samples import sample_of, with_missing

from ensemble_1d import Ensemble, InvalidInputError, Predictor, RandomForestModel
from ensemble_1d.native import native_program

BAD = {
    "infinite": np.array([[np.inf, 0, 0, 0, 0]], np.float32),
    "too wide": np.zeros((1, 6), np.float32),
    "flat": np.zeros(5, np.float32),
    "no row": np.zeros((0, 5), np.float32),
    "missing": np.array([[np.nan, 0, 0, 0, 0]], np.float32),
    "text": [["a"] * 5],
}


@pytest.fixture(autouse=True)
def _compiler():
    """A C compiler is there."""
    need("cc")


@pytest.fixture
def fitted(make_model):
    """Each model in each task, fitted."""
    model = make_model()
    data = sample_of(model)
    return model.fit(data.X, data.y), data.X


@pytest.fixture(scope="module")
def forest(missing):
    """A small forest that takes missing values."""
    return RandomForestModel(n_estimators=5, random_state=0).fit(missing.X, missing.y)


def test_every_model_compiles(fitted):
    """Labels, values and probabilities of every model and ensemble, in both tasks."""
    model, X = fitted
    compiled = model.compile()
    predictor = Predictor(model.program())
    assert compiled._native.is_native
    assert compiled.program.task == model.task
    assert np.allclose(outputs_of(compiled, X), outputs_of(predictor, X), rtol=1e-9, atol=1e-9)
    if model.task == "classification":
        assert np.array_equal(compiled.predict(X), model.predict(X))


def outputs_of(predictor, X):
    """Return probabilities, or values."""
    return predictor.predict(X) if predictor.program.classes is None else predictor.predict_proba(X)


def test_every_quantized_model_compiles_to_the_same_integers(fitted):
    """The answers of the integer program, and the integers behind them, bit for bit."""
    model, X = fitted
    small = model.quantize("int8", X)
    compiled = small.compile(n_jobs=1)
    codes = small.quantize_input(X)
    assert np.array_equal(outputs_of(compiled, X), outputs_of(small, X))
    assert np.array_equal(compiled.run_codes(codes), small.run_codes(codes))
    assert compiled.run_codes(codes).dtype == np.int32
    assert compiled.report is small.report
    assert compiled.c_source() == small.c_source()


def test_any_form_of_rows(forest, missing):
    """Other dtypes, strides, orders, lists and frames give the same answers."""
    X = missing.X.astype(np.float32)
    compiled = forest.compile()
    expected = Predictor(forest.program()).predict_proba(X)
    wide = np.repeat(X, 2, axis=1)[:, ::2]
    shifted = np.frombuffer(b"\0" + X.tobytes(), np.uint8)[1:].view(np.float32).reshape(X.shape)
    assert not shifted.flags.aligned
    forms = [X, X.astype(np.float64), np.asfortranarray(X), wide, X.tolist(), pd.DataFrame(X), shifted]
    forms += [X.astype(X.dtype.newbyteorder()), X[::-1][::-1]]
    for form in forms:
        assert np.array_equal(compiled.predict_proba(form), expected)
    for n_rows in (1, 2, 17):
        assert np.array_equal(compiled.predict_proba(X[:n_rows]), expected[:n_rows])


@pytest.mark.parametrize("name", BAD)
def test_bad_rows_are_refused_as_ever(name, make_model):
    """Compiled or not, the same error with the same words."""
    model = make_model()
    data = sample_of(model)
    predictor = Predictor(model.fit(data.X, data.y).program())
    if name == "missing" and predictor.program.accepts_missing:
        assert len(predictor.compile().predict(BAD[name])) == 1
        return
    with pytest.raises(InvalidInputError) as plain:
        predictor.predict(BAD[name])
    with pytest.raises(InvalidInputError) as compiled:
        predictor.compile().predict(BAD[name])
    assert str(compiled.value) == str(plain.value)


def test_plain_rows_take_the_short_way(forest, missing, monkeypatch):
    """Rows of float32 go to C as they are, without a copy and without a second look."""
    compiled = forest.compile()
    X = missing.X.astype(np.float32)
    expected = compiled.predict_proba(X)
    monkeypatch.setattr(Predictor, "_rows", None)
    assert np.array_equal(compiled.predict_proba(X), expected)
    with pytest.raises(TypeError):
        compiled.predict_proba(X.astype(np.float64))


def test_pickle_keeps_the_program_and_finds_the_kernels(forest, missing):
    """A copy holds no address of the process that it left, and answers natively."""
    compiled = forest.compile(n_jobs=1)
    text = pickle.dumps(compiled)
    copied = pickle.loads(text)  # noqa: S301 -- our own
    assert copied._native._kernels is None
    assert copied._native.n_jobs == 1
    assert len(text) < len(pickle.dumps(forest.program())) + 500
    assert np.array_equal(copied.predict_proba(missing.X), compiled.predict_proba(missing.X))
    assert copied._native._kernels is not None


def test_threads_share_a_predictor(forest, missing):
    """Many threads at once, on different rows, in a copy that none has used yet."""
    X = np.tile(missing.X, (40, 1)).astype(np.float32)
    copied = pickle.loads(pickle.dumps(forest.compile(n_jobs=2)))  # noqa: S301 -- our own
    expected = Predictor(forest.program()).predict_proba(X)
    blocks = [slice(i, i + 2100 + i) for i in range(0, 2000, 97)]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda block: copied.predict_proba(X[block]), blocks))
    assert all(np.array_equal(each, expected[block]) for each, block in zip(found, blocks, strict=True))


def test_compiling_changes_nothing_else(forest):
    """The predictor that is compiled stays as it is, and what is made of a compiled one is not compiled."""
    predictor = Predictor(forest.program())
    compiled = predictor.compile()
    assert predictor._native is None
    assert compiled.program is predictor.program
    assert repr(compiled) == repr(predictor)
    assert compiled.quantize("int8", np.zeros((3, 5)) + np.arange(3)[:, None])._native is None


@pytest.mark.parametrize("n_jobs", [0, -1, 1.5, True, "2"])
def test_n_jobs_is_a_number_of_threads(forest, n_jobs):
    """Anything else is refused by name."""
    with pytest.raises(InvalidInputError, match=f"n_jobs={n_jobs!r} is no number of threads"):
        forest.compile(n_jobs=n_jobs)


def test_all_usable_cores_by_default(forest, missing, monkeypatch):
    """As many threads as cores, and none for few rows."""
    started = []
    pool = native_program.ThreadPoolExecutor
    monkeypatch.setattr(native_program, "ThreadPoolExecutor", lambda n, **rest: started.append(n) or pool(n, **rest))
    monkeypatch.setattr(native_program, "usable_cores", lambda: 3)
    X = np.tile(with_missing(missing.X), (50, 1)).astype(np.float32)
    compiled = forest.compile()
    compiled.predict(X[:2047])
    assert started == []
    compiled.predict(X)
    assert started == [2]


def test_a_model_that_is_not_fitted():
    """There is nothing to compile."""
    with pytest.raises(Exception, match="not fitted"):
        Ensemble().compile()
