"""Program by kernels: C answers any program on any rows as the NumPy runtime does, integers bit for bit."""

import pickle
import subprocess
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from c_harness import need
from hypothesis import given
from hypothesis import strategies as st
from integer_strategies import code_rows, float_rows, integer_programs
from isolation import run_python
from strategies import INF, NAN, SEEDS, examples, inputs, programs, tree_children

from ensemble_1d.ir import Affine, Chain, Combine, Concat, Dense, Program, TreeTable, descendants
from ensemble_1d.native import native_program, packed_trees
from ensemble_1d.native.native_program import NativeProgram
from ensemble_1d.native.packed_trees import ordered_keys
from ensemble_1d.runtime import run, run_codes

KERNELS = {
    "as chosen": {},
    "walked": {"SELECT_NODES": -1},
    "in groups": {"_NARROW": 2},
    "plain": {"_LAST_RANK": -1},
}
"""What makes every tree take one of the ways there are through it."""

ROWS = st.sampled_from([1, 2, 15, 16, 17, 63, 64, 65, 128, 200, 700])


every_kernel = pytest.mark.parametrize("kernels", KERNELS)


@contextmanager
def packing(kernels):
    """Pack programs for one kind of kernel."""
    need("cc")
    with pytest.MonkeyPatch.context() as patch:
        for name, value in KERNELS[kernels].items():
            patch.setattr(packed_trees, name, value)
        yield


def extreme_rows(draw, program):
    """Return rows of a program, with NaN and infinities among them, as many as a kernel's block has or so."""
    X = draw(inputs(program))
    rng = np.random.default_rng(draw(SEEDS))
    X = X[rng.integers(0, len(X), draw(ROWS))]
    special = rng.choice(np.array([NAN, INF, -INF], np.float32), X.shape)
    return np.where(rng.random(X.shape) < draw(st.sampled_from([0.0, 0.1])), special, X)


def assert_same(found, expected, *, exact):
    """Assert that answers are equal, or as near as the order of a dot product allows, labels included."""
    if exact:
        assert np.array_equal(found, expected, equal_nan=True)
        return
    assert np.allclose(found, expected, rtol=1e-9, atol=1e-9, equal_nan=True)
    if expected.shape[1] > 1 and len(expected):
        ordered = np.sort(expected, axis=1)
        clear = ~(np.abs(ordered[:, -1] - ordered[:, -2]) < 1e-9)
        assert np.array_equal(found.argmax(axis=1)[clear], expected.argmax(axis=1)[clear])


@every_kernel
@examples(60)
@given(data=st.data())
def test_float_programs_equal_the_runtime(kernels, data):
    """Any float program on ties, neighbours of thresholds, NaN and infinities; sums of leaves are equal to the bit."""
    program = data.draw(programs())
    X = extreme_rows(data.draw, program)
    with np.errstate(all="ignore"):
        expected = run(program, X)
    only_sums = all(isinstance(node, TreeTable | Combine) for node in descendants(program.root))
    with packing(kernels):
        native = NativeProgram(program, n_jobs=1)
    assert native.is_native
    assert_same(native.run(X), expected, exact=only_sums)


@every_kernel
@examples(60)
@given(program=integer_programs(), seed=SEEDS, n_rows=ROWS)
def test_integer_programs_equal_the_runtime_bit_for_bit(kernels, program, seed, n_rows):
    """Any codes, and any floats through the input quantizer."""
    rng = np.random.default_rng(seed)
    with packing(kernels):
        native = NativeProgram(program, n_jobs=1)
    codes = code_rows(program, rng, n_rows)
    assert np.array_equal(native.run_codes(codes), run_codes(program, codes))
    X = float_rows(program.n_features, rng, n_rows)
    assert np.array_equal(native.run(X), run(program, X))


@every_kernel
@pytest.mark.parametrize("comparison", ["le", "lt"])
@pytest.mark.parametrize("width", [1, 3])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_large_and_small_trees_in_one_table(kernels, comparison, width, dtype):
    """Trees of a thousand nodes beside small ones and lone leaves: sums equal to the bit, with NaN in the rows."""
    rng = np.random.default_rng(0)
    table = mixed_table(rng, comparison, width, dtype)
    program = Program(
        n_features=3,
        task="regression" if width == 1 else "classification",
        root=table,
        classes=None if width == 1 else np.arange(width),
    )
    X = rng.choice(table.threshold.astype(np.float32), (300, 3))
    X = np.where(rng.random(X.shape) < 0.1, NAN, X)
    with packing(kernels):
        native = NativeProgram(program, n_jobs=1)
    for n_rows in (300, 3):
        assert_same(native.run(X[:n_rows]), run(program, X[:n_rows]), exact=True)


