"""Python in a process of its own, where chosen modules cannot be imported."""

import subprocess
import sys
from collections.abc import Iterable

BACKENDS = ("sklearn", "xgboost", "torch", "matplotlib", "pandas", "polars", "scipy", "joblib", "onnx", "onnxruntime")
"""Everything that the part of the package below the models must do without."""

_BLOCKER = """
import sys

class _Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {blocked!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, _Blocker())
"""


def blocking(modules: Iterable[str]) -> str:
    """Return the beginning of a script where these top-level modules look as if they were not installed."""
    return _BLOCKER.format(blocked=tuple(modules))


def run_python(code: str, *, blocked: Iterable[str] = (), data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Run code in a new interpreter where the modules `blocked` look as if they were not installed.

    Args:
        code: What to run.
        blocked: Top-level modules whose import fails.
        data: What stands on the standard input.

    Returns:
        The finished process; a failed one is an AssertionError with what it wrote.
    """
    done = subprocess.run(
        [sys.executable, "-c", blocking(blocked) + code], input=data, capture_output=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    return done
