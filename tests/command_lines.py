"""The command line inside the process of a test: what it wrote to both streams, and its exit code."""

import io
import json
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from types import SimpleNamespace
from unittest import mock

import numpy as np
from samples import sample

from ensemble_1d.cli.main import main

NAMES = ("radius", "texture", "perimeter", "area", "smooth ness")
SMALL = ("--models", "random_forest", "--param", "random_forest.n_estimators=4", "--cv", "2")
"""Options of a fit that takes a moment."""


@dataclass(frozen=True)
class Ran:
    """A command that has ended."""

    code: int
    out: bytes
    err: str

    @property
    def json(self):
        """The one document on standard output, on one line."""
        assert self.out.count(b"\n") == 1
        return json.loads(self.out)

    @property
    def lines(self):
        """The lines on standard output."""
        return self.out.decode().splitlines()


def run(*arguments, data=b""):
    """Run a command with these bytes on standard input."""
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="ascii", newline="\n"), io.StringIO()
    stdin = SimpleNamespace(buffer=io.BytesIO(data))
    with redirect_stdout(out), redirect_stderr(err), mock.patch("sys.stdin", stdin):
        code = main([str(each) for each in arguments])
    out.flush()
    return Ran(code, out.buffer.getvalue(), err.getvalue())


def refused(*arguments, code=1, data=b""):
    """Return the one line of a command that fails, after a look at everything else."""
    ran = run(*arguments, "-q", data=data)
    assert ran.code == code, ran.err
    assert ran.out == b""
    assert ran.err.startswith("ensemble-1d: error: ")
    assert ran.err.count("\n") == 1
    return ran.err.removeprefix("ensemble-1d: error: ").rstrip("\n")


def table_of(name, target="kind"):
    """Return a data set of `samples` as a frame with names, the target last."""
    import pandas as pd

    data = sample(name)
    # Python's shortest text of a float32 gives it back: what is read is what was written.
    frame = pd.DataFrame(np.asarray(data.X, np.float32), columns=list(NAMES))
    frame[target] = data.y
    return frame


def written(folder, text, name="data.csv"):
    """Write a table and return its path."""
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path
