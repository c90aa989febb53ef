"""Plans by digest: immutable, stored once, kept for as long as an enrolment may need them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch

PlanJson = dict[str, Any]
"""A plan as `engine.core.codec.plan_to_json` writes it."""


async def put_batch(connection: AsyncConnection, plans: Mapping[str, tuple[str, PlanJson]]) -> None:
    """Stores plans: digest to (journey, plan). One that is there stays as it is."""
    if plans:
        values = [{"digest": d, "journey": j, "plan": plan} for d, (j, plan) in plans.items()]
        await connection.execute(
            sa.text(f"""
                INSERT INTO plans (digest, journey, plan) SELECT digest, journey, plan
                FROM {batch.records(digest="text", journey="text", plan="jsonb")}
                ON CONFLICT (digest) DO NOTHING
            """),
            batch.rows(values),
        )


async def by_digest(connection: AsyncConnection, digests: Iterable[str]) -> dict[str, PlanJson]:
    """Plans by digest; unknown digests are left out."""
    result = await connection.execute(
        sa.text("SELECT digest, plan FROM plans WHERE digest = ANY(CAST(:digests AS text[]))").columns(
            plan=JSONB
        ),
        {"digests": sorted(set(digests))},
    )
    return {row.digest: row.plan for row in result}


async def live(connection: AsyncConnection) -> dict[str, tuple[str, PlanJson]]:
    """What new entrants get: journey to (digest, plan), of journeys that are live or paused."""
    result = await connection.execute(
        sa.text(
            "SELECT j.name, p.digest, p.plan FROM journeys j JOIN plans p ON p.digest = j.live_digest "
            "WHERE j.status IN ('live', 'paused') ORDER BY j.name"
        ).columns(plan=JSONB)
    )
    return {row.name: (row.digest, row.plan) for row in result}


async def digests(connection: AsyncConnection) -> frozenset[str]:
    """The digests of all plans that were ever stored."""
    return frozenset((await connection.execute(_DIGESTS)).scalars())


_DIGESTS = sa.text("SELECT digest FROM plans")
