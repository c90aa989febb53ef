"""The names of what people do at providers are the same in adapters, language and docs."""

from __future__ import annotations

import ast
import re
from pathlib import Path

from engine.language.catalogue import BUILT_IN_EVENTS, Catalogue, EventType, Property
from engine.language.channel_events import CHANNEL_EVENTS as EVENTS
from engine.language.channel_events import PERSONAL, REPLIES

ROOT = Path(__file__).parents[3]
WORDS = re.compile(r"(wechat|miniprogram|wecom|alipay|sms)\.[a-z_]+")


def named_by_adapters() -> set[str]:
    """Whole names in the code of adapters; `email.…` are also those of a provider."""
    found = set()
    for path in (ROOT / "channels").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and WORDS.fullmatch(node.value):
                found.add(node.value)
    return found


def test_the_language_knows_what_adapters_name() -> None:
    assert named_by_adapters() <= EVENTS.keys()
    assert len(named_by_adapters()) > 10
    assert EVENTS.keys() >= REPLIES
    assert not EVENTS.keys() & BUILT_IN_EVENTS.keys()


def test_the_page_of_channels_lists_them_with_their_properties() -> None:
    page = (ROOT / "docs" / "channels" / "README.md").read_text(encoding="utf-8")
    for name, properties in EVENTS.items():
        row = re.search(rf"^\| `{re.escape(name)}` \| ([^|]+) \|", page, re.MULTILINE)
        assert row is not None, name
        assert tuple(re.findall(r"`(\w+)`", row[1])) == properties


def test_one_that_the_catalogue_calls_otherwise_is_known_by_that_name_only() -> None:
    own = EventType("shop.followed", also_called=("wechat.followed",))
    catalogue = Catalogue(events={own.name: own})
    assert catalogue.event("wechat.followed") is None
    assert catalogue.canonical("wechat.followed") == "shop.followed"


def test_what_somebody_wrote_is_personal() -> None:
    found = Catalogue().event("sms.replied")
    assert found is not None
    assert found.properties["text"].personal
    assert {name for told in EVENTS.values() for name in told} >= PERSONAL


def test_one_that_is_declared_has_the_properties_of_both() -> None:
    own = EventType("wechat.followed", {"shop": Property("number"), "scene": Property("number")})
    found = Catalogue(events={own.name: own}).event("wechat.followed")
    assert found is not None
    assert {name: each.type for name, each in found.properties.items()} == {
        "scene": "number",
        "shop": "number",
    }
