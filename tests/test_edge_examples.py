"""The edge examples: built by CMake for a Cortex-M0+ and run in QEMU, and as a Zephyr module by a stand-in."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from target_tools import missing

ROOT = Path(__file__).parent.parent
EDGE = ROOT / "examples" / "edge"
STAND_IN = Path(__file__).parent / "zephyr"
ABSENT = ", ".join(f"{tool} ({package})" for tool, package in missing().items())
pytestmark = [
    pytest.mark.targets,
    pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {ABSENT}"),
]


def run(*line, **options):
    """Return the finished command, which must succeed."""
    done = subprocess.run(line, capture_output=True, text=True, check=False, timeout=300, **options)
    assert done.returncode == 0, (done.stdout + done.stderr)[-4000:]
    return done


def answers(text):
    """Return the lines that tell of a row."""
    return re.findall(r"^row \d+: class \d+, Q15(?: \d+)+$", text, re.MULTILINE)


@pytest.fixture(scope="module")
def generated(tmp_path_factory):
    """The folder of the generated headers, and Python's answers."""
    folder = tmp_path_factory.mktemp("generated")
    done = run(sys.executable, EDGE / "make_model.py", "--out", folder, cwd=ROOT)
    lines = answers(done.stdout)
    assert len(lines) == 8
    assert len({line.split(",")[0].split()[-1] for line in lines}) > 1
    return folder, lines


def configure(build, model, check=True):
    """Run CMake on the bare-metal example."""
    line = ["cmake", "-S", EDGE / "bare_metal", "-B", build, f"-DMODEL_DIR={model}"]
    line.append(f"-DCMAKE_TOOLCHAIN_FILE={EDGE / 'bare_metal' / 'arm-none-eabi.cmake'}")
    return run(*line) if check else subprocess.run(line, capture_output=True, text=True, check=False)


def test_bare_metal_firmware_prints_what_python_answers(generated, tmp_path):
    """Configured, built and run by CMake, with all three members in 256 KB of flash and 16 KB of RAM."""
    folder, lines = generated
    configure(tmp_path, folder)
    built = run("cmake", "--build", tmp_path)
    assert "flash:" in built.stdout + built.stderr
    ran = run("cmake", "--build", tmp_path, "--target", "run")
    assert answers(ran.stdout + ran.stderr) == lines


def test_bare_metal_firmware_says_what_is_missing(tmp_path):
    """Without a generated header, CMake names the command that writes it."""
    done = configure(tmp_path / "build", tmp_path, check=False)
    assert done.returncode != 0
    assert "make_model.py" in done.stderr


def test_the_zephyr_sample_prints_what_python_answers(generated, tmp_path):
    """By its own CMake files, on this machine, with stand-ins for Zephyr's functions and headers."""
    folder, lines = generated
    sample = EDGE / "samples" / "hello_model"
    options = [f"-DZephyr_DIR={STAND_IN}", f"-DCONFIG_ENSEMBLE_1D_MODEL_DIR={folder}"]
    run("cmake", "-S", sample, "-B", tmp_path, *options)
    run("cmake", "--build", tmp_path)
    assert answers(run(tmp_path / "app").stdout) == lines


def test_the_zephyr_module_says_where_its_files_are():
    """As Zephyr's build system reads it: only keys that it knows, and paths that are there."""
    module = yaml.safe_load((EDGE / "zephyr" / "module.yml").read_text(encoding="utf-8"))
    assert module.keys() <= {"name", "build", "tests", "samples", "boards", "blobs", "security"}
    assert module["build"].keys() == {"cmake", "kconfig"}
    assert (EDGE / module["build"]["cmake"] / "CMakeLists.txt").is_file()
    assert (EDGE / module["build"]["kconfig"]).is_file()
    for samples in module["samples"]:
        assert list((EDGE / samples).rglob("sample.yaml"))


def test_the_zephyr_settings_exist(generated):
    """Every option of ours in prj.conf and CMake is in Kconfig, whose default is in the folder of the module."""
    _, lines = generated
    kconfig = (EDGE / "zephyr" / "Kconfig").read_text(encoding="utf-8")
    known = set(re.findall(r"^config (\w+)$", kconfig, re.MULTILINE))
    used = [EDGE / "samples" / "hello_model" / "prj.conf", EDGE / "zephyr" / "CMakeLists.txt"]
    text = "".join(path.read_text(encoding="utf-8") for path in used)
    assert set(re.findall(r"CONFIG_(ENSEMBLE_1D\w*)", text)) == known
    module = yaml.safe_load((EDGE / "zephyr" / "module.yml").read_text(encoding="utf-8"))
    assert f"$(ZEPHYR_{module['name'].upper()}_MODULE_DIR)/generated" in kconfig
    sample = yaml.safe_load((EDGE / "samples" / "hello_model" / "sample.yaml").read_text(encoding="utf-8"))
    (test,) = sample["tests"].values()
    assert any(re.fullmatch(test["harness_config"]["regex"][0], line) for line in lines)
