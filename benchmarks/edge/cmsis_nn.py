"""Networks in int8 by CMSIS-NN, called by hand: it has kernels and no exporter, so quantization and C stand here.

Weights, activations and inputs are int8 with a scale a tensor, as TensorFlow Lite has them; ranges are those of the
training rows. The sources come from a checkout that the user names.
"""

import math
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from outputs import Output
from workloads import Rows, Workload

from ensemble_1d import PyTorchModel

_SOURCES = (
    "Source/FullyConnectedFunctions/arm_fully_connected_s8.c",
    "Source/NNSupportFunctions/arm_nn_vec_mat_mult_t_s8.c",
)

_LAYER = """\
    static const int8_t weights_{i}[] = {{{weights}}};
    static const int32_t bias_{i}[] = {{{bias}}};
    static const cmsis_nn_fc_params parameters_{i} = {{{minus_zero}, 0, {zero}, {{{low}, 127}}}};
    static const cmsis_nn_per_tensor_quant_params scale_{i} = {{{multiplier}, {shift}}};
    static const cmsis_nn_dims in_{i} = {{1, 1, 1, {n_in}}}, filter_{i} = {{{n_in}, 1, 1, {n_out}}};
    static const cmsis_nn_dims out_{i} = {{1, 1, 1, {n_out}}};
    int8_t y_{i}[{n_out}];
    arm_fully_connected_s8(&none, &parameters_{i}, &scale_{i}, &in_{i}, {source}, &filter_{i}, weights_{i},
                           &out_{i}, bias_{i}, &out_{i}, y_{i});
"""


def cmsis_nn_outputs(workload: Workload, checkout: Path, folder: Path) -> Iterator[Output]:
    """Yield the network of a workload, if it is one.

    Args:
        workload: The workload.
        checkout: A checkout of CMSIS-NN.
        folder: Where to put the sources.
    """
    model, data = workload.model, workload.data
    if not isinstance(model, PyTorchModel):
        return
    folder.mkdir(parents=True)
    shutil.copytree(checkout / "Include", folder, dirs_exist_ok=True)
    for source in _SOURCES:
        shutil.copy(checkout / source, folder)
    x = (data.X_train - model.input_mean_) * model.input_scale_
    scale, zero = _range_of(x)
    test = (data.X_test - model.input_mean_) * model.input_scale_
    rows = np.clip(np.rint(test / scale) + zero, -128, 127).astype(np.int8)
    parts, source = [], "x"
    for i, (weight, bias) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        is_last = i == len(model.coefs_) - 1
        x = x @ weight.T + bias
        x = x if is_last else np.maximum(x, 0)
        (next_scale, next_zero), step = _range_of(x), float(np.abs(weight).max()) / 127
        fraction, shift = math.frexp(scale * step / next_scale)
        layer = {
            "weights": _numbers(np.rint(weight / step)),
            "bias": _numbers(np.rint(bias / (scale * step))),
            "multiplier": round(fraction * 2**31),
            "low": -128 if is_last else next_zero,  # below the code of zero lies what ReLU cuts off
        }
        n_out, n_in = weight.shape
        parts.append(
            _LAYER.format(
                i=i, minus_zero=-zero, zero=next_zero, shift=shift, source=source, n_in=n_in, n_out=n_out, **layer
            )
        )
        scale, zero, source = next_scale, next_zero, f"y_{i}"
    end = f"    return {source}[0] > {zero};" if len(model.intercepts_[-1]) == 1 else _argmax(source, n_out)
    call = '#include "arm_nnfunctions.h"\n#include "entry.h"\n\nedge_output edge_predict(const edge_input *x)\n{\n'
    none = "    static const cmsis_nn_context none = {0, 0};\n"
    (folder / "edge.c").write_text(f"{call}{none}{''.join(parts)}{end}\n}}\n", encoding="utf-8")
    expected = model.predict(data.X_test)
    yield Output(workload.key, "CMSIS-NN int8, called by hand", folder, False, rows, expected, data.y_test)


def _range_of(x: Rows) -> tuple[float, int]:
    """Return scale and zero point: the values and zero fill -128 to 127."""
    low, high = min(float(x.min()), 0.0), max(float(x.max()), 0.0)
    scale = (high - low) / 255
    return scale, round(-128 - low / scale)


def _numbers(values: Rows) -> str:
    """Return integers as C."""
    return ", ".join(str(int(value)) for value in values.ravel())


def _argmax(source: str, n_classes: int) -> str:
    """Return the end of the function."""
    return f"""\
    int best = 0;
    for (int i = 1; i < {n_classes}; i++) {{
        if ({source}[i] > {source}[best]) {{
            best = i;
        }}
    }}
    return best;"""
