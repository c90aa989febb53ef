"""Moments on a real database: who crosses a line in a stretch of time is recorded once, at its instant."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from engine.ingest import crowds
from engine.ingest.manual import EntryRefused
from engine.ingest.moments import HINDSIGHT, Ticker
from engine.store import moments, profiles
from tests.integration.ingest.world import START, World

DAY = timedelta(days=1)
A_WHILE = HINDSIGHT + timedelta(seconds=1)
CATALOGUE = """
events:
  order.paid:
    properties: {order_id: text, total: number}
profile:
  birthday: date
  trial_ends_at: datetime
  last_order_at: {type: datetime, computed: 'last("order.paid")'}
tags: [staff, gold]
segments:
  golden: has_tag("gold")
"""
QUIET = """
journey: quiet
trigger: {quiet_for: 25d, since: order.paid}
steps:
  - {id: hold, wait: {for: 90d}}
"""
BIG = """
journey: quiet
trigger: {quiet_for: 25d, since: order.paid, where: 'event.total >= 100 and not has_tag("staff")'}
steps: []
"""
BIRTHDAY = """
journey: birthday
trigger: {date: profile.birthday, offset: -7d, at: "10:00"}
steps: []
"""


async def attributes(world: World, name: str, time_zone: str | None = None, **values: str) -> str:
    profile_id = await world.profile(name)
    async with world.database.begin() as connection:
        change = profiles.Change(profile_id, dict(values), time_zone=time_zone)
        await profiles.change_batch(connection, [change])
    return profile_id


# --- quiet ----------------------------------------------------------------------------------------------


async def test_quiet_enters_at_the_very_instant_and_the_trigger_is_the_event(world: World) -> None:
    await world.apply(QUIET, catalogue=CATALOGUE)
    order = await world.event("order.paid", total=120)
    await world.route()
    await world.tick("quiet", 25 * DAY - timedelta(seconds=1))
    assert await world.moments("quiet") == []
    await world.tick("quiet", 25 * DAY + A_WHILE)
    profile = await world.profile()
    assert await world.moments("quiet") == [(profile, START + 25 * DAY)]
    (enrolment,) = await world.enrolments("quiet")
    assert enrolment.trigger["with"]["total"] == 120
    assert enrolment.trigger["with"]["id"] == order


async def test_a_newer_event_in_time_starts_the_days_afresh(world: World) -> None:
    await world.apply(QUIET, catalogue=CATALOGUE)
    await world.event("order.paid")
    await world.event("order.paid", 25 * DAY)
    await world.tick("quiet", 26 * DAY)
    assert await world.moments("quiet") == []
    await world.tick("quiet", 50 * DAY + A_WHILE)
    assert [at for _, at in await world.moments("quiet")] == [START + 50 * DAY]


async def test_quiet_counts_only_events_for_which_the_condition_holds(world: World) -> None:
    await world.apply(BIG, catalogue=CATALOGUE)
    await world.event("order.paid", total=150)
    await world.event("order.paid", DAY, total=20)
    await world.event("order.paid", of="small", total=20)
    await world.event("order.paid", of="both", total=150)
    await world.event("order.paid", DAY, of="both", total=200)
    await world.event("order.paid", of="staff", total=150)
    await world.profile("staff", tags=("staff",))
    await world.tick("quiet", 30 * DAY)
    assert await world.moments("quiet") == [
        (await world.profile(), START + 25 * DAY),
        (await world.profile("both"), START + 26 * DAY),
    ]


async def test_who_crossed_before_the_journey_went_live_does_not_flood_in(world: World) -> None:
    await world.event("order.paid", -40 * DAY)
    await world.event("order.paid", -20 * DAY, of="soon")
    await world.apply(QUIET, catalogue=CATALOGUE)
    await world.tick("quiet", 10 * DAY)
    assert await world.moments("quiet") == [(await world.profile("soon"), START + 5 * DAY)]


async def test_ticks_that_were_missed_are_made_up_for_once(world: World) -> None:
    await world.apply(QUIET, catalogue=CATALOGUE)
    for number in range(5):
        await world.event("order.paid", number * DAY, of=f"c{number}")
    assert (await world.tick("quiet", 40 * DAY)).recorded == 5
    assert (await world.tick("quiet", 41 * DAY)).recorded == 0
    assert len(await world.enrolments("quiet")) == 5


async def test_slices_lose_nobody_even_if_all_cross_at_one_instant(world: World) -> None:
    await world.apply(QUIET, catalogue=CATALOGUE)
    for number in range(7):
        await world.event("order.paid", of=f"c{number}")
    assert (await world.tick("quiet", 26 * DAY, limit=2)).recorded == 7
    assert len(await world.moments("quiet")) == 7


class Killed(Exception):
    pass


async def test_a_tick_that_is_killed_between_slices_goes_on_where_it_stopped(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.apply(QUIET, catalogue=CATALOGUE)
    for number in range(7):
        await world.event("order.paid", timedelta(hours=number // 2), of=f"c{number}")
    world.now = START + 26 * DAY
    advance, calls = moments.advance, 0

    async def dies(*given: object, **named: object) -> None:
        nonlocal calls
        calls += 1
        if calls % 2 == 0:
            raise Killed
        await advance(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(moments, "advance", dies)
    recorded = 0
    for _ in range(20):
        try:
            await world.tick("quiet", limit=2)
            break
        except Killed:
            found = len(await world.moments("quiet"))
            assert found >= recorded
            recorded = found
    assert len(await world.moments("quiet")) == 7
    assert len(await world.enrolments("quiet")) == 7


async def test_two_at_once_do_no_harm(world: World) -> None:
    await world.apply(QUIET, catalogue=CATALOGUE)
    for number in range(20):
        await world.event("order.paid", of=f"c{number}")
    world.now = START + 26 * DAY
    tickers = [Ticker(world.database, 3, wall=lambda: world.now) for _ in range(3)]
    await asyncio.gather(*(one.tick("quiet") for one in tickers))
    await world.tick("quiet")
    assert len(await world.moments("quiet")) == 20
    assert len(await world.enrolments("quiet")) == 20


async def test_a_plan_that_changes_between_slices_loses_nobody(world: World) -> None:
    await world.apply(QUIET, catalogue=CATALOGUE)
    for number in range(6):
        await world.event("order.paid", of=f"c{number}")
    world.now = START + 26 * DAY
    ticker = Ticker(world.database, 2, wall=lambda: world.now)
    async with world.database.begin() as connection:
        await ticker._slice(connection, "quiet")
    await world.apply(QUIET.replace("90d", "80d"), catalogue=CATALOGUE)
    await world.tick("quiet", limit=2)
    assert len(await world.moments("quiet")) == 6


async def test_an_event_that_comes_in_after_its_moment_changes_nothing(world: World) -> None:
    await world.apply(QUIET, catalogue=CATALOGUE)
    await world.event("order.paid")
    await world.tick("quiet", 25 * DAY + A_WHILE)
    (entered,) = await world.enrolments("quiet")
    await world.event("order.paid", 24 * DAY)
    await world.tick("quiet", 26 * DAY)
    assert [one.id for one in await world.enrolments("quiet")] == [entered.id]
    # The days count from it now.
    await world.tick("quiet", 50 * DAY)
    assert [at for _, at in await world.moments("quiet")] == [START + 25 * DAY, START + 49 * DAY]


async def test_an_event_older_than_its_own_quiet_starts_nothing(world: World) -> None:
    await world.apply(QUIET, catalogue=CATALOGUE)
    await world.tick("quiet", 40 * DAY)
    await world.event("order.paid", 2 * DAY)
    await world.tick("quiet", 41 * DAY)
    assert await world.moments("quiet") == []


async def test_while_it_is_paused_moments_are_counted_as_missed(world: World) -> None:
    await world.apply(QUIET, catalogue=CATALOGUE)
    await world.event("order.paid")
    await world.set_status("quiet", "paused")
    await world.tick("quiet", 26 * DAY)
    assert await world.enrolments("quiet") == []
    assert await world.missed("quiet") == {"paused": 1}


async def test_an_archived_journey_begins_anew_when_it_is_resumed(world: World) -> None:
    await world.apply(QUIET, catalogue=CATALOGUE)
    await world.event("order.paid")
    await world.set_status("quiet", "archived")
    assert (await world.tick("quiet", 26 * DAY)).until is None
    await world.set_status("quiet", "live")
    await world.tick("quiet", 27 * DAY)
    await world.tick("quiet", 28 * DAY)
    assert await world.moments("quiet") == []


async def test_the_last_event_of_two_who_are_merged_counts(world: World) -> None:
    await world.apply(QUIET, catalogue=CATALOGUE)
    await world.event("order.paid", of="c1")
    await world.event("order.paid", 5 * DAY, of="c2")
    async with world.database.begin() as connection:
        survivor = await world.profile("c1")
        loser = await world.profile("c2")
        await connection.execute(
            sa.text("UPDATE events SET profile_id = :s WHERE profile_id = :l"), {"s": survivor, "l": loser}
        )
        await connection.execute(
            sa.text("UPDATE profiles SET merged_into = :s WHERE id = :l"), {"s": survivor, "l": loser}
        )
    await world.tick("quiet", 31 * DAY)
    assert await world.moments("quiet") == [(survivor, START + 30 * DAY)]


# --- dates ----------------------------------------------------------------------------------------------


async def test_a_date_comes_round_in_the_customers_own_zone(world: World) -> None:
    await world.apply(BIRTHDAY, catalogue=CATALOGUE)
    here = await attributes(world, "here", birthday="1990-11-20")
    there = await attributes(world, "there", "America/New_York", birthday="1990-11-20")
    await attributes(world, "later", birthday="1990-12-20")
    await attributes(world, "odd", birthday="the first of May")
    await world.tick("birthday", 4 * DAY)
    assert await world.moments("birthday") == [
        (here, datetime(2026, 11, 13, 10, tzinfo=UTC)),
        (there, datetime(2026, 11, 13, 15, tzinfo=UTC)),
    ]
    (one, _) = await world.enrolments("birthday")
    assert one.trigger["with"] == {"date": "2026-11-20"}


async def test_a_date_is_recorded_once_a_year_however_often_it_is_looked_at(world: World) -> None:
    await world.apply(BIRTHDAY, catalogue=CATALOGUE)
    person = await attributes(world, "c1", birthday="1992-02-29")
    for days in (50, 100, 101, 150, 400, 401, 500):
        await world.tick("birthday", days * DAY)
    at = [(person, datetime(year, 2, day, 10, tzinfo=UTC)) for year, day in ((2027, 21), (2028, 22))]
    assert await world.moments("birthday") == at


async def test_dates_are_recorded_in_slices_and_killed_ones_go_on(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    await world.apply(BIRTHDAY, catalogue=CATALOGUE)
    for number in range(7):
        await attributes(world, f"c{number}", birthday=f"19{80 + number}-11-20")
    world.now = START + 4 * DAY
    advance, calls = moments.advance, 0

    async def dies(*given: object, **named: object) -> None:
        nonlocal calls
        calls += 1
        if calls % 2 == 0:
            raise Killed
        await advance(*given, **named)  # type: ignore[arg-type]

    monkeypatch.setattr(moments, "advance", dies)
    for _ in range(20):
        try:
            await world.tick("birthday", limit=2)
            break
        except Killed:
            continue
    assert len(await world.moments("birthday")) == 7
    assert len(await world.enrolments("birthday")) == 7


@pytest.mark.parametrize(
    ("trigger", "value", "expected"),
    [
        ("every: once, offset: -3d", "2026-11-20T15:30:00Z", ["2026-11-17T15:30"]),
        ("every: once, offset: -3d", "2026-11-21T05:30:00+14:00", ["2026-11-17T15:30"]),
        ("every: once", "2026-11-20", ["2026-11-20T00:00"]),
        ('every: once, at: "09:00"', "2026-11-20T23:30:00Z", ["2026-11-20T09:00"]),
        ("every: month", "2026-10-31T08:00:00Z", ["2026-11-30T08:00", "2026-12-31T08:00"]),
        ("every: year", "2020-11-20T08:00:00Z", ["2026-11-20T08:00"]),
        ("every: year", "2027-11-20T08:00:00Z", []),
        ("every: once", "2026-11-01T08:00:00Z", []),
    ],
)
async def test_instants_come_round(world: World, trigger: str, value: str, expected: list[str]) -> None:
    text = f"journey: trial\ntrigger: {{date: profile.trial_ends_at, {trigger}}}\nsteps: []\n"
    await world.apply(text, catalogue=CATALOGUE)
    person = await attributes(world, "c1", trial_ends_at=value)
    for days in range(0, 56, 5):
        await world.tick("trial", days * DAY)
    wanted = [(person, datetime.fromisoformat(each).replace(tzinfo=UTC)) for each in expected]
    assert await world.moments("trial") == wanted


async def test_a_computed_date_comes_round_too(world: World) -> None:
    text = """
