"""PyTorchModel: a multilayer perceptron trained by PyTorch."""

import math
from collections.abc import Iterable
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from joblib import effective_n_jobs
from sklearn.model_selection import train_test_split
from sklearn.utils import check_random_state

from ensemble_1d._require import require
from ensemble_1d.errors import InvalidInputError, MissingBackendError
from ensemble_1d.ir import Affine, Chain, Dense, Link, Node
from ensemble_1d.models.base import BaseModel, Floats32, Floats64, Task
from ensemble_1d.models.pytorch_training import Rows, TrainingOptions, train
from ensemble_1d.models.torch_threads import limited_threads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LARGEST_STANDARDISED = 1e30
"""Standardised inputs beyond this would overflow float32 in the first layer."""


class PyTorchModel(BaseModel):
    """A multilayer perceptron with rectified hidden layers; inputs (and regression targets) are standardised inside.

    The fitted network is kept as NumPy arrays: it can be pickled, inspected and lowered without torch.

    Args:
        task: "classification" or "regression".
        hidden_layer_sizes: Widths of the hidden layers; empty for a linear model.
        dropout: Share of hidden units dropped in training, in [0, 1).
        weight_decay: AdamW's decoupled weight decay.
        learning_rate: AdamW's step size.
        batch_size: Rows in a training step.
        max_epochs: Most passes over the training rows.
        early_stopping: Whether to hold out `validation_fraction` of the rows, stop when their loss has not fallen for
            `n_iter_no_change` epochs, and keep the best epoch.
        validation_fraction: Share of rows held out, in (0, 1).
        n_iter_no_change: Epochs without improvement before stopping.
        class_weight: None, "balanced", or a dict of weights by label; classification only.
        device: "cpu", "cuda", or "auto": a GPU if torch sees one.
        n_jobs: Threads, as in joblib; None is one, which is fastest for small networks.
        random_state: Seed; the same one gives the same network on the same kind of device.

    Attributes:
        coefs_: Weights of each layer, of shape (n_outputs, n_inputs), float32.
        intercepts_: Biases of each layer, of shape (n_outputs,), float32.
        input_mean_: Mean of each feature, of shape (n_features,), float32.
        input_scale_: Reciprocal of the standard deviation of each feature (1 where it is constant), float32.
        loss_curve_: Mean training loss of each epoch.
        validation_loss_curve_: Validation loss of each epoch; empty without early stopping.
        n_iter_: Number of epochs run.
        best_iteration_: The epoch whose weights were kept, from 1.
        classes_: Labels of shape (n_classes,); classification only.
        n_features_in_: Width of the input.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import PyTorchModel
        >>> X, y = load_iris(return_X_y=True)
        >>> PyTorchModel(max_epochs=20, random_state=0).fit(X, y).predict(X[:2])
        array([0, 0])
    """

    default_name = "pytorch"

    def __init__(
        self,
        *,
        task: Task = "classification",
        hidden_layer_sizes: "Sequence[int]" = (64,),
        dropout: float = 0.0,
        weight_decay: float = 0.01,
        learning_rate: float = 0.003,
        batch_size: int = 64,
        max_epochs: int = 100,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        class_weight: "Mapping[Any, float] | str | None" = None,
        device: str = "auto",
        n_jobs: int | None = None,
        random_state: "int | np.random.RandomState | None" = None,
    ) -> None:
        """Store the parameters."""
        self.task = task
        self.hidden_layer_sizes = hidden_layer_sizes
        self.dropout = dropout
        self.weight_decay = weight_decay
        self.learning_rate = learning_rate
        self.batch_size = batch_size
        self.max_epochs = max_epochs
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.device = device
        self.n_jobs = n_jobs
        self.random_state = random_state

    def _fit_backend(self, X: Floats32, y: npt.NDArray[Any], sample_weight: Floats64 | None) -> None:
        """Standardise, hold out rows if asked to, train."""
        torch = require("torch", extra="torch", caller="PyTorchModel.fit")
        rng = check_random_state(self.random_state)
        options = self._training_options(torch, seed=rng.randint(2**31 - 1))
        weight = sample_weight
        if weight is not None:
            X, y, weight = X[weight > 0], y[weight > 0], weight[weight > 0]
        self.input_mean_, self.input_scale_ = _standardisation(X, weight)
        target_mean, target_scale = 0.0, 1.0
        if self.task == "regression":
            target_mean = float(np.average(y, weights=weight))
            target_scale = float(np.sqrt(np.average((y - target_mean) ** 2, weights=weight))) or 1.0
            y = ((y - target_mean) / target_scale).astype(np.float32)
        rows = Rows(self._standardised(X), y, None if weight is None else (weight / weight.mean()).astype(np.float32))
        validation = None
        if self.early_stopping:
            rows, validation = self._hold_out(rows, rng)
        n_classes = len(self.classes_) if self.task == "classification" else 2
        network = train(torch, rows, validation, n_classes if n_classes > 2 else 1, options)
        *hidden, last = network.weights
        self.coefs_ = [*hidden, (last * target_scale).astype(np.float32)]
        *hidden, last = network.biases
        self.intercepts_ = [*hidden, (last * target_scale + target_mean).astype(np.float32)]
        self.loss_curve_ = network.losses
        self.validation_loss_curve_ = network.validation_losses
        self.n_iter_ = len(network.losses)
        self.best_iteration_ = network.best_epoch

    def _training_options(self, torch: Any, seed: int) -> TrainingOptions:
        """Return the checked parameters."""
        sizes = self.hidden_layer_sizes
        rules = {
            "hidden_layer_sizes": (
                isinstance(sizes, Iterable) and all(_is_integer(size) and size >= 1 for size in sizes),
                "positive widths, for example (64, 32)",
            ),
            "dropout": (_is_number(self.dropout) and 0 <= self.dropout < 1, "a share in [0, 1)"),
            "weight_decay": (_is_number(self.weight_decay) and self.weight_decay >= 0, "a number >= 0"),
            "learning_rate": (_is_number(self.learning_rate) and self.learning_rate > 0, "a number > 0"),
            "batch_size": (_is_integer(self.batch_size) and self.batch_size >= 1, "an integer >= 1"),
            "max_epochs": (_is_integer(self.max_epochs) and self.max_epochs >= 1, "an integer >= 1"),
            "validation_fraction": (
                _is_number(self.validation_fraction) and 0 < self.validation_fraction < 1,
                "a share in (0, 1)",
            ),
            "n_iter_no_change": (_is_integer(self.n_iter_no_change) and self.n_iter_no_change >= 1, "an integer >= 1"),
        }
        for name, (good, rule) in rules.items():
            if not good:
                raise InvalidInputError(f"{name}={getattr(self, name)!r} is out of range; use {rule}")
        return TrainingOptions(
            hidden_layer_sizes=tuple(sizes),
            dropout=self.dropout,
            weight_decay=self.weight_decay,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            max_epochs=self.max_epochs,
            n_iter_no_change=self.n_iter_no_change,
            seed=seed,
            device=_device(torch, self.device),
            n_threads=effective_n_jobs(self.n_jobs),
        )

    def _hold_out(self, rows: Rows, rng: np.random.RandomState) -> tuple[Rows, Rows]:
        """Split off validation rows, by class where every class has two rows or more."""
        counts = np.unique(rows.y, return_counts=True)[1] if self.task == "classification" else np.zeros(0, np.int64)
        n_held = max(1, round(self.validation_fraction * len(rows.X)))
        if n_held >= len(rows.X):
            rule = "early_stopping needs rows to train on and rows to hold out; set early_stopping=False"
            raise InvalidInputError(f"X has {len(rows.X)} row(s) of positive weight; {rule}")
        by_class = counts.size > 0 and counts.min() >= 2 and len(counts) <= min(n_held, len(rows.X) - n_held)
        kept, held = train_test_split(
            np.arange(len(rows.X)), test_size=n_held, random_state=rng, stratify=rows.y if by_class else None
        )
        return rows.take(kept), rows.take(held)

    def _standardised(self, X: Floats32) -> Floats32:
        """Return (X - mean) / standard deviation in float32, as the program's Affine computes it."""
        with np.errstate(over="ignore"):
            scaled = (X - self.input_mean_) * self.input_scale_
        if scaled.size and not float(np.abs(scaled).max()) < _LARGEST_STANDARDISED:
            row, column = np.unravel_index(int(np.abs(scaled).argmax()), scaled.shape)
            rule = "too many standard deviations from the mean for float32"
            raise InvalidInputError(f"X[{row}, {column}] = {X[row, column]} is {rule}; clip it or rescale the feature")
        return scaled

    def _predict_backend(self, X: Floats32) -> Floats64:
        """Return probabilities or values by torch, in float64: then the order of additions does not show."""
        torch = require("torch", extra="torch", caller="PyTorchModel.predict")
        with limited_threads(torch, effective_n_jobs(self.n_jobs)), torch.no_grad():
            x = torch.from_numpy(self._standardised(X)).double()
            last = len(self.coefs_) - 1
            for i, (weight, bias) in enumerate(zip(self.coefs_, self.intercepts_, strict=True)):
                x = torch.addmm(torch.from_numpy(bias).double(), x, torch.from_numpy(weight).double().t())
                if i < last:
                    x = torch.relu(x)
            if self.task == "classification" and x.shape[1] == 1:
                x = torch.sigmoid(torch.hstack([-x, x]))
            elif self.task == "classification":
                x = torch.softmax(x, dim=1)
            return np.asarray(x.numpy())

    def _lower(self) -> Node:
        """Return standardisation, layers and link."""
        last = len(self.coefs_) - 1
        layers = [
            Dense(weight=weight, bias=bias, activation="relu" if i < last else "identity")
            for i, (weight, bias) in enumerate(zip(self.coefs_, self.intercepts_, strict=True))
        ]
        affine = Affine(offset=self.input_mean_, scale=self.input_scale_)
        if self.task == "regression":
            return Chain(steps=(affine, *layers))
        return Chain(steps=(affine, *layers, Link(kind="sigmoid" if len(self.classes_) == 2 else "softmax")))


