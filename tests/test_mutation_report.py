"""The report of `make mutants`: what counts as noticed, what only changes a message, and what was never run."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import mutation_report
import pytest
from mutation_report import EQUIVALENT, main, read_equivalent, read_mutants, reason_table, score_table, survivor_list

ROOT = Path(__file__).parent.parent
MUTATED = '''
def x_half__mutmut_orig(x):
    """Return half of x."""
    ensure(x > 0, f"x is {x}")
    return x // 2

def x_half__mutmut_1(x):
    """Return half of x."""
    ensure(x >= 0, f"x is {x}")
    return x // 2

def x_half__mutmut_2(x):
    """Return half of x."""
    ensure(x > 0, None)
    return x // 2

def x_half__mutmut_3(x):
    """Return half of x."""
    ensure(x > 0, f"x is {x}")
    return x / 2

def x_told__mutmut_orig():
    rule = "give two or more"
    return rule, "sum"

def x_told__mutmut_1():
    rule = "GIVE TWO OR MORE"
    return rule, "sum"

def x_told__mutmut_2():
    rule = "give two or more"
    return rule, "SUM"

class Box:
    def xǁBoxǁfill__mutmut_orig(self):
        raise ValueError("full")

    def xǁBoxǁfill__mutmut_1(self):
        raise ValueError("FULL")

    def xǁBoxǁfill__mutmut_2(self):
        pass
'''


@pytest.fixture
def folder(tmp_path):
    """What mutmut would leave of one module: a survivor, a mutant refused by mypy, and others noticed."""
    (tmp_path / "ensemble_1d/ir").mkdir(parents=True)
    source = tmp_path / "ensemble_1d/ir/halves.py"
    source.write_text(MUTATED)
    statuses = {"x_half__mutmut_1": 0, "x_half__mutmut_2": 1, "x_half__mutmut_3": 37}
    statuses |= {"x_told__mutmut_1": 1, "x_told__mutmut_2": 1}
    statuses |= {"xǁBoxǁfill__mutmut_1": 0, "xǁBoxǁfill__mutmut_2": -24}
    keys = {f"ensemble_1d.ir.halves.{name}": status for name, status in statuses.items()}
    source.with_suffix(".py.meta").write_text(json.dumps({"exit_code_by_key": keys}))
    return tmp_path


def test_each_mutant_counts_once(folder):
    """A condition counts towards the score, a message beside it, and what mypy refuses not at all."""
    mutants = read_mutants(folder)
    assert [each.is_message for each in mutants] == [False, True, False, True, False, True, False]
    assert score_table(mutants, {}).splitlines()[-1] == "| all | 7 | 1 | 2 of 3 | 0 | 2 of 3 | 66.7 % |"
    assert survivor_list(mutants, {}, "message survived") == (
        "- ir.halves.Box.fill\n  - `raise ValueError('full')` → `raise ValueError('FULL')`"
    )


def test_an_equivalent_mutant_leaves_the_score(folder):
    """It is known by its place and its changed line."""
    mutants = read_mutants(folder)
    equivalent = {("ir.halves.half", "ensure(x >= 0, f'x is {x}')"): "zero has been refused before"}
    assert score_table(mutants, equivalent).splitlines()[-1] == "| all | 7 | 1 | 2 of 3 | 1 | 2 of 2 | 100.0 % |"
    assert survivor_list(mutants, equivalent, "survived") == "None."
    assert reason_table(mutants, equivalent).splitlines()[-1] == "| zero has been refused before | 1 |"


def test_the_report_names_survivors_and_fails_where_a_mutant_was_not_run(folder, monkeypatch, capsys):
    """Those that change a value stand apart from those that change a message."""
    monkeypatch.setattr(mutation_report, "MUTANTS", folder)
    assert main() == 0
    values, messages = (
        capsys.readouterr().out.partition("\nSurvivors:\n")[2].split("\nSurvivors that change a message:\n")
    )
    assert "ir.halves.half" in values
    assert "ir.halves.Box.fill" in messages
    meta = folder / "ensemble_1d/ir/halves.py.meta"
    meta.write_text(meta.read_text().replace("-24", "null"))
    assert main() == 1
    assert "1 mutants have no result" in capsys.readouterr().err


@pytest.mark.slow
def test_one_module_goes_through_mutmut_with_the_configuration_of_the_project(tmp_path, monkeypatch, capsys):
    """The settings of pyproject.toml still run: every mutant of the tables is tried, and those left are listed."""
    ignored = shutil.ignore_patterns("__pycache__")
    for name in ("ensemble_1d", "tests"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    text = (ROOT / "pyproject.toml").read_text()
    for pattern, instead in (
        (r"only_mutate = \[.*?\n\]", 'only_mutate = ["ensemble_1d/ir/fixed_point.py"]'),
        (r'(  "tests/test_\w+\.py",\n)+', '  "tests/test_fixed_point.py",\n'),
        (r"type_check_command = .*\n", ""),  # mypy alone would take minutes.
    ):
        text, n_found = re.subn(pattern, instead, text, flags=re.DOTALL)
        assert n_found == 1
    (tmp_path / "pyproject.toml").write_text(text)
    pytest.importorskip("mutmut")
    mutmut = [str(Path(sys.executable).with_name("mutmut")), "run", "--max-children", "1"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("COV_", "PYTEST_"))}
    environment["PYTHONPATH"] = str(tmp_path)
    done = subprocess.run(mutmut, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    monkeypatch.chdir(tmp_path)
    assert main() == 0
    mutants = read_mutants(Path("mutants"))
    assert len(mutants) > 50
    assert survivor_list(mutants, read_equivalent(EQUIVALENT), "survived") == "None."
    assert "| ir.fixed_point |" in capsys.readouterr().out
