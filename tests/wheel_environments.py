"""Install the built wheel into clean environments, one for each way to install it, and test it there.

`python tests/wheel_environments.py dist/*.whl` tests the versions of constraints.txt: without an extra, with each extra
alone and with `all-cpu`; and, for every other Python that is found, without one and with all but PyTorch's. One more
has what pip chooses by itself today, and one the extras that the tutorial installs: all that it types is run there
from an empty folder. `--oldest` tests the oldest versions that the metadata allow instead, and runs a part of the fast
tests on them.

Each environment starts empty; nothing of the checkout can be imported in it. `xgboost` alone is resolved and not
installed: it is the module of `xgboost-cpu` with 350 MB of CUDA. PyTorch is installed where an index holds a build of
it for the processor, because its other builds for Linux bring gigabytes of CUDA; it is said where it is left out.
"""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from document_blocks import extras_of, script_of
from wheel_metadata import oldest_versions, read_metadata, read_pins, read_requirements

ROOT = Path(__file__).parents[1]
TUTORIAL = ROOT / "docs" / "tutorial.md"
MODULES = {
    "xgboost-cpu": {"xgboost"},
    "torch": {"torch"},
    "viz": {"matplotlib"},
    "onnx": {"onnx"},
    "onnxruntime": {"onnx", "onnxruntime"},
    "cli": {"pandas"},
    "all-cpu": {"xgboost", "torch", "matplotlib", "onnx", "pandas"},
}
"""The optional modules that each extra brings, and it must bring no other of them."""

WITHOUT_TORCH = ("xgboost-cpu", "viz", "onnxruntime", "cli")
VERSIONS = ("3.11", "3.12", "3.13")
"""The versions of Python to look for, the oldest first."""

TEST_TOOLS = ("pytest", "pytest-xdist", "hypothesis", "polars", "pyyaml", "sybil")
TESTS_OF_OLDEST = (
    *("test_contract.py", "test_runtime.py", "test_predictor.py", "test_storage.py", "test_golden.py"),
    *("test_columns.py", "test_quantize_program.py", "test_export_c99.py", "test_onnx.py", "test_onnx_export.py"),
    *("test_plotting.py", "test_pytorch_model.py"),
)
NOT_ON_OLDEST = {
    "test_contract.py::test_model_keeps_the_contract[Ensemble-hard-classification"
    ":check_program_is_what_the_library_computes]": "an undecided forest casts its vote as its last bit falls",
    "test_contract.py::test_scikit_learn_contract[RandomForestModel(max_depth=5,n_estimators=8,random_state=0)"
    "-check_class_weight_classifiers]": "scikit-learn 1.6 passes its own forest alone, by a parameter of it",
    "test_contract.py::test_scikit_learn_contract[XGBoostModel(max_depth=3,n_estimators=5,random_state=0)"
    "-check_sample_weight_equivalence_on_dense_data]": "XGBoost 2.1 is 2e-8 from the 1e-9 that the check demands",
    "test_pytorch_model.py::test_default_device_of_torch_does_not_matter": (
        "AdamW of torch 2.3 counts its steps on the default device"
    ),
}
"""Tests that the oldest versions fail for reasons of their own."""


@dataclass(frozen=True)
class Interpreter:
    """A Python that can make environments."""

    path: str
    version: str


@dataclass(frozen=True)
class Environment:
    """One way to install the wheel, and what is run there."""

    python: Interpreter
    extras: tuple[str, ...] = ()
    pins: str = "tested"
    """Whose versions: those of constraints.txt ("tested"), the "oldest", or those that pip chooses ("newest")."""
    runs_tests: bool = False
    runs_tutorial: bool = False

    def __str__(self) -> str:
        """Name the environment."""
        extras = ",".join(self.extras) or "no extra"
        return f"Python {self.python.version}, {self.pins} versions, {extras}" + ", tutorial" * self.runs_tutorial


