"""XGBoostModel: gradient-boosted trees by XGBoost."""

import json
from numbers import Integral, Real
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from joblib import effective_n_jobs

from ensemble_1d._require import require
from ensemble_1d.errors import InvalidInputError, UnsupportedModelError
from ensemble_1d.ir import Chain, Link, Node
from ensemble_1d.models.base import Floats32, Floats64, Task
from ensemble_1d.models.early_stopping import EarlyStoppingModel
from ensemble_1d.models.hold_out import Rows
from ensemble_1d.models.tree_assembly import LibraryTree, assemble

if TYPE_CHECKING:
    from collections.abc import Mapping

    from xgboost import XGBClassifier, XGBRegressor

_LINKS = {
    "binary:logistic": "sigmoid",
    "multi:softprob": "softmax",
    "reg:squarederror": None,
    "reg:absoluteerror": None,
    "reg:pseudohubererror": None,
}
"""What follows the margin under each objective whose output we know."""

_OWN_PARAMETERS = {
    "early_stopping_rounds": "set early_stopping=True and n_iter_no_change instead",
    "eval_metric": "early stopping goes by the loss of the objective: leave it out",
    "n_estimators": "early stopping runs n_estimators rounds at most: set that parameter of XGBoostModel instead",
}
"""Arguments of XGBoost that early stopping leaves to this class, and what to do instead."""


