"""`ad_audience` on a real database, against a fake of Meta's interface."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

import pytest
import sqlalchemy as sa

from channels.audiences import AudienceAdapter, sha256
from channels.meta_audience import MetaAudienceAdapter
from channels.registry import check_settings
from channels.testing.meta_audience import FakeMetaAudience
from engine.core.inputs import Settled
from engine.effects import perform
from engine.effects.audience import Keeper, work_off
from engine.language.installation import AudienceSettings
from engine.store import audiences, consents, erasing, merging
from engine.store.audiences import Standing
from engine.store.consents import Consent

from .conftest import AT, World, effect
from .test_effects import ports

TOKEN = "a-token"
PHONE = sha256("8613800000000")
EMAIL = sha256("a@example.com")
LATER = AT + timedelta(minutes=1)


@pytest.fixture
async def meta() -> AsyncIterator[FakeMetaAudience]:
    async with FakeMetaAudience("2385", TOKEN) as fake:
        yield fake


@pytest.fixture
async def adapter(meta: FakeMetaAudience, world: World) -> AsyncIterator[MetaAudienceAdapter]:
    world.audiences["vip"] = AudienceSettings("meta_audience")
    given = {"audience_id": "2385", "access_token": TOKEN, "endpoint": meta.url, "timeout": 0.4}
    async with MetaAudienceAdapter(
        "vip", check_settings(MetaAudienceAdapter.Settings, given, "settings", {})
    ) as made:
        yield made


def keeper(world: World, owner: str = "w1") -> Keeper:
    return Keeper(world.database, owner, "opt_in", world.clock)


async def put(world: World, *verbs: str, **customer: Any) -> str:
    """One customer whose steps `add_to` or `remove_from` came one after the other; their profile's id."""
    enrolment, profile_id = "", ""
    for place, verb in enumerate(verbs):
        digest = world.plan(effect("ad_audience", {verb: "vip"}))
        enrolment = await (
            world.again(enrolment, digest) if enrolment else world.customer(digest, **customer)
        )
        order = world.order(enrolment, digest, at=AT + timedelta(minutes=place))
        assert await perform(ports(world), [order]) == [Settled("hi", "done", order.at)]
        profile_id = (await world.enrolment(enrolment)).profile_id
    return profile_id


async def states(world: World) -> list[tuple[str, str | None]]:
    async with world.database.connect() as connection:
        found = await connection.execute(sa.text("SELECT state, reason FROM audience_changes ORDER BY id"))
        return [(row.state, row.reason) for row in found]


async def standing(world: World) -> Standing:
    async with world.database.connect() as connection:
        [found] = await audiences.standing(connection)
    return found


async def everything(world: World) -> str:
    """All that is stored about audiences, as text."""
    texts: list[str] = []
    async with world.database.connect() as connection:
        for table in ("audience_changes", "audience_members", "audience_work"):
            found = await connection.execute(sa.text(f"SELECT CAST(to_jsonb(t) AS text) FROM {table} t"))
            texts += found.scalars()
    return "\n".join(texts)


async def say(world: World, profile_id: str, channel: str, granted: bool) -> None:
    async with world.database.begin() as connection:
        await consents.add_batch(connection, [Consent(profile_id, channel, granted, LATER)])


async def test_a_step_is_done_at_once_and_its_hashes_go_a_moment_later(
    world: World, meta: FakeMetaAudience, adapter: MetaAudienceAdapter
) -> None:
    await put(world, "add_to")
    assert meta.members == set()

    assert await work_off(keeper(world), adapter) == 1

    assert {("PHONE", PHONE), ("EMAIL", EMAIL)} <= meta.members
    assert await states(world) == [("done", None)]
    kept = await everything(world)
    assert PHONE in kept
    assert "13800000000" not in kept
    assert "a@example.com" not in kept


async def test_a_thousand_steps_make_one_call(
    world: World, meta: FakeMetaAudience, adapter: MetaAudienceAdapter
) -> None:
    digest = world.plan(effect("ad_audience", {"add_to": "vip"}))
    one = await world.customer(digest)
    others = [await world.customer(digest, addresses={"phone": f"+861380000{n:04}"}) for n in range(1, 100)]
    orders = [world.order(each, digest) for each in (one, *others)]
    await perform(ports(world), orders)
    await perform(ports(world), orders)

    assert await work_off(keeper(world), adapter) == 100
    assert await work_off(keeper(world), adapter) == 0

    assert len(meta.sessions) == 1
    assert (await standing(world)).members == 100


