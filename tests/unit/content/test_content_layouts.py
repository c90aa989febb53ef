"""Layouts, blocks, locales and variants."""

from __future__ import annotations

from typing import Any

import pytest

from engine.content import (
    Folder,
    RenderError,
    TemplateScope,
    TemplateSet,
    check_message,
    check_paths,
)

SCOPE = TemplateScope(profile={"first_name": "text", "locale": "text"}, trigger={"items": "list"})
LAYOUT = "<html><body>{% block body %}nothing{% endblock %}{% include 'footer' %}</body></html>"
MAIL = {
    "templates/_layouts/letter.html.j2": LAYOUT,
    "templates/_blocks/footer.html.j2": "<hr>{{ brand.name }}",
    "templates/m/email.subject.j2": "Hi",
    "templates/m/email.html.j2": "{% extends 'letter' %}{% block body %}<p>Hello</p>{% endblock %}",
}


def html(files: dict[str, str], **context: Any) -> str:
    context = {"brand": {"name": "Tea"}, **context}
    return TemplateSet(files).render("m", "email", context).parts["html"]


def said(files: dict[str, str]) -> list[tuple[str, int, int, str]]:
    found = check_message(TemplateSet(files), "m", "email", SCOPE)
    return [(each.path, each.line, each.column, each.message) for each in found]


def test_a_message_stands_in_its_layout_with_the_blocks_of_all() -> None:
    assert html(MAIL) == "<html><body><p>Hello</p><hr>Tea</body></html>"
    assert said(MAIL) == []


def test_a_layout_may_have_a_layout_and_super_says_what_it_said() -> None:
    files = {
        **MAIL,
        "templates/_layouts/shop.html.j2": "{% extends 'letter' %}{% block body %}[shop]{% endblock %}",
        "templates/m/email.html.j2": "{% extends 'shop' %}{% block body %}{{ super() }}, mine{% endblock %}",
    }
    assert html(files) == "<html><body>[shop], mine<hr>Tea</body></html>"
    assert said(files) == []


def test_variables_set_beside_the_blocks_reach_the_layout_and_stay_inside_a_block() -> None:
    files = {
        **MAIL,
        "templates/_layouts/letter.html.j2": "{{ title }}|{% block body %}{% endblock %}|{{ title }}",
        "templates/m/email.html.j2": "{% extends 'letter' %}{% set title = 'T' %}"
        "{% block body %}{% set title = 'U' %}{{ title }}{% endblock %}",
    }
    assert html(files) == "T|U|T"
    assert said(files) == []


@pytest.mark.parametrize(
    ("template", "column", "message"),
    [
        ("{% extends 'lettr' %}", 4, "there is no layout `lettr`"),
        ("{% include 'x' %}", 4, "there is no block `x`"),
        ("{% include profile.first_name %}", 4, "a block is named in quotes"),
        ("Hi {% extends 'letter' %}", 7, "`extends` is the first thing"),
        ("{% include '../m/email' %}", 4, "there is no block"),
        ("{% include 'round' %}", 4, "it ends in itself"),
    ],
)
def test_what_cannot_be_put_in_is_a_mistake_with_its_place(template: str, column: int, message: str) -> None:
    files = {**MAIL, "templates/_blocks/round.html.j2": "{% include 'round' %}"}
    files["templates/m/email.html.j2"] = template
    (found,) = said(files)
    assert found[1:3] == (1, column)
    assert message in found[3]
    with pytest.raises(RenderError):
        html(files)


def test_a_mistake_in_a_block_is_told_at_the_block() -> None:
    files = {**MAIL, "templates/_blocks/footer.html.j2": "\n{{ brnd.name }}"}
    assert [each[:3] for each in said(files)] == [("templates/_blocks/footer.html.j2", 2, 4)]


def test_text_outside_the_blocks_is_pointed_out() -> None:
    files = {**MAIL, "templates/m/email.html.j2": MAIL["templates/m/email.html.j2"] + "\nBye"}
    (found,) = check_message(TemplateSet(files), "m", "email", SCOPE)
    assert (found.line, found.severity) == (2, "warning")


def test_blocks_that_double_and_double_are_refused() -> None:
    files = {**MAIL, "templates/m/email.html.j2": "{% include 'b0' %}"}
    for n in range(18):
        twice = f"{{% include 'b{n + 1}' %}}" * 2
        files[f"templates/_blocks/b{n}.html.j2"] = twice
    files["templates/_blocks/b18.html.j2"] = "xxxxxxxxxx"
    (found,) = said(files)
    assert "more than" in found[3]


def test_a_loop_over_a_block_is_paid_for() -> None:
    files = {
        **MAIL,
        "templates/_blocks/long.html.j2": "x" * 90_000,
        "templates/m/email.html.j2": "{% for i in range(9999) %}{% include 'long' %}{% endfor %}",
    }
    with pytest.raises(RenderError, match="grows"):
        html(files)


