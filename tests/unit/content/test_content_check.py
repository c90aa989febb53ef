"""Mistakes that show before a message is ever sent."""

from __future__ import annotations

import pytest

from engine.content import TemplateProblem, TemplateScope, TemplateSet, check_message, check_paths

SCOPE = TemplateScope(
    profile={"first_name": "text"},
    trigger={"total": "number", "cart_id": "text"},
    answers=frozenset({"quote"}),
    brand=frozenset({"name"}),
)


def check(source: str, part: str = "text", channel: str = "sms") -> list[TemplateProblem]:
    return check_message(TemplateSet({f"templates/m/{channel}.{part}.j2": source}), "m", channel, SCOPE)


@pytest.mark.parametrize(
    ("source", "code", "column", "said"),
    [
        ("{{ trigger.totl }}", "unknown-property", 4, "did you mean `total`?"),
        ("{{ profile['fist_name'] }}", "unknown-property", 1, "did you mean `first_name`?"),
        ("Hi {{ nme }}", "unknown-variable", 7, "profile.nme"),
        ("{{ event.x }}", "unknown-variable", 4, None),
        ("{{ brand.nam }}", "unknown-property", 4, "did you mean `name`?"),
        ("{{ answers.quota }}", "null", 4, "did you mean `quote`?"),
        ("{{ none }}", "null", 4, "is defined"),
        ("{{ x", "syntax", 1, "not closed"),
        ("{{ trigger.total | bogus }}", "syntax", 1, "filters"),
        ('{% include "x" %}', "layout", 4, "_blocks/x.text.j2"),
        ('{% import "x" as x %}', "syntax", 1, None),
    ],
)
def test_a_mistake_is_named_with_its_place(source: str, code: str, column: int, said: str | None) -> None:
    (problem,) = check(source)
    assert (problem.code, problem.line, problem.column) == (code, 1, column)
    assert said is None or said in (problem.hint or "")


def test_all_mistakes_come_at_once_in_order() -> None:
    problems = check("{{ trigger.totl }}\n\n{{ foo }} {{ profile.x }}")
    assert [(p.line, p.column) for p in problems] == [(1, 4), (3, 4), (3, 14)]


def test_what_is_declared_or_set_in_the_template_passes() -> None:
    source = (
        "{% set n = profile.first_name %}{{ n | default('') }}{{ trigger.occurred_at }}"
        "{{ answers.quote.price }}"
        "{% for i in range(3) %}{{ i }}{{ loop.index }}{% endfor %}{{ links.unsubscribe }}{{ brand.name }}"
        "{% macro m(a) %}{{ a }}{% endmacro %}{{ m(now) }}"
    )
    # An answer is null where its step failed.
    assert [each.code for each in check(source, "json", "x") if each.code != "json"] == ["may-be-missing"]


def test_missing_and_unknown_parts() -> None:
    files = {"templates/m/email.text.j2": "a", "templates/m/email.sbject.j2": "b"}
    problems = check_message(TemplateSet(files), "m", "email", SCOPE)
    assert [(p.path, p.code) for p in problems] == [
        ("templates/m/email.sbject.j2", "unknown-part"),
        ("templates/m/email.subject.j2", "missing-part"),
    ]
    assert check_message(TemplateSet(files), "m", "sms", SCOPE)[0].code == "missing-part"


def test_a_file_that_is_no_template_by_its_name_is_found() -> None:
    templates = TemplateSet({"templates/m/sms.j2": "", "templates/m/sms.text.j2": ""})
    assert [p.path for p in check_paths(templates)] == ["templates/m/sms.j2"]


def test_a_text_message_is_measured_on_its_longest_way() -> None:
    arms = "{% if profile.first_name %}" + "x" * 499 + "{% else %}" + "y" * 400 + "{% endif %}"
    assert [p.code for p in check(arms + "z")] == ["segments"]
    assert "too-long" in [p.code for p in check(arms + "zz")]


@pytest.mark.parametrize(
    ("source", "right"),
    [
        ('{"a": "{{ trigger.cart_id }}", "b": {{ trigger.total }}}', True),
        ('{"a": {{ trigger.cart_id | tojson }}}', True),
        ('{"a": {# why #} {{ trigger.total }}}', True),
        ('{% if trigger.total %}{"a": 1}{% else %}{}{% endif %}', True),
        ('{"a": {{ trigger.total }},}', False),
        ('{"a": 1', False),
        ("", False),
    ],
)
def test_a_json_part_must_parse_around_its_values(source: str, right: bool) -> None:
    assert [p.code for p in check(source, "json", "webhook")] == ([] if right else ["json"])
