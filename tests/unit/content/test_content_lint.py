"""What providers and mail programs would say, said before."""

from __future__ import annotations

from dataclasses import replace

import pytest

from engine.content import Rules, TemplateProblem, TemplateScope, TemplateSet, check_message

SCOPE = TemplateScope(
    profile={"first_name": "text", "points": "number", "tier": "text", "born": "date"},
    trigger={"items": "list", "note": "text", "tracking_url": "text", "total": "number"},
    answers=frozenset({"quote"}),
    extents={"profile.tier": 6, "trigger.items": 4, "trigger.note": 60, "brand.name": 10},
    certain=frozenset({"profile.points"}),
)
MAINLAND = Rules(
    adapter="aliyun_sms",
    mainland=True,
    signature="【Tea】",
    approved=(
        "Your parcel is on its way: {how} 拒收请回复R",
        "{name}, sale until {day} 拒收请回复R",
    ),
)


def found(files: dict[str, str], channel: str = "sms", rules: Rules | None = None) -> list[TemplateProblem]:
    files = {f"templates/m/{channel}.{part}.j2": text for part, text in files.items()}
    scope = SCOPE if rules is None else replace(SCOPE, rules=rules)
    return check_message(TemplateSet(files), "m", channel, scope)


def sms(text: str, rules: Rules | None = None) -> list[str]:
    return [each.code for each in found({"text": text}, rules=rules)]


def test_segments_are_counted_with_values_at_their_longest() -> None:
    rules = Rules(most_segments=1, price=0.05, currency="CNY")
    (told,) = found({"text": "x" * 11 + "{{ trigger.note }}"}, rules=rules)
    assert (told.code, told.severity) == ("segments", "warning")
    assert "2 segments (71 characters, values at their longest): 0.1 CNY a message" in told.message
    assert sms("x" * 10 + "{{ trigger.note }}", rules) == []


@pytest.mark.parametrize(
    ("text", "characters"),
    [
        ("{{ profile.first_name | default('x') }}", 20),
        ("{{ profile.first_name | default('a longer default than that') }}", 26),
        ("{{ profile.tier | default('') | upper }}", 6),
        ("{{ profile.points }}", 10),
        ("{{ profile.born | date('%d.%m.') | default('') }}", 6),
        ("{{ trigger.note | truncate(12, true, '', 0) }}", 12),
        ("{{ 'ab' if profile.points else trigger.note }}", 60),
        ("{{ profile.tier ~ '!' if profile.tier }}", 7),
        ("{% set n = profile.tier | default('') %}{{ n }}{{ n }}", 12),
        ("{% if profile.points %}abc{% else %}{{ trigger.note }}{% endif %}", 60),
        ("{% for i in trigger.items %}{{ loop.index }}ab{% endfor %}", 16),
        ("{% for i in trigger.items[:2] %}ab{% endfor %}", 4),
        ("{% for i in range(3) %}ab{% endfor %}", 6),
        ("{{ links.unsubscribe }}", 40),
        ("{{ brand.name }}", 10),
        ("{{ trigger.total * 2 }}", 10),
    ],
)
def test_how_long_a_value_may_be(text: str, characters: int) -> None:
    rules = Rules(most_segments=1, mainland=True, category="transactional")
    at_most = "x" * (70 - characters)
    assert "segments" not in sms(at_most + text, rules)
    assert "segments" in sms(at_most + "x" + text, rules)


def test_a_text_whose_declared_values_make_it_too_long_is_a_mistake() -> None:
    assert "too-long" in sms("{{ trigger.note }}" * 9)
    assert "too-long" not in sms("{{ profile.first_name | default('') }}" * 30)


def test_mainland_texts_need_the_way_out_and_their_own_signature() -> None:
    rules = replace(MAINLAND, approved=())
    assert sms("New tea. 拒收请回复R", rules) == []
    assert sms("New tea. 回T退订", rules) == []
    assert sms("【Tea】New tea. 拒收请回复R", rules) == []
    assert sms("New tea.", rules) == ["opt-out"]
    assert sms("{% if profile.points %}New tea.{% endif %} 拒收请回复R", rules) == []
    assert sms("New tea. {% if profile.points %}拒收请回复R{% endif %}", rules) == ["opt-out"]
    assert sms("【Coffee】New tea. 拒收请回复R", rules) == ["signature"]
    assert sms("New tea.", replace(rules, category="transactional")) == []
    assert sms("New tea.", Rules(adapter="twilio")) == []


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("Your parcel is on its way: {{ trigger.note }} 拒收请回复R", []),
        ("【Tea】Your parcel is on its way: by post 拒收请回复R", []),
        ("{{ trigger.note }}, sale until Sunday 拒收请回复R", []),
        ("Your parcel is on the way: by post 拒收请回复R", ["not-approved"]),
        ("Your parcel is on its way: {{ trigger.tracking_url }} 拒收请回复R", ["url-in-variable"]),
        ("Your parcel is on its way: {{ links.unsubscribe }} 拒收请回复R", ["url-in-variable"]),
        ("Your parcel is on its way: https://e.com 拒收请回复R", ["url-in-variable"]),
        ("{% for i in trigger.items %}x{% endfor %}", []),
    ],
)
def test_mainland_texts_fit_an_approved_one(text: str, codes: list[str]) -> None:
    assert sms(text, MAINLAND) == codes


