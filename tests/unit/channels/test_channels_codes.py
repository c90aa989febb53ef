"""Tables of providers' codes."""

from __future__ import annotations

from datetime import timedelta

import pytest

from channels import Answer, Rejected, Throttled, Unavailable, Unknown
from channels.codes import DOWN, PERHAPS, Meaning, later, meaning, refused, told, word
from channels.receipt import Reason

CODES: dict[str, Meaning] = {
    "Limit": refused(Reason.QUOTA),
    "Limit.Short": later(30),
    "Gone": refused(Reason.ADDRESS_UNKNOWN, permanent=True),
    "Stopped": refused(Reason.OPTED_OUT, opt_out=True),
    "Down": DOWN,
    "Lost": PERHAPS,
}


def answer(status: int = 400, retry_after: str | None = None) -> Answer:
    return Answer(status, {} if retry_after is None else {"retry-after": retry_after}, b"their words")


@pytest.mark.parametrize(
    ("code", "found"),
    [
        ("Limit", "Limit"),
        ("Limit.Short", "Limit.Short"),
        ("Limit.Long.Very", "Limit"),
        ("Other.Limit", None),
        ("", None),
    ],
)
def test_a_code_that_is_not_listed_counts_as_its_family(code: str, found: str | None) -> None:
    assert meaning(CODES, code) == (None if found is None else CODES[found])


def test_what_is_told() -> None:
    gone = told(CODES, answer(), "Gone")
    assert gone == Rejected(
        Reason.ADDRESS_UNKNOWN, "HTTP 400 Gone", permanent=True, raw="HTTP 400 their words"
    )
    stopped = told(CODES, answer(), "Stopped")
    assert isinstance(stopped, Rejected)
    assert stopped.opt_out
    assert isinstance(told(CODES, answer(200), "Down"), Unavailable)
    assert isinstance(told(CODES, answer(200), "Lost"), Unknown)


def test_a_pause_is_the_answer_s_or_else_the_code_s() -> None:
    for asked, seconds in ((None, 30), ("7", 7)):
        outcome = told(CODES, answer(retry_after=asked), "Limit.Short")
        assert isinstance(outcome, Throttled)
        assert outcome.retry_after == timedelta(seconds=seconds)


def test_without_a_known_code_the_status_decides() -> None:
    assert isinstance(told(CODES, answer(503), "NeverSeen"), Unavailable)
    assert isinstance(told(CODES, answer(429), None), Throttled)
    assert told(CODES, answer(200), "NeverSeen") is None


@pytest.mark.parametrize(
    ("code", "shown"),
    [
        ("isv.SMS_X", "isv.SMS_X"),
        (20003, "20003"),
        ("-1", "-1"),
        ("MK:0001", "MK:0001"),
        ("mei@example.net", ""),
        ("13800000000", ""),
        ("two words", ""),
        ("x" * 99, ""),
        (True, ""),
        (None, ""),
        ({}, ""),
    ],
)
def test_only_what_looks_like_a_code_is_shown(code: object, shown: str) -> None:
    assert word(code) == shown
