"""The compiled kernels: made once, kept in a private folder, made again when damaged, done without when need be."""

import os
import pickle
import stat
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from c_harness import need
from isolation import run_python

from ensemble_1d import CompilerError, Predictor, Program, SlowPredictionWarning
from ensemble_1d.ir import Dense
from ensemble_1d.native import cache, library
from ensemble_1d.native.cache import cache_folder, cached_file

X = np.array([[1, 2], [-3, 1]], np.float32)
EXPECTED = [4.0, 0.0]


@pytest.fixture
def predictor():
    """A layer of two weights."""
    layer = Dense(weight=np.ones((1, 2), np.float32), bias=np.ones(1, np.float32), activation="relu")
    return Predictor(Program(n_features=2, task="regression", root=layer))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty cache that nothing was loaded from."""
    monkeypatch.setenv("ENSEMBLE_1D_CACHE", str(tmp_path / "cache"))
    library._loaded.cache_clear()
    yield tmp_path / "cache"
    library._loaded.cache_clear()


@pytest.fixture
def compilations(monkeypatch):
    """The list of outputs for which the compiler was started."""
    need("cc")
    found, compile_c = [], library.compile_c

    def noted(command, flags, sources, output):
        found.append((output, tuple(flags)))
        compile_c(command, flags, sources, output)

    monkeypatch.setattr(library, "compile_c", noted)
    return found


def kept(folder):
    """Return the files in a cache."""
    return sorted(folder.iterdir())


def test_a_second_process_compiles_nothing(predictor, folder):
    """The first one leaves the kernels in the cache, and the second one only needs the compiler's name."""
    need("cc")
    code = """
import pickle
from ensemble_1d.native import library
compiled, compile_c = [], library.compile_c
library.compile_c = lambda *given: compiled.append(1) or compile_c(*given)
predictor, X = pickle.load(sys.stdin.buffer)
native = predictor.compile()
print(len(compiled), native._native.is_native, native.predict(X).tolist())
"""
    said = [run_python(code, data=pickle.dumps((predictor, X))).stdout.decode().split(maxsplit=1) for _ in range(2)]
    assert [line[0] for line in said] == ["1", "0"]
    assert all(line[1].strip() == f"True {EXPECTED}" for line in said)


def test_the_cache_is_private_and_holds_one_file(predictor, folder, compilations):
    """Nobody else can put something there that is then loaded, and nothing half-made is left."""
    assert predictor.compile().predict(X).tolist() == EXPECTED
    (file,) = kept(folder)
    assert len(compilations) == 1
    if os.name == "posix":
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert stat.S_IMODE(file.stat().st_mode) == 0o700


@pytest.mark.parametrize("damage", [b"", b"not a library", None])
def test_a_damaged_file_is_made_again(predictor, folder, compilations, damage):
    """Whether emptied, replaced or cut: its content no longer has the digest in its name."""
    predictor.compile()
    (file,) = kept(folder)
    good = file.read_bytes()
    file.unlink()  # This process holds the old content.
    file.write_bytes(good[: len(good) // 2] if damage is None else damage)
    library._loaded.cache_clear()
    assert predictor.compile().predict(X).tolist() == EXPECTED
    assert len(compilations) == 2
    assert [each.read_bytes() for each in kept(folder)] == [good]


@pytest.mark.skipif(os.name != "posix", reason="permissions are those of POSIX")
@pytest.mark.parametrize("mode", [0o500, 0o777])
def test_a_folder_that_is_not_ours_alone_is_not_used(predictor, folder, compilations, mode, monkeypatch):
    """One that cannot be written to, or that others may write to, gives way to a temporary one."""
    folder.mkdir()
    folder.chmod(mode)
    if mode == 0o500 and os.geteuid() == 0:  # The administrator may write anywhere.
        monkeypatch.setattr(cache.os, "access", lambda path, mode: Path(path) != folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert predictor.compile().predict(X).tolist() == EXPECTED
    assert len(compilations) == 1
    assert folder not in compilations[0][0].parents
    folder.chmod(0o700)
    assert kept(folder) == []


def test_no_home_is_no_obstacle(predictor, compilations, monkeypatch, folder):
    """Without any folder to name, a temporary one serves."""

    def homeless():
        message = "no home"
        raise RuntimeError(message)

    monkeypatch.setattr(cache, "cache_folder", homeless)
    assert predictor.compile().predict(X).tolist() == EXPECTED
    assert len(compilations) == 1


def test_what_stops_halfway_leaves_nothing(folder):
    """An interrupted compiler leaves no file, and its error comes out."""

    def fail(path):
        path.write_bytes(b"half")
        raise CompilerError("stopped")

    with pytest.raises(CompilerError, match="stopped"):
        cached_file("kernels", fail)
    assert kept(folder) == []


@pytest.mark.parametrize(
    ("platform", "variables", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/there"}, "/there/ensemble-1d/native"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/me/.cache/ensemble-1d/native"),
        ("linux", {}, "/home/me/.cache/ensemble-1d/native"),
        ("darwin", {"XDG_CACHE_HOME": "/there"}, "/home/me/Library/Caches/ensemble-1d/native"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/ensemble-1d/native"),
        ("win32", {}, "/home/me/AppData/Local/ensemble-1d/native"),
        ("linux", {"ENSEMBLE_1D_CACHE": "/mine", "XDG_CACHE_HOME": "/there"}, "/mine"),
    ],
)
def test_where_the_cache_is(platform, variables, expected, monkeypatch):
    """The folder is that of the system, or the one that the variable names."""
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/me"))
    for name in ("ENSEMBLE_1D_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache_folder() == Path(expected)


@pytest.mark.parametrize("broken", ["no-such-compiler", "false", f"{sys.executable} -c pass"])
def test_without_a_compiler_numpy_answers_and_one_warning_says_so(predictor, folder, monkeypatch, broken):
    """An absent compiler, one that fails, and one that makes nothing: the same answers, and what to do."""
    monkeypatch.setenv("CC", broken)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        native = predictor.compile()
        answers = [native.predict(X).tolist(), native.predict(X.tolist()).tolist()]
    assert answers == [EXPECTED, EXPECTED]
    (warning,) = caught
    assert warning.category is SlowPredictionWarning
    assert "install GCC or Clang, or let the variable CC name one" in str(warning.message)
    assert not native._native.is_native


def test_an_option_that_the_compiler_lacks_is_left_out(predictor, folder, compilations, monkeypatch):
    """Where the compiler does not know this processor, the kernels are compiled for any of its kind."""
    monkeypatch.setattr(library, "NATIVE", ("-march=no-such-processor",))
    assert predictor.compile().predict(X).tolist() == EXPECTED
    assert ["-march=no-such-processor" in flags for _, flags in compilations] == [True, False]


def test_what_the_file_depends_on(monkeypatch):
    """Another compiler, other options or another processor need other kernels."""
    need("cc")
    names = {library._fingerprint(("cc",))}
    assert names == {library._fingerprint(("cc",))}
    names.add(library._fingerprint(("cc", "-g")))
    for name, value in (("FLAGS", ("-O0",)), ("_version", lambda _: "1"), ("processor", lambda: ("none",))):
        with monkeypatch.context() as patch:
            patch.setattr(library, name, value)
            names.add(library._fingerprint(("cc",)))
    assert len(names) == 5