def fields(data: str, **rules: object) -> list[tuple[str, str]]:
    source = '{"template_id": "t", "data": {\n' + data + "}}"
    told = found({"json": source}, "miniprogram", Rules(**rules))  # type: ignore[arg-type]
    return [(each.code, each.severity) for each in told]


@pytest.mark.parametrize(
    ("data", "result"),
    [
        ('"thing1": {"value": "Twenty characters ok"}', None),
        ('"thing1": {"value": "Twenty-one characters"}', "error"),
        ('"thing1": {"value": "{{ trigger.note }}"}', "error"),
        ('"thing1": {"value": "{{ profile.first_name | default(\'x\') }}!"}', "warning"),
        ('"thing1": {"value": "{{ trigger.note | truncate(20, true, \'…\', 0) }}"}', None),
        ('"thing1": {"value": {{ trigger.note | tojson }} }', "error"),
        ('"thing1": {"value": "a\\nb"}', "error"),
        ('"number2": {"value": "{{ trigger.total }}"}', None),
        ('"number2": {"value": "{{ trigger.total }} yuan"}', "error"),
        ('"number2": {"value": "{{ profile.tier | default(\'\') }}"}', "warning"),
        ('"amount3": {"value": "¥{{ trigger.total }}"}', None),
        ('"character_string4": {"value": "订单"}', "error"),
        ('"phrase5": {"value": "已经发货"}', None),
        ('"phrase5": {"value": "shipped"}', "error"),
        ('"name6": {"value": "Li 李"}', "error"),
        ('"name6": {"value": "李李李李李李李李李李李"}', "error"),
        ('"something": {"value": "any"}', None),
        ('{% if profile.points %}"thing1": {"value": "Twenty-one characters"}{% endif %}', None),
    ],
)
def test_fields_keep_the_rules_of_their_kinds(data: str, result: str | None) -> None:
    assert fields(data) == ([] if result is None else [("field", result)])


def test_a_field_is_told_with_its_line() -> None:
    source = '{"template_id": "t",\n"data": {\n  "phrase1": {"value": "x"}}}'
    (told,) = found({"json": source}, "wechat")
    assert told.line == 3


def test_a_template_message_may_not_advertise() -> None:
    source = '{"template_id": "t", "data": {}}'
    real = Rules(adapter="wechat")
    assert [each.code for each in found({"json": source}, "wechat", real)] == ["advertising"]
    assert found({"json": source}, "wechat", replace(real, category="transactional")) == []
    assert found({"json": source}, "wechat", Rules()) == []
    assert found({"json": source[:-1] + ', "kind": "subscribe"}'}, "wechat", real) == []


def mail(html: str, text: str | None = None, rules: Rules | None = None) -> list[str]:
    parts = {"subject": "Hi", "html": html} | ({} if text is None else {"text": text})
    return [each.code for each in found(parts, "email", rules)]


def test_a_marketing_mail_tells_the_way_out_in_each_part() -> None:
    real = Rules(adapter="smtp")
    link = "<a href='{{ links.unsubscribe }}'>out</a>"
    assert mail("<p>Hi</p>", rules=real) == ["no-way-out"]
    assert mail("<p>Hi</p>" + link, rules=real) == []
    assert mail("<p>Hi</p>" + link, "Hi", real) == ["no-way-out"]
    assert mail("<p>Hi</p>" + link, "Hi {{ links['preferences'] }}", real) == []
    assert mail("<p>Hi</p>", rules=replace(real, category="transactional")) == []
    assert mail("<p>Hi</p>") == []


def test_html_is_measured_with_its_loops() -> None:
    row = "<p>" + "x" * 26_500 + "</p>"
    loop = "{% for i in trigger.items %}" + row + "{% endfor %}"
    assert mail(loop) == ["html-size"]
    assert mail(loop, rules=Rules(html_kilobytes=110)) == []


def test_a_picture_without_words_leaves_no_text() -> None:
    assert mail("<img src='x'>") == ["no-text"]
    assert mail("<img src='x' alt='Sale'>") == []
    assert mail("<img src='x'>", "Sale") == []


def test_styles_that_cannot_be_written_in_once_are_told_with_the_reason() -> None:
    html = "<style>.a {color: red}</style><p class='{{ trigger.note }}'>x</p>"
    (told,) = found({"subject": "Hi", "html": html}, "email")
    assert (told.code, told.severity) == ("styles", "warning")
    assert "{{ trigger.note }}" in told.message


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{{ profile.first_name }}", True),
        ("{{ profile['first_name'] | upper }}", True),
        ("{{ answers.quote.price }}", True),
        ("{{ profile.points }}", False),
        ("{{ trigger.note }}", False),
        ("{{ profile.first_name | default('you') }}", False),
        ("{{ profile.first_name or 'you' }}", False),
        ("{% if profile.first_name %}{{ profile.first_name }}{% endif %}", False),
        ("{{ profile.first_name if profile.first_name else 'you' }}", False),
        ("{{ 'a' if profile.tier == 'gold' else 'b' }}", False),
        ("{% if answers.quote %}{{ answers.quote.price }}{% endif %}", False),
    ],
)
def test_a_value_that_may_be_missing_is_told_where_nobody_asks(text: str, told: bool) -> None:
    codes = [each.code for each in found({"title": "x", "body": text}, "push")]
    assert codes == (["may-be-missing"] if told else [])
