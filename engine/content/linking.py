"""What goes into a message around its links: the names templates see, parameters, the pixel of opens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html import escape
from typing import Any, Final
from urllib.parse import quote_plus

from engine.content.links import LONGEST_NAME, MOST_LINKS


class Naming:
    """`links.to(url, name=…)` of a template: the address as it is, and its name for whoever counts clicks."""

    __slots__ = ("names",)

    def __init__(self) -> None:
        self.names: dict[str, str] = {}

    def to(self, url: str, name: str | None = None) -> str:
        text = str(url)
        if name is not None and len(self.names) < MOST_LINKS:
            self.names.setdefault(text, str(name)[:LONGEST_NAME])
        return text


def with_parameters(url: str, new: Mapping[str, str]) -> str:
    """The address with these parameters added; those it has already keep their values."""
    rest, hash_, fragment = url.partition("#")
    path, _, query = rest.partition("?")
    known = {pair.partition("=")[0] for pair in query.split("&")}
    added = "&".join(f"{quote_plus(k)}={quote_plus(v)}" for k, v in new.items() if k not in known)
    if not added:
        return url
    joined = f"{query}&{added}" if query and not query.endswith("&") else query + added
    return f"{path}?{joined}{hash_}{fragment}"


_PLACEHOLDER: Final = re.compile(r"\{(\w+)\}")


def filled(pattern: str, values: Mapping[str, str]) -> str:
    """A pattern of `links.utm` with its `{journey}` and the like; unknown ones stay as they are."""
    return _PLACEHOLDER.sub(lambda match: values.get(match[1], match[0]), pattern)


def names_of_links(unsubscribe: str | None, preferences: str | None, naming: Naming) -> dict[str, Any]:
    """What templates see as `links`; None is null there."""
    return {"unsubscribe": unsubscribe, "preferences": preferences, "to": naming.to}


def sample_links(base_url: str | None) -> dict[str, Any]:
    """`links` where nothing is sent: as they would be for somebody, without a secret."""
    naming = Naming()
    if not base_url:
        return names_of_links(None, None, naming)
    base = base_url.rstrip("/") if base_url.startswith(("http://", "https://")) else "https://example.com"
    return names_of_links(f"{base}/u/sample", f"{base}/p/sample", naming)


_BODY_END: Final = re.compile(r"</body\s*>", re.IGNORECASE)


def with_pixel(parts: Mapping[str, str], url: str) -> dict[str, str]:
    """The parts with a picture of one pixel at the end of `html`'s body."""
    if (html := parts.get("html")) is None:
        return dict(parts)
    pixel = f'<img src="{escape(url)}" width="1" height="1" alt="" style="display:none">'
    ends = [match.start() for match in _BODY_END.finditer(html)]
    place = ends[-1] if ends else len(html)
    return {**parts, "html": html[:place] + pixel + html[place:]}
