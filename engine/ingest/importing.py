"""Imports: a file of customers or of events, slice by slice, each in one transaction with its place in it.

A job that is cut off goes on behind the last slice that was committed: nothing is lost, and nothing is in
twice. Rows of a slice whose customers nobody knows, and that share nothing with each other, are written as
they are (`engine.customers.importing.fresh`); all others go the way of `identify`.
"""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

from engine.core.identity import event_id
from engine.customers.applied import Applied, applied
from engine.customers.graph import links_of
from engine.customers.importing import fresh
from engine.customers.importing.columns import Mapped
from engine.customers.importing.encodings import Unreadable
from engine.customers.importing.happenings import Happening, Happenings
from engine.customers.importing.mapping import mapping_data, mapping_of
from engine.customers.importing.people import CannotMap, People, Person, Rejected
from engine.customers.importing.reading import Row, Source, rows
from engine.customers.making import new_key
from engine.customers.profiles import apply_traits
from engine.customers.resolve import Request, resolve
from engine.ingest.identifying import Identified
from engine.ingest.intake import Kept, count_odd, keep
from engine.ingest.merging import follow
from engine.ingest.normalise import Incoming
from engine.ingest.recording import consent_changes, record_events
from engine.store import clock, identities, imports, jobs, links
from engine.store.consents import Consent
from engine.store.database import in_transaction
from engine.store.imports import Crossed
from engine.store.jobs import Job, Kind, Reject

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

SLICE: Final = 10_000
"""Rows of customers in one transaction."""
EVENTS: Final = 2_000
TOGETHER: Final = 1_000
"""Of those that are not new so many are resolved at once."""
HOPELESS: Final = 100
"""A file that begins with so many rows that cannot be taken is mapped wrongly: it ends there."""
_ROUNDS: Final = 6


class CannotImport(ValueError):
    """The file is not imported; the text says why and what to do."""


