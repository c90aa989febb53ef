"""Scenarios from text to differences: the keys of the language page, one by one."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from textwrap import dedent, indent

import pytest

from engine.content import TemplateSet
from engine.language.project import check_project
from engine.simulator import Result, SuiteRun, run_suite
from engine.simulator.preview import preview

CATALOGUE = """
events:
  cart.updated: {properties: {cart_id: text, total: number}}
  cart.emptied: {properties: {cart_id: text}}
  order.paid: {properties: {cart_id: text, total: number}}
profile:
  points: number
  vip: boolean
tags: [staff, cart-engaged]
"""
JOURNEY = """
journey: unpaid-cart
trigger:
  event: cart.updated
  where: event.total >= 50 and not has_tag("staff")
  one_per: event.cart_id
  settle: 30m
  unless: {event: order.paid, where: event.cart_id == trigger.cart_id}
goal: {event: order.paid, where: event.cart_id == trigger.cart_id, within: 3d}
exit_when:
  - {event: cart.emptied, where: event.cart_id == trigger.cart_id}
holdout: 5%
steps:
  - id: offer-test
    split:
      variants:
        - name: plain
          weight: 50
          steps: [{id: plain-reminder, message: {template: hello, channels: [email, sms]}}]
        - name: coupon
          weight: 50
          steps: [{id: coupon-reminder, message: {template: hello, channels: [email, sms]}}]
  - id: look
    wait:
      for_event: message.clicked
      up_to: 1d
      then: [{id: thank, update: {add_tags: [cart-engaged], set: {points: trigger.total}}}]
      otherwise: [{id: last-call, message: {template: last, channels: [sms]}}]
"""
TEMPLATES = {
    "templates/hello/email.subject.j2": "Your cart",
    "templates/hello/email.text.j2": "{{ trigger.total }}",
    "templates/hello/sms.text.j2": "Your cart of {{ trigger.total }}",
    "templates/last/sms.text.j2": "Last call",
}
CART = "- event: {name: cart.updated, cart_id: k1, total: 120}"


def project(scenario: str, journey: str = JOURNEY, catalogue: str = CATALOGUE) -> Mapping[str, str]:
    name = journey.split("journey:")[1].split()[0]
    return {
        "kairos.yaml": "version: 1\n",
        "journeys/catalog.yaml": catalogue,
        f"journeys/{name}.yaml": journey,
        f"journeys/tests/{name}.test.yaml": f"journey: {name}\nscenarios:\n{indent(dedent(scenario), '  ')}",
        **TEMPLATES,
    }


def suite(scenario: str, journey: str = JOURNEY) -> SuiteRun:
    found = check_project(project(scenario, journey))
    assert not found.errors, found.errors
    return run_suite(found)


def run(
    script: str,
    expect: str,
    more: str = "variant: {offer-test: plain}",
    profile: str = "{external_id: c1, phone: '+861', consents: [sms]}",
    journey: str = JOURNEY,
) -> Result:
    text = f"""
- name: it
  profile: {profile}
  start: 2026-11-11T10:00+08:00
  {more}
  script:
{indent(dedent(script).strip(), "    ")}
  expect: {expect}
