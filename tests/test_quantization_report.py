"""The report: what quantization costs and saves, on rows given."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_nodes import classification, constants, dense, quantize, regression, rows, stump
from strategies import INF, MODES, NAN, examples, inputs, programs

from ensemble_1d.errors import InvalidInputError, InvalidProgramError
from ensemble_1d.ir import Chain, Combine, Concat, Dense, IntegerDense, Link, Quantize, descendants, node_bytes
from ensemble_1d.quantization.programs import quantize_program
from ensemble_1d.quantization.report import QuantizationReport, measure, out_of_range


def report_of(program, X, y=None, mode="int8", on=None):
    done = quantize_program(program, X, mode)
    counts = {"n_splits": done.codes.n_splits, "n_inexact_splits": done.codes.n_inexact_splits}
    return measure(done.program, program, X if on is None else on, y, mode=mode, **counts), done.program


def classifier(**fields):
    """Return a stump between two classes, with a sigmoid."""
    table = dataclasses.replace(stump(0.0, "lt"), value=np.array([[-2], [2]], np.float32))
    return classification(table, Link(kind="sigmoid"), classes=np.array(["no", "yes"]), **fields)


def test_fields_of_a_classification():
    """Labels agreed on, the largest difference of a probability, both accuracies, and what was counted."""
    X = rows(-1, -2, 1, 2)
    report, integer = report_of(classifier(), X, np.array(["no", "no", "yes", "no"]))
    assert report.mode == "int8"
    assert report.n_samples == 4
    assert report.agreement == 1.0
    assert 0 < report.largest_difference < 1e-4
    assert (report.score_float, report.score_integer) == (0.75, 0.75)
    assert (report.n_splits, report.n_inexact_splits) == (1, 0)
    assert report.rank_features == ()
    assert report.out_of_range == (("feature 0", 0.0),)
    assert report.float_bytes == classifier().nbytes
    assert report.bytes_by_part[0] == ("inputs", node_bytes(integer.integer_parts()[0]))


def test_fields_of_a_regression():
    """Agreement and scores are R2: of integers against floats, and of both against the truth."""
    X = rows(-1, -2, 1, 2)
    report, _ = report_of(regression(stump(0.0, "lt")), X, np.array([1.0, 1.0, 2.0, 4.0]))
    truth_variance, residual = 1 + 1 + 0 + 4, 0 + 0 + 0 + 4
    assert report.score_float == pytest.approx(1 - residual / truth_variance)
    assert report.score_integer == pytest.approx(report.score_float, abs=1e-3)
    assert report.agreement == pytest.approx(1, abs=1e-6)


def test_the_agreement_counts_rows():
    """An integer program that answers the other label in one row of four agrees on three quarters."""
    X = rows(-1, -2, 1, 2)
    done = quantize_program(classifier(), X, "int8")
    opposite = dataclasses.replace(stump(1.5, "lt"), value=np.array([[-2], [2]], np.float32))
    reference = classification(opposite, Link(kind="sigmoid"), classes=np.array(["no", "yes"]))
    report = measure(done.program, reference, X, None, mode="int8", n_splits=1, n_inexact_splits=0)
    assert report.agreement == 0.75
    assert report.largest_difference == pytest.approx(2 / (1 + np.exp(-2.0)) - 1, abs=1e-4)


def test_scores_need_true_labels():
    """Without them there is none."""
    report, _ = report_of(classifier(), rows(-1, 1))
    assert (report.score_float, report.score_integer) == (None, None)
    assert "score" not in str(report)


def test_constant_values_have_an_agreement_of_one_or_zero():
    """R2 of a constant is 1 where all values are equal, else 0: never a division by zero."""
    X = rows(1, 2)
    report, integer = report_of(regression(constants([0.0], 0.0, np.float64)), X, np.array([0.0, 0.0]))
    assert (report.agreement, report.score_float, report.score_integer) == (1.0, 1.0, 1.0)
    other = regression(constants([7.0], 0.0, np.float64))
    report = measure(integer, other, X, np.array([7.0, 7.0]), mode="int8", n_splits=0, n_inexact_splits=0)
    assert (report.agreement, report.score_float, report.score_integer) == (0.0, 1.0, 0.0)


@pytest.mark.parametrize("y", [np.zeros(3), np.zeros((2, 1)), np.float64(1)])
def test_labels_of_another_length_are_refused(y):
    """One label for each row."""
    done = quantize_program(classifier(), rows(-1, 1), "int8")
    with pytest.raises(InvalidInputError, match=r"y has shape .* and X has 2 rows; give one label for each row"):
        measure(done.program, classifier(), rows(-1, 1), y, mode="int8", n_splits=0, n_inexact_splits=0)


def test_only_integer_programs_are_measured():
    """A float program has no integer parts."""
    with pytest.raises(InvalidProgramError, match="this program is float"):
        measure(classifier(), classifier(), rows(1), None, mode="int8", n_splits=0, n_inexact_splits=0)


# ---------------------------------------------------------------- bytes


@examples(60)
@given(data=st.data())
def test_bytes_by_part_sum_to_those_of_the_program(data):
    """Nothing is counted twice or left out; members go by their names."""
    program = data.draw(programs())
    report, integer = report_of(program, data.draw(inputs(program)), mode=data.draw(MODES))
    assert sum(count for _, count in report.bytes_by_part) == integer.nbytes
    assert report.integer_bytes == integer.nbytes
    assert report.float_bytes == program.nbytes
    names = [name for name, _ in report.bytes_by_part]
    first = next(node for node in descendants(program.root) if not isinstance(node, Chain))
    if isinstance(first, Combine | Concat):
        members = first.names or tuple(f"member {i}" for i in range(len(first.members)))
        assert names == ["inputs", *members, "combination"]
    else:
        assert names[:2] == ["inputs", "model"]
    assert str(report)


def test_fewer_bits_take_fewer_bytes():
    """Leaves of a forest and weights of a network shrink from 16 to 8 bits."""
    weight = np.random.default_rng(0).normal(size=(1, 50)).astype(np.float32)
    layer = Dense(weight=weight, bias=np.zeros(1, np.float32), activation="identity")
    X = np.random.default_rng(1).normal(size=(20, 50)).astype(np.float32)
    programs = [report_of(regression(layer, n_features=50), X, mode=mode)[1] for mode in ("int4", "int8", "int16")]
    sizes = [
        sum(node.weight.nbytes for node in descendants(p.root) if isinstance(node, IntegerDense)) for p in programs
    ]
    assert sizes == [50, 50, 100]


# ---------------------------------------------------------------- ranges


def test_out_of_range_counts_rows_that_saturate():
    """Values below or above the affine range count, those on its ends do not, NaN neither."""
    node = dataclasses.replace(quantize(2), offset=np.array([0, -10], np.float32), scale=np.array([1, 0.5], np.float32))
    X = np.array([[0, -10], [65534, 131058], [-1, -11], [65535, 0], [NAN, NAN], [INF, -INF]], np.float32)
    assert out_of_range(node, X).tolist() == [3 / 6, 2 / 6]


def test_rank_and_constant_columns_are_never_out_of_range():
    """They have no range to leave; a further column does not stand in for its feature."""
    node = Quantize(
        n_features=2,
        feature=np.array([0, 1, 0], np.int32),
        offset=np.zeros(3, np.float32),
        scale=np.zeros(3, np.float32),
        start=np.array([0, 1, 1, 2], np.int32),
        thresholds=np.array([5, 6], np.float32),
        strict=np.zeros(3, np.bool_),
        missing=False,
        narrow=np.zeros(3, np.bool_),
    )
    assert out_of_range(node, np.full((2, 2), 1e9, np.float32)).tolist() == [0, 0]


def test_calibration_rows_are_in_range_and_others_are_counted():
    """The feature of a network alone saturates beyond four times its largest value, as all its activations do."""
    X = rows(*np.linspace(0, 1, 50))
    program = regression(dense(1, 1), feature_names=("width",))
    report, _ = report_of(program, X)
    assert report.out_of_range == (("width", 0.0),)
    report, _ = report_of(program, X, on=rows(-4.1, -3.9, 0.5, 3.9, 4.1))
    assert report.out_of_range == (("width", 0.4),)
    assert "1 of 1 features: width 40.00%" in str(report)


def test_features_with_a_rank_are_named():
    """By their names, or by their numbers."""
    X = np.array([[0, 0], [0, np.nextafter(np.float32(0), INF)], [1, 1e6]], np.float32)
    table = dataclasses.replace(stump(0.0, "le"), feature=np.array([1], np.int32))
    for names, expected in ((("a", "b"), "b"), (None, "feature 1")):
        report, _ = report_of(regression(table, n_features=2, feature_names=names), X)
        assert report.rank_features == (expected,)
        assert f"rank codes for          {expected}" in str(report)


# ---------------------------------------------------------------- text


def test_a_report_prints_as_a_table():
    """Every line says one thing; the five features most often out of range are named, the worst first."""
    report = QuantizationReport(
        mode="int4",
        n_samples=1000,
        bytes_by_part=(("inputs", 40), ("forest", 1460)),
        float_bytes=6000,
        agreement=0.98765,
        largest_difference=0.01234,
        score_float=0.9,
        score_integer=0.89,
        out_of_range=tuple((f"f{i}", i / 100) for i in range(7)),
        n_splits=12345,
        n_inexact_splits=2,
        rank_features=("a", "b"),
    )
    assert str(report).splitlines() == [
        "int4 on 1000 rows",
        "  inputs                          40 bytes",
        "  forest                       1,460 bytes",
        "  all tables                   1,500 bytes, 4.0 times fewer than in float",
        "  agreement with float        0.9877",
        "  largest difference          0.0123",
        "  score                       0.9000 in float, 0.8900 in integers",
        "  inexact splits                   2 of 12,345",
        "  rank codes for          a, b",
        "  out of range                     6 of 7 features: f6 6.00%, f5 5.00%, f4 4.00%, f3 3.00%, f2 2.00%",
    ]
    plain = dataclasses.replace(report, rank_features=(), score_float=None, out_of_range=(("f", 0.0),))
    text = str(plain)
    assert "rank codes" not in text
    assert "score" not in text
    assert text.endswith("0 of 1 features: none")


def test_members_of_a_chain_are_one_part():
    """A classification without a combination is one model."""
    report, _ = report_of(regression(Chain(steps=(dense(1, 2), dense(2, 1)))), rows(0, 1))
    assert [name for name, _ in report.bytes_by_part] == ["inputs", "model"]