def find_interpreters() -> list[Interpreter]:
    """Return the interpreter of this process, and one of each other version that works here."""
    here = Interpreter(sys.executable, f"{sys.version_info[0]}.{sys.version_info[1]}")
    found = {here.version: here}
    pyenv = shutil.which("pyenv")
    root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=True).stdout.strip() if pyenv else None
    for version in VERSIONS:
        candidates = [shutil.which(f"python{version}")]
        candidates += map(str, Path(root, "versions").glob(f"{version}.*/bin/python{version}")) if root else []
        for path in filter(None, candidates):
            if version not in found and _makes_environments(path):
                found[version] = Interpreter(path, version)
    return list(found.values())


def _makes_environments(path: str) -> bool:
    """Return whether an interpreter runs, which the placeholders of version managers may not, and has venv and pip."""
    done = subprocess.run([path, "-c", "import ensurepip, venv"], capture_output=True, check=False)
    return done.returncode == 0


def plan(interpreters: list[Interpreter], *, with_torch: bool) -> list[Environment]:
    """Return the environments for the tested and the newest versions, those that take longest first."""
    here, *others = interpreters
    extras = [extra for extra in MODULES if with_torch or extra not in {"torch", "all-cpu"}]
    environments = [Environment(here, extras_of(TUTORIAL), runs_tutorial=True)]
    environments += [Environment(here, (extra,)) for extra in reversed(extras)]
    environments += [Environment(other, WITHOUT_TORCH) for other in others]
    environments += [Environment(each) for each in interpreters]
    return [*environments, Environment(here, WITHOUT_TORCH, "newest")]


def plan_oldest(python: Interpreter, *, with_torch: bool) -> list[Environment]:
    """Return the environments for the oldest versions, on the oldest Python: later ones have no builds of them."""
    extras = (*WITHOUT_TORCH, "torch") if with_torch else WITHOUT_TORCH
    return [Environment(python, extras, "oldest", runs_tests=True), Environment(python, (), "oldest")]


def test(environment: Environment, wheel: Path, constraints: dict[str, Path | None]) -> str | None:
    """Make an environment, install and test in it; return None, or what failed with its output."""
    with tempfile.TemporaryDirectory(prefix="ensemble-1d-wheel-") as scratch:
        folder, empty = Path(scratch, "environment"), Path(scratch, "empty")
        empty.mkdir()
        shutil.copy(ROOT / "test_package.py", scratch)
        python = str(folder / "bin" / "python")
        modules = set().union(*(MODULES[extra] for extra in environment.extras))
        installed = f"{wheel}[{','.join(environment.extras)}]" if environment.extras else str(wheel)
        pinned = constraints[environment.pins]
        commands = [
            [environment.python.path, "-m", "venv", str(folder)],
            pip_install(python, installed, constraints=pinned),
            [python, "-m", "pip", "check"],
            [python, str(Path(scratch, "test_package.py")), "--exactly", *sorted(modules)],
        ]
        if environment.pins == "tested" and not environment.extras:
            commands.append(pip_install(python, "--dry-run", "--no-deps", "xgboost", constraints=pinned))
        if environment.runs_tests:
            shutil.copytree(ROOT / "tests", Path(scratch, "tests"), ignore=shutil.ignore_patterns("__pycache__"))
            shutil.copy(ROOT / "pyproject.toml", scratch)
            commands.append(pip_install(python, *TEST_TOOLS, constraints=pinned))
            commands.append(pytest_command(python))
        if environment.runs_tutorial:
            activate = f'export PATH="{folder / "bin"}:$PATH"\n'
            commands.append(["bash", "-c", activate + script_of(TUTORIAL)])
        for command in commands:
            # Names of tests are relative to the folder that pytest runs in.
            place = scratch if "pytest" in command[:3] else empty
            done = subprocess.run(
                command, cwd=place, env=clean_variables(scratch), capture_output=True, text=True, check=False
            )
            if done.returncode:
                return f"{' '.join(command)}\n{done.stdout[-6000:]}{done.stderr[-6000:]}"
    return None


def pip_install(python: str, *arguments: str, constraints: Path | None) -> list[str]:
    """Return pip's command; modules are compiled when they are first imported, which most of them never are."""
    command = [python, "-m", "pip", "install", "--quiet", "--no-compile", "--no-input", "--disable-pip-version-check"]
    return [*command, *(["-c", str(constraints)] if constraints else []), *arguments]


