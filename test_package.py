"""Smoke test of the installed package: `python test_package.py`, or under pytest; NumPy and scikit-learn are enough.

It tests what is installed and, of every extra that is not, that the error names the command that installs it.
`python test_package.py --exactly xgboost pandas` fails too where other optional modules are installed than those.
"""

import os
import pickle
import shutil
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Callable
from functools import partial
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import ensemble_1d

MODELS = {"RandomForestModel": "sklearn", "XGBoostModel": "xgboost", "PyTorchModel": "torch"}
PARAMETERS = {
    "RandomForestModel": {"n_estimators": 10},
    "XGBoostModel": {"n_estimators": 10},
    "PyTorchModel": {"max_epochs": 30},
}
OPTIONAL = ("xgboost", "torch", "matplotlib", "onnx", "onnxruntime", "pandas")
"""The modules that extras bring."""


def installed_models() -> list[ensemble_1d.BaseModel]:
    """Return one small model of each backend that is installed."""
    names = [name for name, module in MODELS.items() if find_spec(module)]
    return [getattr(ensemble_1d, name)(**PARAMETERS[name], random_state=0) for name in names]


def small_ensemble() -> tuple[ensemble_1d.Ensemble, list[list[float]]]:
    """Return a forest of a few rows as an ensemble, and the rows."""
    X = [[float(number), float(number % 3)] for number in range(12)]
    forest = ensemble_1d.RandomForestModel(n_estimators=3)
    return ensemble_1d.Ensemble([forest], combine="soft", random_state=0).fit(X, [0] * 6 + [1] * 6), X


def assert_names_extra(call: Callable[[], object], extra: str) -> None:
    """Assert that `call` raises a MissingBackendError whose command installs `extra`, which the distribution has."""
    said = "nothing"
    try:
        call()
    except ensemble_1d.MissingBackendError as error:
        said = str(error)
    assert f'pip install "ensemble-1d[{extra}]"' in said, f"without {extra} it said {said}"
    assert extra in metadata.metadata("ensemble-1d").get_all("Provides-Extra", [])


def test_importing_loads_only_the_standard_library() -> None:
    """A fresh interpreter that imports the package has loaded neither NumPy nor scikit-learn."""
    code = "import sys, ensemble_1d; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    foreign = set(done.stdout.split()) - set(sys.stdlib_module_names) - {"ensemble_1d", "__main__"}
    loaded = {name for name in foreign if name in {"numpy", "sklearn", "scipy", "joblib", *OPTIONAL}}
    assert not loaded, f"import ensemble_1d loaded {loaded}"


def test_public_names_resolve() -> None:
    """Every public name can be imported, whatever is installed."""
    for name in ensemble_1d.__all__:
        assert getattr(ensemble_1d, name) is not None
    assert set(ensemble_1d.__all__) == set(dir(ensemble_1d))


def test_absent_backends_say_how_to_install_them() -> None:
    """The class of an absent backend can be made and pickled; fitting it names the pip command."""
    for name, module in MODELS.items():
        if not find_spec(module):
            model = pickle.loads(pickle.dumps(getattr(ensemble_1d, name)()))  # noqa: S301 -- our own pickle
            assert_names_extra(partial(model.fit, [[0.0], [1.0]], [0, 1]), module)


def test_main_job() -> None:
    """Fit what is installed, quantize it, export it; with a C compiler every row answers as in Python."""
    from sklearn.datasets import load_iris

    X, y = load_iris(return_X_y=True)
    ensemble = ensemble_1d.Ensemble(installed_models(), random_state=0).fit(X, y)
    assert ensemble.score(X, y) > 0.95
    small = ensemble.quantize("int8", X, y)
    assert small.report is not None
    assert small.report.agreement > 0.97
    with tempfile.TemporaryDirectory() as folder:
        path = small.export_c(Path(folder) / "iris.h", "iris")
        assert "iris_predict" in path.read_text(encoding="utf-8")
        loaded = ensemble_1d.load(small.save(Path(folder) / "iris.e1d"))
        assert (loaded.predict(X) == small.predict(X)).all()
    if shutil.which("cc"):
        check = small.verify_c(X)
        assert (check.n_rows, check.n_different) == (150, 0)


def test_plot() -> None:
    """With matplotlib a plot is drawn and written; without it the pip command is named."""
    from ensemble_1d.plotting import plot_weights

    ensemble, _ = small_ensemble()
    if not find_spec("matplotlib"):
        assert_names_extra(lambda: plot_weights(ensemble), "viz")
        return
    os.environ.setdefault("MPLBACKEND", "Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots()
    plot_weights(ensemble, ax=axes)
    with tempfile.TemporaryDirectory() as folder:
        figure.savefig(Path(folder) / "weights.png")
        assert (Path(folder) / "weights.png").read_bytes().startswith(b"\x89PNG")
    plt.close(figure)


def test_onnx() -> None:
    """With onnx a graph is written, with onnxruntime it answers as Python does; without them the command is named."""
    ensemble, X = small_ensemble()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        if not find_spec("onnx"):
            assert_names_extra(lambda: ensemble.export_onnx(path), "onnx")
            return
        assert ensemble.export_onnx(path).stat().st_size > 100
        if find_spec("onnxruntime"):
            assert ensemble.export_onnx(path, X) == path
        else:
            assert_names_extra(lambda: ensemble.export_onnx(path, X), "onnxruntime")


def test_command_line() -> None:
    """Script and module tell the version; with pandas a model is fitted and asked, else the command is named."""
    script = [str(Path(sysconfig.get_path("scripts")) / "ensemble-1d")]
    for command in (script, [sys.executable, "-m", "ensemble_1d"]):
        told = subprocess.run([*command, "--version"], capture_output=True, text=True, check=True).stdout
        assert ensemble_1d.__version__ in told, f"{command} told {told}"
    with tempfile.TemporaryDirectory() as folder:
        table, model = Path(folder) / "table.csv", Path(folder) / "model.e1d"
        rows = "".join(f"{number},{number % 3},{'low' if number < 30 else 'high'}\n" for number in range(60))
        table.write_text("a,b,y\n" + rows, encoding="utf-8")
        fit = [*script, "fit", str(table), "--target", "y", "--out", str(model), "--models", "random_forest"]
        fitted = subprocess.run(fit, capture_output=True, text=True, check=False)
        if not find_spec("pandas"):
            assert fitted.returncode != 0
            assert 'pip install "ensemble-1d[cli]"' in fitted.stderr, fitted.stderr
            return
        assert fitted.returncode == 0, fitted.stderr
        ask = [*script, "predict", str(model), str(table)]
        answered = subprocess.run(ask, capture_output=True, text=True, check=True).stdout
        assert (answered.count("low"), answered.count("high")) == (30, 30), answered


def main() -> None:
    """Run every test of this file and say what was covered."""
    present = [module for module in OPTIONAL if find_spec(module)]
    if sys.argv[1:2] == ["--exactly"]:
        wanted = sorted(sys.argv[2:])
        assert sorted(present) == wanted, f"{present} are installed, not {wanted}"
    tests = {name: value for name, value in globals().items() if name.startswith("test_")}
    for test in tests.values():
        test()
    print(f"{len(tests)} passed, 0 failed; of the optional modules there are: {', '.join(present) or 'none'}")


if __name__ == "__main__":
    main()
