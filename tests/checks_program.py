"""What holds for the program of every model: it is the model; `checks` lists these functions too."""

import pickle

import numpy as np
from isolation import BACKENDS, run_python
from samples import sample_of, with_missing
from scipy.special import softmax
from sklearn.utils import get_tags

from ensemble_1d import Ensemble, RandomForestModel
from ensemble_1d.ir import Chain, TreeTable, descendants
from ensemble_1d.models.fold_average import FoldAverage
from ensemble_1d.runtime import evaluate, run

FLOAT64 = 1e-12
"""Float64 sums in another order."""
FLOAT32 = 1e-6
"""Float32 arithmetic of a backend against float64: the sum of some hundred roundings of 6e-8."""


def tables_of(program):
    """Return the tree tables of a program."""
    return [node for node in descendants(program.root) if isinstance(node, TreeTable)]


def rows_on_thresholds(X, tables, limit=400):
    """Return rows of X with one value on a threshold of some tree, or on the float32 next to it on either side."""
    pairs = [(int(feature), t) for table in tables for feature, t in zip(table.feature, table.threshold, strict=True)]
    finite = [(feature, t) for feature, t in pairs if np.isfinite(t)]
    chosen = finite[:: max(1, len(finite) // limit)]
    rows = np.repeat(X[np.arange(len(chosen)) % len(X)].astype(np.float32), 3, axis=0)
    infinity = np.float32(np.inf)
    for i, (feature, threshold) in enumerate(chosen):
        on = np.float32(threshold)
        rows[3 * i : 3 * i + 3, feature] = on, np.nextafter(on, infinity), np.nextafter(on, -infinity)
    return rows


def rows_to_compare(model, X):
    """Return the rows, rows on the thresholds of the trees, and all of them with missing values where they may be."""
    rows = np.concatenate([X.astype(np.float32), rows_on_thresholds(X, tables_of(model.program()))])
    if not get_tags(model).input_tags.allow_nan:
        return rows
    return np.concatenate([rows, with_missing(rows), np.full((1, X.shape[1]), np.nan, np.float32)])


def native_outputs(model, X):
    """Return what the library behind a fitted model says itself, of shape (n_samples, n_outputs), and its tolerance."""
    if isinstance(model, Ensemble):
        members = [native_outputs(member, X) for member in model.members_.values()]
        tolerance = max(tolerance for _, tolerance in members)
        # A logarithm makes a difference larger, by 256 at most where the smallest probability counts as 1 / 256.
        amplified = model.task == "classification" and (model.combine == "stacking" or model.calibrate)
        return native_combination(model, [output for output, _ in members], X), tolerance * (256 if amplified else 1)
    if isinstance(model, FoldAverage):
        models = [native_outputs(each, X) for each in model.models]
        return sum(output for output, _ in models) / len(models), max(tolerance for _, tolerance in models)
    if hasattr(model, "coefs_"):
        return network_outputs(model, X), FLOAT32
    tolerance = FLOAT64 if isinstance(model, RandomForestModel) else FLOAT32
    if model.task == "regression":
        return model.backend_.predict(X).reshape(-1, 1).astype(np.float64), tolerance
    return model.backend_.predict_proba(X).astype(np.float64), tolerance


def native_combination(model, outputs, X):
    """Return the outputs of an ensemble's members combined, by SciPy and in float64; only features are float32."""
    learned = model._combination
    if model.calibrate:
        pairs = zip(outputs, learned.temperatures, strict=True)
        outputs = [softmax(np.log(np.maximum(each, 2.0**-8)) / temperature, axis=1) for each, temperature in pairs]
    if model.combine == "stacking":
        is_classification = model.task == "classification"
        inputs = [np.log(np.maximum(each, 2.0**-8)) if is_classification else each for each in outputs]
        if model.passthrough:
            inputs.append((X - learned.features.offset) * learned.features.scale)
        dense = learned.layer[0]
        score = np.hstack(inputs) @ dense.weight.T.astype(np.float64) + dense.bias
        return softmax(score, axis=1) if is_classification else score
    if model.combine == "hard":
        outputs = [np.eye(each.shape[1])[each.argmax(axis=1)] for each in outputs]
    return sum(weight * each for weight, each in zip(model.weights_, outputs, strict=True))


def network_outputs(model, X):
    """Return the float32 forward pass of torch's own layers, with the arrays of a fitted network in them."""
    import torch

    modules = []
    for weight, bias in zip(model.coefs_, model.intercepts_, strict=True):
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0], dtype=torch.float32)
        layer.load_state_dict({"weight": torch.from_numpy(weight), "bias": torch.from_numpy(bias)})
        modules += [layer, torch.nn.ReLU()]
    with torch.no_grad():
        x = torch.from_numpy((X - model.input_mean_) * model.input_scale_)
        scores = torch.nn.Sequential(*modules[:-1])(x)
        if model.task == "regression":
            return scores.double().numpy()
        if scores.shape[1] == 1:
            second = torch.sigmoid(scores)
            return torch.hstack([1 - second, second]).double().numpy()
        return torch.softmax(scores, dim=1).double().numpy()


