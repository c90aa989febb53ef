"""`kairos explain`: what happened in one enrolment, line by line, and what it waits for."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer

from engine.cli.enrolments import enrolment_data
from engine.cli.explain_message import life_data, life_lines, read_life
from engine.cli.find import delivery_data
from engine.cli.lookup import one_enrolment, plan_of
from engine.cli.session import (
    Format,
    FormatOption,
    ProjectOption,
    instant,
    on_database,
    print_json,
    refuse,
    say,
)
from engine.cli.trace_words import trace_lines
from engine.core import wire
from engine.core.commands import Trace
from engine.core.plan import Plan
from engine.core.words import EXITS, in_words
from engine.delivery.life import Moment
from engine.store import deliveries, effects, pool, traces
from engine.store.deliveries import Delivery
from engine.store.effects import Effect
from engine.store.enrolments import Enrolment
from engine.store.pool import Row

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

PATIENCE: Final = 2.0
"""Seconds to wait for Temporal: without it only what is in the database is shown."""


@dataclass(frozen=True, slots=True)
class Explanation:
    """An enrolment with all that is known of its way. `note` says what could not be asked."""

    enrolment: Enrolment
    plan: Plan
    trace: list[Trace]
    deliveries: list[Delivery]
    effects: list[Effect]
    note: str | None = None
    waits: str | None = None


def explain(
    enrolment: Annotated[
        str,
        typer.Argument(help="Its id, or JOURNEY/ID as Temporal's UI shows it; or `message`, and a message."),
    ],
    message: Annotated[
        str | None,
        typer.Argument(help="After `message`: ENROLMENT/STEP, or the id that the provider gave it."),
    ] = None,
    temporal: Annotated[
        str | None,
        typer.Option("--temporal", help="HOST:PORT of Temporal; else TEMPORAL_ADDRESS, else this machine."),
    ] = None,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Print the trace of one enrolment in words, or the whole life of one message and why it was so."""
    if message is not None or enrolment == "message":
        return _message(enrolment, message, format)

    async def work(database: AsyncEngine) -> Explanation:
        async with database.connect() as connection:
            row = await one_enrolment(connection, enrolment)
            plan = await plan_of(connection, row.digest)
            stored = (await traces.read_batch(connection, [row.id])).get(row.id, [])
            sent = (await deliveries.of_enrolments(connection, [row.id])).get(row.id, [])
            done = (await effects.of_enrolments(connection, [row.id])).get(row.id, [])
            rows = await pool.get_batch(connection, [row.id]) if row.driver == "pool" else []
        found = Explanation(row, plan, stored, sent, done)
        if row.driver == "pool":
            return _in_pool(found, rows)
        return found if row.status == "ended" else await _with_live(found, temporal)

    found = on_database("explain", work)
    if format is Format.json:
        print_json(_data(found))
    else:
        say(_lines(found))


def _message(word: str, id: str | None, format: Format) -> None:
    if word != "message" or id is None:
        refuse(
            "explain", "expected an enrolment, or `message` and a message: `explain message ENROLMENT/STEP`"
        )

    async def work(database: AsyncEngine) -> tuple[Delivery, list[Moment]]:
        async with database.connect() as connection:
            return await read_life(connection, id)

    row, moments = on_database("explain", work)
    if format is Format.json:
        print_json(life_data(row, moments))
    else:
        say(life_lines(row, moments))


def _in_pool(found: Explanation, rows: Sequence[Row]) -> Explanation:
    """What the row of the pool says: its trace is in the database."""
    from engine.pool.record import unpack
    from engine.temporal.words import waiting

    if not rows or rows[0].state is None:
        return found
    state = unpack(rows[0].state, found.enrolment, found.plan).state
    waits = waiting(found.plan, state) if state.phase in ("waiting", "held") or state.paused else None
    return replace(found, waits=waits)


async def _with_live(found: Explanation, temporal: str | None) -> Explanation:
    """What the running workflow knows beyond the database, if it can be asked."""
    from engine.temporal.client import TemporalStarter, TemporalUnreachable, connect
    from engine.temporal.codec import KeyMistake
    from engine.temporal.local import local_address
    from engine.temporal.words import waiting

    address = temporal or os.environ.get("TEMPORAL_ADDRESS") or local_address()
    workflow_id = found.enrolment.workflow_id
    try:
        client = await asyncio.wait_for(connect(address, wait=0), PATIENCE)
        answer = await TemporalStarter(client).standing(workflow_id) if workflow_id else None
    except (TemporalUnreachable, TimeoutError):
        note = f"Temporal at {address} does not answer: this is what the database knows"
        return replace(found, note=note)
    except KeyMistake as error:
        return replace(found, note=f"Temporal cannot be asked: {error}")
    if answer is None:
        note = "its workflow does not answer (no worker runs?): this is what the database knows"
        return replace(found, note=note)
    state = wire.state_from_json(answer["state"])
    live = [wire.input_from_json(line) for line in answer["trace"]]
    trace = joined(found.trace, live, int(answer["trace_from"]))
    waits = waiting(found.plan, state) if state.phase in ("waiting", "held") or state.paused else None
    return replace(found, trace=trace, waits=waits)


def joined(stored: Sequence[Trace], live: Sequence[Trace], live_from: int) -> list[Trace]:
    """One trace from what is stored and what the workflow still holds, which begins at place `live_from`."""
    if len(stored) >= live_from + len(live):
        return list(stored)
    return [*stored[:live_from], *live]


def _data(found: Explanation) -> dict[str, Any]:
    return {
        **enrolment_data(found.enrolment),
        "trace": [wire.to_json(line) | {"text": in_words(found.plan, line)} for line in found.trace],
        "deliveries": [delivery_data(each) for each in found.deliveries],
        "effects": [
            {"step": each.step, "verb": each.verb, "state": each.state, "error": each.error, "at": each.at}
            for each in found.effects
        ],
        "waits": found.waits,
        "note": found.note,
    }


def _lines(found: Explanation) -> Iterator[str]:
    row = found.enrolment
    title = f" ({found.plan.title})" if found.plan.title else ""
    yield f"{row.journey}{title}, enrolment {row.id}"
    marks = [f"entered {instant(row.entered_at)} UTC", f"plan {row.digest[:12]}"]
    if row.holdout:
        marks.append("in the holdout")
    if row.converted_at is not None:
        marks.append(f"converted {instant(row.converted_at)} UTC")
    yield "; ".join(marks)
    yield ""
    yield from trace_lines(found.plan, found.trace)
    yield ""
    yield from _delivery_lines(found.deliveries)
    for each in found.effects:
        if each.error:
            yield f"{each.verb} of `{each.step}`: {each.state}: {each.error}"
    if row.status == "ended":
        yield f"ended {instant(row.ended_at)} UTC: {EXITS.get(row.exit or '', row.exit or '')}"
    elif found.waits is not None:
        yield f"now: {found.waits}"
    else:
        yield f"now: live, at `{row.step}`" if row.step else "now: live"
    if found.note:
        yield found.note


def _delivery_lines(found: Sequence[Delivery]) -> Iterator[str]:
    for each in found:
        by = f" by {each.channel}" if each.channel else ""
        by += f" ({each.provider})" if each.provider else ""
        number = f", provider's id {each.provider_id}" if each.provider_id else ""
        variant = f" as {each.template_variant}" if each.template_variant else ""
        version = f"{variant} (template {each.template_digest[:12]})" if each.template_digest else ""
        yield f"message of `{each.step}`: {each.template}{by} {each.state}{version}{number}"


def register(app: typer.Typer) -> None:
    app.command("explain")(explain)
