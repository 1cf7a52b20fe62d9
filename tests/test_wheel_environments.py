"""Clean environments for the wheel: every way to install it is planned, and what fails in one is told and counted."""

import re
import sys
import tomllib
import zipfile
from email.message import Message
from pathlib import Path

import pytest
import wheel_environments
from packaging.requirements import Requirement
from wheel_environments import MODULES, VERSIONS, WITHOUT_TORCH, Environment, Interpreter, plan, plan_oldest
from wheel_metadata import oldest_versions, read_requirements

PYPROJECT = Path(__file__).parents[1] / "pyproject.toml"
HERE, OTHER = Interpreter(sys.executable, "3.11"), Interpreter("python3.13", "3.13")


def test_every_extra_for_users_is_installed_alone():
    """A new extra must be given its modules; `xgboost` is resolved alone, and `all` is `all-cpu` with it."""
    project = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))["project"]
    for_users = set(project["optional-dependencies"]) - {"test", "docs", "release", "dev"}
    assert set(MODULES) == for_users - {"xgboost", "all"}
    assert [f"Programming Language :: Python :: {each}" in project["classifiers"] for each in VERSIONS] == [True] * 3
    planned = [str(each) for each in plan([HERE, OTHER], with_torch=True)]
    for extra in (*MODULES, "no extra"):
        assert f"Python 3.11, tested versions, {extra}" in planned
    assert "Python 3.13, tested versions, no extra" in planned
    assert f"Python 3.11, newest versions, {','.join(WITHOUT_TORCH)}" in planned


def test_pytorch_is_planned_only_where_it_can_be_had():
    """Without a build for the processor no environment asks for it."""
    for environments in (plan([HERE, OTHER], with_torch=False), plan_oldest(HERE, with_torch=False)):
        assert not [each for each in environments if {"torch", "all-cpu"} & set(each.extras)]
    assert "torch" in plan_oldest(HERE, with_torch=True)[0].extras


def test_placeholders_of_version_managers_are_no_interpreters(tmp_path, monkeypatch):
    """A script that only says which versions exist is passed over; one that works is found."""
    for version, line in (("3.12", "exit 127"), ("3.13", f'exec "{sys.executable}" "$@"')):
        script = tmp_path / f"python{version}"
        script.write_text(f"#!/bin/sh\n{line}\n", encoding="utf-8")
        script.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    found = {each.version: each.path for each in wheel_environments.find_interpreters()}
    assert "3.12" not in found or found["3.12"] == sys.executable
    assert found["3.13"] in {sys.executable, str(tmp_path / "python3.13")}


def test_interpreters_of_pyenv_are_found(tmp_path, monkeypatch):
    """Its root is asked for, because the names it puts on the PATH work for the chosen version alone."""
    missing = next(version for version in VERSIONS if not sys.version.startswith(version))
    python = tmp_path / "root" / "versions" / f"{missing}.1" / "bin" / f"python{missing}"
    python.parent.mkdir(parents=True)
    python.write_text(f'#!/bin/sh\nexec "{sys.executable}" "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    pyenv = tmp_path / "pyenv"
    pyenv.write_text(f'#!/bin/sh\n[ "$1" = root ] && echo "{tmp_path}/root"\n', encoding="utf-8")
    pyenv.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert Interpreter(str(python), missing) in wheel_environments.find_interpreters()


def test_oldest_versions_are_the_floors():
    """Markers and other bounds are no floors; a requirement without one cannot be tested and is refused."""
    requirements = [Requirement("NumPy>=2.0,<3"), Requirement("xgboost_cpu>=2.1.4; sys_platform != 'x'")]
    assert oldest_versions(requirements) == {"numpy": "2.0", "xgboost-cpu": "2.1.4"}
    with pytest.raises(ValueError, match=r"pandas must name its oldest version once, as in pandas>=1\.0"):
        oldest_versions([Requirement("pandas")])


def test_extras_that_name_others_bring_theirs():
    """Extras of extras are followed, and what their markers rule out is not needed."""
    metadata = Message()
    for each in (
        "a>=1",
        "b>=1; extra == 'x'",
        "ensemble-1d[x]; extra == 'y'",
        "c>=1; extra == 'x' and os_name == 'no'",
    ):
        metadata["Requires-Dist"] = each
    names = {extras: [each.name for each in read_requirements(metadata, *extras)] for extras in ((), ("x",), ("y",))}
    assert names == {(): ["a"], ("x",): ["a", "b"], ("y",): ["a", "b"]}


@pytest.mark.slow
def test_what_fails_is_told_and_fails_the_run(tmp_path, monkeypatch, capsys):
    """A wheel that cannot be imported installs well; the test in its environment fails, and its words are printed."""
    wheel = tmp_path / "ensemble_1d-0.1.0-py3-none-any.whl"
    about = "ensemble_1d-0.1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("ensemble_1d/__init__.py", "raise RuntimeError('broken at import')\n")
        archive.writestr(f"{about}/METADATA", "Metadata-Version: 2.1\nName: ensemble-1d\nVersion: 0.1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", "")
    monkeypatch.setattr(wheel_environments, "plan", lambda *_, **__: [Environment(HERE, (), "newest")])
    monkeypatch.setattr(wheel_environments, "has_torch", lambda *_: True)
    monkeypatch.setattr(sys, "argv", ["wheel_environments.py", str(wheel)])
    assert wheel_environments.main() == 1
    said = capsys.readouterr().out
    assert re.search(r"newest versions, no extra: FAILED: \S+python \S+test_package\.py --exactly\n", said)
    assert "broken at import" in said
    assert said.endswith("0 environments passed, 1 failed\n")
