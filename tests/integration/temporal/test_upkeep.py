"""What changes with time is kept up by schedules that operators see."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
import sqlalchemy as sa

from tests.integration.harness import POOL, kairos
from tests.integration.temporal.test_moments import schedules, soon

START = datetime(2026, 11, 11, 10, tzinfo=UTC)
PLAIN = {"journeys/catalog.yaml": "events: {order.paid: {properties: {total: number}}}\n"}
CATALOGUE = """
events: {order.paid: {properties: {total: number}}}
tags: [{name: fresh, expires: 30m}]
segments: {buyers: {where: 'count("order.paid", "2h") > 0', history: true}}
stages:
  - {name: aware}
  - {name: buyer, where: count("order.paid") > 0}
rfm: {event: order.paid, money: total}
"""


@pytest.mark.timeout(150)
async def test_tags_segments_stages_and_scores_follow_the_clock(
    database_url: str, temporal_address: str
) -> None:
    parts = (*POOL, "moments")
    async with kairos(
        database_url, temporal_address, start=START, speed=600, grace=2.0, parts=parts
    ) as running:
        await running.apply(PLAIN)
        assert not {each for each in await schedules(running.client) if each.startswith("customers/")}
        await running.apply({"journeys/catalog.yaml": CATALOGUE})
        at = running.clock.now().isoformat()
        who = {"userId": "c1", "timestamp": at}
        await running.send(
            {"type": "identify", "messageId": "m0", **who, "traits": {"tags": ["fresh"]}},
            {"type": "track", "messageId": "m1", **who, "event": "order.paid", "properties": {"total": 7}},
        )

        async def said(query: str) -> list[tuple[object, ...]]:
            async with running.database.connect() as connection:
                return [tuple(row) for row in await connection.execute(sa.text(query))]

        async def kept() -> bool:
            wanted = {"customers/follow", "customers/look", "customers/rfm"}
            return wanted <= await schedules(running.client)

        async def in_it() -> bool:
            return await said("SELECT segment FROM memberships") == [("buyers",)]

        async def out_again() -> bool:
            changes = await said("SELECT entered FROM membership_changes ORDER BY id")
            return changes == [(True,), (False,)]

        async def untagged() -> bool:
            return await said("SELECT tags FROM profiles") == [([],)]

        async def scored() -> bool:
            return await said("SELECT count(*) FROM rfm") == [(1,)]

        await soon(kept, "the schedules")
        await soon(in_it, "the customer to be in the segment")
        await soon(untagged, "the tag to expire")
        await soon(scored, "the scores")
        await soon(out_again, "the customer to leave with time alone", seconds=60)
        assert await said("SELECT before, stage FROM stage_changes") == [("aware", "buyer")]
        told = await said("SELECT name FROM events WHERE name LIKE 'segment.%' ORDER BY occurred_at")
        assert told == [("segment.entered",), ("segment.left",)]
