"""The command line in processes of its own: what it imports, pipes, signals, and streams that end early."""

import os
import signal
import subprocess
import sys
import time

import pytest
from command_lines import SMALL, run, table_of, written
from isolation import BACKENDS, run_python

pytest.importorskip("pandas")

COMMAND = [sys.executable, "-m", "ensemble_1d"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A folder with a table, a large one, and a model of both."""
    folder = tmp_path_factory.mktemp("process")
    frame = table_of("words")
    frame.to_csv(folder / "data.csv", index=False)
    assert run("fit", folder / "data.csv", "--target", "kind", "--out", folder / "m.e1d", *SMALL).code == 0
    header, rows = (folder / "data.csv").read_text().split("\n", 1)
    written(folder, header + "\n" + rows * 100, "large.csv")
    return folder


def ended(folder, *arguments, data=b"", **options):
    """Return the finished process of a command."""
    settings = {"input": data, "capture_output": True, "timeout": 300} | options
    return subprocess.run([*COMMAND, *arguments], cwd=folder, check=False, **settings)


@pytest.mark.parametrize("command", ["", "fit", "predict", "info", "export", "report"])
def test_help_loads_the_standard_library_alone(command):
    """Help needs neither NumPy nor anything else that is installed, nor what takes long to load."""
    code = f"""
from ensemble_1d.cli.main import main
code = main({[*command.split(), "--help"]!r})
sys.stderr.write(" ".join(sys.modules))
sys.exit(code)
"""
    loaded = run_python(code, blocked=[*BACKENDS, "numpy"]).stderr.decode().split()
    foreign = {name.partition(".")[0] for name in loaded} - set(sys.stdlib_module_names) - {"__main__"}
    assert {name for name in foreign if not name.startswith(("_distutils", "__editable__"))} <= {"ensemble_1d"}
    assert not {"dataclasses", "json", "pathlib", "inspect", "typing_extensions"} & set(loaded)


def test_info_needs_numpy_alone(folder):
    """What only reads a model runs where nothing else is installed."""
    code = f"from ensemble_1d.cli.main import main; sys.exit(main(['info', {str(folder / 'm.e1d')!r}]))"
    assert b"classification, float arithmetic" in run_python(code, blocked=BACKENDS).stdout


def test_predict_does_without_scikit_learn(folder):
    """What reads is pandas, what answers NumPy."""
    arguments = ["predict", str(folder / "m.e1d"), str(folder / "data.csv")]
    blocked = [name for name in BACKENDS if name != "pandas"]
    code = f"from ensemble_1d.cli.main import main; sys.exit(main({arguments!r}))"
    assert run_python(code, blocked=blocked).stdout == run(*arguments).out


def test_commands_in_a_pipe(folder):
    """A table goes in, a model passes on, facts come out: no file between."""
    fit = ended(folder, "fit", "-", "--target", "kind", "--out", "-", *SMALL, data=(folder / "data.csv").read_bytes())
    assert fit.returncode == 0
    assert fit.stdout == (folder / "m.e1d").read_bytes()
    info = ended(folder, "info", "-", data=fit.stdout)
    assert b"classification" in info.stdout
    answers = ended(folder, "predict", "m.e1d", "-", data=(folder / "data.csv").read_bytes())
    assert answers.stdout == run("predict", folder / "m.e1d", folder / "data.csv").out


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_large_answers_pass_a_slow_pipe_whole(folder, unbuffered):
    """A pipe takes 64 KB at once; the reader gets every byte, with PYTHONUNBUFFERED too."""
    with subprocess.Popen(
        [*COMMAND, "predict", "m.e1d", "large.csv", "-q", "--proba"],
        cwd=folder,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    ) as process:
        time.sleep(0.1)
        found = process.stdout.read()
    assert process.returncode == 0
    assert len(found) > 2 * 65536
    assert found == run("predict", folder / "m.e1d", folder / "large.csv", "--proba").out


@pytest.mark.skipif(os.name != "posix", reason="pipes of POSIX")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_closed_pipe_ends_quietly(folder, unbuffered):
    """As `cat large.csv | head -1` does: no traceback, and the code of a process that SIGPIPE ended."""
    with subprocess.Popen(
        [*COMMAND, "predict", "m.e1d", "large.csv", "-q", "--proba"],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=os.environ | {"PYTHONUNBUFFERED": unbuffered},
    ) as process:
        assert process.stdout.read(1)
        process.stdout.close()
        told = process.stderr.read()
    assert told == b""
    assert process.returncode == 141


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no device that is always full")  # noqa: PTH110
@pytest.mark.parametrize("arguments", [("info", "m.e1d"), ("--help",)])
def test_a_full_disk_is_one_line(folder, arguments):
    """What cannot be written to standard output is an error, and no traceback."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        settings = {"capture_output": False, "stderr": subprocess.PIPE, "env": os.environ | {"PYTHONUNBUFFERED": ""}}
        done = ended(folder, *arguments, stdout=full, **settings)
    assert done.returncode == 1
    assert done.stderr.startswith(b"ensemble-1d: error: cannot write to standard output: No space left on device")
    assert done.stderr.count(b"\n") == 1


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_an_interrupt_leaves_nothing(folder, tmp_path):
    """Ctrl-C in the middle of a fit: one last line, code 130, no file."""
    arguments = ["fit", folder / "data.csv", "--target", "kind", "--out", tmp_path / "m.e1d"]
    many = ["--models", "random_forest", "--param", "random_forest.n_estimators=100000", "--jobs", "1"]
    with subprocess.Popen([*COMMAND, *arguments, *many], stderr=subprocess.PIPE) as process:
        while b"fitting random_forest" not in process.stderr.readline():
            pass
        time.sleep(0.5)
        process.send_signal(signal.SIGINT)
        last = process.stderr.read().splitlines()[-1]
    assert last == b"ensemble-1d: error: interrupted; nothing was left half-written"
    assert process.returncode == 130
    assert not list(tmp_path.iterdir())


def test_closed_streams(folder):
    """A process may be started without standard input or output."""
    script = f'exec "{sys.executable}" -m ensemble_1d info m.e1d >&- <&-'
    done = subprocess.run(["/bin/sh", "-c", script], cwd=folder, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_labels_of_any_script_in_any_locale(tmp_path):
    """Tables are UTF-8, whatever the terminal is."""
    path = written(tmp_path, "a,größe\n1,größer\n2,小\n3,größer\n4,小\n")
    plain = os.environ | {"PYTHONIOENCODING": "ascii"}
    done = ended(tmp_path, "fit", path, "--target", "größe", "--out", "m.e1d", *SMALL, env=plain)
    assert done.returncode == 0
    done = ended(tmp_path, "predict", "m.e1d", path, env=plain)
    assert set(done.stdout.decode().splitlines()[1:]) == {"größer", "小"}
    assert "größer" in ended(tmp_path, "info", "m.e1d", env=plain).stdout.decode()


@pytest.mark.skipif(not os.path.exists("/dev/stdout"), reason="no files for streams")  # noqa: PTH110
def test_devices_stay_what_they_are(folder):
    """/dev/stdout is written to, and /dev/null stays a device, whoever runs the command."""
    done = ended(folder, "predict", "m.e1d", "data.csv", "-q", "--out", "/dev/stdout")
    assert done.stdout.startswith(b"prediction\n")
    assert done.stdout.endswith(b"120 predictions in /dev/stdout\n")
    assert ended(folder, "predict", "m.e1d", "data.csv", "-q", "--out", os.devnull).returncode == 0
    assert not os.path.isfile(os.devnull)  # noqa: PTH113


@pytest.mark.skipif(not os.path.exists("/bin/bash"), reason="no bash")  # noqa: PTH110
def test_process_substitution(folder):
    """`<(...)` of shells is a pipe with a name: for tables and for models."""
    script = f'"{sys.executable}" -m ensemble_1d predict <(cat m.e1d) <(cat data.csv) -q'
    done = subprocess.run(["/bin/bash", "-c", script], cwd=folder, capture_output=True, check=False)
    assert done.stderr == b""
    assert done.stdout == run("predict", folder / "m.e1d", folder / "data.csv").out
