"""What is built for release: the wheel and the sdist hold what they must and nothing else, and can be built again."""

import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from wheel_metadata import oldest_versions, read_metadata, read_pins, read_requirements

import ensemble_1d

pytest.importorskip("hatchling")
pytest.importorskip("twine")

ROOT = Path(__file__).parents[1]
VERSION = ensemble_1d.__version__
NAME = f"ensemble_1d-{VERSION}"
KINDS = {".py", ".h", ".c", ".css", ".typed"}
"""The kinds of files that the package is made of; a new one is added here when the package is meant to hold it."""

pytestmark = pytest.mark.skipif(not (ROOT / "README.md").exists(), reason="a checkout or an sdist is built from")


def build(source, folder, *targets):
    """Build from a folder of sources as `hatch build` does, with its backend; return the folder."""
    command = [sys.executable, "-m", "hatchling", "build", "--directory", str(folder)]
    for target in targets:
        command += ["--target", target]
    variables = {**os.environ, "SOURCE_DATE_EPOCH": "1577836800"}
    done = subprocess.run(command, cwd=source, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return folder


def unpack(archive, folder):
    """Unpack an sdist and return the folder of its sources."""
    with tarfile.open(archive) as sources:
        sources.extractall(folder, filter="data")
    return folder / NAME


@pytest.fixture(scope="module")
def dist(tmp_path_factory):
    """A folder with the wheel and the sdist of this checkout."""
    return build(ROOT, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def wheel(dist):
    """The wheel; its name says that it runs on any machine."""
    return dist / f"{NAME}-py3-none-any.whl"


@pytest.fixture(scope="module")
def sources(dist, tmp_path_factory):
    """The unpacked sdist."""
    return unpack(dist / f"{NAME}.tar.gz", tmp_path_factory.mktemp("sdist"))


def test_two_files_are_built_and_pass_the_index(dist, wheel):
    """One wheel and one sdist; the README can be shown as the long description, and every field is valid."""
    assert {path.name for path in dist.iterdir()} == {wheel.name, f"{NAME}.tar.gz"}
    command = [sys.executable, "-m", "twine", "check", "--strict", *map(str, dist.iterdir())]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_wheel_holds_the_package_and_nothing_else(wheel):
    """Every file of the package by its bytes, the licence and what pip needs; no tests, caches or benchmarks."""
    package = ROOT / "ensemble_1d"
    files = [path for path in package.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    expected = {path.relative_to(ROOT).as_posix(): path.read_bytes() for path in files}
    with zipfile.ZipFile(wheel) as archive:
        found = {name: archive.read(name) for name in archive.namelist()}
    about = {name for name in found if name.startswith(f"{NAME}.dist-info/")}
    assert {name: found[name] for name in found.keys() - about} == expected
    assert {Path(name).suffix for name in expected} <= KINDS
    assert {
        "ensemble_1d/py.typed",
        "ensemble_1d/export/c99_kernels.h",
        "ensemble_1d/native/kernels.h",
        "ensemble_1d/reporting/page.css",
    } <= expected.keys()
    names = {name.removeprefix(f"{NAME}.dist-info/") for name in about}
    assert names == {"METADATA", "WHEEL", "RECORD", "entry_points.txt", "licenses/LICENSE"}
    assert found[f"{NAME}.dist-info/licenses/LICENSE"] == (ROOT / "LICENSE").read_bytes()


def test_metadata_say_what_pyproject_says(wheel):
    """Name, version, Python, licence, extras, requirements and the README are those of the checkout."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    metadata = read_metadata(wheel)
    assert (metadata["Name"], metadata["Version"]) == ("ensemble-1d", VERSION)
    assert (metadata["Requires-Python"], metadata["License-Expression"]) == (project["requires-python"], "MIT")
    assert set(metadata.get_all("Provides-Extra")) == set(project["optional-dependencies"])
    assert set(metadata.get_all("Classifier")) == set(project["classifiers"])
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload().strip() == (ROOT / "README.md").read_text(encoding="utf-8").strip()
    without_extra = {each.name for each in read_requirements(metadata)}
    assert without_extra == {re.split(r"[>=]", each)[0] for each in project["dependencies"]}


def test_wheel_installs_the_command_line(wheel):
    """The console script is `ensemble-1d`."""
    with zipfile.ZipFile(wheel) as archive:
        text = archive.read(f"{NAME}.dist-info/entry_points.txt").decode("utf-8")
    assert re.fullmatch(r"\[console_scripts\]\nensemble-1d = ensemble_1d\.[\w.]+:\w+\n", text)


@pytest.mark.parametrize(("extra", "xgboost"), [("all", "xgboost"), ("all-cpu", "xgboost-cpu")])
@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has no xgboost-cpu, and the extra takes xgboost there")
def test_extras_for_all_bring_what_each_of_theirs_does(wheel, extra, xgboost):
    """The two extras for all differ by the build of XGBoost alone, and hold every other extra for users."""
    metadata = read_metadata(wheel)
    each = {str(needed) for name in (xgboost, "torch", "viz", "onnx", "cli") for needed in names_of(metadata, name)}
    assert set(names_of(metadata, extra)) == each
    for_users = set(metadata.get_all("Provides-Extra")) - {"test", "docs", "release", "dev", "all", "all-cpu"}
    assert for_users == {"xgboost", "xgboost-cpu", "torch", "viz", "onnx", "onnxruntime", "cli"}


def names_of(metadata, extra):
    """Return the names of the distributions that an extra needs."""
    return [each.name for each in read_requirements(metadata, extra)]


def test_every_requirement_of_users_has_an_oldest_and_a_tested_version(wheel):
    """What is declared can be pinned from both sides, and the tested version is allowed."""
    requirements = read_requirements(read_metadata(wheel), "all", "all-cpu", "onnxruntime")
    floors, pins = oldest_versions(requirements), read_pins(ROOT / "constraints.txt")
    assert floors.keys() <= pins.keys()
    assert all(each.specifier.contains(pins[each.name.lower()]) for each in requirements)


def test_sdist_holds_what_is_needed_to_build_and_to_test(sources):
    """Sources, tests, documentation and examples; none of what is ignored, and no benchmarks."""
    top = {path.name for path in sources.iterdir()}
    folders = {"ensemble_1d", "tests", "docs", "examples"}
    about = {"README.md", "LICENSE", "CHANGELOG.md"}
    files = about | {"pyproject.toml", "constraints.txt", "mkdocs.yml", "test_package.py", "setup.py"}
    assert top - {"PKG-INFO", ".gitignore"} == folders | files
    found = {path.relative_to(sources).as_posix() for path in sources.rglob("*") if path.is_file()}
    assert {"tests/test_distribution.py", "docs/format.md", "examples/quickstart.py", "tests/golden/make.py"} <= found
    assert not [name for name in found if re.search(r"__pycache__|\.py[cod]$|/\.|/generated/", name)]


def test_wheel_from_the_sdist_is_the_same(sources, wheel, tmp_path):
    """Whoever builds from the sdist gets the wheel to the last byte."""
    again = build(sources, tmp_path, "wheel") / wheel.name
    with zipfile.ZipFile(wheel) as first, zipfile.ZipFile(again) as second:
        assert {name: first.read(name) for name in first.namelist()} == {
            name: second.read(name) for name in second.namelist()
        }
    assert again.read_bytes() == wheel.read_bytes()


def test_builds_are_reproducible(dist, tmp_path):
    """A second build has equal bytes, whatever the clock says."""
    again = build(ROOT, tmp_path)
    assert {path.name: path.read_bytes() for path in again.iterdir()} == {
        path.name: path.read_bytes() for path in dist.iterdir()
    }
