"""What a customer gets, and what stops a message."""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime
from typing import Any

import pytest

from engine.content import Rendered, RenderError, TemplateSet


def render(source: str, part: str = "text", channel: str = "sms", **context: Any) -> str:
    return TemplateSet({f"templates/m/{channel}.{part}.j2": source}).render("m", channel, context).parts[part]


def test_default_replaces_a_null() -> None:
    assert render('Hi {{ profile.name | default("you") }}', profile={"name": None}) == "Hi you"


@pytest.mark.parametrize(
    "source",
    [
        "{{ trigger.x }}",
        "{{ none }}",
        '{{ "a" ~ none }}',
        '{{ "a" ~ trigger.x }}',
        '{{ "a" ~ trigger.get("x") }}',
        "{% for x in trigger.some %}{{ x }}{% endfor %}",
        '{{ trigger.some | join(",") }}',
        "{{ trigger.x | upper }}",
        "{{ trigger.x | tojson }}",
        "{{ links.unsubscribe }}",
        "{{ event.total }}",
    ],
)
def test_a_null_without_default_skips_and_never_shows_the_text_none(source: str) -> None:
    with pytest.raises(RenderError) as caught:
        render(source, trigger={"x": None, "some": [1, None]}, event=None)
    assert caught.value.reason == "render"


def test_a_null_is_not_defined() -> None:
    source = "{% if profile.name is defined %}yes{% else %}no{% endif %}"
    assert render(source, profile={"name": None}) == "no"


@pytest.mark.parametrize(
    "source",
    [
        "{% if profile.name %}yes{% else %}no{% endif %}",
        '{{ profile.name or "no" }}',
        '{{ profile.name if profile.name else "no" }}',
        '{{ "yes" if profile.name == "Li" else "no" }}',
        '{{ "yes" if profile.points > 5 or profile.points <= 5 else "no" }}',
        '{{ "yes" if "a" in profile.letters else "no" }}',
        '{{ answers.offer.code | default("no") }}',
        '{{ answers["offer"]["code"] | default("no") }}',
        "{{ 'no' if not answers.offer.code }}",
    ],
)
def test_a_null_can_be_asked_about(source: str) -> None:
    assert render(source, profile={"name": None}, answers={"offer": None}) == "no"


def test_what_is_inside_a_null_is_still_not_written() -> None:
    with pytest.raises(RenderError):
        render("{{ answers.offer.code }}", answers={"offer": None})


def test_whole_numbers_and_booleans_are_written_as_people_write_them() -> None:
    assert render("{{ trigger.n }} {{ trigger.b }}", trigger={"n": 12.0, "b": True}) == "12 true"


def test_a_property_named_like_a_method_is_the_property() -> None:
    assert render("{{ trigger.items }}", trigger={"items": 3}) == "3"


def test_a_list_is_written_with_commas_and_never_with_a_null() -> None:
    assert render("{{ trigger.some }}", trigger={"some": ["a", 2.0]}) == "a, 2"
    with pytest.raises(RenderError):
        render("{{ trigger.some }}", trigger={"some": ["a", None]})


def test_dates_are_written_by_a_pattern() -> None:
    now = datetime(2026, 11, 11, 10, tzinfo=UTC)
    assert render('{{ now | date("%d.%m.%Y") }}', now=now) == "11.11.2026"


def test_html_escapes_values_and_text_does_not() -> None:
    assert render("<p>{{ trigger.n }}</p>", "html", "email", trigger={"n": "<i>"}) == "<p>&lt;i&gt;</p>"
    assert render("{{ trigger.n }}", trigger={"n": "<i>"}) == "<i>"


def test_a_line_break_cannot_get_into_a_subject() -> None:
    assert render("Hi {{ trigger.n }}", "subject", "email", trigger={"n": "a\r\nBcc: b"}) == "Hi a Bcc: b"


def test_json_parts_survive_any_text_of_a_customer() -> None:
    source = '{"a": "{{ trigger.n }}!", "b": {{ trigger.n | tojson }}, "c": {{ trigger.k }},'
    source += ' "d": "{{ trigger.k }}"}'
    nasty = 'x"\n\\<{{ }}'
    assert json.loads(render(source, "json", "webhook", trigger={"n": nasty, "k": 3.0})) == {
        "a": nasty + "!",
        "b": nasty,
        "c": 3,
        "d": "3",
    }


def test_a_list_in_a_json_part_is_a_list() -> None:
    source = '{"a": {{ trigger.items }}}'
    assert json.loads(render(source, "json", "webhook", trigger={"items": [1, "x"]})) == {"a": [1, "x"]}


def test_a_json_part_that_does_not_parse_is_refused() -> None:
    with pytest.raises(RenderError, match="JSON"):
        render('{"a": {{ trigger.n ~ "" }}}', "json", "webhook", trigger={"n": "x"})


