"""From a provider's call to its message, with every part in its own process; and `kill -9` in between."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from channels.inbound import Call
from channels.testing.wecom import FakeWeCom
from engine.cli.applying import apply_project
from engine.language.project import check_project
from engine.temporal.server import port_near
from tests.integration.faults.trial import until
from tests.integration.processes import Processes, processes

from .conftest import ADDRESSES, AES_KEY, CORP, TOKEN, WECOM_SECRET

JOURNEY = """journey: new-friend
trigger: {event: wecom.friend_added}
steps:
  - {id: welcome, message: {template: welcome, channels: [wecom], category: transactional}}
  - {id: note, update: {add_tags: [welcomed]}}
"""
WELCOME = (
    '{"welcome_code": "{{ trigger.welcome_code }}", "welcome_until": "{{ trigger.welcome_until }}", '
    '"text": {"content": "Welcome"}}\n'
)
VARIABLES = {
    "WECOM_ADDRESS": ADDRESSES["wecom"],
    "WECOM_SECRET": WECOM_SECRET,
    "CALLBACK_TOKEN": TOKEN,
    "CALLBACK_KEY": AES_KEY,
}


def project(url: str) -> dict[str, str]:
    return {
        "kairos.yaml": f"""
channels:
  wecom:
    adapter: wecom
    callback_secret: ${{WECOM_ADDRESS}}
    settings:
      corp_id: {CORP}
      secret: ${{WECOM_SECRET}}
      callback_token: ${{CALLBACK_TOKEN}}
      callback_key: ${{CALLBACK_KEY}}
      url: {url}
""",
        "journeys/catalog.yaml": "tags: [welcomed]\n",
        "journeys/new-friend.yaml": JOURNEY,
        "templates/welcome/wecom.json.j2": WELCOME,
    }


@contextlib.asynccontextmanager
async def running(
    database: AsyncEngine, temporal_address: str, folder: Path
) -> AsyncIterator[tuple[FakeWeCom, Processes, httpx.AsyncClient]]:
    url = database.url.render_as_string(hide_password=False)
    async with FakeWeCom(CORP, WECOM_SECRET, callback_token=TOKEN, callback_key=AES_KEY) as fake:
        files = project(fake.url)
        checked = check_project(files)
        assert not checked.errors, checked.errors
        await apply_project(database, checked, files)
        with processes(folder, url, temporal_address, **VARIABLES) as parts:
            port = port_near(0)
            await asyncio.to_thread(parts.api(port).start)
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30) as http:
                yield fake, parts, http


async def tell(http: httpx.AsyncClient, call: Call) -> None:
    answer = await http.post(
        f"/callbacks/wecom/{ADDRESSES['wecom']}",
        params=dict(call.query),
        headers=dict(call.headers),
        content=call.body,
    )
    assert answer.status_code == 200


async def count(database: AsyncEngine, what: str) -> int:
    async with database.connect() as connection:
        return int((await connection.execute(sa.text(f"SELECT count(*) FROM {what}"))).scalar_one())


@pytest.mark.timeout(240)
async def test_a_new_friend_is_welcomed_once_and_the_journey_goes_on(
    database: AsyncEngine, temporal_address: str, tmp_path: Path
) -> None:
    async with running(database, temporal_address, tmp_path) as (fake, parts, http):
        for child in (parts.router(), parts.journeys(), parts.send("wecom")):
            await asyncio.to_thread(child.start)
        await asyncio.to_thread(parts.children["router"].wait_for, "first messages of new-friend: ready")
        for number in range(5):
            await tell(http, fake.befriend(f"wm-{number}", "zhang"))

        async def ended() -> bool:
            return await count(database, "enrolments WHERE exit = 'completed'") == 5

        await until("five enrolments to end", ended)
        assert sorted(each.to for each in fake.sent) == [f"wm-{number}" for number in range(5)]
        # The router's process sent them, and the workflows found them sent; on a busy machine a workflow may
        # come first to some.
        assert await count(database, "deliveries WHERE state = 'accepted'") == 5
        assert await count(database, "deliveries WHERE state = 'accepted' AND owner LIKE 'first-%'") > 0
        lines = "traces t, jsonb_array_elements(t.lines) l WHERE l ->> 1 = 'sent'"
        assert await count(database, lines) == 5
        assert await count(database, "profiles WHERE 'welcomed' = ANY(tags)") == 5


@pytest.mark.timeout(240)
async def test_the_router_is_killed_again_and_again_while_calls_come_in(
    database: AsyncEngine, temporal_address: str, tmp_path: Path
) -> None:
    customers = 30
    async with running(database, temporal_address, tmp_path) as (fake, parts, http):
        for child in (parts.router(), parts.journeys(), parts.send("wecom")):
            await asyncio.to_thread(child.start)

        async def come() -> None:
            for number in range(customers):
                call = fake.befriend(f"wm-{number}", "zhang")
                for _ in range(3):  # a provider that does not hear our answer in time
                    await tell(http, call)
                await asyncio.sleep(0.1)

        coming = asyncio.create_task(come())
        for _ in range(2):
            await asyncio.sleep(1.0)
            await asyncio.to_thread(parts.children["router"].again, wait=False)
        await coming

        async def ended() -> bool:
            return await count(database, "enrolments WHERE status = 'ended'") == customers

        await until(f"{customers} enrolments to end", ended, 120)
        assert await count(database, "heard") == 0
        assert await count(database, "events WHERE name = 'wecom.friend_added'") == customers
        assert await count(database, "enrolments") == customers
        # Nobody twice. What a killed call left in doubt, or came too late, is in the record with its reason.
        reached = [each.to for each in fake.sent]
        assert len(reached) == len(set(reached))
        assert await count(database, "deliveries") == customers
        unsent = await count(database, "deliveries WHERE state NOT IN ('accepted', 'unknown')")
        assert unsent == await count(
            database, "deliveries WHERE state = 'skipped' AND reason = 'window'"
        ) + await count(database, "deliveries WHERE state = 'rejected'")
