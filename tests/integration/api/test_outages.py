"""When the database is away or not ready, and when the process is told to stop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.store.database import open_database
from tests.integration.api.conftest import WRITE_KEY
from workers.api import run_api

EVENT = {"userId": "c-1", "event": "cart.updated"}


@asynccontextmanager
async def served(database: AsyncEngine) -> AsyncIterator[httpx.AsyncClient]:
    stop, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
    serving = asyncio.create_task(run_api(database, port=0, stop=stop, ready=ready.set_result))
    try:
        async with httpx.AsyncClient(
            base_url=await asyncio.wait_for(ready, 20), auth=(WRITE_KEY, ""), timeout=20
        ) as client:
            yield client
    finally:
        stop.set()
        await asyncio.wait_for(serving, 20)


async def test_without_a_database_events_are_to_be_sent_again() -> None:
    database = open_database("postgresql://kairos@127.0.0.1:1/kairos")
    async with served(database) as client:
        answer = await client.post("/v1/track", json=EVENT)
        assert (answer.status_code, answer.json()["code"]) == (503, "database-unreachable")
        assert answer.headers["retry-after"] == "1"
        health = await client.get("/healthz")
        assert (health.status_code, health.json()["status"]) == (503, "unhealthy")
    await database.dispose()


async def test_health_tells_that_migrations_are_missing(empty_database_url: str) -> None:
    database = open_database(empty_database_url)
    async with served(database) as client:
        health = await client.get("/healthz")
        assert health.status_code == 503
        assert "kairos db upgrade" in health.json()["database"]
    await database.dispose()


async def test_an_answer_waits_for_the_commit(database: AsyncEngine) -> None:
    async with served(database) as client:
        async with database.begin() as connection:
            await connection.execute(text("LOCK TABLE events"))
            sending = asyncio.create_task(client.post("/v1/track", json=EVENT))
            done, _ = await asyncio.wait({sending}, timeout=1)
            assert not done
        assert (await sending).status_code == 200


async def test_the_command_serves_until_it_is_told_to_stop(database: AsyncEngine, database_url: str) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-c", "from engine.cli.main import main; main()", "api", "--port", "0"),
        env={**os.environ, "DATABASE_URL": database_url, "PYTHONUNBUFFERED": "1"},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        line = (await asyncio.wait_for(process.stdout.readline(), 60)).decode()
        address = line.split()[3].rstrip(";")
        async with httpx.AsyncClient(base_url=address, auth=(WRITE_KEY, "")) as client:
            answer = await client.post("/v1/track", json={**EVENT, "userId": "personal-17"})
            assert answer.status_code == 200
            await client.get("/api/v1/profiles", params={"value": "personal-17"})
        process.send_signal(signal.SIGTERM)
        _, logged = await asyncio.wait_for(process.communicate(), 30)
    finally:
        if process.returncode is None:
            process.kill()
    assert process.returncode == 0
    assert b"POST /v1/track 200" in logged
    assert b"personal-17" not in logged
    assert WRITE_KEY.encode() not in logged
