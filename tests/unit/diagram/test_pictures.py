"""A journey of ten steps with two splits, drawn."""

from __future__ import annotations

import re
from itertools import combinations
from xml.etree import ElementTree

import pytest

from engine.core.plan import Plan
from engine.diagram import mermaid, svg
from engine.language.project import check_project

CATALOGUE = "events: {order.paid: {properties: {total: number}}, page.viewed: {}}\ntags: [vip]\n"
JOURNEY = """
journey: big
title: Ten <steps> & two splits
trigger: {event: order.paid, where: event.total > 50}
goal: {event: page.viewed, within: 3d}
holdout: 5%
steps:
  - id: offer-test
    split:
      variants:
        - {name: plain, weight: 40, steps: [{id: plain-wait, wait: {for: 1h}}]}
        - name: coupon
          weight: 40
          steps:
            - {id: coupon-wait, wait: {for: 2h}}
            - id: time-test
              split:
                variants:
                  - {name: evening, weight: 50, steps: [{id: evening, wait: {until: "20:00"}}]}
                  - {name: morning, weight: 50, steps: [{id: morning, wait: {until: "09:00"}}]}
        - {name: nothing, weight: 20, steps: []}
  - id: look
    wait:
      for_event: page.viewed
      up_to: 1d
      then: [{id: thank, update: {add_tags: [vip]}}]
      otherwise: [{id: call, webhook: {url: "https://crm.example.com/a/very/long/address/of/a/hook"}}]
  - id: rich
    branch:
      - where: trigger.total > 1000
        steps: [{id: over, stop: {reason: rich}}]
      - otherwise: []
  - {id: rest, wait: {for: 2d}}
"""
SPACE = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def plan() -> Plan:
    found = check_project({"journeys/catalog.yaml": CATALOGUE, "journeys/big.yaml": JOURNEY})
    assert not found.errors, found.errors
    return found.plans["big"]


def boxes(root: ElementTree.Element) -> list[tuple[float, float, float, float]]:
    """Left, top, right, bottom of every rectangle but the paper's."""
    found = []

    def walk(element: ElementTree.Element, x: float, y: float) -> None:
        if (move := re.match(r"translate\(([-.\d]+),([-.\d]+)\)", element.get("transform", ""))) is not None:
            x, y = x + float(move[1]), y + float(move[2])
        if element.tag == f"{SPACE}rect" and element.get("width") != "100%":
            found.append((x, y, x + float(element.get("width", 0)), y + float(element.get("height", 0))))
        for child in element:
            walk(child, x, y)

    walk(root, 0, 0)
    return found


def test_every_step_is_drawn_once(plan: Plan) -> None:
    texts = [e.text for e in ElementTree.fromstring(svg(plan)).iter(f"{SPACE}text")]
    assert [texts.count(step) for step in plan.steps] == [1] * len(plan.steps)


def test_no_box_covers_another_or_leaves_the_paper(plan: Plan) -> None:
    root = ElementTree.fromstring(svg(plan))
    found = boxes(root)
    assert len(found) >= 10
    for (l1, t1, r1, b1), (l2, t2, r2, b2) in combinations(found, 2):
        assert r1 <= l2 or r2 <= l1 or b1 <= t2 or b2 <= t1
    width, height = float(root.get("width", 0)), float(root.get("height", 0))
    assert all(
        left >= 0 and top >= 0 and right <= width and bottom <= height for left, top, right, bottom in found
    )


def test_arms_are_labelled_with_their_shares_and_conditions(plan: Plan) -> None:
    texts = {e.text for e in ElementTree.fromstring(svg(plan)).iter(f"{SPACE}text")}
    assert {"plain 40%", "coupon 40%", "nothing 20%", "trigger.total > 1000", "not within 1d"} <= texts


def test_the_beginning_says_goal_and_holdout(plan: Plan) -> None:
    texts = {e.text for e in ElementTree.fromstring(svg(plan)).iter(f"{SPACE}text")}
    assert {"Ten <steps> & two splits", "goal page.viewed within 3d", "holdout 5%"} <= texts


def test_mermaid_has_an_arrow_for_every_way(plan: Plan) -> None:
    chart = mermaid(plan)
    assert chart.startswith("flowchart TD\n")
    for label in ("plain 40%", "coupon 40%", "nothing 20%", "evening 50%"):
        assert f'-->|"{label}"|' in chart
    nodes = set(re.findall(r"^  (\w+)[({\[]", chart, re.M))
    ways = re.findall(r"^  (\w+) -->(?:\|[^|]*\|)? (\w+)$", chart, re.M)
    assert ways
    assert {end for way in ways for end in way} <= nodes


def test_the_same_plan_is_drawn_the_same(plan: Plan) -> None:
    assert svg(plan) == svg(plan)
