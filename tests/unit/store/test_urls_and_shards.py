from __future__ import annotations

import uuid
from collections import Counter
from datetime import UTC, date, datetime, timedelta, timezone

import pytest

from engine.store.consents import CurrentConsents
from engine.store.database import DatabaseError, async_url
from engine.store.enrolments import entry_month
from engine.store.shards import shard_of


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+asyncpg"])
def test_addresses_are_taken_as_hosting_services_write_them(scheme: str) -> None:
    assert async_url(f"{scheme}://u:p@db/kairos") == "postgresql+asyncpg://u:p@db/kairos"


def test_another_kind_of_database_is_refused_with_an_example() -> None:
    with pytest.raises(DatabaseError, match="for example postgresql://"):
        async_url("mysql://root@db/kairos")


def test_profiles_spread_over_all_shards() -> None:
    counts = Counter(shard_of(str(uuid.uuid4())) for _ in range(6400))
    assert set(counts) == set(range(64))
    assert max(counts.values()) < 200


def test_the_month_of_entry_is_that_of_utc() -> None:
    in_shanghai = datetime(2026, 12, 1, 3, tzinfo=timezone(timedelta(hours=8)))
    assert entry_month(in_shanghai) == date(2026, 11, 1)


def test_a_word_on_all_channels_counts_until_a_channel_has_a_later_one() -> None:
    noon = datetime(2026, 1, 1, 12, tzinfo=UTC)
    consents = CurrentConsents(
        {
            ("marketing", "*", "*"): (True, noon, 2),
            ("marketing", "sms", "*"): (False, noon + timedelta(minutes=1), 3),
            ("marketing", "email", "*"): (False, noon, 1),
        }
    )
    assert consents.channels() == {"*": True, "sms": False, "email": True}
    assert consents.granted("push") is True
    assert consents.granted("push", "transactional") is None
