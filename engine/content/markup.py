"""Jinja2 inside HTML: tags and values stand aside as marks while HTML is worked on, and come back after.

A mark is a number between two characters of private use, which HTML and CSS take for letters. Where the
parser would move text (between rows of a table), marks stand in comments. `Marked.place` says where each
piece stood, so that whoever works on the HTML knows what depends on a customer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from engine.content.pieces import Piece

BEGIN, END = "\ue000", "\ue001"
MARK = re.compile(f"{BEGIN}([0-9]+){END}")
_COMMENTED = re.compile(f"<!--{BEGIN}([0-9]+){END}-->")
_JINJA = re.compile(r"\{[{%#]")
_TAG = re.compile(r"</?([a-zA-Z][^\s/>]*)")
_NAME = re.compile(r"[^\s=>\"'/]+")
_RAW = ("style", "script", "title", "textarea")


@dataclass(frozen=True, slots=True)
class Place:
    """`where` is `text`, `tag` (inside of one, outside its values), `value`, `comment`, or the name of an
    element whose content is no HTML. `attribute` is the one whose value it stands in."""

    where: str
    attribute: str | None = None


@dataclass(slots=True)
class Marked:
    pieces: list[Piece] = field(default_factory=list)
    places: list[Place] = field(default_factory=list)
    text: str = ""

    def restored(self, text: str) -> str:
        """`text` with its marks as what they stand for. What only looks like Jinja2 is written as text."""
        text = _JINJA.sub(lambda match: "{{ '" + match[0] + "' }}", text)

        def piece(match: re.Match[str]) -> str:
            number = int(match[1])
            return self.pieces[number].text if number < len(self.pieces) else ""

        return MARK.sub(piece, _COMMENTED.sub(piece, text))


def marked(pieces: Iterable[Piece], *, comments: bool) -> Marked | None:
    """The pieces as HTML with marks, in comments where they stand in text if `comments`; None if the source
    has such characters itself."""
    found, at, written = Marked(), _Html(), []
    for piece in pieces:
        if BEGIN in piece.text or END in piece.text:
            return None
        if piece.kind == "data":
            at.feed(piece.text)
            written.append(piece.text)
        elif piece.kind != "comment":
            place = at.place()
            mark = f"{BEGIN}{len(found.pieces)}{END}"
            found.pieces.append(piece)
            found.places.append(place)
            written.append(f"<!--{mark}-->" if comments and place.where == "text" else mark)
    found.text = "".join(written)
    return found


class _Html:
    """Where in an HTML document one is, piece after piece."""

    def __init__(self) -> None:
        self.state = "text"
        self.element = ""
        self.attribute: str | None = None
        self.quote = ""

    def place(self) -> Place:
        if self.state == "equals":  # a value without quotes
            return Place("tag")
        return Place(self.state, self.attribute if self.state == "value" else None)

    def feed(self, text: str) -> None:
        at = 0
        while at < len(text):
            at = self._step(text, at)

    def _step(self, text: str, at: int) -> int:
        match self.state:
            case "text":
                return self._text(text, at)
            case "comment":
                return self._until(text, at, "-->", "text")
            case "value":
                return self._until(text, at, self.quote, "tag")
            case "tag" | "equals":
                return self._tag(text, at)
        end = text.lower().find(f"</{self.state}", at)
        if end >= 0:
            self.state, self.element = "tag", ""
            return end + 2 + len(self.state)
        return len(text)

    def _until(self, text: str, at: int, end: str, then: str) -> int:
        found = text.find(end, at)
        if found < 0:
            return len(text)
        self.state = then
        return found + len(end)

    def _text(self, text: str, at: int) -> int:
        at = text.find("<", at)
        if at < 0:
            return len(text)
        if text.startswith("<!--", at):
            self.state = "comment"
            return at + 4
        tag = _TAG.match(text, at)
        if tag is None:
            return at + 1
        self.state, self.attribute = "tag", None
        self.element = "" if text[at + 1] == "/" else tag[1].lower()
        return tag.end()

    def _tag(self, text: str, at: int) -> int:
        sign = text[at]
        if sign == ">":
            self.state = self.element if self.element in _RAW else "text"
        elif sign in "\"'" and self.state == "equals":
            self.state, self.quote = "value", sign
        elif sign == "=":
            self.state = "equals"
        elif not sign.isspace():
            name = _NAME.match(text, at)
            if name is not None:
                if self.state == "tag":
                    self.attribute = name[0].lower()
                self.state = "tag"
                return name.end()
        return at + 1


def tags_of(html: str, without: Sequence[str]) -> list[str]:
    """Start tags, end tags and marks in their order, to tell whether two documents are built alike."""
    found = []
    for match in re.finditer(rf"<!--(?!{BEGIN}).*?-->|<(/?[a-zA-Z][^\s/>]*)|{MARK.pattern}", html, re.DOTALL):
        name = (match[1] or "").lower()
        if match[2] is not None:
            found.append(match[2])
        elif match[1] is None:
            found += [mark[1] for mark in MARK.finditer(match[0])]
        elif name.lstrip("/") not in without:
            found.append(name)
    return found
