from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.core.commands import Trace
from engine.core.inputs import EntryState
from engine.store import enrolments, entries, traces
from engine.store.enrolments import End, Enrolment, Filter, Progress
from engine.store.entries import EntryKey
from engine.store.shards import shard_of

pytestmark = pytest.mark.integration
NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)


def an_enrolment(profile_id: str | None = None, **other: object) -> Enrolment:
    made = Enrolment(
        id=str(uuid.uuid4()),
        journey="unpaid-cart",
        digest="d1",
        profile_id=profile_id or str(uuid.uuid4()),
        profile_key="k",
        one_per='"c1"',
        trigger_event_id=str(uuid.uuid4()),
        trigger={"total": 120},
        holdout=False,
        entered_at=NOON,
    )
    return replace(made, **other)  # type: ignore[arg-type]


async def test_a_customer_is_live_once_in_a_journey_and_one_per_value(connection: AsyncConnection) -> None:
    first = an_enrolment()
    again = replace(first, id=str(uuid.uuid4()))
    other_cart = replace(first, id=str(uuid.uuid4()), one_per='"c2"')
    assert await enrolments.insert_batch(connection, [first, again, other_cart]) == {first.id, other_cart.id}
    assert await enrolments.insert_batch(connection, [first]) == set()

    assert set(await enrolments.end_batch(connection, [End(first.id, "superseded", NOON)])) == {first.id}
    assert await enrolments.insert_batch(connection, [again]) == {again.id}
    assert await enrolments.counts_by_digest(connection, ["unpaid-cart"]) == {"unpaid-cart": {"d1": 2}}
    live = await enrolments.live_for_profiles(connection, [first.profile_id])
    assert {e.id for e in live} == {again.id, other_cart.id}
    assert live[0].trigger == {"total": 120}


async def test_the_first_exit_is_never_rewritten(connection: AsyncConnection) -> None:
    enrolment = an_enrolment()
    await enrolments.insert_batch(connection, [enrolment])
    end = End(enrolment.id, "goal", NOON + timedelta(hours=1))
    ended = await enrolments.end_batch(connection, [end, replace(end, exit="failed")])
    assert {(row.id, row.exit) for row in ended.values()} == {(enrolment.id, end.exit)}
    assert await enrolments.end_batch(connection, [replace(end, exit="expired")]) == {}
    found = (await enrolments.get_batch(connection, [enrolment.id]))[enrolment.id]
    assert (found.status, found.exit, found.ended_at) == ("ended", "goal", end.at)


@pytest.mark.parametrize(("seconds", "exit"), [(-1, "goal"), (0, "goal"), (1, "superseded")])
async def test_an_end_that_came_no_later_than_the_restart_counts(
    connection: AsyncConnection, seconds: int, exit: str
) -> None:
    """`superseded` is written before the enrolment hears of it; it may have reached its goal by then."""
    enrolment = an_enrolment()
    await enrolments.insert_batch(connection, [enrolment])
    restart = End(enrolment.id, "superseded", NOON)
    await enrolments.end_batch(connection, [restart])
    await enrolments.end_batch(connection, [End(enrolment.id, "goal", NOON + timedelta(seconds=seconds))])
    assert await enrolments.end_batch(connection, [restart]) == {}, "the same again changes nothing"
    found = (await enrolments.get_batch(connection, [enrolment.id]))[enrolment.id]
    assert found.exit == exit


async def test_the_earliest_conversion_stays_also_after_the_end(connection: AsyncConnection) -> None:
    enrolment = an_enrolment()
    await enrolments.insert_batch(connection, [enrolment])
    assert await enrolments.convertible(connection, [enrolment.profile_id], NOON) != []
    await enrolments.end_batch(connection, [End(enrolment.id, "completed", NOON)])
    later, sooner = NOON + timedelta(days=2), NOON + timedelta(days=1)
    await enrolments.set_converted(connection, [(enrolment.id, later)])
    await enrolments.set_converted(connection, [(enrolment.id, sooner), (enrolment.id, later)])
    found = (await enrolments.get_batch(connection, [enrolment.id]))[enrolment.id]
    assert (found.exit, found.converted_at) == ("completed", sooner)
    assert await enrolments.convertible(connection, [enrolment.profile_id], NOON) == []


