from __future__ import annotations

import pytest

from engine.store.outbox import OutboxMessage
from engine.web.entrance import _inside
from engine.web.pages import _worded
from engine.web.views import view_of


@pytest.mark.parametrize(
    ("channel", "parts", "look", "rest"),
    [
        ("email", {"subject": "S", "text": "T", "html": "H"}, "email", {}),
        ("sms", {"text": "T"}, "sms", {}),
        ("push", {"title": "T", "body": "B", "link": "L"}, "push", {"link": "L"}),
        ("wechat", {"json": "{}"}, "json", {}),
        ("own", {"json": "{}"}, "json", {}),
        ("own", {"note": "N"}, "other", {"note": "N"}),
    ],
)
def test_each_channel_has_its_look(channel: str, parts: dict[str, str], look: str, rest: object) -> None:
    view = view_of(OutboxMessage("k", channel, "someone", parts))
    assert (view.look, view.rest) == (look, rest)


def test_json_is_indented_and_anything_else_left_alone() -> None:
    for text, shown in (('{"a":"购"}', '{\n  "a": "购"\n}'), ("{", "{"), ("[" * 50_000, "[" * 50_000)):
        assert view_of(OutboxMessage("k", "wechat", "someone", {"json": text})).parts["json"] == shown


@pytest.mark.parametrize("path", ["", "//evil.example", "/\\evil.example", "https://evil.example", "/a\r\nb"])
def test_the_way_back_after_the_form_never_leaves(path: str) -> None:
    assert _inside(path) == "/outbox"
    assert _inside("/journeys?x=1") == "/journeys?x=1"


def test_names_in_words_are_marked_and_escaped() -> None:
    assert _worded("`a<b` sent") == "<code>a&lt;b</code> sent"
