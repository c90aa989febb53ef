"""What operators do to journeys as a whole: one statement, however many enrolments are under way."""

from __future__ import annotations

import json
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store.routing import _SHARD
from engine.store.tables import SHARDS, STARTS_CHANNEL

_APPLY: Final = 0x4B41  # "KA"

_CONTROL = sa.text("""
    INSERT INTO start_outbox (kind, workflow_id, enrolment_id, payload)
    SELECT 'control', workflow_id, id, CAST(:payload AS jsonb) FROM enrolments
    WHERE journey = :journey AND status = 'live' AND workflow_id IS NOT NULL
    ORDER BY entered_at, id
""")


async def hold_applies(connection: AsyncConnection) -> None:
    """Waits until no other transaction applies a project, and keeps others out until this one ends."""
    await connection.execute(sa.text("SELECT pg_advisory_xact_lock(:room, 0)"), {"room": _APPLY})


async def hold_routers(connection: AsyncConnection) -> None:
    """Waits for every router's batch and holds routers off until the transaction ends.

    Without it a batch that began before a pause could still let somebody in after it.
    """
    for shard in range(SHARDS):
        await connection.execute(
            sa.text("SELECT pg_advisory_xact_lock(:room, :shard)"), {"room": _SHARD, "shard": shard}
        )


async def control_live(connection: AsyncConnection, journey: str, control: dict[str, Any]) -> int:
    """Hands a control (`engine.core.wire` JSON) to every live enrolment of a journey; returns how many.

    They are played in order of entry, paced by whoever plays the outbox.
    """
    result = await connection.execute(_CONTROL, {"journey": journey, "payload": json.dumps(control)})
    await connection.execute(sa.text("SELECT pg_notify(:channel, '')"), {"channel": STARTS_CHANNEL})
    return result.rowcount