class XGBoostModel(EarlyStoppingModel):
    """Gradient-boosted trees (Chen and Guestrin, KDD 2016, arXiv:1603.02754) by XGBoost; NaN is a value to it.

    Args:
        task: "classification" or "regression".
        n_estimators: Number of boosting rounds; with `early_stopping` the largest.
        max_depth: Largest depth of a tree.
        learning_rate: Shrinkage of each tree.
        subsample: Share of the rows that each tree sees.
        colsample_bytree: Share of the features that each tree sees.
        min_child_weight: Smallest sum of second derivatives in a leaf.
        gamma: Smallest gain of a split.
        reg_alpha: L1 penalty on leaf values.
        reg_lambda: L2 penalty on leaf values.
        early_stopping: Whether to hold out `validation_fraction` of the rows (unless `fit` is given validation rows),
            stop when their loss has not fallen for `n_iter_no_change` rounds, and keep the rounds up to the best. The
            loss is that of the objective: log loss, or for regression the root of the mean squared error.
        validation_fraction: Share of rows held out, in (0, 1).
        n_iter_no_change: Rounds without improvement before stopping.
        class_weight: None, "balanced", or a dict of weights by label; classification only.
        n_jobs: Threads, as in joblib; None is one.
        random_state: Seed; the same one gives the same model.
        backend_params: Further arguments of XGBoost's scikit-learn estimator, or None.

    Attributes:
        backend_: The fitted XGBClassifier or XGBRegressor with the rounds kept; its classes are 0 to n_classes - 1.
        best_iteration_: Number of rounds kept; without early stopping all.
        n_iter_: Number of rounds run.
        classes_: Labels of shape (n_classes,); classification only.
        n_features_in_: Width of the input.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import XGBoostModel
        >>> X, y = load_iris(return_X_y=True)
        >>> XGBoostModel(n_estimators=10, random_state=0).fit(X, y).predict(X[:2])
        array([0, 0])
    """

    default_name = "xgboost"
    _rounds_parameter = "n_estimators"

    def __init__(
        self,
        *,
        task: Task = "classification",
        n_estimators: int = 100,
        max_depth: int = 6,
        learning_rate: float = 0.3,
        subsample: float = 1.0,
        colsample_bytree: float = 1.0,
        min_child_weight: float = 1.0,
        gamma: float = 0.0,
        reg_alpha: float = 0.0,
        reg_lambda: float = 1.0,
        early_stopping: bool = False,
        validation_fraction: float = 0.1,
        n_iter_no_change: int = 10,
        class_weight: "Mapping[Any, float] | str | None" = None,
        n_jobs: int | None = None,
        random_state: "int | np.random.RandomState | None" = None,
        backend_params: "Mapping[str, Any] | None" = None,
    ) -> None:
        """Store the parameters."""
        self.task = task
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.learning_rate = learning_rate
        self.subsample = subsample
        self.colsample_bytree = colsample_bytree
        self.min_child_weight = min_child_weight
        self.gamma = gamma
        self.reg_alpha = reg_alpha
        self.reg_lambda = reg_lambda
        self.early_stopping = early_stopping
        self.validation_fraction = validation_fraction
        self.n_iter_no_change = n_iter_no_change
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.backend_params = backend_params

    @property
    def _accepts_missing(self) -> bool:
        """Whether NaN is a legal feature value: always."""
        return True

    def _fit_rounds(self, rows: Rows, validation: Rows | None, seed: int) -> None:
        """Fit XGBoost's own estimator."""
        xgboost = require("xgboost", extra="xgboost", caller="XGBoostModel.fit")
        self._check_parameters()
        estimator = xgboost.XGBClassifier if self.task == "classification" else xgboost.XGBRegressor
        parameters: dict[str, Any] = {
            "n_estimators": self.n_estimators,
            "max_depth": self.max_depth,
            "learning_rate": self.learning_rate,
            "subsample": self.subsample,
            "colsample_bytree": self.colsample_bytree,
            "min_child_weight": self.min_child_weight,
            "gamma": self.gamma,
            "reg_alpha": self.reg_alpha,
            "reg_lambda": self.reg_lambda,
            "n_jobs": effective_n_jobs(self.n_jobs),
            "random_state": seed,
        } | dict(self.backend_params or {})
        evaluation: dict[str, Any] = {}
        if validation is not None:
            stopping = xgboost.callback.EarlyStopping(rounds=self.n_iter_no_change, maximize=False, save_best=True)
            parameters["callbacks"] = [*(parameters.get("callbacks") or ()), stopping]
            evaluation = {
                "eval_set": [(validation.X, validation.y)],
                "sample_weight_eval_set": None if validation.weight is None else [validation.weight],
                "verbose": False,
            }
        if self.task == "classification":
            rows = _with_every_class(rows, len(self.classes_))
        backend: XGBClassifier | XGBRegressor = estimator(**parameters)
        self.backend_ = backend.fit(rows.X, rows.y, sample_weight=rows.weight, **evaluation)
        self.best_iteration_ = self.n_iter_ = backend.get_booster().num_boosted_rounds()
        if validation is not None:
            (losses,) = backend.evals_result()["validation_0"].values()
            self.n_iter_ = len(losses)

    def _check_parameters(self) -> None:
        """Refuse what would make predictions mean something else than this class says."""
        rounds: object = self.n_estimators
        if not (isinstance(rounds, Integral) and int(rounds) >= 1):
            raise InvalidInputError(f"n_estimators={rounds!r} is no number of rounds; use an integer >= 1")
        further = self.backend_params or {}
        for name in _OWN_PARAMETERS if self.early_stopping else ("early_stopping_rounds",):
            if further.get(name) is not None:
                raise InvalidInputError(f"{name}={further[name]!r} in backend_params; {_OWN_PARAMETERS[name]}")
        if self.early_stopping and further.get("booster") == "dart":
            rule = "it scales the trees of earlier rounds, so the best rounds cannot be kept as they were"
            raise InvalidInputError(f"early_stopping=True with the XGBoost booster 'dart': {rule}; use 'gbtree'")
        missing = further.get("missing", np.nan)
        if not (isinstance(missing, Real) and np.isnan(float(missing))):
            raise InvalidInputError(f"missing={missing!r} in backend_params; NaN marks a missing value here: recode X")
        if further.get("booster") == "gblinear":
            raise UnsupportedModelError(
                "the XGBoost booster 'gblinear' grows no trees; use scikit-learn's linear models"
            )
        objective = further.get("objective")
        gives_probabilities = ("binary:logistic", "multi:softprob")
        if self.task == "classification" and objective is not None and objective not in gives_probabilities:
            rule = f"use one of {gives_probabilities}, or none"
            raise UnsupportedModelError(f"the XGBoost objective {objective!r} gives no probabilities; {rule}")

    def _predict_backend(self, X: Floats32) -> Floats64:
        """Return XGBoost's own probabilities or values."""
        output = self.backend_.get_booster().inplace_predict(X, validate_features=False).astype(np.float64)
        if self.task == "regression":
            return np.asarray(output.reshape(-1, 1))
        if output.ndim == 1:
            return np.column_stack([1 - output, output])
        # float32 rows sum to one only within 1e-7, which scikit-learn's log_loss warns of.
        return np.asarray(output / output.sum(axis=1, keepdims=True))

    def _lower(self) -> Node:
        """Return the trees as a table, and what follows the margin."""
        booster = self.backend_.get_booster()
        learner = json.loads(booster.save_raw("json"))["learner"]
        link = _known_link(learner)
        model = learner["gradient_booster"]["model"]
        trees = [_library_tree(tree) for tree in model["trees"]]
        table = assemble(
            trees,
            output=np.array(model["tree_info"], np.int32),
            bias=_base_margin(booster, self.n_features_in_),
            comparison="lt",
            average=False,
        )
        return Chain(steps=(table, Link(kind=link))) if link else table


