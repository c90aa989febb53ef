"""Customers of the pool's benchmarks: always the same for the same seed, brought in by `COPY`.

Each has a phone and consents to marketing; nine of ten have a first name.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from uuid import UUID

import asyncpg

from engine.core.identity import profile_key
from engine.store import jsonb

SEED = 4
SLICE = 20_000
NAMES = ("Ann", "Bo", "Chen", "Dora", "Eko", "Fatima", "Gu", "Hana", "Ivo", "Jia", "Kofi", "Lena")
GRANTED_AT = datetime(2026, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Person:
    """A customer. `first_name` None: not known."""

    profile_id: UUID
    external_id: str
    key: str
    phone: str = field(repr=False)
    first_name: str | None = field(repr=False)


def people(count: int, seed: int = SEED) -> Iterator[Person]:
    """The first `count` customers."""
    chance = random.Random(seed)
    for number in range(count):
        external_id = f"person-{number}"
        yield Person(
            profile_id=UUID(int=chance.getrandbits(128), version=4),
            external_id=external_id,
            key=profile_key("external_id", external_id),
            phone=f"+86139{number:08}",
            first_name=None if chance.random() < 0.1 else chance.choice(NAMES),
        )


async def bring(connection: asyncpg.Connection, count: int, channel: str = "sms") -> None:
    """Brings customers into an empty database; they consent to marketing on this channel."""
    slice_: list[Person] = []
    for person in people(count):
        slice_.append(person)
        if len(slice_) == SLICE:
            await _copy(connection, slice_, channel)
            slice_ = []
    await _copy(connection, slice_, channel)
    # They have been there for long: the server knows how its tables look.
    await connection.execute("VACUUM (ANALYZE) profiles, identities, consents")


async def _copy(connection: asyncpg.Connection, slice_: Sequence[Person], channel: str) -> None:
    await connection.copy_records_to_table(
        "profiles",
        columns=["id", "key", "external_id", "addresses", "attributes"],
        records=[
            (p.profile_id, p.key, p.external_id, jsonb.dumps({"phone": p.phone}), _attributes(p))
            for p in slice_
        ],
    )
    await connection.copy_records_to_table(
        "identities",
        columns=["kind", "value", "profile_id"],
        records=[
            identity
            for p in slice_
            for identity in (("external_id", p.external_id, p.profile_id), ("phone", p.phone, p.profile_id))
        ],
    )
    await connection.copy_records_to_table(
        "consents",
        columns=["profile_id", "channel", "category", "granted", "at"],
        records=[(p.profile_id, channel, "marketing", True, GRANTED_AT) for p in slice_],
    )


def _attributes(person: Person) -> str:
    return jsonb.dumps({} if person.first_name is None else {"first_name": person.first_name})
