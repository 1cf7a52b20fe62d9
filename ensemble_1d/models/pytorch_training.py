"""The training loop of a multilayer perceptron: plain tensors, one shuffled copy an epoch, no DataLoader."""

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from ensemble_1d.errors import InvalidInputError
from ensemble_1d.models.hold_out import Rows
from ensemble_1d.models.torch_threads import limited_threads

Floats32 = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingOptions:
    """How to train; see PyTorchModel for the meaning of each."""

    hidden_layer_sizes: tuple[int, ...]
    dropout: float
    weight_decay: float
    learning_rate: float
    batch_size: int
    max_epochs: int
    n_iter_no_change: int
    seed: int
    device: str
    n_threads: int


@dataclass(frozen=True, slots=True, eq=False)
class TrainedNetwork:
    """What training leaves: arrays alone, no torch.

    Attributes:
        weights: For each layer, of shape (n_outputs, n_inputs), float32.
        biases: For each layer, of shape (n_outputs,), float32.
        losses: Mean training loss of each epoch.
        validation_losses: Validation loss of each epoch; empty without early stopping.
        best_epoch: The epoch whose weights these are, from 1.
    """

    weights: list[Floats32]
    biases: list[Floats32]
    losses: list[float]
    validation_losses: list[float]
    best_epoch: int


def train(torch: Any, rows: Rows, validation: Rows | None, n_outputs: int, options: TrainingOptions) -> TrainedNetwork:
    """Train a network with AdamW (Loshchilov and Hutter, ICLR 2019, arXiv:1711.05101).

    The loss is cross-entropy for integer targets (of one logit for two classes) and squared error for float targets,
    weighted by row. All randomness comes from one generator; torch's global state is neither read nor changed.

    Args:
        torch: The torch module.
        rows: Training rows: standardised inputs, class indices or float32 targets, float32 weights or None.
        validation: Rows that decide when to stop and which epoch to keep, or None.
        n_outputs: Width of the last layer.
        options: How to train.

    Returns:
        The trained arrays.

    Raises:
        InvalidInputError: If the loss stops being finite.
    """
    # A caller may have turned gradients off: training needs them.
    with limited_threads(torch, options.n_threads), torch.inference_mode(mode=False), torch.enable_grad():
        generator = torch.Generator(device="cpu").manual_seed(options.seed)
        sizes = [rows.X.shape[1], *options.hidden_layer_sizes, n_outputs]
        layers = _initial_layers(torch, sizes, generator, options.device)
        parameters = [tensor for layer in layers for tensor in layer]
        # The fused step is one call for all tensors; for small networks the unfused one costs more than the gradients.
        optimizer = torch.optim.AdamW(
            parameters,
            lr=options.learning_rate,
            weight_decay=options.weight_decay,
            fused=_has_fused_step(torch, options),
        )
        X, y, weight = _tensors(torch, rows, options.device)
        held = None if validation is None else _tensors(torch, validation, options.device)
        n_samples, batch_size = len(X), min(options.batch_size, len(X))
        losses: list[float] = []
        validation_losses: list[float] = []
        best_epoch, best = 0, parameters
        for epoch in range(1, options.max_epochs + 1):
            order = torch.randperm(n_samples, generator=generator, device="cpu").to(options.device)
            X_epoch, y_epoch = X[order], y[order]
            weight_epoch = None if weight is None else weight[order]
            total = torch.zeros((), dtype=torch.float32, device=options.device)
            for begin in range(0, n_samples, batch_size):
                batch = slice(begin, begin + batch_size)
                output = _forward(torch, layers, X_epoch[batch], options.dropout, generator)
                loss = _loss(torch, output, y_epoch[batch], None if weight_epoch is None else weight_epoch[batch])
                optimizer.zero_grad(set_to_none=True)
                loss.backward()
                optimizer.step()
                total += loss.detach() * len(output)
            losses.append(float(total) / n_samples)
            if not math.isfinite(losses[-1]):
                remedy = f"lower learning_rate={options.learning_rate}, or check X for extreme values"
                raise InvalidInputError(f"training diverged: the loss is {losses[-1]} in epoch {epoch}; {remedy}")
            if held is None:
                best_epoch = epoch
                continue
            with torch.no_grad():
                output = _forward(torch, layers, held[0], 0.0, generator)
                validation_losses.append(float(_loss(torch, output, held[1], held[2])))
            if validation_losses[-1] < min(validation_losses[:-1], default=math.inf):
                best_epoch, best = epoch, [tensor.detach().clone() for tensor in parameters]
            elif epoch - best_epoch >= options.n_iter_no_change:
                break
        arrays = [tensor.detach().cpu().numpy().copy() for tensor in best]
    return TrainedNetwork(arrays[::2], arrays[1::2], losses, validation_losses, best_epoch)


def _tensors(torch: Any, rows: Rows, device: str) -> tuple[Any, Any, Any]:
    """Return inputs, targets and weights (or None) on the device."""
    X, y, weight = (
        None if part is None else torch.from_numpy(np.ascontiguousarray(part)).to(device)
        for part in (rows.X, rows.y, rows.weight)
    )
    return X, y, weight


def _has_fused_step(torch: Any, options: TrainingOptions) -> bool:
    """Return whether AdamW has a fused step on this device: on CPU since torch 2.4."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    return options.device != "cpu" or version >= (2, 4)


def _initial_layers(torch: Any, sizes: list[int], generator: Any, device: str) -> list[tuple[Any, Any]]:
    """Return weights and biases uniform in +-1 / sqrt(n_inputs), as torch.nn.Linear draws them."""
    layers = []
    for n_inputs, n_outputs in pairwise(sizes):
        bound = 1 / math.sqrt(n_inputs)
        weight = torch.empty(n_outputs, n_inputs, dtype=torch.float32, device="cpu").uniform_(
            -bound, bound, generator=generator
        )
        bias = torch.empty(n_outputs, dtype=torch.float32, device="cpu").uniform_(-bound, bound, generator=generator)
        layers.append((weight.to(device).requires_grad_(), bias.to(device).requires_grad_()))
    return layers


def _forward(torch: Any, layers: list[tuple[Any, Any]], x: Any, dropout: float, generator: Any) -> Any:
    """Return the outputs of the last layer; dropout masks come from our own generator."""
    for i, (weight, bias) in enumerate(layers):
        x = torch.addmm(bias, x, weight.t())
        if i < len(layers) - 1:
            x = torch.relu(x)
            if dropout:
                keep = (
                    torch.empty(x.shape, dtype=x.dtype, device="cpu")
                    .bernoulli_(1 - dropout, generator=generator)
                    .to(x.device)
                )
                x = x * keep / (1 - dropout)
    return x


def _loss(torch: Any, output: Any, y: Any, weight: Any) -> Any:
    """Return the weighted mean loss of one batch."""
    functional = torch.nn.functional
    reduction = "mean" if weight is None else "none"
    if y.is_floating_point():
        loss = functional.mse_loss(output[:, 0], y, reduction=reduction)
    elif output.shape[1] == 1:
        loss = functional.binary_cross_entropy_with_logits(output[:, 0], y.to(output.dtype), reduction=reduction)
    else:
        loss = functional.cross_entropy(output, y, reduction=reduction)
    if weight is None:
        return loss
    # A batch of zero weights has zero loss, not 0 / 0.
    return (loss * weight).sum() / weight.sum().clamp_min(torch.finfo(weight.dtype).tiny)
