"""Plans, journeys, project, keys, outbox, starts and the clock on a real server."""

from __future__ import annotations

import asyncio
import uuid
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.store import clock, journeys, keys, outbox, plans, profiles, project, starts
from engine.store.clock import REAL_TIME, ScaledClock
from engine.store.database import in_transaction
from engine.store.outbox import OutboxMessage
from engine.store.profiles import NewProfile
from engine.store.starts import NewStart

pytestmark = pytest.mark.integration
NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)


async def test_a_plan_is_stored_once_and_a_paused_journey_stays_paused(connection: AsyncConnection) -> None:
    await plans.put_batch(connection, {"d1": ("welcome", {"v": 1}), "d2": ("welcome", {"v": 2})})
    await plans.put_batch(connection, {"d1": ("welcome", {"v": "changed"})})
    await journeys.apply_batch(connection, {"welcome": ("d1", "journey: welcome")})
    assert await plans.live(connection) == {"welcome": ("d1", {"v": 1})}

    assert await journeys.set_status(connection, ["welcome", "none"], "paused", NOON) == {"welcome"}
    assert await journeys.set_status(connection, ["welcome"], "paused", NOON) == set()
    await journeys.apply_batch(connection, {"welcome": ("d2", "journey: welcome  # 2")})
    stored = (await journeys.all_journeys(connection))["welcome"]
    assert (stored.status, stored.paused_at, stored.live_digest, stored.version) == ("paused", NOON, "d2", 2)
    await journeys.set_status(connection, ["welcome"], "archived", NOON)
    assert await plans.live(connection) == {}
    assert await plans.by_digest(connection, ["d1", "none"]) == {"d1": {"v": 1}}


async def test_the_project_is_replaced_and_its_applies_are_kept(connection: AsyncConnection) -> None:
    assert await project.load(connection) is None
    for digest in ("p1", "p2"):
        await project.save(
            connection,
            catalogue="events: {}",
            installation="version: 1",
            templates={"hello/sms.text.j2": "Hi"},
            files={"journeys/welcome.yaml": "journey: welcome"},
            digest=digest,
            changes={"welcome": f"d-{digest}"},
        )
    stored = await project.load(connection)
    assert stored is not None
    assert (stored.digest, stored.templates) == ("p2", {"hello/sms.text.j2": "Hi"})
    assert await project.load_digest(connection) == "p2"
    assert [apply.changes for apply in await project.history(connection)] == [
        {"welcome": "d-p2"},
        {"welcome": "d-p1"},
    ]


async def test_a_key_is_kept_as_a_hash_and_dead_once_revoked(connection: AsyncConnection) -> None:
    new = await keys.create(connection, "shop", "ingest")
    assert new.token.startswith("kairos_ingest_")
    assert new.token not in repr(new)
    found = await keys.verify(connection, new.token)
    assert found == new.key
    assert (found.scope, found.source) == ("ingest", "shop")
    rows = (await connection.exec_driver_sql("SELECT * FROM api_keys")).all()
    assert new.token not in str(rows)
    assert await keys.verify(connection, new.token + "x") is None
    assert await keys.revoke(connection, new.key.id)
    assert not await keys.revoke(connection, new.key.id)
    assert await keys.verify(connection, new.token) is None


async def test_the_outbox_keeps_the_first_message_of_a_key(connection: AsyncConnection) -> None:
    message = OutboxMessage("k1", "sms", "+86138", {"text": "Hi"}, "hello", str(uuid.uuid4()), "greet", NOON)
    assert await outbox.keep_batch(connection, [message]) == {"k1"}
    again = OutboxMessage("k1", "sms", "+86138", {"text": "Hi again"})
    assert await outbox.keep_batch(connection, [again, OutboxMessage("k2", "email", "a@b", {})]) == {"k2"}
    newest, oldest = await outbox.find(connection)
    assert (newest.key, oldest.parts, oldest.at) == ("k2", {"text": "Hi"}, NOON)
    assert [m.key for m in await outbox.find(connection, channel="sms")] == ["k1"]
    assert newest.id is not None
    assert [m.key for m in await outbox.find(connection, before=newest.id)] == ["k1"]


async def test_open_starts_come_journey_by_journey_and_wakes_only_after_their_start(
    connection: AsyncConnection,
) -> None:
    enrolment = str(uuid.uuid4())

    def start(journey: str, number: int) -> NewStart:
        return NewStart("start", f"{journey}/{number}", enrolment, {"n": number}, journey, acts=True)

    crowd = [start("crowd", number) for number in range(5)]
    await starts.add_batch(connection, [*crowd, start("welcome", 1), NewStart("wake", "crowd/0", enrolment)])
    found = await starts.open_starts(connection, [], {}, 3)
    assert [row.workflow_id for row in found] == ["crowd/0", "welcome/1", "crowd/1"]
    assert (found[0].payload, found[0].journey, found[0].acts) == ({"n": 0}, "crowd", True)
    found = await starts.open_starts(connection, ["crowd/0"], {"crowd": 4}, 2)
    assert [row.workflow_id for row in found] == ["welcome/1", "crowd/1"]

    assert await starts.open_wakes(connection, [], 9) == []
    assert [row.kind for row in await starts.open_with(connection, ["crowd/0"])] == ["wake"]
    [first] = await starts.open_starts(connection, [], {}, 1)
    await starts.mark_failed(connection, [(first.id, "Temporal is down")], timedelta(minutes=1))
    assert [row.workflow_id for row in await starts.open_starts(connection, [], {}, 2)] == [
        "crowd/1",
        "welcome/1",
    ]
    await starts.mark_done(connection, [first.id])
    assert [row.workflow_id for row in await starts.open_wakes(connection, [], 9)] == ["crowd/0"]
    assert await starts.open_wakes(connection, ["crowd/0"], 9) == []
    assert await starts.open_count(connection) == 6
    await starts.mark_done(connection, [row.id for row in await starts.open_wakes(connection, [], 9)])
    assert await starts.forget_done(connection, timedelta(seconds=-1)) == 2


async def test_the_clock_is_real_time_until_it_is_set(connection: AsyncConnection) -> None:
    assert await clock.load(connection) == REAL_TIME
    fast = ScaledClock(NOON - timedelta(days=900), NOON, 1440.5, timedelta(seconds=2))
    await clock.save(connection, fast)
    assert await clock.load(connection) == fast
    await clock.reset(connection)
    assert await clock.load(connection) == REAL_TIME


async def test_a_transaction_that_deadlocked_is_repeated(database: AsyncEngine) -> None:
    ids = [str(uuid.uuid4()) for _ in range(2)]
    async with database.begin() as connection:
        await profiles.make_batch(connection, [NewProfile(i, i) for i in ids])
    tries = 0
    both_hold_one = asyncio.Barrier(2)

    async def lock(order: list[str]) -> None:
        async def work(connection: AsyncConnection) -> None:
            nonlocal tries
            tries += 1
            first_try = tries <= 2
            await profiles.get_batch(connection, order[:1], lock=True)
            if first_try:
                await both_hold_one.wait()
            await profiles.get_batch(connection, order[1:], lock=True)

        await in_transaction(database, work)

    await asyncio.wait_for(asyncio.gather(lock(ids), lock(ids[::-1])), 20)
    assert tries == 3


async def test_another_mistake_is_not_repeated(database: AsyncEngine) -> None:
    tries = 0

    async def work(connection: AsyncConnection) -> None:
        nonlocal tries
        tries += 1
        await connection.exec_driver_sql("SELECT 1 / 0")

    with pytest.raises(DBAPIError):
        await in_transaction(database, work)
    assert tries == 1
