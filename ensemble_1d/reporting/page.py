"""The page: sections, each whole or with a note in its place, in one HTML document that asks nothing from elsewhere."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.resources import files

from ensemble_1d._html import Markup, html_text


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page under a heading.

    Attributes:
        anchor: Its id.
        title: Its heading.
        body: What stands under it.
    """

    anchor: str
    title: str
    body: Markup


def section(anchor: str, title: str, build: Callable[[], Markup]) -> Section:
    """Return a section, or one that says why it is empty: no part of a report may cost the rest of it.

    Args:
        anchor: Its id.
        title: Its heading.
        build: Makes what stands under it.
    """
    try:
        return Section(anchor, title, build())
    except Exception as error:  # Whatever it was, it is told where the section would have been.
        return Section(anchor, title, note(f"Left out. {type(error).__name__}: {error}"))


def paragraph(text: object) -> Markup:
    """Return a paragraph."""
    return Markup(f"<p>{html_text(text)}</p>")


def remark(text: object) -> Markup:
    """Return a paragraph of less weight."""
    return Markup(f'<p class="remark">{html_text(text)}</p>')


def note(text: object) -> Markup:
    """Return a paragraph that stands apart: something was left out."""
    return Markup(f'<p class="note">{html_text(text)}</p>')


def scrolling(table: Markup, label: str) -> Markup:
    """Return a table in a box of its own, which scrolls where the page is narrower.

    Args:
        table: The table.
        label: What is read aloud when the box is entered.
    """
    return Markup(f'<div class="scroll" tabindex="0" role="region" aria-label="{html_text(label)}">{table}</div>')


def folded(summary: str, body: Markup) -> Markup:
    """Return what is shown when its summary is opened."""
    return Markup(f"<details><summary>{html_text(summary)}</summary>{body}</details>")


def beside(*parts: Markup) -> Markup:
    """Return figures and tables side by side where the page is wide."""
    return Markup(f'<div class="beside">{"".join(parts)}</div>')


def joined(*parts: Markup) -> Markup:
    """Return parts one after another."""
    return Markup("".join(parts))


def page(title: str, headline: Markup, cards: Sequence[tuple[str, str]], sections: Sequence[Section]) -> str:
    """Return the whole document.

    Args:
        title: The heading of the page.
        headline: What stands under it.
        cards: The most important numbers: what each is called, and the number.
        sections: The rest, in order.
    """
    style = files("ensemble_1d.reporting").joinpath("page.css").read_text(encoding="utf-8")
    numbers = "".join(f"<div><dt>{html_text(name)}</dt><dd>{html_text(value)}</dd></div>" for name, value in cards)
    links = "".join(f'<li><a href="#{each.anchor}">{html_text(each.title)}</a></li>' for each in sections)
    body = "".join(
        f'<section id="{each.anchor}" aria-labelledby="{each.anchor}-title">'
        f'<h2 id="{each.anchor}-title">{html_text(each.title)}</h2>{each.body}</section>'
        for each in sections
    )
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        '<meta name="color-scheme" content="light dark">\n'
        # A page that may load nothing has nothing to hide.
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n"
        f"<title>{html_text(title)}</title>\n<style>\n{style}</style>\n</head>\n<body>\n"
        f'<header><h1>{html_text(title)}</h1>{headline}<dl class="cards">{numbers}</dl>'
        f'<nav aria-label="Contents"><ul>{links}</ul></nav></header>\n'
        f"<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
