"""One batch: what is broken, what must be tried again, and what happens while a message is being sent."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
import sqlalchemy as sa

from channels.errors import Rejected, Throttled
from channels.receipt import Reason
from channels.testing.fakes import FakeAdapter
from engine.core.identity import profile_key
from engine.core.plan import Plan
from engine.pool.batch import MOST_FAULTS, run_batch
from engine.store import deliveries, pool
from engine.store.pool import pool_shard
from tests.integration.parity.cases import Case, simulated
from tests.integration.parity.crowds import Burst
from tests.integration.parity.records import differences, of_database, of_simulation
from tests.integration.pool.shop import (
    FILES,
    HOUR,
    MINUTE,
    START,
    Interrupted,
    arrive,
    enter,
    happens,
    other_worker,
    pool_row,
    rows,
    trace,
    use,
)
from tests.integration.pool.virtual import Virtual, virtual

SECOND = timedelta(seconds=1)


async def spoil(shop: Virtual, user: str, *, state: bytes | None = None) -> None:
    """Makes the customer's row such that nobody can work on it: its inbox, or with `state` all of it."""
    row = (await rows(shop))[user]
    async with shop.database.begin() as connection:
        if state is None:
            await pool.call_batch(connection, [(row.id, [{"kind": "nonsense"}])])
        else:
            await connection.execute(
                sa.text("UPDATE pool_rows SET state = :state WHERE enrolment_id = CAST(:id AS uuid)"),
                {"state": state, "id": row.id},
            )


async def mend(shop: Virtual, user: str) -> None:
    row = (await rows(shop))[user]
    async with shop.database.begin() as connection:
        await connection.execute(
            sa.text("UPDATE pool_rows SET inbox = NULL WHERE enrolment_id = CAST(:id AS uuid)"),
            {"id": row.id},
        )


# --- what is broken -------------------------------------------------------------------------------------


@pytest.mark.parametrize("batch", [1, 2, 1000])
async def test_a_row_that_cannot_be_worked_on_is_put_off_and_the_others_go_on(
    shop: Virtual, batch: int
) -> None:
    shop.batch = batch
    users = [f"c{number}" for number in range(7)]
    await enter(shop, *users)
    sms = FakeAdapter("sms")
    use(shop, sms)
    await spoil(shop, "c3")
    await shop.to(START + HOUR)
    assert len(sms.taken) == 6
    found = await rows(shop)
    assert {user: row.status for user, row in found.items()} == dict.fromkeys(users, "live")
    left = await pool_row(shop, "c3")
    assert left is not None
    assert left.inbox == [{"kind": "nonsense"}], "nothing of it was taken"
    assert (await shop.next_at() or START) > START + HOUR


async def test_what_is_mended_in_time_goes_on_where_it_stood(shop: Virtual) -> None:
    await enter(shop, "c0", "c1")
    await spoil(shop, "c1")
    await shop.settle()
    for _ in range(MOST_FAULTS - 2):
        await shop.to(await shop.next_at() or START)
    await mend(shop, "c1")
    while (due := await shop.next_at()) is not None:
        await shop.to(due)
    found = await rows(shop)
    assert {row.exit for row in found.values()} == {"completed"}
    assert [line[:2] for line in await trace(shop, found["c1"].id)] == [
        line[:2] for line in await trace(shop, found["c0"].id)
    ]


async def test_after_many_faults_an_enrolment_ends_as_failed(shop: Virtual) -> None:
    await enter(shop, "c0", "c1")
    await spoil(shop, "c1")
    tries = 0
    await shop.settle()
    while (await pool_row(shop, "c1")) is not None:
        tries += 1
        assert tries < 2 * MOST_FAULTS, "it is tried for ever"
        await shop.to(await shop.next_at() or START)
    found = await rows(shop)
    assert (found["c1"].exit, found["c1"].exit_detail) == ("failed", "KeyError")
    assert (await trace(shop, found["c1"].id))[-1][:2] == ("exited", "failed")
    while (due := await shop.next_at()) is not None:
        await shop.to(due)
    assert (await rows(shop))["c0"].exit == "completed"


async def test_a_state_that_cannot_be_read_holds_up_nobody(shop: Virtual) -> None:
    await enter(shop, "c0", "c1", "c2")
    sms = FakeAdapter("sms")
    use(shop, sms)
    await spoil(shop, "c1", state=b"\xff not ours")
    await shop.to(START + HOUR)
    assert len(sms.taken) == 2
    row = await pool_row(shop, "c1")
    assert row is not None
    assert row.state == b"\xff not ours", "who can read it finds it as it was"


