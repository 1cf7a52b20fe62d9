"""Files that were cut short, altered or made up: an ArtifactError that says what is wrong, or a program."""

import json
import tracemalloc

import numpy as np
import pytest
from e1d_files import at, file_of, packed, replaced, unpacked, with_tensor
from samples import forest, sample

import ensemble_1d
from ensemble_1d import ArtifactError, EnsembleError, Predictor, Program, load
from ensemble_1d.ir import Chain, Concat, Dense, Link, Log, TreeTable
from ensemble_1d.storage import limits
from ensemble_1d.storage.artifact import artifact_of

N_TREES = 13  # Odd, so that the bits of their shape never fill the last byte.


@pytest.fixture(scope="module")
def trees():
    """The file of a small forest."""
    data = sample("multiclass")
    return file_of(forest(n_estimators=N_TREES, random_state=0).fit(data.X, data.y).program())


def layer_program():
    layer = Dense(weight=np.ones((1, 2), np.float32), bias=np.zeros(1, np.float32), activation="identity")
    return Program(n_features=2, task="regression", root=layer)


def changed(data, path, value):
    """Return a file with another value at a path of its JSON."""
    table, described, body = unpacked(data)
    return packed(table, replaced(described, path, value), body)


def with_entry(data, name, **changes):
    """Return a file that says something else of a tensor."""
    table, described, body = unpacked(data)
    return packed({**table, name: {**table[name], **changes}}, described, body)


def deep(n_levels):
    """Return the JSON of chains within each other."""
    return '{"node":"Chain","steps":[' * n_levels + '{"node":"Link","kind":"softmax"}' + "]}" * n_levels


def nested(n_levels):
    """Return a file whose nodes lie so deep."""
    table, described, body = unpacked(file_of(layer_program()))
    return packed(
        table, json.dumps(replaced(described, ("program", "root"), 0)).replace("0}}", deep(n_levels) + "}}"), body
    )


def doubled(data):
    """Return a file whose header names a tensor twice."""
    end = 8 + int.from_bytes(data[:8], "little")
    header = data[8:end].replace(b"{", b'{"0.bias": 1, ', 1)
    return len(header).to_bytes(8, "little") + header + data[end:]


def with_extra(data):
    table, described, body = unpacked(data)
    extra = {"dtype": "U8", "shape": [0], "data_offsets": [len(body), len(body)]}
    return packed({**table, "extra": extra}, described, body)


