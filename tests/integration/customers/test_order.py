"""The same calls in any order come to the same customers."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import example, given, settings
from hypothesis import strategies as st
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.ingest.intake import Rejected, accept
from engine.store.database import open_database

pytestmark = pytest.mark.integration
NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)
PHONES = ["+8613800138000", "+8613800138001", "+8613800138002"]


@dataclass(frozen=True)
class Customer:
    """A customer without what depends on who came first: the id and the key."""

    identities: frozenset[tuple[str, str]]
    attributes: str
    addresses: str
    external_id: str | None


async def customers(connection: AsyncConnection) -> set[Customer]:
    rows = await connection.execute(
        sa.text("""
            SELECT p.external_id, p.attributes::text AS attributes, p.addresses::text AS addresses,
                array_agg(i.kind || ':' || i.value) AS own
            FROM profiles p JOIN identities i ON i.profile_id = p.id
            WHERE p.merged_into IS NULL GROUP BY p.id
        """)
    )
    return {
        Customer(
            frozenset(tuple(each.split(":", 1)) for each in row.own),
            row.attributes,
            row.addresses,
            row.external_id,
        )
        for row in rows
    }


async def outcome(url: str, batches: Sequence[Sequence[dict[str, Any]]]) -> set[Customer]:
    """Who is there after these batches, in a database that is empty before them."""
    engine = open_database(url)
    try:
        async with engine.begin() as connection:
            for table in ("profiles", "identities", "identity_links", "events", "merges", "identity_reviews"):
                await connection.execute(sa.text(f"TRUNCATE {table}"))
        for batch in batches:
            results = await accept(engine, "shop", batch, NOON + timedelta(hours=1))
            assert not any(isinstance(result, Rejected) for result in results)
        async with engine.begin() as connection:
            found = await customers(connection)
            lost = await connection.execute(
                sa.text("""SELECT count(*) FROM events e WHERE NOT EXISTS (
                    SELECT 1 FROM profiles p WHERE p.id = e.profile_id AND p.merged_into IS NULL)""")
            )
            assert lost.scalar_one() == 0
        return found
    finally:
        await engine.dispose()


@st.composite
def calls(draw: st.DrawFn) -> list[dict[str, Any]]:
    """Calls of some people who share phones and devices, each at an instant of its own."""
    made = []
    count = draw(st.integers(1, 7))
    minutes = draw(st.permutations(range(count)))
    for number in range(count):
        call: dict[str, Any] = {
            "messageId": f"m{number}",
            "timestamp": (
                NOON + timedelta(minutes=minutes[number] // draw(st.sampled_from([1, 1, 3])))
            ).isoformat(),
        }
        user = draw(st.sampled_from([None, "c-1", "c-2", "c-3"]))
        visitor = draw(st.sampled_from([None, "a-1", "a-2", "a-3"]))
        if user:
            call["userId"] = user
        if visitor or not user:
            call["anonymousId"] = visitor or "a-1"
        what = draw(st.sampled_from(["identify", "identify", "alias", "track"]))
        if what == "alias":
            call |= {"type": "alias", "previousId": draw(st.sampled_from(["a-1", "a-2", "a-4"]))}
        elif what == "track":
            call |= {"type": "track", "event": "cart.updated"}
        else:
            traits = {
                "phone": st.sampled_from(PHONES),
                "member_number": st.sampled_from(["M1", "M2"]),
                "email": st.sampled_from(["a@example.com", "b@example.com"]),
                "tier": st.sampled_from(["gold", "silver", None]),
                "points": st.integers(0, 3),
            }
            call |= {"type": "identify", "traits": draw(st.fixed_dictionaries({}, optional=traits))}
        made.append(call)
    return made


def identify(number: int, user: str | None, visitor: str | None = None, **traits: Any) -> dict[str, Any]:
    who = {"userId": user, "anonymousId": visitor}
    return {
        "type": "identify",
        "messageId": f"m{number}",
        "timestamp": (NOON + timedelta(minutes=number)).isoformat(),
        "traits": traits,
        **{name: value for name, value in who.items() if value is not None},
    }


CONTESTED = [
    identify(1, "c-1", "a-1", phone=PHONES[0], tier="gold"),
    identify(2, "c-2", "a-1", phone=PHONES[0], tier="silver"),
    identify(3, None, "a-2", phone=PHONES[0], points=2),
]
SWITCHED = [
    identify(1, None, "a-1", phone=PHONES[0], points=1),
    identify(2, "c-2", None, phone=PHONES[0], tier="silver"),
    identify(3, "c-1", "a-1", phone=PHONES[0], tier="gold"),
]


TWO_NUMBERS = [
    identify(2, "c-1", None, member_number="M2"),
    identify(1, "c-1", None, phone=PHONES[0], points=0, member_number="M1"),
    identify(3, "c-3", "a-1", member_number="M2", phone=PHONES[0]),
]


SPOKE_ALONE = [
    identify(6, None, "a-1", phone=PHONES[0], points=0, tier="gold", member_number="M1"),
    identify(3, "c-2", None, phone=PHONES[0], points=0, member_number="M1"),
    identify(0, "c-2", "a-1", member_number="M2"),
]


@settings(max_examples=80)
@example(CONTESTED, list(reversed(range(3))), 1)
@example(CONTESTED, [1, 0, 2], 3)
@example(SWITCHED, [2, 1, 0], 1)
@example(SWITCHED, [1, 2, 0], 2)
@example(TWO_NUMBERS, [1, 2, 0], 1)
@example(TWO_NUMBERS, [2, 0, 1], 2)
@example(SPOKE_ALONE, [0, 1, 2], 3)
@example(SPOKE_ALONE, [2, 1, 0], 2)
@given(calls(), st.permutations(range(7)), st.integers(1, 3))
def test_the_same_calls_in_any_order_give_the_same_customers(
    database_url_of_run: Callable[[], str], made: list[dict[str, Any]], order: list[int], size: int
) -> None:
    url = database_url_of_run()
    other = [made[place] for place in order if place < len(made)]
    together = [other[start : start + size] for start in range(0, len(other), size)]

    async def both() -> None:
        expected = await outcome(url, [[call] for call in made])
        found = await outcome(url, together)
        assert found == expected

    asyncio.run(both())


@pytest.fixture(scope="module")
def database_url_of_run(new_database: Callable[[], str]) -> Callable[[], str]:
    """One database for all examples, each of which empties it."""
    url = new_database()
    return lambda: url
