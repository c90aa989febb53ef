"""Journeys become plans, scenarios become data, and the list of mistakes keeps its form."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import jsonschema

from engine.core.plan import Branch, Effect, Plan, Split, Stop, WaitEvent, WaitInstant, WaitTime, WaitWindow
from engine.language.editor_schema import FILES, editor_schema
from engine.language.listing import as_sarif, as_text
from engine.language.loader import Mapping, load, plain_data
from engine.language.project import Project, check_project

CATALOGUE = """
events:
  cart.updated:
    also_called: [add_to_cart]
    properties: {cart_id: text, total: number}
  order.paid: {properties: {cart_id: text}}
profile: {tier: text, points: number, trial_ends_at: datetime}
tags: [vip]
"""
JOURNEY = """
journey: a
trigger: {event: cart.updated, one_per: event.cart_id, reenter: {every: 7d}}
goal: {event: order.paid}
exit_when:
  - where: has_tag("vip")
  - {event: order.paid, where: event.cart_id==trigger.cart_id}
holdout: 2.5%
max_age: 30d
steps:
  - id: s
    split:
      variants:
        - {name: x, weight: 33.34, steps: []}
        - {name: y, weight: 66.66, steps: [{id: y1, update: {set: {tier: "'gold'", points: 5}}}]}
  - id: w
    wait:
      first_of:
        - {event: order.paid, steps: [{id: done, stop: paid}]}
        - {event: cart.updated}
      up_to: 1d12h
      otherwise:
        - id: b
          branch: [{where: event.total>5, steps: [{id: c, wait: {until: "10:00", days: [fri, mon]}}]}]
  - {id: d, wait: {until: 2026-11-11T10:00, offset: -1d}}
  - {id: e, wait: {until: 2026-11-11}}
  - {id: f, wait: {until: profile.trial_ends_at}}
  - {id: g, wait: {between: ["21:00", "08:00"], zone: installation}}
"""
SCENARIOS = """
journey: a
scenarios:
  - name: one
    start: 2026-11-11T10:00
    profile: {external_id: 7, tags: [vip], points: 3}
    script:
      - event: {name: add_to_cart, cart_id: k, properties: {total: 5}}
      - {after: 20m, pause: {}}
      - {after: 10m, resume: {}}
      - {at: 5m, consent: {sms: false}}
    expect: {entered: 1, exit: [completed], attributes: {points: null}}
"""


def project(**files: str) -> Project:
    found = check_project(
        {
            "kairos.yaml": "time_zone: Asia/Shanghai\n",
            "journeys/catalog.yaml": CATALOGUE,
            "journeys/a.yaml": JOURNEY,
            "journeys/tests/a.test.yaml": SCENARIOS,
            **files,
        }
    )
    assert found.errors == ()
    return found


def plan() -> Plan:
    return project().plans["a"]


def test_next_leads_out_of_the_nesting() -> None:
    steps = plan().steps
    assert [step.next for step in steps.values()] == ["w", "w", "d", None, "d", "d", "e", "f", "g", None]
    assert list(steps) == ["s", "y1", "w", "done", "b", "c", "d", "e", "f", "g"]


def test_an_empty_arm_goes_where_its_step_goes() -> None:
    steps = plan().steps
    split, wait, branch = steps["s"], steps["w"], steps["b"]
    assert isinstance(split, Split)
    assert [(each.goto, each.weight) for each in split.variants] == [("w", 3334), ("y1", 6666)]
    assert isinstance(wait, WaitEvent)
    assert [arm.goto for arm in wait.arms] == ["done", "d"]
    assert wait.otherwise == "b"
    assert wait.up_to == timedelta(hours=36)
    assert isinstance(branch, Branch)
    assert branch.otherwise == "d"
    assert branch.cases[0].where == "event.total > 5"


def test_values_are_expression_text() -> None:
    step = plan().steps["y1"]
    assert isinstance(step, Effect)
    assert step.spec["set"] == {"tier": '"gold"', "points": "5"}


def test_moments() -> None:
    steps = plan().steps
    assert steps["c"] == WaitTime("c", "d", "10:00", (1, 5), "profile")
    assert steps["d"] == WaitInstant(
        "d", "e", None, "2026-11-11T10:00:00+08:00", timedelta(days=-1), "profile"
    )
    assert steps["e"] == WaitInstant("e", "f", None, "2026-11-11")
    assert steps["f"] == WaitInstant("f", "g", "profile.trial_ends_at")
    assert steps["g"] == WaitWindow("g", None, "21:00", "08:00", (), "installation")
    assert steps["done"] == Stop("done", None, "paid")


def test_ends_and_defaults() -> None:
    found = plan()
    assert found.goal is not None
    assert found.goal.within == timedelta(days=30)
    assert found.exit_rules == ((0, 'has_tag("vip")'),)
    assert [(each.id, each.where) for each in found.exit_events] == [
        ("exit.1", "event.cart_id == trigger.cart_id")
    ]
    assert found.holdout == 250
    assert found.trigger.reenter == timedelta(days=7)
    assert found.max_lateness == timedelta(hours=24)


def test_scenarios_are_read_in_order_of_time() -> None:
    (scenario,) = project().scenarios["journeys/tests/a.test.yaml"].scenarios
    assert scenario.start == datetime(2026, 11, 11, 2, tzinfo=UTC)
    assert scenario.profile.identifiers == {"external_id": "7"}
    assert scenario.profile.attributes == {"points": 3}
    assert [(entry.kind, entry.offset) for entry in scenario.script] == [
        ("event", timedelta(0)),
        ("consent", timedelta(minutes=5)),
        ("pause", timedelta(minutes=20)),
        ("resume", timedelta(minutes=30)),
    ]
    assert scenario.script[0].name == "cart.updated"
    assert scenario.script[0].properties == {"cart_id": "k", "total": 5}
    assert scenario.expect.attributes == {"points": None}
    assert scenario.expect.exit == ("completed",)
    assert scenario.expect.messages is None


def test_the_editor_schemas_are_valid_and_accept_what_the_checker_accepts() -> None:
    for name in FILES:
        jsonschema.Draft202012Validator.check_schema(editor_schema(name))
    for name, text in (("journey", JOURNEY), ("catalog", CATALOGUE), ("scenarios", SCENARIOS)):
        root, _ = load("x.yaml", text)
        assert isinstance(root, Mapping)
        jsonschema.validate(plain_data(root), editor_schema(name))


def test_sarif_and_text_tell_the_same_places() -> None:
    found = check_project({"journeys/a.yaml": "journey: b\n"}).diagnostics
    results = json.loads(as_sarif(found))["runs"][0]["results"]
    assert [each["ruleId"] for each in results] == [each.code for each in found]
    assert f"journeys/a.yaml:1:10: error[J212]: {found[-1].message}" in as_text(found)
