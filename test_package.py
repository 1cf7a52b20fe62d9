"""Smoke test of the installed package: `python test_package.py`, or under pytest; NumPy and scikit-learn are enough."""

import pickle
import shutil
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import ensemble_1d

MODELS = {"RandomForestModel": "sklearn", "XGBoostModel": "xgboost", "PyTorchModel": "torch"}
PARAMETERS = {
    "RandomForestModel": {"n_estimators": 10},
    "XGBoostModel": {"n_estimators": 10},
    "PyTorchModel": {"max_epochs": 30},
}


def installed_models() -> list[ensemble_1d.BaseModel]:
    """Return one small model of each backend that is installed."""
    names = [name for name, module in MODELS.items() if find_spec(module)]
    return [getattr(ensemble_1d, name)(**PARAMETERS[name], random_state=0) for name in names]


def test_importing_loads_only_the_standard_library() -> None:
    """A fresh interpreter that imports the package has loaded neither NumPy nor scikit-learn."""
    code = "import sys, ensemble_1d; print(*{name.partition('.')[0] for name in sys.modules})"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    foreign = set(done.stdout.split()) - set(sys.stdlib_module_names) - {"ensemble_1d", "__main__"}
    loaded = {name for name in foreign if name in {"numpy", "sklearn", "scipy", "joblib", *MODELS.values()}}
    assert not loaded, f"import ensemble_1d loaded {loaded}"


def test_public_names_resolve() -> None:
    """Every public name can be imported, whatever is installed."""
    for name in ensemble_1d.__all__:
        assert getattr(ensemble_1d, name) is not None
    assert set(ensemble_1d.__all__) == set(dir(ensemble_1d))


def test_absent_backends_say_how_to_install_them() -> None:
    """The class of an absent backend can be made and pickled; fitting it names the pip command."""
    for name, module in MODELS.items():
        if find_spec(module):
            continue
        model = pickle.loads(pickle.dumps(getattr(ensemble_1d, name)()))  # noqa: S301 -- our own pickle
        said = "nothing"
        try:
            model.fit([[0.0], [1.0]], [0, 1])
        except ensemble_1d.MissingBackendError as error:
            said = str(error)
        assert f'pip install "ensemble-1d[{module}]"' in said, f"{name} without {module} said {said}"


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


def main() -> None:
    """Run every test of this file and say what was covered."""
    tests = {name: value for name, value in globals().items() if name.startswith("test_")}
    for test in tests.values():
        test()
    absent = [name for name, module in MODELS.items() if not find_spec(module)]
    skipped = f"; not installed, so not fitted: {', '.join(absent)}" if absent else ""
    print(f"{len(tests)} passed, 0 failed{skipped}")


if __name__ == "__main__":
    main()
