"""What nodes ask of their arrays: kind, shape, finiteness, read-only storage, the smallest dtype."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidProgramError

AnyArray = npt.NDArray[Any]


def ensure(condition: bool, message: str) -> None:
    """Raise InvalidProgramError with `message` unless `condition` holds."""
    if not condition:
        raise InvalidProgramError(message)


def frozen_array(
    owner: object,
    field: str,
    dtypes: Iterable[npt.DTypeLike],
    shape: tuple[int | None, ...],
    *,
    finite: bool = False,
) -> AnyArray:
    """Replace `owner.field` by a read-only array of its own data and return it, after checking dtype, shape and values.

    Args:
        owner: A frozen dataclass in its `__post_init__`.
        field: Name of the field to check.
        dtypes: The dtypes allowed; nothing is converted.
        shape: The length of each axis, None where any length will do.
        finite: Whether NaN and infinities are refused.

    Returns:
        The array as now stored.

    Raises:
        InvalidProgramError: If the array breaks a rule.
    """
    array = np.asarray(getattr(owner, field))
    where = f"{type(owner).__name__}.{field}"
    allowed = [np.dtype(dtype) for dtype in dtypes]
    ensure(array.dtype in allowed, f"{where} has dtype {array.dtype}; use one of {', '.join(map(str, allowed))}")
    fits = array.ndim == len(shape) and all(want in (None, got) for want, got in zip(shape, array.shape, strict=False))
    ensure(fits, f"{where} has shape {array.shape}; it must be {tuple('any' if n is None else n for n in shape)}")
    if finite:
        ensure(bool(np.isfinite(array).all()), f"{where} holds NaN or infinity; every entry must be finite")
    # A read-only view is no safe copy: its base may be writable.
    if array.flags.writeable or not (array.flags.c_contiguous and array.flags.owndata):
        array = np.array(array, order="C", copy=True)
        array.flags.writeable = False
    object.__setattr__(owner, field, array)
    return array


def check_tree_structure(
    owner: object,
    left: npt.NDArray[np.signedinteger[Any]],
    right: npt.NDArray[np.signedinteger[Any]],
    root: npt.NDArray[np.signedinteger[Any]],
    n_leaves: int,
) -> None:
    """Refuse children that are no tree: out of range, above their parent, shared, or never reached.

    A child >= 0 is a node and a child < 0 is the leaf `~child`. Nodes follow their parent, so no walk can loop;
    leaves may be shared, nodes may not.
    """
    name = type(owner).__name__
    n_nodes = len(left)
    references = np.concatenate([root, left, right])
    inside = not references.size or (int(references.min()) >= -n_leaves and int(references.max()) < n_nodes)
    ensure(inside, f"{name}: a child points outside its {n_nodes} nodes and {n_leaves} leaves")
    order = np.arange(n_nodes, dtype=np.int32)
    for side, child in (("left", left), ("right", right)):
        wrong = np.flatnonzero((child <= order) & (child >= 0))
        ensure(not wrong.size, f"{name}: the {side} child of node {wrong[:1]} does not follow its parent")
    nodes = references[references >= 0]
    reached = np.zeros(n_nodes, np.bool_)
    reached[nodes] = True
    if len(nodes) != n_nodes or not reached.all():
        counts = np.bincount(nodes, minlength=n_nodes)
        wrong = np.flatnonzero(counts != 1)
        ensure(False, f"{name}: node {wrong[:1]} is reached {counts[wrong[:1]]} times; each node once")


def smallest_dtype(array: npt.NDArray[Any], dtypes: tuple[type, ...]) -> npt.NDArray[Any]:
    """Return `array` in the first of `dtypes` that holds all its values."""
    low, high = (int(array.min()), int(array.max())) if array.size else (0, 0)
    for dtype in dtypes[:-1]:
        if np.iinfo(dtype).min <= low and high <= np.iinfo(dtype).max:
            return array.astype(dtype)
    return array.astype(dtypes[-1])
