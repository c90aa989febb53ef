"""The ledger of consents: only ever added to. The current state is read from it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.selectable import TextualSelect

from engine.store import batch, rechecks

EVERY_CHANNEL = EVERY_PURPOSE = "*"


@dataclass(frozen=True, slots=True)
class Consent:
    """One entry: granted or withdrawn, at the logical instant `at`.

    Channel `*` means every channel, purpose `*` every purpose of the category.
    """

    profile_id: str
    channel: str
    granted: bool
    at: datetime
    category: str = "marketing"
    source: str | None = None
    text_version: str | None = None
    purpose: str = EVERY_PURPOSE


@dataclass(frozen=True, slots=True)
class CurrentConsents:
    """What one profile consents to now: (category, channel, purpose) to the last entry's answer.

    An entry for every channel speaks for the channels whose own entry is older, and one for every purpose for
    the purposes whose own entry is older. One for a purpose says nothing of messages without it.
    """

    known: dict[tuple[str, str, str], tuple[bool, datetime, int]]

    def granted(self, channel: str, category: str = "marketing", purpose: str = EVERY_PURPOSE) -> bool | None:
        """Whether it was granted last; None if nothing was ever recorded."""
        entries = [
            entry
            for each in {channel, EVERY_CHANNEL}
            for what in {purpose, EVERY_PURPOSE}
            if (entry := self.known.get((category, each, what))) is not None
        ]
        return max(entries, key=lambda entry: entry[1:])[0] if entries else None

    def says(self, channel: str, purpose: str, granted: bool, category: str = "marketing") -> bool:
        """Whether just this holds already, by what was recorded, for everything that it speaks of."""
        spoken_of = [
            answer
            for (each, what), answer in self.answers(category).items()
            if channel in (each, EVERY_CHANNEL) and purpose in (what, EVERY_PURPOSE)
        ]
        return self.granted(channel, category, purpose) is granted and all(a is granted for a in spoken_of)

    def add(self, entry: Consent) -> None:
        """Takes in an entry that comes after all others of its instant."""
        latest = max((number for _, _, number in self.known.values()), default=0)
        self.known[entry.category, entry.channel, entry.purpose] = (entry.granted, entry.at, latest + 1)

    def purposes(self, category: str = "marketing") -> set[str]:
        """Purposes that an entry of this category was given for."""
        return {what for kind, _, what in self.known if kind == category and what != EVERY_PURPOSE}

    def answers(self, category: str = "marketing") -> dict[tuple[str, str], bool]:
        """Every (channel, purpose) with an entry of this category to what holds for it now."""
        return {
            (channel, what): self.granted(channel, category, what) is True
            for kind, channel, what in self.known
            if kind == category
        }

    def channels(self, category: str = "marketing") -> dict[str, bool]:
        """Every channel with an entry for every purpose, `*` among them, to what holds for it now."""
        return {
            channel: word
            for (channel, purpose), word in self.answers(category).items()
            if purpose == EVERY_PURPOSE
        }


async def add_batch(connection: AsyncConnection, entries: Sequence[Consent]) -> None:
    """Adds entries; of two at one instant the later in the list counts."""
    if not entries:
        return
    names = Consent.__slots__
    fields = batch.records(
        place="integer",
        profile_id="uuid",
        channel="text",
        granted="boolean",
        at="timestamptz",
        category="text",
        source="text",
        text_version="text",
        purpose="text",
    )
    listed = ", ".join(names)
    await connection.execute(
        sa.text(f"""
            WITH new AS (
                INSERT INTO consents ({listed}) SELECT {listed} FROM {fields} ORDER BY place
                RETURNING profile_id, at, granted),
            doubtful AS (
                UPDATE audience_members m SET recheck = true FROM new
                WHERE m.profile_id = new.profile_id AND NOT new.granted),
            {rechecks.noting("new", "profile_id", "at")}
            {rechecks.TELL}
        """),
        batch.rows(
            [{"place": i, **{n: getattr(entry, n) for n in names}} for i, entry in enumerate(entries)]
        ),
    )


async def unrecorded(connection: AsyncConnection, entries: Sequence[Consent]) -> list[Consent]:
    """Those that the ledger does not hold yet: what a provider tells twice is said once."""
    if not entries:
        return []
    fields = {"profile_id": "uuid", "channel": "text", "at": "timestamptz", "source": "text"}
    result = await connection.execute(
        sa.text(f"""
            SELECT r.place FROM {batch.records(place="integer", **fields)}
            WHERE EXISTS (SELECT 1 FROM consents c WHERE c.profile_id = r.profile_id AND c.at = r.at
                AND c.channel = r.channel AND c.source = r.source AND NOT c.granted)
        """),
        batch.rows([{"place": i, **{n: getattr(e, n) for n in fields}} for i, e in enumerate(entries)]),
    )
    known = set(result.scalars())
    new = [entry for place, entry in enumerate(entries) if place not in known]
    return list(dict.fromkeys(new))


def _current(condition: str = "") -> TextualSelect:
    return sa.text(f"""
        SELECT DISTINCT ON (profile_id, channel, category, purpose)
            profile_id, channel, category, purpose, granted, at, id
        FROM consents WHERE profile_id = ANY(CAST(:ids AS uuid[])) {condition}
        ORDER BY profile_id, channel, category, purpose, at DESC, id DESC
    """).columns(profile_id=sa.Uuid(as_uuid=False))


_CURRENT, _CURRENT_AT = _current(), _current("AND at <= :at")


async def current(
    connection: AsyncConnection, profile_ids: Iterable[str], at: datetime | None = None
) -> dict[str, CurrentConsents]:
    """The current consents of each profile (as of the logical instant `at`); all ids given are present."""
    ids = sorted(set(profile_ids))
    values: dict[str, Any] = {"ids": ids} if at is None else {"ids": ids, "at": at}
    result = await connection.execute(_CURRENT if at is None else _CURRENT_AT, values)
    found = {profile_id: CurrentConsents({}) for profile_id in ids}
    for row in result:
        found[row.profile_id].known[row.category, row.channel, row.purpose] = (row.granted, row.at, row.id)
    return found


async def history(connection: AsyncConnection, profile_id: str) -> list[Consent]:
    """All entries of one profile, oldest first."""
    result = await connection.execute(
        sa.text(
            f"SELECT {batch.columns(Consent)} FROM consents WHERE profile_id = :id ORDER BY at, id"
        ).columns(profile_id=sa.Uuid(as_uuid=False)),
        {"id": profile_id},
    )
    return [batch.build(Consent, row) for row in result.mappings()]
