"""Dates that come round, over any dates, zones and stretches of time."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from engine.core.moments import days_coming, moments, next_moment, said_as
from engine.core.plan import Trigger

ZONES = st.sampled_from(
    [
        "UTC",
        "Asia/Shanghai",
        "America/New_York",
        "Pacific/Kiritimati",
        "Pacific/Pago_Pago",
        "Australia/Lord_Howe",
    ]
)
DATES = st.dates(date(1900, 1, 1), date(2040, 12, 31))
INSTANTS = st.integers(1_577_836_800, 2_051_222_400).map(lambda at: datetime.fromtimestamp(at, UTC))
VALUES = st.one_of(DATES, INSTANTS)
TRIGGERS = st.builds(
    lambda offset, hours, at, every: Trigger(
        "date", attribute="x", offset=timedelta(days=offset, hours=hours), at=at, every=every
    ),
    st.integers(-400, 400),
    st.sampled_from([0, 0, 0, 5, -5]),
    st.sampled_from([None, "00:00", "02:30", "10:00", "23:59"]),
    st.sampled_from(["year", "month", "once"]),
)


@given(VALUES, TRIGGERS, ZONES, INSTANTS, st.integers(0, 900), st.integers(0, 900))
def test_stretches_that_meet_lose_nothing_and_find_nothing_twice(
    value: date, found: Trigger, zone: str, start: datetime, one: int, two: int
) -> None:
    middle, end = start + timedelta(days=one), start + timedelta(days=one + two)
    whole = list(moments(value, found, zone, start, end))
    parts = [*moments(value, found, zone, start, middle), *moments(value, found, zone, middle, end)]
    assert parts == whole
    assert all(start < each.at <= end for each in whole)


@given(VALUES, TRIGGERS, ZONES, INSTANTS)
def test_the_next_one_is_the_first_of_any_stretch(
    value: date, found: Trigger, zone: str, after: datetime
) -> None:
    expected = next(moments(value, found, zone, after, after + timedelta(days=900)), None)
    first = next_moment(value, found, zone, after)
    if expected is not None:
        assert first == expected
    elif first is not None:
        assert first.at > after + timedelta(days=900)


@given(DATES, TRIGGERS, ZONES, INSTANTS, st.integers(0, 400))
def test_a_coarse_search_by_days_finds_every_moment_of_a_date(
    value: date, found: Trigger, zone: str, after: datetime, length: int
) -> None:
    until = after + timedelta(days=length)
    said = {each for day in days_coming(found, zone, after, until) for each in said_as(day, found.every)}
    written = value.isoformat()
    own = {"year": written[5:], "month": written[8:], "once": written}[found.every]
    if list(moments(value, found, zone, after, until)):
        assert own in said


@given(DATES, TRIGGERS, ZONES, INSTANTS)
def test_years_and_months_come_round_in_order(
    value: date, found: Trigger, zone: str, after: datetime
) -> None:
    come = [each.at for each in moments(value, found, zone, after, after + timedelta(days=1500))]
    assert all(one <= two for one, two in pairwise(come))
    longest = {"year": 367, "month": 32, "once": 0}[found.every]
    assert all(two - one <= timedelta(days=longest, hours=3) for one, two in pairwise(come))
