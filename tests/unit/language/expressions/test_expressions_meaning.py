"""What expressions mean, by vectors that the SQL back end shares, and by cases of their own."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from engine.language.expressions import (
    Definitions,
    Facts,
    Occurrence,
    Requirements,
    evaluate,
    event_facts,
    history_up_to,
    holds,
    requirements,
)
from engine.language.types import coerce, to_json, typed

NOW = datetime(2026, 11, 11, 12, tzinfo=UTC)
VECTORS = json.loads((Path(__file__).parents[3] / "vectors" / "expressions.json").read_text())


def facts_of(given: dict[str, Any]) -> Facts:
    """Facts from a vector: history is a list of [event, days ago, properties]."""
    history: dict[str, list[Occurrence]] = {}
    for name, ago, properties in sorted(given.get("history", []), key=lambda one: -one[1]):
        history.setdefault(name, []).append(Occurrence(NOW - timedelta(days=ago), properties))
    event = given.get("event")
    trigger = given.get("trigger")
    return Facts(
        now=NOW,
        key=given.get("key", "k"),
        profile=typed(given.get("profile", {}), given.get("types", {})),
        tags=frozenset(given.get("tags", [])),
        segments=frozenset(given.get("segments", [])),
        stage=given.get("stage"),
        consents=given.get("consents", {}),
        event=None if event is None else event_facts("seen", "e-1", NOW, event),
        trigger=None if trigger is None else event_facts("began", "e-0", NOW, trigger),
        answers=given.get("answers", {}),
        history=history,
    )


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: v["text"])
def test_vector(vector: dict[str, Any]) -> None:
    found = to_json(evaluate(vector["text"], facts_of(vector.get("facts", {}))))
    assert found == vector["value"]
    assert type(found) is type(vector["value"])


def test_a_window_includes_both_its_ends_and_nothing_later_than_now() -> None:
    history = {"paid": [Occurrence(NOW + timedelta(days=d), {"n": 1}) for d in (-4, -3, 0)]}
    history["paid"].append(Occurrence(NOW + timedelta(seconds=1), {"n": 100}))
    facts = Facts(now=NOW, history=history)
    assert evaluate('count("paid", "3d")', facts) == 2
    assert evaluate('total("paid", "n")', facts) == 3
    assert evaluate('last("paid")', facts) == NOW
    assert evaluate('first("paid")', Facts(now=NOW - timedelta(days=9), history=history)) is None


def test_a_date_begins_at_midnight_in_the_zone() -> None:
    shanghai = ZoneInfo("Asia/Shanghai")
    profile = {"day": date(2026, 11, 12), "at": datetime(2026, 11, 11, 16, tzinfo=UTC)}
    assert holds("profile.day == profile.at", Facts(now=NOW, profile=profile, zone=shanghai))
    assert not holds("profile.day == profile.at", Facts(now=NOW, profile=profile))
    later = Facts(now=NOW + timedelta(hours=4), profile=profile, zone=shanghai)
    assert evaluate("days_since(profile.day)", later) == 0
    assert evaluate("days_since(profile.day)", Facts(now=NOW, profile=profile, zone=shanghai)) == -1


def test_a_length_moves_instants_and_dates() -> None:
    facts = Facts(now=NOW, profile={"day": date(2026, 11, 12)})
    assert evaluate('now - "1d12h"', facts) == NOW - timedelta(hours=36)
    assert evaluate('profile.day + "2d"', facts) == date(2026, 11, 14)
    assert evaluate('profile.day + "2h"', facts) is None
    late = Facts(now=datetime(9990, 1, 1, tzinfo=UTC))
    assert evaluate('now + "36500d"', late) is None
    assert evaluate('days_since(now + "36500d") > 1', late) is False


def test_dynamic_segments_computed_attributes_and_stages_are_worked_out() -> None:
    definitions = Definitions(
        segments={"engaged": 'profile.orders > 1 and in_segment("known")', "known": 'has_tag("a")'},
        computed={"orders": 'count("paid", "9d")'},
        stages=[("new", None), ("repeat", "profile.orders > 1"), ("loyal", "profile.orders > 5")],
    )
    history = {"paid": [Occurrence(NOW), Occurrence(NOW)]}
    facts = Facts(now=NOW, tags=frozenset({"a"}), history=history, definitions=definitions)
    assert holds('in_segment("engaged")', facts)
    assert evaluate("stage()", facts) == "repeat"
    assert evaluate("stage()", Facts(now=NOW, definitions=definitions)) == "new"
    assert evaluate("stage()", Facts(now=NOW, definitions=definitions, stage="vip")) == "vip"
    assert holds('in_segment("vip")', Facts(now=NOW, segments=frozenset({"vip"}), definitions=definitions))


def test_definitions_that_need_each_other_are_false() -> None:
    circle = Definitions(segments={"a": 'in_segment("b")', "b": 'in_segment("a")'})
    assert not holds('in_segment("a")', Facts(now=NOW, definitions=circle))
    itself = Definitions(computed={"x": "profile.x + 1"})
    assert evaluate("profile.x", Facts(now=NOW, definitions=itself)) is None


def test_wide_definitions_are_worked_out_once() -> None:
    wide = {f"s{n}": " or ".join([f'in_segment("s{n + 1}")'] * 200) for n in range(7)}
    assert not holds('in_segment("s0")', Facts(now=NOW, definitions=Definitions(segments=wide)))


def test_requirements_follow_definitions_and_keep_the_widest_window() -> None:
    definitions = Definitions(
        segments={"x": 'count("a", "9d") > 1 and in_segment("list")'},
        computed={"c": 'last("z").n'},
        stages=[("s", 'total("t", "n", "1d") > 1')],
    )
    text = 'count("a", "3d") > 1 and in_segment("x") and total("b", "t") > profile.c and stage() == "s"'
    assert requirements([text, 'has_tag("q")'], definitions) == Requirements(
        history={"a": timedelta(days=9), "b": None, "z": None, "t": timedelta(days=1)},
        segments={"list"},
        tags=True,
        stage=True,
        roots={"profile"},
        attributes={"c"},
    )


def test_an_event_sees_what_occurred_at_its_instant_before_it() -> None:
    history = {
        "paid": [
            Occurrence(NOW - timedelta(days=1), order=9),
            Occurrence(NOW, order=1),
            Occurrence(NOW, order=4),
        ],
        "seen": [Occurrence(NOW, order=2)],
    }
    assert history_up_to(history, NOW, 9) is history
    assert {name: len(past) for name, past in history_up_to(history, NOW, 2).items()} == {
        "paid": 2,
        "seen": 1,
    }
    assert {name: len(past) for name, past in history_up_to(history, NOW, 0).items()} == {
        "paid": 1,
        "seen": 0,
    }


def test_a_total_adds_numbers_as_they_are_written() -> None:
    def total(*amounts: object) -> object:
        seen = [Occurrence(NOW, {"n": amount}) for amount in amounts]
        return evaluate('total("paid", "n")', Facts(NOW, history={"paid": seen}))

    assert total(*[0.1] * 10) == 1
    assert total(0.1, 0.2) == 0.3
    assert total(1e300, 1, -1e300) == 1
    assert total(10**15, 0.5) is None
    assert total(True, "1", None) == 0


def test_numbers_inside_lists_are_doubles_too() -> None:
    facts = Facts(NOW, profile={"a": [2**53], "b": [2**53 + 1], "c": [10**400]})
    assert holds("profile.a == profile.b", facts)
    assert not holds("profile.c == profile.c", facts)


def test_a_date_that_begins_before_the_calendar_is_equal_to_nothing() -> None:
    east = timezone(timedelta(hours=14))
    facts = Facts(NOW, profile={"day": date.min}, zone=east)
    assert not holds("profile.day == now or profile.day != now or profile.day < now", facts)


@pytest.mark.parametrize("text", ["2026-03-29T24:00Z", "2026-03-29T23:59:60Z", "2026-03-29T10:00+05:99"])
def test_an_instant_that_no_clock_shows_is_none(text: str) -> None:
    assert coerce(text, "datetime") is None
