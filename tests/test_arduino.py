"""Arduino libraries: their files follow the format, and a folder is written whole, or not at all."""

import dataclasses
import os
import re
import stat
from pathlib import Path

import numpy as np
import pytest
from c_harness import need
from samples import forest, network, sample, with_missing
from sketches import HOST, run_sketch
from small_nodes import quantize

from ensemble_1d import ArtifactError, InvalidInputError, InvalidProgramError, Predictor, __version__
from ensemble_1d.export.arduino import middle_row
from ensemble_1d.runtime_integer import quantize as quantize_rows

SEMANTIC_VERSION = r"\d+\.\d+\.\d+(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
ALLOWED_CATEGORIES = {"Display", "Communication", "Signal Input/Output", "Sensors", "Device Control", "Timing"}
ALLOWED_CATEGORIES |= {"Data Storage", "Data Processing", "Other"}


def fitted(name="words", make=forest, **parameters):
    """Return a quantized model of a sample."""
    data = sample(name)
    return make(random_state=0, **parameters).fit(data.X, data.y).quantize("int8", data.X)


@pytest.fixture(scope="module")
def words_model():
    return fitted()


def contents(folder):
    """Return every file of a folder, hidden ones too."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


# ---------------------------------------------------------------- format


def test_the_folder_is_a_library(words_model, tmp_path):
    """What the format asks for, each where it looks for it; the header is that of export_c."""
    folder = words_model.export_arduino(str(tmp_path / "Tumours"), "tumour", layout="speed")
    assert folder == tmp_path / "Tumours"
    assert set(contents(folder)) == {
        "library.properties",
        "keywords.txt",
        "README.md",
        "src/tumour.h",
        "examples/tumourDemo/tumourDemo.ino",
    }
    assert (folder / "src/tumour.h").read_text(encoding="utf-8") == words_model.c_source("tumour", layout="speed")


def test_properties_hold_every_required_field(words_model, tmp_path):
    """Keys and values of revision 2.2, in ASCII; versions are semantic ones."""
    folder = words_model.export_arduino(tmp_path / "Tumours", "tumour")
    lines = (folder / "library.properties").read_text(encoding="ascii").splitlines()
    fields = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    required = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"}
    assert fields.keys() == required | {"includes"}
    assert all(fields.values())
    assert re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9 _.-]*", fields["name"])
    assert re.fullmatch(SEMANTIC_VERSION, fields["version"])
    assert fields["version"].startswith(re.match(r"[\d.]*\d", __version__.split("dev")[0]).group())
    assert fields["category"] in ALLOWED_CATEGORIES
    assert (fields["name"], fields["includes"], fields["architectures"]) == ("tumour", "tumour.h", "*")
    assert fields["sentence"] == "Classification of 5 features into 2 classes, in integers alone."


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_keywords_are_names_of_the_header(task, tmp_path):
    """A single tab parts each from its kind; functions and macros that are not there are not coloured."""
    predictor = fitted("binary" if task == "classification" else "regression", task=task)
    folder = predictor.export_arduino(tmp_path / "M", "model")
    header = (folder / "src/model.h").read_text(encoding="utf-8")
    rows = [line.split("\t") for line in (folder / "keywords.txt").read_text(encoding="ascii").splitlines()]
    assert {kind for _, kind in rows} == {"KEYWORD2", "LITERAL1"}
    for word, kind in rows:
        assert re.search(rf"#define {word}\b" if kind == "LITERAL1" else rf"static inline \w+ {word}\(", header), word
    public = re.findall(r"^#define (MODEL_(?:N|OUTPUT)_\w+)", header, re.MULTILINE)
    assert set(public) == {word for word, kind in rows if kind == "LITERAL1"}


def test_every_library_states_its_size_and_task(tmp_path):
    """Also of values."""
    folder = fitted("regression", task="regression").export_arduino(tmp_path / "M", "model")
    assert "Regression of 5 features, written by ensemble-1d" in (folder / "README.md").read_text(encoding="utf-8")


# ---------------------------------------------------------------- the sketch


def sketch_answers(predictor, row, **options):
    """Return the lines that the sketch of a predictor prints on this machine."""
    need("g++")
    return run_sketch(predictor, HOST, row=row, **options)


def test_the_sketch_prints_labels_and_probabilities_of_python(words_model):
    """Text labels; the row given, or the middle of each range."""
    X = sample("words").X
    labels = words_model.predict(X)
    for row in (X[labels == "malign"][0], X[labels == "benign"][0]):
        lines = sketch_answers(words_model, row)
        (label,), (probabilities,) = words_model.predict([row]), words_model.predict_proba([row])
        assert lines[0] == f"class: {label}"
        assert [line.split(": ")[0] for line in lines[1:3]] == ["benign", "malign"]
        assert [float(line.split(": ")[1]) for line in lines[1:3]] == pytest.approx(probabilities, abs=0.00005001)
        assert lines[3:] == ["as in Python"]
    assert sketch_answers(words_model, None)[3:] == ["as in Python"]


def test_the_sketch_prints_values():
    """Regression has no classes."""
    predictor, X = fitted("regression", task="regression"), sample("regression").X
    name, _, value = sketch_answers(predictor, X[3])[0].partition(": ")
    assert name == "value"
    assert float(value) == pytest.approx(predictor.predict(X[3:4])[0], abs=0.001)
    assert sketch_answers(predictor, X[3])[1:] == ["as in Python"]


def test_the_sketch_tells_a_wrong_answer(words_model):
    """It compares with the number that Python gave."""
    spoiled = [("expected = 0", "expected = 1"), ("expected = 1", "expected = 0")]
    row = sample("words").X[0]
    expected = int(words_model.run_codes(words_model.quantize_input([row])).argmax())
    assert sketch_answers(words_model, row, change=spoiled[expected])[-1] == "not as in Python"


def test_a_missing_value_is_nan_in_the_sketch():
    """A forest takes it there too."""
    data = sample("binary")
    X = with_missing(data.X)
    predictor = forest(random_state=0).fit(X, data.y).quantize("int8", X)
    row = X[np.isnan(X).any(axis=1)][0]
    assert sketch_answers(predictor, row, change=("NAN", "(0.0f / 0.0f)"))[-1] == "as in Python"


def test_the_middle_row_lies_in_the_middle():
    """Of the codes of an affine column, and of the thresholds of a rank column; flat columns stay where they are."""
    flat, thresholds = np.array([1, 0, 0], np.float32), np.array([2, 5, 9], np.float32)
    start = np.array([0, 0, 0, 3], np.int32)
    node = dataclasses.replace(quantize(3), scale=flat, offset=flat - 8, start=start, thresholds=thresholds)
    assert middle_row(node) == pytest.approx([32767 - 7, -8, 5], abs=1)
    predictor = fitted("multiclass", network)
    quantizer, _, _ = predictor.program.integer_parts()
    low, high = (limit[: quantizer.n_features] for limit in quantizer.limits())
    codes = quantize_rows(quantizer, middle_row(quantizer)[np.newaxis])[0, : quantizer.n_features]
    assert np.abs(codes - (low + high) / 2).max() <= 2


# ---------------------------------------------------------------- whole or not at all


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o077, 0o700)])
def test_a_new_folder_has_the_mode_that_mkdir_would_give(words_model, tmp_path, umask, mode):
    """Temporary folders are private; the one that takes their place follows the umask."""
    before = os.umask(umask)
    try:
        folder = words_model.export_arduino(tmp_path / "M")
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (folder, folder / "src")] == [mode, mode]


def test_a_library_of_ours_is_replaced_whole(words_model, tmp_path):
    """Under another name, nothing of the old one is left, nor beside it."""
    folder = words_model.export_arduino(tmp_path / "M", "before")
    words_model.export_arduino(folder, "after")
    assert {path for path in contents(tmp_path) if "before" in path} == set()
    assert "M/src/after.h" in contents(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["M"]


def test_an_empty_folder_is_filled(words_model, tmp_path):
    """There is nothing to lose."""
    (tmp_path / "M").mkdir()
    assert "src/model.h" in contents(words_model.export_arduino(tmp_path / "M"))


@pytest.mark.parametrize("existing", ["notes.txt", "library.properties", "src/model.h"])
def test_folders_of_others_stay_as_they_are(words_model, tmp_path, existing):
    """Whatever is in them; the message tells path, rule and remedy."""
    file = tmp_path / "M" / existing
    file.parent.mkdir(parents=True)
    file.write_text("name=M\n", encoding="utf-8")
    before = contents(tmp_path)
    message = r"cannot replace '.*M': only a library that ensemble-1d wrote is replaced, .*; give another path, or move"
    with pytest.raises(ArtifactError, match=message):
        words_model.export_arduino(tmp_path / "M")
    assert contents(tmp_path) == before


@pytest.mark.parametrize("added", ["examples/mine/mine.ino", "src/other.h", ".git/config"])
def test_files_added_to_a_library_of_ours_are_not_lost(words_model, tmp_path, added):
    """Somebody wrote them."""
    folder = words_model.export_arduino(tmp_path / "M")
    (folder / added).parent.mkdir(parents=True, exist_ok=True)
    (folder / added).write_text("mine", encoding="utf-8")
    before = contents(tmp_path)
    with pytest.raises(ArtifactError, match=f"it holds '{re.escape(added)}', which ensemble-1d did not write"):
        words_model.export_arduino(folder)
    assert contents(tmp_path) == before


def test_a_file_is_not_replaced(words_model, tmp_path):
    """Nor become a folder."""
    (tmp_path / "M").write_text("mine", encoding="utf-8")
    with pytest.raises(ArtifactError, match=r"cannot replace '.*M': it is a file; give another path"):
        words_model.export_arduino(tmp_path / "M")
    assert contents(tmp_path) == {"M": b"mine"}


def test_a_folder_that_is_not_there_holds_no_library(words_model, tmp_path):
    """Only the last part of the path is made."""
    with pytest.raises(ArtifactError, match="No such file or directory; give a folder in an existing one"):
        words_model.export_arduino(tmp_path / "none" / "M")
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("failing", ["write", "swap"])
def test_a_failure_leaves_the_old_library(words_model, tmp_path, monkeypatch, failing):
    """A full disk while files are written, or a folder that cannot take its place."""
    folder = words_model.export_arduino(tmp_path / "M", "before")
    before = contents(tmp_path)
    write, rename = Path.write_text, Path.rename

    def full(path, *arguments, **options):
        if path.name == "afterDemo.ino":
            raise OSError(28, "No space left on device")
        return write(path, *arguments, **options)

    def refused(path, target):
        if path.name == "new":
            raise PermissionError(13, "Permission denied")
        return rename(path, target)

    monkeypatch.setattr(Path, "write_text", full if failing == "write" else write)
    monkeypatch.setattr(Path, "rename", refused if failing == "swap" else rename)
    with pytest.raises(ArtifactError, match="No space left" if failing == "write" else "Permission denied"):
        words_model.export_arduino(folder, "after")
    assert contents(tmp_path) == before
    assert [path.name for path in tmp_path.iterdir()] == ["M"]


@pytest.mark.parametrize("folder", ["two words", "-dash", ".hidden", "näme", "x" * 64, ".."])
def test_folders_that_the_ide_does_not_accept(words_model, tmp_path, folder):
    """It would pass over the library without a word."""
    with pytest.raises(InvalidInputError, match="is no name for an Arduino library; use a letter or digit"):
        words_model.export_arduino(tmp_path / folder)
    assert contents(tmp_path) == {}


def test_wrong_names_rows_layouts_and_programs_write_nothing(words_model, tmp_path):
    """Each error is that of the check it failed."""
    for options, message in (
        ({"name": "two words"}, "no C identifier"),
        ({"row": [1.0, 2.0]}, "X has 2 features"),
        ({"layout": "tiny"}, "layout='tiny' is unknown"),
    ):
        with pytest.raises(InvalidInputError, match=message):
            words_model.export_arduino(tmp_path / "M", **options)
    with pytest.raises(InvalidProgramError):
        Predictor(words_model.reference).export_arduino(tmp_path / "M")
    assert contents(tmp_path) == {}
