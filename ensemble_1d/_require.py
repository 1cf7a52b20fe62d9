"""The one door through which optional libraries are imported."""

import importlib
import importlib.util
from types import ModuleType

from ensemble_1d.errors import MissingBackendError


def is_available(module: str) -> bool:
    """Return whether `module` could be imported, without importing it.

    Detection goes by module and never by distribution name: `xgboost` and `xgboost-cpu` install the same module.
    """
    try:
        return importlib.util.find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def require(module: str, *, caller: str, extra: str | None = None) -> ModuleType:
    """Import and return the optional `module`, or say how to install it.

    Args:
        module: Name to import, for example "xgboost".
        caller: What the user called, for example "XGBoostModel.fit".
        extra: The extra of this distribution that brings it, for example "xgboost"; None if the base install does.

    Returns:
        The imported module.

    Raises:
        MissingBackendError: If the module, or something it needs, cannot be imported.
    """
    try:
        return importlib.import_module(module)
    except ImportError as error:
        root = module.partition(".")[0]
        is_absent = isinstance(error, ModuleNotFoundError) and error.name in {root, module}
        reason = "is not installed" if is_absent else f"cannot be imported ({error})"
        distribution = f'"ensemble-1d[{extra}]"' if extra else "ensemble-1d"
        message = f"{caller} needs {root}, which {reason}. Install it with: pip install {distribution}"
        raise MissingBackendError(message, name=error.name or root) from error
