"""`kairos tag`, `kairos recompute`, `kairos segment history` and what `kairos find` says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli.test_commands import Kairos, OnDatabase, a_visit, kairos, on_database

__all__ = ["kairos", "on_database"]

CATALOGUE = """
events:
  order.paid: {properties: {total: number}}
  page.viewed: {}
tags:
  - vip
  - {name: warm, expires: 30d}
  - {name: seen, where: 'count("page.viewed") > 0'}
segments:
  friends: {where: has_tag("vip"), history: true}
  lookers: {where: has_tag("seen"), history: true}
  others: not has_tag("vip")
stages:
  - {name: aware}
  - {name: interested, where: 'count("page.viewed") > 0'}
"""


@pytest.fixture
def shop(kairos: Kairos, on_database: OnDatabase, folder: Path) -> Kairos:
    (folder / "journeys/catalog.yaml").write_text(CATALOGUE)
    kairos("apply", "--yes")
    on_database(a_visit)
    return kairos


def test_everybody_is_looked_at_and_it_is_said_what_changed(shop: Kairos) -> None:
    found = shop("recompute")  # the router was there before
    assert {(d["came"], d["went"]) for d in found["done"]} == {(0, 0)}
    found = shop("recompute", "--afresh")
    told = {(d["kind"], d["name"]): (d["came"], d["quiet"]) for d in found["done"]}
    assert told == {
        ("tag", "seen"): (0, True),
        ("segment", "friends"): (0, True),
        ("segment", "lookers"): (1, True),
        ("stage", ""): (1, True),
    }
    said = shop("recompute", "stages", text=True).splitlines()
    assert said[0].startswith("as of ")
    assert said[1:] == ["  stages: 0 changes"]
    shop("recompute", "--as-of", "2020-01-01", code=2)
    first = shop("recompute", "segments", "--as-of", "2020-01-01", "--afresh")
    assert first["as_of"].startswith("2020-01-01T00:00:00")


def test_a_tag_is_given_and_taken_and_shown_with_its_source(shop: Kairos) -> None:
    assert shop("tag", "add", "vip", "c1", "--expires", "30d", text=True) == "1 customer given vip\n"
    shop("tag", "add", "warm", "c1")
    shop("recompute")
    [person] = shop("find", "c1")
    assert person["tags"] == ["seen", "vip", "warm"]
    given = {grant["tag"]: grant for grant in person["grants"]}
    assert given["seen"]["source"] == "rule"
    assert given["vip"]["expires_at"] is not None
    assert given["warm"]["expires_at"] is not None
    assert set(person["segments"]) == {"friends", "lookers"}
    assert (person["stage"], person["stage_since"] is None) == ("interested", False)
    page = shop("find", "c1", text=True)
    assert "seen (rule)" in page
    assert "interested since" in page
    assert shop("tag", "remove", "vip", "c1")["tag"] == "vip"
    assert shop("find", "c1")[0]["tags"] == ["seen", "warm"]


@pytest.mark.parametrize(
    "arguments",
    [
        ("tag", "add", "seen", "c1"),
        ("tag", "remove", "seen", "c1"),
        ("tag", "add", "vipp", "c1"),
        ("tag", "add", "vip", "c1", "--expires", "soon"),
        ("tag", "add", "vip", "nobody"),
        ("recompute", "--as-of", "soon"),
    ],
)
def test_what_cannot_be_done_is_said(shop: Kairos, arguments: tuple[str, ...]) -> None:
    shop(*arguments, code=2)


def test_a_history_is_shown_the_last_first(shop: Kairos) -> None:
    shop("tag", "add", "vip", "c1")
    shop("recompute")
    found = shop("segment", "history", "friends")
    assert (found["members"], [each["change"] for each in found["changes"]]) == (1, ["entered"])
    said = shop("segment", "history", "friends", text=True)
    assert said.startswith("1 customer in it; followed since ")
    assert "entered  c1" in said
    assert shop("segment", "history", "others", text=True).startswith("others is not followed")
