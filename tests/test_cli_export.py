"""`ensemble-1d export`: what the library writes, after C was held against Python; and `report`."""

import re

import numpy as np
import pytest
from command_lines import NAMES, SMALL, refused, run, table_of, written
from samples import sample

from ensemble_1d import Budget, load
from ensemble_1d._compiler import find_compiler
from ensemble_1d.errors import CompilerError
from ensemble_1d.export.verification import CVerification
from ensemble_1d.reporting.report import report_of

pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a table, a float model, and an integer one."""
    folder = tmp_path_factory.mktemp("export")
    table_of("words").to_csv(folder / "data.csv", index=False)
    assert run("fit", folder / "data.csv", "--target", "kind", "--out", folder / "m.e1d", *SMALL).code == 0
    rows = np.asarray(sample("words").X, np.float32)
    load(folder / "m.e1d").quantize("int16", rows).save(folder / "i.e1d")
    return folder


def small(folder, mode="int8", **options):
    """Return what the library makes of the float model."""
    data = sample("words")
    return load(folder / "m.e1d").quantize(mode, np.asarray(data.X, np.float32), data.y, **options)


@pytest.fixture
def compiler():
    """The C compiler of this machine."""
    try:
        return " ".join(find_compiler())
    except CompilerError as error:
        pytest.skip(str(error))


def test_c(folder, tmp_path, compiler):
    """The header, the integer model and the facts are those of the library."""
    out, e1d = tmp_path / "model.h", tmp_path / "i.e1d"
    command = ["export", folder / "m.e1d", "--c", out, "--calibration", folder / "data.csv", "--target", "kind"]
    ran = run(*command, "--e1d", e1d, "--name", "cells", "--layout", "balanced", "--mode", "int4")
    assert ran.code == 0
    expected = small(folder, "int4")
    header = expected.c_source("cells", layout="balanced")
    assert out.read_text() == header
    assert e1d.read_bytes() == expected.save(tmp_path / "x.e1d").read_bytes()
    first, *rest = ran.lines
    found = re.fullmatch(
        r"(.*): ([\d,]+) bytes of flash and (\d+) of RAM on a cortex-m0plus, as estimated; layout balanced", first
    )
    assert found[1] == str(out)
    assert "\n".join(rest[:-1]) == str(expected.report)
    assert rest[-1] == f"120 of 120 rows equal ({compiler} -O2)"
    assert ran.err.splitlines()[-1].startswith(f"ensemble-1d: note: wrote {e1d} (")
    told = run(*command, "--json", "--target-cpu", "cortex-m4").json
    assert (told["format"], told["layout"], told["mode"], told["name"]) == ("c", "size", "int8", "model")
    assert (told["n_rows_equal"], told["compiler"]) == (120, compiler)
    assert told["agreement"] == small(folder).report.agreement
    assert told["table_bytes"] == small(folder).report.integer_bytes
    assert told["score_integer"] == small(folder).report.score_integer
    assert 0 < told["ram_bytes"] < told["flash_bytes"]


def test_integer_model_as_it_is(folder, tmp_path):
    """It needs no rows; without them nothing is compared, and a note says so."""
    ran = run("export", folder / "i.e1d", "--c", tmp_path / "m.h")
    assert ran.code == 0
    assert (tmp_path / "m.h").read_text() == load(folder / "i.e1d").c_source()
    assert "C was not compared with Python: give --calibration a table of rows" in ran.err
    told = run("export", folder / "i.e1d", "--c", tmp_path / "m.h", "--json").json
    assert (told["n_rows_equal"], told["mode"], told["agreement"]) == (None, None, None)
    again = run("export", folder / "i.e1d", "--c", tmp_path / "m.h", "--layout", "auto", "--flash", "1M", "--json").json
    assert again["layout"] == "speed"


def test_c_to_standard_output(folder):
    """The header alone; the facts go to standard error."""
    command = ["export", folder / "m.e1d", "--c", "-", "--calibration", folder / "data.csv", "--compact", "--no-verify"]
    ran = run(*command)
    assert ran.out.decode() == small(folder, compact=True).c_source()
    assert "standard output: " in ran.err
    assert "agreement with float" in ran.err
    assert "rows equal" not in ran.err
    assert run(*command, "-q").err == ""


@pytest.mark.parametrize("compiler", ["absent", "works"])
def test_verification(folder, tmp_path, monkeypatch, compiler):
    """Without a compiler a note says that nothing was compared; a header that differs is never written."""
    command = ["export", folder / "m.e1d", "--c", tmp_path / "m.h", "--calibration", folder / "data.csv"]
    if compiler == "absent":
        monkeypatch.setenv("CC", "no-such-compiler")
        ran = run(*command)
        assert ran.code == 0
        assert "C was not compared with Python: the variable CC names 'no-such-compiler'" in ran.err
        assert (tmp_path / "m.h").exists()
        return
    different = CVerification(n_rows=120, n_different=2, first_different=7, compiler=("cc",), flags=("-O2",))
    monkeypatch.setattr("ensemble_1d._compiler.find_compiler", lambda: ["cc"])
    monkeypatch.setattr("ensemble_1d.predictor.Predictor.verify_c", lambda *_, **__: different)
    line = refused(*command)
    assert line.startswith(
        "C answers otherwise than Python: 118 of 120 rows equal (cc -O2); the first different row is 7"
    )
    assert not list(tmp_path.iterdir())


def test_arduino(folder, tmp_path):
    """A library whose sketch answers the first calibration row."""
    out = tmp_path / "cells"
    command = ["export", folder / "m.e1d", "--arduino", out, "--calibration", folder / "data.csv", "--name", "cells"]
    assert run(*command, "--json", "--no-verify").json["format"] == "arduino"
    expected = small(folder).export_arduino(
        tmp_path / "other", "cells", row=np.asarray(sample("words").X[0], np.float32)
    )
    for path in expected.rglob("*.*"):
        assert (out / path.relative_to(expected)).read_text() == path.read_text()
    written(tmp_path, "mine", "notes.txt")
    assert "only a library that ensemble-1d wrote is replaced" in refused(
        *("export", folder / "i.e1d", "--arduino", tmp_path)
    )


def test_onnx(folder, tmp_path):
    """Compared with onnxruntime where there are rows; an integer model is refused."""
    pytest.importorskip("onnx")
    ran = run("export", folder / "m.e1d", "--onnx", tmp_path / "m.onnx")
    assert ran.code == 0
    size = (tmp_path / "m.onnx").stat().st_size
    assert ran.lines == [f"{tmp_path / 'm.onnx'}: ONNX, {size:,} bytes; not compared with Python"]
    assert "not compared with Python: give --calibration a table of rows" in ran.err
    assert refused("export", folder / "i.e1d", "--onnx", tmp_path / "i.onnx") == (
        f"{str(folder / 'i.e1d')!r} computes in integers, and ONNX needs the float model; export that one"
    )
    pytest.importorskip("onnxruntime")
    command = ["export", folder / "m.e1d", "--onnx", tmp_path / "m.onnx", "--calibration", folder / "data.csv"]
    assert "onnxruntime answers 120 of 120 rows as Python does" in run(*command).lines[0]
    assert run(*command, "--json").json["n_rows_equal"] == 120


def test_budget(folder, tmp_path):
    """The limits reach the library, and the layout that they chose reaches the header."""
    command = ["export", folder / "m.e1d", "--c", tmp_path / "m.h", "--calibration", folder / "data.csv"]
    told = run(*command, "--target", "kind", "--flash", "2k", "--ram", "256", "--json", "--no-verify").json
    expected = small(folder, budget=Budget(flash=2048, ram=256))
    assert (tmp_path / "m.h").read_text() == expected.c_source()
    assert told["layout"] == expected.layout
    assert told["flash_bytes"] <= 2048
    assert told["ram_bytes"] <= 256
    line = refused(*command, "--flash", "10")
    assert line.startswith(
        "nothing fits Budget(flash=10, ram=None, instructions=None, target='cortex-m0plus'): the smallest"
    )


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("m", ["--c", "m.h"], "computes in floats, and C in integers; add --calibration data.csv: rows that show the"),
        ("m", ["--arduino", "m"], "computes in floats, and C in integers; add --calibration"),
        ("i", ["--c", "m.h", "--mode", "int8"], "computes in integers already; leave --mode and --compact out, or"),
        ("i", ["--c", "m.h", "--compact"], "computes in integers already; leave --mode and --compact out, or"),
        (
            "i",
            ["--c", "m.h", "--flash", "8k"],
            "so a budget only chooses a layout: add --layout auto, or give the float",
        ),
        ("i", ["--c", "m.h", "--flash", "8", "--layout", "auto"], "nothing fits Budget(flash=8, "),
        ("i", ["--c", "m.h", "--name", "9"], "name='9' is no C identifier; use a letter, then letters, digits or"),
        ("i", ["--c", "no/m.h"], "cannot write 'no/m.h': there is no such folder; give a file in an existing folder"),
        ("i", ["--c", "."], "cannot write '.': it is a folder"),
    ],
)
def test_what_cannot_be_exported(folder, tmp_path, monkeypatch, *, model, options, said):
    """One line with a remedy, and nothing is written."""
    monkeypatch.chdir(tmp_path)
    assert said in refused("export", folder / f"{model}.e1d", *options)
    assert not list(tmp_path.iterdir())


def test_labels_that_the_model_does_not_know(folder, tmp_path):
    """Scores with strange labels would mean nothing."""
    text = (folder / "data.csv").read_text().replace("malign", "bad")
    path = written(tmp_path, text)
    command = ["export", folder / "m.e1d", "--c", tmp_path / "m.h", "--calibration", path, "--target", "kind"]
    line = refused(*command)
    assert line.startswith(f"column 'kind' of {str(path)!r} holds 'bad', which is no class of the model; ")
    assert line.endswith("; its classes are 'benign', 'malign'")
    assert "has no column 'Kind'; did you mean 'kind'?" in refused(*command[:-1], "Kind")


def test_report(folder, tmp_path):
    """The page is that of the library."""
    out = tmp_path / "report.html"
    command = ["report", folder / "m.e1d", folder / "data.csv", "--target", "kind", "--budgets", "none", "--out"]
    told = run(*command, out, "--json").json
    assert (told["n_rows"], told["bytes"]) == (120, out.stat().st_size)
    page = out.read_text(encoding="utf-8")
    data = sample("words")
    expected = report_of(load(folder / "m.e1d"), np.asarray(data.X, np.float32), data.y, budgets=())
    assert page == expected.html
    assert (told["title"], told["summary"]) == (expected.title, expected.summary)
    assert page.lower().startswith("<!doctype html>")
    assert all(name in page for name in NAMES)
    ran = run(*command, "-", "--title", "My <cells>")
    assert "My &lt;cells&gt;" in ran.out.decode()
    assert ran.err.startswith("My <cells>\n")
