"""One thread budget for an ensemble: workers side by side, and the threads inside each, never more than asked for."""

import sys
import warnings
from typing import Any

from joblib import effective_n_jobs
from threadpoolctl import threadpool_info

from ensemble_1d.models.base import BaseModel


def workers_and_threads(n_jobs: int | None, n_tasks: int) -> tuple[int, int]:
    """Return how many fits run side by side, and how many threads each may use.

    Args:
        n_jobs: The budget, as in joblib; None is one, or what `joblib.parallel_config` says.
        n_tasks: How many fits there are.

    Returns:
        Workers, and threads in each; their product is within the budget. On macOS, where two copies of OpenMP in one
        process (XGBoost's and torch's) crash or hang as soon as both start threads, each has one thread.
    """
    budget = int(effective_n_jobs(n_jobs))
    workers = max(1, min(budget, n_tasks))
    threads = max(1, budget // workers)
    if threads > 1 and sys.platform == "darwin" and len(openmp_runtimes()) > 1:
        warnings.warn(
            f"two OpenMP runtimes are loaded, {openmp_runtimes()}, and together they crash or hang on macOS when both "
            "start threads; each fit gets one thread. To use more, keep XGBoost and PyTorch in processes of their own: "
            "with joblib.parallel_config(backend='loky'): ...",
            RuntimeWarning,
            stacklevel=3,
        )
        threads = 1
    return workers, threads


def openmp_runtimes() -> list[str]:
    """Return the files of the OpenMP libraries that this process has loaded."""
    return sorted({library["filepath"] for library in threadpool_info() if library["user_api"] == "openmp"})


def with_threads(model: BaseModel, n_threads: int | None) -> BaseModel:
    """Return the model with this number of threads, unless it has one of its own or its result depends on it."""
    given: dict[str, Any] = model.get_params(deep=False)
    if n_threads is not None and not model._sums_depend_on_threads and given.get("n_jobs", 1) is None:
        model.set_params(n_jobs=n_threads)
    return model