class Elsewhere(CannotImport):
    """Another process is at this import: it is in good hands."""


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants imported, and how. `at` is logical; `trigger`: events may start journeys."""

    mapped: Mapped
    source: str
    at: datetime | None = None
    trigger: bool = False
    again: bool = False

    def options(self) -> dict[str, Any]:
        return {"mapping": mapping_data(self.mapped), "source": self.source, "trigger": self.trigger}


@dataclass(frozen=True, slots=True)
class Looked:
    """What a dry run found. `known`: customers of whom some identifier is known already."""

    counts: dict[str, int]
    rejects: list[Reject]


async def begin(
    database: AsyncEngine, file: Source, asked: Asked, created_by: str | None = None
) -> tuple[Job, bool]:
    """The job of a file, and whether it goes on with one that was cut off.

    Raises:
        CannotImport: it was imported before, or begun in another way.
    """
    kind: Kind = "import_customers" if asked.mapped.what == "customers" else "import_events"

    async def work(connection: AsyncConnection) -> tuple[Job, bool]:
        before = await jobs.last_of(connection, kind, file.digest)
        if before is not None and not asked.again:
            if before.state == "done":
                raise CannotImport(
                    f"this file was imported already, on {before.created_at:%Y-%m-%d %H:%M} UTC: "
                    "--again does it once more"
                )
            if not before.over:
                if before.options != asked.options() or asked.at not in (None, before.at):
                    raise CannotImport(
                        "an import of this file was begun with another mapping, source or time and not "
                        "finished: ask for it in the same way to go on, or --again to begin anew"
                    )
                return before, True
        if before is not None and not before.over:
            await jobs.change(connection, before.id, state="failed", error="begun anew")
        at = asked.at or (await clock.load(connection)).now()
        made = await jobs.make(
            connection,
            str(uuid.uuid4()),
            kind,
            at,
            asked.options(),
            name=file.path.name,
            digest=file.digest,
            total=file.total,
            created_by=created_by,
        )
        return made, False

    return await in_transaction(database, work)


@dataclass(slots=True)
class Importer:
    """Works at one job until it is over. `heard` is told how many rows are done."""

    database: AsyncEngine
    file: Source
    heard: Callable[[int], None] = lambda done: None
    size: int | None = None
    """Rows of a slice, where it is not the usual."""
    _easy: bool = True
    _counts: Counter[str] = field(default_factory=Counter)

    async def run(self, job: Job) -> Job:
        """Imports the rest of the file; the job as it is then.

        Raises:
            Elsewhere: another process is at it just now.
        """
        async with jobs.holding(self.database, job.id) as mine:
            if not mine:
                raise Elsewhere("this file is being imported by another process just now")
            async with self.database.connect() as connection:
                found = await jobs.get(connection, job.id)
                known = await applied(connection)
            if found is None or found.over:
                return found or job
            self._counts = Counter(found.counts)
            try:
                await self._all(found, known)
            except Elsewhere:
                raise
            except (Unreadable, CannotMap, CannotImport) as error:
                await self._end(job.id, "failed", str(error))
            else:
                await self._end(job.id, "done", None)
        async with self.database.connect() as connection:
            return await jobs.get(connection, job.id) or job

    async def _end(self, job_id: str, state: str, error: str | None) -> None:
        async def work(connection: AsyncConnection) -> None:
            more = {"total": self._counts["rows"]} if state == "done" else {}
            await jobs.change(connection, job_id, state=state, error=error, **more)

        await in_transaction(self.database, work)

    async def _all(self, job: Job, known: Applied) -> None:
        mapped = mapping_of(job.options["mapping"])
        people = mapped.what == "customers"
        size = self.size or (SLICE if people else EVENTS)
        read = _reader(mapped, known, job.at)
        slices = _slices(self.file, read, job.done, size)
        coming = asyncio.create_task(asyncio.to_thread(next, slices, None))
        done = job.done
        try:
            while (some := await coming) is not None:
                # The next slice is read while the database works at this one.
                coming = asyncio.create_task(asyncio.to_thread(next, slices, None))
                if done == 0 and len(some) >= HOPELESS and all(isinstance(e, Rejected) for e in some):
                    first = next(each for each in some if isinstance(each, Rejected))
                    raise CannotImport(
                        f"not one of the first {len(some)} rows can be taken; line {first.line}: {first.why}"
                    )
                if people:
                    await self._take_people(job, known, done, some)
                else:
                    await self._take_events(job, known, done, some)
                done += len(some)
                self.heard(done)
        finally:
            coming.cancel()

    # --- customers ------------------------------------------------------------------------------------

    async def _take_people(self, job: Job, known: Applied, before: int, some: Sequence[Any]) -> None:
        people = [each for each in some if isinstance(each, Person)]
        for turn in range(_ROUNDS):
            looks = turn > 0 or not self._easy
            try:
                counts = await in_transaction(
                    self.database,
                    lambda c, looks=looks, turn=turn: self._people(  # type: ignore[misc]
                        c, job, known, before, some, people, looks, turn == _ROUNDS - 1
                    ),
                )
            except Crossed:
                self._easy = False
                continue
            if looks:
                self._easy = counts["new"] == len(people)
            self._counts = counts
            return
        raise RuntimeError("identities kept changing under this slice; try it again")

    async def _people(
        self,
        connection: AsyncConnection,
        job: Job,
        known: Applied,
        before: int,
        some: Sequence[Any],
        people: Sequence[Person],
        looks: bool,
        plain: bool,
    ) -> Counter[str]:
        await _mine(connection, job.id, before)
        rules, source = known.installation.identities, job.options["source"]
        if plain:
            new, rest = list[Person](), list(people)
        else:
            new, rest = fresh.alone(people, rules)
            if looks:
                new, more = await _unknown(connection, new, known)
                rest = sorted([*rest, *more], key=lambda one: one.line)
        counts = self._counted(some, len(people))
        counts["new"] += len(new)
        withdrawn: list[Consent] = []
        if new:
            made = fresh.rows_of(new, rules, source, known.catalogue)
            await imports.copy_new(connection, made)
            withdrawn += [entry for entry in made.consents if not entry.granted]
        for start in range(0, len(rest), TOGETHER):
            part = rest[start : start + TOGETHER]
            said, count = await _identify(connection, part, known, source)
            withdrawn += [entry for entry in said if not entry.granted]
            counts["new"] += count
        if withdrawn:
            at = max(entry.at for entry in withdrawn)
            await record_events(connection, consent_changes(withdrawn), at)
        await _advance(connection, job.id, before, some, counts)
        return counts

    # --- events ---------------------------------------------------------------------------------------

    async def _take_events(self, job: Job, known: Applied, before: int, some: Sequence[Any]) -> None:
        source, trigger = job.options["source"], job.options["trigger"]
        found = [each for each in some if isinstance(each, Happening)]
        kept = [_kept(each, source, job.at) for each in found]

        async def work(connection: AsyncConnection) -> Counter[str]:
            await _mine(connection, job.id, before)
            rules = known.installation.identities
            made: set[str] = set()
            new = (
                await keep(connection, source, kept, rules, known.catalogue, heeded=trigger, made=made)
                if kept
                else set()
            )
            counts = self._counted(some, len(found))
            counts["customers"] += len(made)
            counts["new"] += len(new)
            counts["duplicates"] += len(found) - len(new)
            await _advance(connection, job.id, before, some, counts)
            return counts

        self._counts = await in_transaction(self.database, work)
        await count_odd(self.database, source, known.catalogue, kept)

    def _counted(self, some: Sequence[Any], taken: int) -> Counter[str]:
        counts = Counter(self._counts)
        counts["rows"] += len(some)
        counts["taken"] += taken
        counts["rejected"] += len(some) - taken
        counts["odd"] += sum(1 for each in some if not isinstance(each, Rejected) and each.odd)
        return counts


async def look(database: AsyncEngine, file: Source, asked: Asked, most: int = 20) -> Looked:
    """What importing the file would come to; writes nothing. `most` rejects are told.

    Raises:
        Unreadable, CannotMap: it cannot be imported.
    """
    async with database.connect() as connection:
        known = await applied(connection)
        at = asked.at or (await clock.load(connection)).now()
    counts: Counter[str] = Counter()
    rejects: list[Reject] = []
    for some in _slices(file, _reader(asked.mapped, known, at), 0, SLICE):
        taken = [each for each in some if not isinstance(each, Rejected)]
        counts.update({"rows": len(some), "taken": len(taken), "rejected": len(some) - len(taken)})
        counts["odd"] += sum(1 for each in taken if each.odd)
        rejects += _rejects(some)[: most - len(rejects)]
        async with database.connect() as connection:
            wanted = {identity for each in taken for identity in each.identities}
            there = await identities.find_batch(connection, wanted)
        counts["known"] += sum(any(i in there for i in each.identities) for each in taken)
    return Looked(dict(counts), rejects)


def _reader(mapped: Mapped, known: Applied, at: datetime) -> Callable[[Row, int], Any]:
    if mapped.what == "customers":
        return People(mapped, known.catalogue, known.installation, at).read
    events = Happenings(mapped, known.catalogue, known.installation, at)
    return lambda row, place: events.read(row)


def _slices(
    file: Source, read: Callable[[Row, int], Any], skip: int, size: int
) -> Iterator[list[Person | Happening | Rejected]]:
    coming = rows(file, skip)
    place = skip
    while part := list(islice(coming, size)):
        yield [read(row, place + number) for number, row in enumerate(part)]
        place += len(part)


async def _mine(connection: AsyncConnection, job_id: str, before: int) -> None:
    """Holds the job, which must stand where we think it does."""
    found = await jobs.get(connection, job_id, lock=True)
    if found is None or found.over or found.done != before:
        raise Elsewhere("another process has gone on with this import")


async def _advance(
    connection: AsyncConnection, job_id: str, before: int, some: Sequence[Any], counts: Counter[str]
) -> None:
    if not await jobs.advance(connection, job_id, before, before + len(some), counts, _rejects(some)):
        raise Elsewhere("another process has gone on with this import")


def _rejects(some: Sequence[Any]) -> list[Reject]:
    return [
        Reject(each.line, each.why) if isinstance(each, Rejected) else Reject(each.line, each.odd, kept=True)
        for each in some
        if isinstance(each, Rejected) or each.odd
    ]


async def _unknown(
    connection: AsyncConnection, people: Sequence[Person], known: Applied
) -> tuple[list[Person], list[Person]]:
    """Those of whom nothing is known, and the others."""
    rules = known.installation.identities
    there = await identities.find_batch(connection, {i for one in people for i in one.identities})
    new, rest = fresh.alone(people, rules, there)
    said = {link.pair: one for one in new for link in links_of(one.identities, one.at, rules)}
    told = {id(said[pair]) for pair in await links.known(connection, said)}
    keys = {new_key(one.identities[0], 0): one for one in new}
    told |= {id(keys[key]) for key in await imports.taken_keys(connection, keys)}
    if told:
        rest += [one for one in new if id(one) in told]
        new = [one for one in new if id(one) not in told]
    return new, rest


async def _identify(
    connection: AsyncConnection, people: Sequence[Person], known: Applied, source: str
) -> tuple[list[Consent], int]:
    """What `identify` does with them; consents recorded, and how many customers are new."""
    rules = known.installation.identities
    requests = [Request(one.identities, one.at, fresh.shown_of(one)) for one in people]
    resolution = await resolve(connection, requests, rules)
    await follow(connection, resolution.merges, fresh.said_at(people))
    traits = [
        fresh.traits_of(one, owner.profile_id, source)
        for one, owner in zip(people, resolution.profiles, strict=True)
    ]
    told = [each for each in traits if each.traits]
    consents = await apply_traits(connection, told, rules, known.catalogue)
    return consents, len({owner.profile_id for owner in resolution.profiles if owner.made})


def _kept(found: Happening, source: str, now: datetime) -> Kept:
    who = dict[str, str](reversed(found.identities))
    incoming = Incoming(
        type="track",
        name=found.name,
        message_id=found.message_id,
        occurred_at=found.occurred_at,
        external_id=who.get("external_id"),
        anonymous_id=who.get("anonymous_id"),
        properties=found.properties,
    )
    return Kept(event_id(source, found.message_id), incoming, now, Identified(found.identities))