async def test_a_row_whose_enrolment_is_gone_is_removed(shop: Virtual) -> None:
    await enter(shop, "c0")
    async with shop.database.begin() as connection:
        await connection.execute(sa.text("DELETE FROM enrolments"))
    await shop.to(START + HOUR)
    async with shop.database.connect() as connection:
        assert (await pool.standing(connection, "cart", None, shop.clock.wall)).live == 0


async def test_while_the_database_is_away_nothing_is_blamed_on_a_row(shop: Virtual) -> None:
    await enter(shop, "c0", "c1")
    before = await pool_row(shop, "c0")
    plan = shop.ports.work.plan

    async def away(digest: str) -> Plan:
        raise ConnectionRefusedError("no database here")

    shop.ports.work.plan = away
    with pytest.raises(ConnectionRefusedError):
        await shop.to(START + HOUR)
    shop.ports.work.plan = plan
    assert await pool_row(shop, "c0") == before
    sms = FakeAdapter("sms")
    use(shop, sms)
    await shop.settle()
    assert len(sms.taken) == 2


# --- what must be tried again ---------------------------------------------------------------------------


async def test_a_retry_keeps_the_command_open_and_is_tried_at_its_time(shop: Virtual) -> None:
    await enter(shop, "c0", "c1")
    sms = FakeAdapter("sms")
    sms.then(Throttled(30 * SECOND))
    use(shop, sms)
    await shop.to(START + HOUR)
    assert (len(sms.attempts), len(sms.taken)) == (2, 1)
    assert await shop.next_at() == START + HOUR + 30 * SECOND
    await shop.to(START + HOUR + 29 * SECOND)
    assert len(sms.attempts) == 2
    await shop.to(START + HOUR + 30 * SECOND)
    assert len(sms.taken) == 2
    found = await rows(shop)
    async with shop.database.connect() as connection:
        told = await deliveries.of_enrolments(connection, [row.id for row in found.values()])
    assert sorted(row[0].attempts for row in told.values()) == [1, 2]
    for row in found.values():
        lines = await trace(shop, row.id)
        assert [line[:2] for line in lines[2:4]] == [("began", "remind"), ("sent", "remind")]


async def test_what_comes_while_a_command_waits_does_not_hurry_it(shop: Virtual) -> None:
    await enter(shop, "c0")
    sms = FakeAdapter("sms")
    sms.then(Throttled(30 * SECOND))
    use(shop, sms)
    await shop.to(START + HOUR)
    shop.clock.wall += 10 * SECOND
    await shop.take(happens(shop, "order.paid", "c0"))
    await shop.settle()
    assert len(sms.attempts) == 1
    await shop.to(START + HOUR + 30 * SECOND)
    # In real time a goal stops what has not been sent: nobody who has bought is told to buy.
    assert len(sms.attempts) == 1
    row = (await rows(shop))["c0"]
    assert row.exit == "goal"
    assert [line[:2] for line in (await trace(shop, row.id))[-2:]] == [
        ("skipped", "remind"),
        ("exited", "goal"),
    ]


async def test_a_refusal_is_no_fault_of_the_row(shop: Virtual) -> None:
    await enter(shop, "c0")
    sms = FakeAdapter("sms")
    sms.always(Rejected(Reason.ADDRESS_UNKNOWN))
    use(shop, sms)
    await shop.to(START + HOUR)
    row = (await rows(shop))["c0"]
    assert (row.status, (await trace(shop, row.id))[3][:2]) == ("live", ("failed", "remind"))


# --- while a message is being sent ----------------------------------------------------------------------


async def test_a_goal_during_a_send_ends_the_enrolment_once_it_is_settled(shop: Virtual) -> None:
    await enter(shop, "c0")

    async def pays() -> None:
        shop.clock.wall += SECOND
        await shop.take(happens(shop, "order.paid", "c0"))
        await shop.router.sweep()

    sms = Interrupted(pays)
    use(shop, sms)
    await shop.to(START + HOUR)
    assert len(sms.taken) == 1
    row = (await rows(shop))["c0"]
    assert row.exit == "goal"
    ended = [line[0] for line in await trace(shop, row.id)]
    assert ended == ["began", "waits", "began", "sent", "began", "waits", "exited"]
    assert await pool_row(shop, "c0") is None


