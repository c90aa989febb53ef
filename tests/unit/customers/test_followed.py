"""What is followed, and when it means something else."""

from __future__ import annotations

from datetime import UTC, datetime

from engine.customers.followed import STAGE, meaning_of, to_follow
from engine.language.catalogue import Catalogue, read_catalogue
from engine.language.loader import load
from engine.store.derived import Followed

NOW = datetime(2026, 11, 11, tzinfo=UTC)
TEXT = """
events: {order.paid: {}}
tags: [staff, {name: rich, where: count("order.paid") > 1}]
segments:
  kept: {where: in_segment("inner"), history: true}
  inner: count("order.paid") > 0
  shut: {where: has_tag("staff"), history: false}
stages: [{name: aware}, {name: first, where: count("order.paid") > 0}]
"""


def catalogue(text: str = TEXT) -> Catalogue:
    return read_catalogue(load("journeys/catalog.yaml", text)[0])


def test_histories_stages_and_rules_are_followed() -> None:
    wanted = {("segment", "kept"), STAGE, ("tag", "rich")}
    assert to_follow(meaning_of(catalogue()), [], []) == wanted


def test_what_was_followed_stays_so_unless_it_says_no() -> None:
    found = to_follow(meaning_of(catalogue()), [], [("segment", "inner"), ("segment", "shut")])
    assert ("segment", "inner") in found
    assert ("segment", "shut") not in found


def test_a_definition_means_something_else_when_one_that_it_uses_does() -> None:
    one = meaning_of(catalogue())
    two = meaning_of(catalogue(TEXT.replace('inner: count("order.paid") > 0', 'inner: has_tag("staff")')))
    assert one.digests["segment", "kept"] != two.digests["segment", "kept"]
    assert one.digests["tag", "rich"] == two.digests["tag", "rich"]
    known = [Followed("segment", "kept", one.digests["segment", "kept"], True, NOW, NOW)]
    assert one.standing(known) == {("segment", "kept")}
    assert not two.standing(known)


def test_needs_reach_through_definitions() -> None:
    meaning = meaning_of(catalogue())
    assert set(meaning.needs(frozenset({("segment", "kept")})).history) == {"order.paid"}
