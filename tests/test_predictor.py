"""Predictor, and the methods of models that lead to one: labels, codes, reports, and what is refused."""

import os
import pickle

import numpy as np
import pytest
from samples import MAKERS, boosting, forest, network, sample, sample_of, skip_without_backends, with_missing

from ensemble_1d import (
    ArtifactError,
    CompilerError,
    Ensemble,
    InvalidInputError,
    InvalidProgramError,
    Predictor,
    QuantizationMode,
    UnsupportedModelError,
)
from ensemble_1d._compiler import find_compiler
from ensemble_1d.runtime import run


def has_compiler():
    """Return whether this machine has a C compiler."""
    try:
        find_compiler()
    except CompilerError:
        return False
    return True


needs_compiler = pytest.mark.skipif(not has_compiler(), reason="no C compiler")


@pytest.fixture(scope="module")
def fitted():
    """A forest fitted on text labels."""
    data = sample("words")
    return forest(random_state=0).fit(data.X, data.y)


@pytest.fixture(scope="module")
def quantized(fitted):
    """The forest in 8 bits."""
    return fitted.quantize("int8", sample("words").X, sample("words").y)


def test_float_predictor_is_the_program(fitted, words):
    """predict_proba runs the program, and predict takes its largest column as a label."""
    predictor = Predictor(fitted.program())
    probabilities = predictor.predict_proba(words.X)
    assert np.array_equal(probabilities, run(fitted.program(), words.X.astype(np.float32)))
    assert probabilities.dtype == np.float64
    assert np.array_equal(predictor.predict(words.X), fitted.predict(words.X))
    assert predictor.reference is predictor.report is None


def test_values_have_no_probabilities(regression):
    """A program of regression returns float64 values, and refuses predict_proba with the remedy."""
    model = forest(task="regression", random_state=0).fit(regression.X, regression.y)
    predictor = Predictor(model.program())
    np.testing.assert_allclose(predictor.predict(regression.X), model.predict(regression.X), rtol=1e-14)
    assert predictor.predict(regression.X).shape == (120,)
    for each in (predictor, predictor.quantize("int8", regression.X)):
        with pytest.raises(InvalidInputError, match="this program does regression; use predict"):
            each.predict_proba(regression.X)


def test_repr_tells_task_shape_and_arithmetic(fitted, quantized, regression):
    """The repr names the task, the features, the classes, the arithmetic and the bytes."""
    program = fitted.program()
    expected = f"Predictor(classification, 5 features, 2 classes, float, {program.nbytes:,} bytes of tables)"
    assert repr(Predictor(program)) == expected
    assert repr(quantized).startswith("Predictor(classification, 5 features, 2 classes, integer, ")
    model = forest(task="regression").fit(regression.X, regression.y)
    assert repr(Predictor(model.program())).startswith("Predictor(regression, 5 features, float, ")


@pytest.mark.parametrize("mode", ["int8", "int16", "int4", QuantizationMode.INT16])
def test_every_model_quantizes(make_model, mode):
    """Quantization gives an integer program of the same labels that agrees with the model, and changes nothing."""
    model = make_model()
    data = sample_of(model, n_classes=3)
    model.fit(data.X, data.y)
    before = pickle.dumps(model.program())
    predictor = model.quantize(mode, data.X, data.y)
    assert pickle.dumps(model.program()) == before
    assert predictor.program.is_integer
    assert predictor.report.mode == mode
    floor = 0.8 if mode == "int4" else 0.95
    assert predictor.report.agreement > floor
    if model.task == "classification":
        assert np.mean(predictor.predict(data.X) == model.predict(data.X)) == pytest.approx(predictor.report.agreement)
        sums = predictor.predict_proba(data.X).sum(axis=1)
        assert np.abs(sums - 1).max() <= (3 + len(getattr(model, "members_", [model]))) * 2.0**-15


