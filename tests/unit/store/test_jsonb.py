from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.store import jsonb

ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=[])), inner),
    max_leaves=10,
)


@given(ANY_JSON)
def test_what_comes_out_is_what_postgresql_takes(value: Any) -> None:
    text = jsonb.dumps(value)
    text.encode()
    json.loads(text, parse_constant=lambda name: (_ for _ in ()).throw(AssertionError(name)))
    assert "\x00" not in json.dumps(jsonb.loads(text), ensure_ascii=False)


def test_odd_characters_are_taken_out_and_the_rest_stays() -> None:
    assert jsonb.loads(jsonb.dumps({"a\x00b": ["x\ud800y", float("nan"), "茶🍵", "\\u0000"]})) == {
        "ab": ["x\ufffdy", None, "茶🍵", "\\u0000"]
    }


@pytest.mark.parametrize(
    "text", ["12345678901234567890123", "1e400", '{"a": [9223372036854775808, 1.5, "ä"]}']
)
def test_numbers_come_back_as_they_were_stored(text: str) -> None:
    assert jsonb.loads(text) == json.loads(text) == jsonb.loads(text.encode())


def test_rows_hold_instants_and_dates_as_iso_text() -> None:
    at = datetime(2026, 11, 11, 10, 0, 0, 5, tzinfo=UTC)
    rows = [{"at": at, "day": at.date(), "text": "a\x00b", "n": None}]
    expected = [{"at": at.isoformat(), "day": "2026-11-11", "text": "ab", "n": None}]
    assert json.loads(jsonb.dump_rows(rows)) == expected
    assert json.loads(jsonb.dump_rows([{"at": at}])) == [{"at": at.isoformat()}]
