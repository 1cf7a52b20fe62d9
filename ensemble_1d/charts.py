"""Charts: numbers drawn into the axes that are given, for `plotting`, which asks models, and for reports.

Nothing here is measured, no figure is made and matplotlib is not imported: who brings the axes has it.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from ensemble_1d.budget_search import LAYOUTS, ParetoTable
from ensemble_1d.metrics import Reliability

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Floats64 = npt.NDArray[np.float64]


def draw_weights(ax: "Axes", names: Sequence[str], weights: Floats64) -> None:
    """Draw the weight of each member as a bar, the largest on top.

    Args:
        ax: Where to draw.
        names: What the members are called.
        weights: Of shape (n_members,).
    """
    order = np.argsort(-weights, kind="stable")[::-1]  # Bars stand from the bottom up.
    bars = ax.barh(range(len(names)), weights[order])
    ax.bar_label(bars, fmt="{:.3f}", padding=3)
    ax.set_yticks(range(len(names)), labels=[names[each] for each in order], parse_math=False)
    ax.margins(x=0.15)  # Room for the value at the longest bar.
    ax.set(xlabel="Weight", ylabel="Member", title="Member weights")


def draw_pareto(ax: "Axes", table: ParetoTable, budgets: Sequence[int] = ()) -> None:
    """Draw score against flash of the forms that a budget was spent on, the chosen one filled.

    Args:
        ax: Where to draw.
        table: The forms.
        budgets: Bytes of flash beside those of the table's own budget, each drawn as a line.
    """
    for layout in sorted({point.layout for point in table.points}):
        points = [point for point in table.points if point.layout == layout]
        ax.scatter([point.flash for point in points], [point.score for point in points], facecolors="none",
                   edgecolors=f"C{LAYOUTS.index(layout)}", label=layout)  # fmt: skip
    chosen = table.points[table.chosen]
    ax.scatter([chosen.flash], [chosen.score], color=f"C{LAYOUTS.index(chosen.layout)}", label="chosen")
    if table.budget.flash is not None:
        ax.axvline(table.budget.flash, linestyle="--", color="0.5", label="budget")
    for flash in budgets:
        ax.axvline(flash, linestyle="--", color="0.5", linewidth=0.8)
    ax.set(xscale="log", xlabel="Flash (KB)", ylabel=f"{table.score_name.capitalize()} less regret")
    # Powers of two, at most eight: in a narrow range the ticks of a logarithmic scale would collide.
    low, high = (int(each) for each in (np.floor(np.log2(ax.get_xlim()[0])), np.ceil(np.log2(ax.get_xlim()[1]))))
    ticks = 2.0 ** np.arange(low, high + 1, (high - low) // 8 + 1)
    ax.set_xticks(ticks, labels=[f"{tick / 1024:g}" for tick in ticks])
    ax.set_xticks([], minor=True)
    ax.set_title(f"{table.n_tried} forms for {table.budget.target}")
    ax.legend()


def draw_reliability(ax: "Axes", curves: Sequence[tuple[str, Reliability]]) -> None:
    """Draw accuracy against confidence: the first curve with points that grow with their rows, the others thin.

    Args:
        ax: Where to draw.
        curves: The name of each model, and its curve.
    """
    ax.axline((0, 0), slope=1, color="0.5", linestyle="--", linewidth=1)
    for position, (name, curve) in enumerate(curves):
        style = {"linewidth": 0.8, "marker": ".", "markersize": 3, "alpha": 0.8} if position else {"zorder": 3}
        # The number comes first: a legend leaves out what begins with an underscore, as a member's name may.
        (line,) = ax.plot(curve.confidence, curve.accuracy, label=f"{curve.error:.3f}  {name}", **style)
        if not position:
            ax.scatter(curve.confidence, curve.accuracy, 20 + 180 * curve.share, color=line.get_color(), zorder=3)
    legend = ax.legend(title="Expected calibration error", fontsize="small", title_fontsize="small")
    for entry in legend.get_texts():
        entry.set_parse_math(False)
    ax.set(xlabel="Confidence", ylabel="Accuracy", title="Reliability", aspect="equal")
    ax.set(xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
