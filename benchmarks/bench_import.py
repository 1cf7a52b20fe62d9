"""What `import ensemble_1d` costs over a bare interpreter, beside `import sklearn.ensemble`: wall, CPU, memory.

Whole processes, in turn, 20 of each after one that is not counted; medians.
"""

import os
import statistics
import subprocess
import sys
import time

from tables import publish, table

STATEMENTS = ("pass", "import ensemble_1d", "import numpy", "import sklearn.ensemble")
N_RUNS = 20


def measure(statement: str) -> tuple[float, float, float]:
    """Return wall milliseconds, CPU milliseconds and peak megabytes of one process."""
    begin = time.perf_counter()
    process = subprocess.Popen([sys.executable, "-c", statement])
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - begin
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        message = f"{statement!r} ended with status {process.returncode}"
        raise RuntimeError(message)
    kilobytes = usage.ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return wall * 1e3, (usage.ru_utime + usage.ru_stime) * 1e3, kilobytes / 1024


def main() -> None:
    """Run every statement in turn and publish the differences to the bare interpreter."""
    runs: dict[str, list[tuple[float, float, float]]] = {statement: [] for statement in STATEMENTS}
    for number in range(N_RUNS + 1):
        for statement in STATEMENTS:
            result = measure(statement)
            if number:
                runs[statement].append(result)
    medians = {name: [statistics.median(column) for column in zip(*each, strict=True)] for name, each in runs.items()}
    bare = medians["pass"]
    rows = [
        [f"`{name}`", *(f"{value - base:.2f}" for value, base in zip(medians[name], bare, strict=True))]
        for name in STATEMENTS[1:]
    ]
    rows.insert(0, ["bare interpreter (absolute)", *(f"{value:.2f}" for value in bare)])
    header = ["statement", "wall ms more", "CPU ms more", "peak MB more"]
    publish(__file__, "The cost of importing", [f"Medians of {N_RUNS} processes.", table(header, rows)])


if __name__ == "__main__":
    main()