WEIGHT, ROOT = "0.weight", ("program", "root")
CASES = {
    "empty": (lambda data: b"", "it has 0 bytes, too few for a header"),
    "text": (lambda data: b"Dear reader, this is no model at all", r"it is no \.e1d file, or cut short"),
    "cut": (lambda data: data[:-1], "tensor '0.bias' ends at byte 12, and there are 11"),
    "longer": (lambda data: data + b"x", "1 bytes follow its last tensor"),
    "huge header": (lambda data: (2**62).to_bytes(8, "little") + data[8:], "its header would have 4,611,686,018,427"),
    "no object": (lambda data: (2).to_bytes(8, "little") + b"[]", "the header is no JSON object"),
    "no UTF-8": (
        lambda data: (2).to_bytes(8, "little") + b"\xff\xff",
        "the header is no JSON that can be read .Unicode",
    ),
    "no metadata": (lambda data: (2).to_bytes(8, "little") + b"{}", "another kind of safetensors file"),
    "deep JSON": (lambda data: packed({}, "[" * 100_000 + "]" * 100_000, b""), "RecursionError"),
    "deep nodes": (lambda data: nested(65), "more than 64 deep"),
    "NaN": (lambda data: packed({}, '{"format": NaN}', b""), "NaN is no JSON"),
    "a key twice": (lambda data: packed({}, '{"format": 1, "format": 1}', b""), "a key stands twice"),
    "a tensor twice": (doubled, "the header is no JSON .* a key stands twice"),
    "other format": (lambda data: changed(data, ("format",), "pmml"), "its format is 'pmml', and not 'ensemble_1d'"),
    "version 2": (
        lambda data: changed(data, ("version",), 2),
        r"version 2, and ensemble-1d .* reads version 1; upgrade",
    ),
    "version 0": (lambda data: changed(data, ("version",), 0), "its format version is 0, and no positive integer"),
    "program 9": (lambda data: changed(data, ("program", "version"), 9), "program of version 9.*; upgrade"),
    "layout": (lambda data: changed(data, ("layout",), "tiny"), "its layout is 'tiny'"),
    "producer": (lambda data: changed(data, ("producer",), 3), "its producer is 3"),
    "unknown key": (lambda data: changed(data, ("x",), 3), r"its metadata lacks \[\] and has \['x'\] beside what"),
    "task": (lambda data: changed(data, ("program", "task"), ["ranking"]), r"its task is \['ranking'\]"),
    "features": (lambda data: changed(data, ("program", "n_features"), 2**40), "n_features is 1099511627776; 1 to"),
    "no features": (lambda data: changed(data, ("program", "n_features"), 0), "n_features is 0"),
    "names": (
        lambda data: changed(data, ("program", "feature_names"), [1, 2]),
        "feature_names is .* no list of strings",
    ),
    "unknown node": (
        lambda data: changed(data, (*ROOT, "node"), "Exec"),
        "node 'Exec', which this release does not know",
    ),
    "unknown field": (lambda data: changed(data, (*ROOT, "code"), "x"), r"Dense lacks \[\] and has \['code'\]"),
    "activation": (lambda data: changed(data, (*ROOT, "activation"), "gelu"), "contradicts itself: Dense.activation"),
    "no string": (lambda data: changed(data, (*ROOT, "activation"), []), "Dense.activation is .., and no string"),
    "no tensor": (
        lambda data: changed(data, (*ROOT, "weight"), "w"),
        "Dense.weight names the tensor 'w', which is not",
    ),
    "used twice": (lambda data: changed(data, (*ROOT, "bias"), WEIGHT), "'0.weight', which is used already"),
    "narrowed": (
        lambda data: changed(data, (*ROOT, "weight"), {"tensor": WEIGHT, "dtype": "int8"}),
        "Dense.weight cannot go from float32 to int8",
    ),
    "object": (
        lambda data: changed(data, (*ROOT, "weight"), {"tensor": WEIGHT, "dtype": "O"}),
        "has dtype 'O'; use one",
    ),
    "dtype": (lambda data: with_entry(data, WEIGHT, dtype="BF16"), "dtype 'BF16', which is none of"),
    "shape": (lambda data: with_entry(data, WEIGHT, shape=[2, -1]), "no possible shape"),
    "axes": (lambda data: with_entry(data, WEIGHT, shape=[1, 1, 2]), "no possible shape"),
    "large shape": (lambda data: with_entry(data, WEIGHT, shape=[2**30, 2**30]), "its shape needs 4611686018427387904"),
    "overlap": (lambda data: with_entry(data, "0.bias", data_offsets=[4, 8]), "starts at byte 4 and not at 8"),
    "gap": (lambda data: with_entry(data, "0.bias", data_offsets=[9, 13]), "starts at byte 9 and not at 8"),
    "backwards": (lambda data: with_entry(data, "0.bias", data_offsets=[12, 8]), "has -4 bytes"),
    "fraction": (lambda data: with_entry(data, "0.bias", data_offsets=[8.0, 12.0]), "no possible data_offsets"),
    "unused": (with_extra, r"no node names the tensors \['extra'\]"),
}


def ordered_layer():
    """Return the file of a layer, its weight at bytes 0 to 8 and its bias at 8 to 12."""
    table, described, body = unpacked(file_of(layer_program()))
    parts = [body[slice(*table[name]["data_offsets"])] for name in (WEIGHT, "0.bias")]
    places = {WEIGHT: [0, 8], "0.bias": [8, 12]}
    return packed({n: {**table[n], "data_offsets": places[n]} for n in places}, described, b"".join(parts))


@pytest.mark.parametrize("case", CASES)
def test_what_is_wrong_is_said(case, tmp_path):
    """Each fault is named with the file and a remedy, as an OSError and a ValueError of our own."""
    change, message = CASES[case]
    path = tmp_path / "m.e1d"
    assert artifact_of(ordered_layer()).program.n_features == 2
    path.write_bytes(change(ordered_layer()))
    with pytest.raises(ArtifactError, match=message) as caught:
        load(path)
    assert isinstance(caught.value, EnsembleError | OSError | ValueError)
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, OSError)
    assert str(caught.value).startswith(f"cannot load {str(path)!r}: ")
    assert str(caught.value).count(";") >= 1


def test_a_newer_version_is_read_first(tmp_path):
    """A file of the next version may have other keys and dtypes: it is told apart first."""
    table, described, body = unpacked(ordered_layer())
    table[WEIGHT]["dtype"] = "F8"
    path = tmp_path / "m.e1d"
    path.write_bytes(packed(table, {**described, "version": 2, "new": 1}, body))
    both = (
        rf"format version 2, and ensemble-1d {ensemble_1d.__version__} reads version 1; upgrade: pip install --upgrade"
    )
    with pytest.raises(ArtifactError, match=both):
        load(path)


