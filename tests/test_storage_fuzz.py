"""Files altered at random, byte by byte and value by value: an ArtifactError or a program, and nothing else."""

import warnings

import numpy as np
import pytest
from e1d_files import at, file_of, packed, places_of, replaced, unpacked, with_tensor
from hypothesis import given
from hypothesis import strategies as st
from integer_strategies import integer_programs
from strategies import SEEDS, examples, programs

from ensemble_1d import ArtifactError
from ensemble_1d.runtime import run
from ensemble_1d.storage.artifact import artifact_of

HOSTILE = [
    *(None, True, False, 0, 1, -1, 2, 3, 255, 2**31 - 1, 2**31, 2**53, 2**63, 2**64, -(2**63), 10**30, 10**4000),
    *(0.0, 1.0, -0.5, 1e308, 5e-324, "", "le", "mean", "softmax", "relu", "int8", "int64", "float16", "object", "any"),
    *([], {}, [[]], [0], [1, 1], [2**40, 2**40], [0, 2**62], ["a"], {"node": "Chain", "steps": []}, "0.feature"),
    *("Concat", "Dense", "<U9", "<U999999", "O", "<M8", "F64", "U8", "BOOL", "Q", "\ud800", "a" * 5000),
]


def loaded_or_refused(data):
    """Return the program of a file, run on one row, or None if it is refused; a warning is an error."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            program = artifact_of(data).program
        except ArtifactError:
            return None
    with np.errstate(all="ignore"):
        output = run(program, np.zeros((1, program.n_features), np.float32))
    assert output.shape == (1, 1 if program.classes is None else len(program.classes))
    assert artifact_of(file_of(program)).program.task == program.task
    return program


@st.composite
def altered_bytes(draw):
    """Draw a file, and flip bits, cut, repeat, insert or overwrite some of its bytes."""
    data = bytearray(file_of(draw(programs() | integer_programs())))
    rng = np.random.default_rng(draw(SEEDS))
    header = 8 + int.from_bytes(data[:8], "little")
    for _ in range(draw(st.integers(1, 3))):
        # Most bytes of a file are its header; there, and in the length before it, the most can go wrong.
        place = int(rng.integers(0, [8, min(header, len(data)), len(data)][rng.integers(3)] + 1))
        size = int(rng.integers(0, 20))
        match draw(st.sampled_from(["flip", "cut", "repeat", "insert", "overwrite"])):
            case "flip" if place < len(data):
                data[place] ^= 1 << int(rng.integers(8))
            case "cut":
                del data[place : place + int(rng.choice([size, len(data)]))]
            case "repeat":
                data[place:place] = data[place : place + size]
            case "insert":
                data[place:place] = rng.bytes(size)
            case "overwrite":
                data[place : place + size] = rng.bytes(size)
    return bytes(data)


@st.composite
def altered_values(draw):
    """Draw a file, and change, remove, add or double values of its JSON, or of the table of its tensors."""
    table, described, body = unpacked(file_of(draw(programs() | integer_programs())))
    rng = np.random.default_rng(draw(SEEDS))
    for _ in range(draw(st.integers(1, 2))):
        in_table = draw(st.integers(0, 3)) == 0
        tree = table if in_table else described
        places = [each for each in places_of(tree) if each]
        if not places:
            continue
        path = places[int(rng.integers(len(places)))]
        holder = at(tree, path[:-1])
        match draw(st.sampled_from(["replace", "replace", "move", "remove", "add"])):
            case "replace":
                tree = replaced(tree, path, draw(st.sampled_from(HOSTILE)))
            case "move":
                tree = replaced(tree, path, at(tree, places[int(rng.integers(len(places)))]))
            case "remove":
                del holder[path[-1]]
            case "add" if isinstance(holder, dict):
                holder[draw(st.sampled_from(["x", "node", "tensor", "names"]))] = draw(st.sampled_from(HOSTILE))
            case "add":
                holder.append(draw(st.sampled_from(HOSTILE)))
        table, described = (tree, described) if in_table else (table, tree)
    return packed(table, described, body)


@st.composite
def altered_arrays(draw):
    """Draw a file with an array of other numbers, of another dtype or of another length."""
    data = file_of(draw(programs() | integer_programs()))
    rng = np.random.default_rng(draw(SEEDS))
    table, _, _ = unpacked(data)
    if not table:
        return data
    name = sorted(table)[int(rng.integers(len(table)))]
    dtype = np.dtype(str(rng.choice(["u1", "i1", "u2", "i2", "i4", "u4", "f4", "f8", "i8", "f2", "?"])))
    shape = table[name]["shape"] if rng.random() < 0.5 else list(map(int, rng.integers(0, 4, rng.integers(1, 3))))
    size = int(np.prod(shape)) * dtype.itemsize
    raw = bytes(size) if rng.random() < 0.3 else rng.bytes(size)
    array = np.frombuffer(raw, np.uint8) % 2 if dtype == np.bool_ else np.frombuffer(raw, dtype)
    return with_tensor(data, name, array.astype(dtype).reshape(shape))


@st.composite
def spliced_files(draw):
    """Draw the program of one file with the arrays of another, and with the table of either."""
    (own, described, _), (others, _, body) = (
        unpacked(file_of(draw(programs() | integer_programs()))) for _ in range(2)
    )
    return packed(own if draw(st.booleans()) else others, described, body)


ALTERED = {"bytes": altered_bytes(), "values": altered_values(), "arrays": altered_arrays(), "splices": spliced_files()}


def read_altered(way, n):
    """Read n files that were altered in this way."""

    @examples(n)
    @given(ALTERED[way])
    def read(data):
        loaded_or_refused(data)

    read()


@pytest.mark.parametrize("way", ALTERED)
def test_altered_files(way):
    """A few on every run; each run draws others."""
    read_altered(way, 150)


@pytest.mark.slow
@pytest.mark.parametrize("way", ALTERED)
def test_many_altered_files(way):
    """Many."""
    read_altered(way, 2000)


@examples(100)
@given(programs() | integer_programs())
def test_unaltered_files(program):
    """What alters nothing is loaded: a reader that refuses everything would pass the tests above."""
    assert loaded_or_refused(file_of(program)) is not None
