"""The notebooks of the examples: stored as they ran, small, free of any machine's traces, and true when run again."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
NOTEBOOKS = sorted(EXAMPLES.glob("*.ipynb"))
NAMES = ["edge_in_32_kb", "quickstart", "scikit_learn", "serving_with_numpy", "tabular"]
VARIES = "varies"
"""The tag of a cell whose output is another on every run or machine."""

pytestmark = pytest.mark.skipif(not EXAMPLES.exists(), reason="the examples stand in a checkout alone")
every_notebook = pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)


def code_cells(path):
    """Return the cells with code."""
    return [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]


def texts(cell):
    """Return what a cell put out as text, and in place of each picture its kind."""
    shown = []
    for output in cell["outputs"]:
        data = {"text/plain": output["text"]} if "text" in output else output["data"]
        shown.append("image/png" if "image/png" in data else "".join(data["text/plain"]))
    return shown


def is_close(found, stored):
    """Return whether numbers may come from one program on two processors: off by 0.02, or above 1 by a tenth."""
    a, b = (float(text.replace(",", "")) for text in (found, stored))
    return abs(a - b) <= (0.1 * abs(b) if abs(b) > 1 else 0.02)


def same_story(found, stored):
    """Return whether two outputs have lines of the same words, in any order, and numbers in them that are close."""
    number = re.compile(r"(?<![\w.])-?\d[\d,]*(?:\.\d+)?(?:e[+-]?\d+)?")
    lines = [
        sorted((" ".join(number.sub("#", line).split()), line) for line in text.strip().splitlines())
        for text in (found, stored)
    ]
    if [words for words, _ in lines[0]] != [words for words, _ in lines[1]]:
        return False
    return all(
        is_close(*pair)
        for (_, one), (_, other) in zip(*lines, strict=True)
        for pair in zip(number.findall(one), number.findall(other), strict=True)
    )


@pytest.mark.parametrize(
    ("found", "stored", "expected"),
    [
        ("score 0.951, 1,204 bytes", "score  0.953, 1,200 bytes", True),
        ("score 0.951", "score 0.911", False),
        ("1,204 bytes", "1,004 bytes", False),
        ("171 of 171 rows equal", "170 of 171 rows differ", False),
        ("-0.1027", "-0.1130", True),
        ("forest 0.9\nnet 0.7", "net 0.71\nforest 0.89", True),
        ("forest 0.7\nnet 0.9", "net 0.7\nforest 0.9", False),
        ("forest 0.9\nnet 0.7", "forest 0.9", False),
    ],
)
def test_what_counts_as_the_same(found, stored, expected):
    """Words must be equal and numbers close; a column may be wider, and a ranking another."""
    assert same_story(found, stored) is expected


def test_the_notebooks_are_there():
    """None is lost or forgotten in the read-me of the examples."""
    assert [path.stem for path in NOTEBOOKS] == NAMES
    listed = re.findall(r"\]\((\w+)\.ipynb\)", (EXAMPLES / "README.md").read_text(encoding="utf-8"))
    assert sorted(listed) == NAMES


@every_notebook
def test_notebooks_are_stored_as_they_ran(path):
    """From the first cell to the last, each once, in order, without a word on stderr, and with pictures that show."""
    cells = code_cells(path)
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert len(cells) >= 5
    for cell in cells:
        kinds = {(output["output_type"], output.get("name")) for output in cell["outputs"]}
        assert kinds <= {("stream", "stdout"), ("execute_result", None), ("display_data", None)}
    silent = [cell for cell in cells if not cell["outputs"]]
    assert len(silent) <= len(cells) // 3


@every_notebook
def test_notebooks_are_small_and_tell_nothing_of_a_machine(path):
    """Under 100 kB; no path in what is shown, no version of Python and no time of execution."""
    assert path.stat().st_size < 100_000
    notebook = json.loads(path.read_text(encoding="utf-8"))
    assert notebook["metadata"].keys() == {"kernelspec", "language_info"}
    assert notebook["metadata"]["language_info"] == {"name": "python"}
    for cell in notebook["cells"]:
        assert cell["metadata"] in ({}, {"tags": [VARIES]})
    shown = "\n".join(text for cell in code_cells(path) for text in texts(cell))
    assert not re.search(r"/(?:home|Users|root|tmp|usr|opt|var)\b|[A-Z]:\\|site-packages", shown)
    assert str(EXAMPLES.parent) not in shown


@pytest.mark.skipif(not (EXAMPLES.parent / "benchmarks").exists(), reason="some links lead into a checkout")
@every_notebook
def test_links_between_examples_lead_somewhere(path):
    """Every relative link is a file."""
    notebook = json.loads(path.read_text(encoding="utf-8"))
    text = "\n".join("".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "markdown")
    for target in re.findall(r"\]\(([^)#:]+)\)", text):
        assert (EXAMPLES / target).exists(), target


@pytest.mark.slow
@every_notebook
def test_running_again_tells_the_same(path, tmp_path):
    """`make notebooks` in another folder: every cell runs, and prints what is stored, nearly to the number."""
    for library in ("nbclient", "ipykernel", "matplotlib", "pandas", "torch", "xgboost"):
        pytest.importorskip(library)
    line = [sys.executable, EXAMPLES / "execute_notebooks.py", path, "--out", tmp_path]
    done = subprocess.run(line, capture_output=True, text=True, check=False, env=os.environ | {"NO_COLOR": "1"})
    assert done.returncode == 0, done.stderr[-4000:]
    assert not done.stderr
    stored, found = code_cells(path), code_cells(tmp_path / path.name)
    assert len(found) == len(stored)
    for before, after in zip(stored, found, strict=True):
        assert after["source"] == before["source"]
        if VARIES in before["metadata"].get("tags", []):
            assert texts(after)
            continue
        for text, expected in zip(texts(after), texts(before), strict=True):
            assert same_story(text, expected), f"{text}\n--- is stored as ---\n{expected}"
