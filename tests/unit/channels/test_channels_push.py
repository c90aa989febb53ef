"""What adapters for push share."""

from __future__ import annotations

import pytest

from channels import Rejected
from channels.push import collapse_id, title_and_body
from tests.unit.channels.calls import message


def test_a_title_may_be_missing_but_not_the_body() -> None:
    assert title_and_body(message(parts={"title": " Tea ", "body": "ready\n"})) == ("Tea", "ready")
    assert title_and_body(message(parts={"body": "ready"})) == ("", "ready")
    with pytest.raises(Rejected, match="part body"):
        title_and_body(message(parts={"title": "Tea", "body": " "}))


def test_a_key_that_is_short_enough_names_the_notification_itself() -> None:
    assert collapse_id("k" * 64) == "k" * 64
    assert len(collapse_id("k" * 65)) == 64
    assert collapse_id("k" * 65) != collapse_id("k" * 66)
