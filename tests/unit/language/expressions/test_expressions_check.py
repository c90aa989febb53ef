"""Names and types, told before anything runs."""

from __future__ import annotations

import pytest

from engine.language.expressions import Definitions, Scope, check, check_definitions, check_typed, parse

SCOPE = Scope(
    event={"total": "number", "cart_id": "text", "extra": "object", "tags": "list"},
    trigger=None,
    profile={"tier": "text", "ends_at": "datetime", "born": "date", "gold": "boolean"},
    answers=frozenset({"quote"}),
    events={"order.paid": {"total": "number", "order_id": "text"}},
    tags=frozenset({"staff"}),
    segments=frozenset({"engaged"}),
    stages=frozenset({"aware", "repeat"}),
    channels=frozenset({"sms", "email"}),
    why={"trigger": "it is what `where` decides about"},
)


@pytest.mark.parametrize(
    ("text", "offset", "code", "hint"),
    [
        ("event.totl > 3", 0, "unknown-property", "did you mean `total`?"),
        ("profile.teir == 'x'", 0, "unknown-property", "did you mean `tier`?"),
        ("answers.quoet == 1", 0, "unknown-property", "did you mean `quote`?"),
        ("trigger.x == 1", 0, "out-of-reach", None),
        ("event.total == null", 15, "null", "not exists(event.total)"),
        ("event.total != null", 15, "null", "exists(event.total)"),
        ("profile.tier in ['a', null]", 22, "null", "exists"),
        ("event.total == '3'", 15, "types", "write 3 without quotes"),
        ("event.cart_id < 3", 16, "types", None),
        ("profile.gold > true", 15, "types", None),
        ("profile.ends_at < '2026-01-01'", 18, "types", "days_since"),
        ("profile.tier in ['a', 3]", 22, "types", None),
        ("event.total in 'abc'", 0, "types", None),
        ("1 in event.total", 5, "types", None),
        ("event.total + profile.tier > 1", 14, "types", None),
        ("now - profile.ends_at > 1", 0, "types", "days_since"),
        ("profile.ends_at + '3x' < now", 18, "length", None),
        ("has_tag('staf')", 8, "unknown-tag", "did you mean `staff`?"),
        ("in_segment('engagd')", 11, "unknown-segment", "did you mean `engaged`?"),
        ("stage() == 'awre'", 11, "unknown-stage", "did you mean `aware`?"),
        ("stage() in ['awre']", 12, "unknown-stage", "did you mean `aware`?"),
        ("consent('smss')", 8, "unknown-channel", "did you mean `sms`?"),
        ("count('order.payd', '3d') > 1", 6, "unknown-event", "did you mean `order.paid`?"),
        ("total('order.paid', 'totl', '3d') > 1", 20, "unknown-property", "did you mean `total`?"),
        ("total('order.paid', 'order_id', '3d') > 1", 20, "types", None),
        ("last('order.paid').totl > 1", 0, "unknown-property", "did you mean `total`?"),
        ("days_since('order.paid') > 3", 11, "types", "last"),
        ("event.total", 0, "condition", "exists"),
        ("profile.gold and event.cart_id", 17, "condition", None),
        ("not lower(profile.tier)", 4, "condition", None),
        ("event.cart_id.x == 1", 0, "unknown-property", "object"),
    ],
)
def test_a_mistake(text: str, offset: int, code: str, hint: str | None) -> None:
    (problem,) = check(parse(text), SCOPE, condition=True)
    assert (problem.offset, problem.code) == (offset, code)
    assert hint is None or hint in (problem.hint or "")


@pytest.mark.parametrize(
    "text",
    [
        'event.total >= 50 and not has_tag("staff")',
        'event.extra.a.b == "x" and event.occurred_at < now',
        'profile.ends_at - "3d" < now and profile.born < now',
        "answers.quote.price > 3 and exists(answers.quote)",
        'stage() in ["aware", "repeat"] and consent("sms")',
        '"x" in event.tags and contains(event.cart_id, "x")',
        'last("order.paid").total > 3 and days_since(first("order.paid")) > 2',
        'bucket("s", 10) < 3',
        "profile.gold",
        "profile.gold == true",
    ],
)
def test_what_is_right_passes(text: str) -> None:
    assert check(parse(text), SCOPE, condition=True) == []


def test_all_mistakes_come_at_once_from_left_to_right() -> None:
    problems = check(parse("event.a > 1 or event.b > 1 or has_tag('c')"), SCOPE)
    assert [problem.offset for problem in problems] == [0, 15, 38]


@pytest.mark.parametrize(
    ("text", "type_"),
    [
        ("event.total + 1", "number"),
        ("now", "datetime"),
        ('profile.born + "1d"', "date"),
        ("[1]", "list"),
        ("stage()", "text"),
        ("answers.quote", "any"),
        ("null", "null"),
        ("event", "object"),
    ],
)
def test_the_type_of_a_value_is_known(text: str, type_: str) -> None:
    assert check_typed(parse(text), SCOPE) == ([], type_)


def test_definitions_in_a_circle_or_too_deep_are_found() -> None:
    segments = {"a": 'in_segment("b")', "b": 'in_segment("a")', "c": 'in_segment("a")'}
    segments |= {f"s{n}": f'in_segment("s{n + 1}")' for n in range(12)} | {"s12": "true"}
    scope = Scope(segments=frozenset(segments), profile={"x": "number"})
    found = check_definitions(Definitions(segments=segments, computed={"x": "profile.x + 1"}), scope)
    nested = {name for (_, name), problems in found.items() if [p.code for p in problems] == ["nesting"]}
    assert nested == {"a", "b", "x", "s0", "s1", "s2", "s3", "s4"}
