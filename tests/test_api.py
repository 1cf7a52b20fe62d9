"""The public names: one table, lazy, complete, documented by examples that run."""

import ast
import doctest
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import re
import sys
from pathlib import Path

import pytest
from isolation import run_python

import ensemble_1d

PACKAGE = Path(ensemble_1d.__file__).parent
MODULES = sorted(each.name for each in pkgutil.walk_packages([str(PACKAGE)], "ensemble_1d."))
PUBLIC = sorted(set(ensemble_1d.__all__) - {"__version__"})


def type_checking_imports():
    """Return the names that type checkers see, and the module of each."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    (block,) = (
        node
        for node in tree.body
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
    )
    return {name.name: node.module for node in block.body for name in node.names}


def test_table_and_type_checking_block_and_all_name_the_same():
    """The table, `__all__` without the version, and what type checkers see are the same names from the same modules."""
    assert sorted(ensemble_1d._MODULE_OF) == PUBLIC
    assert type_checking_imports() == ensemble_1d._MODULE_OF
    assert len(set(ensemble_1d.__all__)) == len(ensemble_1d.__all__)
    assert ensemble_1d.TYPE_CHECKING is False


@pytest.mark.parametrize("name", PUBLIC)
def test_public_name_is_what_its_module_holds(name):
    """Every public name loads, from the module of the table, and has a docstring."""
    value = getattr(ensemble_1d, name)
    module = importlib.import_module(ensemble_1d._MODULE_OF[name])
    assert value is getattr(module, name)
    assert inspect.isclass(value) or inspect.isfunction(value)
    assert inspect.getdoc(value)


def test_errors_are_all_public():
    """Every error of the package can be imported from its top, and has the one base."""
    from ensemble_1d import errors

    assert set(errors.__all__) == {name for name, module in ensemble_1d._MODULE_OF.items() if module == errors.__name__}
    assert all(issubclass(getattr(errors, name), ensemble_1d.EnsembleError) for name in errors.__all__)


def test_dir_lists_the_public_names():
    """dir() shows what is public and nothing else, before anything has loaded too."""
    assert dir(ensemble_1d) == sorted(ensemble_1d.__all__)
    done = run_python("import ensemble_1d; print(*dir(ensemble_1d))")
    assert done.stdout.decode().split() == sorted(ensemble_1d.__all__)


def test_unknown_name_is_an_attribute_error():
    """An unknown name gives Python's own message, so that hasattr and from-imports work as anywhere."""
    with pytest.raises(AttributeError, match=r"^module 'ensemble_1d' has no attribute 'Forest'$"):
        ensemble_1d.Forest  # noqa: B018
    assert not hasattr(ensemble_1d, "Forest")
    with pytest.raises(ImportError, match="cannot import name 'Forest'"):
        from ensemble_1d import Forest  # noqa: F401


def test_names_are_cached(monkeypatch):
    """The second use of a name does not pass through `__getattr__`."""
    monkeypatch.delitem(vars(ensemble_1d), "QuantizationMode", raising=False)
    first = ensemble_1d.QuantizationMode
    assert vars(ensemble_1d)["QuantizationMode"] is first
    monkeypatch.setattr(ensemble_1d, "__getattr__", None)
    assert ensemble_1d.QuantizationMode is first


def test_no_public_name_is_a_module():
    """No public name is that of a module, which would take its place once imported."""
    parts = {part for name in MODULES for part in name.split(".")[1:]}
    assert not parts & set(ensemble_1d.__all__)
    for name in MODULES:
        importlib.import_module(name)
    assert not [name for name in PUBLIC if inspect.ismodule(getattr(ensemble_1d, name))]


def test_import_loads_the_standard_library_alone():
    """`import ensemble_1d` loads nothing from outside, NumPy included, and not even typing."""
    code = "before = set(sys.modules); import ensemble_1d; print(*sorted(set(sys.modules) - before))"
    loaded = run_python(code).stdout.decode().split()
    foreign = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names)
    assert foreign == {"ensemble_1d"}
    assert len(loaded) == 1


@pytest.mark.parametrize("name", ["XGBoostModel", "PyTorchModel", "RandomForestModel", "Ensemble"])
def test_model_class_loads_no_backend(name):
    """Importing, making and printing a model loads neither XGBoost, torch nor scikit-learn's forests."""
    code = f"import ensemble_1d; print(repr(ensemble_1d.{name}()), ensemble_1d.{name}().get_params(), *sys.modules)"
    loaded = set(run_python(code).stdout.decode().split())
    assert {"numpy", "sklearn"} <= loaded
    assert not loaded & {"xgboost", "torch", "sklearn.ensemble", "polars", "matplotlib"}


def test_version_is_that_of_the_distribution():
    """`__version__` is a literal that the build reads, and equals what is installed."""
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.dev\d+|(a|b|rc)\d+)?", ensemble_1d.__version__)
    try:
        installed = importlib.metadata.version("ensemble-1d")
    except importlib.metadata.PackageNotFoundError:
        pytest.skip("the distribution is not installed")
    assert installed == ensemble_1d.__version__


def test_package_is_marked_as_typed():
    """py.typed stands in the package, so that type checkers read its annotations."""
    assert (PACKAGE / "py.typed").is_file()


@pytest.mark.usefixtures("closed_figures")
@pytest.mark.parametrize("name", ["ensemble_1d", *MODULES])
def test_examples_in_docstrings_run(name):
    """Every example of a docstring gives what it shows."""
    module = importlib.import_module(name)
    text = inspect.getsource(module)
    for backend, use in {"xgboost": "XGBoostModel", "torch": "PyTorchModel", "matplotlib": "plot_"}.items():
        if re.search(rf">>> .*{use}", text):
            pytest.importorskip(backend)
    result = doctest.testmod(module, report=True)
    assert result.failed == 0
    assert bool(result.attempted) == (">>> " in text)