def pytest_command(python: str) -> list[str]:
    """Return the command for the tests of the oldest versions, whose own deprecations are no faults of ours."""
    left_out = [f"--deselect=tests/{name}" for name in NOT_ON_OLDEST]
    names = [f"tests/{name}" for name in TESTS_OF_OLDEST]
    filters = ["-q", "-W", "default", "-m", "not slow and not targets"]
    return [python, "-m", "pytest", "-n", "auto", *filters, *left_out, *names]


def clean_variables(scratch: str) -> dict[str, str]:
    """Return the variables of this process without those that lead to modules or caches outside."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "VIRTUAL_ENV"))}
    ours = {"PYTHONSAFEPATH": "1", "ENSEMBLE_1D_CACHE": str(Path(scratch, "native")), "MPLBACKEND": "Agg"}
    threads = {"OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "passive", "OPENBLAS_NUM_THREADS": "1"}
    return {**threads, **kept, **ours}


def has_torch(version: str, interpreter: Interpreter) -> bool:
    """Return whether an index has a build of PyTorch without CUDA; outside of Linux every build is one."""
    if sys.platform != "linux":
        return True
    with tempfile.TemporaryDirectory(prefix="ensemble-1d-wheel-") as folder:
        subprocess.run([interpreter.path, "-m", "venv", folder], check=True)
        wanted = pip_install(
            f"{folder}/bin/python", "--dry-run", "--no-deps", f"torch=={version}+cpu", constraints=None
        )
        return subprocess.run(wanted, capture_output=True, check=False).returncode == 0


def write_constraints(folder: Path, wheel: Path) -> dict[str, Path | None]:
    """Write the oldest versions, above the rest of constraints.txt, to a file; return the file of each kind."""
    tested = ROOT / "constraints.txt"
    # Old libraries need old tools beside them: scikit-learn 1.6 sees no names of columns in a frame of polars 2.
    floors = oldest_versions(read_requirements(read_metadata(wheel), "torch", "test", *WITHOUT_TORCH))
    lines = [f"{name}=={version}\n" for name, version in (read_pins(tested) | floors).items()]
    oldest = folder / "oldest.txt"
    oldest.write_text("".join(lines), encoding="utf-8")
    return {"tested": tested, "oldest": oldest, "newest": None}


def timed_test(environment: Environment, wheel: Path, constraints: dict[str, Path | None]) -> str | None:
    """Test in an environment and print the outcome at once; return what failed."""
    began = time.monotonic()
    failure = test(environment, wheel, constraints)
    verdict = f"FAILED: {failure}" if failure else "passed"
    say(f"{environment}: {verdict} ({time.monotonic() - began:.0f} s)")
    return failure


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> int:
    """Test every environment of the plan; return 1 if one fails."""
    parser = argparse.ArgumentParser(description="Test the built wheel in clean environments.")
    parser.add_argument("wheel", type=Path)
    parser.add_argument("--oldest", action="store_true", help="test the oldest versions that the metadata allow")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="environments side by side (all cores)")
    options = parser.parse_args()
    wheel = options.wheel.resolve(strict=True)
    interpreters = find_interpreters()
    with tempfile.TemporaryDirectory(prefix="ensemble-1d-wheel-") as folder:
        constraints = write_constraints(Path(folder), wheel)
        python = min(interpreters, key=lambda each: VERSIONS.index(each.version)) if options.oldest else interpreters[0]
        version = read_pins(constraints["oldest" if options.oldest else "tested"])["torch"]
        with_torch = has_torch(version, python)
        if not with_torch:
            say(f"PyTorch is left out: no index has torch {version} without CUDA for Python {python.version}")
        if options.oldest:
            environments = plan_oldest(python, with_torch=with_torch)
        else:
            environments = plan(interpreters, with_torch=with_torch)
        run = partial(timed_test, wheel=wheel, constraints=constraints)
        with ThreadPoolExecutor(options.jobs) as pool:
            failed = [failure for failure in pool.map(run, environments) if failure]
    say(f"{len(environments) - len(failed)} environments passed, {len(failed)} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
