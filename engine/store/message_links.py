"""Short links of messages: which code leads where, and the installation's secret behind codes and tokens.

A code is drawn from the secret, the delivery and the link (`engine.delivery.linking`), so that a repeated
delivery writes the same rows again: they are kept once. Whose it is says the delivery, which merging keeps
true; erasing deletes the rows. Expiry is of the wall.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch

Kind = Literal["link", "open"]


@dataclass(frozen=True, slots=True)
class NewLink:
    """A link to be kept. `expires_at` is of the wall."""

    code: str = field(repr=False)
    kind: Kind
    enrolment_id: str
    step: str
    entry_month: date
    channel: str
    url: str = field(repr=False)
    name: str = field(repr=False)
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Target:
    """Where a code leads, and whose message it came with. `sending_at` and `expired` are of the wall."""

    code: str = field(repr=False)
    kind: Kind
    url: str = field(repr=False)
    name: str = field(repr=False)
    channel: str
    expired: bool
    enrolment_id: str
    step: str
    profile_id: str
    template: str | None
    sending_at: datetime | None


_ID: Final = sa.Uuid(as_uuid=False)
_NAMES: Final = NewLink.__slots__

_INSERT = sa.text(f"""
    INSERT INTO message_links ({", ".join(_NAMES)}) SELECT {", ".join(_NAMES)}
    FROM {
    batch.records(
        code="text",
        kind="text",
        enrolment_id="uuid",
        step="text",
        entry_month="date",
        channel="text",
        url="text",
        name="text",
        expires_at="timestamptz",
    )
}
    ORDER BY code ON CONFLICT (code) DO NOTHING
""")


async def add_batch(connection: AsyncConnection, new: Sequence[NewLink]) -> None:
    """Keeps the links; those that are there already stay as they are."""
    if new:
        values = [{name: getattr(link, name) for name in _NAMES} for link in new]
        await connection.execute(_INSERT, batch.rows(values))


_FIND = sa.text("""
    SELECT l.code, l.kind, l.url, l.name, l.channel, l.expires_at <= now() AS expired, l.enrolment_id, l.step,
           d.profile_id, d.template, d.sending_at
    FROM message_links l JOIN deliveries d
        ON d.enrolment_id = l.enrolment_id AND d.step = l.step AND d.entry_month = l.entry_month
    WHERE l.code = ANY(CAST(:codes AS text[]))
""").columns(enrolment_id=_ID, profile_id=_ID)


async def find_batch(connection: AsyncConnection, codes: Iterable[str]) -> dict[str, Target]:
    """Where these codes lead; unknown ones are left out."""
    result = await connection.execute(_FIND, {"codes": sorted(set(codes))})
    return {row["code"]: batch.build(Target, row) for row in result.mappings()}


async def forget(connection: AsyncConnection, before: datetime, limit: int) -> int:
    """Deletes links that expired before this instant of the wall, no more than `limit`; returns how many."""
    result = await connection.execute(
        sa.text("""
            DELETE FROM message_links WHERE code IN (
                SELECT code FROM message_links WHERE expires_at < :before ORDER BY expires_at LIMIT :limit)
        """),
        {"before": before, "limit": limit},
    )
    return result.rowcount


# Random numbers of PostgreSQL's that are fit for keys, without an extension: two UUIDs, 244 bits.
_MAKE = sa.text("""
    INSERT INTO link_secrets (id, secret) VALUES (1,
        sha256(decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex')))
    ON CONFLICT (id) DO NOTHING
""")
_SECRET = sa.text("SELECT secret FROM link_secrets WHERE id = 1")


async def secret(connection: AsyncConnection) -> bytes:
    """The secret of this installation, made when it is first asked for: 32 bytes."""
    found: Any = (await connection.execute(_SECRET)).scalar_one_or_none()
    if found is None:
        await connection.execute(_MAKE)
        found = (await connection.execute(_SECRET)).scalar_one()
    return bytes(found)
