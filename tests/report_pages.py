"""Reports that tests make, and what a page must be to hold by itself and to be read aloud."""

import re
from itertools import pairwise

from html_checks import Page
from samples import forest

from ensemble_1d import Ensemble

HOSTILE = "<script>alert('1')</script>"
ANCHORS = ["leaderboard", "errors", "calibration", "importance", "integers", "budgets", "ranges", "provenance"]


def ensemble_of(task="classification", **options):
    """Return an unfitted ensemble of two forests."""
    models = [("stump", forest(max_depth=1, task=task)), ("wood", forest(task=task))]
    return Ensemble(models, **({"task": task, "cv": 3, "random_state": 0} | options))


def halves(data):
    """Return the rows to fit on, and those to report on."""
    return data.X[:80], data.y[:80], data.X[80:], data.y[80:]


def rows_of(report, caption):
    """Return the cells of each row, by its first cell, of the table whose caption begins so."""
    (table,) = re.findall(rf"<table><caption>{re.escape(caption)}.*?</table>", report.html, re.DOTALL)
    rows = re.findall(r"<tr>(.*?)</tr>", table.partition("<tbody>")[2], re.DOTALL)
    cells = [[Page(cell).text for cell in re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row)] for row in rows]
    return {first: rest for first, *rest in cells}


def shown(report, anchor):
    """Return the source of one section."""
    return re.search(rf'<section id="{anchor}".*?</section>', report.html, re.DOTALL).group()


def check_page(html):
    """Assert that a page is whole, holds by itself, and can be read aloud."""
    found = Page(html)
    assert html.startswith("<!DOCTYPE html>")
    names = {tag for tag, _ in found.tags}
    assert not names & {"script", "link", "img", "iframe", "object", "embed", "form", "base", "image", "foreignobject"}
    assert found.all("html") == [{"lang": "en"}]
    for tag, attributes in found.tags:
        assert not [name for name in attributes if name.startswith("on")], tag
        for name in ("src", "href", "xlink:href", "action", "data"):
            assert attributes.get(name, "#").startswith("#"), (tag, attributes)
        assert "url(" not in attributes.get("style", "").replace("url(#", "")
    assert "http" not in html.replace("http-equiv", "")
    assert "@import" not in html
    ids = [attributes["id"] for _, attributes in found.tags if "id" in attributes]
    assert len(set(ids)) == len(ids)
    values = [value or "" for _, attributes in found.tags for value in attributes.values()]
    targets = [target for value in values for target in re.findall(r"^#(.+)|url\(#(.+?)\)", value)]
    assert {one or other for one, other in targets} <= set(ids)
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch("h[1-6]", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(new <= old + 1 for old, new in pairwise(levels))
    assert len(found.all("table")) == len(found.all("caption"))
    assert all(each.get("scope") in {"row", "col"} for each in found.all("th"))
    assert all(each.get("role") == "img" and each.get("aria-label") for each in found.all("svg"))
    assert len(found.all("figure")) == len(found.all("figcaption"))
    assert html.count("<!--") == html.count("<metadata") == 0
    return found
