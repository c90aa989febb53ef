"""Journeys whose entries come with time: what the simulator says is what runs, on both drivers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from engine.core.identity import profile_key
from engine.simulator import simulate
from engine.store import traces
from tests.integration.harness import POOL, SOURCE, Kairos, kairos
from tests.integration.parity.cases import checked
from tests.integration.parity.records import Record, Records, of_database, of_simulation

START = datetime(2026, 11, 11, 10, tzinfo=UTC)
DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
SPEED = 30_000.0
GRACE = 8.0
LEAD = 6.0
"""Wall seconds before anything happens, for the workers to be ready."""
LAST = START + 8 * DAY
"""The last message. Dates and campaigns of later days have nothing to be compared with."""

FILES = {
    "kairos.yaml": "version: 1\ntime_zone: Asia/Shanghai\n",
    "journeys/catalog.yaml": """
events:
  order.paid: {properties: {total: number}}
  visit: {properties: {page: text}}
profile:
  birthday: date
  trial_ends_at: datetime
  tier: text
  points: number
  last_order_at: {type: datetime, computed: 'last("order.paid")'}
segments:
  golden: profile.tier == "gold" and exists(last("order.paid"))
""",
    "templates/hello/sms.text.j2": "{{ profile.tier | default('') }} {{ trigger.total | default(0) }}",
    "journeys/quiet.yaml": """
journey: quiet
trigger: {quiet_for: 2d, since: order.paid, where: event.total >= 10}
goal: {event: order.paid, within: 1d}
steps:
  - {id: hi, message: {template: hello, channels: [sms]}}
  - id: look
    wait:
      for_event: visit
      up_to: 20h
      then: [{id: keep, update: {set: {points: trigger.total}}}]
""",
    "journeys/quiet-again.yaml": """
journey: quiet-again
run_as: pool
trigger: {quiet_for: 1d, since: order.paid, reenter: restart}
steps:
  - {id: hold, wait: {for: 3d}}
  - {id: hi, message: {template: hello, channels: [sms]}}
""",
    "journeys/birthday.yaml": """
journey: birthday
trigger: {date: profile.birthday, offset: -1d, at: "10:00"}
exit_when:
  - {event: visit, where: event.page == "bye"}
steps:
  - {id: wait-for-it, wait: {until: trigger.date, offset: 9h}}
  - {id: hi, message: {template: hello, channels: [sms]}}
""",
    "journeys/trial.yaml": """
journey: trial
run_as: pool
trigger: {date: profile.trial_ends_at, offset: -6h, every: once}
steps:
  - {id: hi, message: {template: hello, channels: [sms]}}
  - {id: last, wait: {until: trigger.date}}
""",
    "journeys/news.yaml": """
journey: news
trigger: {audience: golden, schedule: {cron: "0 12 * * *"}}
steps:
  - {id: hi, message: {template: hello, channels: [sms]}}
  - {id: hold, wait: {for: 30h}}
""",
}
DATED = {"birthday", "trial", "news"}


def said(user: str, at: datetime, **traits: Any) -> dict[str, Any]:
    return {"type": "identify", "userId": user, "timestamp": at.isoformat(), "traits": traits}


def did(user: str, at: datetime, name: str, **properties: Any) -> dict[str, Any]:
    return {
        "type": "track",
        "userId": user,
        "timestamp": at.isoformat(),
        "event": name,
        "properties": properties,
    }


def messages() -> list[dict[str, Any]]:
    """What five customers do."""
    found = [
        said("c0", START, birthday="1990-11-14", tier="gold", consents={"sms": True}, phone="+8613800000000"),
        said("c1", START, birthday="1990-11-16", timeZone="America/New_York", tier="none"),
        said("c2", START, trial_ends_at="2026-11-15T03:30:00Z", tier="gold"),
        did("c0", START + HOUR, "order.paid", total=20),
        did("c0", START + 2 * DAY + 5 * HOUR, "visit", page="a"),
        did("c1", START + 2 * HOUR, "order.paid", total=5),
        did("c1", START + 3 * HOUR, "order.paid", total=50),
        did("c1", START + 5 * HOUR, "order.paid", total=9),
        did("c2", START + HOUR, "order.paid", total=30),
        did("c2", START + 2 * DAY + HOUR, "order.paid", total=30),
        did("c2", START + 4 * DAY + 2 * HOUR, "order.paid", total=40),
        did("c3", START + 3 * DAY, "order.paid", total=11),
        said("c3", START + 2 * DAY, birthday="2000-11-17"),
        did("c3", START + 5 * DAY + 3 * HOUR, "visit", page="bye"),
        did("c4", LAST, "order.paid", total=11),
    ]
    found.sort(key=lambda one: one["timestamp"])
    return [{**one, "messageId": f"m{number}"} for number, one in enumerate(found)]


async def play(running: Kairos, told: Iterable[dict[str, Any]]) -> None:
    for message in told:
        at = datetime.fromisoformat(message["timestamp"])
        await asyncio.sleep(max(0.0, (running.clock.wall(at) - datetime.now(UTC)).total_seconds()))
        await running.send(message)


def comparable(records: Records) -> dict[tuple[str, str, str], Record]:
    """By what both sides know: of those in a crowd ids differ. Dates go on where a simulation ends."""
    return {
        (one.journey, one.customer, one.entered_at): one
        for one in records.values()
        if one.journey not in DATED or one.entered_at <= LAST.isoformat()
    }


async def over(running: Kairos, wanted: int) -> None:
    """Waits until as many as wanted are in and all of them have told how they ended."""
    async with asyncio.timeout(90):
        while True:
            found = await running.enrolments()
            some = [one for one in found if one.journey not in DATED or one.entered_at <= LAST]
            async with running.database.connect() as connection:
                told = await traces.read_batch(connection, [one.id for one in some])
            done = sum(lines[-1].result == "exited" for lines in told.values())
            if len(some) >= wanted and done == len(some):
                return
            await asyncio.sleep(0.5)


@pytest.mark.timeout(240)
async def test_moments_run_as_they_are_simulated(database_url: str, temporal_address: str) -> None:
    told = messages()
    report = simulate(checked(FILES), None, told, source=SOURCE)
    wanted = comparable(of_simulation(report.enrolments))
    assert {key[0] for key in wanted} == {"quiet", "quiet-again", "birthday", "trial", "news"}
    start = START - timedelta(seconds=LEAD * SPEED)
    async with kairos(
        database_url,
        temporal_address,
        start=start,
        speed=SPEED,
        grace=GRACE,
        files=FILES,
        parts=(*POOL, "moments"),
    ) as running:
        await play(running, told)
        with contextlib.suppress(TimeoutError):  # the comparison says what is missing
            await over(running, len(wanted))
        people = {profile_key("external_id", f"c{number}"): f"c{number}" for number in range(5)}
        ran = comparable(await of_database(running.database, people))
    assert sorted(ran) == sorted(wanted)
    for key, record in wanted.items():
        assert ran[key] == record
