from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from engine.core.moments import days_coming, moments, next_moment, said_as
from engine.core.plan import Trigger

DAY = timedelta(days=1)


def dated(**given: Any) -> Trigger:
    return Trigger("date", attribute="birthday", **given)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def between(value: object, found: Trigger, first: str, last: str, zone: str = "UTC") -> list[str]:
    return [f"{each.at:%Y-%m-%dT%H:%M}" for each in moments(value, found, zone, at(first), at(last))]


@pytest.mark.parametrize(
    ("value", "given", "expected"),
    [
        (date(1990, 5, 20), {}, ["2026-05-20T00:00", "2027-05-20T00:00"]),
        (date(1990, 5, 20), {"at": "10:00", "offset": -7 * DAY}, ["2026-05-13T10:00", "2027-05-13T10:00"]),
        (date(1992, 2, 29), {}, ["2026-02-28T00:00", "2027-02-28T00:00"]),
        (date(1990, 1, 3), {"offset": -7 * DAY}, ["2026-12-27T00:00", "2027-12-27T00:00"]),
        (date(1990, 12, 30), {"offset": 5 * DAY}, ["2026-01-04T00:00", "2027-01-04T00:00"]),
        (date(2027, 5, 20), {}, ["2027-05-20T00:00"]),
        (date(2026, 5, 20), {"every": "once"}, ["2026-05-20T00:00"]),
        (date(2025, 5, 20), {"every": "once"}, []),
        (
            date(1990, 5, 20),
            {"at": "10:00", "offset": timedelta(hours=-12)},
            ["2026-05-19T22:00", "2027-05-19T22:00"],
        ),
        ("1990-05-20", {}, []),
        (None, {}, []),
    ],
)
def test_a_date_comes_round(value: object, given: dict[str, Any], expected: list[str]) -> None:
    assert between(value, dated(**given), "2026-01-01T00:00", "2027-12-31T23:59") == expected


def test_a_day_that_a_month_lacks_is_its_last() -> None:
    found = between(date(2025, 8, 31), dated(every="month"), "2026-01-01T00:00", "2026-06-01T00:00")
    assert [each[:10] for each in found] == [
        "2026-01-31",
        "2026-02-28",
        "2026-03-31",
        "2026-04-30",
        "2026-05-31",
    ]


def test_local_time_is_the_customers() -> None:
    found = dated(at="02:30")
    assert between(date(1990, 5, 20), found, "2026-05-01T00:00", "2026-06-01T00:00", "America/New_York") == [
        "2026-05-20T06:30"
    ]
    # Clocks go forward over half past two, and back over it twice.
    assert between(date(1990, 3, 8), found, "2026-03-01T00:00", "2026-04-01T00:00", "America/New_York") == [
        "2026-03-08T07:00"
    ]
    assert between(
        date(1990, 11, 1), dated(at="01:30"), "2026-10-30T00:00", "2026-12-01T00:00", "America/New_York"
    ) == ["2026-11-01T05:30"]


def test_an_instant_is_its_own_time_and_what_came_round() -> None:
    value = at("2026-05-20T15:30")
    (one,) = moments(value, dated(every="once"), "Asia/Shanghai", at("2026-01-01"), at("2027-01-01"))
    assert (one.at, one.date) == (value, value)
    (one,) = moments(
        value, dated(every="once", at="09:00"), "Asia/Shanghai", at("2026-01-01"), at("2027-01-01")
    )
    assert one.at == at("2026-05-20T01:00")
    (_, one) = moments(value, dated(), "Asia/Shanghai", at("2026-01-01"), at("2028-01-01"))
    assert one.at == at("2027-05-20T15:30")


def test_the_next_one_is_strictly_later() -> None:
    found = dated(at="10:00")
    first = next_moment(date(1990, 5, 20), found, "UTC", at("2026-05-20T09:59"))
    assert first is not None
    assert first.at == at("2026-05-20T10:00")
    second = next_moment(date(1990, 5, 20), found, "UTC", first.at)
    assert second is not None
    assert second.at == at("2027-05-20T10:00")
    assert next_moment(date(2020, 1, 1), dated(every="once"), "UTC", at("2026-01-01")) is None


def test_days_are_written_as_they_come_round() -> None:
    assert said_as(date(2026, 2, 28), "year") == ("02-28", "02-29")
    assert said_as(date(2028, 2, 28), "year") == ("02-28",)
    assert said_as(date(2026, 4, 30), "month") == ("30", "31")
    assert said_as(date(2026, 4, 30), "once") == ("2026-04-30",)
    assert days_coming(dated(at="10:00"), "UTC", at("2026-05-20T09:00"), at("2026-05-20T10:00")) == [
        date(2026, 5, 20)
    ]
