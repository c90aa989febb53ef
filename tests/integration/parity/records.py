"""One enrolment as both sides tell of it, and where they differ."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from itertools import zip_longest
from typing import Any

from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.commands import Trace
from engine.simulator.person import Enrolment
from engine.store import enrolments as rows_of
from engine.store import outbox, traces
from engine.store.enrolments import Filter


@dataclass(frozen=True)
class Record:
    """Instants as ISO text, so that a difference reads well."""

    journey: str
    customer: str
    holdout: bool
    entered_at: str
    exit: str | None
    ended_at: str | None
    converted_at: str | None
    variants: dict[str, str]
    messages: tuple[tuple[str, str, str], ...]
    """(logical time, channel, template)."""
    trace: tuple[tuple[str, str, str | None, str | None, tuple[tuple[str, str], ...]], ...]


Records = Mapping[str, Record]
"""By enrolment id, which holds the trigger event's id: the same on both sides."""


def _iso(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()


def _lines(trace: Iterable[Trace]) -> tuple[Any, ...]:
    # Why a call failed is told in the words of the provider, or of the stand-in.
    return tuple(
        (t.at.isoformat(), t.result, t.step, None if t.result == "failed" else t.detail, t.passed_over)
        for t in trace
        if t.result != "ignored"
    )


def of_simulation(enrolments: Iterable[Enrolment]) -> Records:
    found = {}
    for enrolment in enrolments:
        state = enrolment.state
        found[enrolment.id] = Record(
            enrolment.journey.name,
            enrolment.person.external_id or "",
            state.holdout,
            enrolment.entered_at.isoformat(),
            state.exit,
            _iso(state.ended_at),
            _iso(enrolment.converted_at),
            _taken(enrolment),
            tuple(sorted((m.at.isoformat(), m.channel, m.template) for m in enrolment.messages)),
            _lines(enrolment.trace),
        )
    return found


def _taken(enrolment: Enrolment) -> dict[str, str]:
    """Variants taken; one that a scenario forces is in the state before its split is reached."""
    taken = {line.step for line in enrolment.trace if line.result == "took"}
    return {step: name for step, name in enrolment.state.variants.items() if step in taken}


async def of_database(database: AsyncEngine, people: Mapping[str, str]) -> Records:
    """`people`: profile key to external id."""
    async with database.connect() as connection:
        rows = await rows_of.find(connection, Filter(), limit=100_000)
        told = await traces.read_batch(connection, [row.id for row in rows])
        kept = await outbox.find(connection, limit=100_000)
    messages: dict[str, list[tuple[str, str, str]]] = {}
    for m in kept:
        messages.setdefault(m.enrolment_id or "", []).append((_iso(m.at) or "", m.channel, m.template or ""))
    return {
        row.id: Record(
            row.journey,
            people.get(row.profile_key, row.profile_key),
            row.holdout,
            row.entered_at.isoformat(),
            row.exit,
            _iso(row.ended_at),
            _iso(row.converted_at),
            row.variants,
            tuple(sorted(messages.get(row.id, ()))),
            _lines(told.get(row.id, ())),
        )
        for row in rows
    }


@dataclass(frozen=True)
class Difference:
    enrolment_id: str
    journey: str
    customer: str
    what: str
    ran: str
    simulated: str

    def __str__(self) -> str:
        return (
            f"{self.journey}, {self.customer} ({self.enrolment_id})\n"
            f"    {self.what}\n      ran        {self.ran}\n      simulated  {self.simulated}"
        )


def differences(ran: Records, simulated: Records) -> list[Difference]:
    """Every enrolment that differs, each by its first difference."""
    found = []
    for id in sorted(ran.keys() | simulated.keys()):
        here, there = ran.get(id), simulated.get(id)
        either = here or there
        assert either is not None
        difference = _first(here, there)
        if difference is not None:
            found.append(Difference(id, either.journey, either.customer, *difference))
    return sorted(found, key=lambda one: (one.customer, one.journey))


def _first(here: Record | None, there: Record | None) -> tuple[str, str, str] | None:
    if here is None or there is None:
        return "entry", _entry(here), _entry(there)
    for place, (ours, theirs) in enumerate(zip_longest(here.trace, there.trace)):
        if ours != theirs:
            return f"trace line {place}", str(ours), str(theirs)
    for each in fields(Record):
        ours, theirs = getattr(here, each.name), getattr(there, each.name)
        if ours != theirs:
            return each.name, str(ours), str(theirs)
    return None


def _entry(record: Record | None) -> str:
    return "never" if record is None else f"at {record.entered_at}, {record.exit} at {record.ended_at}"
