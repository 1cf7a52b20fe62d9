"""Every public name is documented: in its docstring, by an example, and on a page of the reference."""

import re
from pathlib import Path

import pytest

griffe = pytest.importorskip("griffe")

from public_interface import described, docstring, lineage, public_members, reachable, target, top_names  # noqa: E402

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "docs" / "reference"
in_checkout = pytest.mark.skipif(not (ROOT / "benchmarks").exists(), reason="the pages stand in a checkout alone")
CLASSES = {path: each for path, each in reachable().items() if isinstance(each, griffe.Class)}


def test_what_is_reached():
    """The walk finds what methods give, through names that only type checkers see and through unions of types."""
    names = {path.rpartition(".")[2] for path in reachable()}
    assert {"Ensemble", "load", "plot_pareto", "QuantizationReport", "ParetoPoint", "ProgramSummary"} <= names
    assert {"CVerification", "Leaderboard", "OptimizationResult", "TreeSizes", "TreeTable", "Dequantize"} <= names
    assert {"quantize", "c_source", "verify_c"} <= set(public_members(CLASSES["ensemble_1d.predictor.Predictor"]))


@pytest.mark.parametrize("path", sorted(reachable()))
def test_everything_has_a_docstring(path):
    """A class, its public methods, properties and attributes, and a function with its parameters are described."""
    each = reachable()[path]
    assert docstring(each), path
    if isinstance(each, griffe.Function):
        assert {name.lstrip("*") for name in parameters(each)} <= described(docstring(each))
        return
    own = described("\n".join(docstring(base) for base in lineage(each)))
    for name, member in public_members(each).items():
        assert docstring(member) or name in own, f"{path}.{name} is not described"
        if isinstance(member, griffe.Function):
            missing = parameters(member) - described(docstring(member))
            assert not missing, f"{path}.{name} does not describe {missing}"
    if "__init__" in each.members:
        missing = parameters(each.members["__init__"]) - described(docstring(each))
        assert not missing, f"{path} does not describe {missing}"


def parameters(function):
    """Return the names of a function's parameters."""
    return {parameter.name.lstrip("*") for parameter in function.parameters} - {"self", "cls"}


@pytest.mark.parametrize("path", sorted(reachable()))
def test_everything_has_an_example(path):
    """A class or function has an example; a method has one, or one of its class, or of a base, calls it."""
    each = reachable()[path]
    assert ">>> " in docstring(each), f"{path} has no example"
    if path not in top_names() or not isinstance(each, griffe.Class):
        return
    text = "\n".join(docstring(base) for base in lineage(each))
    for name, member in public_members(each).items():
        if isinstance(member, griffe.Function) and ">>> " not in docstring(member):
            assert re.search(rf"^ *(>>>|\.\.\.) .*\.{name}\(", text, re.MULTILINE), f"no example calls {path}.{name}"


@in_checkout
def test_reference_has_everything():
    """Each public name has an entry on a page of the reference, and no entry stands twice."""
    pages = {page: page.read_text(encoding="utf-8") for page in REFERENCE.glob("*.md")}
    entries = [path for text in pages.values() for path in re.findall(r"^::: (\S+)$", text, re.MULTILINE)]
    found = [target(path).path for path in entries]
    assert not set(reachable()) - set(found)
    assert len(set(found)) == len(found)
