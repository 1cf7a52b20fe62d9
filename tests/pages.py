"""Pages of the documentation: their blocks, run in order in an empty folder, and Programs as the pages write them."""

import re
from contextlib import chdir
from dataclasses import fields
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

import numpy as np
from document_blocks import blocks_of

DOCS = Path(__file__).parents[1] / "docs"


def text_of(name):
    """Return the text of a page."""
    return (DOCS / f"{name}.md").read_text(encoding="utf-8")


@cache
def definitions_of(name):
    """Return what the blocks of a page define."""
    blocks = [block for block in blocks_of(DOCS / f"{name}.md") if block.language == "python" and block.reason is None]
    assert blocks
    found = {}
    with TemporaryDirectory() as folder, chdir(folder):
        for block in blocks:
            exec(compile(block.text, str(block), "exec"), found)  # noqa: S102 -- our own page
    return SimpleNamespace(**{key: value for key, value in found.items() if not key.startswith("__")})


def sections_of(name):
    """Return the text of each section of a page by its title."""
    parts = re.split(r"^#+ (.+)$", text_of(name), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def plain(value):
    """Return a node, or a field of one, as the pages write it: dicts, lists and numbers of Python's own."""
    if hasattr(value, "__dataclass_fields__"):
        return {"node": type(value).__name__} | {each.name: plain(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple):
        return [plain(each) for each in value]
    return value.tolist() if isinstance(value, np.ndarray | np.generic) else value


def plain_program(program):
    """Return a Program as the pages write it."""
    return {name: plain(getattr(program, name)) for name in ("task", "n_features", "feature_names", "classes", "root")}
