"""Telling other systems of changes: at least once, in order for each profile, for up to a day.

Each thing to tell has an id, the same in every attempt, by which receivers know a repetition. What a receiver
refuses is given up at once, by the same rules as a `webhook` step; what it cannot take just now is tried
again, later and later. What was given up stays, to be seen and tried again by hand.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.webhook import WebhookCaller
from engine.store import webhooks
from engine.store.database import in_transaction
from engine.store.webhooks import Telling

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

AT_ONCE: Final = 50
LEASE: Final = timedelta(minutes=1)
"""How long nobody else tries what one worker has taken: longer than an attempt may take."""
PATIENCE: Final = timedelta(days=1)
LONGEST_PAUSE: Final = timedelta(hours=1)
FIRST_PAUSE: Final = timedelta(seconds=5)


@dataclass(frozen=True, slots=True)
class Receiver:
    """Who is told, and by what."""

    url: str
    caller: WebhookCaller


@dataclass(frozen=True, slots=True)
class _Trouble:
    reason: str
    again: timedelta | None


async def tell(database: AsyncEngine, receivers: Mapping[str, Receiver]) -> int:
    """Tells what is due, one thing of each profile and receiver; how many were tried."""
    if not receivers:
        return 0
    taken = await in_transaction(database, lambda c: webhooks.claim(c, receivers, AT_ONCE, LEASE))
    if not taken:
        return 0
    ends = await asyncio.gather(*(_one(each, receivers[each.webhook]) for each in taken))
    pairs = list(zip(taken, ends, strict=True))
    failures = [(each.id, end.reason, end.again) for each, end in pairs if end is not None]

    async def settle(connection: Any) -> None:
        await webhooks.told(connection, [each.id for each, end in pairs if end is None])
        await webhooks.not_told(connection, failures)

    await in_transaction(database, settle)
    return len(taken)


async def _one(telling: Telling, receiver: Receiver) -> _Trouble | None:
    try:
        await receiver.caller.call(receiver.url, "POST", body_of(telling), key_of(telling))
    except Rejected as refusal:
        return _Trouble(str(refusal), None)
    except (Throttled, Unavailable, Unknown) as trouble:
        named: timedelta | None = getattr(trouble, "retry_after", None)
        pause = named or pause_after(telling.attempts)
        if datetime.now(UTC) + pause > telling.created_at + PATIENCE:
            return _Trouble(f"given up after {telling.attempts} attempts; the last: {trouble}", None)
        return _Trouble(str(trouble), pause)
    return None


def key_of(telling: Telling) -> str:
    """The id by which a receiver knows a repetition."""
    return f"{telling.webhook}-{telling.id}"


def body_of(telling: Telling) -> dict[str, Any]:
    """What a receiver gets."""
    at = telling.at or telling.created_at
    return {
        "type": telling.event,
        "timestamp": at.astimezone(UTC).isoformat(),
        "data": {"profile_id": telling.profile_id, **telling.data},
    }


def pause_after(attempts: int) -> timedelta:
    """How long to wait after so many attempts, where the receiver named no length."""
    doubled: int = 2 ** max(0, min(attempts - 1, 20))
    return min(LONGEST_PAUSE, FIRST_PAUSE * doubled)


async def close(receivers: Sequence[Receiver]) -> None:
    """Closes their connections."""
    for receiver in receivers:
        await receiver.caller.close()
