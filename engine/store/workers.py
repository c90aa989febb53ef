"""Workers: who is alive. A worker's id is the `owner` of what it has claimed."""

from __future__ import annotations

from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection


async def seen(connection: AsyncConnection, worker_id: str, kind: str) -> None:
    """Says that a worker is alive; to be called every few seconds."""
    await connection.execute(
        sa.text(
            "INSERT INTO workers (id, kind) VALUES (:id, :kind) "
            "ON CONFLICT (id) DO UPDATE SET seen_at = now()"
        ),
        {"id": worker_id, "kind": kind},
    )


async def gone(connection: AsyncConnection, worker_id: str) -> None:
    """Says that a worker has stopped: what it left open may be taken over at once."""
    await connection.execute(sa.text("DELETE FROM workers WHERE id = :id"), {"id": worker_id})


async def alive(connection: AsyncConnection, within: timedelta) -> dict[str, str]:
    """Workers seen within this much wall time: id to kind."""
    result = await connection.execute(
        sa.text("SELECT id, kind FROM workers WHERE seen_at > now() - CAST(:within AS interval)"),
        {"within": within},
    )
    return {row.id: row.kind for row in result}
