"""What `kairos plan` says about two versions of a journey."""

from __future__ import annotations

from engine.core.differences import differences
from engine.core.plan import Plan
from engine.language.project import check_project

CATALOGUE = """
events:
  order.paid: {properties: {total: number}}
  page.viewed: {}
tags: [vip]
"""
BEFORE = """
journey: a
trigger: {event: order.paid}
steps:
  - {id: cool-off, wait: {for: 1h}}
  - {id: look, wait: {for_event: page.viewed, up_to: 1d, then: [{id: tag, update: {add_tags: [vip]}}]}}
  - id: test
    split:
      variants:
        - {name: a, weight: 50, steps: []}
        - {name: b, weight: 50, steps: [{id: call, webhook: {url: "https://example.com/x"}}]}
  - {id: rest, wait: {until: "10:00"}}
"""


def compiled(text: str) -> Plan:
    found = check_project({"journeys/catalog.yaml": CATALOGUE, "journeys/a.yaml": text})
    assert not found.errors, found.errors
    return found.plans["a"]


def said(*replacements: tuple[str, str]) -> list[str]:
    after = BEFORE
    for old, new in replacements:
        assert old in after
        after = after.replace(old, new)
    return [difference.text for difference in differences(compiled(BEFORE), compiled(after))]


def test_the_same_journey_has_no_differences() -> None:
    assert said() == []


def test_a_changed_length_is_said_with_the_one_before() -> None:
    assert said(("{for: 1h}", "{for: 30m}")) == ["`cool-off` waits 30m instead of 1h"]


def test_only_the_last_word_is_repeated_where_nothing_else_differs() -> None:
    assert said(("up_to: 1d", "up_to: 2d")) == ["`look` waits for page.viewed up to 2d instead of 1d"]


def test_another_verb_is_said_in_full() -> None:
    assert said(('{id: rest, wait: {until: "10:00"}}', "{id: rest, stop: {}}")) == [
        "`rest` stops instead of waits until 10:00"
    ]


def test_weights_of_a_split_are_said_for_all_variants() -> None:
    texts = said(
        ("name: a, weight: 50", "name: a, weight: 80"), ("name: b, weight: 50", "name: b, weight: 20")
    )
    assert texts == ["`test` splits a 80% / b 20% instead of a 50% / b 50%"]


def test_a_new_step_says_where_it_is() -> None:
    text = said(('until: "10:00"}}', 'until: "10:00"}}\n  - {id: end, stop: {}}'))
    assert "`end` is new: stops, after `rest`" in text
    assert "`rest` goes on to `end` instead of the end" in text


def test_a_step_that_is_gone_is_named_last() -> None:
    texts = said(("  - {id: cool-off, wait: {for: 1h}}\n", ""))
    assert texts[-1] == "`cool-off` is gone: waits 1h"


def test_what_concerns_the_whole_journey_comes_first() -> None:
    texts = said(
        ("trigger: {event: order.paid}", "trigger: {event: order.paid, settle: 30m}\nholdout: 5%"),
        ("{for: 1h}", "{for: 2h}"),
    )
    assert texts == [
        "trigger: on order.paid, once none has come for 30m instead of on order.paid",
        "holdout: 5% instead of 0%",
        "`cool-off` waits 2h instead of 1h",
    ]


def test_a_changed_condition_of_an_arm_is_said() -> None:
    texts = said(("then: [{id: tag", "where: exists(event.id), then: [{id: tag"))
    assert texts == [
        "`look` waits for page.viewed where exists(event.id) up to 1d instead of for page.viewed up to 1d"
    ]


def test_settings_that_the_sentence_leaves_out_are_not_forgotten() -> None:
    texts = said(('https://example.com/x"}', 'https://example.com/x", retry_for: 2h}'))
    assert len(texts) == 1
    assert "retried for 2h" in texts[0]


def test_a_setting_that_has_no_words_is_still_a_change() -> None:
    before = BEFORE.replace("page.viewed", "message.clicked")
    after = before.replace("for_event: message.clicked", "for_event: message.clicked, any: true")
    assert [d.text for d in differences(compiled(before), compiled(after))] == ["`look` has other settings"]
