"""Keeping to a provider's pace, and many sends at once but not too many."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from channels.errors import ConfigurationError, Rejected, Throttled, Unavailable, Unknown
from channels.message import Message
from channels.receipt import Accepted

log = logging.getLogger("channels")

_RATE = re.compile(r"\s*(\d+(?:\.\d+)?)\s*/\s*(s|m|h|d)\s*")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


@dataclass(frozen=True, slots=True)
class Rate:
    """So many messages in so long."""

    count: float
    per: timedelta

    @classmethod
    def parse(cls, text: str, path: str = "rate") -> Rate:
        """Read `20/s`, `100/m`, `5000/h`, `10000/d`. `path` names the place in an error."""
        match = _RATE.fullmatch(text)
        if match is None or float(match[1]) <= 0:
            raise ConfigurationError(f"{path}: {text!r} is not a rate; expected something like 20/s or 100/m")
        return cls(float(match[1]), timedelta(seconds=_SECONDS[match[2]]))

    @property
    def per_second(self) -> float:
        return self.count / self.per.total_seconds()


class Pacer:
    """Lets `rate` through on average, at most one second's worth (at least one) in a burst.

    Waiters are served in order. Counts within one process: with several workers give each its share.
    """

    def __init__(self, rate: Rate) -> None:
        self._per_second = rate.per_second
        self._burst = max(1.0, rate.per_second)
        self._free_at: float | None = None

    async def take(self) -> None:
        """Wait for one token."""
        now = asyncio.get_running_loop().time()
        # A token bucket in one number: the instant at which it would be empty of debt; full is a burst ago.
        full = now - (self._burst - 1) / self._per_second
        start = full if self._free_at is None else max(full, self._free_at)
        self._free_at = start + 1 / self._per_second
        if start > now:
            await asyncio.sleep(start - now)


Outcome = Accepted | Rejected | Throttled | Unavailable | Unknown
"""What came of one message. Values, all of them; see `channels.errors`."""


async def each(
    messages: Sequence[Message],
    one: Callable[[Message], Awaitable[Accepted]],
    *,
    pacer: Pacer | None = None,
    at_once: int = 16,
) -> list[Outcome]:
    """Send every message by `one`, at most `at_once` together, and return the outcomes in order.

    `one` raises `Rejected`, `Throttled`, `Unavailable` or `Unknown`. Anything else it raises is a fault of
    the adapter: nobody can say how far it came, so the outcome is `Unknown`.
    """
    gate = asyncio.Semaphore(at_once)

    async def guarded(message: Message) -> Outcome:
        async with gate:
            if pacer is not None:
                await pacer.take()
            try:
                return await one(message)
            except (Rejected, Throttled, Unavailable, Unknown) as outcome:
                # A value from here on: what led to it would keep the message's content alive.
                outcome.__context__ = outcome.__cause__ = None
                return outcome.with_traceback(None)
            except Exception as fault:
                # Not the fault's text: it may quote the message.
                kind = type(fault).__name__
                log.error("adapter fault %s while sending %s by %s", kind, message.key, message.channel)
                return Unknown(f"adapter fault: {kind}")

    return list(await asyncio.gather(*(guarded(m) for m in messages)))


async def in_batches(
    batches: Sequence[Sequence[Message]],
    send: Callable[[Sequence[Message]], Awaitable[Sequence[Outcome]]],
    *,
    pacer: Pacer | None = None,
    at_once: int = 16,
) -> list[Sequence[Outcome]]:
    """Hand each batch to `send` in one go, at most `at_once` together; outcomes in order, batch by batch.

    What `send` raises is the outcome of the whole batch, and read as by `each`. Every message takes a token.
    """
    gate = asyncio.Semaphore(at_once)

    async def guarded(batch: Sequence[Message]) -> Sequence[Outcome]:
        async with gate:
            if pacer is not None:
                for _ in batch:
                    await pacer.take()
            try:
                return await send(batch)
            except (Rejected, Throttled, Unavailable, Unknown) as outcome:
                outcome.__context__ = outcome.__cause__ = None
                return [outcome.with_traceback(None)] * len(batch)
            except Exception as fault:
                kind = type(fault).__name__
                log.error("adapter fault %s while sending %s messages", kind, len(batch))
                return [Unknown(f"adapter fault: {kind}")] * len(batch)

    return list(await asyncio.gather(*(guarded(b) for b in batches)))


async def alike_together(
    messages: Sequence[Message],
    like: Callable[[Message], Hashable],
    send: Callable[[Sequence[Message]], Awaitable[Sequence[Outcome]]],
    *,
    most: int,
    addresses_once: bool = False,
    pacer: Pacer | None = None,
    at_once: int = 16,
) -> list[Outcome]:
    """Hand messages for which `like` is equal to `send` together, at most `most`; outcomes in order.

    What `like` refuses (`Rejected`) is not handed over. `addresses_once`: no two for one address in a call.
    """
    outcomes: dict[int, Outcome] = {}
    open_batches: dict[Hashable, list[int]] = {}
    batches: list[list[int]] = []
    for place, message in enumerate(messages):
        try:
            sort = like(message)
        except Rejected as refusal:
            outcomes[place] = refusal.with_traceback(None)
            continue
        batch = open_batches.get(sort)
        twice = addresses_once and any(messages[other].address == message.address for other in batch or ())
        if batch is None or twice or len(batch) == most:
            batch = open_batches[sort] = []
            batches.append(batch)
        batch.append(place)
    sent = await in_batches(
        [[messages[place] for place in batch] for batch in batches], send, pacer=pacer, at_once=at_once
    )
    for batch, results in zip(batches, sent, strict=True):
        outcomes.update(zip(batch, results, strict=True))
    return [outcomes[place] for place in range(len(messages))]
