"""Moments that no event tells of become one: `journey.moment`, recorded once, routed like any trigger.

Theory of operation. A journey's watermark says up to where its moments are recorded. A tick looks at the
stretch from there to now, finds those who cross the line in it, and records an event for each, at the very
instant of the crossing, together with the new watermark: slice by slice, a transaction each. So a tick that
is killed goes on where it stopped, one that was missed is made up for by the next, and two at once do not add
up; an event that is there already is not recorded again. What comes of it, `reenter` and a pause included, is
the router's to say.

A campaign (`audience`) is a crowd, asked for in the transaction that moves the watermark over its instant. Of
several that were missed the newest is made up for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final
from zoneinfo import ZoneInfo, available_timezones

from engine.core.identity import event_id
from engine.core.moments import Moment, days_coming, moments, said_as
from engine.core.plan import Plan, Trigger
from engine.ingest import crowds
from engine.ingest.book import Book, Edition
from engine.ingest.conditions import MOMENT, Judge
from engine.ingest.entry import LiveJourney
from engine.ingest.people import load_people
from engine.ingest.recording import SOURCE, Internal, record_events
from engine.ingest.times import Time, time_at
from engine.language.expressions import parse, requirements
from engine.language.expressions.sql import Column, Setting, column
from engine.language.schedules import last_launch
from engine.language.types import coerce, to_json
from engine.store import accelerators, events
from engine.store import moments as store
from engine.store.database import in_transaction
from engine.store.events import Event
from engine.store.moments import Dated, Tick

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

SLICE: Final = 2_000
"""Customers that one transaction takes."""
HINDSIGHT: Final = timedelta(seconds=30)
"""How much later than now quiet is judged in real time: events take a moment to come in."""
MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
_AROUND: Final = timedelta(days=2)


@dataclass(frozen=True, slots=True)
class Ticked:
    """What a tick came to. `until` is None where there was nothing to look at, or somebody else does."""

    recorded: int = 0
    until: datetime | None = None
    more: bool = False

    def in_words(self) -> str:
        if self.until is None:
            return "nothing to look at"
        return f"{self.recorded:,} recorded, up to {self.until:%Y-%m-%d %H:%M:%S} UTC"


NOTHING: Final = Ticked()


def has_moments(plan: Plan) -> bool:
    """Whether entries of this journey come with time, and not with an event or by hand."""
    trigger = plan.trigger
    if trigger.kind == "audience":
        return trigger.cron is not None or trigger.at is not None
    return trigger.kind in ("quiet", "date")


def looks_every(plan: Plan, edition: Edition) -> timedelta:
    """How often a journey is to be looked at. What is computed has to be worked out for everybody."""
    attribute = edition.catalogue.attribute(plan.trigger.attribute or "")
    return HOUR if attribute is not None and attribute.computed is not None else MINUTE


@dataclass(slots=True)
class Ticker:
    """Looks at journeys. `limit` is how many customers one transaction takes; `wall` is for tests."""

    database: AsyncEngine
    limit: int = SLICE
    wall: Callable[[], datetime] = lambda: datetime.now(UTC)
    _book: Book = field(default_factory=Book)

    async def watched(self) -> list[tuple[LiveJourney, timedelta]]:
        """The journeys that are to be looked at, paused ones too, and how often."""
        async with self.database.connect() as connection:
            edition = await self._book.edition(connection)
        return [(one, looks_every(one.plan, edition)) for one in edition.journeys if has_moments(one.plan)]

    async def speed_up(self) -> tuple[int, int]:
        """Builds the indexes that these journeys need, and drops those that none needs any more; how many."""
        async with self.database.connect() as connection:
            edition = await self._book.edition(connection)
        wanted: list[accelerators.Accelerator] = []
        for trigger in (one.plan.trigger for one in edition.journeys):
            attribute = edition.catalogue.attribute(trigger.attribute or "")
            if trigger.since is not None:
                wanted += accelerators.for_event(trigger.since)
            elif attribute is not None and attribute.computed is None:
                wanted += accelerators.for_attribute(trigger.attribute or "", trigger.every)
        return await accelerators.keep(self.database, wanted)

    async def tick(self, journey: str) -> Ticked:
        """Records every moment of a journey up to now. Harmless to repeat, and to run twice at once."""
        recorded = 0
        while True:
            done = await in_transaction(self.database, lambda c: self._slice(c, journey))
            recorded += done.recorded
            if not done.more:
                return Ticked(recorded, done.until)

    async def _slice(self, connection: AsyncConnection, journey: str) -> Ticked:
        edition = await self._book.edition(connection)
        found = next((one for one in edition.journeys if one.name == journey), None)
        if found is None or not has_moments(found.plan):
            return NOTHING
        time = await time_at(connection, self.wall())
        await store.begin(connection, [journey], time.now)
        tick = await store.hold(connection, journey)
        if tick is None:
            return NOTHING
        look = _Look(connection, found, edition, time, tick, self.limit)
        match found.plan.trigger.kind:
            case "quiet":
                return await look.quiet()
            case "date":
                return await look.dates()
        return await look.launch()


@dataclass(slots=True)
class _Look:
    """One slice of one journey."""

    connection: AsyncConnection
    journey: LiveJourney
    edition: Edition
    time: Time
    tick: Tick
    limit: int

    @property
    def trigger(self) -> Trigger:
        return self.journey.plan.trigger

    @property
    def going_on(self) -> bool:
        """Whether the slice before was one of this plan's, and not the last."""
        return self.tick.after is not None and self.tick.digest == self.journey.digest

    async def _advance(
        self,
        until: datetime,
        recorded: int = 0,
        *,
        after: str | None = None,
        goal: datetime | None = None,
    ) -> Ticked:
        await store.advance(
            self.connection,
            self.journey.name,
            self.journey.digest,
            until,
            after=after,
            until=goal,
            recorded=recorded,
        )
        return Ticked(recorded, until, more=after is not None)

    async def _record(self, found: Sequence[Internal]) -> int:
        return len(await record_events(self.connection, found, self.time.wall))

    def _moment(self, profile_id: str, at: datetime, about: str, given: dict[str, Any]) -> Internal:
        return Internal(
            profile_id,
            MOMENT,
            at,
            _message_id(self.journey.name, about),
            {"journey": self.journey.name, "with": given},
        )

    # --- quiet ----------------------------------------------------------------------------------------

    async def quiet(self) -> Ticked:
        trigger, tick = self.trigger, self.tick
        assert trigger.quiet_for is not None
        assert trigger.since is not None
        until = self.time.settle_by if self.time.exact else self.time.settle_by - HINDSIGHT
        if until <= tick.ticked_until:
            return NOTHING
        after = store.LAST
        if tick.after is not None:  # a plan that has changed meanwhile looks at that instant again
            after = tick.after if self.going_on else store.FIRST
        # A condition that does not look at the event holds for all of them or for none.
        own = trigger.where is not None and "event" in requirements([trigger.where]).roots
        found, end = await store.quiet_since(
            self.connection,
            trigger.since,
            trigger.quiet_for,
            (tick.ticked_until, after),
            until,
            self.limit,
            newest=not own,
        )
        crossed = await self._still_quiet(found, trigger.quiet_for, own)
        recorded = await self._record(
            [
                self._moment(
                    event.profile_id, event.occurred_at + trigger.quiet_for, event.event_id, _of(event)
                )
                for event in crossed
            ]
        )
        if end is not None:
            return await self._advance(end[0], recorded, after=end[1])
        return await self._advance(until, recorded)

    async def _still_quiet(self, found: Sequence[Event], length: timedelta, own: bool) -> list[Event]:
        where, name = self.trigger.where, self.trigger.since or ""
        if where is None or not found:
            return list(found)
        ids = {event.profile_id for event in found}
        earliest, latest = found[0].occurred_at + length, found[-1].occurred_at + length
        people = await load_people(self.connection, ids, [where], self.edition, earliest, latest)
        judge = Judge(people, self.edition.catalogue, self.edition.installation.time_zone)
        later: dict[str, list[Event]] = {}
        if own:
            since = found[0].occurred_at
            later = await events.for_profiles(self.connection, ids, [name], since, latest)

        def quiet(event: Event) -> bool:
            at, place = event.occurred_at + length, (event.occurred_at, event.sequence)
            newer = (
                each
                for each in later.get(event.profile_id, ())
                if (each.occurred_at, each.sequence) > place and each.occurred_at <= at
            )
            return judge.holds(where, event, at) and not any(judge.holds(where, each, at) for each in newer)

        return [event for event in found if quiet(event)]

    # --- dates ----------------------------------------------------------------------------------------

    async def dates(self) -> Ticked:
        tick, trigger = self.tick, self.trigger
        going_on = self.going_on and tick.until is not None
        until = tick.until if going_on and tick.until is not None else self.time.settle_by
        if until <= tick.ticked_until:
            return NOTHING
        attribute = self.edition.catalogue.attribute(trigger.attribute or "")
        kind = "date" if attribute is None else attribute.type
        days, zones = self._days(kind, until)
        if not days:
            return await self._advance(until)
        after = tick.after if going_on and tick.after is not None else store.FIRST
        found = await store.dated(
            self.connection,
            trigger.attribute or "",
            trigger.every,
            days,
            zones,
            after,
            self.limit,
            None if attribute is None or attribute.computed is None else self._computed(until),
        )
        come = [(one, moment) for one in found for moment in self._come(one, kind, until)]
        recorded = await self._record(await self._new(come))
        if len(found) >= self.limit:
            return await self._advance(tick.ticked_until, recorded, after=found[-1].profile_id, goal=until)
        return await self._advance(until, recorded)

    def _days(self, kind: str, until: datetime) -> tuple[list[str], list[tuple[str, str]] | None]:
        """Which days may come round, as dates are written; of dates for each time zone."""
        trigger, after = self.trigger, self.tick.ticked_until
        if kind == "datetime" and trigger.at is None:
            first = (after - trigger.offset - _AROUND).date()
            last = (until - trigger.offset + _AROUND).date()
            return _written(_from_to(first, last), trigger), None
        own = self.edition.installation.time_zone
        coming = {
            zone: days
            for zone in ("", *sorted(available_timezones()))
            if (days := days_coming(trigger, zone or own, after, until))
        }
        every = {day for days in coming.values() for day in days}
        if kind == "datetime":  # the day of its text is that of another zone
            near = {each for day in every for each in _from_to(day - _AROUND, day + _AROUND)}
            return _written(sorted(near), trigger), None
        pairs = [(zone, each) for zone, days in coming.items() for each in _written(days, trigger)]
        return _written(sorted(every), trigger), pairs

    def _come(self, one: Dated, kind: str, until: datetime) -> Iterable[Moment]:
        own = self.edition.installation.time_zone
        value = coerce(one.value, kind, ZoneInfo(own))
        return moments(value, self.trigger, one.time_zone or own, self.tick.ticked_until, until)

    def _computed(self, now: datetime) -> Column:
        installation = self.edition.installation
        setting = Setting(self.edition.catalogue, installation.time_zone, installation.consent["marketing"])
        return column(parse(f"profile.{self.trigger.attribute}"), setting, now)

    async def _new(self, come: Sequence[tuple[Dated, Moment]]) -> list[Internal]:
        """Their moments, less those that were told of somebody who has been merged into them since."""
        before = await store.keys_before(self.connection, {one.profile_id for one, _ in come}) if come else {}
        told: dict[str, list[str]] = {}
        for one, moment in come:
            ids = (_about(key, moment) for key in before.get(one.profile_id, ()))
            told[_about(one.key, moment)] = [event_id(SOURCE, _message_id(self.journey.name, i)) for i in ids]
        wanted = {each for ids in told.values() for each in ids}
        known = set(await events.get_batch(self.connection, wanted)) if wanted else set[str]()
        new = []
        for one, moment in come:
            about = _about(one.key, moment)
            if known.isdisjoint(told[about]):
                new.append(self._moment(one.profile_id, moment.at, about, {"date": to_json(moment.date)}))
        return new

    # --- campaigns ------------------------------------------------------------------------------------

    async def launch(self) -> Ticked:
        until, after = self.time.settle_by, self.tick.ticked_until
        if until <= after:
            return NOTHING
        due_at = self._due(after, until)
        if due_at is None:
            return await self._advance(until)
        await crowds.ask(self.connection, self.journey.name, {}, campaign=True, due_at=due_at)
        return await self._advance(until, 1)

    def _due(self, after: datetime, until: datetime) -> datetime | None:
        trigger = self.trigger
        if trigger.cron is not None:
            zone = ZoneInfo(self.edition.installation.time_zone)
            return last_launch(trigger.cron, after, until, zone)
        at = datetime.fromisoformat(trigger.at or "")
        return at if after < at <= until else None


def _message_id(journey: str, about: str) -> str:
    return f"moment/{journey}/{about}"


def _about(key: str, moment: Moment) -> str:
    return f"{key}/{moment.at.isoformat()}"


def _of(event: Event) -> dict[str, Any]:
    """An event as `trigger` shows it, in JSON."""
    own = {"name": event.name, "id": event.event_id, "occurred_at": event.occurred_at.isoformat()}
    return {**event.properties, **own}


def _from_to(first: date, last: date) -> list[date]:
    return [first + timedelta(days=number) for number in range((last - first).days + 1)]


def _written(days: Iterable[date], trigger: Trigger) -> list[str]:
    return list(dict.fromkeys(each for day in days for each in said_as(day, trigger.every)))
