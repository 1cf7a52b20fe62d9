"""HTML as a browser would read it: tags that match, texts by tag, and what a page asks from elsewhere."""

from html.parser import HTMLParser

VOID = {"br", "hr", "img", "input", "link", "meta", "source", "wbr"}
"""Elements that have no end tag."""


class Page(HTMLParser):
    """A page or a part of one, read and checked.

    Attributes:
        tags: Every element as (name, attributes), in order.
        texts: For each text that is not blank, the names of the elements around it and the text.
    """

    def __init__(self, source):
        """Read the source; an end tag that does not match is an AssertionError."""
        super().__init__(convert_charrefs=True)
        self.tags = []
        self.texts = []
        self._open = []
        self.feed(source)
        self.close()
        assert not self._open, f"never closed: {self._open}"

    def handle_starttag(self, tag, attrs):
        """Note an element."""
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"an attribute of {tag} stands twice: {names}"
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attrs):
        """Note an element without content, as SVG has them."""
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        """Leave an element, which must be the last entered."""
        assert self._open, f"</{tag}> ends nothing"
        assert self._open.pop() == tag, f"</{tag}> ends another element"

    def handle_data(self, data):
        """Note a text."""
        if data.strip():
            self.texts.append((tuple(self._open), data.strip()))

    def all(self, name):
        """Return the attributes of every element of a name."""
        return [attributes for tag, attributes in self.tags if tag == name]

    def inside(self, name):
        """Return the texts within elements of a name."""
        return [text for around, text in self.texts if name in around]

    @property
    def text(self):
        """All texts but those of styles and titles."""
        return " ".join(text for around, text in self.texts if not {"style", "title"} & set(around))
