"""Every error the package raises: one base, and each is also the built-in a caller would expect."""

__all__ = [
    "ArtifactError",
    "CompilerError",
    "EnsembleError",
    "InvalidInputError",
    "InvalidProgramError",
    "MissingBackendError",
    "ParityError",
    "UnsupportedModelError",
]


class EnsembleError(Exception):
    """Base of all errors raised by ensemble-1d.

    Example:
        >>> from ensemble_1d import EnsembleError, InvalidInputError
        >>> issubclass(InvalidInputError, EnsembleError), issubclass(InvalidInputError, ValueError)
        (True, True)
    """


class InvalidInputError(EnsembleError, ValueError):
    """An argument or an array breaks a rule; the message names the value, the rule and the remedy.

    Example:
        >>> from ensemble_1d import Budget, InvalidInputError
        >>> try:
        ...     Budget(flash=-1)
        ... except InvalidInputError as error:
        ...     print(error)
        Budget.flash=-1 is no limit; use a positive whole number or None
    """


class InvalidProgramError(EnsembleError, ValueError):
    """A Program, or one of its nodes, contradicts itself or could overflow its integers.

    Example:
        >>> from ensemble_1d import InvalidProgramError
        >>> from ensemble_1d.ir import Link
        >>> try:
        ...     Link(kind="probit")
        ... except InvalidProgramError as error:
        ...     print(error)
        the link 'probit' is unknown; use one of ('softmax', 'sigmoid', 'complement')
    """


class UnsupportedModelError(EnsembleError, TypeError):
    """A fitted model holds something a Program cannot express; the message names it.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from sklearn.neighbors import KNeighborsClassifier
        >>> from ensemble_1d import Ensemble, RandomForestModel, UnsupportedModelError
        >>> members = [RandomForestModel(n_estimators=5), KNeighborsClassifier()]
        >>> ensemble = Ensemble(members, combine="soft").fit(*load_iris(return_X_y=True))
        >>> try:
        ...     ensemble.program()
        ... except UnsupportedModelError as error:
        ...     print("KNeighborsClassifier" in str(error))
        True
    """


class MissingBackendError(EnsembleError, ImportError):
    """An optional library is needed and not installed; the message holds the pip command.

    Example:
        >>> from ensemble_1d import MissingBackendError
        >>> issubclass(MissingBackendError, ImportError)  # so `except ImportError` catches it
        True
    """


class ParityError(EnsembleError, ArithmeticError):
    """An exported model answers a row otherwise than Python; the message names the row and the difference.

    Example:
        >>> from ensemble_1d import EnsembleError, ParityError
        >>> issubclass(ParityError, EnsembleError), issubclass(ParityError, ArithmeticError)
        (True, True)
    """


class ArtifactError(EnsembleError, OSError, ValueError):
    """A file could not be written or read whole, or holds what it must not; nothing half-written is left behind.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> from ensemble_1d import ArtifactError, load
        >>> with TemporaryDirectory() as folder:
        ...     path = Path(folder, "model.e1d")
        ...     size = path.write_bytes(b"not a model")
        ...     try:
        ...         load(path)
        ...     except ArtifactError as error:
        ...         print("model.e1d" in str(error))
        True
    """


class CompilerError(EnsembleError, RuntimeError):
    """No C compiler was found, or it refused the generated code.

    Example:
        >>> from ensemble_1d import CompilerError, EnsembleError
        >>> issubclass(CompilerError, EnsembleError), issubclass(CompilerError, RuntimeError)
        (True, True)
    """