HUNGRY = [
    "{% for i in range(1000000000) %}x{% endfor %}",
    "{% for i in range(1000) %}{% for j in range(1000) %}{% for k in range(1000) %}x"
    "{% endfor %}{% endfor %}{% endfor %}",
    '{% set ns = namespace(s="ab") %}{% for i in range(900) %}{% set ns.s = ns.s ~ ns.s %}{% endfor %}',
    '{% set ns = namespace(s="ab") %}{% for i in range(900) %}{% set ns.s = ns.s + ns.s %}{% endfor %}',
    '{% set ns = namespace(s="ab") %}{% for i in range(900) %}{% set ns.s = [ns.s, ns.s] | join %}'
    "{% endfor %}",
    '{% set ns = namespace(s="a") %}{% for i in range(900) %}{% set ns.s = ns.s | replace("a", "aa") %}'
    "{% endfor %}",
    '{% set ns = namespace(s="ab") %}{% for i in range(900) %}{% set ns.s %}{{ ns.s }}{{ ns.s }}'
    "{% endset %}{% endfor %}",
    "{% macro f(n) %}{% if n %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    "{% macro f(n) %}{{ f(n) }}{% endmacro %}{{ f(1) }}",
    "{% macro f(n) %}" + "x" * 50_000 + "{% endmacro %}{% for i in range(5000) %}{% set a %}{{ f(1) }}"
    "{% endset %}{% endfor %}",
    "{% for i in range(9999) %}" + "x" * 90_000 + "{% endfor %}",
    "{% for i in range(9999) %}" + "{{ i }}" * 9_000 + "{% endfor %}",
    "{% for i in range(9999) %}{% set a %}" + "{{ trigger.no }}" * 5_000 + "{% endset %}{% endfor %}",
    "{% for i in range(9999) %}{{ trigger.long }}{% endfor %}",
    '{{ "x" * 1000000000 }}',
    "{{ [1] * 1000000000 }}",
    "{{ 10 ** 10 ** 10 }}",
    '{{ "%999999999d" % 3 }}',
    '{{ "{:999999999}".format(1) }}',
    '{{ "x".ljust(1000000000) }}',
    '{{ "x" | center(1000000000) }}',
    "{% for i in trigger.some recursive %}{{ loop(trigger.some) }}{% endfor %}",
    "x" * 200_000,
]


@pytest.mark.parametrize("source", HUNGRY, ids=range(len(HUNGRY)))
def test_a_template_without_end_is_stopped_soon(source: str) -> None:
    began = time.perf_counter()
    with pytest.raises(RenderError):
        render(source, trigger={"some": [1, 2], "long": list(range(9_999)), "no": ""})
    # Some thousand times what it takes: it tells minutes from milliseconds, not fast from slow.
    assert time.perf_counter() - began < 10


@pytest.mark.parametrize(
    "source",
    ['{{ "".__class__.__mro__ }}', "{{ range.__globals__ }}", "{{ trigger.some.append(3) }}"],
)
def test_the_sandbox_holds(source: str) -> None:
    with pytest.raises(RenderError):
        render(source, trigger={"some": [1, 2]})


def test_errors_quote_no_value_of_the_customer() -> None:
    for source in ("{{ profile.name() }}", "{{ profile.name | date }}", "{{ profile.name + 1 }}"):
        with pytest.raises(RenderError) as caught:
            render(source, profile={"name": "Alice"})
        assert "Alice" not in str(caught.value)


def test_an_ordinary_loop_works() -> None:
    source = "{% for p in trigger.items %}{{ loop.index }}/{{ loop.length }} {{ p.n }}; {% endfor %}"
    assert render(source, trigger={"items": [{"n": "a"}, {"n": "b"}]}) == "1/2 a; 2/2 b;"


def test_the_digest_names_the_sources_of_one_message_and_channel() -> None:
    files = {
        "templates/m/sms.text.j2": "a",
        "templates/m/push.title.j2": "t",
        "templates/m/push.body.j2": "b",
    }
    first = TemplateSet(files).render("m", "sms", {})
    assert first == Rendered({"text": "a"}, TemplateSet(files).digest("m", "sms"))
    other = TemplateSet({**files, "templates/m/push.title.j2": "u"})
    assert other.digest("m", "sms") == first.digest
    assert other.digest("m", "push") != TemplateSet(files).digest("m", "push")


def test_messages_channels_and_parts_are_listed() -> None:
    templates = TemplateSet({"templates/b/sms.text.j2": "", "templates/a/push.body.j2": "", "README": ""})
    assert templates.messages() == ("a", "b")
    assert templates.channels("a") == ("push",)
    assert templates.parts("b", "sms") == {"text": "templates/b/sms.text.j2"}


def test_a_missing_template_is_a_render_error() -> None:
    with pytest.raises(RenderError, match="templates/m/sms"):
        TemplateSet({}).render("m", "sms", {})
