"""What scikit-learn draws of an estimator in a notebook."""

from collections.abc import Sequence
from typing import Any


def visual_block(estimators: Sequence[Any], names: Sequence[str]) -> Any:
    """Return the block of a diagram that shows estimators side by side.

    Args:
        estimators: What to show; text is shown as it is.
        names: Their names.
    """
    try:
        from sklearn.utils._repr_html.estimator import _VisualBlock  # noqa: PLC0415 -- only notebooks need it
    except ImportError:  # Before scikit-learn 1.7 it stood elsewhere.
        from sklearn.utils._estimator_html_repr import _VisualBlock  # noqa: PLC0415 -- see above
    return _VisualBlock("parallel", list(estimators), names=list(names))
