"""Journeys: what is applied, which plan is live, and whether it runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch, moments
from engine.store.tables import PROJECT_CHANNEL

Status = Literal["draft", "live", "paused", "archived"]


@dataclass(frozen=True, slots=True)
class Journey:
    """A journey as applied. `version` counts the plans that were live, from 1; `paused_at` is logical."""

    name: str
    status: Status
    live_digest: str | None
    paused_at: datetime | None
    source: str = field(repr=False)
    version: int
    applied_at: datetime


async def all_journeys(connection: AsyncConnection) -> dict[str, Journey]:
    """Every journey by name."""
    result = await connection.execute(sa.text(f"SELECT {batch.columns(Journey)} FROM journeys ORDER BY name"))
    return {row["name"]: batch.build(Journey, row) for row in result.mappings()}


async def apply_batch(
    connection: AsyncConnection,
    applied: Mapping[str, tuple[str, str]],
    *,
    status: Literal["live", "draft"] = "live",
) -> None:
    """Makes plans live for new entrants: journey to (digest, YAML source).

    A journey that exists keeps its status, so a paused one stays paused, except that a draft or archived
    one that is applied as live becomes live.
    """
    if not applied:
        return
    values = [{"name": n, "digest": d, "source": source} for n, (d, source) in applied.items()]
    await connection.execute(
        sa.text(f"""
            INSERT INTO journeys AS j (name, status, live_digest, source)
            SELECT name, CAST(:status AS text), digest, source
            FROM {batch.records(name="text", digest="text", source="text")}
            ORDER BY name
            ON CONFLICT (name) DO UPDATE SET
                status = CASE WHEN j.status IN ('draft', 'archived') THEN excluded.status ELSE j.status END,
                version = j.version + CASE WHEN j.live_digest IS DISTINCT FROM excluded.live_digest
                                           THEN 1 ELSE 0 END,
                live_digest = excluded.live_digest, source = excluded.source, applied_at = now()
        """),
        batch.rows(values) | {"status": status},
    )
    await notify(connection)


async def set_status(
    connection: AsyncConnection, names: Sequence[str], status: Status, at: datetime
) -> set[str]:
    """Sets the status of journeys, at the logical instant `at`; returns the names whose status changed."""
    result = await connection.execute(
        sa.text("""
            UPDATE journeys SET status = CAST(:status AS text),
                paused_at = CASE WHEN :status = 'paused' THEN CAST(:at AS timestamptz) END
            WHERE name = ANY(CAST(:names AS text[])) AND status <> :status RETURNING name
        """),
        {"status": status, "at": at, "names": list(names)},
    )
    changed = {row.name for row in result}
    if changed and status == "archived":
        await moments.forget(connection, changed)
    if changed:
        await notify(connection, ",".join(sorted(changed)))
    return changed


async def notify(connection: AsyncConnection, what: str = "") -> None:
    """Tells routers and workers, when the transaction commits, that plans or statuses changed."""
    await connection.execute(
        sa.text("SELECT pg_notify(:channel, :what)"), {"channel": PROJECT_CHANNEL, "what": what[:7000]}
    )


async def standing(connection: AsyncConnection) -> dict[str, tuple[Status, str | None]]:
    """Status and live digest of every journey: cheap, for routers that look before each batch."""
    result = await connection.execute(sa.text("SELECT name, status, live_digest FROM journeys ORDER BY name"))
    return {row.name: (row.status, row.live_digest) for row in result}
