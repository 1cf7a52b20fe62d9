"""What values of parameters must be, and the error that names the one that is not."""

import math
from collections.abc import Mapping
from numbers import Integral, Real

from ensemble_1d.errors import InvalidInputError


def is_integer(value: object) -> bool:
    """Return whether a value is a whole number of integer type."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def is_number(value: object) -> bool:
    """Return whether a value is a finite real number."""
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(float(value))


def check_parameters(model: object, rules: Mapping[str, tuple[bool, str]]) -> None:
    """Refuse the first parameter of a model that breaks its rule.

    Args:
        model: What holds the parameters as attributes.
        rules: For each parameter, whether its value is good, and what to use.

    Raises:
        InvalidInputError: If a value is not good.
    """
    for name, (good, rule) in rules.items():
        if not good:
            raise InvalidInputError(f"{name}={getattr(model, name)!r} is out of range; use {rule}")
