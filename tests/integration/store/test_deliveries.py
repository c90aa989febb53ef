from __future__ import annotations

import asyncio
import uuid
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from engine.store import deliveries, delivery_states, effects, received, workers
from engine.store.delivery_states import NewDelivery, Sending, Settlement
from engine.store.effects import EffectKey, EffectSettlement, NewEffect
from engine.store.received import Received, Told

pytestmark = pytest.mark.integration
NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)
MONTH = date(2026, 11, 1)


def a_message(step: str = "hello", enrolment: str | None = None) -> NewDelivery:
    enrolment = enrolment or str(uuid.uuid4())
    return NewDelivery(enrolment, step, MONTH, f"key-{step}", "welcome", str(uuid.uuid4()), NOON)


def sending(claimed: deliveries.Delivery) -> Sending:
    return Sending(claimed.row_key, claimed.attempts, "sms", "hello", "t1")


async def made(
    connection: AsyncConnection, message: NewDelivery, owner: str = "w1", state: str = "claimed"
) -> deliveries.Delivery:
    """A message claimed for the first time, with its row."""
    [claimed] = (await delivery_states.claim_batch(connection, [message], owner)).mine.values()
    assert (claimed.state, claimed.attempts, claimed.owner) == ("claimed", 0, owner)
    decided: Sending | Settlement = Settlement(claimed.row_key, 0, state)
    if state == "sending":
        decided = sending(claimed)
    assert await delivery_states.write_batch(connection, [(claimed, decided)], owner) == {claimed.row_key}
    return replace(claimed, attempts=1)


async def test_a_settled_delivery_answers_instead_of_being_claimed_again(connection: AsyncConnection) -> None:
    message = a_message()
    claimed = await made(connection, message, state="sending")
    again = await delivery_states.claim_batch(connection, [message], "w2")
    assert again.mine == {}
    assert again.others[claimed.row_key].state == "sending"

    settled = Settlement(
        claimed.row_key,
        1,
        "accepted",
        provider_id="p-1",
        raw={"ok": True},
        passed_over=[("push", "no_address")],
    )
    assert await delivery_states.settle_batch(connection, [settled]) == {claimed.row_key}
    assert await delivery_states.settle_batch(connection, [settled]) == set()
    answer = (await delivery_states.claim_batch(connection, [message], "w2")).others[claimed.row_key]
    assert (answer.state, answer.channel, answer.provider_id) == ("accepted", "sms", "p-1")
    assert (answer.raw, answer.passed_over) == ({"ok": True}, [["push", "no_address"]])
    assert answer.settled_at is not None


async def test_of_two_workers_with_one_claim_only_the_last_may_send(connection: AsyncConnection) -> None:
    message = a_message()
    slow = await made(connection, message, "slow")
    [quick] = (await delivery_states.claim_batch(connection, [message], "quick")).mine.values()
    assert quick.attempts == 2
    assert await delivery_states.mark_sending(connection, [sending(slow)]) == set()
    assert await delivery_states.mark_sending(connection, [sending(quick)]) == {quick.row_key}


@pytest.mark.parametrize("known", [False, True])
async def test_many_workers_at_once_send_each_message_once(database: AsyncEngine, known: bool) -> None:
    messages = [a_message() for _ in range(40)]
    if known:
        async with database.begin() as connection:
            for message in messages:
                await made(connection, message)

    async def worker(name: str) -> int:
        async with database.begin() as connection:
            claims = (await delivery_states.claim_batch(connection, messages, name)).mine.values()
        async with database.begin() as connection:
            if known:
                return len(await delivery_states.mark_sending(connection, [sending(d) for d in claims]))
            return len(await delivery_states.write_batch(connection, [(d, sending(d)) for d in claims], name))

    assert sum(await asyncio.gather(*(worker(f"w{n}") for n in range(6)))) == 40


async def test_a_deferred_message_is_claimed_for_its_next_try(connection: AsyncConnection) -> None:
    message = a_message()
    claimed = await made(connection, message)
    until = NOON + timedelta(hours=8)
    deferred = Settlement(claimed.row_key, 1, "deferred", reason="quiet_hours", due_at=until)
    await delivery_states.settle_batch(connection, [deferred])
    stored = (await deliveries.get_batch(connection, [claimed.row_key]))[claimed.row_key]
    assert (stored.state, stored.due_at, stored.reason) == ("deferred", until, "quiet_hours")
    [again] = (await delivery_states.claim_batch(connection, [message], "w2")).mine.values()
    assert again.attempts == 2


async def test_what_a_dead_worker_left_open_is_found(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await workers.seen(connection, "alive", "send")
        await made(connection, mine := a_message(), "alive")
        await made(connection, left := a_message(), "dead")
    async with database.begin() as connection:
        found = await deliveries.stale(connection, timedelta(0), 10)
        assert {d.enrolment_id for d in found} == {left.enrolment_id, mine.enrolment_id}
        assert await deliveries.stale(connection, timedelta(minutes=1), 10) == []
        await connection.exec_driver_sql("UPDATE deliveries SET claimed_at = now() - interval '2 minutes'")
        [stale] = await deliveries.stale(connection, timedelta(minutes=1), 10)
        assert stale.enrolment_id == left.enrolment_id
        assert await workers.alive(connection, timedelta(minutes=1)) == {"alive": "send"}


async def test_a_late_delivered_does_not_undo_a_complaint(connection: AsyncConnection) -> None:
    claimed = await made(connection, a_message())
    await delivery_states.settle_batch(
        connection, [Settlement(claimed.row_key, 1, "accepted", channel="email", provider_id="p-9")]
    )
    for state in ("delivered", "complained", "delivered", "accepted"):
        found = await received.told_of(connection, [Told("p-9"), Told("unknown")])
        assert set(found) == {0}
        assert await received.receive_batch(connection, [Received(found[0].row_key, state)])
    [row] = (await deliveries.get_batch(connection, [claimed.row_key])).values()
    assert row.state == "complained"


async def test_a_month_has_its_own_partition_unless_its_rows_are_elsewhere(
    connection: AsyncConnection,
) -> None:
    assert await deliveries.ensure_month(connection, date(2027, 1, 15))
    assert await deliveries.ensure_month(connection, date(2027, 1, 1))
    await made(connection, a_message())
    assert not await deliveries.ensure_month(connection, MONTH)


async def test_an_effect_settles_once_and_keeps_its_answer(connection: AsyncConnection) -> None:
    new = NewEffect(str(uuid.uuid4()), "call", "webhook", "key", NOON, calls=True)
    key = EffectKey(new.enrolment_id, "call")
    [claimed] = (await effects.claim_batch(connection, [new], "w1")).mine.values()
    assert claimed.state == "sending"
    assert (await effects.claim_batch(connection, [new], "w2")).others[key].state == "sending"
    [repeated] = (await effects.claim_batch(connection, [new], "w2", repeat=True)).mine.values()
    done = EffectSettlement(key, repeated.attempts, "done", answer={"points": 3})
    assert (
        await effects.settle_batch(connection, [EffectSettlement(key, claimed.attempts, "failed")]) == set()
    )
    assert await effects.settle_batch(connection, [done]) == {key}
    [stored] = (await effects.of_enrolments(connection, [new.enrolment_id]))[new.enrolment_id]
    assert (stored.state, stored.answer) == ("done", {"points": 3})
