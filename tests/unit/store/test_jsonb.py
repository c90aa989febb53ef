from __future__ import annotations

import json
from typing import Any

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
