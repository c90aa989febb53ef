"""Messages that the `outbox` adapter keeps instead of sending."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch


@dataclass(frozen=True, slots=True)
class OutboxMessage:
    """A kept message. `key` is its idempotency key; `at` the logical instant of its step."""

    key: str
    channel: str
    address: str = field(repr=False)
    parts: dict[str, str] = field(repr=False)
    template: str | None = None
    enrolment_id: str | None = None
    step: str | None = None
    at: datetime | None = None
    id: int | None = None
    created_at: datetime | None = None


async def keep_batch(connection: AsyncConnection, messages: Sequence[OutboxMessage]) -> set[str]:
    """Keeps messages; returns the keys that were new. A key that is there keeps its first message."""
    if not messages:
        return set()
    fields = batch.records(
        key="text",
        channel="text",
        address="text",
        parts="jsonb",
        template="text",
        enrolment_id="uuid",
        step="text",
        at="timestamptz",
    )
    names = ("key", "channel", "address", "parts", "template", "enrolment_id", "step", "at")
    result = await connection.execute(
        sa.text(f"""
            INSERT INTO outbox_messages ({", ".join(names)}) SELECT {", ".join(names)} FROM {fields}
            ON CONFLICT (key) DO NOTHING RETURNING key
        """),
        batch.rows([{name: getattr(m, name) for name in names} for m in messages]),
    )
    return {row.key for row in result}


async def find(
    connection: AsyncConnection,
    *,
    channel: str | None = None,
    address: str | None = None,
    enrolment_id: str | None = None,
    key: str | None = None,
    template: str | None = None,
    search: str | None = None,
    limit: int = 50,
    before: int | None = None,
) -> list[OutboxMessage]:
    """A page of messages, newest first; `before` is the id of the last one seen.

    `search` is text in the address or in a part, in any case; it looks at every message.
    """
    wanted = {
        "channel": channel,
        "address": address,
        "enrolment_id": enrolment_id,
        "key": key,
        "template": template,
    }
    values = {name: value for name, value in wanted.items() if value is not None}
    clauses = [f"{name} = :{name}" for name in values]
    if before is not None:
        clauses.append("id < :before")
    if search:
        clauses.append(
            "(strpos(lower(address), lower(:search)) > 0 OR EXISTS (SELECT 1 FROM jsonb_each_text(parts) p "
            "WHERE strpos(lower(p.value), lower(:search)) > 0))"
        )
        values["search"] = search
    condition = f"WHERE {' AND '.join(clauses)}" if clauses else ""
    result = await connection.execute(
        sa.text(
            f"SELECT {batch.columns(OutboxMessage)} FROM outbox_messages {condition} "
            "ORDER BY id DESC LIMIT :limit"
        ).columns(parts=JSONB, enrolment_id=sa.Uuid(as_uuid=False)),
        {**values, "limit": limit} | ({} if before is None else {"before": before}),
    )
    return [batch.build(OutboxMessage, row) for row in result.mappings()]


async def facets(connection: AsyncConnection) -> tuple[list[str], list[str]]:
    """The channels and the templates of kept messages."""
    channels = await connection.execute(sa.text("SELECT DISTINCT channel FROM outbox_messages ORDER BY 1"))
    templates = await connection.execute(
        sa.text("SELECT DISTINCT template FROM outbox_messages WHERE template IS NOT NULL ORDER BY 1")
    )
    return [row.channel for row in channels], [row.template for row in templates]
