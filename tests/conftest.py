"""Fixtures that several test modules use: small data sets, and every model in every task."""

import os
import sys

# Before NumPy, XGBoost or torch load their thread pools: workers of pytest-xdist share the cores, and a spinning thread
# would keep the others waiting.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_name, "1")

# Figures are drawn with no window, on a desktop too.
os.environ.setdefault("MPLBACKEND", "Agg")

import pytest  # noqa: E402 -- after the environment is set
from hypothesis import Phase, settings  # noqa: E402

# For `make mutants`: the same few examples every time, and a failure is enough, however large.
settings.register_profile(
    "mutants", max_examples=8, derandomize=True, database=None, deadline=None, phases=(Phase.explicit, Phase.generate)
)

pytest.register_assert_rewrite(
    *("checks", "checks_input", "checks_program", "isolation", "split_decisions", "onnx_answers"),
    *("html_checks", "report_pages"),
)

from report_pages import ensemble_of, halves  # noqa: E402
from samples import MAKERS, Sample, sample, skip_without_backends  # noqa: E402
from spies import FITS  # noqa: E402


@pytest.fixture(scope="session")
def binary() -> Sample:
    """Two classes, 0 and 1."""
    return sample("binary")


@pytest.fixture(scope="session")
def words() -> Sample:
    """The two classes of `binary` as text."""
    return sample("words")


@pytest.fixture(scope="session")
def multiclass() -> Sample:
    """Three classes, 0 to 2."""
    return sample("multiclass")


@pytest.fixture(scope="session")
def regression() -> Sample:
    """Numbers to predict."""
    return sample("regression")


@pytest.fixture(scope="session")
def missing() -> Sample:
    """The rows of `binary` with every seventh value missing."""
    return sample("missing")


@pytest.fixture(scope="session", autouse=True)
def native_cache(tmp_path_factory):
    """Kernels compiled by tests stay out of the user's cache; processes that tests start share them."""
    folder = tmp_path_factory.mktemp("native")
    folder.chmod(0o700)
    os.environ["ENSEMBLE_1D_CACHE"] = str(folder)
    return folder


@pytest.fixture(scope="session")
def reported(words):
    """A fitted ensemble of two forests, rows that it was not fitted on, and their labels."""
    X, y, X_test, y_test = halves(words)
    return ensemble_of().fit(X, y), X_test, y_test


@pytest.fixture
def fits():
    """The list in which spies note their fits, empty."""
    FITS.clear()
    return FITS


@pytest.fixture
def closed_figures():
    """Figures that the test leaves open are closed after it."""
    yield
    if "matplotlib.pyplot" in sys.modules:
        sys.modules["matplotlib.pyplot"].close("all")


@pytest.fixture(params=list(MAKERS))
def make_model(request):
    """A function that makes an unfitted model, for each model in each of its tasks."""
    skip_without_backends(request.param)
    return MAKERS[request.param]
