from __future__ import annotations

import math

import pytest

from engine.api.body import parse, size_of
from engine.api.problems import Problem


def test_a_number_of_thousands_of_digits_is_left_to_its_own_event() -> None:
    assert parse(b"[1, %s, -0.5]" % (b"9" * 5000)) == [1, math.inf, -0.5]


def test_a_byte_order_mark_is_passed_over() -> None:
    assert parse(b"\xef\xbb\xbf{}") == {}


@pytest.mark.parametrize("body", [b"", b"{", b"{} {}", b"'a'", b"\xc3\x28", b"[" * 100_000])
def test_what_is_no_json_is_a_problem_of_the_sender(body: bytes) -> None:
    with pytest.raises(Problem) as raised:
        parse(body)
    assert (raised.value.status, raised.value.code) == (400, "malformed")


def test_the_size_of_an_event_is_its_compact_utf8() -> None:
    assert size_of({"a": "€", "b": [1, 2]}) == len('{"a":"€","b":[1,2]}'.encode())
    assert size_of("\ud800") == 5
