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
        at = running.clock.now().isoformat()
        order = {"type": "track", "userId": "c1", "timestamp": at, "event": "order.paid"}
        await running.send({**order, "messageId": "m0", "properties": {"total": 5}})
        await running.apply({"journeys/catalog.yaml": CATALOGUE})
        who = {"userId": "c2", "timestamp": running.clock.now().isoformat()}
        await running.send(
            {**who, "type": "identify", "messageId": "m1", "traits": {"tags": ["fresh"]}},
            {**order, **who, "messageId": "m2", "properties": {"total": 7}},
        )

        async def said(query: str) -> list[tuple[object, ...]]:
            async with running.database.connect() as connection:
                return [tuple(row) for row in await connection.execute(sa.text(query))]

        async def kept() -> bool:
            wanted = {"customers/follow", "customers/look", "customers/rfm"}
            return wanted <= await schedules(running.client)

        async def in_it() -> bool:
            return await said("SELECT segment FROM memberships") == [("buyers",)] * 2

        async def out_again() -> bool:
            return await said("SELECT segment FROM memberships") == []

        async def untagged() -> bool:
            return await said("SELECT tags FROM profiles") == [([],)] * 2

        async def scored() -> bool:
            return await said("SELECT count(*) FROM rfm") != [(0,)]

        await soon(kept, "the schedules")
        await soon(in_it, "the customers to be in the segment")
        await soon(untagged, "the tag to expire")
        await soon(scored, "the scores")
        await soon(out_again, "the customers to leave with time alone", seconds=60)
        # Who bought before the catalogue was applied is noted, and nobody is told.
        told = await said("SELECT name FROM events WHERE type = 'internal' ORDER BY name")
        assert told == [("segment.entered",), ("segment.left",), ("segment.left",), ("stage.changed",)]
