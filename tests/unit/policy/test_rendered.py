"""Quotas, budgets, the best time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from engine.core.limits import BestTime, Budget, Opening, Policy, Quota
from engine.policy import Closed, Held, Profile, Request, Settings, looks_by_hour, spent, within_quota
from engine.policy.rules.best_time import at_best_time, best_hour

AT = datetime(2026, 11, 11, 10, tzinfo=UTC)
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
SERVICE = Quota((Opening("messaged", 5, 2 * DAY), Opening("followed", 3, MINUTE)))
GRANTS = Quota((Opening("granted", 1),), adds_up=True, closed_by=("refused",))


@pytest.mark.parametrize(
    ("happened", "used", "reason"),
    [
        ([], [], "window"),
        ([("messaged", 3 * DAY)], [], "window"),
        ([("messaged", 2 * DAY)], [], None),
        ([("messaged", DAY)], [HOUR] * 4, None),
        ([("messaged", DAY)], [HOUR] * 5, "quota"),
        ([("messaged", DAY)], [2 * DAY] * 5, None),  # before it wrote: they do not count
        ([("messaged", DAY), ("followed", MINUTE)], [HOUR] * 5, None),  # a new one leaves three more
        ([("messaged", DAY), ("followed", 2 * MINUTE)], [HOUR] * 5, "quota"),
    ],
)
def test_of_several_openings_the_one_that_leaves_most_counts(
    happened: list[tuple[str, timedelta]], used: list[timedelta], reason: str | None
) -> None:
    found = within_quota(
        SERVICE, AT, [(name, AT - ago) for name, ago in happened], [AT - ago for ago in used]
    )
    assert (None if found is None else found.reason) == reason


@pytest.mark.parametrize(
    ("happened", "used", "reason"),
    [
        ([], [], "window"),
        ([("granted", 90 * DAY)], [], None),
        ([("granted", 90 * DAY)], [DAY], "quota"),
        ([("granted", 90 * DAY), ("granted", DAY)], [2 * DAY], None),
        ([("granted", 90 * DAY), ("refused", DAY)], [], "window"),
        ([("granted", 3 * DAY), ("refused", 2 * DAY), ("granted", DAY)], [2 * DAY + HOUR], None),
    ],
)
def test_each_grant_is_good_for_one_message(
    happened: list[tuple[str, timedelta]], used: list[timedelta], reason: str | None
) -> None:
    found = within_quota(GRANTS, AT, [(name, AT - ago) for name, ago in happened], [AT - ago for ago in used])
    assert (None if found is None else found.reason) == reason


def test_a_month_has_as_many_as_days() -> None:
    quota = Quota(monthly="days", zone="Asia/Shanghai")
    november = [datetime(2026, 11, 1, tzinfo=UTC) + n * HOUR for n in range(30)]
    assert within_quota(quota, AT, [], november[:29]) is None
    assert within_quota(quota, AT, [], november) == Closed("quota")
    assert within_quota(quota, datetime(2026, 11, 30, 16, tzinfo=UTC), [], november) is None


def test_what_a_spent_budget_does() -> None:
    asked = Request("p", ("sms",), "marketing", AT, policy=Policy(max_defer=DAY))
    settings = Settings(time_zone="Asia/Shanghai")
    assert spent(asked, Budget(10), 1, settings) == Held("budget")
    assert spent(asked, Budget(10, then="next_channel"), 1, settings) == Closed("budget")
    midnight = datetime(2026, 11, 11, 16, tzinfo=UTC)
    assert spent(asked, Budget(10, then="defer"), 1, settings) == Held("budget", midnight)
    assert spent(asked, Budget(10, within="week", then="defer"), 1, settings) == Held("budget")


def test_an_hour_is_chosen_by_what_the_customer_did_and_by_what_all_do() -> None:
    window = BestTime(9, 21)
    often = tuple(20 if hour == 20 else 0 for hour in range(24))
    once = tuple(1 if hour == 20 else 0 for hour in range(24))
    base = tuple(100 if hour in (12, 13) else 1 for hour in range(24))
    night = tuple(9 if hour == 3 else 0 for hour in range(24))
    assert best_hour(often, base, window) == 20
    assert best_hour(once, base, window) == 12
    assert best_hour((), base, window) == 12
    assert best_hour(once, (), window) == 20
    assert best_hour((), (), window) == 10
    assert best_hour(night, (), BestTime(14, 18)) == 14


def test_a_message_waits_for_its_hour_once_and_goes_inside_it() -> None:
    looks = looks_by_hour([datetime(2026, 11, 1, 4, 30, tzinfo=UTC)] * 3, "Asia/Shanghai")
    assert looks[12] == 3
    profile = Profile(time_zone="Asia/Shanghai", looks=looks)
    asked = Request("p", ("sms",), "marketing", AT, best_time=True)  # 18:00 there
    noon = datetime(2026, 11, 12, 4, tzinfo=UTC)
    assert at_best_time(asked, "sms", profile, Settings()) == Held("best_time", noon)
    asked.at, asked.since = noon + 59 * MINUTE, AT
    assert at_best_time(asked, "sms", profile, Settings()) is None
    asked.at = noon + HOUR  # it was held up by something else: not for another day
    assert at_best_time(asked, "sms", profile, Settings()) is None
    asked.best_time = False
    assert at_best_time(asked, "sms", profile, Settings()) is None
