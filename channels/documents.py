"""What providers write when they call us: XML or JSON as a tree of texts, without the dangers of XML."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from channels.inbound import Forged

Document = Mapping[str, Any]
BODY_LIMIT = 128 * 1024


def parse(body: bytes) -> Document:
    """XML or JSON as a mapping; a tag that comes several times is a list. Raises `Forged`."""
    if body.lstrip()[:1] == b"{":
        try:
            document = json.loads(body)
        except (ValueError, RecursionError):
            raise Forged("it is no JSON") from None
        return document if isinstance(document, dict) else {}
    try:
        found = _tree(fromstring(body.strip(), forbid_dtd=True))
    except (ParseError, DefusedXmlException, ValueError, LookupError, RecursionError):
        raise Forged("it is no plain XML") from None
    return found if isinstance(found, dict) else {}


def _tree(element: Element) -> Any:
    if not len(element):
        return element.text or ""
    found: dict[str, Any] = {}
    for child in element:
        value = _tree(child)
        if child.tag not in found:
            found[child.tag] = value
        elif isinstance(found[child.tag], list):
            found[child.tag].append(value)
        else:
            found[child.tag] = [found[child.tag], value]
    return found


def text(document: Document, name: str) -> str:
    """A field as text; empty if it is not there. JSON calls have numbers where XML has texts."""
    value = document.get(name)
    return str(value) if isinstance(value, str | int) and not isinstance(value, bool) else ""


def items(value: Any) -> list[Document]:
    """The entries of a list that has one entry, several or none."""
    found = value if isinstance(value, list) else [value]
    return [each for each in found if isinstance(each, Mapping)]


def message_id(*words: str) -> str:
    """The same for the same words, and nothing of a person in it."""
    return hashlib.sha256("\n".join(words).encode()).hexdigest()[:32]