async def test_of_two_words_that_wait_the_last_one_counts(
    world: World, meta: FakeMetaAudience, adapter: MetaAudienceAdapter
) -> None:
    await put(world, "add_to", "remove_from", "add_to", "remove_from")

    await work_off(keeper(world), adapter)

    assert [method for method, _ in meta.rows] == ["DELETE"]
    assert await states(world) == [("superseded", None)] * 3 + [("done", None)]
    assert (await standing(world)).members == 0


async def test_a_worker_that_dies_after_the_call_leaves_the_change_to_be_made_again(
    world: World, meta: FakeMetaAudience, adapter: MetaAudienceAdapter
) -> None:
    class Dies(MetaAudienceAdapter):
        async def change(self, *given: Any) -> Any:
            await super().change(*given)
            raise asyncio.CancelledError

    await put(world, "add_to")
    with pytest.raises(asyncio.CancelledError):
        await work_off(keeper(world), Dies("vip", adapter.settings))
    assert await states(world) == [("waiting", None)]
    assert await work_off(keeper(world, "w2"), adapter) == 0, "its lease still runs"
    await lease_ends(world)

    assert await work_off(keeper(world, "w2"), adapter) == 1

    assert {("PHONE", PHONE), ("EMAIL", EMAIL)} <= meta.members
    assert await states(world) == [("done", None)]


async def lease_ends(world: World) -> None:
    async with world.database.begin() as connection:
        await connection.execute(sa.text("UPDATE audience_work SET leased_until = now() - interval '1 s'"))


async def test_two_workers_at_once_make_one_call(
    world: World, meta: FakeMetaAudience, adapter: MetaAudienceAdapter
) -> None:
    await put(world, "add_to")

    done = await asyncio.gather(*(work_off(keeper(world, name), adapter) for name in ("w1", "w2", "w3")))

    assert sorted(done) == [0, 0, 1]
    assert len(meta.sessions) == 1


async def test_nobody_without_marketing_consent_is_put_on(
    world: World, meta: FakeMetaAudience, adapter: MetaAudienceAdapter
) -> None:
    await put(world, "add_to", consent=())
    await put(world, "add_to", addresses={"push": "token"})

    await work_off(keeper(world), adapter)

    assert await states(world) == [("skipped", "no_consent"), ("done", None)]
    assert not {("PHONE", PHONE), ("EMAIL", EMAIL)} & meta.members


async def test_whoever_withdraws_all_is_taken_off_and_whoever_withdraws_one_stays(
    world: World, meta: FakeMetaAudience, adapter: MetaAudienceAdapter
) -> None:
    profile_id = await put(world, "add_to")
    await work_off(keeper(world), adapter)

    await say(world, profile_id, "sms", False)
    assert await work_off(keeper(world), adapter) == 0
    await say(world, profile_id, "email", False)
    assert await work_off(keeper(world), adapter) == 1

    assert meta.members == set()
    assert (await standing(world)).members == 0


async def test_whoever_is_erased_is_taken_off_by_the_hashes_that_were_given(
    world: World, meta: FakeMetaAudience, adapter: MetaAudienceAdapter
) -> None:
    profile_id = await put(world, "add_to")
    await work_off(keeper(world), adapter)
    async with world.database.begin() as connection:
        await erasing.erase(connection, [profile_id], [], [])

    await work_off(keeper(world), adapter)

    assert meta.members == set()
    assert PHONE not in await everything(world)


async def test_whoever_is_erased_during_the_call_is_taken_off_after_it(
    world: World, meta: FakeMetaAudience, adapter: MetaAudienceAdapter
) -> None:
    profile_id = await put(world, "add_to")

    class Erased(MetaAudienceAdapter):
        async def change(self, *given: Any) -> Any:
            async with world.database.begin() as connection:
                await erasing.erase(connection, [profile_id], [], [])
            return await super().change(*given)

    await work_off(keeper(world), Erased("vip", adapter.settings))
    assert ("PHONE", PHONE) in meta.members
    await work_off(keeper(world), adapter)

    assert meta.members == set()


