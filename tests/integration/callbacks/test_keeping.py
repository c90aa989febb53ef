"""What calls told is written: many at a time, and one that cannot be written fails alone."""

from __future__ import annotations

import asyncio

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.store.heard import IDLE, Keeper, NewHeard


async def kept(database: AsyncEngine) -> list[str]:
    async with database.connect() as connection:
        result = await connection.execute(sa.text("SELECT message_id FROM heard ORDER BY message_id"))
        return list(result.scalars())


def told(*names: str) -> list[NewHeard]:
    return [NewHeard("inbound", {"name": name}, name) for name in names]


async def test_calls_at_the_same_time_are_each_written_once(database: AsyncEngine) -> None:
    keeper = Keeper(database)
    calls = [keeper.keep("sms", "twilio", told(f"m{n:03}", f"m{n + 1:03}")) for n in range(100)]
    await asyncio.gather(*calls)
    assert await kept(database) == [f"m{n:03}" for n in range(101)]


async def test_a_call_after_a_pause_begins_anew(database: AsyncEngine) -> None:
    keeper = Keeper(database)
    for name in "abc":
        await keeper.keep("sms", "twilio", told(name))
        await asyncio.sleep(IDLE * 1.5)
    await keeper.keep("sms", "twilio", [])
    assert await kept(database) == ["a", "b", "c"]


async def test_what_cannot_be_written_fails_alone(database: AsyncEngine) -> None:
    keeper = Keeper(database)
    wrong = keeper.keep("sms", "twilio", [NewHeard("rumour", {}, "wrong")])
    results = await asyncio.gather(
        keeper.keep("sms", "twilio", told("a")), wrong, keeper.keep("sms", "twilio", told("b")),
        return_exceptions=True,
    )  # fmt: skip
    assert [isinstance(result, Exception) for result in results] == [False, True, False]
    assert await kept(database) == ["a", "b"]


async def test_a_database_that_is_away_fails_them_all_and_the_next_one_is_written(
    database: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    keeper = Keeper(database)

    def refused(*_: object) -> None:
        raise ConnectionRefusedError

    with monkeypatch.context() as away:
        away.setattr(AsyncEngine, "connect", refused)
        calls = [keeper.keep("sms", "twilio", told(name)) for name in "ab"]
        results = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(result) for result in results] == [ConnectionRefusedError] * 2
    await keeper.keep("sms", "twilio", told("c"))
    assert await kept(database) == ["c"]
