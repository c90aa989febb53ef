"""Lists in pages: a page names where the next one begins, so that new rows shift nothing."""

from __future__ import annotations

import base64
import binascii
import json
from datetime import datetime
from typing import Annotated, Any, Final
from uuid import UUID

from fastapi import Query

from engine.api.problems import Problem

Limit = Annotated[int, Query(ge=1, le=200, description="At most so many items.")]
Next = Annotated[
    str | None,
    Query(alias="next", max_length=400, description="`next` of the page before, for the one after it."),
]
DEFAULT: Final = 50
_LARGEST: Final = 2**63 - 1


def mark(*values: Any) -> str:
    """Where a page ended, as text for a URL."""
    text = json.dumps([v.isoformat() if isinstance(v, datetime) else v for v in values])
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def unmark(text: str | None, *kinds: type[Any]) -> tuple[Any, ...] | None:
    """The values that `mark` was given; None without a mark.

    Raises:
        Problem: it is none of our marks.
    """
    if text is None:
        return None
    try:
        found = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return tuple(_value(kind, value) for kind, value in zip(kinds, found, strict=True))
    except (ValueError, TypeError, binascii.Error, RecursionError):
        detail = "next: expected the `next` of a page of this list"
        raise Problem(400, "bad-page", detail) from None


def _value(kind: type[Any], value: Any) -> Any:
    if kind is datetime:
        found = datetime.fromisoformat(value)
        if found.tzinfo is None:
            raise ValueError("no offset")
        return found
    if kind is UUID:
        return str(UUID(value))
    if not isinstance(value, kind) or isinstance(value, bool) or "\x00" in str(value):
        raise ValueError("another type")
    if isinstance(value, int) and abs(value) > _LARGEST:
        raise ValueError("too large")
    return value
