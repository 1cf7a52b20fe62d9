"""What works, and what is said, where optional libraries cannot be imported."""

import pickle

import numpy as np
import pytest
from isolation import BACKENDS, run_python
from samples import forest, sample

from ensemble_1d import MissingBackendError, Predictor
from ensemble_1d.errors import EnsembleError

WITHOUT_SCIKIT_LEARN = [
    *("_compiler", "_files", "_require", "_validate", "errors", "ir", "predictor", "runtime", "runtime_integer"),
    *("export.c99", "export.onnx_graph", "export.onnx_parity", "export.verification"),
    *("quantization.arrays", "quantization.inputs", "quantization.programs", "quantization.report"),
]


def test_everything_below_the_models_runs_with_numpy_alone(words, tmp_path):
    """Without scikit-learn and all else, a program is run, quantized, measured and exported."""
    model = forest(random_state=0).fit(words.X, words.y)
    code = f"""
import importlib, pickle, pathlib
import numpy
for name in {WITHOUT_SCIKIT_LEARN}:
    importlib.import_module("ensemble_1d." + name)
from ensemble_1d import Predictor, QuantizationConfig, Quantizer
program, X, y = pickle.load(sys.stdin.buffer)
predictor = Predictor(program).quantize("int8", X, y)
predictor.export_c({str(tmp_path / "model.h")!r})
restored = Quantizer(QuantizationConfig("int8")).quantize(X)
answer = Predictor(program).predict_proba(X), predictor.predict_proba(X), str(predictor.report), type(restored).__name__
foreign = {{name.partition(".")[0] for name in sys.modules}} - set(sys.stdlib_module_names)
sys.stdout.buffer.write(pickle.dumps((*answer, foreign)))
"""
    done = run_python(code, blocked=BACKENDS, data=pickle.dumps((model.program(), words.X, words.y)))
    probabilities, integers, report, kind, foreign = pickle.loads(done.stdout)  # noqa: S301
    predictor = model.quantize("int8", words.X, words.y)
    assert np.array_equal(probabilities, Predictor(model.program()).predict_proba(words.X))
    assert np.array_equal(integers, predictor.predict_proba(words.X))
    assert report == str(predictor.report)
    assert kind == "QuantizedTensor"
    assert (tmp_path / "model.h").read_text(encoding="utf-8") == predictor.c_source()
    assert not foreign & set(BACKENDS)


@pytest.mark.parametrize(("name", "module"), [("XGBoostModel", "xgboost"), ("PyTorchModel", "torch")])
def test_model_without_its_backend(name, module):
    """The class is imported, documented, cloned and pickled; fit raises an ImportError with the pip command."""
    code = f"""
import inspect, pickle, pydoc
import sklearn.base
import ensemble_1d
from ensemble_1d import {name} as Model
assert "random_state" in inspect.signature(Model).parameters
assert "Seed" in pydoc.render_doc(Model)
model = pickle.loads(pickle.dumps(sklearn.base.clone(Model(random_state=3))))
assert isinstance(model, ensemble_1d.BaseModel) and model.random_state == 3
try:
    model.fit([[0.0], [1.0], [2.0]], [0, 1, 0])
except ImportError as error:
    facts = type(error).__name__, str(error), error.name, type(error.__cause__).__name__
try:
    model.predict([[0.0]])
except sklearn.exceptions.NotFittedError:
    sys.stdout.buffer.write(pickle.dumps(facts))
"""
    kind, message, missing, cause = pickle.loads(run_python(code, blocked=[module]).stdout)  # noqa: S301
    assert kind == "MissingBackendError"
    assert message == (
        f'{name}.fit needs {module}, which is not installed. Install it with: pip install "ensemble-1d[{module}]"'
    )
    assert missing == module
    assert cause == "ModuleNotFoundError"
    assert issubclass(MissingBackendError, ImportError)
    assert issubclass(MissingBackendError, EnsembleError)


@pytest.mark.parametrize("name", ["plot_weights", "plot_reliability", "plot_confusion"])
def test_plot_without_matplotlib(name):
    """The module is imported; each function raises an ImportError with the pip command."""
    code = f"""
import pickle
from ensemble_1d import Ensemble, MissingBackendError, RandomForestModel
from ensemble_1d.plotting import {name}
X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1]
ensemble = Ensemble([RandomForestModel(n_estimators=2)], combine="soft", random_state=0).fit(X, y)
try:
    {name}(ensemble{"" if name == "plot_weights" else ", X, y"})
except MissingBackendError as error:
    sys.stdout.buffer.write(pickle.dumps((str(error), error.name)))
"""
    message, missing = pickle.loads(run_python(code, blocked=["matplotlib"]).stdout)  # noqa: S301
    assert message == (
        f'{name} needs matplotlib, which is not installed. Install it with: pip install "ensemble-1d[viz]"'
    )
    assert missing == "matplotlib"


@pytest.mark.parametrize("way", ["finder", "sys.modules"])
def test_ensemble_without_xgboost(way):
    """The default members are the forest alone with a warning; asking for XGBoostModel is an error."""
    block = "sys.modules['xgboost'] = None" if way == "sys.modules" else ""
    code = f"""
{block}
import pickle, warnings
from ensemble_1d import Ensemble, MissingBackendError, RandomForestModel, XGBoostModel
X, y = [[0.0], [1.0], [2.0], [3.0]], [0, 1, 0, 1]
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    ensemble = Ensemble(combine="soft", random_state=0).fit(X, y)
try:
    Ensemble([XGBoostModel()], combine="soft").fit(X, y)
except MissingBackendError as error:
    facts = [str(each.message) for each in caught], list(ensemble.members_), str(error)
sys.stdout.buffer.write(pickle.dumps(facts))
"""
    done = run_python(code, blocked=["xgboost"] if way == "finder" else [])
    warned, members, message = pickle.loads(done.stdout)  # noqa: S301
    assert members == ["random_forest"]
    assert len(warned) == 1
    assert 'pip install "ensemble-1d[xgboost]"' in warned[0]
    assert message.startswith("XGBoostModel.fit needs xgboost, which is not installed.")


def test_fitted_forest_needs_no_optional_library():
    """A forest is fitted, quantized and pickled with scikit-learn and NumPy alone."""
    data = sample("words")
    code = """
import pickle
from ensemble_1d import RandomForestModel
X, y = pickle.load(sys.stdin.buffer)
model = RandomForestModel(n_estimators=8, max_depth=5, random_state=0).fit(X, y)
sys.stdout.buffer.write(pickle.dumps((model, model.quantize("int8", X).predict(X))))
"""
    blocked = ["xgboost", "torch", "pandas", "polars"]
    model, labels = pickle.loads(run_python(code, blocked=blocked, data=pickle.dumps((data.X, data.y))).stdout)  # noqa: S301
    expected = forest(random_state=0).fit(data.X, data.y)
    assert np.array_equal(model.predict_proba(data.X), expected.predict_proba(data.X))
    assert np.array_equal(labels, expected.quantize("int8", data.X).predict(data.X))
