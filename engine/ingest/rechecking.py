"""One customer looked at anew, in the router's transaction: who is in what now, against what was seen last.

Looked at is whoever has an event in the batch that what is followed asks for, and whoever changed in another
way (`engine.store.rechecks`). Facts are those of logical now; what changed is recorded at the instant of the
event that brought it about. While somebody looks at everybody (`engine.ingest.recomputing`) it is put off.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING

from engine.customers.facts import FactsRequest, load_facts
from engine.customers.followed import OWN_EVENTS, STAGE, Meaning
from engine.ingest.book import Edition
from engine.ingest.heeded import Heeded
from engine.ingest.recording import Internal, record_events, segment_changed, stage_changed
from engine.ingest.times import Time
from engine.language.expressions import Facts, Requirements, compile_expression
from engine.store import derived, events, profiles, rechecks, tags
from engine.store.derived import Followed, NewStage, Place
from engine.store.events import Event
from engine.store.profiles import Profile
from engine.store.tags import RULE, Grant

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


@dataclass(slots=True)
class _Look:
    """A customer to look at. `at` is when what brings us here happened, if that is known; `quiet`: nobody is
    told."""

    at: datetime | None
    quiet: bool = False


@dataclass(slots=True)
class _Changes:
    """What differs from what was seen last."""

    memberships: list[tuple[str, str, bool, datetime]] = field(default_factory=list)
    stages: list[NewStage] = field(default_factory=list)
    given: list[Grant] = field(default_factory=list)
    taken: list[tuple[str, str]] = field(default_factory=list)

    def without(self, left: set[str]) -> _Changes:
        return _Changes(
            [each for each in self.memberships if each[1] not in left],
            [each for each in self.stages if each.profile_id not in left],
            [each for each in self.given if each.profile_id not in left],
            [each for each in self.taken if each[0] not in left],
        )


async def recheck(
    connection: AsyncConnection,
    edition: Edition,
    shards: Sequence[int],
    batch: Sequence[Event],
    time: Time,
    heeded: Heeded,
) -> int:
    """Looks at the customers of the batch whom it concerns, and at those who changed otherwise; how many.

    The caller holds the shards, and has marked the batch as routed.
    """
    if not edition.meaning.texts:
        return 0
    open_, followed = await derived.standing(connection)
    places = edition.meaning.standing(followed)
    if not followed:
        return 0
    needs = edition.meaning.needs(places)
    looks: dict[str, _Look] = {}
    for event in batch:
        if event.name in needs.history and event.name not in OWN_EVENTS:
            _look(looks, event.profile_id, time.instant(event.occurred_at))
    if not open_:
        await rechecks.put_off(connection, {i: look.at or time.now for i, look in looks.items()})
        return 0
    for waiting in await rechecks.take(connection, shards):
        at = None if waiting.at is None else time.instant(waiting.at)
        _look(looks, waiting.profile_id, at, waiting.quiet)
    if not looks or not places:
        return 0
    await _take(connection, edition, looks, places, followed, needs, time, heeded)
    return len(looks)


def _look(looks: dict[str, _Look], profile_id: str, at: datetime | None, quiet: bool = False) -> None:
    known = looks.setdefault(profile_id, _Look(at, quiet))
    known.at = max(filter(None, (known.at, at)), default=None)
    known.quiet = known.quiet or quiet


async def _take(
    connection: AsyncConnection,
    edition: Edition,
    looks: Mapping[str, _Look],
    places: frozenset[Place],
    followed: Sequence[Followed],
    needs: Requirements,
    time: Time,
    heeded: Heeded,
) -> None:
    found = await profiles.get_batch(connection, looks)
    people = {i: profile for i, profile in found.items() if profile.merged_into is None}
    if not people:
        return
    last = await _seen(connection, people, needs) if time.exact else {}
    as_of = max(each.as_of for each in followed)
    requests = [
        FactsRequest(
            i, max(looks[i].at or time.now, as_of, last.get(i, as_of) if time.exact else time.now), needs
        )
        for i in people
    ]
    installation = edition.installation
    facts = await load_facts(
        connection,
        requests,
        edition.catalogue,
        installation.time_zone,
        installation.consent["marketing"],
        people,
    )
    memberships = await derived.memberships(connection, people)
    stages = await derived.stages(connection, people) if STAGE in places else {}
    changes: dict[bool, _Changes] = {False: _Changes(), True: _Changes()}
    for (profile_id, person), known in zip(people.items(), facts, strict=True):
        look = looks[profile_id]
        one = _One(profile_id, look.at or time.now, edition.meaning, changes[look.quiet])
        known = one.tags(person, known, places)
        one.memberships(memberships.get(profile_id, {}), known, places)
        if STAGE in places:
            one.stage(stages.get(profile_id), known)
    for quiet, each in changes.items():
        await _write(connection, each, edition, time, heeded, quiet=quiet)


@dataclass(slots=True)
class _One:
    """The pure part, for one customer."""

    profile_id: str
    at: datetime
    meaning: Meaning
    changes: _Changes

    def tags(self, person: Profile, known: Facts, places: frozenset[Place]) -> Facts:
        """Compares the tags that rules keep; gives back the facts with those that there are now."""
        rules = [place for place in places if place[0] == "tag"]
        held = {name for kind, name in rules if self._holds((kind, name), known)}
        for _, name in rules:
            if name in held and name not in person.tags:
                self.changes.given.append(Grant(self.profile_id, name, RULE, self.at))
            elif name not in held and name in person.tags:
                self.changes.taken.append((self.profile_id, name))
        if not rules:
            return known
        return replace(known, tags=(known.tags - {name for _, name in rules}) | held)

    def memberships(self, before: Mapping[str, datetime], known: Facts, places: frozenset[Place]) -> None:
        for kind, name in sorted(places):
            if kind == "segment":
                inside = self._holds((kind, name), known)
                if inside != (name in before):
                    self.changes.memberships.append((name, self.profile_id, inside, self.at))

    def stage(self, before: tuple[str | None, datetime] | None, known: Facts) -> None:
        value = compile_expression(self.meaning.texts[STAGE])(known)
        stage = value if isinstance(value, str) else None
        was = self.meaning.catalogue.beginning if before is None else before[0]
        if stage != was:
            self.changes.stages.append(NewStage(self.profile_id, before is not None, was, stage, self.at))

    def _holds(self, place: Place, known: Facts) -> bool:
        return compile_expression(self.meaning.texts[place])(known) is True


async def _seen(
    connection: AsyncConnection, people: Mapping[str, Profile], needs: Requirements
) -> dict[str, datetime]:
    """When the last event occurred that each of them was looked at for, or should have been."""
    names = set(needs.history) - OWN_EVENTS
    return await events.last_routed(connection, people, names) if names else {}


async def _write(
    connection: AsyncConnection,
    changes: _Changes,
    edition: Edition,
    time: Time,
    heeded: Heeded,
    *,
    quiet: bool,
) -> None:
    if changes.given or changes.taken:
        wanted = {*(grant.profile_id for grant in changes.given), *(i for i, _ in changes.taken)}
        held = await profiles.change_rule_tags(connection, changes.given, changes.taken)
        if left := wanted - held:
            # Somebody else has them, perhaps a merge that waits for us: they come next time.
            await rechecks.add(connection, left, time.now, quiet=quiet)
            changes = changes.without(left)
        await tags.keep(connection, changes.given, changes.taken)
    told: list[Internal] = []
    for entered in await derived.change_memberships(connection, changes.memberships, quiet=quiet):
        told.append(segment_changed(entered))
    beginning = edition.catalogue.beginning
    for moved in await derived.change_stages(connection, changes.stages, beginning, quiet=quiet):
        told.append(stage_changed(moved))
    if told and not quiet:
        names = await heeded.names(connection)
        for event in told:
            event.heeded = event.name in names
        await record_events(connection, told, time.wall)
