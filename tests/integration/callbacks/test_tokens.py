"""One access token for all processes: fetched once, and replaced once when it is revoked in the middle."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from datetime import UTC, datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from channels import Accepted, Adapter, Kept, Message, create
from channels.testing.wecom import FakeWeCom
from engine.store.database import open_database
from workers.tokens import DatabaseTokens

TEXT = '{"msgtype": "text", "text": {"content": "call back"}, "touser": "zhang"}'


def note(number: int) -> Message:
    at = datetime.now(UTC)
    return Message(key=f"k{number}", channel="wecom", address="wm", parts={"json": TEXT}, template="t", at=at)


async def test_two_processes_fetch_it_once_and_replace_it_once(database: AsyncEngine) -> None:
    async with AsyncExitStack() as stack:
        fake = await stack.enter_async_context(FakeWeCom("ww1", "secret"))
        fake.befriend("wm-1", "zhang")
        adapters: list[Adapter] = []
        for _ in range(2):
            engine = open_database(database.url.render_as_string(hide_password=False))
            stack.push_async_callback(engine.dispose)
            settings = {"corp_id": "ww1", "secret": "secret", "agent_id": fake.agent_id, "url": fake.url}
            made = create("wecom", "wecom", settings, tokens=DatabaseTokens(engine))
            adapters.append(await stack.enter_async_context(made))

        async def send_all(start: int) -> list[object]:
            batches = [
                adapter.send([note(start + 10 * place + n) for n in range(10)])
                for place, adapter in enumerate(adapters)
            ]
            return [outcome for batch in await asyncio.gather(*batches) for outcome in batch]

        assert [type(each) for each in await send_all(0)] == [Accepted] * 20
        assert fake.token_calls == 1
        fake.revoke()
        assert [type(each) for each in await send_all(100)] == [Accepted] * 20
        assert fake.token_calls == 2
        assert len(fake.sent) == 40


async def test_of_two_who_change_a_token_one_does(database: AsyncEngine) -> None:
    store = DatabaseTokens(database)
    assert await store.get("wecom/1") is None
    for version in (1, 2):
        puts = [store.put("wecom/1", Kept(version, f"token-{version}-{n}")) for n in range(3)]
        assert sorted(await asyncio.gather(*puts)) == [False, False, True]
    found = await store.get("wecom/1")
    assert found is not None
    assert found.version == 2
    assert (found.value or "").startswith("token-2-")
    assert "token-" not in repr(found)
