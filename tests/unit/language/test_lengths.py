"""Lengths as authors write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from engine.language.lengths import format_length, parse_length


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("45s", 45),
        ("90m", 5400),
        ("1h", 3600),
        ("2d", 172_800),
        ("1d12h", 129_600),
        ("2w", 1_209_600),
        ("0s", 0),
        ("", None),
        ("12", None),
        ("1h 30m", None),
        ("30m1h", None),
        ("1h1h", None),
        ("-1h", None),
        ("1.5h", None),
        ("1H", None),
        ("1y", None),
        ("1h\n", None),
        ("99999999d", None),
        ("9" * 5000 + "d", None),
        ("١d", None),
    ],
)
def test_lengths(text: str, seconds: int | None) -> None:
    assert parse_length(text) == (None if seconds is None else timedelta(seconds=seconds))


@pytest.mark.parametrize(
    ("text", "canonical"), [("90m", "1h30m"), ("2w", "14d"), ("0s", "0s"), ("1d12h", "1d12h")]
)
def test_a_canonical_length_means_the_same(text: str, canonical: str) -> None:
    length = parse_length(text)
    assert length is not None
    assert format_length(length) == canonical
    assert parse_length(canonical) == length
