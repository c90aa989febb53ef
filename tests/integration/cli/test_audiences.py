"""`kairos audiences`, on a project that has one."""

from __future__ import annotations

from datetime import UTC, datetime

from engine.store import audiences
from engine.store.audiences import NewChange
from engine.store.connection import AsyncEngine
from tests.integration.cli.test_commands import Kairos, OnDatabase, kairos, on_database

__all__ = ["kairos", "on_database"]
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def test_audiences_are_looked_at_and_tried_again(kairos: Kairos, on_database: OnDatabase) -> None:
    assert kairos("audiences", "status", text=True).startswith("nothing was ever put on an audience")
    assert "`vip`" in kairos("audiences", "retry", "vip", code=2)
    who = "00000000-0000-4000-8000-000000000001"

    async def note(database: AsyncEngine) -> None:
        async with database.begin() as connection:
            await audiences.note(connection, [NewChange("vip", who, True, who, "on", NOON)])

    on_database(note)

    [found] = kairos("audiences", "status")
    assert (found["audience"], found["members"], found["waiting"], found["failed"]) == ("vip", 0, 1, 0)
    assert "vip" in kairos("audiences", "status", text=True)
    assert kairos("audiences", "retry", "vip") == {"audience": "vip", "again": 1}
    assert kairos("audiences", "retry", "vip", text=True) == "1 to be made again\n"
