"""Sends messages over HTTP at the logical time that they carry."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx

from engine.store.clock import ScaledClock

Message = dict[str, Any]
"""A message in Segment's shape, as a website sends it."""
EVER = datetime(9000, 1, 1, tzinfo=UTC)
TICK = 0.5
"""Wall seconds between two looks at what is to be sent."""
MOST_AT_ONCE = 200
"""Messages of one request: well under the intake's 500 KB."""


class ReplayFailed(Exception):
    """The intake did not take what it was sent; the text says what it answered."""


async def replay(
    base_url: str,
    write_key: str,
    messages: Sequence[Message],
    clock: ScaledClock,
    stop: asyncio.Event,
    sent: Callable[[int], None],
    complete: Callable[[datetime], Awaitable[None]],
) -> None:
    """Sends each message to `POST /v1/batch` once its `timestamp` has come on the clock, in order.

    Those of before the clock's beginning (who the visitors are) are sent at once.

    A request that finds nobody is made again: `messageId` makes that harmless. Ends early when `stop` is set.

    Args:
        sent: told how many messages were taken, after each request.
        complete: told the logical instant up to which everything has been sent.

    Raises:
        ReplayFailed: a message was refused, or nobody answered for half a minute.
    """
    stamps = [datetime.fromisoformat(message["timestamp"]) for message in messages]
    place = 0
    async with httpx.AsyncClient(
        base_url=base_url, auth=(write_key, ""), timeout=30, trust_env=False
    ) as client:
        while place < len(messages) and not stop.is_set():
            now, end = max(clock.logical(datetime.now(UTC)), clock.epoch_logical), place
            while end < len(messages) and end - place < MOST_AT_ONCE and stamps[end] <= now:
                end += 1
            if end > place:
                await _post(client, messages[place:end])
                sent(end - place)
            full, place = end - place == MOST_AT_ONCE, end
            if not full:
                await complete(now)
                await asyncio.sleep(TICK)
        if place == len(messages):
            await complete(EVER)


async def _post(client: httpx.AsyncClient, batch: Sequence[Message]) -> None:
    for tries_left in (2, 1, 0):
        try:
            answer = await client.post("/v1/batch", json={"batch": list(batch)})
        except httpx.TransportError as error:
            if not tries_left:
                raise ReplayFailed(f"the intake does not answer: {type(error).__name__}") from error
            await asyncio.sleep(1)
            continue
        if answer.status_code != 200 or answer.json().get("rejected"):
            raise ReplayFailed(f"the intake answered {answer.status_code}: {answer.text[:500]}")
        return
