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
    """An argument or an array breaks a rule; the message names the value, the rule and the remedy."""


class InvalidProgramError(EnsembleError, ValueError):
    """A Program, or one of its nodes, contradicts itself or could overflow its integers."""


class UnsupportedModelError(EnsembleError, TypeError):
    """A fitted model holds something a Program cannot express; the message names it."""


class MissingBackendError(EnsembleError, ImportError):
    """An optional library is needed and not installed; the message holds the pip command."""


class ParityError(EnsembleError, ArithmeticError):
    """An exported model answers a row otherwise than Python; the message names the row and the difference."""


class ArtifactError(EnsembleError, OSError, ValueError):
    """A file could not be written or read whole, or holds what it must not; nothing half-written is left behind."""


class CompilerError(EnsembleError, RuntimeError):
    """No C compiler was found, or it refused the generated code."""
