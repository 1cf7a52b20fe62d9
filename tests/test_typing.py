"""What a type checker knows of the public names: their true types, and of others nothing."""

import re
import subprocess
import sys

import pytest

import ensemble_1d

pytestmark = pytest.mark.slow

HEADER = """
import numpy as np
import ensemble_1d
from ensemble_1d import Ensemble, PyTorchModel, QuantizationConfig, Quantizer, RandomForestModel, XGBoostModel
X, y = np.zeros((4, 2)), [0, 1, 0, 1]
models = [RandomForestModel(), ("boosted", XGBoostModel())]
ensemble = Ensemble(models, combine="soft", weights={"boosted": 1.0}).fit(X, y)
predictor = ensemble.quantize("int8", X, y)
"""

REVEALED = {
    "ensemble": "ensemble_1d.ensemble.Ensemble",
    "ensemble.set_params(combine='hard')": "ensemble_1d.ensemble.Ensemble",
    "ensemble.predict_proba(X)": "numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.float64]]",
    "ensemble.score(X, y)": "float",
    "ensemble.evaluate(X, y)": "dict[str, dict[str, float]]",
    "ensemble.members_": "dict[str, ensemble_1d.models.base.BaseModel]",
    "ensemble.program()": "ensemble_1d.ir.program.Program",
    "XGBoostModel().fit(X, y)": "ensemble_1d.models.xgboost_model.XGBoostModel",
    "PyTorchModel(max_epochs=1).fit(X, y).loss_curve_": "list[float]",
    "predictor": "ensemble_1d.predictor.Predictor",
    "predictor.report": "ensemble_1d.quantization.report.QuantizationReport | None",
    "predictor.predict_proba(X)": "numpy.ndarray[tuple[Any, ...], numpy.dtype[numpy.float64]]",
    "predictor.export_c('model.h')": "pathlib.Path",
    "predictor.save('model.e1d')": "pathlib.Path",
    "ensemble.save('model.e1d')": "pathlib.Path",
    "ensemble_1d.load('model.e1d')": "ensemble_1d.predictor.Predictor",
    "Quantizer().quantize(X)": "ensemble_1d.quantization.arrays.QuantizedTensor",
    "ensemble_1d.__version__": "str",
}


def lines_of_mypy(folder, code):
    """Return what mypy says of each line of strictly checked code that uses the installed package."""
    path = folder / "snippet.py"
    path.write_text(HEADER + code, encoding="utf-8")
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "--cache-dir", str(folder), path.name]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert not done.stderr
    said = {}
    for line in done.stdout.splitlines():
        number, text = re.fullmatch(r"snippet\.py:(\d+): (.*)", line).groups()
        said.setdefault(int(number) - HEADER.count("\n"), []).append(text)
    return said


def test_public_names_have_their_true_types(tmp_path):
    """Every public class is itself to a type checker, and methods return what they say, never Any."""
    pytest.importorskip("mypy")
    classes = {
        f"ensemble_1d.{name}": rf"{re.escape(value.__module__)}\.{name}"
        for name in ensemble_1d.__all__
        if isinstance(value := getattr(ensemble_1d, name), type)
    }
    expected = {name: rf"def \(.*\) -> {kind}" for name, kind in classes.items()}
    expected |= {name: re.escape(kind) for name, kind in REVEALED.items()}
    said = lines_of_mypy(tmp_path, "".join(f"reveal_type({expression})\n" for expression in expected))
    assert len(said) == len(expected)
    for number, (expression, kind) in enumerate(expected.items(), start=1):
        (text,) = said[number]
        assert re.fullmatch(f'note: Revealed type is "{kind}"', text), f"{expression}: {text}"


def test_wrong_arguments_and_names_are_type_errors(tmp_path):
    """A wrong argument, an unknown parameter and a misspelt public name are errors before anything runs."""
    pytest.importorskip("mypy")
    wrong = {
        "Ensemble(5)": "arg-type",
        "RandomForestModel(n_trees=5)": "call-arg",
        "PyTorchModel(task='ranking')": "arg-type",
        "Quantizer('int8')": "arg-type",
        "predictor.quantise('int8')": "attr-defined",
        "ensemble_1d.Ensembel": "attr-defined",
    }
    said = lines_of_mypy(tmp_path, "".join(f"{expression}\n" for expression in wrong))
    for number, (expression, code) in enumerate(wrong.items(), start=1):
        assert any(f"[{code}]" in text for text in said.get(number, [])), f"{expression}: {said.get(number)}"


def test_documented_strings_are_no_type_errors(tmp_path):
    """A mode may be given as its string, as the docstring says."""
    pytest.importorskip("mypy")
    assert lines_of_mypy(tmp_path, "QuantizationConfig('int4')\nensemble.quantize('int4', X)\n") == {}