"""
    return suite(text, journey).results[0]


def test_paying_within_the_settling_never_enters() -> None:
    script = f"{CART}\n- {{after: 20m, event: {{name: order.paid, cart_id: k1}}}}"
    assert run(script, "{entered: false, messages: []}").passed
    failing = run(script, "{entered: true}")
    assert [(d.key, d.expected, d.got) for d in failing.differences] == [("entered", "yes", "no")]


def test_messages_count_from_the_first_entry_and_only_given_keys_are_compared() -> None:
    expect = (
        "{messages: [{at: 0s}, {at: 1d, channel: sms, template: last, step: last-call}], exit: completed}"
    )
    assert run(CART, expect).passed


def test_messages_are_exact_and_in_order() -> None:
    failing = run(CART, "{messages: [{template: last}, {template: hello}]}")
    assert [row[2] for row in failing.differences[0].table] == [False, False]
    more = run(CART, "{messages: [{template: hello}]}")
    assert more.differences[0].table[1] == ("nothing", "at 1d · sms · last", False)


def test_a_message_that_was_skipped_says_why() -> None:
    failing = run(CART, "{messages: [{at: 0s}, {at: 1d}]}", profile="{external_id: c1, phone: '+861'}")
    said = failing.differences[0].because
    assert (
        said[0] == "`plain-reminder` sent nothing at 0s; it was skipped because: "
        "no address for email, no consent for sms"
    )


def test_a_skipped_message_has_the_reason_of_its_first_channel() -> None:
    expect = "{skipped: [{step: plain-reminder, reason: no_address}, {step: last-call, reason: no_consent}]}"
    assert run(CART, expect, profile="{external_id: c1, phone: '+861'}").passed


def test_click_belongs_to_the_last_message_sent() -> None:
    script = f"{CART}\n- {{after: 2h, event: {{name: message.clicked}}}}"
    expect = (
        "{messages: [{at: 0s}], tags: {has: [cart-engaged], lacks: [staff]},"
        " attributes: {points: 120, vip: null}, exit: completed,"
        " steps: [offer-test, plain-reminder, look, thank]}"
    )
    assert run(script, expect).passed


def test_differences_of_tags_attributes_and_steps_are_told() -> None:
    found = run(CART, "{tags: {has: [cart-engaged]}, attributes: {points: 7}, steps: [look]}").differences
    assert [(d.key, d.expected, d.got) for d in found] == [
        ("tags", "has `cart-engaged`", "no tags"),
        ("attributes", "points = 7", "points = not set"),
        ("steps", "look", "offer-test, plain-reminder, look, last-call"),
    ]


def test_goal_after_the_end_converts_and_leaves_the_exit() -> None:
    script = f"{CART}\n- {{at: 2d, event: {{name: order.paid, cart_id: k1}}}}"
    assert run(script, "{exit: completed, converted: true}").passed
    late = f"{CART}\n- {{at: 4d, event: {{name: order.paid, cart_id: k1}}}}"
    assert run(late, "{exit: completed, converted: false}").passed


def test_goal_ends_it_before_the_last_call() -> None:
    script = f"{CART}\n- {{at: 3h, event: {{name: order.paid, cart_id: k1}}}}"
    assert run(script, "{messages: [{at: 0s}], exit: goal, converted: true}").passed


def test_another_cart_is_another_enrolment() -> None:
    script = (
        f"{CART}\n- {{event: {{name: cart.updated, properties: {{cart_id: k2, total: 60}}}}}}\n"
        "- {at: 1h, event: {name: cart.emptied, cart_id: k1}}"
    )
    assert run(script, "{entered: 2, exit: [exit_rule, completed]}").passed


def test_holdout_is_walked_and_sent_nothing() -> None:
    more = "holdout: true\n  variant: {offer-test: coupon}"
    expect = "{entered: true, messages: [], skipped: [{reason: holdout}, {step: last-call, reason: holdout}]}"
    assert run(CART, expect, more).passed


def test_withdrawing_all_consent_ends_it_unsubscribed() -> None:
    script = f"{CART}\n- {{at: 2h, consent: {{sms: false}}}}"
    assert run(script, "{messages: [{at: 0s}], exit: unsubscribed}").passed


def test_withdrawing_one_of_two_consents_does_not() -> None:
    script = f"{CART}\n- {{at: 2h, consent: {{sms: false}}}}"
    profile = "{external_id: c1, phone: '+861', email: a@b.cn, consents: [sms, email]}"
    assert run(script, "{messages: [{channel: email}], exit: completed}", profile=profile).passed


def test_identify_writes_what_later_steps_see() -> None:
    script = f"- {{identify: {{tags: [staff]}}}}\n{CART}"
    assert run(script, "{entered: false}").passed


def test_a_split_left_to_chance_is_a_warning_not_a_failure() -> None:
    result = run(CART, "{entered: true}", more="holdout: false")
    assert result.passed
    assert "`offer-test` was left to chance" in result.run.warnings[0]
    assert run(CART, "{entered: true}").run.warnings == []


def test_entries_while_paused_are_missed_and_steps_are_held() -> None:
    held = (
        f"{CART}\n- {{at: 1h, pause: {{}}}}\n"
        "- {at: 2h, event: {name: cart.updated, cart_id: k2, total: 90}}\n- {at: 2d, resume: {}}"
    )
    # Resumed 22 h 30 min after the last call was due: not later than `max_lateness`.
    assert run(held, "{entered: 1, messages: [{at: 0s}, {at: 1d23h30m}], exit: completed}").passed
    later = held.replace("at: 2d", "at: 3d")
    assert run(later, "{messages: [{at: 0s}], skipped: [{step: last-call, reason: late}]}").passed


def test_at_the_same_instant_events_come_before_timers() -> None:
    # Entry at 30 min, the limit of the wait at 24 h 30 min: a click then is in time.
    script = f"{CART}\n- {{at: 1d30m, event: {{name: message.clicked}}}}"
    assert run(script, "{messages: [{at: 0s}], tags: {has: [cart-engaged]}}").passed
    paid = f"{CART}\n- {{at: 30m, event: {{name: order.paid, cart_id: k1}}}}"
    assert run(paid, "{entered: false}").passed


MANUAL = """
journey: by-hand
trigger: {manual: {plan: text}}
steps:
  - id: call
    webhook: {url: "https://sink.example/x", save_as: reply, on_failure: stop}
  - id: fork
    branch:
      - {where: answers.reply.score > 5, steps: [{id: mark, update: {set: {points: answers.reply.score}}}]}
      - otherwise: [{id: low, stop: too low}]
