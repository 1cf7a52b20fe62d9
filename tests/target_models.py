"""Fitted models for microcontrollers: each kind, each rule and each task, on scikit-learn's data sets."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
from c_harness import Case
from integer_strategies import code_rows, float_rows
from samples import boosting, forest, network, with_missing
from sklearn.datasets import load_breast_cancer, load_diabetes, load_digits, load_wine
from sklearn.model_selection import train_test_split

from ensemble_1d import Ensemble

_LOADERS = {"cancer": load_breast_cancer, "wine": load_wine, "digits": load_digits, "diabetes": load_diabetes}


@dataclass(frozen=True)
class Recipe:
    """What to fit, on what, in how many bits.

    Attributes:
        make: Makes the unfitted model.
        data: "cancer" (2 classes), "wine" (3), "digits" (10) or "diabetes" (regression).
        mode: Mode of quantization.
        missing: Whether every seventh value is taken away.
        is_large: Whether its tables and all its rows are too much for the flash of an ATmega2560.
    """

    make: Callable[[], Any]
    data: str
    mode: str
    missing: bool = False
    is_large: bool = False


def _ensemble(combine: str, task: str = "classification", **parameters: Any) -> Ensemble:
    """Return a forest, boosted trees and a network under a rule."""
    members = [forest(task=task), boosting(task=task), network(task=task)]
    return Ensemble(members, task=task, combine=combine, cv=3, random_state=0, **parameters)


def _trees(combine: str, **parameters: Any) -> Ensemble:
    """Return a forest and boosted trees, both of which take missing values."""
    return Ensemble([forest(), boosting()], combine=combine, cv=3, random_state=0, **parameters)


def _large() -> Ensemble:
    """Return an ensemble whose tables are 40 to 70 KB on ten classes."""
    members = [forest(n_estimators=50, max_depth=10), boosting(n_estimators=30, max_depth=4), network()]
    return Ensemble(members, cv=3, random_state=0)


RECIPES = {
    "forest-cancer": Recipe(lambda: forest(random_state=0), "cancer", "int8"),
    "forest-diabetes": Recipe(lambda: forest(task="regression", random_state=0), "diabetes", "int16"),
    "boosting-wine": Recipe(lambda: boosting(random_state=0), "wine", "int16"),
    "boosting-digits": Recipe(lambda: boosting(random_state=0), "digits", "int8"),
    "network-digits": Recipe(lambda: network(random_state=0), "digits", "int4"),
    "network-diabetes": Recipe(lambda: network(task="regression", random_state=0), "diabetes", "int8"),
    "soft-wine": Recipe(lambda: _ensemble("soft"), "wine", "int8"),
    "soft-missing": Recipe(lambda: _trees("soft"), "cancer", "int8", missing=True),
    "hard-wine": Recipe(lambda: _ensemble("hard"), "wine", "int4"),
    "hard-digits": Recipe(lambda: _ensemble("hard"), "digits", "int8"),
    "optimized-diabetes": Recipe(lambda: _ensemble("optimized", "regression"), "diabetes", "int16"),
    "stacking-cancer": Recipe(lambda: _ensemble("stacking", passthrough=True), "cancer", "int8"),
    "stacking-wine": Recipe(lambda: _ensemble("stacking", calibrate=True), "wine", "int16"),
    "stacking-missing": Recipe(lambda: _trees("stacking"), "cancer", "int16", missing=True),
    "stacking-diabetes": Recipe(lambda: _ensemble("stacking", "regression"), "diabetes", "int8"),
    "stacking-digits": Recipe(lambda: _ensemble("stacking"), "digits", "int8"),
    "large-digits": Recipe(_large, "digits", "int8", is_large=True),
}


@cache
def fitted_case(name: str) -> Case:
    """Return the integer program of a recipe with its rows: all test rows, and rows of any codes and floats."""
    recipe = RECIPES[name]
    X, y = _LOADERS[recipe.data](return_X_y=True)
    X = X.astype(np.float32)
    if recipe.missing:
        X = with_missing(X)
    X_train, X_test, y_train, _ = train_test_split(X, y, test_size=0.3, random_state=0)
    predictor = recipe.make().fit(X_train, y_train).quantize(recipe.mode, X_calibration=X_train)
    rng = np.random.default_rng(0)
    codes = np.vstack([predictor.quantize_input(X_test), code_rows(predictor.program, rng, 60)])
    return Case(predictor.program, codes, np.vstack([X_test, float_rows(X.shape[1], rng, 40)]))


def case_for(name: str, board: str) -> Case:
    """Return the case of a recipe, with as many rows as a board has room for: every fourth, or all of them."""
    case = fitted_case(name)
    step = 4 if RECIPES[name].is_large and board == "atmega2560" else 1
    return Case(case.program, case.codes[::step], case.floats[::step])
