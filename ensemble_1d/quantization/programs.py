"""quantize_program: from a float Program to an integer one that the same consumers run, store and export."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidInputError, UnsupportedModelError
from ensemble_1d.ir import PROBABILITY_BITS, Chain, Dequantize, Node, Program, Requantize, TreeTable
from ensemble_1d.quantization.arrays import QuantizationMode
from ensemble_1d.quantization.common_scales import as_probabilities, as_values, value_scale
from ensemble_1d.quantization.cuts import TreeUse
from ensemble_1d.quantization.inputs import InputCodes, choose_codes
from ensemble_1d.quantization.members import Context, scores_of
from ensemble_1d.quantization.network import at_network_scale
from ensemble_1d.quantization.routes import feature_readers, leading_network

_BITS = {QuantizationMode.INT4: 4, QuantizationMode.INT8: 8, QuantizationMode.INT16: 16}


@dataclass(frozen=True, slots=True, eq=False)
class QuantizedProgram:
    """An integer program and how its inputs are coded.

    Attributes:
        program: The integer program.
        codes: The input quantizer, with what it has to say of the splits.
    """

    program: Program
    codes: InputCodes


def bits_of_mode(mode: QuantizationMode | str) -> int:
    """Return the bits of leaves and weights in a quantized program.

    Raises:
        InvalidInputError: If the mode is unknown, or is one for arrays only.
    """
    try:
        return _BITS[QuantizationMode(mode)]
    except (ValueError, KeyError):
        known = [each.value for each in _BITS]
        raise InvalidInputError(f"mode={mode!r} quantizes no program; use one of {known}") from None


def quantize_program(
    program: Program, X: npt.NDArray[np.float32], mode: QuantizationMode | str, *, compact: bool = False
) -> QuantizedProgram:
    """Return `program` in integers: exact splits, few-bit leaves and weights, fixed-point combination.

    Args:
        program: A float program. Not changed.
        X: Calibration rows of shape (n_samples, n_features), float32, NaN where the program accepts missing values.
            Their ranges become the ranges of the input codes and of the activations.
        mode: "int8", "int16" or "int4": the bits of leaves and weights.
        compact: Whether cuts move, within the gaps of the calibration rows, to grids that one byte a feature holds.

    Returns:
        The integer program and its input codes.

    Raises:
        InvalidInputError: If the mode is unknown.
        UnsupportedModelError: If the program is integer already, or joins nodes in a way that has no integer form.
    """
    bits = bits_of_mode(mode)
    if program.is_integer:
        raise UnsupportedModelError("the program is integer already; quantize the float model it came from")
    features = np.arange(program.n_features)
    members = list(feature_readers(program.root, features))
    tables = [TreeUse(step, each[step.feature]) for steps, each in members if isinstance(step := steps[0], TreeTable)]
    networks = [each for steps, each in members if not isinstance(steps[0], TreeTable)]
    network_features = np.concatenate(networks) if networks else np.empty(0, np.int64)
    codes = choose_codes(X, tables, network_features, compact=compact)
    if len(members) == 1 and not tables and np.array_equal(members[0][1], features):
        node = at_network_scale(codes.node, leading_network(members[0][0]), X, bits=bits)
        codes = replace(codes, node=node)
    splits = iter(zip(codes.column, codes.cut, strict=True))
    context = Context(codes, splits, X, bits, is_regression=program.task == "regression")
    body: tuple[Node, ...]
    if context.is_regression:
        values = value_scale((program.root,), features, X)
        body = as_values(scores_of(program.root, features, context, values), values).steps
        body = (*body, _add(round(values.center * 2.0**values.fraction_bits)))
        last = Dequantize(fraction_bits=values.fraction_bits)
    else:
        body = as_probabilities(scores_of(program.root, features, context)).steps
        last = Dequantize(fraction_bits=PROBABILITY_BITS)
    return QuantizedProgram(replace(program, root=Chain(steps=(codes.node, *body, last))), codes)


def _add(offset: int) -> Requantize:
    """Return a node that adds a constant to the one output."""
    zero = np.zeros(1, np.uint8)
    return Requantize(
        shift_in=zero,
        multiplier=np.ones(1, np.int32),
        shift_out=zero,
        offset=np.array([offset], np.int32),
        low=-(2**31),
        high=2**31 - 1,
    )
