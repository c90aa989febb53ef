"""Plans survive JSON, and equal plans have equal digests."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.core.codec import canonical, digest, plan_from_json, plan_to_json
from engine.core.plan import (
    Arm,
    Branch,
    Case,
    Condition,
    Effect,
    Goal,
    Message,
    Plan,
    Split,
    Step,
    Stop,
    Trigger,
    Variant,
    WaitEvent,
    WaitInstant,
    WaitLength,
    WaitTime,
    WaitWindow,
)

words = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=8)
maybe = st.none() | words
lengths = st.timedeltas(timedelta(days=-30), timedelta(days=400))
days = st.lists(st.integers(1, 7), unique=True).map(lambda found: tuple(sorted(found)))
conditions = st.builds(Condition, words, words, maybe, st.booleans())
categories = st.sampled_from(["marketing", "transactional"])
on_failure = st.sampled_from(["continue", "stop"])
json_data: st.SearchStrategy[dict[str, Any]] = st.dictionaries(
    words,
    st.recursive(st.none() | st.booleans() | st.integers() | words, lambda inner: st.lists(inner)),
    max_size=3,
)
kind_of_step: list[st.SearchStrategy[Step]] = [
    st.builds(WaitLength, words, maybe, lengths),
    st.builds(WaitTime, words, maybe, words, days, words),
    st.builds(WaitInstant, words, maybe, maybe, maybe, lengths, words),
    st.builds(WaitWindow, words, maybe, words, words, days, words),
    st.builds(
        WaitEvent,
        words,
        maybe,
        st.lists(st.builds(Arm, conditions, maybe), max_size=3).map(tuple),
        st.none() | lengths,
        maybe,
    ),
    st.builds(Message, words, maybe, words, st.lists(words, max_size=3).map(tuple), categories, on_failure),
    st.builds(Branch, words, maybe, st.lists(st.builds(Case, words, maybe), max_size=3).map(tuple), maybe),
    st.builds(
        Split,
        words,
        maybe,
        st.lists(st.builds(Variant, words, st.integers(0, 10_000), maybe), max_size=3).map(tuple),
        st.sampled_from(["profile", "enrolment"]),
    ),
    st.builds(
        Effect,
        words,
        maybe,
        st.sampled_from(["update", "webhook", "enter", "action"]),
        json_data,
        maybe,
        on_failure,
    ),
    st.builds(Stop, words, maybe, maybe),
]
steps = st.one_of(kind_of_step)
triggers = st.builds(
    Trigger,
    st.sampled_from(["event", "manual"]),
    maybe,
    maybe,
    maybe,
    st.sampled_from(["never", "after_exit", "restart"]) | lengths,
    st.none() | lengths,
    st.none() | conditions,
    st.dictionaries(words, words, max_size=3),
)
plans = st.builds(
    Plan,
    journey=words,
    trigger=triggers,
    steps=st.lists(steps, max_size=6).map(lambda found: {step.id: step for step in found}),
    first=maybe,
    title=maybe,
    goal=st.none() | st.builds(Goal, conditions, lengths),
    exit_events=st.lists(conditions, max_size=3).map(tuple),
    exit_rules=st.lists(st.tuples(st.integers(0, 9), words), max_size=3).map(tuple),
    holdout=st.integers(0, 10_000),
    category=categories,
    policy=words,
    max_age=lengths,
    max_lateness=lengths,
    run_as=st.sampled_from(["workflow", "pool"]),
    path=st.dictionaries(words, words, max_size=3),
)


@given(plans)
@settings(max_examples=150, deadline=None)
def test_a_plan_comes_back_from_json_equal_and_in_order(plan: Plan) -> None:
    again = plan_from_json(json.loads(json.dumps(plan_to_json(plan))))
    assert again == plan
    assert list(again.steps) == list(plan.steps)
    assert digest(again) == digest(plan)


@given(plans)
@settings(max_examples=50, deadline=None)
def test_a_plan_comes_back_from_its_canonical_form(plan: Plan) -> None:
    assert plan_from_json(json.loads(canonical(plan))) == plan


SMALL = Plan("welcome", Trigger("manual"), {"stop": Stop("stop")}, "stop")


def test_the_digest_is_fixed() -> None:
    assert canonical(SMALL) == (
        b'{"first":"stop","journey":"welcome","steps":[{"id":"stop","kind":"stop"}],"trigger":{"kind":"manual"}}'
    )
    assert digest(SMALL) == "8ce70154b2b3b88e693c2f803a15e1da256f8649050b062c9c3a952b9d937eda"


@pytest.mark.parametrize(
    "other",
    [
        replace(SMALL, holdout=1),
        replace(SMALL, title="Welcome"),
        replace(SMALL, max_age=timedelta(days=89)),
        replace(SMALL, steps={"stop": Stop("stop", reason="enough")}),
    ],
)
def test_every_difference_changes_the_digest(other: Plan) -> None:
    assert digest(other) != digest(SMALL)


def test_order_of_steps_is_part_of_a_plan() -> None:
    one, two = Stop("one"), Stop("two")
    first = replace(SMALL, steps={"one": one, "two": two})
    second = replace(SMALL, steps={"two": two, "one": one})
    assert digest(first) != digest(second)


def test_a_step_of_an_unknown_kind_is_refused() -> None:
    data = plan_to_json(SMALL) | {"steps": [{"id": "x", "kind": "teleport", "next": None}]}
    with pytest.raises(KeyError):
        plan_from_json(data)
