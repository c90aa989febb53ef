"""Rows of an import, written with `COPY`: quick, and only for what is not there yet."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

import asyncpg
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import rechecks, webhooks
from engine.store.consents import Consent

_PROFILES: Final = (
    "id",
    "key",
    "external_id",
    "addresses",
    "attributes",
    "provenance",
    "tags",
    "time_zone",
    "locale",
    "tags_expire_at",
)
_IDENTITIES: Final = ("kind", "value", "profile_id")
_LINKS: Final = ("kind", "value", "to_kind", "to_value", "at")
_SEGMENTS: Final = ("segment", "profile_id")
_GRANTS: Final = ("profile_id", "tag", "source", "at", "expires_at")
_CONSENTS: Final = ("profile_id", "channel", "granted", "at", "category", "source", "text_version", "purpose")


@dataclass(slots=True)
class NewRows:
    """Rows of customers who are new, in the order of the columns above; JSON as text."""

    profiles: list[tuple[Any, ...]] = field(default_factory=list, repr=False)
    identities: list[tuple[str, str, str]] = field(default_factory=list, repr=False)
    links: list[tuple[str, str, str, str, datetime]] = field(default_factory=list, repr=False)
    segments: list[tuple[str, str]] = field(default_factory=list, repr=False)
    grants: list[tuple[str, str, str, datetime, datetime | None]] = field(default_factory=list, repr=False)
    consents: list[Consent] = field(default_factory=list, repr=False)
    changed: list[tuple[str, list[str], datetime]] = field(default_factory=list, repr=False)
    """For webhooks: profile, names of what is known of it, and when that was said."""


class Crossed(Exception):
    """Some of it is there already. The transaction is lost: roll it back, look, and write the rest only."""


async def copy_new(connection: AsyncConnection, rows: NewRows) -> None:
    """Writes them, in one transaction that has begun.

    Raises:
        Crossed: somebody else has made one of these profiles, identities or links.
    """
    raw: Any = (await connection.get_raw_connection()).driver_connection
    # In the order in which the intake takes the same locks.
    tables = (
        ("profiles", _PROFILES, sorted(rows.profiles, key=lambda row: row[1])),
        ("identities", _IDENTITIES, sorted(rows.identities)),
        ("identity_links", _LINKS, sorted(rows.links)),
        ("static_segments", _SEGMENTS, sorted(rows.segments)),
        ("tag_grants", _GRANTS, rows.grants),
        ("consents", _CONSENTS, [_consent(each) for each in rows.consents]),
    )
    try:
        for name, columns, records in tables:
            if records:
                await raw.copy_records_to_table(name, records=records, columns=columns)
    except (
        asyncpg.UniqueViolationError,
        asyncpg.DeadlockDetectedError,
        asyncpg.SerializationError,
    ) as error:
        raise Crossed(type(error).__name__) from None
    await rechecks.add(connection, [profile_id for profile_id, _, _ in rows.changed])
    if await webhooks.wanted(connection, webhooks.CHANGED):
        await webhooks.offer_new(connection, rows.changed)


def _consent(entry: Consent) -> tuple[Any, ...]:
    return tuple(getattr(entry, name) for name in _CONSENTS)


async def taken_keys(connection: AsyncConnection, keys: Iterable[str]) -> set[str]:
    """Those of the keys that a profile has."""
    result = await connection.execute(
        sa.text("SELECT key FROM profiles WHERE key = ANY(CAST(:keys AS text[]))"), {"keys": list(keys)}
    )
    return {row.key for row in result}
