"""The text part of an e-mail, made of its HTML.

Made once, on the template: block tags of Jinja2 take no room, line breaks come before what they separate, so
that a loop repeats its own. Links are written out behind their words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from html.parser import HTMLParser

from engine.content.markup import MARK, Marked, marked
from engine.content.pieces import Piece

_PARAGRAPHS = frozenset(
    ("p", "h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "table", "blockquote", "section", "article", "pre")
)
_LINES = frozenset(("div", "tr", "li", "dt", "dd", "center", "address", "header", "footer"))
_UNSEEN = frozenset(("head", "style", "script", "title", "template"))
_VOID = frozenset(("area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "wbr"))
_HIDDEN = re.compile(r"display\s*:\s*none|mso-hide\s*:\s*all", re.IGNORECASE)


def text_template(pieces: Sequence[Piece]) -> str | None:
    """A template of the text, from the pieces of one of HTML; None if it can only be made of each message."""
    found = marked(pieces, comments=False)
    return None if found is None else found.restored(_converted(found.text, found))


def text_of_html(html: str) -> str:
    """The text of a whole HTML document."""
    return _converted(html, Marked()).strip()


def _converted(html: str, found: Marked) -> str:
    reader = _Reader(found)
    reader.feed(html)
    reader.close()
    return "".join(reader.written)


class _Reader(HTMLParser):
    def __init__(self, found: Marked) -> None:
        super().__init__(convert_charrefs=True)
        self.found = found
        self.written: list[str] = []
        self.breaks = 0
        self.space = False
        self.begun = False
        self.unseen: list[str] = []
        """Open elements from the first that is not shown."""
        self.links: list[tuple[str | None, int]] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if self.unseen or tag in _UNSEEN or _HIDDEN.search(given.get("style") or ""):
            if tag not in _VOID:
                self.unseen.append(tag)
            return
        self._break(tag)
        if tag == "br":
            self.breaks = min(self.breaks + 1, 2)
        elif tag == "hr":
            self._break("p")
            self._say("---")
            self._break("p")
        elif tag == "li":
            self._say("- ")
        elif tag in ("td", "th"):
            self.space = True
        elif tag == "img" and given.get("alt"):
            self.handle_data(str(given["alt"]))
        elif tag == "a":
            self.links.append((given.get("href"), len(self.written)))

    def handle_endtag(self, tag: str) -> None:
        if self.unseen:
            if tag in self.unseen:
                while self.unseen.pop() != tag:
                    pass
            return
        if tag == "a" and self.links:
            href, begun = self.links.pop()
            words = "".join(self.written[begun:]).strip()
            if href and not href.startswith("#") and words and href.removeprefix("mailto:") != words:
                self._say(f" ({href})")
        self._break(tag)

    def handle_data(self, data: str) -> None:
        for number, text in enumerate(MARK.split(data)):
            if number % 2 == 0:
                if not self.unseen:
                    self._words(text)
            elif self.found.pieces[int(text)].kind == "tag":
                if self.found.pieces[int(text)].tag == "for" and self.breaks == 2 and self.begun:
                    self.written.append("\n")  # before the loop, not in each of its rounds
                    self.breaks = 1
                self.written.append(f"\ue000{text}\ue001")  # takes no room; what is to come still is
                self.begun = True  # a loop's second round has something before it
            elif not self.unseen:
                self._say(f"\ue000{text}\ue001")

    def _words(self, text: str) -> None:
        words = text.split()
        if not words:
            self.space = self.space or bool(text)
            return
        if text[0].isspace():
            self.space = True
        self._say(" ".join(words))
        self.space = text[-1].isspace()

    def _say(self, text: str) -> None:
        if self.breaks and self.begun:
            self.written.append("\n" * self.breaks)
        elif self.space and self.begun and not self.breaks and not text.startswith(" "):
            self.written.append(" ")
        self.written.append(text)
        self.begun, self.breaks, self.space = True, 0, False

    def _break(self, tag: str) -> None:
        wanted = 2 if tag in _PARAGRAPHS else 1 if tag in _LINES else 0
        self.breaks = max(self.breaks, wanted)
