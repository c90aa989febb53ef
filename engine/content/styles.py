"""Style sheets of an HTML part, written into the elements: most mail programs look nowhere else.

Done once, on the template: Jinja2 stands aside as marks. Where what a rule applies to depends on the
customer, or the template's HTML is whole only once it is rendered, it is done on each message instead.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import css_inline

from engine.content.errors import RenderError
from engine.content.markup import MARK, Marked, marked, tags_of
from engine.content.pieces import Piece

_STYLE = re.compile(r"<style[^>]*>(.*?)</style", re.IGNORECASE | re.DOTALL)
_BODY = re.compile(r"/\*.*?\*/|\{[^{}]*\}", re.DOTALL)
_STRUCTURAL = re.compile(r":(nth|first|last|only|empty|has|not)|[+~]")
_LOOSE = ("html", "head", "body", "style", "link")
_INLINER = css_inline.CSSInliner(load_remote_stylesheets=False, keep_at_rules=True)


@dataclass(frozen=True, slots=True)
class Styled:
    """`source` has its style sheets written in; or `why` not: then it is done on each message."""

    source: str
    why: str | None = None


def styled(source: str, pieces: Sequence[Piece]) -> Styled:
    """A template with its style sheets written into its elements. `pieces` are those of `source`."""
    if "<style" not in source.lower():
        return Styled(source)
    found = marked(pieces, comments=True)
    if found is None:
        return Styled(source, "it has characters of private use")
    why = _depends(found)
    if why is not None:
        return Styled(source, why)
    try:
        html = _INLINER.inline(found.text)
    except (css_inline.InlineError, ValueError) as error:
        return Styled(source, f"its style sheet cannot be read ({type(error).__name__})")
    if "<tbody" not in found.text.lower():
        html = re.sub(r"</?tbody>", "", html)  # the parser's own: a loop of rows would open many
    in_sheets = {str(n) for n, place in enumerate(found.places) if place.where == "style"}
    before = [tag for tag in tags_of(found.text, _LOOSE) if tag not in in_sheets]
    after = [tag for tag in tags_of(html, _LOOSE) if tag not in in_sheets]
    if before != after:
        return Styled(source, "its HTML is whole only once it is rendered")
    return Styled(found.restored(html))


def _depends(found: Marked) -> str | None:
    """What a rule applies to may not depend on the customer."""
    controls = [piece.kind == "tag" and piece.tag not in ("set", "with", "endwith") for piece in found.pieces]
    for piece, place, control in zip(found.pieces, found.places, controls, strict=True):
        if place.where == "tag":
            return f"`{_short(piece)}` stands inside a tag"
        if place.attribute in ("class", "id"):
            return f"`{place.attribute}` depends on `{_short(piece)}`"
        if control and (place.where == "style" or place.attribute == "style"):
            return f"its styles depend on `{_short(piece)}`"
    if any(controls):
        selectors = _BODY.sub(" ", " ".join(_STYLE.findall(found.text)))
        if match := _STRUCTURAL.search(MARK.sub("", selectors)):
            return f"`{match[0]}` in a style sheet asks what stands beside an element"
    return None


def _short(piece: Piece) -> str:
    text = " ".join(piece.text.split())
    return text if len(text) <= 40 else f"{text[:39]}…"


def style_message(html: str) -> str:
    """The same for one rendered message."""
    try:
        return str(_INLINER.inline(html))
    except (css_inline.InlineError, ValueError):
        raise RenderError("its style sheet cannot be read") from None
