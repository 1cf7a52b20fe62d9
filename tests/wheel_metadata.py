"""What a built wheel says it needs: its metadata, and the requirements and oldest versions that follow from them.

It needs `packaging`, which every environment for development holds, and the standard library.
"""

import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

DISTRIBUTION = "ensemble-1d"


def read_metadata(wheel: Path) -> Message:
    """Return the METADATA of a wheel."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (each for each in archive.namelist() if each.endswith(".dist-info/METADATA"))
        return Parser().parsestr(archive.read(name).decode("utf-8"))


def read_requirements(metadata: Message, *extras: str) -> list[Requirement]:
    """Return what the distribution with `extras` needs here; an extra that names others stands for theirs."""
    declared = [Requirement(each) for each in metadata.get_all("Requires-Dist", [])]
    needed = [each for each in declared if _applies(each, extras)]
    ours = {extra for each in needed if canonicalize_name(each.name) == DISTRIBUTION for extra in each.extras}
    if not ours <= set(extras):
        return read_requirements(metadata, *sorted({*extras, *ours}))
    return [each for each in needed if canonicalize_name(each.name) != DISTRIBUTION]


def oldest_versions(requirements: list[Requirement]) -> dict[str, str]:
    """Return the oldest version that each requirement allows; one that names none is a ValueError."""
    floors = {}
    for each in requirements:
        versions = [clause.version for clause in each.specifier if clause.operator == ">="]
        if len(versions) != 1:
            raise ValueError(f"{each} must name its oldest version once, as in {each.name}>=1.0")
        floors[canonicalize_name(each.name)] = versions[0]
    return floors


def read_pins(constraints: Path) -> dict[str, str]:
    """Return the version of each distribution in a file of constraints."""
    lines = (line.partition("#")[0].strip() for line in constraints.read_text(encoding="utf-8").splitlines())
    pins = dict(line.split("==") for line in lines if line)
    return {canonicalize_name(name): version for name, version in pins.items()}


def _applies(requirement: Requirement, extras: tuple[str, ...]) -> bool:
    """Return whether the marker of a requirement holds here, without an extra or with one of `extras`."""
    marker = requirement.marker
    return marker is None or any(marker.evaluate({"extra": extra}) for extra in ("", *extras))
