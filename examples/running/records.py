"""What became of every enrolment, in one shape for a live run and for `kairos simulate`.

`ignored` lines of a trace are left out: drivers may differ in them (`engine.core.commands.Trace`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.commands import Trace
from engine.delivery.sight import enrolments as customers_of
from engine.simulator import Report
from engine.store import enrolments, events, outbox, traces
from engine.store.enrolments import Filter
from engine.store.events import Event

EVERYTHING = 1_000_000


class RecordKey(NamedTuple):
    """What names an enrolment in every record of it."""

    journey: str
    customer: str
    trigger: str
    """Message id of the trigger; of one that is ours, such as a moment, its event's id."""


class SentMessage(NamedTuple):
    at: str
    step: str
    channel: str
    template: str


@dataclass(frozen=True, slots=True)
class Record:
    """One enrolment. Instants are logical, as ISO text in UTC."""

    key: RecordKey
    entered_at: str
    holdout: bool
    exit: str | None
    ended_at: str | None
    converted_at: str | None
    variants: dict[str, str]
    messages: tuple[SentMessage, ...]
    trace: tuple[str, ...] = field(repr=False)
    """One line for each thing that happened, in order."""


Records = dict[RecordKey, Record]


def simulated(report: Report) -> Records:
    """The records of a simulation."""
    return {record.key: record for record in map(_simulated, map(report.enrolment_json, report.enrolments))}


def _simulated(one: Mapping[str, Any]) -> Record:
    return Record(
        key=RecordKey(
            one["journey"],
            one["external_id"] or "",
            one["trigger_message_id"] or one["trigger_event_id"],
        ),
        entered_at=one["entered_at"],
        holdout=one["holdout"],
        exit=one["exit"],
        ended_at=one["ended_at"],
        converted_at=one["converted_at"],
        variants=one["variants"],
        messages=tuple(
            sorted(SentMessage(m["at"], m["step"], m["channel"], m["template"]) for m in one["messages"])
        ),
        trace=_trace(
            (t["at"], t["result"], t.get("step"), t.get("detail"), t.get("passed_over", ()))
            for t in one["trace"]
        ),
    )


async def live(database: AsyncEngine) -> Records:
    """The records of everything that ran on this database."""
    async with database.connect() as connection:
        rows = await enrolments.find(connection, Filter(), limit=EVERYTHING)
        customers = await customers_of(connection, [row.id for row in rows])
        triggers = await events.get_batch(
            connection, [r.trigger_event_id for r in rows if r.trigger_event_id]
        )
        lines = await traces.read_batch(connection, [row.id for row in rows])
        kept = await outbox.find(connection, limit=EVERYTHING)
    sent: dict[str, list[SentMessage]] = {}
    for message in kept:
        at = _text(message.at) or ""
        found = SentMessage(at, message.step or "", message.channel, message.template or "")
        sent.setdefault(message.enrolment_id or "", []).append(found)
    records: Records = {}
    for row in rows:
        key = RecordKey(
            row.journey,
            customers[row.id].external_id or "",
            _trigger(triggers.get(row.trigger_event_id or "")),
        )
        records[key] = Record(
            key,
            _text(row.entered_at) or "",
            row.holdout,
            row.exit,
            _text(row.ended_at),
            _text(row.converted_at),
            row.variants,
            tuple(sorted(sent.get(row.id, ()))),
            _trace(map(_line, lines.get(row.id, ()))),
        )
    return records


def _trigger(event: Event | None) -> str:
    if event is None:
        return ""
    return event.event_id if event.type == "internal" else event.message_id


def _line(line: Trace) -> tuple[str, str, str | None, str | None, Iterable[Iterable[str]]]:
    return (line.at.isoformat(), line.result, line.step, line.detail, line.passed_over)


def _trace(
    lines: Iterable[tuple[Any, str, str | None, str | None, Iterable[Iterable[str]]]],
) -> tuple[str, ...]:
    return tuple(
        " ".join(filter(None, (str(at), result, step, detail, _passed(passed_over))))
        for at, result, step, detail, passed_over in lines
        if result != "ignored"
    )


def _passed(passed_over: Iterable[Iterable[str]]) -> str:
    return ", ".join(f"not by {channel}: {reason}" for channel, reason in passed_over)


def _text(instant: datetime | None) -> str | None:
    return None if instant is None else instant.isoformat()