async def test_a_token_that_was_taken_back_leaves_changes_waiting_until_it_is_mended(
    world: World, meta: FakeMetaAudience, adapter: MetaAudienceAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    await put(world, "add_to")
    meta.token = "another"
    await work_off(keeper(world), adapter)
    seen = await standing(world)
    assert (seen.waiting, seen.failed) == (1, 0)
    assert "credentials" in (seen.error or "")
    assert "audience vip: 1 changes wait" in caplog.text
    assert await work_off(keeper(world), adapter) == 0, "it is not tried again at once"

    meta.token = TOKEN
    async with world.database.begin() as connection:
        assert await audiences.again(connection, "vip") == 1
    await work_off(keeper(world), adapter)

    assert ("PHONE", PHONE) in meta.members
    assert (await standing(world)).error is None


@pytest.mark.parametrize("kind", ["throttle", "fail", "hang", "drop"])
async def test_what_the_platform_cannot_take_now_is_taken_later(
    world: World, meta: FakeMetaAudience, adapter: MetaAudienceAdapter, kind: Any
) -> None:
    await put(world, "add_to")
    meta.trouble(kind)
    await work_off(keeper(world), adapter)
    seen = await standing(world)
    assert seen.waiting == 1
    assert seen.due_at is not None
    async with world.database.begin() as connection:
        await audiences.again(connection, "vip")

    await work_off(keeper(world), adapter)

    assert ("PHONE", PHONE) in meta.members
    assert (await standing(world)).waiting == 0


async def test_what_the_platform_refuses_for_good_is_kept_as_failed(
    world: World, meta: FakeMetaAudience, adapter: MetaAudienceAdapter
) -> None:
    await put(world, "add_to")
    meta.trouble("reject")
    await work_off(keeper(world), adapter)

    seen = await standing(world)
    assert (seen.waiting, seen.failed) == (0, 1)
    assert seen.error == "rejected (content): HTTP 400 100"


async def test_an_audience_that_is_not_declared_any_more_fails_the_step(world: World) -> None:
    digest = world.plan(effect("ad_audience", {"add_to": "gone"}))
    enrolment = await world.customer(digest)

    [answer] = await perform(ports(world), [world.order(enrolment, digest)])

    assert answer == Settled("hi", "failed", AT, reason="audience gone is not declared")


async def test_after_a_merge_a_withdrawal_takes_off_the_hashes_of_both(
    world: World, meta: FakeMetaAudience, adapter: MetaAudienceAdapter
) -> None:
    one = await put(world, "add_to")
    two = await put(world, "add_to", addresses={"phone": "+8613900000000"})
    await work_off(keeper(world), adapter)
    async with world.database.begin() as connection:
        assert await merging.merge(connection, one, two, LATER) is not None
    assert await work_off(keeper(world), adapter) == 0

    for channel in ("sms", "email"):
        await say(world, one, channel, False)
    assert await work_off(keeper(world), adapter) == 1

    assert meta.members == set()


async def test_an_adapter_that_raises_loses_nothing(
    world: World, meta: FakeMetaAudience, adapter: AudienceAdapter, caplog: pytest.LogCaptureFixture
) -> None:
    class Faulty(MetaAudienceAdapter):
        async def change(self, *given: Any) -> Any:
            raise ValueError("a@example.com")

    await put(world, "add_to")
    await work_off(keeper(world), Faulty("vip", adapter.settings))

    assert (await states(world))[0][0] == "waiting"
    assert "a@example.com" not in caplog.text


async def test_what_was_refused_is_not_made_again_after_a_later_word(
    world: World, meta: FakeMetaAudience, adapter: MetaAudienceAdapter
) -> None:
    await put(world, "add_to", "remove_from")
    async with world.database.begin() as connection:
        await connection.execute(sa.text("UPDATE audience_changes SET state = 'failed' WHERE adds"))
    await work_off(keeper(world), adapter)

    async with world.database.begin() as connection:
        assert await audiences.again(connection, "vip") == 0
    await work_off(keeper(world), adapter)

    assert not meta.members
