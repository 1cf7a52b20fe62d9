"""Runs of dense layers in C: 16-bit activations from layer to layer, each sum rescaled as soon as it is there."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.export.c99_functions import Style, function
from ensemble_1d.export.c99_text import array, entry, integer
from ensemble_1d.export.dense_weights import DenseWeights, bias_table, dense_weights, even, weight_table
from ensemble_1d.ir import IntegerDense, Node, Requantize, smallest_dtype
from ensemble_1d.ir.bounds import Bounds

_ACTIVATION = np.iinfo(np.int16)
_SUM = np.iinfo(np.int32)


@dataclass(frozen=True, slots=True)
class Layer:
    """A dense layer and the changes of scale that follow it."""

    dense: IntegerDense
    scales: tuple[Requantize, ...]


@dataclass(frozen=True, slots=True)
class DenseRun:
    """Dense layers after one another, each of whose inputs fits in 16 bits.

    Attributes:
        scales: Changes of scale before the first layer.
        layers: The layers.
        is_codes: Whether the input is int16 codes.
    """

    scales: tuple[Requantize, ...]
    layers: tuple[Layer, ...]
    is_codes: bool

    @property
    def n_outputs(self) -> int:
        """Number of output columns."""
        return len(self.layers[-1].dense.bias)


def dense_runs(steps: Sequence[Node], source: str) -> list[Node | DenseRun]:
    """Return the steps of a chain, every run of dense layers and the changes of scale around them as one step.

    Args:
        steps: The steps.
        source: C type of the chain's input: "int16_t" for codes, "int32_t" further on.

    Returns:
        The steps; a layer stays a step of its own where nothing before it limits its inputs to 16 bits.
    """
    grouped: list[Node | DenseRun] = []
    i = 0
    while i < len(steps):
        run, end = _run(steps, i, is_codes=i == 0 and source == "int16_t")
        grouped.append(run if run.layers else steps[i])
        i = end if run.layers else i + 1
    return grouped


def _run(steps: Sequence[Node], i: int, *, is_codes: bool) -> tuple[DenseRun, int]:
    """Return the longest run that begins at step i, without layers if there is none, and where it ends."""
    before, i = _scales(steps, i)
    fits = _fit(before) if before else is_codes
    layers: list[Layer] = []
    while fits and i < len(steps) and isinstance(dense := steps[i], IntegerDense):
        scales, i = _scales(steps, i + 1)
        layers.append(Layer(dense, scales))
        fits = _fit(scales)
    return DenseRun(before, tuple(layers), is_codes), i


def _scales(steps: Sequence[Node], i: int) -> tuple[tuple[Requantize, ...], int]:
    """Return the changes of scale from step i on, and the step after them."""
    found: list[Requantize] = []
    while i < len(steps) and isinstance(step := steps[i], Requantize):
        found.append(step)
        i += 1
    return tuple(found), i


def _fit(scales: Sequence[Requantize]) -> bool:
    """Return whether the last change of scale leaves 16 bits."""
    return bool(scales) and _ACTIVATION.min <= scales[-1].low and scales[-1].high <= _ACTIVATION.max


@dataclass(frozen=True, slots=True)
class _Place:
    """Where in the header a function stands.

    Attributes:
        name: Name of the function, and prefix of its tables.
        source: C type of the input of the run.
    """

    name: str
    source: str


@dataclass(frozen=True, slots=True, eq=False)
class _Scaling:
    """How a sum becomes an activation or an output.

    Attributes:
        definitions: The tables, and the function if there is one.
        call: The call of the function, to be formatted with `x` and `i`.
        bounds: Limits of what comes out; not the closest, where those of the input of the run are not known.
    """

    definitions: list[str]
    call: str
    bounds: Bounds

    @property
    def is_signed(self) -> bool:
        """Whether negative numbers come out."""
        return int(self.bounds[0].min()) < 0


def render_run(run: DenseRun, n_inputs: int, source: str, style: Style, label: str) -> list[str]:
    """Return the tables of a run, a function for each of its layers, and last the function `label` that calls them.

    Args:
        run: The layers.
        n_inputs: Number of input columns.
        source: C type of the input.
        style: How the header is written.
        label: Name of the function, and prefix of the tables.

    Returns:
        C definitions in order.
    """
    limits = _ACTIVATION if run.is_codes else _SUM
    place = _Place(f"{label}_0", source)
    scaling = _scaling(run.scales, (np.full(n_inputs, limits.min), np.full(n_inputs, limits.max)), place)
    weights = dense_weights(run.layers[0].dense)
    definitions = [*scaling.definitions, _input_function(scaling, n_inputs, weights.n_inputs, place)]
    calls = [f"uint32_t sum = {place.name}(x, a);"]
    rooms = {"a": weights.n_inputs}
    current, other = "a", "b"
    for k, layer in enumerate(run.layers, 1):
        place = replace(place, name=f"{label}_{k}")
        is_raised, n_outputs = scaling.is_signed, len(layer.dense.bias)
        scaling = _scaling(layer.scales, _dense_bounds(layer.dense, scaling.bounds), place)
        is_last = k == len(run.layers)
        following = None if is_last else dense_weights(run.layers[k].dense)
        width = 0 if following is None else following.n_inputs
        definitions += _layer(scaling, weights, n_outputs, width, place, is_raised=is_raised)
        calls.append(
            f"{place.name}({current}, sum, y);" if is_last else f"sum = {place.name}({current}, sum, {other});"
        )
        if following is not None:
            rooms[other] = max(rooms.get(other, 0), width)
            weights, current, other = following, other, current
    buffers = [f"e1d_activation {each}[E1D_ROOM({room})];" for each, room in rooms.items()]
    definitions.append(function(label, source, style, "\n".join([*buffers, *calls])))
    return definitions


def _definition(head: str, body: str) -> str:
    """Return a function definition."""
    return f"\nstatic inline {head}\n{{\n{textwrap.indent(body, '    ')}\n}}"


def _input_function(scaling: _Scaling, n_inputs: int, n_padded: int, place: _Place) -> str:
    """Return the function that turns the input into activations; it returns their sum."""
    zero, store = _zero(scaling), "e1d_store"
    value = [zero + scaling.call.format(x=f"(int32_t)x[{i}]", i=i) for i in ("i", "i + 1", n_inputs - 1)]
    lines = ["uint32_t sum = 0;"]
    if n_inputs > 1:
        lines += [
            f"int32_t i;\nfor (i = 0; i < {n_inputs - n_inputs % 2}; i += 2) {{",
            f"    sum += {store}(y, i, {value[0]}, {value[1]});\n}}",
        ]
    if n_inputs % 2:
        lines.append(f"sum += {store}(y, {n_inputs - 1}, {value[2]}, 0);")
    lines += [*_padding(n_inputs, n_padded), "return sum;"]
    head = f"E1D_WRAPS uint32_t {place.name}(const {place.source} *x, e1d_activation *y)"
    return _definition(head, "\n".join(lines))


def _zero(scaling: _Scaling) -> str:
    """Return what raises activations where they are unsigned, if there are negative ones."""
    return "(int32_t)E1D_ZERO + " if scaling.is_signed else ""


def _padding(n_columns: int, n_padded: int) -> list[str]:
    """Return the statement that fills up activations to those that the next layer reads."""
    first = n_columns + n_columns % 2
    return [f"e1d_store(y, {first}, 0, 0);"] if first < n_padded else []


def _layer(
    scaling: _Scaling, weights: DenseWeights, n_outputs: int, n_padded: int, place: _Place, *, is_raised: bool
) -> list[str]:
    """Return the tables of a layer, and its function: it makes activations and returns their sum, or makes outputs."""
    bits, name = weights.bits, place.name
    tables = [weight_table(weights, f"{name}_weight")]
    rows = ["dots[0]", "dots[1]"]
    if is_raised or bool(weights.bias.any()):
        tables.append(bias_table(weights, f"{name}_bias", raised=is_raised))
        rows = [f"dots[{each}] + E1D_READ_32(&{name}_bias[i + {each}])" for each in range(2)]
    if bits < 16:
        rows = [f"{rows[0]} - sum", f"{rows[1]} - " + ("E1D_RAISED(sum)" if bits == 8 else "sum")]
    rows = [f"(int32_t)({row})" for row in rows]
    first, second = (scaling.call.format(x=row, i=i) for row, i in zip(rows, ("i", "i + 1"), strict=True))
    if n_padded:
        zero = _zero(scaling)
        store = f"total += e1d_store(y, i, {zero}{first}, {zero}{second});"
    elif n_outputs % 2:
        store = f"y[i] = {first};\nif (i + 1 < {n_outputs}) {{\n    y[i + 1] = {second};\n}}"
    else:
        store = f"y[i] = {first};\ny[i + 1] = {second};"
    lines = [
        f"const e1d_weights{bits} *w = {name}_weight;",
        *(["uint32_t total = 0;"] if n_padded else []),
        "int32_t i;",
        "(void)sum;" if bits == 16 else f"sum <<= {bits - 1};",
        f"for (i = 0; i < {n_outputs}; i += 2) {{",
        "    uint32_t dots[2];",
        f"    w = e1d_dot{bits}(x, w, {weights.n_inputs}, dots);",
        textwrap.indent(store, "    "),
        "}",
        *_padding(n_outputs, n_padded),
        *(["return total;"] if n_padded else []),
    ]
    result, target = ("uint32_t", "e1d_activation") if n_padded else ("void", "int32_t")
    head = f"E1D_WRAPS {result} {name}(const e1d_activation *x, uint32_t sum, {target} *y)"
    return [*tables, *scaling.definitions, _definition(head, "\n".join(lines))]


def _dense_bounds(node: IntegerDense, bounds: Bounds) -> Bounds:
    """Return the limits of a layer's sums; as far as the input's are too wide, beyond 32 bits."""
    weight = node.weight.astype(np.int64)
    low, high = bounds
    ends = (weight[:, np.newaxis, :] * np.stack([low, high])).astype(np.int64)
    bias = node.bias.astype(np.int64)
    return ends.min(axis=1).sum(axis=1) + bias, ends.max(axis=1).sum(axis=1) + bias


def _scaling(scales: Sequence[Requantize], bounds: Bounds, place: _Place) -> _Scaling:
    """Return the changes of scale as one function; it saturates only what the bounds do not rule out."""
    if not scales:
        return _Scaling([], "{x}", bounds)
    tables: list[str] = []
    lines: list[str] = []
    for k, node in enumerate(scales):
        ends = [_without_limits(node, each) for each in bounds]
        low, high = np.minimum(*ends), np.maximum(*ends)
        if (rescaled := _rescaled(node, f"{place.name}_{k}", tables)) != "x":
            lines.append(f"x = {rescaled};")
        if int(low.min()) < node.low:
            lines.append(f"x = x < {integer(node.low)} ? {integer(node.low)} : x;")
        if int(high.max()) > node.high:
            lines.append(f"x = x > {integer(node.high)} ? {integer(node.high)} : x;")
        bounds = np.clip(low, node.low, node.high), np.clip(high, node.low, node.high)
    index, argument = (", int32_t i", ", {i}") if tables else ("", "")
    function = _definition(f"int32_t {place.name}_scale(int32_t x{index})", "\n".join([*lines, "return x;"]))
    return _Scaling([*tables, function], f"{place.name}_scale({{x}}{argument})", bounds)


def _without_limits(node: Requantize, x: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Return x in its new scale, before it saturates; larger than 32 bits where x is."""
    half = (1 << node.shift_out.astype(np.int64)) >> 1
    scaled = ((x >> node.shift_in) * node.multiplier.astype(np.int64) + half) >> node.shift_out
    return np.asarray(scaled + node.offset)


def _rescaled(node: Requantize, name: str, tables: list[str]) -> str:
    """Return the expression of one change of scale without its limits, and add the tables it needs."""

    def operand(field: str, values: npt.NDArray[Any]) -> int | str:
        if bool((values == values[0]).all()):
            return int(values[0])
        tables.append(array(f"{name}_{field}", even(values)))
        return entry(f"{name}_{field}", values, "i")

    text = "x"
    if (shift_in := operand("shift_in", node.shift_in)) != 0:
        text = f"(x >> {shift_in})"
    if (multiplier := operand("multiplier", smallest_dtype(node.multiplier, (np.int16, np.int32)))) != 1:
        text = f"{text} * {multiplier if isinstance(multiplier, str) else integer(multiplier)}"
    shift_out = operand("shift_out", node.shift_out)
    if isinstance(shift_out, str):
        text = f"({text} + (((int32_t)1 << {shift_out}) >> 1)) >> {shift_out}"
    elif shift_out:
        text = f"({text} + {(1 << shift_out) >> 1}) >> {shift_out}"
    if (offset := operand("offset", smallest_dtype(node.offset, (np.int16, np.int32)))) != 0:
        text = f"({text}) + {offset if isinstance(offset, str) else integer(offset)}"
    return text
