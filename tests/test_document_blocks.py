"""What runs the pages would notice: blocks that fail, print something else, or are neither run nor marked."""

import shutil
import subprocess

import pytest
from document_blocks import blocks_of, extras_of, is_known, run_blocks, script_of

FENCE = "```"


@pytest.fixture
def page(tmp_path):
    """Return a function that writes a page of blocks and runs it in an empty folder."""

    def run(*blocks):
        found = written(tmp_path / "page.md", *blocks)
        (tmp_path / "empty").mkdir()
        run_blocks(found, tmp_path / "empty")
        return found, tmp_path / "empty"

    return run


def written(path, *blocks):
    """Return the blocks of a page made of what stands before each, its fence and its code."""
    text = "\n".join(f"{before}{FENCE}{info}\n{code}\n{FENCE}\n" for before, info, code in blocks)
    path.write_text(text, encoding="utf-8")
    return blocks_of(path)


def test_names_are_shared_and_output_is_compared(page):
    """A later block sees the names of an earlier one; dots stand for anything."""
    found, _ = page(("", "python", "x = 3"), ("", "python", "print('x is', x)"), ("", "text", "x ... 3"))
    assert [(block.language, block.output) for block in found] == [("python", None), ("python", "x ... 3\n")]


def test_titled_blocks_are_files_for_commands(page):
    """A block with a title is written, and a command finds it, this Python and the command line."""
    _, folder = page(
        ("", 'python title="two.py"', "print(1 + 1)"),
        ("", "bash", "python two.py > two.txt"),
        ("", "bash", "cat two.txt"),
        ("", "text", "2"),
    )
    assert (folder / "two.txt").read_text(encoding="utf-8") == "2\n"


@pytest.mark.parametrize(
    "blocks",
    [
        [("", "python", "print(2)"), ("", "text", "3")],
        [("", "bash", "echo 2"), ("", "text", "3")],
        [("", "bash", "false; echo 2")],
        [("", "c", "int f(void) { return undeclared; }")],
        [("", "c", "int f(int unused) { return 1; }")],
    ],
    ids=["python prints", "bash prints", "bash fails", "c is wrong", "c warns"],
)
def test_faults_are_noticed(page, blocks):
    """What fails, warns in C, or prints something else is an error that says where."""
    if blocks[0][1] == "c" and shutil.which("cc") is None:
        pytest.skip("no C compiler")
    with pytest.raises(AssertionError, match=r"page\.md:1"):
        page(*blocks)


def test_errors_of_python_have_the_line_of_the_page(page):
    """An exception passes through, and its traceback names the line."""
    with pytest.raises(ZeroDivisionError) as caught:
        page(("", "python", "x = 1"), ("", "python", "x / 0"))
    assert caught.traceback[-1].lineno + 1 == 6


def test_marks_and_strangers(page, tmp_path):
    """A marked block is not run; one of another language without a mark, and output of nothing, are not known."""
    marked = ("<!-- not run: needs a cluster -->\n", "bash", "false")
    found = written(tmp_path / "strange.md", marked, ("", "text", "2"), ("", "toml", "a = 1"), ("", "", "3"))
    assert [block.reason for block in found] == ["needs a cluster", None, None, None]
    assert [is_known(block) for block in found] == [True, False, False, False]
    page(marked)
    with pytest.raises(AssertionError, match="'toml': mark it"):
        run_blocks(found[2:], tmp_path / "empty")


def test_a_page_becomes_what_its_reader_types(tmp_path):
    """Files are written, Python shares its names, and what is not run is left out; the shell stops at a failure."""
    page = tmp_path / "page.md"
    page.write_text(
        'Install: `pip install "ensemble-1d[cli,viz]"`.\n\n'
        "<!-- not run: a reason -->\n```bash\nfalse\n```\n\n"
        '```text title="a.txt"\nfrom the page\n```\n\n```c\nint x;\n```\n\n```bash\ncat a.txt\n```\n\n'
        "```python\nx = 6\n```\n\n```python\nprint(x * 7)\n```\n\n```text\n42\n```\n",
        encoding="utf-8",
    )
    assert extras_of(page) == ("cli", "viz")
    command, script = [shutil.which("bash"), "-c"], script_of(page)
    done = subprocess.run([*command, script], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "from the page\n42\n"
    assert subprocess.run([*command, script + "false\ntrue\n"], cwd=tmp_path, check=False).returncode == 1
