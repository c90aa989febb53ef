from __future__ import annotations

import contextlib
from datetime import UTC, datetime
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.api.paging import mark, unmark
from engine.api.problems import Problem

AT = datetime(2026, 11, 11, 10, 0, 0, 123456, tzinfo=UTC)
ID = "7f0c1f0e-5d0b-5c67-9d52-6b6169726f73"


def test_a_mark_gives_back_where_a_page_ended() -> None:
    assert unmark(mark(AT, ID, "step"), datetime, UUID, str) == (AT, ID, "step")
    assert unmark(mark(AT, 17), datetime, int) == (AT, 17)
    assert unmark(None, datetime) is None


@pytest.mark.parametrize(
    "wrong",
    [
        mark(AT, ID),
        mark(AT, "17"),
        mark(AT, True),
        mark(AT, 10**30),
        mark("2026-11-11T10:00:00", 17),
        mark("yesterday", 17),
        mark(),
        "",
        "x",
        "€",
    ],
)
def test_a_mark_of_another_list_is_refused(wrong: str) -> None:
    with pytest.raises(Problem) as raised:
        unmark(wrong, datetime, int)
    assert raised.value.code == "bad-page"


@given(st.text(max_size=400))
def test_no_text_breaks_a_page(text: str) -> None:
    with contextlib.suppress(Problem):
        unmark(text, datetime, UUID, str)
