"""Text that fits a box without a font at hand: widths are estimated on the wide side."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

_NARROW: Final = frozenset("iIjlftr.,:;|!'`()[]{} ")
_WIDE: Final = frozenset("mwMWQO@%&—")

# A break may come before any wide character, after a space, and after a sign inside a long word.
_PIECES: Final = re.compile(r"[^\s]*?[/.\-_:,=](?=[^\s])|[^\s]+\s*|\s+")


def text_width(text: str, size: float, bold: bool = False) -> float:
    """About how wide a line is, in px. No common sans serif face is wider by much."""
    return sum(_em(character) for character in text) * size * (1.08 if bold else 1)


def _em(character: str) -> float:
    if unicodedata.east_asian_width(character) in "WF":
        return 1.0
    if character in _NARROW:
        return 0.40
    if character in _WIDE or character.isupper():
        return 0.92 if character in _WIDE else 0.72
    return 0.62


def wrapped(text: str, width: float, size: float, *, most: int = 5, bold: bool = False) -> list[str]:
    """Lines no wider than `width`, at most so many; the last ends in `…` if something is left out."""
    lines, line = [], ""
    for piece in _pieces(" ".join(text.split()), width, size, bold):
        if line and text_width((line + piece).rstrip(), size, bold) > width:
            lines.append(line.rstrip())
            line = ""
        line += piece
    lines.append(line.rstrip())
    if len(lines) <= most:
        return lines
    return [*lines[: most - 1], shortened(f"{lines[most - 1]} …", width, size, bold=bold)]


def shortened(text: str, width: float, size: float, *, bold: bool = False) -> str:
    """The text if it fits, else its beginning and `…`."""
    if text_width(text, size, bold) <= width:
        return text
    kept = text.removesuffix("…").rstrip()
    while kept and text_width(kept + "…", size, bold) > width:
        kept = kept[:-1].rstrip()
    return kept + "…"


def _pieces(text: str, width: float, size: float, bold: bool) -> list[str]:
    """What may not be broken: words, parts of words that are too long for a line, single wide characters."""
    found: list[str] = []
    for word in re.findall(r"\S+\s*", text):
        if any(unicodedata.east_asian_width(c) in "WF" for c in word):
            found += list(word)
        elif text_width(word.rstrip(), size, bold) <= width:
            found.append(word)
        else:
            for piece in _PIECES.findall(word):
                short = text_width(piece.rstrip(), size, bold) <= width
                found += [piece] if short else list(piece)
    return found
