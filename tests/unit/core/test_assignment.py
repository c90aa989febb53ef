"""Assignment against the vectors in `tests/vectors/assignment.json`, and its promises."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from engine.core.assignment import acts_at_once, assign, held_out, pick, share, stands
from engine.core.identity import profile_key
from engine.core.plan import Message, Plan, Split, Step, Trigger, Variant, WaitLength

VECTORS = json.loads(Path("tests/vectors/assignment.json").read_text(encoding="utf-8"))
KEYS = [profile_key("external_id", f"c{number}") for number in range(20_000)]


def split(*weights: int, by: Any = "profile") -> Split:
    variants = tuple(Variant(f"v{place}", weight, None) for place, weight in enumerate(weights))
    return Split("test", None, variants, by)


@pytest.mark.parametrize("case", VECTORS["cases"])
def test_share_is_that_of_the_vectors(case: dict[str, Any]) -> None:
    assert share(case["salt"], case["key"]) == case["share"]


def test_ranges_follow_the_order_of_the_file() -> None:
    variants = split(2_500, 7_500).variants
    assert [pick(variants, position).name for position in (0, 2_499, 2_500, 9_999)] == [
        "v0",
        "v0",
        "v1",
        "v1",
    ]


def test_a_variant_without_weight_gets_nobody() -> None:
    assert {assign("j", split(0, 10_000), key, "e").name for key in KEYS[:500]} == {"v1"}


def test_raising_a_weight_moves_only_those_at_the_border() -> None:
    before, after = split(2_000, 8_000), split(3_000, 7_000)
    moved = [
        (one, two)
        for key in KEYS
        if (one := assign("j", before, key, "e").name) != (two := assign("j", after, key, "e").name)
    ]
    assert set(moved) == {("v1", "v0")}


def test_by_profile_is_sticky_and_by_enrolment_is_drawn_anew() -> None:
    sticky = {assign("j", split(5_000, 5_000), KEYS[0], f"e{n}").name for n in range(100)}
    drawn = {assign("j", split(5_000, 5_000, by="enrolment"), KEYS[0], f"e{n}").name for n in range(100)}
    assert len(sticky) == 1
    assert len(drawn) == 2


def test_holdout_has_a_salt_of_its_own() -> None:
    held = [key for key in KEYS if held_out("j", 500, key)]
    first = sum(assign("j", split(5_000, 5_000), key, "e").name == "v0" for key in held)
    assert 0.4 < first / len(held) < 0.6
    assert not any(held_out("j", 0, key) for key in KEYS[:500])


def nested() -> Plan:
    """A split whose second variant holds another one; then a wait, or a message."""
    inner = Split("inner", "rest", (Variant("x", 10_000, "hello"),))
    outer = Split("outer", "rest", (Variant("a", 5_000, "rest"), Variant("b", 5_000, "inner")))
    wait = WaitLength("rest", None, timedelta(hours=1))
    steps: list[Step] = [outer, inner, Message("hello", "rest", "hello", ("sms",)), wait]
    return Plan("j", Trigger("event", "e"), {step.id: step for step in steps}, "outer")


def test_splits_are_passed_through_to_where_an_enrolment_stands() -> None:
    plan = nested()
    assert stands(plan, "outer", KEYS[0], "e", {"outer": "b"}) == ("hello", {"outer": "b", "inner": "x"})
    step, variants = stands(plan, "outer", KEYS[0], "e", {})
    drawn = assign("j", plan.steps["outer"], KEYS[0], "e").name  # type: ignore[arg-type]
    assert (variants["outer"], step) == (drawn, {"a": "rest", "b": "hello"}[drawn])
    assert stands(plan, "rest", KEYS[0], "e", {}) == ("rest", {})
    assert stands(plan, None, KEYS[0], "e", {}) == (None, {})


def test_a_plan_acts_at_once_if_some_variant_begins_with_work() -> None:
    plan = nested()
    assert acts_at_once(plan)
    assert not acts_at_once(replace(plan, first="rest"))


@pytest.mark.slow
def test_shares_keep_their_weights() -> None:
    # Five standard deviations of a binomial: fails by chance once in two million runs of other keys.
    number = 200_000
    keys = [profile_key("external_id", f"s{place}") for place in range(number)]
    for weight in (500, 3_333, 5_000):
        got = sum(assign("j", split(weight, 10_000 - weight), key, "e").name == "v0" for key in keys)
        p = weight / 10_000
        assert abs(got - number * p) < 5 * (number * p * (1 - p)) ** 0.5
