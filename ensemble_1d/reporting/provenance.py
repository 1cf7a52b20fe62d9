"""Section that says what the numbers came from: parameters, seeds, the parts of the program, and versions."""

import platform
import re
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

import ensemble_1d
from ensemble_1d._html import Markup, html_facts, html_table
from ensemble_1d.program_summary import summarise
from ensemble_1d.reporting.figures import shortened
from ensemble_1d.reporting.page import folded, joined, paragraph, scrolling

if TYPE_CHECKING:
    from ensemble_1d.reporting.subject import Subject

_BACKENDS = ("xgboost", "xgboost-cpu", "torch", "onnx", "onnxruntime", "matplotlib")
_DISTRIBUTIONS = ("numpy", "scikit-learn", "scipy", *_BACKENDS)
_MOST_MEMBERS = 20
_MOST_NODES = 200
_CHARACTERS = 200
_INDENT = "\N{NO-BREAK SPACE}" * 3


def provenance(subject: "Subject") -> Markup:
    """Return parameters, the nodes of the program, and versions."""
    parts = [
        paragraph(f"All that was drawn for this report was drawn with the seed {subject.random_state}."),
    ]
    parameters = list(_parameters(subject.model))
    if not parameters:
        parts.append(paragraph("A Predictor holds what a model computes, and not the parameters it was fitted with."))
    for title, values in parameters[: _MOST_MEMBERS + 1]:
        table = html_facts(((name, _value(value)) for name, value in values.items()), caption="As they were given")
        parts.append(folded(f"Parameters of {shortened(title, 60)}", scrolling(table, f"Parameters of {title}")))
    if len(parameters) > _MOST_MEMBERS + 1:
        parts.append(paragraph(f"{len(parameters) - _MOST_MEMBERS - 1:,} more members have parameters of their own."))
    if subject.program is not None:
        nodes = summarise(subject.program).nodes
        rows = [(_INDENT * each.depth + each.title, each.size, f"{each.n_bytes:,}") for each in nodes[:_MOST_NODES]]
        more = f", the first {_MOST_NODES} of {len(nodes):,}" if len(nodes) > _MOST_NODES else ""
        table = html_table(["Node", "Size", "Bytes"], rows, caption=f"Nodes of the program{more}", words=(1,))
        parts.append(folded("What the model computes", scrolling(table, "Nodes of the program")))
    table = scrolling(html_table(["", "Version"], versions(), caption="Versions installed", words=(1,)), "Versions")
    return joined(*parts, table)


def versions() -> list[tuple[str, str]]:
    """Return the versions of Python, of this package and of the libraries installed, none of which is imported."""
    found = [("Python", platform.python_version()), ("ensemble-1d", ensemble_1d.__version__)]
    for name in _DISTRIBUTIONS:
        try:
            found.append((name, version(name)))
        except PackageNotFoundError:
            continue
    return found


def _parameters(model: Any) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the parameters of a model, and of each of its members."""
    if not hasattr(model, "get_params"):
        return
    yield type(model).__name__, model.get_params(deep=False)
    for name, member in getattr(model, "members_", {}).items():
        yield name, {"": type(member).__name__} | member.get_params(deep=False)


def _value(value: object) -> str:
    """Return a parameter as text of some length, without addresses of memory, which change from run to run."""
    text = re.sub(r" at 0x[0-9a-fA-F]+", "", " ".join(repr(value).split()))
    return text if len(text) <= _CHARACTERS else text[:_CHARACTERS] + "…"
