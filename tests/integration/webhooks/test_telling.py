"""Other systems are told of changes: what, in which order, and what happens when they do not listen."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine
from standardwebhooks import Webhook

from channels.testing.sink import FakeHttpSink
from engine.cli.applying import apply_project
from engine.effects import telling
from engine.effects.telling import tell
from engine.ingest.intake import accept
from engine.ingest.recording import Internal, record_events
from engine.language.installation import read_installation
from engine.language.loader import load
from engine.language.project import check_project
from engine.store import erasing, identities, webhooks
from engine.store.database import open_database
from workers.telling import receivers_of, run_telling

NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)
SECRET = "whsec_" + "c2VjcmV0" * 5
CATALOGUE = """
profile:
  tier: text
  first_name: {type: text, personal: true}
"""
ALL = "[profile.changed, profile.merged, segment.entered, segment.left, stage.changed, consent.changed]"


def settings(url: str, more: str = "", events: str = ALL) -> str:
    return (
        f'webhooks: [{{name: crm, url: "{url}", secret: "${{CRM_SECRET}}", events: {events}, '
        f"include: [tier]{more}}}]\n"
    )


@pytest.fixture
async def database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AsyncEngine]:
    monkeypatch.setenv("CRM_SECRET", SECRET)
    engine = open_database(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
async def sink() -> AsyncIterator[FakeHttpSink]:
    async with FakeHttpSink() as found:
        yield found


async def applied(database: AsyncEngine, text: str) -> dict[str, telling.Receiver]:
    files = {"kairos.yaml": text, "journeys/catalog.yaml": CATALOGUE}
    project = check_project(files)
    assert not project.errors, project.errors
    await apply_project(database, project, files)
    receivers, wrong = receivers_of(read_installation(load("kairos.yaml", text)[0]))
    assert not wrong
    return receivers


def identify(user: str, number: int, **traits: Any) -> dict[str, Any]:
    at = (NOON + timedelta(minutes=number)).isoformat()
    return {"type": "identify", "userId": user, "timestamp": at, "traits": traits}


async def tell_all(database: AsyncEngine, receivers: dict[str, telling.Receiver]) -> None:
    while await tell(database, receivers):
        pass


async def due_now(database: AsyncEngine, **ago: float) -> None:
    """As if the pause were over, and what waits had been written so long ago."""
    async with database.begin() as connection:
        await connection.execute(
            sa.text(
                "UPDATE webhook_outbox SET due_at = now(), created_at = created_at - CAST(:ago AS interval)"
            ),
            {"ago": timedelta(**ago)},
        )


async def until(what: str, holds: Callable[[], bool], seconds: float = 20) -> None:
    for _ in range(int(seconds / 0.02)):
        if holds():
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"waited {seconds} s for {what}")


async def standing(database: AsyncEngine) -> webhooks.Standing:
    async with database.connect() as connection:
        [found] = await webhooks.standing(connection)
    return found


async def test_changes_are_told_signed_in_order_and_without_what_is_personal(
    database: AsyncEngine, sink: FakeHttpSink
) -> None:
    receivers = await applied(database, settings(sink.url, ", allow_private: true"))
    calls = [
        identify("c-1", 1, tier="silver", first_name="Wilhelmine", email="w@example.com", tags=["tea"]),
        identify("c-1", 2, tier="silver"),
        identify("c-1", 3, tier="gold", consents={"sms": False}),
    ]
    for call in calls:
        await accept(database, "shop", [call], NOON + timedelta(hours=1))
    async with database.begin() as connection:
        owner = (await identities.find_batch(connection, [("external_id", "c-1")]))["external_id", "c-1"]
        internal = [
            Internal(owner, "stage.changed", NOON, "s1", {"stage": "repeat", "before": "first"}),
            Internal(owner, "segment.entered", NOON, "s2", {"segment": "loyal"}),
            Internal(owner, "message.sent", NOON, "s3", {"step": "x"}),
        ]
        await record_events(connection, internal, NOON)
        await record_events(connection, internal, NOON)
    await tell_all(database, receivers)
    bodies = [json.loads(call.body) for call in sink.calls]
    assert [(body["type"], body["data"].get("changed")) for body in bodies] == [
        ("profile.changed", ["email", "first_name", "tags", "tier"]),
        ("profile.changed", ["tier"]),
        ("consent.changed", None),
        ("stage.changed", None),
        ("segment.entered", None),
    ]
    assert bodies[0]["data"] == {
        "profile_id": owner,
        "external_id": "c-1",
        "changed": ["email", "first_name", "tags", "tier"],
        "attributes": {"tier": "silver"},
    }
    assert bodies[0]["timestamp"] == "2026-11-11T12:01:00+00:00"
    assert bodies[3]["data"] == {
        "profile_id": owner, "external_id": "c-1", "stage": "repeat", "before": "first",
    }  # fmt: skip
    assert not any(
        "Wilhelmine" in call.body.decode() or "w@example" in call.body.decode() for call in sink.calls
    )
    for came in sink.calls:
        Webhook(SECRET).verify(came.body.decode(), came.headers)
    assert len({call.id for call in sink.calls}) == 5
    assert (await standing(database)).waiting == 0


async def test_a_merge_is_told(database: AsyncEngine, sink: FakeHttpSink) -> None:
    receivers = await applied(database, settings(sink.url, ", allow_private: true", "[profile.merged]"))
    visit = {"type": "track", "anonymousId": "a-1", "event": "seen", "timestamp": NOON.isoformat()}
    for call in (visit, identify("c-1", 1), {**identify("c-1", 2), "anonymousId": "a-1"}):
        await accept(database, "web", [call], NOON + timedelta(hours=1))
    await tell_all(database, receivers)
    [body] = [json.loads(call.body) for call in sink.calls]
    async with database.connect() as connection:
        merges = (await connection.execute(sa.text("SELECT survivor, loser FROM merges"))).one()
    assert (body["type"], body["data"]["profile_id"], body["data"]["merged"]) == (
        "profile.merged", str(merges.survivor), str(merges.loser),
    )  # fmt: skip


async def test_a_receiver_that_is_away_gets_each_once_more_and_in_order(
    database: AsyncEngine, sink: FakeHttpSink
) -> None:
    receivers = await applied(database, settings(sink.url, ", allow_private: true"))
    sink.behave("fail", times=1, status=503)
    for number, tier in enumerate(("silver", "gold", "none")):
        await accept(database, "shop", [identify("c-1", number, tier=tier)], NOON + timedelta(hours=1))
        await tell_all(database, receivers)
    await accept(database, "shop", [identify("c-2", 1, tier="other")], NOON + timedelta(hours=1))
    await tell_all(database, receivers)
    # What comes after it waits for it; another customer does not.
    assert {json.loads(call.body)["data"]["attributes"]["tier"] for call in sink.calls if call.taken} == {
        "other"
    }
    found = await standing(database)
    assert (found.waiting, found.failed, found.error) == (3, 0, "unavailable: HTTP 503")
    assert await tell(database, receivers) == 0, "it is not tried again at once"
    await due_now(database)
    await tell_all(database, receivers)
    told = [json.loads(c.body)["data"]["attributes"]["tier"] for c in sink.calls if c.taken]
    assert [tier for tier in told if tier != "other"] == ["silver", "gold", "none"]
    assert (sink.ledger.repeats, sink.ledger.changed) == (0, 0)


async def test_what_cannot_be_told_is_kept_and_told_at_a_word(
    database: AsyncEngine, sink: FakeHttpSink
) -> None:
    receivers = await applied(database, settings(sink.url, ", allow_private: true"))
    sink.behave("fail", status=503)
    await accept(database, "shop", [identify("c-1", 1, tier="gold")], NOON + timedelta(hours=1))
    await tell_all(database, receivers)
    await due_now(database, hours=25)
    await tell_all(database, receivers)
    found = await standing(database)
    assert (found.waiting, found.failed) == (0, 1)
    assert "given up after 2 attempts" in (found.error or "")
    sink.behave("fail", status=404)
    async with database.begin() as connection:
        assert await webhooks.again(connection, "crm") == 1
    await tell_all(database, receivers)
    assert ((await standing(database)).failed, (await standing(database)).error) == (
        1, "rejected (address_unknown): HTTP 404",
    )  # fmt: skip
    sink.behave("ok")
    async with database.begin() as connection:
        await webhooks.again(connection, "crm")
    await tell_all(database, receivers)
    assert ((await standing(database)).failed, (await standing(database)).waiting) == (0, 0)


async def test_nothing_is_told_of_a_change_that_did_not_happen(
    database: AsyncEngine, sink: FakeHttpSink
) -> None:
    await applied(database, settings(sink.url))
    async with database.connect() as connection:
        change = webhooks.Change("stage.changed", "00000000-0000-4000-8000-000000000001", NOON)
        await webhooks.offer(connection, [change])
        assert [each.waiting for each in await webhooks.standing(connection)] == [1]
        await connection.rollback()
    assert (await standing(database)).waiting == 0


async def test_private_addresses_are_refused_unless_they_are_allowed(
    database: AsyncEngine, sink: FakeHttpSink
) -> None:
    for url in (sink.url, f"http://localhost:{sink.port}"):
        receivers = await applied(database, settings(url))
        await accept(database, "shop", [identify("c-1", 1, tier=url)], NOON + timedelta(hours=1))
        await tell_all(database, receivers)
        assert "private network" in ((await standing(database)).error or "")
    assert sink.ledger.requests == 0


async def test_a_worker_that_dies_while_it_tells_is_followed_by_another(
    database: AsyncEngine, sink: FakeHttpSink
) -> None:
    receivers = await applied(database, settings(sink.url, ", allow_private: true"))
    await accept(database, "shop", [identify("c-1", 1, tier="gold")], NOON + timedelta(hours=1))
    sink.behave("hang", times=1)
    dying = asyncio.create_task(tell(database, receivers))
    await until("a call", lambda: bool(sink.ledger.requests))
    dying.cancel()
    await asyncio.gather(dying, return_exceptions=True)
    assert await tell(database, receivers) == 0, "its lease lasts"
    await due_now(database)
    await tell_all(database, receivers)
    assert (sink.ledger.taken, len(sink.ledger.ids), sink.ledger.changed) == (2, 1, 0)


async def test_the_loop_tells_and_an_apply_ends_what_is_not_declared(
    database: AsyncEngine, sink: FakeHttpSink
) -> None:
    await applied(database, settings(sink.url, ", allow_private: true"))
    stop = asyncio.Event()
    running = asyncio.create_task(run_telling(database, stop))
    await accept(database, "shop", [identify("c-1", 1, tier="gold")], NOON + timedelta(hours=1))
    await until("a call that is taken", lambda: bool(sink.ledger.taken))
    stop.set()
    await asyncio.wait_for(running, 20)
    await accept(database, "shop", [identify("c-1", 2, tier="none")], NOON + timedelta(hours=1))
    await applied(database, "version: 1\n")
    found = await standing(database)
    assert (found.declared, found.waiting, found.failed) == (False, 0, 1)
    async with database.begin() as connection:
        owner = (await identities.find_batch(connection, [("external_id", "c-1")]))["external_id", "c-1"]
        await erasing.erase(connection, [owner], [], [])
        assert await webhooks.standing(connection) == []
