"""What `Predictor.summary()` says of a program."""

import numpy as np
from hypothesis import given
from integer_strategies import integer_programs
from samples import forest
from strategies import examples, programs

from ensemble_1d import Ensemble, Predictor, Program
from ensemble_1d.ir import Affine, Chain, Combine, Dense, TreeTable, descendants
from ensemble_1d.program_summary import summarise


def example():
    """Return a program whose every number is known."""
    trees = TreeTable(
        feature=np.zeros(1, np.int32),
        threshold=np.zeros(1),
        left=np.array([~0], np.int32),
        right=np.array([~1], np.int32),
        default_left=np.zeros(1, np.bool_),
        value=np.array([[0.0, 1.0], [1.0, 0.0]]),
        root=np.zeros(1, np.int32),
        output=np.zeros(1, np.int32),
        bias=np.zeros(2),
        comparison="le",
        average=True,
    )
    layer = Dense(weight=np.ones((2, 10), np.float32), bias=np.zeros(2, np.float32), activation="relu")
    affine = Affine(offset=np.zeros(10, np.float32), scale=np.ones(10, np.float32))
    chain = Chain(steps=(affine, layer))
    root = Combine(members=(trees, chain), weights=np.array([0.25, 0.75]), rule="mean", names=("trees", "net"))
    names = tuple(f"f{i}" for i in range(10))
    return Program(
        n_features=10, task="classification", root=root, classes=np.array(["no", "yes"]), feature_names=names
    )


TEXT = """\
classification, float arithmetic, 261 bytes of arrays
10 features: f0, f1, f2, f3, f4, f5, f6, f7 and 2 more; missing values not accepted
2 classes: no, yes

node                size                                                  bytes
Combine             mean of 2 members, weights 0.25, 0.75                   261
  trees: TreeTable  1 tree, 1 split, 2 leaves, 2 outputs, float64 leaves     77
  net: Chain        2 steps                                                 168
    Affine          10 columns                                               80
    Dense           10 inputs, 2 outputs, float32, relu                      88"""


def test_summary_prints_what_there_is():
    """Task, arithmetic, bytes, names, labels, and a line for each node."""
    assert str(Predictor(example()).summary()) == TEXT


def test_summary_of_a_quantized_model(missing):
    """The integer form says so, with input codes and with weights as shares; labels are plain numbers."""
    members = [forest(), forest(max_depth=2)]
    model = Ensemble(members, combine="soft", weights=[3, 1], random_state=0).fit(missing.X, missing.y)
    small = model.quantize("int8", missing.X)
    summary = small.summary()
    assert (summary.arithmetic, summary.task, summary.n_features) == ("integer", "classification", 5)
    assert (summary.feature_names, summary.classes, summary.accepts_missing) == (None, (0, 1), True)
    assert summary.n_bytes == small.program.nbytes == summary.nodes[0].n_bytes
    assert [type(label) for label in summary.classes] == [int, int]
    assert "mean of 2 members, weights 0.75, 0.25" in str(summary)
    assert "missing values accepted" in str(summary)


@examples(80)
@given(programs() | integer_programs())
def test_every_program_has_a_summary(program):
    """A line for each node, parents first, and the bytes of those without children add up."""
    summary = summarise(program)
    nodes = list(descendants(program.root))
    assert [node.kind for node in summary.nodes] == [type(node).__name__ for node in nodes]
    assert all(node.size for node in summary.nodes)
    assert len(str(summary).splitlines()) == len(nodes) + 5 - (program.classes is None)
    names = [name for node in nodes for name in getattr(node, "names", ())]
    assert sorted(node.name for node in summary.nodes if node.name) == sorted(names)
    holders = {"Chain", "Concat", "Combine", "IntegerCombine"}
    own = sum(node.n_bytes for node in summary.nodes if node.kind not in holders)
    weights = sum(node.weights.nbytes for node in nodes if hasattr(node, "weights"))
    assert own + weights == summary.n_bytes
    assert all(after.depth <= before.depth + 1 for before, after in zip(summary.nodes, summary.nodes[1:], strict=False))
