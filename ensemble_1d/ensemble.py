"""Ensemble: several models fitted on the same rows and combined by one rule."""

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, Self

import joblib
import numpy as np
import numpy.typing as npt
from sklearn.utils.validation import check_is_fitted

from ensemble_1d._callbacks import CallbackSupport, FitCallbacks, with_callbacks
from ensemble_1d.combination import (
    LEARNED_RULES,
    check_rule,
    combination_node,
    combined_output,
    make_combination,
    member_weights,
)
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.fitted_members import FittedMember, member_node, member_output, out_of_fold
from ensemble_1d.ir import Node
from ensemble_1d.leaderboard import Entry, Leaderboard, ranked
from ensemble_1d.member_fitting import OnError, TrainingRows, fit_members
from ensemble_1d.members import (
    WHOLE,
    Member,
    NamedModels,
    accepts_missing,
    check_probabilities,
    checked_model,
    drawn_seeds,
    is_dropped,
    member_columns,
    named_models,
    prefit_names,
)
from ensemble_1d.models.base import BaseModel, Floats32, Floats64, Task
from ensemble_1d.models.rollback import restored_on_failure, undone_on_failure
from ensemble_1d.named_models_estimator import NamedModelsEstimator
from ensemble_1d.out_of_fold import OutOfFold, Splits, fold_splits
from ensemble_1d.progress import Progress

if TYPE_CHECKING:
    from sklearn.model_selection import BaseCrossValidator