async def test_a_restart_during_a_send_ends_it_and_begins_another(shop: Virtual) -> None:
    await enter(shop, "c0")
    first = (await rows(shop))["c0"]

    async def restarts() -> None:
        shop.clock.wall += SECOND
        await shop.take(happens(shop, "cart.updated", "c0"))
        await shop.router.sweep()

    sms = Interrupted(restarts)
    use(shop, sms)
    await shop.to(START + HOUR)
    second = (await rows(shop))["c0"]
    assert second.id != first.id
    while (due := await shop.next_at()) is not None:
        await shop.to(due)
    ended = await trace(shop, first.id)
    assert ended[-1][:2] == ("exited", "superseded")
    assert [line[:2] for line in ended].count(("sent", "remind")) == 1
    assert (await rows(shop))["c0"].exit == "completed"
    assert len(sms.taken) == 3, "one of the first enrolment, two of the second"


@pytest.mark.parametrize("batch", [1, 1000])
@pytest.mark.parametrize("during", ["order.paid", "cart.updated", "both"])
async def test_on_a_scaled_clock_what_comes_during_a_send_is_as_simulated(
    database_url: str, during: str, batch: int
) -> None:
    """One customer is being sent to; it is another one's event, and the same one's, that comes meanwhile."""
    grace = 2 * MINUTE
    async with virtual(database_url, FILES, START, grace=grace, batch=batch) as running:
        users = ("c0", "c1", "c2")
        first = happens(running, "cart.updated", *users)
        bursts = [arrive(*users), first]
        later: list[Burst] = []

        async def comes() -> None:
            for event in ("order.paid", "cart.updated"):
                if during in (event, "both"):
                    burst = happens(running, event, "c0", "c1", "c2")
                    later.append(burst)
                    await running.take(burst)
                    await running.router.sweep()

        use(running, Interrupted(comes))
        for burst in bursts:
            await running.take(burst)
        await running.settle()
        while (due := await running.next_at()) is not None:
            await running.to(due)
        assert later, "nothing came during the send"
        people = {profile_key("external_id", user): user for user in users}
        ran = await of_database(running.database, people)
    wanted = of_simulation(simulated(Case(FILES, [*bursts, *later])).enrolments)
    # What was sent is not compared here: the adapter of this test keeps no outbox.
    told = [str(one) for one in differences(ran, wanted) if one.what != "messages"]
    assert told == []


async def test_a_row_that_two_processes_took_sends_once(shop: Virtual) -> None:
    await enter(shop, "c0", "c1")
    shard = pool_shard((await rows(shop))["c0"].profile_id)
    other = other_worker(shop)
    sms: Interrupted

    async def takes_it_too() -> None:
        assert (await run_batch(other, "cart", shard)).taken

    sms = Interrupted(takes_it_too)
    use(shop, sms)
    other.work.adapters = shop.ports.work.adapters
    shop.clock.wall = START + HOUR
    await run_batch(shop.ports, "cart", shard)
    while (due := await shop.next_at()) is not None:
        await shop.to(due)
    found = await rows(shop)
    assert {row.exit for row in found.values()} == {"completed"}
    assert len(sms.attempts) == len(sms.taken) == 4
    for row in found.values():
        lines = [line[:2] for line in await trace(shop, row.id)]
        assert len(lines) == len(set(lines)), "no line twice"


async def test_a_batch_that_was_cut_off_after_sending_sends_nothing_twice(shop: Virtual) -> None:
    """The process ends between the call and the end of the batch: the rows are as they were."""
    await enter(shop, "c0", "c1")

    class Killed(BaseException):
        pass

    sms = FakeAdapter("sms")
    use(shop, sms)
    before = await pool_row(shop, "c0")
    wall = shop.ports.wall

    def dies() -> datetime:
        if sms.attempts:
            raise Killed
        return wall()

    shop.ports.wall = dies
    with pytest.raises(Killed):
        await shop.to(START + HOUR)
    shop.ports.wall = wall
    sent = len(sms.attempts)
    assert sent
    assert await pool_row(shop, "c0") == before
    await shop.settle()
    assert len(sms.attempts) == len(sms.taken) == 2
    for row in (await rows(shop)).values():
        assert [line[:2] for line in await trace(shop, row.id)].count(("sent", "remind")) == 1
