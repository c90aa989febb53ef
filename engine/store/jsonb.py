"""JSON as PostgreSQL takes it.

`jsonb` refuses what JSON text may hold: the character NUL and lone surrogates; and JSON refuses NaN and the
infinities that Python's parser lets through. Events come from strangers, so one odd character must not lose
a batch: NUL is dropped, a lone surrogate becomes U+FFFD, a number that is none becomes null.
"""

from __future__ import annotations

import json
import math
import re
from datetime import date, datetime
from typing import Any, Final

import orjson

_AS_JSON_DOES: Final = (
    orjson.OPT_PASSTHROUGH_DATETIME | orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS
)
"""What the standard library refuses is refused: values are made JSON knowingly, or not at all."""
_LONG_NUMBER: Final = re.compile(r"\d{19}")
_ROWS: Final = orjson.OPT_PASSTHROUGH_DATACLASS | orjson.OPT_PASSTHROUGH_SUBCLASS


def dumps(value: Any) -> str:
    """JSON text that `jsonb` accepts."""
    try:
        quick = orjson.dumps(value, option=_AS_JSON_DOES)  # a tenth of the time; NaN becomes null here too
    except (TypeError, RecursionError):  # a lone surrogate, a number beyond 64 bits, or no JSON at all
        return _slow_dumps(value)
    return _dump(clean(value)) if b"\\u0000" in quick else quick.decode()


def _slow_dumps(value: Any) -> str:
    try:
        text = _dump(value)
    except ValueError:  # NaN or an infinity
        return _dump(clean(value))
    if "\\u0000" in text or not (text.isascii() or _encodes(text)):
        return _dump(clean(value))
    return text


def loads(text: str | bytes) -> Any:
    """The value, every number as it was stored."""
    if _LONG_NUMBER.search(text if isinstance(text, str) else text.decode()):
        return json.loads(text)  # orjson would make a double of a whole number beyond 64 bits
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:  # a number beyond doubles: PostgreSQL has no limit
        return json.loads(text)


def dump_rows(rows: list[dict[str, Any]]) -> str:
    """As `dumps`, for rows whose own values may be instants and dates: they become ISO text."""
    try:
        quick = orjson.dumps(rows, option=_ROWS)
    except (TypeError, RecursionError):
        quick = b"\\u0000"
    if b"\\u0000" not in quick:
        return quick.decode()
    return dumps([{name: _plain(value) for name, value in row.items()} for row in rows])


def _plain(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime | date) else value


def clean(value: Any) -> Any:
    """A copy of a JSON value without what PostgreSQL refuses."""
    if isinstance(value, str):
        return clean_text(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {clean_text(str(name)): clean(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [clean(item) for item in value]
    return value


def clean_text(text: str) -> str:
    """`text` without what a PostgreSQL `text` refuses."""
    if "\x00" in text:
        text = text.replace("\x00", "")
    return (
        text
        if text.isascii() or _encodes(text)
        else text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    )


def _dump(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
