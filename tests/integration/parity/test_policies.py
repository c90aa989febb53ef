"""Policies: what the simulator says is what runs, in the pool and as workflows."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.cli.project_folder import read_project
from engine.core.identity import profile_key
from engine.simulator import simulate
from engine.store import traces
from tests.integration.harness import POOL, SOURCE, Kairos, kairos
from tests.integration.parity.cases import checked
from tests.integration.parity.records import of_database, of_simulation
from tests.integration.pool.comparing import differ_from_scenarios

SCENARIOS = Path(__file__).parents[2] / "scenarios" / "policies"
START = datetime(2026, 3, 28, 8, tzinfo=UTC)
"""The clock goes forward in Berlin the night after."""
SPEED = 15_000.0
GRACE = 8.0
LEAD = 6.0
ZONES = ("Europe/Berlin", "Asia/Shanghai", "America/New_York", None)
STEPS = """
  - {id: one, message: {template: note, channels: [sms, email]}}
  - {id: rest, wait: {for: 5h}}
  - {id: two, message: {template: note, channels: [sms]}}
  - {id: three, message: {template: note, channels: [email, sms]}}
  - {id: four, message: {template: note, channels: [sms], category: transactional}}
  - {id: rest-more, wait: {for: 14h}}
  - {id: five, message: {template: note, channels: [email, sms]}}
"""
FILES = {
    "kairos.yaml": """
version: 1
time_zone: Asia/Shanghai
policies:
  default:
    caps: [{most: 2, within: 8h}, {per: journey, most: 3, calendar: day}]
    on_capped: defer
    quiet_hours: {from: "21:00", to: "07:30"}
channels:
  email: {hours: {from: "09:00", to: "18:00"}}
""",
    "journeys/catalog.yaml": "events: {go: {}, walk: {}}\n",
    "templates/note/sms.text.j2": "A note",
    "templates/note/email.subject.j2": "A note",
    "templates/note/email.text.j2": "A note",
    "journeys/flow.yaml": f"journey: flow\ntrigger: {{event: go}}\nsteps:{STEPS}",
    "journeys/crowd.yaml": f"journey: crowd\nrun_as: pool\ntrigger: {{event: walk}}\nsteps:{STEPS}",
}


@pytest.mark.parametrize("journey", ["default", "patient", "by-channel", "silent-nights", "codes-too"])
async def test_the_scenarios_of_policies_run_in_the_pool_as_they_are_simulated(
    new_database: Callable[[], str], journey: str
) -> None:
    own = (f"journeys/{journey}.yaml", f"journeys/tests/{journey}.test.yaml", "journeys/catalog.yaml")
    files = {
        path: text
        for path, text in read_project(SCENARIOS).items()
        if path in own or not path.startswith("journeys/")
    }
    assert await differ_from_scenarios(new_database, files) == []


def messages() -> list[dict[str, Any]]:
    """One customer a zone and driver, who begin at different hours."""
    found: list[dict[str, Any]] = []
    for number in range(2 * len(ZONES)):
        user, zone = f"c{number}", ZONES[number % len(ZONES)]
        at = START + timedelta(minutes=137 * number)
        traits = {
            "consents": {"marketing": True},
            "phone": f"+861380000000{number}",
            "email": f"{user}@example.com",
        }
        if zone is not None:
            traits["timeZone"] = zone
        event = "go" if number < len(ZONES) else "walk"
        told = {"userId": user, "timestamp": at.isoformat()}
        found.append({**told, "type": "identify", "traits": traits, "messageId": f"who-{user}"})
        found.append({**told, "type": "track", "event": event, "properties": {}, "messageId": user})
    return found


async def over(running: Kairos, wanted: int) -> None:
    """Waits until as many as wanted have told how they ended."""
    async with asyncio.timeout(90):
        while True:
            found = await running.enrolments()
            async with running.database.connect() as connection:
                told = await traces.read_batch(connection, [one.id for one in found])
            done = sum(lines[-1].result == "exited" for lines in told.values())
            if len(found) >= wanted and done == len(found):
                return
            await asyncio.sleep(0.5)


@pytest.mark.timeout(240)
async def test_caps_and_hours_hold_both_drivers_as_they_are_simulated(
    database_url: str, temporal_address: str
) -> None:
    told = messages()
    wanted = of_simulation(simulate(checked(FILES), None, told, source=SOURCE).enrolments)
    assert len(wanted) == len(told) // 2
    assert {line[1] for one in wanted.values() for line in one.trace} >= {"deferred", "sent"}
    start = START - timedelta(seconds=LEAD * SPEED)
    async with kairos(
        database_url, temporal_address, start=start, speed=SPEED, grace=GRACE, files=FILES, parts=POOL
    ) as running:
        for message in told:
            at = datetime.fromisoformat(message["timestamp"])
            await asyncio.sleep(max(0.0, (running.clock.wall(at) - datetime.now(UTC)).total_seconds()))
            await running.send(message)
        with contextlib.suppress(TimeoutError):  # the comparison says what is missing
            await over(running, len(wanted))
        people = {profile_key("external_id", f"c{number}"): f"c{number}" for number in range(len(told))}
        ran = await of_database(running.database, people)
    assert ran == wanted