def test_the_digest_covers_layout_and_blocks() -> None:
    before = TemplateSet(MAIL).digest("m", "email")
    for path in ("templates/_layouts/letter.html.j2", "templates/_blocks/footer.html.j2"):
        assert TemplateSet({**MAIL, path: MAIL[path] + " "}).digest("m", "email") != before
    beside = {**MAIL, "templates/_blocks/other.html.j2": "x"}
    assert TemplateSet(beside).digest("m", "email") == before


LOCALES = {
    "templates/m/sms.text.j2": "other",
    "templates/m/zh/sms.text.j2": "zh",
    "templates/m/zh-Hant/sms.text.j2": "zh-Hant",
    "templates/m/de/sms.text.j2": "de",
}


@pytest.mark.parametrize(
    ("locale", "text"),
    [
        ("zh-Hant-TW", "zh-Hant"),
        ("zh-TW", "zh-Hant"),
        ("zh_hk", "zh-Hant"),
        ("zh-CN", "zh"),
        ("de-AT", "de"),
        ("fr", "de"),
        (None, "de"),
        ("nonsense", "de"),
    ],
)
def test_a_customer_gets_the_nearest_language(locale: str | None, text: str) -> None:
    templates = TemplateSet(LOCALES, "de-CH")
    assert templates.render("m", "sms", {"profile": {"locale": locale}}).parts["text"] == text


def test_what_is_in_no_locale_is_for_everybody_else() -> None:
    rendered = TemplateSet(LOCALES, "en").render("m", "sms", {"profile": {"locale": "fr"}})
    assert (rendered.parts["text"], rendered.variant) == ("other", None)


def test_a_block_speaks_the_language_of_the_message() -> None:
    files = {
        "templates/_blocks/bye.text.j2": "Bye",
        "templates/_blocks/zh/bye.text.j2": "再见",
        "templates/m/sms.text.j2": "Hi {% include 'bye' %}",
        "templates/m/zh-Hant/sms.text.j2": "嗨 {% include 'bye' %}",
    }
    templates = TemplateSet(files, "en")
    texts = [
        templates.render("m", "sms", {"profile": {"locale": locale}}).parts["text"]
        for locale in ("fr", "zh-TW")
    ]
    assert texts == ["Hi Bye", "嗨 再见"]


def test_a_message_in_some_languages_alone_needs_one_for_all_others() -> None:
    files = {"templates/m/zh/sms.text.j2": "zh"}
    for locale, codes in (("zh-CN", []), ("en", ["variant"])):
        found = check_message(TemplateSet(files, locale), "m", "sms", SCOPE)
        assert [each.code for each in found] == codes


VARIANTS = {
    "templates/m/sms.text.j2": "all",
    "templates/m/push.title.j2": "all",
    "templates/m/push.body.j2": "all",
    "templates/m/gold/sms.text.j2": "gold",
    "templates/m/gold/zh/sms.text.j2": "gold zh",
    "templates/m/new/push.title.j2": "new",
    "templates/m/new/push.body.j2": "new",
    "templates/m/generic/sms.text.j2": "generic",
}


@pytest.mark.parametrize(
    ("channel", "profile", "variants", "text", "label"),
    [
        ("sms", {}, (), "all", None),
        ("sms", {}, ("gold",), "gold", "gold"),
        ("sms", {"locale": "zh-CN"}, ("gold",), "gold zh", "gold/zh"),
        ("sms", {}, ("new", "gold"), "gold", "gold"),
        ("sms", {}, ("new",), "all", None),
        ("sms", {"personalise": False}, ("gold",), "generic", "generic"),
    ],
)
def test_the_first_variant_that_has_something_for_the_channel_counts(
    channel: str, profile: dict[str, Any], variants: tuple[str, ...], text: str, label: str | None
) -> None:
    templates = TemplateSet(VARIANTS, "en", {"m": ("gold", "new")})
    rendered = templates.render("m", channel, {"profile": profile}, variants)
    assert (rendered.parts["text"], rendered.variant) == (text, label)


def test_a_folder_that_is_no_locale_and_no_variant_is_found() -> None:
    files = {**VARIANTS, "templates/m/vip/sms.text.j2": "vip"}
    (found,) = check_paths(TemplateSet(files, "en", {"m": ("gold", "new")}))
    assert found.path == "templates/m/vip/sms.text.j2"
    assert "gold, new" in (found.hint or "")


def test_every_folder_is_checked_and_needs_all_parts() -> None:
    files = {**VARIANTS, "templates/m/gold/zh/sms.text.j2": "{{ profile.nme }}"}
    del files["templates/m/new/push.body.j2"]
    templates = TemplateSet(files, "en", {"m": ("gold", "new")})
    assert [each.code for each in check_message(templates, "m", "sms", SCOPE)] == ["unknown-property"]
    assert [each.code for each in check_message(templates, "m", "push", SCOPE)] == ["missing-part"]


def test_where_a_message_lies_is_told() -> None:
    templates = TemplateSet(VARIANTS, "en", {"m": ("gold", "new")})
    assert templates.chosen("m", "sms", "zh", ["gold"]) == Folder("gold", "zh")
    assert templates.chosen("m", "email") is None
    assert templates.channels("m") == ("push", "sms")
