"""Rollback: a fit that fails leaves a model as it was."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def restored_on_failure(model: Any) -> Iterator[None]:
    """Fit without what was learned before, and give it all back if fitting fails: there is never a mixture.

    Fitting sets attributes and changes none in place, so a shallow copy holds the whole state.
    """
    with undone_on_failure(model):
        kept = {name: value for name, value in vars(model).items() if name.startswith("_") or not name.endswith("_")}
        model.__dict__ = kept
        yield


@contextmanager
def undone_on_failure(model: Any) -> Iterator[None]:
    """Change a model, or leave it as it was if that fails."""
    before = dict(vars(model))
    try:
        yield
    except BaseException:
        model.__dict__ = before
        raise
