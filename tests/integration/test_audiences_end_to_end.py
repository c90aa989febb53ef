"""`ad_audience` from the event to the file, by both drivers."""

from __future__ import annotations

import asyncio
import csv
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from channels.audiences import sha256
from tests.integration.harness import POOL, kairos


def project(folder: Path, run_as: str) -> dict[str, str]:
    return {
        "kairos.yaml": f"""version: 1
consent: {{marketing: opt_out}}
audiences:
  lapsed: {{adapter: file_drop, settings: {{folder: "{folder}"}}}}
""",
        "journeys/catalog.yaml": "events:\n  left:\n  came.back:\n",
        "journeys/lapsed.yaml": f"""journey: lapsed
run_as: {run_as}
trigger: {{event: left}}
steps:
  - {{id: "on", ad_audience: {{add_to: lapsed}}}}
  - {{id: back, wait: {{for_event: came.back, up_to: 30d}}}}
  - {{id: "off", ad_audience: {{remove_from: lapsed}}}}
""",
    }


def event(user: str, name: str) -> dict[str, Any]:
    now = datetime.now(UTC).isoformat()
    return {"type": "track", "userId": user, "event": name, "messageId": f"{user}/{name}", "timestamp": now}


def read(folder: Path) -> list[tuple[str, str]]:
    """(operation, phone's hash) of every line, in the order in which files are to be read."""
    found = []
    for path in sorted(folder.glob("*.csv")):
        with path.open(encoding="utf-8", newline="") as file:
            found += [(row["operation"], row["phone_sha256"]) for row in csv.DictReader(file)]
    return found


async def until(folder: Path, lines: int) -> list[tuple[str, str]]:
    try:
        async with asyncio.timeout(60):
            while True:
                found = read(folder)
                if len(found) >= lines:
                    return found
                await asyncio.sleep(0.1)
    except TimeoutError:
        raise AssertionError(f"waited 60 s for {lines} lines in {folder}; got {read(folder)}") from None


@pytest.mark.parametrize("run_as", ["workflow", "pool"])
async def test_a_customer_is_put_on_and_taken_off(
    run_as: str, database_url: str, temporal_address: str, tmp_path: Path
) -> None:
    files = project(tmp_path, run_as)
    phone = sha256("8613800000001")
    async with kairos(database_url, temporal_address, files=files, parts=POOL) as running:
        traits = {"phone": "+8613800000001"}
        identify = {"type": "identify", "userId": "c1", "messageId": "i1", "traits": traits}
        await running.send(identify, event("c1", "left"))
        assert await until(tmp_path, 1) == [("add", phone)]
        await running.send(event("c1", "came.back"))
        assert await until(tmp_path, 2) == [("add", phone), ("remove", phone)]
        [enrolment] = await running.ended(1)
        trace = await running.trace(enrolment.id)
    assert enrolment.exit == "completed"
    assert [line[1] for line in trace if line[0] == "done"] == ["on", "off"]
