"""Links in a rendered message: found where people follow them, and replaced; nothing else changes.

- `html`: `href` of `<a>` and `<area>`, outside comments, scripts and styles.
- `text`: `http://` and `https://` addresses. One ends before whatever is not ASCII, so that Chinese text and
  punctuation may follow without a space; full stops and brackets after it belong to the sentence.
- `json`: a text that is an address as a whole, under `url`, `link`, `href` or a name that ends in `_url` and
  speaks of no picture; and addresses inside the texts under `text` and `content`.
- `url` and `link`: the part as a whole.

Subjects, titles and bodies of notifications lead nowhere and stay as they are.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from html import escape, unescape
from typing import Any, Final
from urllib.parse import urlsplit

MOST_LINKS: Final = 500
"""In one message; those after them stay as they are."""
LONGEST_URL: Final = 2000
LONGEST_NAME: Final = 60


@dataclass(frozen=True, slots=True)
class Link:
    """An address as written in a message, and the name its author gave it."""

    url: str = field(repr=False)
    name: str | None = None


Replace = Callable[[Link], str | None]
"""What stands in place of a link: ASCII, without quotes. None leaves it as it is."""


def replace_links(
    parts: Mapping[str, str], replace: Replace, names: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The parts with every link replaced. `names` are those that `links.to` gave, by address."""
    work = _Work(replace, names or {})
    return {part: work.part(part, text) for part, text in parts.items()}


class _Work:
    def __init__(self, replace: Replace, names: Mapping[str, str]) -> None:
        self.replace = replace
        self.names = names
        self.left = MOST_LINKS

    def part(self, part: str, text: str) -> str:
        # Most messages hold no link: they cost no more than this.
        if "://" not in text and "&#" not in text and "\\/" not in text:
            return text
        match part:
            case "html":
                return self.html(text)
            case "text":
                return self.text(text)
            case "json":
                return self.json(text)
            case "url" | "link":
                return self.whole(text)
        return text

    def new(self, url: str, name: str | None = None) -> str | None:
        if len(url) > LONGEST_URL or self.left <= 0 or not _has_host(url):
            return None
        self.left -= 1
        return self.replace(Link(url, name or self.names.get(url)))

    # --- text ---------------------------------------------------------------------------------------------

    def text(self, text: str) -> str:
        def put(match: re.Match[str]) -> str:
            url, rest = _trimmed(match[0])
            new = self.new(url)
            return match[0] if new is None else new + rest

        return _ADDRESS.sub(put, text)

    def whole(self, text: str) -> str:
        if _WHOLE.fullmatch(text.strip()) is None:
            return text
        return self.new(text.strip()) or text

    # --- HTML ---------------------------------------------------------------------------------------------

    def html(self, text: str) -> str:
        pieces, copied, place = [], 0, 0
        while (opening := _OPENING.search(text, place)) is not None:
            if opening["skipped"]:
                closing = _CLOSING[opening["skipped"].lower()].search(text, opening.end())
                if closing is None:
                    break  # it goes on to the end
                place = closing.end()
                continue
            tag = _TAG.match(text, opening.end())
            if tag is None:
                break  # the tag is never closed, so nothing after it is one
            place = tag.end()
            for start, end, new in self._hrefs(text, opening.end(), place):
                pieces += [text[copied:start], new]
                copied = end
        return text if not pieces else "".join([*pieces, text[copied:]])

    def _hrefs(self, text: str, start: int, end: int) -> list[tuple[int, int, str]]:
        """Where the address of this tag stands, quotes included, and what comes in its place."""
        href: re.Match[str] | None = None
        name = None
        for attribute in _ATTRIBUTE.finditer(text, start, end):
            match attribute["name"].lower():
                case "href" if href is None:
                    href = attribute
                case "data-link":
                    name = unescape(_bare(attribute["value"] or "")).strip()[:LONGEST_NAME] or None
        if href is None or href["value"] is None:
            return []
        url = unescape(_bare(href["value"])).strip()
        if _WHOLE.fullmatch(url) is None or (new := self.new(url, name)) is None:
            return []
        return [(href.start("value"), href.end("value"), f'"{escape(new)}"')]

    # --- JSON ---------------------------------------------------------------------------------------------

    def json(self, text: str) -> str:
        try:
            document = json.loads(text)
            changed, new = self._in(document, None)
            return json.dumps(new, ensure_ascii=False) if changed else text
        except (ValueError, RecursionError):
            return text

    def _in(self, value: Any, key: str | None) -> tuple[bool, Any]:
        if isinstance(value, dict):
            pairs = {name: self._in(each, name) for name, each in value.items()}
            return any(c for c, _ in pairs.values()), {name: new for name, (_, new) in pairs.items()}
        if isinstance(value, list):
            items = [self._in(each, key) for each in value]
            return any(c for c, _ in items), [new for _, new in items]
        if not isinstance(value, str) or key is None:
            return False, value
        new = value
        if key in _TEXTS:
            new = self.text(value)
        elif _leads(key):
            new = self.whole(value)
        return new != value, new


# ASCII that can stand in an address (RFC 3986). All else ends it, Chinese punctuation and text among it.
_CHARACTER: Final = r"[A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]"
_ADDRESS: Final = re.compile(rf"(?<![A-Za-z0-9])https?://{_CHARACTER}+", re.IGNORECASE)
_WHOLE: Final = re.compile(r"https?://[^\s<>\"'\x00-\x1f]+", re.IGNORECASE)
_OPENING: Final = re.compile(
    r"<(?:a|area)(?=[\s/])|<(?P<skipped>!--|script|style|textarea|title|xmp)", re.IGNORECASE | re.DOTALL
)
_CLOSING: Final = {
    "!--": re.compile(r"-->"),
    **{
        name: re.compile(rf"</{name}\s*>", re.IGNORECASE)
        for name in ("script", "style", "textarea", "title", "xmp")
    },
}
_TAG: Final = re.compile(r"(?:[^>\"']++|\"[^\"]*+\"|'[^']*+')*+>")
_ATTRIBUTE: Final = re.compile(
    r"(?P<name>[^\s\"'>/=]++)(?:\s*+=\s*+(?P<value>\"[^\"]*+\"|'[^']*+'|[^\s\"'>]++))?"
)
_TEXTS: Final = frozenset({"text", "content"})
_LEADING: Final = frozenset({"url", "link", "href"})
_PICTURE: Final = re.compile(r"pic|image|img|thumb|icon|logo|avatar|media|video|cover|photo", re.IGNORECASE)


def _leads(key: str) -> bool:
    lower = key.lower()
    return lower in _LEADING or (lower.endswith("_url") and _PICTURE.search(lower) is None)


def _bare(value: str) -> str:
    return value[1:-1] if value[:1] in ("'", '"') else value


def _has_host(url: str) -> bool:
    try:
        return bool(urlsplit(url).hostname)
    except ValueError:
        return False


_OPEN: Final = {")": "(", "]": "["}


def _trimmed(text: str) -> tuple[str, str]:
    """The address, and the punctuation after it that belongs to the sentence."""
    end = len(text)
    while end and (
        (last := text[end - 1]) in ".,;:!?'*"
        or (last in _OPEN and text.count(last, 0, end) > text.count(_OPEN[last], 0, end))
    ):
        end -= 1
    return text[:end], text[end:]
