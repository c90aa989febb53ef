"""What happens to customers while a crowd is on its way in.

Everybody in a crowd enters at one instant, but their rows are written one slice after the other. An event
that is routed in between finds no enrolment. So the router remembers such events, and when everybody is in
they are shown to those whom they concern: a goal that came in time is not lost. One that an enrolment has
seen already changes nothing.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Final

from engine.ingest.book import Book
from engine.ingest.conditions import Judge, expressions_of
from engine.ingest.people import load_people
from engine.ingest.times import Time
from engine.ingest.wakes import Followers, calls_of, followed, starts_of
from engine.store import crowds, enrolments, events, pool, starts
from engine.store.crowds import Crowd
from engine.store.enrolments import Enrolment
from engine.store.events import Event

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

BATCH: Final = 500
"""Events that one transaction shows."""


async def remember(
    connection: AsyncConnection,
    book: Book,
    batch: Sequence[Event],
    shown: Collection[tuple[str | None, str]],
) -> None:
    """Keeps events of this batch that may concern somebody who is about to enter in a crowd.

    `shown` are the (crowd, profile) whose enrolments have seen the batch.
    """
    if not batch or not (under_way := await crowds.entering(connection)):
        return
    plans = await book.plans(connection, {crowd.digest for crowd in under_way})
    kept = []
    for crowd in under_way:
        plan = plans.get(crowd.digest)
        names = plan.event_names() if plan is not None else frozenset()
        kept += [
            (crowd.id, event.event_id)
            for event in batch
            if event.name in names
            and (crowd.entered_at is None or event.occurred_at > crowd.entered_at)
            and (crowd.id, event.profile_id) not in shown
        ]
    await crowds.keep_events(connection, kept)


async def show(connection: AsyncConnection, crowd: Crowd, book: Book, time: Time, limit: int = BATCH) -> int:
    """Shows the enrolments of a crowd some of what was remembered; how many events, 0 when all is shown.

    To be called when no router is left that does not see those enrolments.
    """
    taken = await crowds.take_events(connection, crowd.id, limit)
    plan = (await book.plans(connection, [crowd.digest])).get(crowd.digest)
    batch = [e for e in (await events.get_batch(connection, taken)).values() if e.routed_at is not None]
    if not batch or plan is None or crowd.entered_at is None:
        return len(taken)
    batch.sort(key=lambda event: (event.occurred_at, event.sequence))
    of_profile: dict[str, list[Event]] = {}
    for event in batch:
        of_profile.setdefault(event.profile_id, []).append(event)
    rows = await _rows(connection, crowd, of_profile)
    edition = await book.edition(connection)
    first, last = batch[0].occurred_at, max(batch[-1].occurred_at, time.now)
    people = await load_people(connection, set(of_profile), set(expressions_of(plan)), edition, first, last)
    judge = Judge(people, edition.catalogue, edition.installation.time_zone)
    concerned = [followed(row, plan, judge, {}) for row in rows]
    followers = Followers(concerned, judge, time.given_at, time.instant)
    for row in rows:
        followers.feed(row.id, of_profile[row.profile_id])
    await enrolments.set_converted(connection, followers.conversions)
    await pool.call_batch(connection, calls_of(followers.wakes))
    await starts.add_batch(connection, starts_of(followers.wakes))
    return len(taken)


async def _rows(connection: AsyncConnection, crowd: Crowd, profile_ids: Collection[str]) -> list[Enrolment]:
    """The enrolments that this crowd has made for these profiles, live or such as may still convert."""
    assert crowd.entered_at is not None
    found = await enrolments.live_for_profiles(connection, profile_ids)
    found += await enrolments.convertible(connection, profile_ids, crowd.entered_at)
    own = {row.id: row for row in found if row.trigger_event_id is None and row.trigger.get("id") == crowd.id}
    return list(own.values())
