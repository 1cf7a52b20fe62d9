"""What a file may ask for: every limit of the format, and how a file that breaks a rule is refused."""

from typing import Final, NoReturn

from ensemble_1d.errors import ArtifactError

MAX_FILE_BYTES: Final = 2**32
"""Bytes of a whole file."""

MAX_HEADER_BYTES: Final = 2**24
"""Bytes of the header, the names of the features among them."""

MAX_NODES: Final = 10_000
"""Nodes of a program."""

MAX_TENSORS: Final = 10 * MAX_NODES
"""Tensors of a file."""

MAX_DEPTH: Final = 64
"""How many nodes may lie within each other."""

MAX_COLUMNS: Final = 2**20
"""Features of a program, and outputs of its trees."""

MAX_OUTPUTS: Final = 2**22
"""Outputs of all nodes together: what one row may make of itself on its way."""

_GROWTH: Final = 256
_SMALL: Final = 2**24

REMEDY: Final = "get the file again, or save the model again"
UPGRADE: Final = "upgrade: pip install --upgrade ensemble-1d"


def refuse(message: str, remedy: str = REMEDY) -> NoReturn:
    """Raise ArtifactError with what is wrong and what to do about it."""
    raise ArtifactError(f"{message}; {remedy}")


def check(condition: bool, message: str) -> None:
    """Refuse the file with `message` unless `condition` holds."""
    if not condition:
        refuse(message)


def check_growth(n_bytes: int, stored_bytes: int, what: str) -> None:
    """Refuse to let a few stored bytes ask for much memory or work: 256 times as much, or 16 MiB, is the limit.

    Args:
        n_bytes: What they would unfold to.
        stored_bytes: What the file holds.
        what: What unfolds, for the message.

    Raises:
        ArtifactError: If it is too much.
    """
    limit = max(_GROWTH * stored_bytes, _SMALL)
    check(n_bytes <= limit, f"{what} would unfold to {n_bytes:,} bytes; {limit:,} is the limit for what is stored")


def shown(value: object) -> str:
    """Return a value of the file as a message can show it: in 80 characters at most."""
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
