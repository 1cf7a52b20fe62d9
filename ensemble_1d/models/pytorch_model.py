"""PyTorchModel: a multilayer perceptron trained by PyTorch."""

from collections.abc import Iterable
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from joblib import effective_n_jobs

from ensemble_1d._require import require
from ensemble_1d.errors import InvalidInputError, MissingBackendError
from ensemble_1d.ir import Affine, Chain, Dense, Link, Node
from ensemble_1d.models.base import Floats32, Floats64, Task
from ensemble_1d.models.early_stopping import EarlyStoppingModel
from ensemble_1d.models.hold_out import Rows
from ensemble_1d.models.parameters import check_parameters, is_integer, is_number
from ensemble_1d.models.pytorch_training import TrainedNetwork, TrainingOptions, TrainingTask, train
from ensemble_1d.models.rollback import restored_on_failure
from ensemble_1d.models.torch_threads import limited_threads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_LARGEST_STANDARDISED = 1e30
"""Standardised inputs beyond this would overflow float32 in the first layer."""


class PyTorchModel(EarlyStoppingModel):
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
        early_stopping: Whether to hold out `validation_fraction` of the rows (unless `fit` is given validation rows),
            stop when their loss has not fallen for `n_iter_no_change` epochs, and keep the best epoch.
        validation_fraction: Share of rows held out, in (0, 1).
        n_iter_no_change: Epochs without improvement before stopping.
        class_weight: None, "balanced", or a dict of weights by label; classification only.
        device: "cpu", "cuda", or "auto": a GPU if torch sees one.
        n_jobs: Threads, as in joblib; None is one, which is fastest for small networks.
        random_state: Seed; the same one gives the same network on the same kind of device.

    Attributes:
        coefs_: Weights of each layer, of shape (n_outputs, n_inputs), float32.
        intercepts_: Biases of each layer, of shape (n_outputs,), float32.
        input_mean_: Mean of each feature in the rows trained on, of shape (n_features,), float32.
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
    _sums_depend_on_threads = True
    _holds_python_lock = True
    _rounds_parameter = "max_epochs"

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

    @classmethod
    def fit_together(cls, models: "Sequence[PyTorchModel]", data: "Sequence[Mapping[str, Any]]") -> None:
        """Fit models of equal parameters at once, each on its own rows: faster than one after the other.

        Args:
            models: Unfitted models that differ in their seed at most.
            data: For each model, the arguments of its `fit` by name.

        Raises:
            InvalidInputError: As `fit` does; then no model is fitted.

        Example:
            >>> from sklearn.datasets import load_iris
            >>> from ensemble_1d import PyTorchModel
            >>> X, y = load_iris(return_X_y=True)
            >>> models = [PyTorchModel(max_epochs=20, random_state=seed) for seed in (0, 1)]
            >>> PyTorchModel.fit_together(models, [{"X": X[::2], "y": y[::2]}, {"X": X[1::2], "y": y[1::2]}])
            >>> [model.n_iter_ for model in models]
            [20, 20]
        """
        torch = require("torch", extra="torch", caller="PyTorchModel.fit")
        with ExitStack() as undo:
            for model in models:
                undo.enter_context(restored_on_failure(model))
            prepared = [
                model._split_rows(*model._checked_fit(**each)) for model, each in zip(models, data, strict=True)
            ]
            options = [model._training_options(torch) for model in models]
            tasks = [model._training_task(*each) for model, each in zip(models, prepared, strict=True)]
            networks = train(torch, [task for task, _ in tasks], options[0])
            for model, network, (_, target) in zip(models, networks, tasks, strict=True):
                model._keep(network, target)

    def _fit_rounds(self, rows: Rows, validation: Rows | None, seed: int) -> None:
        """Standardise by the training rows, train."""
        torch = require("torch", extra="torch", caller="PyTorchModel.fit")
        options = self._training_options(torch)
        task, target = self._training_task(rows, validation, seed)
        self._keep(train(torch, [task], options)[0], target)

    def _training_task(
        self, rows: Rows, validation: Rows | None, seed: int
    ) -> tuple[TrainingTask, tuple[float, float]]:
        """Return what the network is trained on, and mean and standard deviation of a regression's targets."""
        self.input_mean_, self.input_scale_ = _standardisation(rows.X, rows.weight)
        mean, deviation = 0.0, 1.0
        if self.task == "regression":
            mean = float(np.average(rows.y, weights=rows.weight))
            deviation = float(np.sqrt(np.average((rows.y - mean) ** 2, weights=rows.weight))) or 1.0

        def standardised(part: Rows) -> Rows:
            y = part.y
            if self.task == "regression":
                y = ((y - mean) / deviation).astype(np.float32)
            weight = None if part.weight is None else (part.weight / part.weight.mean()).astype(np.float32)
            return Rows(self._standardised(part.X), y, weight)

        held = None if validation is None else standardised(validation)
        n_classes = len(self.classes_) if self.task == "classification" else 2
        return TrainingTask(standardised(rows), held, n_classes if n_classes > 2 else 1, seed), (mean, deviation)

    def _keep(self, network: TrainedNetwork, target: tuple[float, float]) -> None:
        """Set the fitted attributes; the last layer gives values in the unit of the targets."""
        mean, deviation = target
        *hidden, last = network.weights
        self.coefs_ = [*hidden, (last * deviation).astype(np.float32)]
        *hidden, last = network.biases
        self.intercepts_ = [*hidden, (last * deviation + mean).astype(np.float32)]
        self.loss_curve_ = network.losses
        self.validation_loss_curve_ = network.validation_losses
        self.n_iter_ = len(network.losses)
        self.best_iteration_ = network.best_epoch

    def _training_options(self, torch: Any) -> TrainingOptions:
        """Return the checked parameters."""
        sizes = self.hidden_layer_sizes
        rules = {
            "hidden_layer_sizes": (
                isinstance(sizes, Iterable) and all(is_integer(size) and size >= 1 for size in sizes),
                "positive widths, for example (64, 32)",
            ),
            "dropout": (is_number(self.dropout) and 0 <= self.dropout < 1, "a share in [0, 1)"),
            "weight_decay": (is_number(self.weight_decay) and self.weight_decay >= 0, "a number >= 0"),
            "learning_rate": (is_number(self.learning_rate) and self.learning_rate > 0, "a number > 0"),
            "batch_size": (is_integer(self.batch_size) and self.batch_size >= 1, "an integer >= 1"),
            "max_epochs": (is_integer(self.max_epochs) and self.max_epochs >= 1, "an integer >= 1"),
        }
        check_parameters(self, rules)
        return TrainingOptions(
            hidden_layer_sizes=tuple(sizes),
            dropout=self.dropout,
            weight_decay=self.weight_decay,
            learning_rate=self.learning_rate,
            batch_size=self.batch_size,
            max_epochs=self.max_epochs,
            n_iter_no_change=self.n_iter_no_change,
            device=_device(torch, self.device),
            n_threads=effective_n_jobs(self.n_jobs),
        )

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


def _standardisation(X: Floats32, weight: npt.NDArray[np.floating[Any]] | None) -> tuple[Floats32, Floats32]:
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