"""


@pytest.mark.parametrize(
    ("more", "expect"),
    [
        ("answers: {call: {score: 9}}", "{exit: completed, attributes: {points: 9}}"),
        ("answers: {call: {score: 2}}", "{exit: stopped, steps: [call, fork, low]}"),
        ("holdout: false", "{exit: stopped}"),
        ("fails: [call]", "{exit: failed, steps: [call]}"),
    ],
)
def test_stand_ins_answer_and_fail_for_webhooks(more: str, expect: str) -> None:
    result = run("- enter: {plan: gold}", expect, more, journey=MANUAL)
    assert result.passed, result.differences


def test_coverage_names_what_no_scenario_takes() -> None:
    text = f"""
    - name: one
      profile: {{external_id: c1, phone: '+861', consents: [sms]}}
      variant: {{offer-test: plain}}
      script:
        {CART}
      expect: {{entered: true}}
    """
    covered = suite(text).coverage[0]
    assert covered.steps_missed == ("coupon-reminder", "thank")
    assert [(step, words) for step, _, words in covered.arms_missed] == [
        ("offer-test", "variant `coupon`"),
        ("look", "`message.clicked` came"),
    ]
    assert (covered.taken, covered.places) == (6, 10)


def test_rendering_null_is_a_skip_with_its_reason() -> None:
    journey = JOURNEY.replace(
        'where: event.total >= 50 and not has_tag("staff")', "where: exists(event.cart_id)"
    )
    script = "- event: {name: cart.updated, cart_id: k1}"
    result = run(script, "{skipped: [{step: plain-reminder, reason: render}]}", journey=journey)
    assert result.passed, result.differences


GREETING = """
journey: greeting
trigger: {event: order.paid, reenter: after_exit}
steps:
  - {id: thanks, message: {template: thanks, channels: [sms]}}
"""


def test_templates_see_computed_attributes_as_in_production() -> None:
    files = {
        "kairos.yaml": "version: 1\n",
        "journeys/catalog.yaml": """
events:
  order.paid: {properties: {cart_id: text}}
profile:
  orders: {type: number, computed: 'count("order.paid", "365d")'}
""",
        "journeys/greeting.yaml": GREETING,
        "journeys/tests/greeting.test.yaml": """
journey: greeting
scenarios:
  - name: twice
    profile: {external_id: c1, phone: "+8613800000000", consents: [sms]}
    start: 2026-11-11T10:00+08:00
    script:
      - event: {name: order.paid, cart_id: k1}
      - {after: 1h, event: {name: order.paid, cart_id: k2}}
    expect: {messages: [{channel: sms}, {channel: sms}], skipped: []}
""",
        "templates/thanks/sms.text.j2": "Order {{ profile.orders }}",
    }
    found = check_project(files)
    assert not found.errors, found.errors
    (result,) = run_suite(found).results
    assert result.passed
    told = preview(
        TemplateSet(found.templates),
        "thanks",
        {"external_id": "c1"},
        datetime(2026, 11, 11, tzinfo=UTC),
        catalogue=found.catalogue,
        installation=found.installation,
    )
    assert [each.parts for each in told] == [{"text": "Order 0"}]
