"""What a user of the package can lay hands on, read from its source by Griffe: names, and what their methods give."""

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import griffe

import ensemble_1d

PACKAGE = Path(ensemble_1d.__file__).parent


@cache
def package() -> griffe.Module:
    """Return the package, read and not imported: names that only type checkers see are known too."""
    found = griffe.load("ensemble_1d", search_paths=[str(PACKAGE.parent)])
    assert isinstance(found, griffe.Module)
    return found


def target(path: str) -> griffe.Object | None:
    """Return what a dotted path of the package names in the end, or None for what is not of this package."""
    name = path.removeprefix("ensemble_1d.")
    if name == path:
        return None
    found = package()[name]
    return found.final_target if isinstance(found, griffe.Alias) else found


def named_in(annotation: griffe.Expr | str | None) -> Iterator[griffe.Object]:
    """Yield what of this package an annotation names, and what type aliases in it stand for."""
    if isinstance(annotation, griffe.Expr):
        for part in annotation.iterate():
            found = target(part.canonical_path) if isinstance(part, griffe.ExprName) else None
            if isinstance(found, griffe.Attribute):
                yield from named_in(found.value)
            elif found is not None and "._" not in found.path:  # What stands in a private module is no one's business.
                yield found


def public_members(cls: griffe.Class) -> dict[str, griffe.Object]:
    """Return the public methods, properties and attributes of a class by name, those of bases in this package too."""
    members = {name: each for name, each in cls.all_members.items() if not name.startswith("_")}
    found = {name: each.final_target if isinstance(each, griffe.Alias) else each for name, each in members.items()}
    # A nested helper of typing, and what dataclasses spell `_: KW_ONLY`, are no members.
    return {name: each for name, each in found.items() if isinstance(each, griffe.Function | griffe.Attribute)}


@cache
def top_names() -> dict[str, griffe.Object]:
    """Return the public classes and functions by their path: those of `__all__`, and the plots."""
    plots = [name for name in package()["plotting"].functions if name.startswith("plot_")]
    names = [*sorted(set(ensemble_1d.__all__) - {"__version__"}), *(f"plotting.{name}" for name in plots)]
    found = [target(f"ensemble_1d.{name}") for name in names]
    return {each.path: each for each in found if each is not None}


@cache
def reachable() -> dict[str, griffe.Object]:
    """Return the top names and, by their path, all classes that a public method returns or a public attribute holds."""
    known: dict[str, griffe.Object] = {}
    queue = list(top_names().values())
    while queue:
        each = queue.pop()
        if each.path in known:
            continue
        known[each.path] = each
        if isinstance(each, griffe.Class):
            for member in public_members(each).values():
                annotation = member.returns if isinstance(member, griffe.Function) else member.annotation
                queue += [found for found in named_in(annotation) if isinstance(found, griffe.Class)]
        elif isinstance(each, griffe.Function):
            queue += [found for found in named_in(each.returns) if isinstance(found, griffe.Class)]
    return known


def docstring(each: griffe.Object) -> str:
    """Return a docstring, or nothing."""
    return each.docstring.value if each.docstring is not None else ""


def described(text: str) -> set[str]:
    """Return the names that the sections of a docstring describe."""
    return set(re.findall(r"^ {4}\**(\w+): ", text, re.MULTILINE))


def lineage(cls: griffe.Class) -> list[griffe.Class]:
    """Return a class and its bases in this package."""
    return [cls, *cls.mro()]
