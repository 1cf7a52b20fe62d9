"""What a release needs beside the package agrees with it: changelog, citation, classifiers, workflows and forms."""

import re
import tomllib
from pathlib import Path

import pytest
from packaging.version import Version

import ensemble_1d

yaml = pytest.importorskip("yaml")

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
VERSION = Version(ensemble_1d.__version__)

pytestmark = pytest.mark.skipif(not GITHUB.exists(), reason="these files stand in a checkout alone")


def read(name):
    """Return the text of a file of the checkout."""
    return (ROOT / name).read_text(encoding="utf-8")


def workflows():
    """Return the workflows by name."""
    return {path.name: yaml.safe_load(path.read_text(encoding="utf-8")) for path in (GITHUB / "workflows").iterdir()}


def test_changelog_has_a_section_for_the_version():
    """Each release has its section and date, the newest first; a version in development stands under Unreleased."""
    titles = re.findall(r"^## (.*)$", read("CHANGELOG.md"), re.MULTILINE)
    assert titles[0] == "[Unreleased]"
    matches = [re.fullmatch(r"\[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}", title) for title in titles[1:]]
    assert all(matches)
    releases = [Version(match[1]) for match in matches]
    assert releases == sorted(releases, reverse=True)
    if VERSION.is_devrelease:
        assert all(release < VERSION for release in releases)
    else:
        assert releases[0] == VERSION


def test_citation_is_of_this_version():
    """CITATION.cff has the keys that its format requires, and the version, licence and title of the package."""
    citation = yaml.safe_load(read("CITATION.cff"))
    project = tomllib.loads(read("pyproject.toml"))["project"]
    assert citation["cff-version"] == "1.2.0"
    assert citation["message"]
    assert citation["title"] == project["name"]
    assert citation["license"] == project["license"]
    assert [{"name": each["name"]} for each in citation["authors"]] == project["authors"]
    assert citation["keywords"] == project["keywords"]
    assert str(citation["version"]) == VERSION.base_version
    assert VERSION.is_devrelease or "date-released" in citation


def test_classifiers_are_the_versions_that_are_tested():
    """The classifiers name those versions of Python that CI and publishing run, and requires the oldest of them."""
    project = tomllib.loads(read("pyproject.toml"))["project"]
    prefix = "Programming Language :: Python :: 3."
    named = [f"3.{each.removeprefix(prefix)}" for each in project["classifiers"] if each.startswith(prefix)]
    jobs = workflows()
    assert jobs["ci.yml"]["jobs"]["checks"]["strategy"]["matrix"]["python-version"] == named
    assert jobs["publish.yml"]["jobs"]["test"]["strategy"]["matrix"]["python-version"] == named
    assert project["requires-python"] == f">={named[0]}"
    assert jobs["ci.yml"]["jobs"]["oldest"]["steps"][1]["with"]["python-version"] == named[0]


@pytest.mark.parametrize("name", ["ci.yml", "publish.yml"])
def test_workflows_may_only_read(name):
    """A workflow may read and keeps no credentials; what publishes gets an identity and nothing else, and no secret."""
    workflow = workflows()[name]
    assert set(workflows()) >= {"ci.yml", "publish.yml"}
    assert workflow["permissions"] == {"contents": "read"}
    widened = {job: each["permissions"] for job, each in workflow["jobs"].items() if "permissions" in each}
    assert widened == ({"publish": {"id-token": "write"}} if name == "publish.yml" else {})
    assert "secrets." not in read(f".github/workflows/{name}")
    for job in workflow["jobs"].values():
        assert job["timeout-minutes"] <= 40
        for step in job["steps"]:
            if step.get("uses", "").startswith("actions/checkout@"):
                assert step["with"]["persist-credentials"] is False


def test_what_publishes_runs_no_code_of_the_checkout():
    """The identity is given to two actions alone, after the tests, in an environment that a maintainer opens."""
    jobs = workflows()["publish.yml"]["jobs"]
    assert (jobs["publish"]["needs"], jobs["test"]["needs"]) == ("test", "build")
    assert jobs["publish"]["environment"] == "pypi"
    actions = [step["uses"].partition("@")[0] for step in jobs["publish"]["steps"]]
    assert actions == ["actions/download-artifact", "pypa/gh-action-pypi-publish"]


@pytest.mark.parametrize("name", ["bug.yml", "feature.yml"])
def test_forms_of_issues_are_complete(name):
    """A form has a name, a description and fields with identifiers of their own and labels."""
    form = yaml.safe_load((GITHUB / "ISSUE_TEMPLATE" / name).read_text(encoding="utf-8"))
    assert {"name", "description", "body"} <= form.keys()
    fields = [each for each in form["body"] if each["type"] != "markdown"]
    assert len({each["id"] for each in fields}) == len(fields) > 0
    for each in fields:
        assert each["type"] in {"textarea", "input", "dropdown", "checkboxes"}
        assert each["attributes"]["label"]


def test_every_yaml_file_can_be_read():
    """Forms, workflows and the configuration of hooks are valid YAML without tabs."""
    files = [*GITHUB.rglob("*.yml"), ROOT / ".pre-commit-config.yaml", ROOT / "CITATION.cff"]
    assert len(files) >= 7
    for path in files:
        assert isinstance(yaml.safe_load(path.read_text(encoding="utf-8")), dict), path


@pytest.mark.parametrize("name", ["SECURITY.md", "CODE_OF_CONDUCT.md", "RELEASING.md", "CONTRIBUTING.md"])
def test_commands_and_files_that_are_named_exist(name):
    """Targets of make, and files that links lead to, are there."""
    text = read(name)
    targets = set(re.findall(r"^([a-z-]+):.*## ", read("Makefile"), re.MULTILINE))
    assert set(re.findall(r"(?:`|^ +)make ([a-z-]+)", text, re.MULTILINE)) <= targets
    for link in re.findall(r"\]\((?!https:)([^)]+)\)", text):
        assert (ROOT / link).exists(), link
