"""`send_at: best_time`: at which hours customers look at messages, for those of a batch that wait for it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING, Final

from engine.core.plan import Message
from engine.delivery.ports import DeliveryPorts, LiveProject, Order
from engine.delivery.sight import Enrolment
from engine.policy import Profile, looks_by_hour
from engine.store import looks

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

BACK: Final = timedelta(days=180)
"""How far back an open or click counts."""
FRESH: Final = 3600.0
"""Seconds for which the hours of an audience are kept."""


async def with_looks(
    connection: AsyncConnection,
    ports: DeliveryPorts,
    project: LiveProject,
    asking: Sequence[tuple[Order, Message]],
    found: Mapping[str, Enrolment],
    profiles: Mapping[str, Profile],
) -> tuple[int, ...]:
    """Puts the customers' own hours into their profiles; returns those of the journeys' audiences."""
    waiting = [order for order, step in asking if step.send_at == "best_time"]
    if not waiting:
        return ()
    since = min(order.at for order in waiting) - BACK
    ids = {found[order.enrolment_id].profile_id for order in waiting}
    for profile_id, instants in (await looks.of_profiles(connection, ids, since)).items():
        profile = profiles[profile_id]
        profile.looks = looks_by_hour(instants, profile.time_zone)
    base = [0] * 24
    for journey in {order.journey for order in waiting}:
        now = monotonic()
        kept = ports.audiences.get(journey)
        if kept is None or now - kept[0] > FRESH:
            seen = await looks.of_audience(connection, journey, since)
            kept = ports.audiences[journey] = (now, _by_hour(seen, project.installation.time_zone))
        base = [one + other for one, other in zip(base, kept[1], strict=True)]
    return tuple(base)


def _by_hour(seen: Iterable[tuple[str | None, datetime]], usual: str) -> tuple[int, ...]:
    by_zone: dict[str, list[datetime]] = {}
    for zone, instant in seen:
        by_zone.setdefault(zone or usual, []).append(instant)
    counts = [looks_by_hour(instants, zone) for zone, instants in by_zone.items()]
    return tuple(sum(each) for each in zip(*counts, strict=True)) if counts else (0,) * 24
