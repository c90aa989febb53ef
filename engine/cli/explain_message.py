"""`kairos explain message`: the whole life of one message, with what every rule went by."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from engine.cli.find import delivery_data
from engine.cli.session import CommandError
from engine.delivery.life import Moment, life, lines
from engine.store import enrolments, lives
from engine.store.deliveries import Delivery

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


async def read_life(connection: AsyncConnection, id: str) -> tuple[Delivery, list[Moment]]:
    """The message with its life.

    Raises:
        CommandError: there is none.
    """
    row = await lives.find(connection, id)
    if row is None:
        raise CommandError(
            f"there is no message {id}; expected ENROLMENT/STEP or its provider's id: see `kairos find`"
        )
    enrolment = (await enrolments.get_batch(connection, [row.enrolment_id])).get(row.enrolment_id)
    ended = None
    if enrolment is not None and enrolment.ended_at is not None:
        ended = enrolment.ended_at, enrolment.exit or "ended"
    return row, life(row, await lives.told(connection, row), ended)


def life_data(row: Delivery, moments: list[Moment]) -> dict[str, Any]:
    """The message as JSON data."""
    return {
        **delivery_data(row),
        "handed_at": row.handed_at,
        "due_at": row.due_at,
        "units": row.units,
        "quota": row.quota,
        "why": row.why or [],
        "life": [asdict(moment) for moment in moments],
    }


def life_lines(row: Delivery, moments: list[Moment]) -> Iterator[str]:
    """The message for the terminal."""
    by = f" by {row.channel}" if row.channel else ""
    yield f"{row.journey}, message of `{row.step}`, enrolment {row.enrolment_id}"
    yield f"{row.template}{by}: {row.state}"
    yield ""
    yield from lines(moments)
