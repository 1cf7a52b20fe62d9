"""The pages: their code runs as it stands, their links lead somewhere, and the site needs nothing from elsewhere."""

import os
import re
import shutil
import subprocess
import sys

import pytest
from document_blocks import ROOT, blocks_of, is_known, run_blocks

DOCS = ROOT / "docs"
PAGES = [path for path in (ROOT / "README.md", *sorted(DOCS.rglob("*.md"))) if path.exists()]
SLOW = {"docs/howto/cluster.md", "docs/tutorial.md"}
"""Pages that start processes or search for budgets, which takes them more than a few seconds."""
NOT_RUN = {
    "README.md": 4,
    "docs/benchmarks.md": 1,
    "docs/howto/cluster.md": 2,
    "docs/howto/edge.md": 2,
    "docs/howto/onnx.md": 1,
    "docs/howto/pytorch.md": 1,
    "docs/howto/troubleshooting.md": 3,
    "docs/howto/xgboost.md": 1,
    "docs/tutorial.md": 1,
}
"""How many blocks of a page are marked as not run: one more must be meant."""

pytestmark = pytest.mark.skipif(not (ROOT / "benchmarks").exists(), reason="the pages stand in a checkout alone")


def name_of(page):
    """Return the path of a page in the checkout."""
    return page.relative_to(ROOT).as_posix()


WITH_BLOCKS = [
    pytest.param(page, id=name_of(page), marks=[pytest.mark.slow] if name_of(page) in SLOW else [])
    for page in PAGES
    if any(block.reason is None for block in blocks_of(page))
]


@pytest.mark.usefixtures("closed_figures")
@pytest.mark.parametrize("page", WITH_BLOCKS)
def test_blocks_run(page, tmp_path):
    """The blocks of a page run from top to bottom in an empty folder and print what the page shows."""
    for module in ("xgboost", "torch", "matplotlib", "onnxruntime", "pandas"):
        pytest.importorskip(module)
    if shutil.which("cc") is None:
        pytest.skip("no C compiler")
    folder = tmp_path / "empty"
    folder.mkdir()
    run_blocks(blocks_of(page), folder)


@pytest.mark.parametrize("page", [pytest.param(page, id=name_of(page)) for page in PAGES])
def test_no_block_is_left_out(page):
    """A block is run, written to a file, or marked with the reason why it is not run; none is marked without one."""
    blocks = blocks_of(page)
    assert not [str(block) for block in blocks if not is_known(block)]
    text = page.read_text(encoding="utf-8")
    marked = sum(block.reason is not None for block in blocks)
    assert text.count("<!-- not run:") == marked == NOT_RUN.get(name_of(page), 0)
    assert len(re.findall(r"^ *(?:```|~~~)", text, re.MULTILINE)) % 2 == 0


LINK = re.compile(r"(?<!!)\[[^\]\n]*\]\(([^)\s]+)\)")
MENTION = re.compile(r"`((?:benchmarks|docs|examples|tests|ensemble_1d)/[\w./-]+)`")
TEXTS = [path for path in (*PAGES, *(ROOT / name for name in ("CONTRIBUTING.md", "CHANGELOG.md"))) if path.exists()]


def prose(page):
    """Return a page without its blocks of code."""
    return re.sub(r"^ *(```|~~~).*?^ *\1\s*$", "", page.read_text(encoding="utf-8"), flags=re.MULTILINE | re.DOTALL)


def anchors(page):
    """Return the anchors that the headings of a page get."""
    headings = re.findall(r"^#+ (.+)$", prose(page), re.MULTILINE)
    return {re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", heading).strip().lower()) for heading in headings}


@pytest.mark.parametrize("page", [pytest.param(page, id=name_of(page)) for page in TEXTS])
def test_links_lead_somewhere(page):
    """Links to files, and to headings in them, and files that are named, exist; the host of none is invented."""
    for link in LINK.findall(prose(page)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        found = (page.parent / path).resolve() if path else page
        assert found.exists(), f"{name_of(page)} links to {link}"
        assert not anchor or anchor in anchors(found), f"{name_of(page)} links to {link}"
    for path in MENTION.findall(prose(page)):
        assert (ROOT / path).exists(), f"{name_of(page)} names {path}"


def test_navigation_has_every_page():
    """Each page of the navigation exists, and each page is in it once."""
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"^ +- (?:[\w ]+: )?([\w/-]+\.md)$", text.partition("\nnav:")[2], re.MULTILINE)
    assert sorted(listed) == sorted(page.relative_to(DOCS).as_posix() for page in DOCS.rglob("*.md"))


def test_every_table_has_a_page():
    """Each committed table of a benchmark is included by a page of its name."""
    tables = sorted((ROOT / "benchmarks").rglob("bench_*.md"))
    assert tables
    for table in tables:
        included = f'--8<-- "{name_of(table)}"\n'
        assert (DOCS / "benchmarks" / table.name).read_text(encoding="utf-8") == included


def test_site_is_built_and_fetches_nothing(tmp_path):
    """The site is built without a warning, and no page loads a script, a style, a font or an image from elsewhere."""
    pytest.importorskip("mkdocs")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path / "site")]
    done = subprocess.run(
        command, cwd=ROOT, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    pages = list((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(list(DOCS.rglob("*.md")))
    for page in pages:
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|iframe)[^>]* src=\"?(https?:[^\" >]+)", text)
        loaded += re.findall(r"<link(?![^>]*canonical)[^>]* href=\"?(https?:[^\" >]+)", text)
        assert not loaded, f"{page.name} loads {loaded}"
