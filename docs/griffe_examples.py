"""A Griffe extension: the "Example:" of a docstring is shown as code, as Griffe's own "Examples:" is."""

import re
from typing import Any

import griffe


class ExampleSections(griffe.Extension):
    """Names the section as Griffe does before it is parsed."""

    def on_object(self, *, obj: griffe.Object, **_others: Any) -> None:
        """Rename the section in one docstring."""
        if obj.docstring is not None:
            obj.docstring.value = re.sub(r"^( *)Example:$", r"\1Examples:", obj.docstring.value, flags=re.MULTILINE)