journey: again
trigger: {date: profile.last_order_at, offset: 30d, every: once, at: "12:00"}
steps: []
"""
    await world.apply(text, catalogue=CATALOGUE)
    await world.event("order.paid")
    await world.event("order.paid", 10 * DAY)
    for days in (29, 31, 39, 41, 45):
        await world.tick("again", days * DAY)
    assert [at for _, at in await world.moments("again")] == [START + 40 * DAY + timedelta(hours=2)]


async def test_who_had_the_moment_before_being_merged_does_not_have_it_again(world: World) -> None:
    await world.apply(BIRTHDAY, catalogue=CATALOGUE)
    loser = await attributes(world, "gone", birthday="1990-11-20")
    await world.tick("birthday", 4 * DAY)
    survivor = await attributes(world, "stays", birthday="1990-11-20")
    async with world.database.begin() as connection:
        await connection.execute(
            sa.text("INSERT INTO merges (survivor, loser, at) VALUES (:s, :l, :at)"),
            {"s": survivor, "l": loser, "at": START},
        )
        await connection.execute(
            sa.text("UPDATE profiles SET merged_into = :s WHERE id = :l"), {"s": survivor, "l": loser}
        )
        await connection.execute(sa.text("UPDATE moment_ticks SET ticked_until = :at"), {"at": START})
    await world.tick("birthday", 5 * DAY)
    assert len(await world.moments("birthday")) == 1


# --- campaigns ------------------------------------------------------------------------------------------

CAMPAIGN = """
journey: newsletter
trigger: {audience: golden, schedule: {cron: "0 10 * * MON"}}
steps: []
"""


async def launched(world: World) -> list[datetime | None]:
    async with world.database.connect() as connection:
        rows = await connection.execute(sa.text("SELECT due_at FROM crowds ORDER BY id"))
        return [row.due_at for row in rows]


async def test_a_campaign_is_launched_when_it_is_due_and_once(world: World) -> None:
    await world.apply(CAMPAIGN, catalogue=CATALOGUE)
    monday = datetime(2026, 11, 16, 10, tzinfo=UTC)
    await world.tick("newsletter", monday - START - timedelta(seconds=1))
    assert await launched(world) == []
    for seconds in (0, 1, 60):
        await world.tick("newsletter", monday - START + timedelta(seconds=seconds))
    assert await launched(world) == [monday]


async def test_of_launches_that_were_missed_the_newest_is_made_up_for(world: World) -> None:
    await world.apply(CAMPAIGN, catalogue=CATALOGUE)
    await world.tick("newsletter", 30 * DAY)
    assert await launched(world) == [datetime(2026, 12, 7, 10, tzinfo=UTC)]


async def test_a_campaign_lets_in_who_is_in_its_segment(world: World) -> None:
    await world.apply(CAMPAIGN, catalogue=CATALOGUE)
    golden = await world.profile("g", tags=("gold",))
    await world.profile("other")
    await world.tick("newsletter", 6 * DAY)
    async with world.database.connect() as connection:
        crowd_id = str((await connection.execute(sa.text("SELECT id FROM crowds"))).scalar_one())
    work = crowds.Crowds(world.database, wall=lambda: world.now)
    while (crowd := await work.advance(crowd_id)) is not None and not crowd.over:
        pass
    (one,) = await world.enrolments("newsletter")
    assert (one.profile_id, one.driver) == (golden, "pool")


async def test_a_campaign_is_for_its_own_segment_only(world: World) -> None:
    await world.apply(CAMPAIGN, catalogue=CATALOGUE)
    async with world.database.begin() as connection:
        asked = await crowds.ask(connection, "newsletter", {}, campaign=True)
        assert asked.crowd.segment == "golden"
        with pytest.raises(EntryRefused, match="a campaign for the segment"):
            await crowds.ask(connection, "newsletter", {}, tag="gold")


async def test_the_same_crossing_of_a_plan_that_goes_back_and_forth_is_one(world: World) -> None:
    await world.apply(QUIET, catalogue=CATALOGUE)
    await world.event("order.paid")
    await world.tick("quiet", 26 * DAY)
    await world.apply(QUIET.replace("25d", "30d"), catalogue=CATALOGUE)
    await world.tick("quiet", 31 * DAY)
    assert len(await world.moments("quiet")) == 1