def _with_every_class(rows: Rows, n_classes: int) -> Rows:
    """Return the rows and, of each class without one, a copy of a row at weight zero: XGBClassifier asks for them."""
    lacking = np.setdiff1d(np.arange(n_classes), rows.y)
    if not lacking.size:
        return rows
    weight = np.ones(len(rows.X)) if rows.weight is None else rows.weight
    X = np.vstack([rows.X, rows.X[np.zeros_like(lacking)]])
    return Rows(X, np.append(rows.y, lacking), np.append(weight, np.zeros(len(lacking))))


def _known_link(learner: dict[str, Any]) -> Any:
    """Return the link of the model's objective, or refuse what a tree table does not express."""
    booster, objective = learner["gradient_booster"]["name"], learner["objective"]["name"]
    if booster != "gbtree":
        raise UnsupportedModelError(f"the XGBoost booster {booster!r} has no Program; fit with booster='gbtree'")
    if objective not in _LINKS:
        raise UnsupportedModelError(f"the XGBoost objective {objective!r} has no Program; use one of {sorted(_LINKS)}")
    for number, tree in enumerate(learner["gradient_booster"]["model"]["trees"]):
        if any(tree["split_type"]):
            raise UnsupportedModelError(f"tree {number} splits on a category; encode categories as numbers and refit")
        if int(tree["tree_param"]["size_leaf_vector"]) > 1:
            raise UnsupportedModelError(
                f"tree {number} has vector leaves; fit with multi_strategy='one_output_per_tree'"
            )
    return _LINKS[objective]


def _library_tree(tree: dict[str, Any]) -> LibraryTree:
    """Return XGBoost's arrays of one tree; at a leaf, the split condition is the leaf's value."""
    condition = np.array(tree["split_conditions"], np.float32)
    return LibraryTree(
        feature=np.array(tree["split_indices"], np.int32),
        threshold=condition,
        left=np.array(tree["left_children"], np.int64),
        right=np.array(tree["right_children"], np.int64),
        default_left=np.array(tree["default_left"], np.bool_),
        value=condition[:, np.newaxis],
    )


def _base_margin(booster: Any, n_features: int) -> npt.NDArray[np.float32]:
    """Return what XGBoost's margins start at, asked of XGBoost itself.

    `base_score` is stored before the objective's own transformation, rounded to text, as a number or (since 3.1) a
    vector; recomputing that transformation misses the last bit. The first round with all leaves at zero tells it.
    """
    xgboost = require("xgboost", extra="xgboost", caller="XGBoostModel.program")
    first_round = json.loads(booster[:1].save_raw("json"))
    for tree in first_round["learner"]["gradient_booster"]["model"]["trees"]:
        tree["split_conditions"] = [0.0] * len(tree["split_conditions"])
    silent = xgboost.Booster()
    silent.load_model(bytearray(json.dumps(first_round), "utf-8"))
    margin = silent.inplace_predict(
        np.zeros((1, n_features), np.float32), predict_type="margin", validate_features=False
    )
    return np.asarray(margin, np.float32).ravel()
