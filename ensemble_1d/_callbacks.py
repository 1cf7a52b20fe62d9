"""scikit-learn's callback protocol, where the installed release has it (1.9); before that, nothing in its place."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

Method = TypeVar("Method", bound=Callable[..., Any])

if TYPE_CHECKING:

    class CallbackSupport:
        """Base of an estimator that takes callbacks with `set_callbacks`."""

        def set_callbacks(self, *callbacks: Any) -> Any:
            """Set the callbacks of later fits."""

    def with_callbacks(method: Method) -> Method:
        """Return a `fit` after which callbacks are torn down."""
        return method

else:
    try:
        from sklearn.callback import CallbackSupportMixin as CallbackSupport
        from sklearn.callback import with_callbacks
    except ImportError:

        class CallbackSupport:
            """Base of an estimator that takes no callbacks: this release of scikit-learn has none."""

        def with_callbacks(method: Method) -> Method:
            """Return the method as it is."""
            return method


class FitCallbacks:
    """The callbacks of one fit: told when it begins, after each part of it, and when it ends.

    Args:
        estimator: The estimator, whose `fit` is decorated by `with_callbacks`.
        X: Its rows.
        y: Its labels or values.
    """

    def __init__(self, estimator: Any, X: Any, y: Any) -> None:
        """Begin."""
        self._estimator = estimator
        self._data = {"X": X, "y": y}
        self._context: Any = None
        if hasattr(estimator, "_init_callback_context"):
            self._context = estimator._init_callback_context(max_subtasks=None)
            self._context.call_on_fit_task_begin(estimator=estimator, **self._data)

    def finished(self, label: str) -> None:
        """Tell of a part that is done."""
        if self._context is not None:
            part = self._context.subcontext(task_name=label)
            part.call_on_fit_task_begin(estimator=self._estimator)
            part.call_on_fit_task_end(estimator=self._estimator)

    def end(self) -> None:
        """Tell that the fit is done."""
        if self._context is not None:
            self._context.call_on_fit_task_end(estimator=self._estimator, **self._data)