def _is_integer(value: object) -> bool:
    """Return whether a value is a whole number of integer type."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    """Return whether a value is a finite real number."""
    return not isinstance(value, bool) and isinstance(value, Real) and math.isfinite(float(value))


def _standardisation(X: Floats32, weight: Floats64 | None) -> tuple[Floats32, Floats32]:
    """Return mean and reciprocal standard deviation of each feature; 1 for a constant one."""
    rows = X.astype(np.float64)
    mean = np.average(rows, axis=0, weights=weight)
    deviation = np.sqrt(np.average((rows - mean) ** 2, axis=0, weights=weight))
    # A constant column has a deviation of rounding errors only.
    constant = deviation <= 10 * np.finfo(np.float32).eps * np.abs(mean)
    scale = 1 / np.where(constant | (deviation < 1e-30), 1.0, deviation)
    return mean.astype(np.float32), scale.astype(np.float32)


def _device(torch: Any, device: str) -> str:
    """Return "cpu" or "cuda"."""
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda" and not torch.cuda.is_available():
        raise MissingBackendError("device='cuda' asks for a GPU, and torch sees none; use device='auto' or 'cpu'")
    if device not in {"cpu", "cuda"}:
        raise InvalidInputError(f"device={device!r} is unknown; use 'auto', 'cpu' or 'cuda'")
    return device