def test_default_mode_is_eight_bits(fitted, words):
    """quantize(X_calibration=X) means int8."""
    assert fitted.quantize(X_calibration=words.X).report.mode == "int8"
    assert Predictor(fitted.program()).quantize(X_calibration=words.X).report.mode == "int8"


@pytest.mark.parametrize("mode", ["float32", "float16", "dynamic", "int7", 8, None, QuantizationMode.DYNAMIC])
def test_modes_that_quantize_no_program_are_refused(fitted, words, mode):
    """A mode for arrays alone, or unknown, names those for programs."""
    with pytest.raises(InvalidInputError, match=r"quantizes no program; use one of \['int4', 'int8', 'int16'\]"):
        fitted.quantize(mode, words.X)


def test_calibration_rows_are_needed_and_checked(fitted, words):
    """Quantization needs rows of the right width, finite, and a label for each if any."""
    with pytest.raises(InvalidInputError, match="quantize needs X_calibration: rows that show the range"):
        fitted.quantize("int8")
    with pytest.raises(InvalidInputError, match="X has 3 features; the model was fitted with 5"):
        fitted.quantize("int8", words.X[:, :3])
    with pytest.raises(InvalidInputError, match="X has no row"):
        fitted.quantize("int8", words.X[:0])
    with pytest.raises(InvalidInputError, match="is infinite"):
        fitted.quantize("int8", np.where(words.X > 100, np.inf, words.X))
    for y in (words.y[1:], words.y[:, np.newaxis]):
        with pytest.raises(InvalidInputError, match=r"y has shape .* and X has 120 rows"):
            fitted.quantize("int8", words.X, y)


def test_integer_programs_are_not_quantized_again(quantized, words):
    """An integer program is refused with the remedy."""
    with pytest.raises(UnsupportedModelError, match="integer already; quantize the float model it came from"):
        quantized.quantize("int8", words.X)


def test_missing_values_need_calibration_rows_that_hold_some(fitted, quantized, words):
    """The integer forest has a code for NaN only if the calibration rows held one."""
    X = with_missing(words.X)
    with pytest.raises(InvalidInputError, match=r"X\[0, 0\] is NaN .* when X_calibration holds some"):
        quantized.predict(X)
    aware = fitted.quantize("int8", X)
    assert aware.program.accepts_missing
    assert np.mean(aware.predict(X) == fitted.predict(X)) > 0.95


def test_networks_refuse_missing_values_in_calibration_rows(words):
    """A network among the members makes NaN in the calibration rows an error that says so."""
    pytest.importorskip("torch")
    ensemble = Ensemble([forest(), network()], combine="soft", random_state=0).fit(words.X, words.y)
    with pytest.raises(InvalidInputError, match=r"Predictor.quantize: .* \(a network never takes them"):
        ensemble.quantize("int8", with_missing(words.X))


def test_input_codes_are_what_the_integer_functions_take(quantized, words):
    """quantize_input gives int16 codes, one column for each feature at least; run_codes gives Q15 of them."""
    codes = quantized.quantize_input(words.X)
    assert codes.dtype == np.int16
    assert codes.shape == (120, quantized.program.root.steps[0].n_columns)
    assert codes.shape[1] >= 5
    answers = quantized.run_codes(codes)
    assert answers.dtype == np.int32
    assert answers.shape == (120, 2)
    assert np.array_equal(answers / 2.0**15, quantized.predict_proba(words.X))
    assert np.array_equal(quantized.program.classes[answers.argmax(axis=1)], quantized.predict(words.X))


def test_wrong_codes_are_refused(quantized, words):
    """Codes of another type or width name the right one."""
    codes = quantized.quantize_input(words.X)
    for wrong in (codes.astype(np.int32), codes[:, 1:], codes[0], codes.tolist()):
        with pytest.raises(InvalidInputError, match=r"give int16 of shape \(n_samples, \d+\), as quantize_input"):
            quantized.run_codes(wrong)


