"""RandomForestModel: scikit-learn's random forests."""

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed, effective_n_jobs
from sklearn.utils import check_random_state

from ensemble_1d._require import require
from ensemble_1d.ir import Chain, Link, Node
from ensemble_1d.models.base import BaseModel, Floats32, Floats64, Task
from ensemble_1d.models.tree_assembly import LibraryTree, assemble

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

_ROWS_PER_THREAD = 1000


class RandomForestModel(BaseModel):
    """A random forest (Breiman, Machine Learning 45, 2001) by scikit-learn; NaN is a value to it.

    Args:
        task: "classification" or "regression".
        n_estimators: Number of trees.
        max_depth: Largest depth of a tree, or None.
        min_samples_split: Fewest rows in a node that is split.
        min_samples_leaf: Fewest rows in a leaf.
        max_features: Features tried at each split, as scikit-learn takes them; "auto" is the square root of their
            number for classification and all of them for regression.
        max_leaf_nodes: Most leaves of a tree, or None.
        bootstrap: Whether each tree sees a bootstrap sample.
        class_weight: None, "balanced", or a dict of weights by label; classification only.
        n_jobs: Threads, as in joblib; None is one.
        random_state: Seed; the same one gives the same forest, whatever `n_jobs`.
        backend_params: Further arguments of scikit-learn's forest, or None.

    Attributes:
        backend_: The fitted RandomForestClassifier or RandomForestRegressor; its classes are 0 to n_classes - 1.
        classes_: Labels of shape (n_classes,); classification only.
        n_features_in_: Width of the input.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import RandomForestModel
        >>> X, y = load_iris(return_X_y=True)
        >>> RandomForestModel(n_estimators=10, random_state=0).fit(X, y).predict(X[:2])
        array([0, 0])
    """

    default_name = "random_forest"

    def __init__(
        self,
        *,
        task: Task = "classification",
        n_estimators: int = 100,
        max_depth: int | None = None,
        min_samples_split: int = 2,
        min_samples_leaf: int = 1,
        max_features: float | str | None = "auto",
        max_leaf_nodes: int | None = None,
        bootstrap: bool = True,
        class_weight: "Mapping[Any, float] | str | None" = None,
        n_jobs: int | None = None,
        random_state: "int | np.random.RandomState | None" = None,
        backend_params: "Mapping[str, Any] | None" = None,
    ) -> None:
        """Store the parameters."""
        self.task = task
        self.n_estimators = n_estimators
        self.max_depth = max_depth
        self.min_samples_split = min_samples_split
        self.min_samples_leaf = min_samples_leaf
        self.max_features = max_features
        self.max_leaf_nodes = max_leaf_nodes
        self.bootstrap = bootstrap
        self.class_weight = class_weight
        self.n_jobs = n_jobs
        self.random_state = random_state
        self.backend_params = backend_params

    @property
    def _accepts_missing(self) -> bool:
        """Whether the split criterion knows missing values: all but the absolute error."""
        criterion = (self.backend_params or {}).get("criterion")
        return criterion not in {"absolute_error", "friedman_mse"}

    def _fit_backend(self, X: Floats32, y: npt.NDArray[Any], sample_weight: Floats64 | None) -> None:
        """Fit scikit-learn's forest."""
        ensemble = require("sklearn.ensemble", caller="RandomForestModel.fit")
        is_classification = self.task == "classification"
        forest = ensemble.RandomForestClassifier if is_classification else ensemble.RandomForestRegressor
        automatic = "sqrt" if is_classification else 1.0
        parameters: dict[str, Any] = {
            "n_estimators": self.n_estimators,
            "max_depth": self.max_depth,
            "min_samples_split": self.min_samples_split,
            "min_samples_leaf": self.min_samples_leaf,
            "max_features": automatic if self.max_features == "auto" else self.max_features,
            "max_leaf_nodes": self.max_leaf_nodes,
            "bootstrap": self.bootstrap,
            "n_jobs": self.n_jobs,
            "random_state": check_random_state(self.random_state).randint(2**31 - 1),
        } | dict(self.backend_params or {})
        backend: RandomForestClassifier | RandomForestRegressor = forest(**parameters)
        self.backend_ = backend.fit(X, y, sample_weight)

    def _predict_backend(self, X: Floats32) -> Floats64:
        """Return the mean of the trees, summed in order: threads share out the rows, never the sum."""
        n_jobs = min(effective_n_jobs(self.n_jobs), -(-len(X) // _ROWS_PER_THREAD))
        if n_jobs == 1:
            return self._mean_of_trees(X)
        blocks = np.array_split(X, n_jobs)
        run = Parallel(n_jobs=n_jobs, require="sharedmem")
        return np.concatenate(run(delayed(self._mean_of_trees)(block) for block in blocks))

    def _mean_of_trees(self, X: Floats32) -> Floats64:
        """Return what the forest's own prediction returns, without its checks of every tree."""
        trees = self.backend_.estimators_
        total = np.zeros((len(X), len(self.classes_) if self.task == "classification" else 1))
        for tree in trees:
            total += tree.tree_.predict(X)
        total /= len(trees)
        return total

    def _lower(self) -> Node:
        """Return the forest as a table; two classes need only the probability of the second."""
        is_binary = self.task == "classification" and len(self.classes_) == 2
        trees = [_library_tree(each.tree_, second_only=is_binary) for each in self.backend_.estimators_]
        width = trees[0].value.shape[1]
        table = assemble(
            trees,
            output=np.zeros(len(trees), np.int32),
            bias=np.zeros(width),
            comparison="le",
            average=True,
        )
        return Chain(steps=(table, Link(kind="complement"))) if is_binary else table


def _library_tree(tree: Any, *, second_only: bool) -> LibraryTree:
    """Return scikit-learn's arrays of one tree; leaf values are class fractions, or means."""
    value = tree.value[:, 0, :]
    return LibraryTree(
        feature=tree.feature,
        threshold=tree.threshold,
        left=tree.children_left,
        right=tree.children_right,
        default_left=tree.missing_go_to_left.astype(np.bool_),
        value=value[:, 1:] if second_only else value,
    )
