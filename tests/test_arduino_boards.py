"""Sketches on AVR boards: compiled with Arduino's flags, they fit in a Uno and print what Python answers."""

import pytest
from sketches import AVR, run_sketch
from target_models import fitted_case
from target_tools import missing

from ensemble_1d import Predictor

ABSENT = ", ".join(f"{tool} ({package})" for tool, package in missing().items())
pytestmark = [
    pytest.mark.targets,
    pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {ABSENT}"),
]


@pytest.mark.parametrize(
    ("recipe", "board", "layout"),
    [
        ("forest-cancer", "uno", "size"),
        ("forest-cancer", "uno", "speed"),
        ("soft-wine", "uno", "size"),
        ("stacking-diabetes", "uno", "balanced"),
        ("stacking-missing", "uno", "plain"),
        ("boosting-digits", "uno", "size"),
        ("hard-digits", "mega", "balanced"),
        ("large-digits", "mega", "size"),
    ],
)
def test_boards_print_what_python_answers(recipe, board, layout):
    """The class and every probability, or the value; of a row with a missing value where the model takes some."""
    case = fitted_case(recipe)
    predictor, row = Predictor(case.program), case.floats[0]
    lines = run_sketch(predictor, AVR[board], row=row, layout=layout)
    assert lines[-1] == "as in Python"
    printed = dict(line.split(": ") for line in lines[:-1])
    (answer,) = predictor.predict([row])
    if case.program.classes is None:
        # 24 bits of mantissa, and a decimal more than is printed.
        assert float(printed.pop("value")) == pytest.approx(answer, rel=2.0**-23, abs=0.0001)
    else:
        assert printed.pop("class") == str(answer)
        (probabilities,) = predictor.predict_proba([row])
        expected = {str(label): value for label, value in zip(case.program.classes, probabilities, strict=True)}
        assert {label: float(value) for label, value in printed.items()} == pytest.approx(expected, abs=0.0001)
