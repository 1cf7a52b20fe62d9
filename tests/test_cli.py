"""The command line as a whole: options, streams, exit codes, sizes."""

import argparse
import inspect
import sys

import numpy as np
import pytest
from command_lines import SMALL, refused, run, table_of, written
from hypothesis import given
from hypothesis import strategies as st

import ensemble_1d
from ensemble_1d import InvalidInputError, MissingBackendError
from ensemble_1d.cli import console, fit, info, main, parser
from ensemble_1d.cli.sizes import bytes_of

pytest.importorskip("pandas")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a table and a model of it."""
    folder = tmp_path_factory.mktemp("cli")
    table_of("words").to_csv(folder / "data.csv", index=False)
    assert run("fit", folder / "data.csv", "--target", "kind", "--out", folder / "m.e1d", *SMALL).code == 0
    return folder


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("1", 1),
        ("8192", 8192),
        ("32k", 32768),
        ("2K", 2048),
        ("32KiB", 32768),
        ("32 kB", 32768),
        ("1M", 1048576),
        ("1.5k", 1536),
        (" 512B ", 512),
        ("0.5m", 524288),
    ],
)
def test_size(text, n_bytes):
    """Units are 1024 and its square, in any of the usual spellings."""
    assert bytes_of(text) == n_bytes


@pytest.mark.parametrize(
    "text", ["", "k", "32q", "-1", "1,5k", "1e3", "0x10", "1 2", "32kk", "nan", "²", "٣k", "1" * 13]
)
def test_what_is_no_size(text):
    """The message holds the text and an example."""
    with pytest.raises(
        InvalidInputError, match="is no size; use bytes, or a number with k or M, for example"
    ) as caught:
        bytes_of(text)
    assert str(caught.value).startswith(repr(text))


@pytest.mark.parametrize("text", ["0", "0k", "0.0M", "1.5", "0.3k"])
def test_size_that_is_no_whole_number_of_bytes(text):
    """A fraction of a byte, and nothing at all, are refused."""
    with pytest.raises(InvalidInputError, match="is no whole number of bytes from 1 on"):
        bytes_of(text)


@given(st.integers(1, 10**12 - 1), st.sampled_from(["", "k", "K", "m", "M"]), st.sampled_from(["", "B", "b", "iB"]))
def test_every_whole_size(number, unit, suffix):
    """A whole number times its unit, exactly."""
    assert bytes_of(f"{number}{unit}{suffix}") == number * 1024 ** "_km".index((unit or "_").lower())


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_refused(text):
    """There is no third way."""
    try:
        n_bytes = bytes_of(text)
    except InvalidInputError:
        return
    assert n_bytes >= 1
    assert text.strip()[0].isdigit()


def test_help_explains_exit_codes_and_names_every_command():
    """The codes of the epilog are those of the module, all of them."""
    ran = run("--help")
    assert ran.code == 0
    text = ran.out.decode()
    listed = text.partition("exit codes:\n")[2].splitlines()
    codes = {value for name, value in vars(main).items() if name.isupper() and isinstance(value, int)}
    assert [int(line.split()[0]) for line in listed] == sorted(codes)
    for name in ("fit", "predict", "info", "export", "report"):
        assert f"\n    {name} " in text
        assert hasattr(__import__(f"ensemble_1d.cli.{name}", fromlist=["run"]), "run")


@pytest.mark.parametrize("command", [(), ("fit",), ("predict",), ("info",), ("export",), ("report",)])
def test_help_fits_a_terminal(command, monkeypatch):
    """No line is wider than 80 columns, and every option says what it does."""
    monkeypatch.setenv("COLUMNS", "80")
    ran = run(*command, "--help")
    assert ran.code == 0
    assert ran.err == ""
    assert max(map(len, ran.lines)) <= 80
    _, commands = parser._parsers()
    for action in commands[command[0]]._actions if command else []:
        assert action.help


def test_version():
    """Before a command and after it."""
    for arguments in (["--version"], ["fit", "--version"]):
        ran = run(*arguments)
        assert (ran.code, ran.lines) == (0, [f"ensemble-1d {ensemble_1d.__version__}"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "the following arguments are required: COMMAND; see ensemble-1d --help"),
        (["guess"], "invalid choice: 'guess'"),
        (["fit", "d.csv", "--out", "m"], "the following arguments are required: --target; see ensemble-1d fit --help"),
        (["fit", "d.csv", "--targ", "y", "--out", "m"], "required: --target"),
        (["fit", "d.csv", "--target", "y", "--out", "-", "--json"], "--json takes standard output: name a file for"),
        (["fit", "d", "--target", "y", "--out", "m", "--models", "tree"], "'tree' is no model; use random_forest, xgb"),
        (["fit", "d", "--target", "y", "--out", "m", "--models", "xgboost,xgboost"], "'xgboost' stands twice"),
        (["fit", "d", "--target", "y", "--out", "m", "--param", "n=1"], "'n=1' is no MODEL.NAME=VALUE, such as"),
        (["predict", "-", "-"], "standard input holds one thing: name a file for model or data"),
        (["export", "m"], "one of the arguments --c --arduino --onnx is required"),
        (["export", "m", "--c", "a", "--onnx", "b"], "not allowed with argument"),
        (["export", "m", "--c", "a", "--flash", "32q"], "argument --flash: '32q' is no size; use bytes, or"),
        (["export", "m", "--c", "a", "--layout", "auto"], "--layout auto needs a budget: --flash, --ram or"),
        (["export", "m", "--c", "a", "--target", "y"], "--target is a column of --calibration: give both"),
        (["export", "m", "--onnx", "a", "--mode", "int8"], "--mode is for integers, and --onnx writes floats"),
        (["export", "m", "--onnx", "a", "--compact"], "--compact is for integers"),
        (["export", "m", "--onnx", "-"], "only --c and --e1d can go to standard output"),
        (["export", "m", "--arduino", "-"], "only --c and --e1d can go to standard output"),
        (["export", "m", "--c", "-", "--e1d", "-"], "standard output holds one thing: name a file for --c or --e1d"),
        (["export", "-", "--c", "a", "--calibration", "-"], "standard input holds one thing: name a file for model or"),
        (
            ["report", "m", "d", "--out", "r", "--target", "y", "--budgets", "8k,x"],
            "argument --budgets: 'x' is no size",
        ),
        (["report", "m", "d", "--out", "r"], "the following arguments are required: --target"),
    ],
)
def test_usage(arguments, said):
    """A wrong command line is one line that says what is wrong and where to read on, with code 2."""
    line = refused(*arguments, code=2)
    assert said in line
    assert line.endswith("--help")


def test_common_options_stand_before_or_after_the_command():
    """What stands before the command is not forgotten by its own parser."""
    for argv in (["--json", "-q", "info", "m", "--debug"], ["info", "--json", "m", "--debug", "--quiet"]):
        arguments = parser.parsed(argv)
        assert (arguments.as_json, arguments.quiet, arguments.debug) == (True, True, True)
    assert not parser.parsed(["info", "m"]).as_json


def test_quiet_silences_standard_error_alone(folder):
    """The answers stay, the notes go."""
    loud = run("predict", folder / "m.e1d", folder / "data.csv")
    quiet = run("predict", folder / "m.e1d", folder / "data.csv", "--quiet")
    assert "note: left out what the model does not know: 'kind'\n" in loud.err
    assert quiet.err == ""
    assert quiet.out == loud.out


def raising(error):
    def run(*_):
        raise error

    return run


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (InvalidInputError("a\n b"), 1, "a b"),
        (MissingBackendError("needs x"), 3, "needs x"),
        (
            ModuleNotFoundError("No module named 'numpy'", name="numpy"),
            3,
            "numpy is not installed. Install what is missing with: pip install ensemble-1d",
        ),
        (MemoryError(), 1, "there is not enough memory; give fewer rows, or a smaller model"),
        (KeyError("x"), 4, "unexpected KeyError: 'x'; this is a fault of ensemble-1d: --debug shows where"),
        (KeyboardInterrupt(), 130, "interrupted; nothing was left half-written"),
    ],
)
def test_errors_are_one_line_and_a_code(monkeypatch, error, code, said):
    """Whatever is raised becomes one line, never a traceback."""
    monkeypatch.setattr(info, "run", raising(error))
    assert refused("info", "m", code=code) == said


def test_debug_shows_the_traceback(monkeypatch):
    """The line comes last, as without it."""
    monkeypatch.setattr(info, "run", raising(InvalidInputError("a")))
    ran = run("info", "m", "--debug")
    assert ran.code == 1
    assert ran.err.startswith("Traceback (most recent call last)")
    assert ran.err.endswith("ensemble-1d: error: a\n")


@pytest.mark.filterwarnings("default")
def test_warnings_are_lines(folder, monkeypatch):
    """A warning of the library is one line on standard error, and none with --quiet."""
    monkeypatch.setattr("ensemble_1d.models.defaults.is_available", lambda _: False)
    command = ["fit", folder / "data.csv", "--target", "kind", "--out", folder / "w.e1d", "--cv", "2"]
    command += ["--param", "random_forest.n_estimators=2"]
    ran = run(*command)
    said = 'ensemble-1d: warning: xgboost is not installed, so the ensemble is a forest alone; pip install "ensemble-1d'
    assert ran.code == 0
    assert sum(line.startswith(said) for line in ran.err.splitlines()) == 1
    assert run(*command, "-q").err == ""


def test_nothing_but_results_reaches_standard_output(folder, monkeypatch):
    """What a library prints is no part of a JSON document."""
    summary = info.saved_model

    def chatty(path):
        sys.stdout.write("chatter\n")
        return summary(path)

    monkeypatch.setattr(info, "saved_model", chatty)
    ran = run("info", folder / "m.e1d", "--json")
    assert ran.json["command"] == "info"
    assert ran.err == "chatter\n"


def test_info(folder):
    """The text is the summary; the document holds every fact of it, and those of the file."""
    predictor = ensemble_1d.load(folder / "m.e1d")
    text = run("info", folder / "m.e1d").out.decode()
    size = (folder / "m.e1d").stat().st_size
    assert text.startswith(f"{folder / 'm.e1d'}: {size:,} bytes, format version 1, written by ensemble-1d ")
    assert text.endswith(f"\n{predictor.summary()}\n")
    facts = run("info", folder / "m.e1d", "--json").json
    assert facts["file_bytes"] == size
    assert facts["format_version"] == 1
    assert facts["classes"] == ["benign", "malign"]
    assert facts["feature_names"] == list(predictor.program.feature_names)
    assert facts["n_features"] == 5
    assert (facts["task"], facts["arithmetic"]) == ("classification", "float")
    assert facts["n_bytes"] == predictor.program.nbytes == facts["nodes"][0]["n_bytes"]
    assert len(facts["nodes"]) == len(predictor.summary().nodes)


def test_a_model_on_standard_input(folder):
    """- is a model for every command that takes one."""
    data = (folder / "m.e1d").read_bytes()
    facts = run("info", folder / "m.e1d", "--json").json
    assert run("info", "-", "--json", data=data).json == facts | {"model": "-"}
    named = run("predict", folder / "m.e1d", folder / "data.csv")
    assert run("predict", "-", folder / "data.csv", data=data).out == named.out


def test_what_is_no_model(folder, tmp_path):
    """Absent, a folder, a table, cut short: one line that names the file and what to do."""
    said = "; give a model that `ensemble-1d fit` or `save` wrote"
    assert refused("info", "absent.e1d") == f"cannot load 'absent.e1d': No such file or directory{said}"
    assert refused("info", tmp_path) == f"cannot load {str(tmp_path)!r}: Is a directory{said}"
    assert "it is no .e1d file, or cut short" in refused("info", folder / "data.csv")
    assert refused("info", "-", data=b"abc").startswith("cannot load standard input: it has 3 bytes, too few")
    cut = written(tmp_path, (folder / "m.e1d").read_bytes()[:-1], "cut.e1d")
    assert refused("info", cut).startswith(f"cannot load {str(cut)!r}: tensor ")


def test_closed_standard_input(monkeypatch):
    """A process may be started without one."""
    monkeypatch.setattr("sys.stdin", None)
    with pytest.raises(InvalidInputError, match="standard input is closed; pipe a model in, or give a file"):
        console.stdin_bytes("a model")


@pytest.mark.parametrize("command", ["info", "fit"])
def test_without_pandas(command, folder, monkeypatch):
    """A command that reads a table says how to install pandas; the others need none."""
    monkeypatch.setitem(sys.modules, "pandas", None)
    if command == "info":
        assert run("info", folder / "m.e1d").code == 0
    else:
        line = refused("fit", folder / "data.csv", "--target", "kind", "--out", folder / "x.e1d", code=3)
        assert line.startswith("reading a table needs pandas, which ")
        assert line.endswith('Install it with: pip install "ensemble-1d[cli]"')


def test_json_is_plain():
    """Numbers of NumPy become those of Python, and what is not finite null."""
    value = {
        "a": np.float64(np.nan),
        "b": [np.int32(1), np.bool_(True)],
        "c": ("x", None, 1.5),
        "d": np.float32(np.inf),
    }
    assert console._plain(value) == {"a": None, "b": [1, True], "c": ["x", None, 1.5], "d": None}


def test_options_of_fit_have_the_defaults_of_the_library():
    """Nothing that the command line fixes differs from what Ensemble would choose, but seed and threads."""
    arguments = parser.parsed(["fit", "d", "--target", "y", "--out", "m"])
    defaults = {name: each.default for name, each in inspect.signature(ensemble_1d.Ensemble).parameters.items()}
    assert (arguments.combine, arguments.cv) == (defaults["combine"], defaults["cv"])
    assert isinstance(arguments, argparse.Namespace)
    assert fit._value("(8, 4)") == (8, 4)
    assert fit._value("None") is None
    assert fit._value("relu") == "relu"