def test_float_programs_have_no_codes_and_no_c(fitted, words, tmp_path):
    """What needs integers says that the program is float, and writes nothing."""
    predictor = Predictor(fitted.program())
    calls = [
        lambda: predictor.quantize_input(words.X),
        lambda: predictor.run_codes(np.zeros((1, 5), np.int16)),
        predictor.c_source,
        lambda: predictor.export_c(tmp_path / "model.h"),
        lambda: predictor.verify_c(words.X),
    ]
    for call in calls:
        with pytest.raises(InvalidProgramError, match=r"this program is float; quantize\(\) makes an integer one"):
            call()
    assert list(tmp_path.iterdir()) == []


def test_header_is_written_whole(quantized, tmp_path):
    """export_c writes what c_source returns and returns the path; the prefix is the name."""
    path = quantized.export_c(tmp_path / "model.h")
    assert path == tmp_path / "model.h"
    assert path.read_text(encoding="utf-8") == quantized.c_source()
    quantized.export_c(str(path), name="pump")
    text = path.read_text(encoding="utf-8")
    assert "int32_t pump_predict(" in text
    assert "model_predict" not in text
    assert [each.name for each in tmp_path.iterdir()] == ["model.h"]


@pytest.mark.parametrize("name", ["1st", "a-b", "", "int", "class", "a__b", "_a", "x" * 41, "é", None])
def test_names_that_are_no_c_identifier_write_nothing(quantized, tmp_path, name):
    """A name that C or C++ refuses or reserves is an error before any file is touched."""
    path = tmp_path / "model.h"
    path.write_text("before")
    with pytest.raises(InvalidInputError, match="for example 'model'"):
        quantized.export_c(path, name=name)
    assert path.read_text() == "before"
    assert list(tmp_path.iterdir()) == [path]


def test_unwritable_places_are_named(quantized, tmp_path):
    """A folder that does not exist, or a folder in place of the file, is an ArtifactError that is an OSError."""
    (tmp_path / "folder").mkdir()
    for path in (tmp_path / "nowhere" / "model.h", tmp_path / "folder"):
        with pytest.raises(ArtifactError, match=r"cannot write .* give a file in an existing folder you may write to"):
            quantized.export_c(path)
    assert issubclass(ArtifactError, OSError)
    assert [each.name for each in tmp_path.rglob("*")] == ["folder"]


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="root may write anywhere")
def test_folders_without_permission_are_named(quantized, tmp_path):
    """A folder that may not be written to is named, and nothing is left in it."""
    tmp_path.chmod(0o500)
    with pytest.raises(ArtifactError, match="Permission denied"):
        quantized.export_c(tmp_path / "model.h")
    tmp_path.chmod(0o700)
    assert list(tmp_path.iterdir()) == []


@needs_compiler
@pytest.mark.parametrize("name", ["words", "multiclass", "regression", "missing"])
def test_compiled_header_equals_python_on_every_row(name):
    """verify_c compiles the header and finds every row equal, far outside the calibration rows too."""
    data = sample(name)
    task = "regression" if name == "regression" else "classification"
    predictor = forest(task=task, random_state=0).fit(data.X, data.y).quantize("int8", data.X)
    rows = np.concatenate([data.X, data.X * 3, -data.X])
    result = predictor.verify_c(rows, flags=("-O1",))
    assert (result.n_rows, result.n_different, result.first_different) == (360, 0, None)
    assert str(result).startswith("360 of 360 rows equal (")
    assert result.flags == ("-O1",)


@needs_compiler
@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MAKERS if name.startswith("Ensemble")])
def test_compiled_ensemble_equals_python_on_every_row(name):
    """The header of a whole ensemble equals Python bit for bit."""
    skip_without_backends(name)
    data = sample("regression" if name.endswith("regression") else "multiclass")
    predictor = MAKERS[name]().fit(data.X, data.y).quantize("int8", data.X)
    assert predictor.verify_c(np.concatenate([data.X, data.X * 3, -data.X])).n_different == 0


