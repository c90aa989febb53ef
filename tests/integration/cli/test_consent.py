"""`kairos consent`, as somebody types it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli.test_commands import Kairos, OnDatabase, a_visit, kairos, on_database

__all__ = ["kairos", "on_database"]


@pytest.fixture
def shop(kairos: Kairos, on_database: OnDatabase, folder: Path) -> Kairos:
    (folder / "kairos.yaml").write_text("time_zone: UTC\nconsent: {purposes: [newsletter]}\n")
    kairos("apply", "--yes")
    on_database(a_visit)
    return kairos


def test_a_word_is_recorded_and_shown(shop: Kairos) -> None:
    words = ("--purpose", "newsletter", "--source", "call", "--text-version", "v2")
    kept = shop("consent", "withdraw", "c1", "email", *words)
    assert (kept["granted"], kept["channel"], kept["purpose"]) == (False, "email", "newsletter")
    found = shop("consent", "show", "ann@example.com")
    assert [(each["granted"], each["source"], each["text_version"]) for each in found["ledger"]] == [
        (True, "test", None),
        (False, "call", "v2"),
    ]
    assert [(each["purpose"], each["granted"]) for each in found["now"]] == [
        ("*", True),
        ("newsletter", False),
    ]
    shop("consent", "grant", "c1", "marketing", "--at", "2020-01-01T10:00Z")
    said = shop("consent", "show", "c1", text=True).splitlines()
    assert said[0].split() == ["at", "said", "channel", "purpose", "category", "text", "source"]
    assert said[1].split() == ["2020-01-01", "10:00:00", "yes", "*", "*", "marketing", "-", "operator"]
    assert said[-3:] == [
        "marketing, every channel: yes",
        "marketing, email: yes",
        "marketing, email for newsletter: no",
    ]
    assert shop("consent", "withdraw", "c1", "email:newsletter", text=True) == (
        "no to email for newsletter, marketing\n"
    )


def test_what_cannot_be_recorded_is_said(shop: Kairos) -> None:
    assert "unknown purpose `offers`" in shop(
        "consent", "grant", "c1", "email", "--purpose", "offers", code=2
    )
    assert "no instant" in shop("consent", "grant", "c1", "email", "--at", "soon", code=2)
    assert "not come yet" in shop("consent", "grant", "c1", "email", "--at", "2999-01-01T00:00Z", code=2)
    assert "nobody is known" in shop("consent", "show", "c9", code=2)
