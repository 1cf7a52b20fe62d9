"""The code blocks of the README run as they stand."""

import re
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"


@pytest.mark.skipif(not README.exists(), reason="the README stands in a checkout alone")
def test_python_blocks_run(tmp_path, monkeypatch, capsys):
    """Each Python block runs in an empty folder, and the C code equals Python on every row."""
    pytest.importorskip("xgboost")
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"^```python\n(.*?)^```$", README.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(README), "exec"), {})  # noqa: S102 -- our own README
    assert "143 of 143 rows equal" in capsys.readouterr().out
    assert (tmp_path / "iris.onnx").stat().st_size > 1000
    assert {path.name for path in tmp_path.glob("*.e1d")} == {"iris.e1d", "iris-int8.e1d"}
    assert (tmp_path / "model.h").read_text(encoding="utf-8").startswith("/* model.h: classification of 30 features")
