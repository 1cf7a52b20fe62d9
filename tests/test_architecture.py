"""docs/architecture.svg is whole: its text stays text and inside its boxes, in every font that readers may have."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from pages import DOCS, text_of

SVG = "{http://www.w3.org/2000/svg}"
WIDE = 12
"""Units left beside the text of a box in DejaVu Sans, which is wider than the fonts that come before it."""


@pytest.fixture(scope="module")
def picture():
    """The picture as XML."""
    return ET.parse(DOCS / "architecture.svg").getroot()  # noqa: S314 -- our own picture


def width_of(text, size, *, is_bold):
    """Return the width of a line in DejaVu Sans, which matplotlib brings."""
    pytest.importorskip("matplotlib")
    from matplotlib.font_manager import FontProperties
    from matplotlib.textpath import TextPath

    font = FontProperties(family="DejaVu Sans", weight="bold" if is_bold else "normal")
    return TextPath((0, 0), text, size=size, prop=font).get_extents().width


def lines_of(picture):
    """Yield each line of text: its element, its classes, and where it begins and ends."""
    css = picture.find(f"{SVG}style").text.partition("@media")[0]
    sizes = {
        name.strip(". "): (float(size), "font-weight" in rule)
        for names, rule, size in re.findall(r"^ *(\..+?) (\{.*font-size: ([\d.]+)px.*)$", css, re.MULTILINE)
        for name in names.split(",")
    }
    for line in picture.iter(f"{SVG}text"):
        classes = line.get("class").split()
        size, is_bold = next(sizes[name] for name in classes if name in sizes)
        width = width_of(line.text, size, is_bold=is_bold)
        share = 0.5 if "middle" in classes else 1 if "tag" in classes else 0
        begin = float(line.get("x")) - share * width
        yield line, classes, begin, begin + width


def test_every_line_lies_inside_a_box_or_beside_all(picture):
    """No line is wider than its box; one that stands free keeps within the picture."""
    boxes = [[float(each.get(key)) for key in ("x", "y", "width", "height")] for each in picture.iter(f"{SVG}rect")]
    n_inside = 0
    for line, _, begin, end in lines_of(picture):
        x, y = float(line.get("x")), float(line.get("y"))
        around = [box for box in boxes if box[0] < x < box[0] + box[2] and box[1] < y < box[1] + box[3]]
        left, _, width, _ = min(around, key=lambda box: box[2])
        assert min(begin - left, left + width - end) >= WIDE / 2, line.text
        n_inside += len(around) > 1
    assert n_inside > 25


def test_names_and_tags_of_a_box_keep_apart(picture):
    """A tag stands right of its name."""
    lines = list(lines_of(picture))
    tags = [(line.get("y"), begin) for line, classes, begin, _ in lines if "tag" in classes]
    assert len(tags) == 5
    for y, begin in tags:
        (end,) = [end for line, _, start, end in lines if line.get("y") == y and 756 < start < begin]
        assert end + WIDE <= begin


def test_the_picture_needs_nothing_from_elsewhere(picture):
    """No script, no font, no image; a description for those who cannot see it, and colours for both schemes."""
    assert {each.tag.removeprefix(SVG) for each in picture.iter()} == {
        *("svg", "title", "desc", "style", "defs", "marker", "path", "rect", "g", "text")
    }
    text = (DOCS / "architecture.svg").read_text(encoding="utf-8")
    assert re.findall(r"https?://[^\"]+", text) == ["http://www.w3.org/2000/svg"]
    assert "prefers-color-scheme: dark" in text
    assert len(picture.find(f"{SVG}desc").text) > 100


def test_the_page_shows_the_picture_and_names_what_exists():
    """The picture has an alternative text, and every path and benchmark stands in the checkout."""
    page, root = text_of("architecture"), Path(__file__).parents[1]
    assert re.search(r"^!\[[^\]]{100,}\]\(architecture\.svg\)$", page, re.MULTILINE)
    paths = re.findall(r"`((?:ensemble_1d|benchmarks)/[\w./]*)`", page)
    assert len(paths) > 15
    if (root / "benchmarks").exists():
        assert not [path for path in paths if not (root / path).exists()]
