"""The API and whoever works off what it heard, on a fresh database; providers are the shipped fakes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

import httpx
import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from channels.inbound import Call
from engine.cli.applying import apply_project
from engine.delivery.callbacks import WorkedOff, work_off
from engine.ingest.heeded import Heeded
from engine.language.project import check_project
from engine.store import events, identities
from engine.store.database import open_database
from engine.store.events import Event
from workers.api import run_api

SECRET = "an-address-secret-0123456789"
CORP, WECOM_SECRET = "ww5823bf96d3bd56c7", "corp-secret"
APP, WECHAT_SECRET = "wx0123456789abcdef", "app-secret"
TOKEN = "callback-token"
AES_KEY = "jWmYm7qr5nMoAUwZRjGtBxmz3KA1tkAj3ykkR6q2B2C"
PROJECT = f"""
version: 1
identities: {{phone_region: CN}}
channels:
  wecom:
    adapter: wecom
    callback_secret: ${{WECOM_ADDRESS}}
    settings:
      corp_id: {CORP}
      secret: ${{WECOM_SECRET}}
      callback_token: ${{CALLBACK_TOKEN}}
      callback_key: ${{CALLBACK_KEY}}
  wechat:
    adapter: wechat
    callback_secret: ${{WECHAT_ADDRESS}}
    settings: {{app_id: {APP}, secret: "${{WECHAT_SECRET}}", callback_token: "${{CALLBACK_TOKEN}}"}}
  sms:
    adapter: aliyun_sms
    callback_secret: ${{SMS_ADDRESS}}
    settings:
      access_key_id: key
      access_key_secret: ${{SMS_SECRET}}
      sign_name: Tea
      templates: {{SMS_1: "{{name}}，您的龙井还在。拒收请回复R"}}
"""
ADDRESSES = {channel: f"{SECRET}-{channel}" for channel in ("wecom", "wechat", "sms")}


@dataclass
class Station:
    """An API that takes calls, and the work on what it took, done when a test says so."""

    database: AsyncEngine
    http: httpx.AsyncClient
    heeded: Heeded = field(default_factory=Heeded)

    async def apply(self, files: Mapping[str, str]) -> None:
        project = check_project(files)
        assert not project.errors, project.errors
        await apply_project(self.database, project, files)

    async def call(self, adapter: str, channel: str, call: Call) -> httpx.Response:
        """The call as the provider makes it."""
        return await self.http.request(
            call.method,
            f"/callbacks/{adapter}/{ADDRESSES[channel]}",
            params=dict(call.query),
            headers=dict(call.headers),
            content=call.body,
        )

    async def work_off(self, limit: int = 500) -> WorkedOff:
        """Works until nothing is due."""
        total = WorkedOff()
        while (one := await work_off(self.database, self.heeded, limit)).taken:
            total.taken += one.taken
            total.waiting += one.waiting
            total.parked += one.parked
        return total

    async def kept(self) -> list[tuple[str, str, str, str | None]]:
        """(channel, kind, state, reason) of what is not worked off."""
        async with self.database.connect() as connection:
            rows = await connection.execute(
                sa.text("SELECT channel, kind, state, reason FROM heard ORDER BY id")
            )
            return [(row.channel, row.kind, row.state, row.reason) for row in rows]

    async def events(self, kind: str, value: str) -> list[Event]:
        """Those of whoever this identity leads to, in order."""
        async with self.database.connect() as connection:
            found = await identities.find_batch(connection, [(kind, value)])
            if not found:
                return []
            listed = await events.of_profile(connection, found[kind, value])
            return sorted(listed, key=lambda event: (event.occurred_at, event.sequence))

    async def count(self, table: str, condition: str = "true") -> int:
        async with self.database.connect() as connection:
            result = await connection.execute(sa.text(f"SELECT count(*) FROM {table} WHERE {condition}"))
            return int(result.scalar_one())


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[AsyncEngine]:
    engine = open_database(database_url)
    yield engine
    await engine.dispose()


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for channel, secret in ADDRESSES.items():
        monkeypatch.setenv(f"{channel.upper()}_ADDRESS", secret)
    monkeypatch.setenv("WECOM_SECRET", WECOM_SECRET)
    monkeypatch.setenv("WECHAT_SECRET", WECHAT_SECRET)
    monkeypatch.setenv("SMS_SECRET", "sms-secret")
    monkeypatch.setenv("CALLBACK_TOKEN", TOKEN)
    monkeypatch.setenv("CALLBACK_KEY", AES_KEY)


@pytest.fixture
async def station(database: AsyncEngine, environment: None) -> AsyncIterator[Station]:
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    files = {"kairos.yaml": PROJECT, "journeys/catalog.yaml": "events: {}\n"}
    project = check_project(files)
    assert not project.errors, project.errors
    await apply_project(database, project, files)
    serving = asyncio.create_task(run_api(database, port=0, stop=stop, ready=ready.set_result))
    try:
        address = await asyncio.wait_for(ready, 20)
        async with httpx.AsyncClient(base_url=address, timeout=20) as client:
            yield Station(database, client)
    finally:
        stop.set()
        await asyncio.wait_for(serving, 20)
