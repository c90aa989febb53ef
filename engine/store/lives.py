"""One message and everything that was told of it."""

from __future__ import annotations

from typing import Any, Final
from uuid import UUID

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch
from engine.store.deliveries import Delivery
from engine.store.events import Event

TOLD: Final = (
    "message.sent",
    "message.delivered",
    "message.opened",
    "message.clicked",
    "message.bounced",
    "message.complained",
    "message.replied",
    "message.failed",
)
_ID = sa.Uuid(as_uuid=False)
_TYPES: dict[str, Any] = {
    "enrolment_id": _ID,
    "profile_id": _ID,
    "passed_over": JSONB,
    "raw": JSONB,
    "why": JSONB,
}


async def find(connection: AsyncConnection, id: str) -> Delivery | None:
    """The message `ENROLMENT/STEP`, also with a journey before it, or the one that its provider calls so."""
    enrolment, slash, step = id.rpartition("/")
    enrolment = enrolment.rpartition("/")[2]
    try:
        values = {"enrolment": str(UUID(enrolment)) if slash else None, "step": step}
    except ValueError:
        values = {"enrolment": None, "step": None}
    where = (
        "d.enrolment_id = CAST(:enrolment AS uuid) AND d.step = :step"
        if values["enrolment"] is not None
        else "d.provider_id = :id"
    )
    statement = sa.text(f"SELECT {batch.columns(Delivery, 'd')} FROM deliveries d WHERE {where} LIMIT 1")
    used = {key: value for key, value in {**values, "id": id}.items() if f":{key}" in where}
    row = (await connection.execute(statement.columns(**_TYPES), used)).mappings().one_or_none()
    return None if row is None else batch.build(Delivery, row)


async def told(connection: AsyncConnection, row: Delivery) -> list[Event]:
    """The `message.*` events about this message, oldest first."""
    statement = sa.text(f"""
        SELECT {batch.columns(Event)} FROM events
        WHERE profile_id = :profile AND name = ANY(CAST(:names AS text[]))
            AND properties->>'enrolment_id' = :enrolment AND properties->>'step' = :step
        ORDER BY occurred_at, sequence
    """).columns(event_id=_ID, profile_id=_ID, properties=JSONB)
    values = {
        "profile": row.profile_id,
        "names": list(TOLD),
        "enrolment": row.enrolment_id,
        "step": row.step,
    }
    return [batch.build(Event, each) for each in (await connection.execute(statement, values)).mappings()]