async def test_progress_adds_answers_and_keeps_what_it_does_not_name(connection: AsyncConnection) -> None:
    enrolment = an_enrolment()
    await enrolments.insert_batch(connection, [enrolment])
    await enrolments.progress_batch(
        connection, [Progress(enrolment.id, "look", answers={"a": None}, variants={"test": "plain"})]
    )
    await enrolments.progress_batch(connection, [Progress(enrolment.id, answers={"b": [1]})])
    found = (await enrolments.get_batch(connection, [enrolment.id]))[enrolment.id]
    assert (found.step, found.answers, found.variants) == (
        "look",
        {"a": None, "b": [1]},
        {"test": "plain"},
    )


async def test_enrolments_are_listed_page_by_page(connection: AsyncConnection) -> None:
    made = [an_enrolment(entered_at=NOON + timedelta(hours=n)) for n in range(5)]
    await enrolments.insert_batch(connection, [*made, an_enrolment(journey="welcome")])
    where = Filter(journey="unpaid-cart", status="live")
    first = await enrolments.find(connection, where, limit=3)
    rest = await enrolments.find(connection, where, after=(first[-1].entered_at, first[-1].id))
    assert [e.id for e in first + rest] == [e.id for e in reversed(made)]


async def test_entry_states_come_back_as_they_were_saved(connection: AsyncConnection) -> None:
    key = EntryKey("unpaid-cart", str(uuid.uuid4()), "null")
    other = EntryKey("unpaid-cart", str(uuid.uuid4()), '"茶"')
    state = EntryState(
        pending_id=str(uuid.uuid4()),
        pending_at=NOON,
        pending_order=2**40,
        due_at=NOON + timedelta(minutes=30),
        entered_at=NOON - timedelta(days=1),
        entered=2,
        contested=((str(uuid.uuid4()), NOON, NOON + timedelta(seconds=1)),),
    )
    assert await entries.load(connection, [key, other]) == {key: EntryState(), other: EntryState()}
    await entries.save(connection, {key: state, other: EntryState(entered=1)})
    assert await entries.load(connection, [key, other]) == {key: state, other: EntryState(entered=1)}
    assert await entries.pending_for_profiles(connection, [key.profile_id, other.profile_id]) == {key: state}

    shard = shard_of(key.profile_id)
    assert await entries.next_due(connection) == state.due_at
    assert await entries.due(connection, {shard: NOON}, 10) == []
    assert await entries.due(connection, {shard: NOON + timedelta(minutes=30)}, 10) == [key]
    assert await entries.due_shards(connection, NOON + timedelta(minutes=30)) == [shard]
    await entries.save(connection, {key: EntryState()})
    assert await entries.next_due(connection) is None


async def test_missed_entries_are_counted_by_reason(connection: AsyncConnection) -> None:
    day = date(2026, 11, 11)
    await entries.count_missed(connection, [("j", day, "missed_while_paused")] * 2)
    await entries.count_missed(connection, [("j", day + timedelta(days=1), "missed_while_paused")])
    assert await entries.missed(connection, "j") == {"missed_while_paused": 3}


async def test_a_trace_written_twice_is_there_once(connection: AsyncConnection) -> None:
    enrolment = str(uuid.uuid4())
    lines = [Trace(NOON, "entered"), Trace(NOON, "skipped", "hello", "no_consent", (("sms", "no_consent"),))]
    await traces.append(connection, enrolment, 0, lines)
    await traces.append(connection, enrolment, 1, [lines[1], Trace(NOON, "exited", None, "completed")])
    assert (await traces.read_batch(connection, [enrolment]))[enrolment] == [
        *lines,
        Trace(NOON, "exited", None, "completed"),
    ]