def check_program_is_what_the_library_computes(make_model):
    """Program, model and the library itself agree on ordinary rows, on thresholds, next to them, and on NaN."""
    model = make_model()
    for n_classes in (2, 3) if model.task == "classification" else (2,):
        data = sample_of(model, n_classes)
        for X in (data.X, with_missing(data.X)) if get_tags(model).input_tags.allow_nan else (data.X,):
            model.fit(X, data.y)
            rows = rows_to_compare(model, X)
            expected, tolerance = native_outputs(model, rows)
            size = max(1.0, float(np.abs(expected).max()))
            computed = run(model.program(), rows)
            np.testing.assert_allclose(computed, expected, rtol=0, atol=tolerance * size)
            given = model.predict(rows)[:, np.newaxis] if model.task == "regression" else model.predict_proba(rows)
            np.testing.assert_allclose(given, expected, rtol=0, atol=tolerance * size)


def check_margins_of_boosted_trees_are_bit_for_bit(make_model):
    """The tree table of an XGBoost member, run without its link, gives the margins of XGBoost bit for bit."""
    model = make_model()
    data = sample_of(model, 3)
    model.fit(data.X, data.y)
    for member in getattr(model, "members_", {"": model}).values():
        if hasattr(getattr(member, "backend_", None), "get_booster"):
            root = member.program().root
            table = root.steps[0] if isinstance(root, Chain) else root
            rows = rows_to_compare(member, data.X)
            margins = member.backend_.predict(rows, output_margin=True).reshape(len(rows), -1)
            computed = evaluate(table, rows)
            assert computed.dtype == margins.dtype == np.float32
            assert np.array_equal(computed, margins)


def check_program_tells_labels_names_and_task(make_model):
    """The program holds the task, the labels and the width of the model, and is float."""
    model = make_model()
    data = sample_of(model)
    program = model.fit(data.X, data.y).program()
    assert program.task == model.task
    assert program.n_features == data.X.shape[1]
    assert program.feature_names is None
    assert not program.is_integer
    if model.task == "classification":
        assert program.classes.tolist() == model.classes_.tolist()
    else:
        assert program.classes is None


def check_program_needs_no_backend(make_model):
    """A pickled program predicts the same where neither scikit-learn, XGBoost nor torch can be imported."""
    model = make_model()
    data = sample_of(model)
    program = model.fit(data.X, data.y).program()
    rows = data.X.astype(np.float32)
    code = """
import pickle
from ensemble_1d import Predictor
program, X = pickle.load(sys.stdin.buffer)
sys.stdout.buffer.write(pickle.dumps(Predictor(program).predict(X)))
"""
    done = run_python(code, blocked=BACKENDS, data=pickle.dumps((program, rows)))
    predicted = pickle.loads(done.stdout)  # noqa: S301
    if model.task == "classification":
        assert np.array_equal(predicted, program.classes[run(program, rows).argmax(axis=1)])
    else:
        assert np.array_equal(predicted, run(program, rows)[:, 0])
