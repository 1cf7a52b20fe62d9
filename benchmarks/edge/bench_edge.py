"""Our C beside that of emlearn, m2cgen, micromlgen and tl2cgen: the same fitted models, the same rows, exact counts.

Flash, memory and instructions of every output on emulated microcontrollers. The peers are installed with pip into an
environment of their own, kept in the user's cache. It needs the cross compilers and emulators that
tests/target_tools.py lists; what is missing is named, and the rest still runs.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))
sys.path.append(str(Path(__file__).resolve().parents[2] / "tests"))

from calibration import COST, check_counts
from cmsis_nn import cmsis_nn_outputs
from measuring import measure
from outputs import Output, Refusal, our_outputs, peer_outputs, peers_environment
from report import Measured, details, summary
from tables import publish
from targets import TARGETS, Target, missing_packages
from workloads import Workload, workloads

INTRODUCTION = f"""\
Every exporter gets the same fitted models (70/30 split by class, seed 0) and every program answers the same test rows:
all of them on the Cortex-M, the first 50 on the ATmega2560. Every figure is that of the linked program less that of the
same program with a stub in place of the model.

- Flash is code, tables and initial values, soft-float and libm included. RAM is static variables; stack is its deepest
  over the rows.
- Instructions are counted by a plugin of QEMU between two marks, cycles by the timers of the ATmega2560 under simavr.
  Both are exact (a loop of {COST:,} is measured as such before anything else); an instruction whose condition fails
  counts.
- Score is accuracy, or R² for diabetes, beside that of the Python model which was exported. Differs is on how many rows
  the label is another than that model's, or the largest difference in value.
- Ours takes int16 codes: all from there on is counted. Outputs for int16 are of a forest refitted on rows scaled to
  int16, and emlearn's networks get standardised rows: neither scaling is counted.
- Rows lie ready in the type that each output takes: int16, float, or double for m2cgen.
- CMSIS-NN has kernels and no exporter: it is called by hand with int8 rows, and stands for what an expert gets (†).
- The best of a column is stock output (not †, which was changed by hand) that loses at most a point, and fits the part.
  Different columns may have different winners, on both sides.
- Parts: Cortex-M0+ with 256 KB of flash and 16 KB of RAM, Cortex-M4F with 1 MB and 64 KB, ATmega2560 with 256 KB and
  8 KB."""


def main() -> None:
    """Export, compile and run everything, and publish the tables."""
    options = _options()
    os.environ["LC_ALL"] = "C"  # what compilers say is quoted in the tables
    targets = [target for target in TARGETS if not _lacks(target)]
    if not targets:
        sys.exit("nothing to measure with: no cross compiler and emulator is complete")
    for target in targets:
        check_counts(target)
    fitted = [each for each in workloads() if options.only in each.key]
    with tempfile.TemporaryDirectory(prefix="bench-edge-") as name:
        found = [*_ours(fitted, Path(name)), *_peers(fitted, Path(name))]
        if options.cmsis_nn:
            for each in fitted:
                found += cmsis_nn_outputs(each, options.cmsis_nn, Path(name) / "cmsis-nn" / each.name)
        refused = [each for each in found if isinstance(each, Refusal)]
        by_workload = {}
        for key in (each.key for each in fitted):
            outputs = [each for each in found if isinstance(each, Output) and each.workload == key]
            sys.stderr.write(f"{key}: {len(outputs)} programs on {len(targets)} targets\n")
            by_workload[key] = _measured(outputs, targets, options.jobs)
    parts = [INTRODUCTION, _versions(targets, options.cmsis_nn), summary(by_workload, targets)]
    for key, measured in by_workload.items():
        parts.append(details(key, measured, [each for each in refused if each.workload == key], targets))
    has_peers = any(
        each.output.is_stock and not each.output.is_ours for found in by_workload.values() for each in found
    )
    if not options.only and has_peers and len(targets) == len(TARGETS):
        publish(__file__, "Exported C beside that of other exporters", parts)
        return
    sys.stdout.write("\n\n".join(parts[2:]) + "\n")
    sys.stderr.write("not everything was measured: the tables beside the script stay as they are\n")


def _options() -> argparse.Namespace:
    """Return the options of the command line."""
    parser = argparse.ArgumentParser(description="Compare our C with that of other exporters.")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="workloads whose name holds it; prints, writes nothing"
    )
    parser.add_argument(
        "--cmsis-nn", type=Path, metavar="DIR", help="a checkout of CMSIS-NN, for networks on the Cortex-M"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="programs built and run at once")
    return parser.parse_args()


def _lacks(target: Target) -> bool:
    """Say what a target needs that is not installed; return whether there is any."""
    absent = missing_packages(target)
    for tool, package in absent.items():
        sys.stderr.write(f"{target.name} is left out: {tool} is not installed: apt-get install {package}\n")
    return bool(absent)


def _ours(fitted: Sequence[Workload], folder: Path) -> list[Output]:
    """Return our outputs of all workloads."""
    return [output for place, each in enumerate(fitted) for output in our_outputs(each, folder / "ours" / str(place))]


def _peers(fitted: Sequence[Workload], folder: Path) -> list[Output | Refusal]:
    """Return the peers' outputs and refusals, or none if they cannot be installed."""
    try:
        interpreter = peers_environment()
    except (subprocess.CalledProcessError, OSError) as error:
        sys.stderr.write(
            f"the peers are left out: {error}; pip needs an index (pip config, PIP_INDEX_URL) that has the "
            "distributions of benchmarks/edge/requirements.txt\n"
        )
        return []
    return list(peer_outputs(interpreter, fitted, folder / "peers"))


def _measured(outputs: Sequence[Output], targets: Sequence[Target], n_jobs: int) -> list[Measured]:
    """Return every output with its figures."""
    pairs = [(output, target) for output in outputs for target in targets]
    with ThreadPoolExecutor(n_jobs) as pool:
        found = dict(zip(pairs, pool.map(lambda pair: measure(*pair), pairs), strict=True))
    return [Measured(output, {target: found[output, target] for target in targets}) for output in outputs]


def _versions(targets: Sequence[Target], cmsis_nn: Path | None) -> str:
    """Return the versions of compilers, emulators and peers."""
    said = []
    for tool in sorted({tool for target in targets for tool in target.tools}):
        done = subprocess.run([tool, "--version"], capture_output=True, text=True, check=False)
        first = (done.stdout.splitlines() or [""])[0]
        said.append(first if any(letter.isdigit() for letter in first) else tool)
    requirements = (Path(__file__).with_name("requirements.txt")).read_text(encoding="utf-8").splitlines()
    said += [line.replace("==", " ") for line in requirements if not line.startswith("#")]
    if cmsis_nn:
        releases = re.findall(
            r'<release version="([^"]+)"', (cmsis_nn / "ARM.CMSIS-NN.pdsc").read_text(encoding="utf-8")
        )
        said.append(f"CMSIS-NN {releases[0]} (`--cmsis-nn`)")
    return "; ".join(said) + "."


if __name__ == "__main__":
    main()
