"""Who is not to be written to personally gets the generic variant."""

from __future__ import annotations

from typing import Any

import pytest

from engine.content import RenderError, TemplateScope, TemplateSet, check_message, check_paths

OWN = "templates/m/sms.text.j2"
GENERIC = "templates/m/generic/sms.text.j2"
PRIVATE: dict[str, Any] = {"first_name": "Ada", "locale": "en", "personalise": False}


def render(files: dict[str, str], profile: dict[str, Any]) -> str:
    return TemplateSet(files).render("m", "sms", {"profile": profile, "trigger": {"total": 5}}).parts["text"]


def test_the_generic_variant_is_for_those_who_asked_for_it_alone() -> None:
    files = {OWN: "Hi {{ profile.first_name }}", GENERIC: "Hello {{ profile.locale }}, {{ trigger.total }}"}
    assert render(files, PRIVATE) == "Hello en, 5"
    for word in (True, None):
        assert render(files, PRIVATE | {"personalise": word}) == "Hi Ada"


def test_without_a_variant_of_its_own_the_message_shows_nothing_of_the_profile() -> None:
    assert render({OWN: "Hi {{ profile.first_name | default('you') }}"}, PRIVATE) == "Hi you"
    with pytest.raises(RenderError, match="first_name"):
        render({OWN: "Hi {{ profile.first_name }}"}, PRIVATE)


def test_each_variant_has_a_digest_of_its_own() -> None:
    templates = TemplateSet({OWN: "Hi", GENERIC: "Hello"})
    plain, private = (templates.render("m", "sms", {"profile": p}) for p in ({}, PRIVATE))
    assert plain.digest == TemplateSet({OWN: "Hi"}).digest("m", "sms")
    assert private.digest not in (plain.digest, TemplateSet({}).digest("m", "sms"))
    assert templates.channels("m") == ("sms",)
    assert templates.parts("m", "sms") == {"text": OWN}


def test_the_check_looks_into_the_variant_too() -> None:
    files = {
        "templates/m/email.subject.j2": "Hi {{ profile.first_name }}",
        "templates/m/email.text.j2": "Hi",
        "templates/m/generic/email.subject.j2": "Hi {{ profile.first_name }} {{ profile.locale }}",
        "templates/m/generic/sms.text.j2": "Hi",
        "templates/m/generic/deeper/sms.text.j2": "Hi",
    }
    templates = TemplateSet(files)
    scope = TemplateScope(profile={"first_name": "text", "locale": "text"})
    assert [
        (each.path, each.code)
        for each in check_message(templates, "m", "email", scope)
        if each.severity == "error"
    ] == [
        ("templates/m/generic/email.subject.j2", "unknown-property"),
        ("templates/m/generic/email.text.j2", "missing-part"),
    ]
    assert [(each.path, each.code) for each in check_paths(templates)] == [
        ("templates/m/generic/deeper/sms.text.j2", "unknown-part"),
        ("templates/m/generic/sms.text.j2", "missing-part"),
    ]
