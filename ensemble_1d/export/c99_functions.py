"""What the C functions of all nodes have in common: how a header is written, signatures, and loops that stay loops."""

import re
import textwrap
from dataclasses import dataclass
from typing import Literal

from ensemble_1d.export.tree_codes import TreeCodes

Layout = Literal["size", "balanced", "speed", "plain"]


@dataclass(frozen=True, slots=True, eq=False)
class Style:
    """How a header is written.

    Attributes:
        layout: How trees are laid out.
        codes: The tree codes of the program, or None where no tree has any.
        place: The position in `codes` of each table that has tree codes, by its `id`.
        least: The least sum of all leaves for which the second class is chosen, of a table on which alone it hangs, by
            its `id`.
    """

    layout: Layout
    codes: TreeCodes | None
    place: dict[int, int]
    least: dict[int, int]

    @property
    def makes_codes(self) -> bool:
        """Whether tree codes are made of the input codes, into an array `t`."""
        return self.codes is not None and len(self.codes.columns) + len(self.codes.maker) > 0

    @property
    def tree_input(self) -> str:
        """The name of the array of tree codes."""
        return "t" if self.makes_codes else "x"


def parameters(source: str, style: Style) -> str:
    """Return the input parameters of a node: `x`, and beside input codes the tree codes `t`, where they are made."""
    x = f"const {source} *x"
    return f"{x}, const uint8_t *t" if source == "int16_t" and style.makes_codes else x


def arguments(x: str, source: str, style: Style) -> str:
    """Return the arguments for `parameters`."""
    return f"{x}, t" if source == "int16_t" and style.makes_codes else x


def function(label: str, source: str, style: Style, body: str, *, is_apart: bool = False) -> str:
    """Return a function definition; parameters that its body does not use are said to be unused.

    Args:
        label: Its name.
        source: C type of its input.
        style: How the header is written.
        body: Its statements.
        is_apart: Whether compilers should leave it a function of its own.
    """
    names = [part.rpartition("*")[2] for part in parameters(source, style).split(", ")]
    unused = "".join(f"(void){name};\n" for name in names if not re.search(rf"\b{name}\b", body))
    text = textwrap.indent(f"{body}\n{unused}".rstrip(), "    ")
    kind = "E1D_SHARED" if is_apart else "static inline"
    return f"\n{kind} void {label}({parameters(source, style)}, int32_t *y)\n{{\n{text}\n}}"


def store_each(n_outputs: int, value: str) -> str:
    """Return the loop that stores a value in each output: volatile, lest it become a call of memset or memcpy."""
    return f"for (i = 0; i < {n_outputs}; i++) {{\n    ((volatile int32_t *)y)[i] = {value};\n}}"
