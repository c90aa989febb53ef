"""`kairos segment` and crowds by segment, as somebody types them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.integration.cli.conftest import CATALOGUE
from tests.integration.cli.test_commands import Kairos, OnDatabase, a_visit, kairos, on_database

__all__ = ["kairos", "on_database"]

SEGMENTS = """
segments:
  seen: count("page.viewed", "30d") > 0
  reached: in_segment("seen") and consent("email") and not has_tag("vip")
  testers: {list: true}
"""


@pytest.fixture
def shop(kairos: Kairos, on_database: OnDatabase, folder: Path) -> Kairos:
    (folder / "journeys/catalog.yaml").write_text(CATALOGUE + SEGMENTS)
    kairos("apply", "--yes")
    on_database(a_visit)
    return kairos


def test_a_segment_is_counted_and_shown(shop: Kairos) -> None:
    found = shop("segment", "count", "reached")
    assert (found["segment"], found["count"]) == ("reached", 1)
    assert shop("segment", "count", "testers", text=True) == "0 customers\n"
    assert shop("segment", "count", "--where", 'has_tag("vip")')["count"] == 0
    (profile,) = shop("segment", "preview", "reached", "--limit", "5")["profiles"]
    assert profile["external_id"] == "c1"
    assert "c1" in shop("segment", "preview", "seen", text=True)
    assert shop("segment", "preview", "testers", text=True) == "nobody\n"


def test_a_segment_is_explained(shop: Kairos) -> None:
    found = shop("segment", "explain", "reached")
    assert (found["everybody"], found["joined_by"], found["count"]) == (1, "and", 1)
    assert [part["part"] for part in found["parts"]] == [
        'in_segment("seen")',
        'consent("email")',
        'not has_tag("vip")',
    ]
    said = shop("segment", "explain", "--where", 'has_tag("vip") or consent("email")', text=True)
    assert said.splitlines() == [
        "alone  together",
        "    1         1  everybody",
        '    0         0  has_tag("vip")',
        '    1         1  or consent("email")',
    ]


def test_a_list_is_filled_from_a_file(shop: Kairos, folder: Path) -> None:
    (folder / "people.csv").write_text("email,name\nann@example.com,Ann\nbob@example.com,Bob\n,Cleo\n")
    found = shop("segment", "import", "testers", "people.csv")
    assert (found["added"], found["members"], found["unknown"]) == (1, 1, 2)
    assert (folder / "people.rejects.csv").read_text().splitlines() == [
        "line,text,reason",
        "3,bob@example.com,nobody is known as this",
        '4,",Cleo",there is no email on this line',
    ]
    assert shop("segment", "count", "testers")["count"] == 1
    (folder / "off.txt").write_text("c1\n")
    said = shop("segment", "import", "testers", "off.txt", "--remove", text=True)
    assert said == "1 customer taken off testers\n0 customers in it now\n"
    assert shop("segment", "import", "testers", "off.txt", "--replace")["members"] == 1


def test_what_is_wrong_is_said(shop: Kairos, folder: Path) -> None:
    (folder / "nobody.txt").write_text("x\n")
    (folder / "latin.csv").write_bytes(b"m\xfcller\n")
    assert "did you mean `testers`" in shop("segment", "count", "tester", code=2)
    assert "a segment, or --where" in shop("segment", "count", code=2)
    assert "a segment, or --where" in shop("segment", "explain", "seen", "--where", "true", code=2)
    assert "unknown tag `vpi`" in shop("segment", "preview", "--where", 'has_tag("vpi")', code=2)
    assert "is an expression" in shop("segment", "import", "seen", "nobody.txt", code=2)
    assert "nobody would be left" in shop("segment", "import", "testers", "nobody.txt", "--replace", code=2)
    assert "No such file" in shop("segment", "import", "testers", "nothing.txt", code=2)
    assert "UTF-8" in shop("segment", "import", "testers", "latin.csv", code=2)
    both = ("segment", "import", "testers", "nobody.txt", "--remove", "--replace")
    assert "not both" in shop(*both, code=2)


def test_a_crowd_is_asked_for_by_segment_or_condition(shop: Kairos) -> None:
    named = shop("enter", "called", "--segment", "reached", "--detach")
    assert (named["what"], named["segment"], named["status"]) == ("segment", "reached", "waiting")
    typed = shop("enter", "called", "--where", 'not has_tag("vip")', "--detach")
    assert (typed["segment"], typed["where"]) == (None, 'not has_tag("vip")')
    listed = shop("crowds", text=True)
    assert "segment reached" in listed
    assert 'where not has_tag("vip")' in listed
    assert "no segment `raeched`" in shop("enter", "called", "--segment", "raeched", code=2)
    assert "unknown tag" in shop("enter", "called", "--where", 'has_tag("x")', code=2)
