"""What expressions make of what happened: the favourite value, and behaviour that fades."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.language.expressions import (
    Facts,
    Occurrence,
    Scope,
    check,
    evaluate,
    fading,
    parse,
    requirements,
)

NOW = datetime(2026, 11, 11, tzinfo=UTC)
FORTNIGHT = timedelta(days=14)


def after(*seen: tuple[float, object]) -> Facts:
    """Somebody who paid so many days ago for something of a category, oldest first."""
    history = [Occurrence(NOW - timedelta(days=days), {"category": what}) for days, what in seen]
    return Facts(NOW, history={"paid": history})


def test_the_favourite_is_what_came_most_often() -> None:
    facts = after((9, "tea"), (5, "tea"), (1, "cake"))
    assert evaluate('favourite("paid", "category")', facts) == "tea"


def test_of_equally_frequent_values_the_newest_is_the_favourite() -> None:
    assert evaluate('favourite("paid", "category")', after((9, "tea"), (5, "cake"))) == "cake"
    facts = after((9, "tea"), (5, "cake"), (4, "cake"), (1, "tea"))
    assert evaluate('favourite("paid", "category")', facts) == "tea"


def test_only_what_is_text_and_recent_enough_counts_as_favourite() -> None:
    facts = after((99, "tea"), (98, "tea"), (5, "cake"), (4, 7), (3, 7), (2, None))
    assert evaluate('favourite("paid", "category", "30d")', facts) == "cake"
    assert evaluate('favourite("paid", "other")', facts) is None
    assert evaluate('favourite("never", "category")', facts) is None


def test_half_of_a_behaviour_is_left_after_a_half_life() -> None:
    assert evaluate('decayed("paid", "14d")', after()) == 0
    assert evaluate('decayed("paid", "14d")', after((0, None))) == 1
    assert evaluate('decayed("paid", "14d")', after((28, None), (14, None), (0, None))) == 1.75


def test_what_is_long_ago_leaves_nothing_and_is_not_loaded() -> None:
    assert evaluate('decayed("paid", "1d")', after((31, None), (30, None))) == 1e-9
    assert requirements('decayed("paid", "14d")').history == {"paid": 31 * FORTNIGHT}
    assert requirements('favourite("paid", "category", "30d")').history == {"paid": timedelta(days=30)}
    assert requirements('favourite("paid", "category")').history == {"paid": None}


@given(st.integers(0, 40 * 86_400), st.sampled_from([1, 60, 86_400, 14 * 86_400]))
def test_what_is_left_is_the_power_of_two_to_a_billionth(seconds: int, half_life: int) -> None:
    left = fading.left(timedelta(seconds=seconds), timedelta(seconds=half_life))
    assert abs(left / 1e9 - 0.5 ** (seconds / half_life)) <= 1e-9


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('favourite("paid", "total")', "has no favourite"),
        ('favourite("paid", "nothing")', "unknown property"),
        ('favourite("nothing", "category")', "unknown event"),
        ('decayed("nothing", "14d")', "unknown event"),
    ],
)
def test_the_checker_knows_what_has_a_favourite_and_what_fades(text: str, said: str) -> None:
    scope = Scope(events={"paid": {"category": "text", "total": "number"}})
    assert [said in problem.message for problem in check(parse(text), scope)] == [True]


@pytest.mark.parametrize("text", ['decayed("paid")', 'decayed("paid", "0s")', 'decayed("paid", now)'])
def test_a_half_life_is_a_length_written_out(text: str) -> None:
    with pytest.raises(ValueError, match=r"arguments|no length|literal"):
        parse(text)