def mixed_table(rng, comparison, width, dtype):
    """Return a table with trees of any size between none and about 1,500 nodes."""
    sizes = [0, 1, 40, 1500, 300, 7, 600]
    parts = [tree_children(rng, 1, size, 2 * size + 1) for size in sizes]
    n_leaves = 3001
    starts = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int32)

    def moved(children, start):
        return np.where(children < 0, children, children + start)

    left, right, root = (
        np.concatenate([moved(part[i], start) for part, start in zip(parts, starts, strict=False)]) for i in range(3)
    )
    n_nodes = sum(sizes)
    threshold = rng.normal(size=n_nodes).astype(np.float32)
    return TreeTable(
        feature=rng.integers(0, 3, n_nodes).astype(np.int32),
        threshold=threshold.astype(np.float64) if comparison == "le" else threshold,
        left=left.astype(np.int32),
        right=right.astype(np.int32),
        default_left=rng.random(n_nodes) < 0.5,
        value=rng.dirichlet(np.ones(width), n_leaves).astype(dtype)
        if width > 1
        else rng.normal(size=(n_leaves, 1)).astype(dtype),
        root=root.astype(np.int32),
        output=np.zeros(len(sizes), np.int32),
        bias=np.zeros(width, dtype),
        comparison=comparison,
        average=width > 1,
    )


def test_the_kernels_are_those_meant():
    """Each way of packing makes the steps that the tests above want to see."""
    table = mixed_table(np.random.default_rng(0), "le", 1, np.float64)
    found = {}
    for name in KERNELS:
        with packing(name):
            kind, struct = packed_trees.pack_trees(packed_trees.Kept(), table, np.arange(3), packed_trees.FLOAT32)
        found[name] = kind if kind == "plain_trees" else (struct.n_walks, struct.n_groups)
    assert found == {"as chosen": (2, 1), "walked": (7, 0), "in groups": (4, 1), "plain": "plain_trees"}


def test_layers_of_any_width():
    """Networks whose widths leave remainders in every vector, in every number of rows."""
    rng = np.random.default_rng(0)
    widths = [5, 33, 16, 7, 1]
    layers = tuple(
        Dense(
            weight=rng.normal(size=(b, a)).astype(np.float32),
            bias=rng.normal(size=b).astype(np.float32),
            activation="identity" if b == 1 else "relu",
        )
        for a, b in pairwise(widths)
    )
    program = Program(n_features=5, task="regression", root=Chain(steps=layers))
    native = NativeProgram(program)
    X = rng.normal(size=(600, 5)).astype(np.float32)
    for n_rows in (1, 3, 4, 5, 600):
        assert np.allclose(native.run(X[:n_rows]), run(program, X[:n_rows]), rtol=1e-9, atol=1e-9)
    assert np.array_equal(native.run(X)[:3], native.run(X[:3]))


def test_nan_is_the_largest_number():
    """As in NumPy: it gets the vote, and neither rectifier nor maximum takes it away."""
    column = np.ones(3, np.float32)
    standard = Affine(offset=0 * column, scale=column)
    vote = Combine(members=(standard, standard), weights=np.array([0.75, 0.25]), rule="vote")
    X = np.array([[5, NAN, 1], [NAN, 5, NAN], [1, 2, 2]], np.float32)
    program = Program(n_features=3, task="classification", root=vote, classes=np.arange(3))
    assert np.array_equal(NativeProgram(program).run(X), run(program, X))
    assert NativeProgram(program).run(X).argmax(axis=1).tolist() == [1, 0, 1]
    layer = Dense(weight=column[np.newaxis], bias=column[:1], activation="relu")
    program = Program(n_features=3, task="regression", root=layer)
    assert np.isnan(NativeProgram(program).run(X)[:, 0]).tolist() == [True, True, False]


def test_many_registers():
    """A program of more steps than C has places for on its stack."""
    rng = np.random.default_rng(0)
    layers = tuple(
        Dense(weight=rng.normal(size=(1, 2)).astype(np.float32), bias=np.zeros(1, np.float32), activation="identity")
        for _ in range(100)
    )
    last = Dense(weight=np.ones((1, 100), np.float32), bias=np.zeros(1, np.float32), activation="identity")
    program = Program(n_features=2, task="regression", root=Chain(steps=(Concat(members=layers), last)))
    X = rng.normal(size=(300, 2)).astype(np.float32)
    assert np.allclose(NativeProgram(program).run(X), run(program, X))


