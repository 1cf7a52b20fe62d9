"""Tables and lists of facts in HTML: everything that comes from outside is escaped here, once."""

from collections.abc import Collection, Iterable, Sequence
from html import escape


class Markup(str):
    """HTML that is safe as it is: made by the package, or escaped before."""

    __slots__ = ()


def html_text(value: object) -> Markup:
    """Return a value as HTML: escaped, unless it is markup.

    Args:
        value: Anything that prints.

    Example:
        >>> html_text("a < b"), html_text(Markup("<b>a</b>"))
        ('a &lt; b', '<b>a</b>')
    """
    return value if isinstance(value, Markup) else Markup(escape(str(value)))


def html_table(
    header: Sequence[object],
    rows: Iterable[Sequence[object]],
    *,
    caption: str = "",
    words: Collection[int] = (),
) -> Markup:
    """Return a table whose first column names its rows.

    Args:
        header: The name of each column.
        rows: The cells of each row.
        caption: What the table shows; none if empty.
        words: Positions of the columns that hold words rather than numbers; they get the class "words".

    Example:
        >>> "<td>a &amp; b</td>" in html_table(["name", "value"], [["text", "a & b"]])
        True
    """
    kinds = [' class="words"' if i in words else "" for i in range(len(header))]
    head = "".join(f'<th scope="col"{kind}>{html_text(cell)}</th>' for cell, kind in zip(header, kinds, strict=True))
    body = "".join(f"<tr>{_row(row, kinds)}</tr>" for row in rows)
    title = f"<caption>{html_text(caption)}</caption>" if caption else ""
    return Markup(f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def html_facts(pairs: Iterable[tuple[object, object]], *, caption: str = "") -> Markup:
    """Return a table of two columns without a header: what something is called, and what it is.

    Args:
        pairs: Names and values.
        caption: What the table shows; none if empty.

    Example:
        >>> html_facts([("task", "regression")])
        '<table><tbody><tr><th scope="row">task</th><td class="words">regression</td></tr></tbody></table>'
    """
    title = f"<caption>{html_text(caption)}</caption>" if caption else ""
    kinds = ["", ' class="words"']
    body = "".join(f"<tr>{_row(pair, kinds)}</tr>" for pair in pairs)
    return Markup(f"<table>{title}<tbody>{body}</tbody></table>")


def _row(cells: Sequence[object], kinds: Sequence[str]) -> str:
    """Return the cells of one row, the first of which names it."""
    first, *rest = cells
    return f'<th scope="row">{html_text(first)}</th>' + "".join(
        f"<td{kind}>{html_text(cell)}</td>" for cell, kind in zip(rest, kinds[1:], strict=True)
    )
