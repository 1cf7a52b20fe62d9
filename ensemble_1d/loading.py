"""load: from an .e1d file to a Predictor, with NumPy alone."""

import os
from typing import TYPE_CHECKING, cast

from ensemble_1d.predictor import Predictor
from ensemble_1d.storage.artifact import read_artifact

if TYPE_CHECKING:
    from ensemble_1d.export.c99_functions import Layout


def load(path: str | os.PathLike[str]) -> Predictor:
    """Return what `save` wrote, ready to predict; of what a file says nothing is run, and its limits are checked first.

    Neither scikit-learn nor any backend is imported.

    Args:
        path: The file.

    Returns:
        A Predictor with the program, bit for bit, and with the layout that a budget was spent on. What quantization
        measured, and the float program that an integer one came from, are not in the file.

    Raises:
        FileNotFoundError: If there is no such file.
        ArtifactError: If the file cannot be read, was cut short or altered, breaks a limit, or is of a newer version.

    Example:
        >>> from pathlib import Path
        >>> from tempfile import TemporaryDirectory
        >>> import ensemble_1d
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> model = ensemble_1d.RandomForestModel(n_estimators=5, random_state=0).fit(X, y)
        >>> with TemporaryDirectory() as folder:
        ...     predictor = ensemble_1d.load(model.save(Path(folder, "iris.e1d")))
        >>> bool((predictor.predict_proba(X) == model.predict_proba(X)).all())
        True
    """
    artifact = read_artifact(path)
    return Predictor(artifact.program, layout=cast("Layout | None", artifact.layout))
