"""The example of a search: it finds parameters, and exports the best ensemble as C that answers as Python does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "examples" / "grid_search.py"


@pytest.mark.slow
@pytest.mark.skipif(not SCRIPT.exists(), reason="the examples stand in a checkout alone")
def test_the_search_ends_in_a_header(tmp_path):
    """One choice of every parameter is printed, and the header answers every test row as Python does."""
    pytest.importorskip("xgboost")
    header = tmp_path / "cancer.h"
    done = subprocess.run([sys.executable, SCRIPT, "--out", header], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not done.stderr
    assert re.findall(r"^best (\w+):", done.stdout, re.MULTILINE) == ["combine", "random_forest__max_depth", "xgboost"]
    assert "C against Python: 171 of 171 rows equal" in done.stdout
    assert "int32_t cancer_predict(" in header.read_text(encoding="utf-8")
