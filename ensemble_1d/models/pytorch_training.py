"""The training loop of multilayer perceptrons: plain tensors, one shuffled copy an epoch, several networks at once."""

import math
from collections.abc import Sequence
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
    device: str
    n_threads: int


@dataclass(frozen=True, slots=True, eq=False)
class TrainingTask:
    """What one network is trained on.

    Attributes:
        rows: Standardised inputs, class indices or float32 targets, float32 weights or None.
        validation: Rows that decide when to stop and which epoch to keep, or None.
        n_outputs: Width of the last layer.
        seed: Seed of everything random.
    """

    rows: Rows
    validation: Rows | None
    n_outputs: int
    seed: int


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


def train(torch: Any, tasks: Sequence[TrainingTask], options: TrainingOptions) -> list[TrainedNetwork]:
    """Train networks with AdamW (Loshchilov and Hutter, ICLR 2019, arXiv:1711.05101).

    The loss is cross-entropy for integer targets (of one logit for two classes) and squared error for float targets,
    weighted by row. Each network draws from a generator of its own; torch's global state is neither read nor changed.
    Networks of one shape that take equally many steps an epoch, as those of folds do, are trained side by side by
    batched products: small networks spend their time on calls, and a call then serves all of them.

    Args:
        torch: The torch module.
        tasks: What each network is trained on.
        options: How to train all of them.

    Returns:
        The trained arrays, in the order of the tasks.

    Raises:
        InvalidInputError: If a loss stops being finite.
    """
    groups: dict[tuple[int, ...], list[int]] = {}
    for position, task in enumerate(tasks):
        n_steps = -(-len(task.rows.X) // options.batch_size)
        groups.setdefault((n_steps, task.rows.X.shape[1], task.n_outputs), []).append(position)
    found: dict[int, TrainedNetwork] = {}
    # A caller may have turned gradients off: training needs them.
    with limited_threads(torch, options.n_threads), torch.inference_mode(mode=False), torch.enable_grad():
        for positions in groups.values():
            networks = _train_side_by_side(torch, [tasks[position] for position in positions], options)
            found |= dict(zip(positions, networks, strict=True))
    return [found[position] for position in range(len(tasks))]


def _train_side_by_side(torch: Any, tasks: Sequence[TrainingTask], options: TrainingOptions) -> list[TrainedNetwork]:
    """Train networks of one shape; the first axis of every tensor is the network."""
    device = options.device
    generators = [torch.Generator(device="cpu").manual_seed(task.seed) for task in tasks]
    sizes = [tasks[0].rows.X.shape[1], *options.hidden_layer_sizes, tasks[0].n_outputs]
    layers = _initial_layers(torch, sizes, generators, device)
    parameters = [tensor for layer in layers for tensor in layer]
    # The fused step is one call for all tensors; for small networks the unfused one costs more than the gradients.
    optimizer = torch.optim.AdamW(
        parameters,
        lr=options.learning_rate,
        weight_decay=options.weight_decay,
        fused=_has_fused_step(torch, options),
    )
    X, y, weight = _padded(torch, [task.rows for task in tasks], device)
    lengths = [len(task.rows.X) for task in tasks]
    n_rows = torch.tensor(lengths, device=device)
    network = torch.arange(len(tasks), device=device)[:, None]
    steps = [
        (slice(begin, begin + options.batch_size), [min(n - begin, options.batch_size) for n in lengths])
        for begin in range(0, X.shape[1], options.batch_size)
    ]
    progress = [_Progress(task, torch, device) for task in tasks]
    for epoch in range(1, options.max_epochs + 1):
        order = _orders(torch, lengths, X.shape[1], generators).to(device)
        X_epoch, y_epoch = X[network, order], y[network, order]
        weight_epoch = None if weight is None else weight[network, order]
        total = torch.zeros(len(tasks), dtype=torch.float32, device=device)
        for batch, n_seen in steps:
            output = _forward(
                torch, layers, X_epoch[:, batch], options.dropout, list(zip(n_seen, generators, strict=True))
            )
            loss = _loss(torch, output, y_epoch[:, batch], None if weight_epoch is None else weight_epoch[:, batch])
            optimizer.zero_grad(set_to_none=True)
            loss.sum().backward()
            optimizer.step()
            total += loss.detach() * torch.tensor(n_seen, device=device)
        for i, (each, mean) in enumerate(zip(progress, (total / n_rows).tolist(), strict=True)):
            each.after_epoch(epoch, mean, layers, i, options)
        if not any(each.is_running for each in progress):
            break
    return [each.result() for each in progress]


class _Progress:
    """What one network has reached: its losses, and the weights of its best epoch."""

    def __init__(self, task: TrainingTask, torch: Any, device: str) -> None:
        """Start before the first epoch."""
        self._torch = torch
        self._held = None if task.validation is None else _padded(torch, [task.validation], device)
        self._losses: list[float] = []
        self._validation_losses: list[float] = []
        self._best_epoch = 0
        self._best: list[Any] = []
        self.is_running = True

    def after_epoch(
        self, epoch: int, loss: float, layers: list[tuple[Any, Any]], position: int, options: TrainingOptions
    ) -> None:
        """Note the losses of an epoch, and stop if the validation loss has not fallen for long enough."""
        if not self.is_running:
            return
        self._losses.append(loss)
        if not math.isfinite(loss):
            remedy = f"lower learning_rate={options.learning_rate}, or check X for extreme values"
            raise InvalidInputError(f"training diverged: the loss is {loss} in epoch {epoch}; {remedy}")
        own = [
            (weight.detach()[position : position + 1], bias.detach()[position : position + 1])
            for weight, bias in layers
        ]
        if self._held is None:
            self._best_epoch = epoch
            if epoch == options.max_epochs:
                self._keep(own)
            return
        X, y, weight = self._held
        with self._torch.no_grad():
            output = _forward(self._torch, own, X, 0.0, [])
            self._validation_losses.append(float(_loss(self._torch, output, y, weight)[0]))
        if self._validation_losses[-1] < min(self._validation_losses[:-1], default=math.inf):
            self._best_epoch = epoch
            self._keep(own)
        self.is_running = epoch - self._best_epoch < options.n_iter_no_change

    def _keep(self, layers: list[tuple[Any, Any]]) -> None:
        """Copy the weights of one network."""
        self._best = [tensor[0].cpu().numpy().copy() for layer in layers for tensor in layer]

    def result(self) -> TrainedNetwork:
        """Return the network of the best epoch."""
        weights, biases = self._best[::2], [bias[0] for bias in self._best[1::2]]
        return TrainedNetwork(weights, biases, self._losses, self._validation_losses, self._best_epoch)


def _padded(torch: Any, parts: Sequence[Rows], device: str) -> tuple[Any, Any, Any]:
    """Return inputs, targets and weights of several networks' rows; rows that only fill up have weight zero.

    Where no network has weights and all have equally many rows, there are no weights.
    """
    n_rows = max(len(part.X) for part in parts)
    is_even = all(len(part.X) == n_rows and part.weight is None for part in parts)
    X = np.zeros((len(parts), n_rows, parts[0].X.shape[1]), np.float32)
    y = np.zeros((len(parts), n_rows), parts[0].y.dtype)
    weight = np.zeros((len(parts), n_rows), np.float32)
    for i, part in enumerate(parts):
        X[i, : len(part.X)], y[i, : len(part.X)] = part.X, part.y
        weight[i, : len(part.X)] = 1.0 if part.weight is None else part.weight
    tensors = (torch.from_numpy(array).to(device) for array in (X, y, weight))
    X_all, y_all, weight_all = tensors
    return X_all, y_all, None if is_even else weight_all


def _orders(torch: Any, n_rows: list[int], width: int, generators: list[Any]) -> Any:
    """Return a random order of each network's rows; those that only fill up stay last."""
    return torch.stack(
        [
            torch.cat([torch.randperm(n, generator=generator, device="cpu"), torch.arange(n, width, device="cpu")])
            for n, generator in zip(n_rows, generators, strict=True)
        ]
    )


def _has_fused_step(torch: Any, options: TrainingOptions) -> bool:
    """Return whether AdamW has a fused step on this device: on CPU since torch 2.4."""
    version = tuple(int(part) for part in torch.__version__.split(".")[:2])
    return options.device != "cpu" or version >= (2, 4)


def _initial_layers(torch: Any, sizes: list[int], generators: list[Any], device: str) -> list[tuple[Any, Any]]:
    """Return weights and biases uniform in +-1 / sqrt(n_inputs), as torch.nn.Linear draws them.

    Weights have shape (n_networks, n_outputs, n_inputs), biases (n_networks, 1, n_outputs).
    """
    own = []
    for generator in generators:
        tensors = []
        for n_inputs, n_outputs in pairwise(sizes):
            bound = 1 / math.sqrt(n_inputs)
            for shape in ((n_outputs, n_inputs), (1, n_outputs)):
                tensor = torch.empty(shape, dtype=torch.float32, device="cpu")
                tensors.append(tensor.uniform_(-bound, bound, generator=generator))
        own.append(tensors)
    stacked = [torch.stack(tensors).to(device).requires_grad_() for tensors in zip(*own, strict=True)]
    return list(zip(stacked[::2], stacked[1::2], strict=True))


def _forward(torch: Any, layers: list[tuple[Any, Any]], x: Any, dropout: float, draws: list[tuple[int, Any]]) -> Any:
    """Return the outputs of the last layer; dropout masks are drawn for each network's rows, by its generator."""
    for i, (weight, bias) in enumerate(layers):
        x = torch.baddbmm(bias, x, weight.transpose(1, 2))
        if i < len(layers) - 1:
            x = torch.relu(x)
            if dropout:
                # A network draws for its own rows alone, as it would without the others.
                masks = torch.zeros(x.shape, dtype=x.dtype, device="cpu")
                for mask, (n, generator) in zip(masks, draws, strict=True):
                    mask[:n].bernoulli_(1 - dropout, generator=generator)
                x = x * masks.to(x.device) / (1 - dropout)
    return x


def _loss(torch: Any, output: Any, y: Any, weight: Any) -> Any:
    """Return the weighted mean loss of one batch for each network."""
    functional = torch.nn.functional
    # One call less for a lone network.
    reduction = "mean" if weight is None and len(output) == 1 else "none"
    if y.is_floating_point():
        loss = functional.mse_loss(output[:, :, 0], y, reduction=reduction)
    elif output.shape[2] == 1:
        loss = functional.binary_cross_entropy_with_logits(output[:, :, 0], y.to(output.dtype), reduction=reduction)
    else:
        loss = functional.cross_entropy(output.flatten(0, 1), y.flatten(), reduction=reduction)
    if reduction == "mean":
        return loss[None]
    loss = loss.view(y.shape)
    if weight is None:
        return loss.mean(dim=1)
    # A batch of zero weights has zero loss, not 0 / 0.
    return (loss * weight).sum(dim=1) / weight.sum(dim=1).clamp_min(torch.finfo(weight.dtype).tiny)
