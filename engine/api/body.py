"""Reading a request's body in bounded time and memory, gzip included."""

from __future__ import annotations

import asyncio
import json
import math
import zlib
from typing import Any, Final

import orjson
from fastapi import Request

from engine.api.problems import BODY_READ, Problem

BATCH_LIMIT: Final = 500 * 1024
"""Bytes of a body, before and after unpacking: Segment's own limit."""
EVENT_LIMIT: Final = 32 * 1024
"""Bytes of one event as compact JSON in UTF-8."""
READING_SECONDS: Final = 30.0
_DIGITS: Final = bytes(ord("0") if chr(byte) in "0123456789" else ord(" ") for byte in range(256))
_LONG_NUMBER: Final = b"0" * 19
"""Whole numbers beyond 64 bits are ids that must stay exact; the quick parser would round them."""
_LONGEST_NUMBER: Final = 4300  # Python's own limit for turning digits into a whole number


async def read_json(request: Request) -> Any:
    """The body as JSON.

    Raises:
        Problem: too large, too slow, not gzip although it says so, or not JSON.
    """
    return parse(await read_body(request))


async def read_body(
    request: Request,
    *,
    limit: int = BATCH_LIMIT,
    seconds: float = READING_SECONDS,
    packed: bool = True,
) -> bytes:
    """The body, unpacked; `packed` false takes it only as it is.

    Raises:
        Problem: larger than `limit` bytes, slower than `seconds`, or not gzip although it says so.
    """
    try:
        async with asyncio.timeout(seconds):
            body = await _read(request, limit, packed)
    except TimeoutError:
        detail = f"the body did not come within {seconds:.0f} seconds"
        raise Problem(408, "too-slow", detail) from None
    request.scope[BODY_READ] = True
    return body


def parse(body: bytes) -> Any:
    """The JSON value of a body.

    Raises:
        Problem: it is not JSON, or nested too deep to be read.
    """
    if _LONG_NUMBER not in body.translate(_DIGITS):
        try:
            return orjson.loads(body)
        except orjson.JSONDecodeError:
            pass  # the slower parser says what is wrong, and takes a little more: NaN, half surrogates
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise _malformed(f"the body is not UTF-8: byte {error.start} is not part of a character") from None
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise _malformed(f"the body is not JSON: {error.msg} at {where}") from None
    except RecursionError:
        raise _malformed("the body is nested too deep") from None
    except ValueError:  # a number with thousands of digits must not lose the events beside it
        return json.loads(text, parse_int=_number)


def size_of(value: object) -> int:
    """Bytes of a JSON value as compact UTF-8."""
    try:
        return len(orjson.dumps(value))
    except TypeError:  # a number beyond 64 bits, or half of a surrogate pair
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return len(text.encode("utf-8", "surrogatepass"))


async def _read(request: Request, limit: int, packed: bool) -> bytes:
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length[:20]) > limit:
        raise _too_large(limit)
    unpack = _unpacker(request.headers.get("content-encoding", ""), packed)
    parts, came, size = [], 0, 0
    async for chunk in request.stream():
        came += len(chunk)
        if came > limit:
            raise _too_large(limit)
        if unpack is not None:
            chunk = _inflated(unpack, chunk, limit - size, limit)
        size += len(chunk)
        parts.append(chunk)
    if unpack is not None and not unpack.eof:
        raise _malformed("the body ends in the middle of its gzip data")
    return b"".join(parts)


def _unpacker(encoding: str, packed: bool) -> zlib._Decompress | None:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip" if packed:
            return zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    if not packed:
        raise Problem(415, "unknown-encoding", "Content-Encoding: the body is taken as it is")
    raise Problem(
        415,
        "unknown-encoding",
        "Content-Encoding: only gzip is understood, or no encoding at all",
        headers={"Accept-Encoding": "gzip"},
    )


def _inflated(unpack: zlib._Decompress, chunk: bytes, room: int, limit: int) -> bytes:
    """At most `room` bytes: a small body that unpacks to a huge one is never unpacked."""
    if unpack.eof and chunk:
        raise _malformed("there is more after the end of the gzip data")
    try:
        data = unpack.decompress(chunk, room + 1)
    except zlib.error:
        raise _malformed("the body is not gzip data although Content-Encoding says so") from None
    if len(data) > room or unpack.unconsumed_tail:
        raise _too_large(limit)
    if unpack.unused_data:
        raise _malformed("there is more after the end of the gzip data")
    return data


def _number(digits: str) -> int | float:
    return int(digits) if len(digits) <= _LONGEST_NUMBER else math.inf


def _malformed(detail: str) -> Problem:
    return Problem(400, "malformed", detail)


def _too_large(limit: int) -> Problem:
    detail = f"the body is larger than {limit // 1024} KB; send less at a time"
    return Problem(413, "too-large", detail)
