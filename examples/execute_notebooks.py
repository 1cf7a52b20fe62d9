"""Run the notebooks of this folder and store what they print: `python examples/execute_notebooks.py [--out FOLDER]`.

Each runs in a kernel of this interpreter, in an empty folder, without anybody's settings of Jupyter and IPython. What
differs between machines, such as versions and times of execution, is not stored.
"""

import argparse
import os
import tempfile
from pathlib import Path

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient

SECONDS = 300
"""The longest that a cell may run."""

METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def executed(path: Path) -> str:
    """Return the text of a notebook with the outputs of a fresh run."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as settings, tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {
            "IPYTHONDIR": settings,
            "JUPYTER_CONFIG_DIR": settings,
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
            "PYDEVD_DISABLE_FILE_VALIDATION": "1",
        }
        # No folders of kernels: then "python3" is the interpreter that runs this, whatever else is installed.
        manager = AsyncKernelManager(kernel_spec_manager=KernelSpecManager(kernel_dirs=[]))
        client = NotebookClient(
            notebook,
            manager,
            timeout=SECONDS,
            record_timing=False,
            coalesce_streams=True,
            extra_arguments=["--log-level=ERROR"],
            resources={"metadata": {"path": folder}},
        )
        client.execute(env=environment)
    notebook.metadata = nbformat.from_dict(METADATA)
    for cell in notebook.cells:
        cell.metadata = {"tags": cell.metadata["tags"]} if "tags" in cell.metadata else {}
    text: str = nbformat.writes(notebook)
    return text + "\n"


def main() -> None:
    """Run the notebooks that are named, or all, and write each once it has run to its end."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("notebooks", type=Path, nargs="*", help="all in this folder unless some are named")
    parser.add_argument("--out", type=Path, help="folder to write to; the notebooks themselves if there is none")
    arguments = parser.parse_args()
    for path in arguments.notebooks or sorted(Path(__file__).parent.glob("*.ipynb")):
        text = executed(path)
        target = path if arguments.out is None else arguments.out / path.name
        target.write_text(text, encoding="utf-8")
        print(f"{path.name}: {len(text):,} bytes")


if __name__ == "__main__":
    main()