def test_compiler_that_is_not_there_is_named(quantized, words, monkeypatch):
    """Without a compiler verify_c says how to get one."""
    monkeypatch.setenv("CC", "no-such-compiler")
    with pytest.raises(CompilerError, match="CC names 'no-such-compiler'"):
        quantized.verify_c(words.X)


def test_report_compares_with_the_float_program(fitted, quantized, words):
    """The report holds labels agreed on, the largest difference, both scores and the bytes, and prints them."""
    report = quantized.report
    expected = np.mean(quantized.predict(words.X) == Predictor(fitted.program()).predict(words.X))
    assert report.agreement == pytest.approx(expected)
    difference = np.abs(quantized.predict_proba(words.X) - Predictor(fitted.program()).predict_proba(words.X)).max()
    assert report.largest_difference == difference
    assert report.score_float == pytest.approx(fitted.score(words.X, words.y))
    assert report.score_integer == pytest.approx(np.mean(quantized.predict(words.X) == words.y))
    assert report.integer_bytes < report.float_bytes == fitted.program().nbytes
    assert dict(report.out_of_range) == {f"feature {i}": 0.0 for i in range(5)}
    text = str(report)
    for part in ("int8 on 120 rows", "agreement with float", "inexact splits", f"{report.integer_bytes:,} bytes"):
        assert part in text


def test_report_names_each_member(words):
    """An ensemble's report gives the bytes of each member by name."""
    pytest.importorskip("xgboost")
    ensemble = Ensemble([("wood", forest()), boosting()], combine="soft", random_state=0).fit(words.X, words.y)
    report = ensemble.quantize("int8", words.X).report
    assert [name for name, _ in report.bytes_by_part] == ["inputs", "wood", "xgboost", "combination"]
    assert report.score_float is report.score_integer is None
    assert "wood" in str(report)


def test_measure_reports_other_rows(fitted, quantized, words):
    """On other rows, measure tells how many rows saturate, and needs a float program to compare with."""
    report = quantized.measure(words.X * 1000, words.y)
    assert report.n_samples == 120
    assert max(share for _, share in report.out_of_range) > 0.9
    assert report.score_integer == pytest.approx(np.mean(quantized.predict(words.X * 1000) == words.y))
    assert quantized.measure(words.X).score_float is None
    for predictor in (Predictor(fitted.program()), Predictor(quantized.program)):
        with pytest.raises(InvalidInputError, match="only what quantize returns has one"):
            predictor.measure(words.X)


def test_data_frames_are_checked_by_their_columns(words):
    """A program with feature names refuses a data frame of other columns, or of another order, by name."""
    pandas, polars = pytest.importorskip("pandas"), pytest.importorskip("polars")
    names = list("abcde")
    frames = [pandas.DataFrame(words.X, columns=names), polars.DataFrame(words.X, schema=names)]
    model = forest(random_state=0).fit(frames[0], words.y)
    for predictor in (Predictor(model.program()), model.quantize("int8", frames[1])):
        expected = predictor.predict(words.X)
        for frame in frames:
            assert np.array_equal(predictor.predict(frame), expected)
            with pytest.raises(InvalidInputError, match=r"Predictor\.predict: .* the same names in another order"):
                predictor.predict(frame[list("edcba")])
            with pytest.raises(InvalidInputError, match=r"missing \['c'\], unexpected \[\]; select X\[feature_names\]"):
                predictor.predict_proba(frame[list("abde")])


def test_predictors_are_pickled(quantized, words):
    """A restored predictor answers the same and keeps its report."""
    restored = pickle.loads(pickle.dumps(quantized))  # noqa: S301
    assert np.array_equal(restored.predict_proba(words.X), quantized.predict_proba(words.X))
    assert restored.report == quantized.report
    assert restored.c_source() == quantized.c_source()
