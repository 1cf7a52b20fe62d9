"""What quantization costs and saves, measured on given rows."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ensemble_1d._html import html_facts
from ensemble_1d.errors import InvalidInputError
from ensemble_1d.ir import Chain, Concat, IntegerCombine, Node, Program, Quantize, node_bytes
from ensemble_1d.ir.fixed_point import CODE_STEPS
from ensemble_1d.quantization.answers import answers_of, score_of
from ensemble_1d.runtime import run


@dataclass(frozen=True, slots=True, kw_only=True)
class QuantizationReport:
    """An integer program beside the float program it came from; printed as a table.

    Attributes:
        mode: "int8", "int16" or "int4".
        n_samples: Rows measured on.
        bytes_by_part: Name and table bytes of the input quantizer and of each member.
        float_bytes: Bytes of the float program's arrays.
        agreement: Classification: share of rows with the same label. Regression: R2 of the integer values against the
            float ones.
        largest_difference: Largest absolute difference of a probability, or of a value.
        score_float: Accuracy or R2 of the float program; None without true labels.
        score_integer: Accuracy or R2 of the integer program; None without true labels.
        out_of_range: Name of each feature and share of the rows in which its value saturates.
        n_splits: Splits of all trees.
        n_inexact_splits: Splits that send some calibration row the other way than in float.
        rank_features: Features whose trees read a rank code because an affine one would have merged decisions.

    Example:
        >>> from sklearn.datasets import load_iris
        >>> from ensemble_1d import RandomForestModel
        >>> X, y = load_iris(return_X_y=True)
        >>> report = RandomForestModel(n_estimators=5, random_state=0).fit(X, y).quantize("int8", X, y).report
        >>> report.n_samples, report.agreement, report.integer_bytes < report.float_bytes
        (150, 1.0, True)
    """

    mode: str
    n_samples: int
    bytes_by_part: tuple[tuple[str, int], ...]
    float_bytes: int
    agreement: float
    largest_difference: float
    score_float: float | None
    score_integer: float | None
    out_of_range: tuple[tuple[str, float], ...]
    n_splits: int
    n_inexact_splits: int
    rank_features: tuple[str, ...]

    @property
    def integer_bytes(self) -> int:
        """Bytes of all tables of the integer program, as the C header stores them."""
        return sum(count for _, count in self.bytes_by_part)

    def __str__(self) -> str:
        """Return the report as lines of text."""
        lines = [
            f"  {name:<24}{number:>10}{rest}" if number else f"  {name:<24}{rest}"
            for name, number, rest in self._lines()
        ]
        return "\n".join([self._title(), *lines])

    def _repr_html_(self) -> str:
        """Return the report as a table in HTML."""
        return html_facts([(name, number + rest) for name, number, rest in self._lines()], caption=self._title())

    def _title(self) -> str:
        """Return the mode, and what was measured on."""
        return f"{self.mode} on {self.n_samples} rows"

    def _lines(self) -> list[tuple[str, str, str]]:
        """Return the name of each fact, its number or "", and what follows the number."""
        lines = [(name, f"{count:,}", " bytes") for name, count in self.bytes_by_part]
        ratio = self.float_bytes / max(self.integer_bytes, 1)
        lines.append(("all tables", f"{self.integer_bytes:,}", f" bytes, {ratio:.1f} times fewer than in float"))
        lines.append(("agreement with float", f"{self.agreement:.4f}", ""))
        lines.append(("largest difference", f"{self.largest_difference:.3g}", ""))
        if self.score_float is not None and self.score_integer is not None:
            lines.append(("score", f"{self.score_float:.4f}", f" in float, {self.score_integer:.4f} in integers"))
        lines.append(("inexact splits", f"{self.n_inexact_splits:,}", f" of {self.n_splits:,}"))
        if self.rank_features:
            lines.append(("rank codes for", "", ", ".join(self.rank_features)))
        outside = [(name, rate) for name, rate in self.out_of_range if rate > 0]
        worst = sorted(outside, key=lambda pair: -pair[1])[:5]
        shown = ", ".join(f"{name} {rate:.2%}" for name, rate in worst)
        rest = f" of {len(self.out_of_range)} features: {shown or 'none'}"
        return [*lines, ("out of range", str(len(outside)), rest)]


def measure(
    program: Program,
    reference: Program,
    X: npt.NDArray[np.float32],
    y: npt.NDArray[np.generic] | None,
    *,
    mode: str,
    n_splits: int,
    n_inexact_splits: int,
) -> QuantizationReport:
    """Return the report of an integer program against its float reference on given rows.

    Args:
        program: The integer program.
        reference: The float program.
        X: Rows of shape (n_samples, n_features), float32.
        y: True labels or values of shape (n_samples,), or None.
        mode: How the program was quantized.
        n_splits: Splits of all trees.
        n_inexact_splits: Splits that differ on the calibration rows.

    Returns:
        The report.

    Raises:
        InvalidInputError: If y has another length than X.
    """
    if y is not None and y.shape != (len(X),):
        raise InvalidInputError(f"y has shape {y.shape} and X has {len(X)} rows; give one label for each row")
    quantizer, _, _ = program.integer_parts()
    before, after = run(reference, X), run(program, X)
    labels_before, labels_after = answers_of(reference, before), answers_of(program, after)
    is_regression = program.task == "regression"
    names = program.feature_names or tuple(f"feature {i}" for i in range(program.n_features))
    ranked = sorted({int(feature) for feature in quantizer.feature[quantizer.is_rank()]})
    return QuantizationReport(
        mode=mode,
        n_samples=len(X),
        bytes_by_part=tuple(_bytes_by_part(program)),
        float_bytes=reference.nbytes,
        agreement=score_of(labels_before, labels_after, is_regression=is_regression),
        largest_difference=float(np.abs(before - after).max()),
        score_float=None if y is None else score_of(y, labels_before, is_regression=is_regression),
        score_integer=None if y is None else score_of(y, labels_after, is_regression=is_regression),
        out_of_range=tuple(zip(names, map(float, out_of_range(quantizer, X)), strict=True)),
        n_splits=n_splits,
        n_inexact_splits=n_inexact_splits,
        rank_features=tuple(names[feature] for feature in ranked),
    )


def out_of_range(quantizer: Quantize, X: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """Return, for each feature, the share of rows whose value lies outside the affine range and saturates.

    A feature that only trees read, by rank or by narrow codes, loses nothing beyond its range: its share is 0.
    """
    rates = np.zeros(quantizer.n_features)
    affine = np.flatnonzero(~quantizer.is_rank() & ~quantizer.narrow & (quantizer.scale > 0))
    low = quantizer.offset[affine].astype(np.float64)
    high = low + CODE_STEPS / quantizer.scale[affine].astype(np.float64)
    value = X[:, quantizer.feature[affine]].astype(np.float64)
    rates[quantizer.feature[affine]] = ((value < low) | (value > high)).mean(axis=0)
    return rates


def _bytes_by_part(program: Program) -> list[tuple[str, int]]:
    """Return name and bytes of the input quantizer, of each member, and of what else there is."""
    quantizer, body, _ = program.integer_parts()
    parts = [("inputs", node_bytes(quantizer))]
    first: Node = body.steps[0]
    if isinstance(first, IntegerCombine | Concat):
        names = first.names or tuple(f"member {i}" for i in range(len(first.members)))
        parts += [(name, node_bytes(member)) for name, member in zip(names, first.members, strict=True)]
        rest = node_bytes(body) - sum(count for _, count in parts[1:])
        return [*parts, ("combination", rest)]
    return [*parts, ("model", node_bytes(Chain(steps=body.steps)))]
