from __future__ import annotations

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from engine.language.schedules import is_cron, last_launch, next_launch

BERLIN = ZoneInfo("Europe/Berlin")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    "text", ["0 10 * * MON", "0 10 * * mon-fri", "*/15 8-20 * * *", "0 0 L * *", "0 9 1 1 *"]
)
def test_a_schedule_has_five_fields_and_comes_due(text: str) -> None:
    assert is_cron(text)


@pytest.mark.parametrize(
    "text", ["", "0 10 * *", "0 0 10 * * *", "0 10 * * MUN", "61 * * * *", "0 0 30 2 *", "@daily"]
)
def test_what_is_none(text: str) -> None:
    assert not is_cron(text)


def test_a_schedule_is_read_in_its_zone() -> None:
    assert next_launch("0 10 * * MON", at("2026-11-11T00:00"), BERLIN) == at("2026-11-16T09:00")
    assert next_launch("0 10 * * MON", at("2026-11-16T09:00"), BERLIN) == at("2026-11-23T09:00")


def test_a_local_time_that_does_not_exist_is_the_first_that_does_and_one_that_comes_twice_the_first() -> None:
    assert next_launch("30 2 * * *", at("2026-03-29T00:00"), BERLIN) == at("2026-03-29T01:00")
    first = next_launch("30 2 * * *", at("2026-10-24T12:00"), BERLIN)
    assert first == at("2026-10-25T00:30")
    assert next_launch("30 2 * * *", first, BERLIN) == at("2026-10-26T01:30")


def test_the_last_of_several_that_were_missed() -> None:
    assert last_launch("0 10 * * *", at("2026-11-11T09:00"), at("2026-11-14T08:59"), BERLIN) == at(
        "2026-11-13T09:00"
    )
    assert last_launch("0 10 * * *", at("2026-11-11T09:00"), at("2026-11-14T09:00"), BERLIN) == at(
        "2026-11-14T09:00"
    )
    assert last_launch("0 10 * * *", at("2026-11-11T09:00"), at("2026-11-12T08:00"), BERLIN) is None
