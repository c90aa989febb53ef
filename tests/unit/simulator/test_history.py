"""Dry runs over a stream: who is who, what is counted, and what each enrolment came to."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.core.identity import event_id, profile_key
from engine.language.project import Project, check_project
from engine.simulator import simulate
from engine.simulator.person import Change
from tests.unit.simulator.test_scenarios import CATALOGUE, JOURNEY, TEMPLATES

T0 = datetime(2026, 5, 1, 8, 0, tzinfo=UTC)

WELCOME = """
journey: welcome
trigger: {event: cart.emptied}
steps: [{id: go-on, enter: {journey: second, with: {n: "1"}}}]
"""
SECOND = """
journey: second
trigger: {manual: {n: number}}
steps: [{id: mark, update: {set: {points: trigger.n}}}]
"""


def project(**journeys: str) -> Project:
    files = {"kairos.yaml": "version: 1\n", "journeys/catalog.yaml": CATALOGUE, **TEMPLATES}
    files |= {f"journeys/{name}.yaml": text for name, text in journeys.items()}
    found = check_project(files)
    assert not found.errors, found.errors
    return found


CART = project(**{"unpaid-cart": JOURNEY})


def track(name: str, minutes: float, user: str | None = "u1", **more: Any) -> dict[str, Any]:
    at = T0 + timedelta(minutes=minutes)
    message: dict[str, Any] = {"type": "track", "event": name, "timestamp": at.isoformat()}
    if user is not None:
        message["userId"] = user
    return {**message, "messageId": f"{name}-{user}-{minutes}", **more}


def identify(minutes: float, user: str = "u1", **traits: Any) -> dict[str, Any]:
    at = T0 + timedelta(minutes=minutes)
    return {"type": "identify", "userId": user, "timestamp": at.isoformat(), "traits": traits}


def cart(minutes: float, user: str | None = "u1", **more: Any) -> dict[str, Any]:
    return track("cart.updated", minutes, user, properties={"cart_id": "k1", "total": 120}, **more)


def test_a_cart_left_alone_enters_and_is_counted() -> None:
    paid = track("order.paid", 300, properties={"cart_id": "k1", "total": 120})
    report = simulate(
        CART, ["unpaid-cart"], [identify(-5, phone="+861", consents={"sms": True}), cart(0), paid]
    )
    found = report.journeys["unpaid-cart"]
    assert (found.entered, found.converted, found.exits) == (1, 1, {"goal": 1})
    assert found.sent == {"sms": 1} or found.skipped == {"holdout": 1}
    data = json.loads(json.dumps(report.to_json()))
    one = data["enrolments"][0]
    assert one["external_id"] == "u1"
    assert one["trigger_message_id"] == "cart.updated-u1-0"
    assert one["entered_at"] == (T0 + timedelta(minutes=30)).isoformat()
    assert (one["exit"], one["converted"]) == ("goal", True)
    assert set(one["variants"]) == {"offer-test"}
    assert one["trace"][0]["result"] == "entered"


def test_lines_are_taken_by_time_whatever_their_order() -> None:
    paid = track("order.paid", 10, properties={"cart_id": "k1"})
    assert simulate(CART, ["unpaid-cart"], [paid, cart(0)]).enrolments == []


def test_ids_are_those_that_the_source_gives() -> None:
    report = simulate(CART, ["unpaid-cart"], [cart(0)], source="shop")
    enrolment = report.enrolments[0]
    assert enrolment.trigger.id == event_id("shop", "cart.updated-u1-0")
    assert enrolment.person.key == profile_key("external_id", "u1")


def test_a_repeated_message_id_counts_once() -> None:
    report = simulate(CART, ["unpaid-cart"], [cart(0), cart(0)])
    assert (report.messages, len(report.enrolments)) == (1, 1)


def test_until_leaves_the_rest_under_way() -> None:
    report = simulate(CART, ["unpaid-cart"], [cart(0)], until=T0 + timedelta(hours=2))
    assert report.journeys["unpaid-cart"].live == 1
    assert report.to_json()["enrolments"][0]["exit"] is None


def test_what_cannot_be_read_is_named_and_the_rest_runs() -> None:
    bad = [{"type": "track", "userId": "u1"}, 7, {"event": "x", "timestamp": T0.isoformat()}]
    report = simulate(CART, ["unpaid-cart"], [*bad, cart(0)])
    assert [each.place for each in report.unreadable] == [1, 2, 3]
    assert len(report.enrolments) == 1


def test_an_anonymous_visitor_who_is_identified_is_the_same_customer() -> None:
    visit = cart(0, None, anonymousId="a1")
    known = {**identify(10), "anonymousId": "a1"}
    paid = track("order.paid", 20, properties={"cart_id": "k1"})
    report = simulate(CART, ["unpaid-cart"], [visit, known, paid])
    assert (report.people, report.enrolments) == (1, [])


def test_two_customers_on_one_device_stay_two() -> None:
    messages = [cart(0, "u1", anonymousId="a1"), cart(1, "u2", anonymousId="a1")]
    report = simulate(CART, ["unpaid-cart"], messages)
    assert sorted(e.person.external_id or "" for e in report.enrolments) == ["u1", "u2"]


def test_alone_an_enter_step_is_recorded_and_together_it_is_followed() -> None:
    both = project(welcome=WELCOME, second=SECOND)
    alone = simulate(both, ["welcome"], [track("cart.emptied", 0)])
    assert [e.journey.name for e in alone.enrolments] == ["welcome"]
    assert alone.enrolments[0].followed == [("second", {"n": 1})]
    together = simulate(both, None, [track("cart.emptied", 0)])
    assert sorted(e.journey.name for e in together.enrolments) == ["second", "welcome"]
    assert together.enrolments[0].person.attributes["points"] == 1


def test_the_same_stream_gives_the_same_report() -> None:
    messages = [cart(minute, f"u{minute}") for minute in range(40)]
    one, two = (simulate(CART, None, messages).to_json() for _ in range(2))
    assert one == two
    assert one["journeys"]["unpaid-cart"]["entered"] == 40


def test_a_pause_holds_the_customers_of_its_journey_and_of_no_other() -> None:
    late = """
journey: {name}
trigger: {{event: cart.emptied}}
steps: [{{id: {name}-rest, wait: {{for: 10m}}}}, {{id: {name}-mark, update: {{set: {{points: "1"}}}}}}]
"""
    both = project(held=late.format(name="held"), free=late.format(name="free"))
    controls = [
        Change("pause", T0 + timedelta(minutes=5), journey="held"),
        Change("resume", T0 + timedelta(minutes=30), journey="held"),
    ]
    messages = [
        track("cart.emptied", 0, "u1"),
        track("cart.emptied", 5, "u2"),
        track("cart.emptied", 5, "u1"),
    ]
    report = simulate(both, None, messages, controls=controls)
    ended = {(each.journey.name, each.person.external_id): each.state.ended_at for each in report.enrolments}
    assert ended == {
        ("held", "u1"): T0 + timedelta(minutes=30),
        ("free", "u1"): T0 + timedelta(minutes=10),
        ("free", "u2"): T0 + timedelta(minutes=15),
    }
    assert report.journeys["held"].refused == {"paused": 2}, "at one instant the pause comes first"
    assert report.journeys["free"].refused == {"live": 1}
