"""`kairos rfm`, as somebody types it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.customers.rfm import recompute_rfm
from engine.ingest.intake import accept
from tests.integration.cli.conftest import CATALOGUE
from tests.integration.cli.test_commands import Kairos, OnDatabase, kairos, on_database

__all__ = ["kairos", "on_database"]
FIRST = datetime(2026, 3, 1, 12, tzinfo=UTC)


async def bought(database: AsyncEngine) -> None:
    """Five customers, the k-th of whom pays k times, each day more."""
    messages = [
        {
            "type": "track",
            "userId": f"c{number}",
            "event": "order.paid",
            "timestamp": (FIRST + timedelta(days=number - 1)).isoformat(),
            "properties": {"total": 10 * number},
        }
        for number in range(1, 6)
        for _ in range(number)
    ]
    await accept(database, "test", messages, datetime.now(UTC))


@pytest.fixture
def shop(kairos: Kairos, on_database: OnDatabase, folder: Path) -> Kairos:
    catalogue = folder / "journeys/catalog.yaml"
    catalogue.write_text(CATALOGUE + "rfm: {event: order.paid, money: total}\n")
    kairos("apply", "--yes")
    on_database(bought)
    return kairos


def test_cuts_segments_and_grid_are_shown_as_of_a_day(shop: Kairos) -> None:
    found = shop("rfm", "show", "--as-of", "2026-03-05")
    assert (found["customers"], found["event"]) == (5, "order.paid")
    assert found["cuts"]["frequency"] == [1, 2, 3, 4]
    assert found["cuts"]["monetary"] == [10, 40, 90, 160]
    assert [each["customers"] for each in found["segments"]] == [2, 0, 0, 1, 2]
    assert found["grid"] == [
        [0, 0, 0, 0, 1],
        [0, 0, 0, 1, 0],
        [0, 0, 1, 0, 0],
        [0, 1, 0, 0, 0],
        [1, 0, 0, 0, 0],
    ]
    assert "no day and no instant" in shop("rfm", "show", "--as-of", "yesterday", code=2)
    assert shop("rfm", "show", "--as-of", "2026-03-04T12:00Z")["customers"] == 4
    assert shop("rfm", "show", "--as-of", "2026-03-04T11:59:59Z")["customers"] == 3


def test_it_is_printed_for_people(shop: Kairos) -> None:
    said = shop("rfm", "show", "--as-of", "2026-03-05", text=True)
    assert said.splitlines() == [
        "5 customers with `order.paid`, as of 2026-03-05 23:59:59",
        "",
        "score  last after           more often than  more money than",
        "2      2026-03-01 12:00:00  1                10.00",
        "3      2026-03-02 12:00:00  2                40.00",
        "4      2026-03-03 12:00:00  3                90.00",
        "5      2026-03-04 12:00:00  4                160.00",
        "",
        "segment         customers  share  title",
        "loyal-fans      2          40.0%  忠粉",
        "true-love-fans  0          0.0%   真爱粉",
        "strong-fans     0          0.0%   铁粉",
        "ordinary-fans   1          20.0%  普粉",
        "potential-fans  2          40.0%  潜粉",
        "",
        "frequency  money 1  money 2  money 3  money 4  money 5",
        "5          0        0        0        0        1",
        "4          0        0        0        1        0",
        "3          0        0        1        0        0",
        "2          0        1        0        0        0",
        "1          1        0        0        0        0",
    ]
    assert shop("rfm", "show", "--as-of", "2020-01-01", text=True) == (
        "0 customers with `order.paid`, as of 2020-01-01 23:59:59\n"
    )


def test_what_is_kept_is_shown_once_there_is_something(shop: Kairos, on_database: OnDatabase) -> None:
    assert "nothing was computed yet" in shop("rfm", "show", code=2)
    on_database(lambda database: recompute_rfm(database, FIRST + timedelta(days=30)))
    assert shop("rfm", "show")["customers"] == 5


def test_it_says_what_it_lacks(kairos: Kairos, folder: Path) -> None:
    kairos("apply", "--yes")
    assert "declares no `rfm`" in kairos("rfm", "show", code=2)
