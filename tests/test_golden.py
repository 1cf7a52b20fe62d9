"""Files of every format version that was ever written still load, and give the answers that they gave."""

import json
from pathlib import Path

import numpy as np
import pytest

from ensemble_1d import Predictor, load
from ensemble_1d.ir import Affine, Concat, Dense, IntegerTreeTable, Log, Quantize, Select, TreeTable, descendants
from ensemble_1d.storage.artifact import FORMAT_VERSION, artifact_bytes, artifact_of

FILES = sorted((Path(__file__).parent / "golden").glob("*.e1d"))


def ids(path):
    return path.stem


def test_every_version_has_its_files():
    """A new version comes with new files, and leaves the old ones where they are."""
    versions = range(1, FORMAT_VERSION + 1)
    assert [path.stem for path in FILES] == [f"v{n}-{kind}" for n in versions for kind in ("float", "integer")]
    nodes = {type(node) for path in FILES for node in descendants(load(path).program.root)}
    assert {TreeTable, IntegerTreeTable, Dense, Affine, Concat, Log, Select, Quantize} <= nodes


@pytest.mark.parametrize("path", FILES, ids=ids)
def test_golden_file_answers_as_it_did(path):
    """Labels are equal; probabilities too, in integers exactly, in float within last bits of `exp` and `log`."""
    predictor, answers = load(path), json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    rows, expected = np.array(answers["rows"], np.float32), np.array(answers["probabilities"])
    assert predictor.predict(rows).tolist() == answers["labels"]
    found = predictor.predict_proba(rows)
    assert predictor.program.is_integer == path.stem.endswith("integer")
    if predictor.program.is_integer:
        assert np.array_equal(found, expected)
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=0)
    assert expected.max() > 0.9


@pytest.mark.parametrize("path", [path for path in FILES if path.stem.startswith(f"v{FORMAT_VERSION}-")], ids=ids)
def test_saving_a_golden_file_again_gives_its_bytes(path, tmp_path):
    """Today's files are those of the day the version was made, but for the name of what wrote them."""
    data = path.read_bytes()
    assert artifact_bytes(artifact_of(data)) == data
    again = Predictor(load(path).program).save(tmp_path / path.name)
    assert artifact_bytes(artifact_of(again.read_bytes())) == again.read_bytes()
    assert load(again).program.nbytes == load(path).program.nbytes