TABLE = ("program", "root")
TREE_CASES = {
    "splits": (lambda n: {"0.splits": np.zeros(0, np.uint8)}, "bits are needed"),
    "one tree more": (lambda n: {"0.output": np.zeros(N_TREES + 1, np.uint8)}, "bits are needed|integers are needed"),
    "leaf": (lambda n: {"0.leaf": np.full(n + N_TREES, 250, np.uint8)}, "a child points outside"),
    "leaf below": (lambda n: {"0.leaf": np.full(n + N_TREES, -1, np.int8)}, "a negative leaf"),
    "leaves": (lambda n: {"0.leaf": np.zeros(n, np.uint8)}, "integers are needed"),
    "feature": (lambda n: {"0.feature": np.full(n, 77, np.uint8)}, "reads column 77"),
    "threshold": (lambda n: {"0.threshold": np.full(n, np.nan)}, "threshold holds NaN"),
    "no trees": (lambda n: {"0.output": np.zeros(0, np.uint8), "0.splits": np.zeros(-(-2 * n // 8), np.uint8)}, "tree"),
}


@pytest.mark.parametrize("case", TREE_CASES)
def test_trees_that_are_none(case, trees):
    """Splits, leaves and features that cannot be."""
    change, message = TREE_CASES[case]
    table, _, _ = unpacked(trees)
    for name, array in change(table["0.feature"]["shape"][0]).items():
        trees = with_tensor(trees, name, array)
    with pytest.raises(ArtifactError, match=message):
        artifact_of(trees)


def test_bits_beyond_the_last_and_walks_without_end(trees):
    """Every bit of the shape of trees counts: there is one file for a program."""
    table, described, body = unpacked(trees)
    n_bits = 2 * table["0.feature"]["shape"][0] + N_TREES
    first, last = table["0.splits"]["data_offsets"]
    bits = np.unpackbits(np.frombuffer(body[first:last], np.uint8))
    assert len(bits) > n_bits
    further = bits.copy()
    further[-1] = 1
    with pytest.raises(ArtifactError, match=f"bits set beyond its {n_bits}"):
        artifact_of(with_tensor(trees, "0.splits", np.packbits(further)))
    swapped = np.concatenate([np.sort(bits[:n_bits]), bits[n_bits:]])
    with pytest.raises(ArtifactError, match="or a tree has no end"):
        artifact_of(with_tensor(trees, "0.splits", np.packbits(swapped)))
    children = {**at(described, (*TABLE, "children")), "dtypes": ["int8", "int32", "int32"]}
    assert n_bits > 2 * 128 + N_TREES
    with pytest.raises(ArtifactError, match="the left children do not fit in int8"):
        artifact_of(changed(trees, (*TABLE, "children"), children))


def test_children_in_any_order_are_held_to_be_trees():
    """A cycle, a node with two parents and a node that is never reached are no trees."""
    program = Program(
        n_features=1,
        task="regression",
        root=TreeTable(
            feature=np.zeros(3, np.int32),
            threshold=np.zeros(3),
            left=np.array([2, ~0, ~0], np.int32),
            right=np.array([1, ~1, ~1], np.int32),
            default_left=np.zeros(3, np.bool_),
            value=np.array([[0.0], [1.0]]),
            root=np.array([0], np.int32),
            output=np.zeros(1, np.int32),
            bias=np.zeros(1),
            comparison="le",
            average=False,
        ),
    )
    data = file_of(program)
    assert at(unpacked(data)[1], (*TABLE, "children", "order")) == "any"
    for left, message in (([0, -1, -1], "does not follow"), ([1, -1, -1], "is reached"), ([2, 2, -1], "is reached")):
        with pytest.raises(ArtifactError, match=message):
            artifact_of(with_tensor(data, "0.left", np.array(left, np.int8)))


def peak_bytes(data):
    """Return the most memory that reading a file took, beyond the file."""
    tracemalloc.start()
    try:
        with pytest.raises(ArtifactError):
            artifact_of(data)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def doubling(n_levels):
    """Return the JSON of a node that doubles the number of its columns so many times."""
    softmax = {"node": "Link", "kind": "softmax"}
    pair = {"node": "Concat", "members": [softmax, softmax], "names": []}
    return {"node": "Chain", "steps": [pair] * n_levels}


def wide_leaves(data):
    """Return an integer forest of many splits that share one leaf of many columns: the two multiply in the proof."""
    table, described, _ = unpacked(data)
    n_splits, width = 100_000, 60_000
    steps = at(described, (*ROOT, "steps"))
    (number,) = (index for index, step in enumerate(steps) if step["node"] == "IntegerTreeTable")
    steps[number]["n_outputs"] = width
    steps[number]["children"]["dtypes"] = ["int32"] * 3
    data = packed(table, described, unpacked(data)[2])
    prefix = f"{number + 1}"
    is_split = np.zeros(2 * n_splits + 1, np.bool_)
    is_split[:-1:2] = True
    arrays = {
        "column": np.zeros(n_splits, np.uint8),
        "cut": np.zeros(n_splits, np.int16),
        "splits": np.packbits(is_split),
        "leaf": np.zeros(n_splits + 1, np.uint8),
        "value": np.zeros((1, width), np.uint8),
        "output": np.zeros(1, np.uint8),
    }
    for name, array in arrays.items():
        data = with_tensor(data, f"{prefix}.{name}", array)
    return data


def test_small_files_cannot_ask_for_much_memory():
    """Widths that double, leaves that multiply, and labels and features are refused before they are made."""
    data = sample("binary")
    small = forest(random_state=0).fit(data.X, data.y).quantize("int8", data.X)
    integers = file_of(small.program)
    table, described, body = unpacked(integers)
    steps = at(described, (*ROOT, "steps"))
    wide = packed(table, replaced(described, (*ROOT, "steps"), [*steps[:-1], doubling(40), steps[-1]]), body)
    labels = {"dtype": "<U999999", "labels": [str(i) for i in range(1000)]}
    hostile = {
        "outputs": (wide, "outputs or more; 4,194,304 is the limit"),
        "labels": (
            changed(integers, ("program", "classes"), labels),
            "the class labels would unfold to 3,999,996,000 bytes",
        ),
        "leaves": (wide_leaves(integers), "IntegerTreeTable would unfold to 48,000,480,000 bytes"),
        "features": (
            changed(integers, (*ROOT, "steps", 0, "n_features"), 2**62),
            "Quantize.n_features is 4611686018427387904; 1 to",
        ),
    }
    for name, (content, message) in hostile.items():
        with pytest.raises(ArtifactError, match=message):
            artifact_of(content)
        assert peak_bytes(content) < 2**25 + 20 * len(content), name


def test_many_nodes_and_tensors_are_refused(monkeypatch):
    """Limits of number, tried with lower ones than they are."""
    monkeypatch.setattr("ensemble_1d.storage.decoding.MAX_NODES", 3)
    many = Chain(steps=(Log(floor=0.5),) * 3)
    root = Chain(
        steps=(Dense(weight=np.ones((2, 1), np.float32), bias=np.zeros(2, np.float32), activation="relu"), many)
    )
    program = Program(n_features=1, task="classification", root=root, classes=np.array([0, 1]))
    with pytest.raises(ArtifactError, match="more than 3 nodes"):
        artifact_of(file_of(program))
    monkeypatch.setattr("ensemble_1d.storage.container.MAX_TENSORS", 2)
    with pytest.raises(ArtifactError, match="it holds 3 tensors; 2 is the limit"):
        artifact_of(file_of(program))
    monkeypatch.setattr("ensemble_1d.storage.container.MAX_HEADER_BYTES", 20)
    with pytest.raises(ArtifactError, match="of 20"):
        artifact_of(file_of(program))


def test_a_program_that_could_not_be_read_again_is_not_saved(tmp_path):
    """What is beyond a limit is refused when it is saved, and not by whoever loads it."""
    root = Link(kind="softmax")
    for _ in range(limits.MAX_DEPTH // 2):
        root = Chain(steps=(Concat(members=(root,)),))
    program = Program(n_features=2, task="classification", root=root, classes=np.array([0, 1]))
    with pytest.raises(ArtifactError, match=r"cannot save '.*m\.e1d': its nodes lie more than 64 deep"):
        Predictor(program).save(tmp_path / "m.e1d")
    assert list(tmp_path.iterdir()) == []


def test_files_that_cannot_be_read(tmp_path, monkeypatch):
    """A missing file stays a FileNotFoundError; a folder, and a file too large, are told as what they are."""
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "no.e1d")
    with pytest.raises(TypeError):
        load(0)  # To open() this is the standard input.
    with pytest.raises(ArtifactError, match=r"cannot load '.*': Is a directory; give a file"):
        load(tmp_path)
    path = tmp_path / "m.e1d"
    path.write_bytes(ordered_layer())
    monkeypatch.setattr("ensemble_1d.storage.artifact.MAX_FILE_BYTES", 100)
    with pytest.raises(ArtifactError, match="bytes; 100 is the limit"):
        load(path)