class Ensemble(CallbackSupport, NamedModelsEstimator, BaseModel):
    """Models of any kind behind one estimator, one Program and one C header.

    The default rule, "stacking", was chosen by measurement: over the classification sets of
    `benchmarks/bench_combination.py` it has the best mean rank in accuracy and in log loss of the rules here, without
    `calibrate`, of scikit-learn's VotingClassifier and StackingClassifier and of the best single member. With
    `calibrate=True` it was a little better still. It fits each member once for each fold and once more; "soft" and
    "hard" fit it once.

    Args:
        models: Models, or (name, model) pairs; they are cloned, never changed. Any classifier or regressor of
            scikit-learn's kind may be one; "drop" in the place of a model leaves it out. None is a RandomForestModel
            and an XGBoostModel, or what is installed of them, with a warning. Models without a name are called after
            their class: "random_forest", "xgboost", "pytorch", with "_2" and so on where one repeats.
        task: "classification" or "regression"; the members must have the same.
        combine: "stacking" is a linear meta-model on the members' log-probabilities, or values, shrunk towards their
            pool (see `ensemble_1d.stacking.stacked`). "optimized" and "greedy" are weighted means with the lowest log
            loss or squared error: by a solver over all weights, or by greedy selection with replacement (Caruana et
            al., ICML 2004). All three learn from out-of-fold predictions. "soft" is the mean of the members'
            probabilities or values with given weights; "hard" gives each class the weight of the members that vote for
            it, classification only.
        weights: None for equal weights, one number >= 0 for each model, or a dict by name; only for "soft" and "hard".
        cv: How rows are held out to learn a combination: a number of folds (shuffled, by class for classification), a
            scikit-learn splitter, or an iterable of (training rows, held-out rows). Rows that no fold holds out, as
            with time-ordered splitters, are left out of the learning. A member with `early_stopping=True` stops each
            fold on its held-out rows, and runs for the mean of their best iterations on all rows.
        refit: True fits each member once more on all rows. "average" keeps the models of the folds and averages them:
            that saves the last fit, and the Program is as many times larger as there are folds.
        calibrate: Whether each member's probabilities get a temperature, learned from out-of-fold predictions, before
            they are combined (Guo et al., ICML 2017); classification only.
        passthrough: Whether the meta-model of "stacking" sees the features too, standardised.
        columns: For some members by name, the features they see: positions, names, a boolean mask or a slice.
        prefit: True, or the names of members that are fitted already and are taken as they are. What they say of the
            rows given to `fit` counts as out-of-fold: give rows that they were not fitted on.
        on_error: "raise" stops at the first fit that fails; "drop" goes on without that member, with a warning.
        n_jobs: Threads in all: fits run side by side, and those without an `n_jobs` of their own share what is left.
            Fits are scheduled by joblib, so `joblib.parallel_config` moves them to processes or a cluster; the result
            is the same for any number and any backend. None is one.
        verbose: 1 shows the progress of the fit: a bar with tqdm, lines without.
        random_state: Seed. It gives one to each member that has none of its own; None leaves those random.

    Attributes:
        members_: The fitted models by name.
        weights_: The weight of each member, of shape (n_members,), with a sum of one; for "stacking" its share of the
            absolute coefficients.
        oof_coverage_: Share of the training rows that the folds held out; only where there were folds.
        failures_: The tracebacks of members that failed, by name; empty unless `on_error="drop"`.
        classes_: Labels of shape (n_classes,); classification only.
        n_features_in_: Width of the input.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import Ensemble, RandomForestModel, XGBoostModel
        >>> X, y = load_iris(return_X_y=True)
        >>> ensemble = Ensemble([RandomForestModel(n_estimators=10), XGBoostModel(n_estimators=10)], random_state=0)
        >>> ensemble.fit(X, y).predict(X[:2])
        array([0, 0])
        >>> len(ensemble.leaderboard()) == len(ensemble.evaluate(X, y))
        True
        >>> ensemble.quantize("int8", X).report.agreement > 0.98
        True
    """

    default_name = "inner_ensemble"
    failures_: dict[str, str]

    def __init__(
        self,
        models: Sequence[Any] | None = None,
        *,
        task: Task = "classification",
        combine: str = "stacking",
        weights: Sequence[float] | Mapping[str, float] | None = None,
        cv: "int | BaseCrossValidator | Iterable[Any]" = 5,
        refit: bool | Literal["average"] = True,
        calibrate: bool = False,
        passthrough: bool = False,
        columns: Mapping[str, Any] | None = None,
        prefit: bool | Collection[str] = False,
        on_error: OnError = "raise",
        n_jobs: int | None = None,
        verbose: int = 0,
        random_state: "int | np.random.RandomState | None" = None,
    ) -> None:
        """Store the parameters."""
        self.models = models
        self.task = task
        self.combine = combine
        self.weights = weights
        self.cv = cv
        self.refit = refit
        self.calibrate = calibrate
        self.passthrough = passthrough
        self.columns = columns
        self.prefit = prefit
        self.on_error = on_error
        self.n_jobs = n_jobs
        self.verbose = verbose
        self.random_state = random_state

    @with_callbacks
    def fit(
        self,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        groups: npt.ArrayLike | None = None,
    ) -> Self:
        """Fit every member on all rows and, where the rule learns from folds, on all rows but each fold.

        Args:
            X: Array-like or data frame of shape (n_samples, n_features); computed with as float32.
            y: Labels of any type that sorts, or numbers for regression, of shape (n_samples,).
            sample_weight: Non-negative weights of shape (n_samples,), or None. They reach the combination and every
                member that takes them; a warning names the others.
            groups: Group of each row, of shape (n_samples,), for a `cv` that keeps groups together.

        Returns:
            The ensemble itself.

        Raises:
            InvalidInputError: If a parameter, a member or a fold breaks a rule, or y holds a single class.
            ValueError: If X or y is empty, not numeric, not finite where it must be, or their lengths differ.
            MissingBackendError: If the backend of a member is not installed.
        """
        callbacks = FitCallbacks(self, X, y)
        with restored_on_failure(self):
            rows, target, weights = self._begin_fit(X, y, sample_weight)
            self._fit_backend(rows, target, weights, groups=groups, finished=callbacks.finished)
        callbacks.end()
        return self

    def add_member(
        self,
        name: str,
        model: Any,
        X: npt.ArrayLike,
        y: npt.ArrayLike,
        sample_weight: npt.ArrayLike | None = None,
        *,
        weights: Sequence[float] | Mapping[str, float] | None = None,
        is_fitted: bool = False,
    ) -> Self:
        """Add a member without fitting the others again: the ensemble becomes what a fit with it would have made.

        Args:
            name: Its name.
            model: A model, or any classifier or regressor.
            X: The rows that the ensemble was fitted on, in the same order.
            y: Their labels or values.
            sample_weight: Their weights, if the ensemble was fitted with weights.
            weights: New weights of all members, where the ensemble was given some.
            is_fitted: Whether the model is fitted already and is taken as it is.

        Returns:
            The ensemble itself; `models` has one more entry.

        Raises:
            NotFittedError: If the ensemble is not fitted.
            InvalidInputError: If the name or the model breaks a rule, or X and y are not those of the fit.

        Example:
            >>> from sklearn.datasets import load_iris
            >>> from sklearn.linear_model import LogisticRegression
            >>> from ensemble_1d import Ensemble, RandomForestModel
            >>> X, y = load_iris(return_X_y=True)
            >>> ensemble = Ensemble([RandomForestModel(n_estimators=10)], cv=3, random_state=0).fit(X, y)
            >>> list(ensemble.add_member("logistic", LogisticRegression(max_iter=500), X, y).members_)
            ['random_forest', 'logistic']
        """
        check_is_fitted(self)
        if is_dropped(model):
            raise InvalidInputError(f"model={model!r} leaves a member out and adds none; give a model")
        with undone_on_failure(self):
            rows, target, weight = self._rows_of_fit(X, y, sample_weight)
            fitted = prefit_names(self.prefit, self.members_) | ({name} if is_fitted else set())
            self.models = [*self._listed(), (name, model)]
            self.prefit, self.weights = sorted(fitted), self.weights if weights is None else weights
            self._check_parameters()
            listed = self._listed()
            _, *seeds = drawn_seeds(self.random_state, 1 + len(listed))
            member = self._members(listed, seeds)[-1]
            added, _ = self._fitted([member], self._training_rows(rows, target, weight))
            self._assemble([*self._fitted_members, *added], rows, target, weight)
        return self

    def recombine(
        self,
        combine: str,
        weights: Sequence[float] | Mapping[str, float] | None = None,
        *,
        calibrate: bool | None = None,
        passthrough: bool | None = None,
    ) -> Self:
        """Change the rule without fitting a member again.

        Args:
            combine: The new rule.
            weights: Its weights, for "soft" and "hard".
            calibrate: Whether members get temperatures; None leaves it as it is.
            passthrough: Whether the meta-model of "stacking" sees the features; None leaves it as it is for "stacking".

        Returns:
            The ensemble itself, with new parameters and `weights_`.

        Raises:
            NotFittedError: If the ensemble is not fitted.
            InvalidInputError: If the rule or the weights break a rule, or the rule learns from out-of-fold predictions
                and the ensemble was fitted without them.

        Example:
            >>> from sklearn.datasets import load_iris
            >>> from ensemble_1d import Ensemble, RandomForestModel, XGBoostModel
            >>> X, y = load_iris(return_X_y=True)
            >>> members = [RandomForestModel(n_estimators=10), XGBoostModel(n_estimators=10)]
            >>> ensemble = Ensemble(members, combine="optimized", cv=3, random_state=0).fit(X, y)
            >>> ensemble.recombine("greedy").weights_.sum().round(6)
            np.float64(1.0)
        """
        check_is_fitted(self)
        calibrate = self.calibrate if calibrate is None else calibrate
        passthrough = (self.passthrough and combine == "stacking") if passthrough is None else passthrough
        check_rule(combine, self.task, weights, calibrate=calibrate, passthrough=passthrough)
        for name, model in named_models(self.models):
            if name in self.members_ and combine != "hard":
                check_probabilities(model, name, self.task)
        self._learn(combine, weights, calibrate=calibrate, passthrough=passthrough)
        self.combine, self.weights, self.calibrate, self.passthrough = combine, weights, calibrate, passthrough
        return self

    def evaluate(self, X: npt.ArrayLike, y: npt.ArrayLike) -> dict[str, dict[str, float]]:
        """Return the usual metrics of the ensemble and of each member.

        Args:
            X: Of shape (n_samples, n_features).
            y: True labels or values of shape (n_samples,).

        Returns:
            For "ensemble" and each member name, the metrics that `BaseModel.evaluate` describes.
        """
        truth = np.asarray(y)
        return {name: self._metrics(output, truth) for name, output in self._outputs(self._checked_rows(X)).items()}

    def leaderboard(self, X: npt.ArrayLike | None = None, y: npt.ArrayLike | None = None) -> Leaderboard:
        """Return what the ensemble and each member score, cost and weigh, the best first.

        Args:
            X: Rows to score on, of shape (n_samples, n_features); None for the out-of-fold predictions of the fit, on
                which the members' scores are honest and that of a rule that learned from them is a little too good.
            y: Their labels or values.

        Returns:
            For "ensemble" and each member: "name"; "score" (accuracy or R2) and "log_loss" or "rmse"; "weight";
            "fit_seconds" of all its fits and "predict_seconds" for the rows that were scored; "bytes" of its Program.
            None stands for what is not known: scores without rows and folds, bytes of what has no Program.

        Raises:
            NotFittedError: If the ensemble is not fitted.
            InvalidInputError: If only one of X and y is given.
        """
        check_is_fitted(self)
        if (X is None) != (y is None):
            raise InvalidInputError("leaderboard needs both X and y to score on rows, or neither")
        seconds = [member.predict_seconds for member in self._fitted_members]
        outputs: list[Floats64 | None] = [None] * len(seconds)
        whole = None
        truth: npt.NDArray[Any] = np.empty(0)
        held = self._out_of_fold
        if X is not None:
            rows, truth = self._checked_rows(X), np.asarray(y)
            timed = [_timed(self._member_output, member, rows) for member in self._fitted_members]
            whole = combined_output(self._combination, [output for output, _ in timed], rows)
            outputs, seconds = [output for output, _ in timed], [elapsed for _, elapsed in timed]
        elif held is not None:
            truth = self.classes_[held.target] if held.is_classification else held.target
            rows = np.empty((0, 0), np.float32) if held.features is None else held.features
            outputs, whole = [*held.outputs], combined_output(self._combination, [*held.outputs], rows)
        entries = [
            Entry(member.name, member.model, float(weight), member.fit_seconds, elapsed, output)
            for member, weight, elapsed, output in zip(
                self._fitted_members, self.weights_, seconds, outputs, strict=True
            )
        ]
        known = [elapsed for elapsed in seconds if elapsed is not None]
        total = sum(known) if len(known) == len(seconds) else None
        fit_seconds = sum(member.fit_seconds for member in self._fitted_members)
        entries.append(Entry(WHOLE, self, None, fit_seconds, total, whole))
        return ranked(entries, lambda output: self._metrics(output, truth), task=self.task)

    def _fit_backend(
        self,
        X: Floats32,
        y: npt.NDArray[Any],
        sample_weight: Floats64 | None,
        *,
        groups: npt.ArrayLike | None = None,
        finished: Callable[[str], None] | None = None,
    ) -> None:
        """Fit the members on the rows and the labels as given, and on the folds if something learns from them."""
        self._check_parameters()
        listed = self._listed()
        fold_seed, *seeds = drawn_seeds(self.random_state, 1 + len(listed))
        members = self._members(listed, seeds)
        is_classification = self.task == "classification"
        self._data_hash = joblib.hash([X, y, sample_weight])
        self._splits: Splits = []
        if self.combine in LEARNED_RULES or self.calibrate or self.refit == "average":
            rows = np.arange(len(X)) if sample_weight is None else np.flatnonzero(sample_weight)
            self._splits = fold_splits(
                self.cv, X, y, groups, rows=rows, is_classification=is_classification, seed=fold_seed
            )
        fitted, self.failures_ = self._fitted(members, self._training_rows(X, y, sample_weight), finished)
        self._assemble(fitted, X, y, sample_weight)

    def _check_parameters(self) -> None:
        """Refuse parameters that break a rule, before anything is fitted."""
        check_rule(self.combine, self.task, self.weights, calibrate=self.calibrate, passthrough=self.passthrough)
        rules = {
            "refit": (self.refit is True or self.refit == "average", "True or 'average'"),
            "on_error": (self.on_error in {"raise", "drop"}, "'raise' or 'drop'"),
        }
        for name, (good, rule) in rules.items():
            if not good:
                raise InvalidInputError(f"{name}={getattr(self, name)!r} is unknown; use {rule}")

    def _members(self, listed: NamedModels, seeds: Sequence[int | None]) -> list[Member]:
        """Return the members to fit, or say what is wrong with them."""
        names = [name for name, _ in listed]
        kept = [name for name, model in listed if not is_dropped(model)]
        member_weights(self.weights, names, kept)  # Refused before a member is fitted.
        fitted = prefit_names(self.prefit, names)
        feature_names = getattr(self, "feature_names_in_", None)
        columns = member_columns(self.columns, names, self.n_features_in_, feature_names)
        needed = self.combine != "hard"
        members = []
        for (name, model), seed in zip(listed, seeds, strict=True):
            if name in kept:
                is_fitted = name in fitted
                own = checked_model(model, name, self.task, is_fitted=is_fitted, needs_probabilities=needed)
                members.append(Member(name, own, columns.get(name), is_fitted, seed))
        return members

    def _training_rows(self, X: Floats32, y: npt.NDArray[Any], sample_weight: Floats64 | None) -> TrainingRows:
        """Return what members are fitted on, of class indices or values."""
        classes = self.classes_ if self.task == "classification" else None
        return TrainingRows(X, y if classes is None else classes[y], sample_weight, classes)

    def _fitted(
        self, members: list[Member], rows: TrainingRows, finished: Callable[[str], None] | None = None
    ) -> tuple[list[FittedMember], dict[str, str]]:
        """Return the fitted members, and the tracebacks of those that failed; `finished` hears of each fit."""
        average = self.refit == "average"
        n_fits = sum(len(self._splits) + (not average) for member in members if not member.is_fitted)
        with Progress(n_fits, is_shown=bool(self.verbose)) as progress:

            def notify(label: str, seconds: float) -> None:
                progress.finished(label, seconds)
                if finished is not None:
                    finished(label)

            return fit_members(
                members,
                rows,
                self._splits,
                average=average,
                n_jobs=self.n_jobs,
                on_error=self.on_error,
                notify=notify,
            )

    def _assemble(
        self, fitted: list[FittedMember], X: Floats32, y: npt.NDArray[Any], sample_weight: Floats64 | None
    ) -> None:
        """Keep the fitted members and their out-of-fold predictions, and learn the combination."""
        self._fitted_members = fitted
        self.members_ = {member.name: member.model for member in fitted}
        self._out_of_fold: OutOfFold | None = None
        if self._splits:
            features = X if self.passthrough else None
            self._out_of_fold = out_of_fold(fitted, self._splits, y, sample_weight, features=features)
            self.oof_coverage_ = len(self._out_of_fold.target) / len(X)
        self._learn(self.combine, self.weights, calibrate=self.calibrate, passthrough=self.passthrough)

    def _learn(self, combine: str, weights: Any, *, calibrate: bool, passthrough: bool) -> None:
        """Set the combination of a rule."""
        given = None
        if combine not in LEARNED_RULES:
            listed = [name for name, _ in named_models(self.models)] or list(self.members_)
            given = member_weights(weights, listed, list(self.members_))
        self._combination = make_combination(
            combine,
            given,
            self._out_of_fold,
            calibrate=calibrate,
            passthrough=passthrough,
        )
        self.weights_ = self._combination.weights

    def _rows_of_fit(
        self, X: npt.ArrayLike, y: npt.ArrayLike, sample_weight: npt.ArrayLike | None
    ) -> tuple[Floats32, npt.NDArray[Any], Floats64 | None]:
        """Return clean rows, class indices or values, and weights, if they are those of the fit."""
        rows, target, weights = self._checked_data(X, y, sample_weight, reset=False)
        if self.task == "classification":
            strange = sorted(set(target.tolist()) - set(self.classes_.tolist()), key=str)
            if strange:
                raise InvalidInputError(f"y holds {strange}, and the ensemble knows {self.classes_.tolist()}")
            target = np.searchsorted(self.classes_, target)
        else:
            target = np.asarray(target, np.float64)
        if joblib.hash([rows, target, weights]) != self._data_hash:
            rule = "give the rows, labels and weights that it was fitted on, in their order"
            raise InvalidInputError(f"these {len(rows)} rows are not those that the ensemble was fitted on; {rule}")
        return rows, target, weights

    @property
    def _accepts_missing(self) -> bool:
        """Whether NaN is a value to every member, and to the meta-model."""
        fitted = vars(self).get("members_")
        models = [model for _, model in named_models(self.models)] if fitted is None else fitted.values()
        return not self.passthrough and all(accepts_missing(model) for model in models if not is_dropped(model))

    def _member_output(self, member: FittedMember, X: Floats32) -> Floats64:
        """Return what a member says of checked rows."""
        classes = self.classes_ if self.task == "classification" else None
        return member_output(member.model, member.columns, X, classes)

    def _predict_backend(self, X: Floats32) -> Floats64:
        """Return the combined output of the members."""
        outputs = [self._member_output(member, X) for member in self._fitted_members]
        return combined_output(self._combination, outputs, X)

    def _outputs(self, X: Floats32) -> dict[str, Floats64]:
        """Return what the ensemble and each member say of checked rows."""
        outputs = {member.name: self._member_output(member, X) for member in self._fitted_members}
        return {WHOLE: combined_output(self._combination, [*outputs.values()], X)} | outputs

    def _lower(self) -> Node:
        """Return the combination of the members' nodes."""
        classes = self.classes_ if self.task == "classification" else None
        nodes = [member_node(member, classes) for member in self._fitted_members]
        return combination_node(self._combination, nodes, list(self.members_))


def _timed(call: Callable[..., Floats64], *arguments: Any) -> tuple[Floats64, float]:
    """Return what a call returns, and the seconds it took."""
    began = time.perf_counter()
    output = call(*arguments)
    return output, time.perf_counter() - began