def test_no_row():
    """No row is no answer."""
    program = Program(n_features=3, task="regression", root=mixed_table(np.random.default_rng(0), "lt", 1, np.float32))
    assert NativeProgram(program).run(np.zeros((0, 3), np.float32)).shape == (0, 1)


def test_keys_have_the_order_of_floats():
    """Both zeros are one number, and neighbours stay apart."""
    rising = np.array([-INF, -1e38, -1.0, -1e-45, 0.0, 1e-45, 1.0, np.nextafter(np.float32(1), INF), INF], np.float32)
    keys = ordered_keys(rising)
    assert (np.diff(keys) > 0).all()
    assert ordered_keys(np.array([-0.0], np.float32))[0] == ordered_keys(np.array([0.0], np.float32))[0]


@pytest.mark.parametrize("n_jobs", [2, 3, 16])
def test_threads_change_nothing(n_jobs, monkeypatch):
    """Blocks of rows are answered as all rows at once."""
    rng = np.random.default_rng(0)
    program = Program(n_features=3, task="regression", root=mixed_table(rng, "le", 1, np.float64))
    X = rng.normal(size=(10_001, 3)).astype(np.float32)
    alone = NativeProgram(program, n_jobs=1).run(X)
    threads = []
    pool = native_program.ThreadPoolExecutor
    monkeypatch.setattr(native_program, "ThreadPoolExecutor", lambda n, **rest: threads.append(n) or pool(n, **rest))
    assert np.array_equal(NativeProgram(program, n_jobs=n_jobs).run(X), alone)
    assert threads == [min(n_jobs, 9) - 1]
    assert np.array_equal(alone, run(program, X))


SANITIZED = """
import os, pickle
from pathlib import Path
os.environ["ENSEMBLE_1D_CACHE"] = {folder!r}
import numpy as np
from ensemble_1d.native import library
library.FLAGS = (*library.FLAGS, "-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
from ensemble_1d.native.native_program import NativeProgram
from ensemble_1d.runtime import run
n = 0
for program, X in pickle.load(sys.stdin.buffer):
    native = NativeProgram(program, n_jobs=1)
    assert native.is_native
    # A copy of its own size: a read beyond its end is caught.
    rows = np.array(X)
    with np.errstate(all="ignore"):
        assert np.allclose(native.run(rows), run(program, X), rtol=1e-9, atol=1e-9, equal_nan=True)
    n += 1
assert all(b"__asan_init" in entry.read_bytes() for entry in Path({folder!r}).iterdir())
print(n)
"""


@pytest.mark.slow
def test_sanitizers_find_nothing(tmp_path, monkeypatch):
    """No access out of bounds and no undefined behaviour, with programs of any kind and numbers of rows."""
    gcc = need("gcc")
    cases = []

    @examples(150)
    @given(data=st.data())
    def collect(data):
        program = data.draw(programs())
        cases.append((program, extreme_rows(data.draw, program)))
        program = data.draw(integer_programs())
        rng = np.random.default_rng(data.draw(SEEDS))
        cases.append((program, float_rows(program.n_features, rng, data.draw(ROWS))))

    collect()
    rng = np.random.default_rng(0)
    for width in (1, 3):
        table = mixed_table(rng, "le", width, np.float64)
        classes = None if width == 1 else np.arange(width)
        task = "regression" if width == 1 else "classification"
        X = rng.normal(size=(9000, 3)).astype(np.float32)
        cases.append((Program(n_features=3, task=task, root=table, classes=classes), X))
    found = [
        subprocess.run([gcc, f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout.strip()
        for name in ("libasan.so", "libubsan.so")
    ]
    if not all(Path(each).is_absolute() for each in found):
        pytest.skip("gcc has no sanitizers here")
    monkeypatch.setenv("CC", gcc)
    monkeypatch.setenv("LD_PRELOAD", " ".join(found))
    monkeypatch.setenv("ASAN_OPTIONS", "detect_leaks=0")
    done = run_python(SANITIZED.format(folder=str(tmp_path / "sanitized")), data=pickle.dumps(cases))
    assert int(done.stdout) == len(cases)
