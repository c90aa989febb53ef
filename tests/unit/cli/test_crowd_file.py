"""Lists of customers as people bring them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli.crowd_file import Line, read_list, write_rejects
from engine.store.crowd_members import Named

PROFILE = "10f3b2a1-4c5d-4e6f-8a9b-0123456789ab"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "people.csv"


def test_a_line_is_any_identifier_or_one_of_a_kind_or_a_profile(file: Path) -> None:
    file.write_text(f"c-1\n\n  ann@example.com \nwechat:o-1\n{PROFILE}\n")
    assert list(read_list(file)) == [
        Line(1, "c-1", Named("c-1")),
        Line(3, "ann@example.com", Named("ann@example.com")),
        Line(4, "wechat:o-1", Named("wechat:o-1", "wechat", "o-1")),
        Line(5, PROFILE, Named(PROFILE, profile_id=PROFILE)),
    ]


def test_a_header_says_which_column_counts_and_of_what_kind(file: Path) -> None:
    file.write_text('\ufeffname,email,external_id\n"Lee, Ann",ann@example.com,c-1\nBob,,c-2\n,,\n')
    assert list(read_list(file)) == [
        Line(2, "ann@example.com", Named(kind="email", value="ann@example.com")),
        Line(3, "Bob,,c-2", None, "there is no email on this line"),
    ]


def test_a_column_of_profile_ids_holds_nothing_else(file: Path) -> None:
    file.write_text(f"profile_id\n{PROFILE.upper()}\nc-1\n")
    assert list(read_list(file)) == [
        Line(2, PROFILE.upper(), Named(profile_id=PROFILE)),
        Line(3, "c-1", None, "expected the id of a profile"),
    ]


def test_an_empty_file_names_nobody(file: Path) -> None:
    file.write_text("")
    assert list(read_list(file)) == []


def test_lines_that_lead_to_nobody_stand_beside_the_list_with_the_reason(file: Path) -> None:
    file.write_text("external_id,name\nc-1,Ann\n,Bob\nc-3,Cy\nc-4,Di\n")
    rejects = write_rejects(file, read_list(file), {1: 0, 2: 3})
    assert rejects == file.with_name("people.rejects.csv")
    assert rejects.read_text().splitlines() == [
        "line,text,reason",
        '3,",Bob",there is no external_id on this line',
        "4,c-3,nobody is known as this",
        '5,c-4,"leads to 3 customers: say which with KIND:VALUE, or by profile id"',
    ]
    assert write_rejects(file, iter([Line(1, "c-1", Named("c-1"))]), {}) is None
