"""The one door to optional libraries: it says who needs what, and how to install it."""

import subprocess
import sys
import types

import pytest

from ensemble_1d._require import is_available, require
from ensemble_1d.errors import EnsembleError, MissingBackendError


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A folder of modules that can be imported during the test."""
    before = set(sys.modules)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.startswith("optional_"):
            del sys.modules[name]


def test_a_module_that_is_there_is_returned(folder):
    """It is the module itself, sub-modules included."""
    package = folder / "optional_a"
    package.mkdir()
    (package / "__init__.py").write_text("VALUE = 1\n", encoding="utf-8")
    (package / "inner.py").write_text("VALUE = 2\n", encoding="utf-8")
    assert require("optional_a", caller="f").VALUE == 1
    assert require("optional_a.inner", caller="f").VALUE == 2
    assert require("optional_a.inner", caller="f") is sys.modules["optional_a.inner"]


@pytest.mark.parametrize(
    ("extra", "command"), [("xgboost", 'pip install "ensemble-1d[xgboost]"'), (None, "pip install ensemble-1d")]
)
def test_a_module_that_is_not_there_is_told_with_its_command(extra, command):
    """Caller, module and command are in the message; the cause is kept, and so is the name."""
    with pytest.raises(MissingBackendError) as caught:
        require("optional_missing", caller="XGBoostModel.fit", extra=extra)
    message = "XGBoostModel.fit needs optional_missing, which is not installed. Install it with: " + command
    assert str(caught.value) == message
    assert isinstance(caught.value, ImportError)
    assert isinstance(caught.value, EnsembleError)
    assert isinstance(caught.value.__cause__, ModuleNotFoundError)
    assert caught.value.name == "optional_missing"


def test_a_sub_module_that_is_not_there_names_the_library():
    """Not the sub-module is installed, but its library."""
    with pytest.raises(MissingBackendError, match=r"^f needs optional_missing, which is not installed\."):
        require("optional_missing.inner", caller="f", extra="x")


def test_a_blocked_module_is_not_installed(monkeypatch):
    """A module that is set to None, as tests and tools do, counts as absent."""
    monkeypatch.setitem(sys.modules, "xgboost", None)
    assert not is_available("xgboost")
    with pytest.raises(MissingBackendError, match=r'^f needs xgboost, which is not installed\..*"ensemble-1d\[x\]"'):
        require("xgboost", caller="f", extra="x")


def test_a_module_whose_dependency_is_missing_is_told_apart(folder):
    """It is installed, and what it lacks is named: installing it again would not help to find out."""
    (folder / "optional_b.py").write_text("import optional_dependency\n", encoding="utf-8")
    assert is_available("optional_b")
    with pytest.raises(MissingBackendError) as caught:
        require("optional_b", caller="f", extra="x")
    assert "f needs optional_b, which cannot be imported (No module named 'optional_dependency')." in str(caught.value)
    assert caught.value.name == "optional_dependency"


@pytest.mark.parametrize("arguments", ["'libfoo.so: cannot open'", "'libfoo.so: cannot open', name='optional_c._C'"])
def test_a_library_that_does_not_load_is_not_called_absent(folder, arguments):
    """A broken shared library raises a plain ImportError; its text must not be lost."""
    (folder / "optional_c.py").write_text(f"raise ImportError({arguments})\n", encoding="utf-8")
    with pytest.raises(MissingBackendError, match=r"cannot be imported \(libfoo\.so: cannot open\)"):
        require("optional_c", caller="f", extra="x")


def test_other_errors_pass(folder):
    """A library that fails in its own way is not a missing one."""
    (folder / "optional_d.py").write_text("raise RuntimeError('driver too old')\n", encoding="utf-8")
    with pytest.raises(RuntimeError, match="driver too old"):
        require("optional_d", caller="f")


def test_availability_does_not_import(folder):
    """Asking is cheap: the module's code does not run."""
    (folder / "optional_e.py").write_text("raise RuntimeError('imported')\n", encoding="utf-8")
    assert is_available("optional_e")
    assert "optional_e" not in sys.modules
    assert not is_available("optional_missing")
    assert not is_available("optional_missing.inner")


def test_a_module_without_a_spec_is_no_error(monkeypatch):
    """A stub in the place of a module answers no rather than failing."""
    stub = types.ModuleType("optional_f")
    monkeypatch.setitem(sys.modules, "optional_f", stub)
    assert not is_available("optional_f")


def test_nothing_is_imported_by_the_door_itself():
    """Importing `_require` loads no optional library."""
    code = "import sys, ensemble_1d._require; sys.exit(any(m in sys.modules for m in ('numpy', 'xgboost', 'torch')))"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
