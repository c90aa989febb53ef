"""What `kairos find` shows."""

from __future__ import annotations

from datetime import UTC, datetime

from engine.cli.find import Person, person_lines
from engine.core.identity import customer_token, profile_key
from engine.store.profiles import Profile

AT = datetime(2026, 11, 11, tzinfo=UTC)


def test_the_token_to_search_for_in_temporal_is_shown() -> None:
    key = profile_key("external_id", "ann")
    profile = Profile(
        "a9ef8559",
        key,
        "ann",
        {},
        {},
        [],
        None,
        None,
        None,
        merged_into=None,
        created_at=AT,
        updated_at=AT,
        last_routed_at=None,
    )
    lines = list(person_lines(Person(profile, [], {}, [], [], [], [], {}, (None, None), [])))
    assert f'  in Temporal KairosCustomer = "{key[:16]}"' in lines
    assert customer_token(key) == key[:16]
