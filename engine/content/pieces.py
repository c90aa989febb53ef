"""A template's source as pieces: text, tags, values, comments. Joined again they are the same template."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from jinja2 import Environment

Kind = Literal["data", "tag", "value", "comment", "raw"]
_ENDS = {"block_end", "variable_end", "comment_end", "raw_end"}
_KINDS: dict[str, Kind] = {
    "block_begin": "tag",
    "variable_begin": "value",
    "comment_begin": "comment",
    "raw_begin": "raw",
}


@dataclass(slots=True)
class Piece:
    """`words` are the tokens of a tag or value without white space, as (kind, text)."""

    kind: Kind
    text: str
    line: int = 1
    words: tuple[tuple[str, str], ...] = ()

    @property
    def tag(self) -> str | None:
        """The first word of a tag."""
        return self.words[0][1] if self.kind == "tag" and self.words else None


def pieces_of(environment: Environment, source: str) -> Iterator[Piece]:
    """The pieces in order. Raises `TemplateSyntaxError` for what is not Jinja2 at all."""
    piece: Piece | None = None
    for line, token, text in environment.lex(source):
        if piece is None:
            kind = _KINDS.get(token)
            if kind is None:
                yield Piece("data", text, line)
            else:
                piece = Piece(kind, text, line)
            continue
        piece.text += text
        if token in _ENDS:
            yield piece
            piece = None
        elif piece.kind in ("tag", "value") and token != "whitespace":
            piece.words += ((token, text),)
    if piece is not None:
        yield piece
