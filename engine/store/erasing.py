"""Everything about one person: to hand it out, and to erase it.

Every table that can hold something personal is named here. `tests/integration/temporal/test_erasure.py`
looks through every column of every table, so that a new one cannot be forgotten.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import jsonb
from engine.store.identities import Identity

_ID = sa.Uuid(as_uuid=False)
_IDENTITIES = "unnest(CAST(:kinds AS text[]), CAST(:values AS text[])) AS r(kind, value)"
_MINE = "profile_id = ANY(CAST(:profiles AS uuid[]))"
_HEARD = "h.payload -> 'identities' @> jsonb_build_array(jsonb_build_array(r.kind, r.value))"
_OWN = "enrolment_id = ANY(CAST(:enrolments AS uuid[]))"

_ERASE: Final = (
    f"DELETE FROM identity_links l USING {_IDENTITIES} WHERE (l.kind = r.kind AND l.value = r.value)"
    " OR (l.to_kind = r.kind AND l.to_value = r.value)",
    f"""DELETE FROM identity_reviews v USING {_IDENTITIES}
        WHERE (v.one_kind = r.kind AND v.one_value = r.value)
        OR (v.two_kind = r.kind AND v.two_value = r.value)
        OR (v.via_kind = r.kind AND v.via_value = r.value)""",
    "DELETE FROM merges WHERE survivor = ANY(CAST(:profiles AS uuid[]))"
    " OR loser = ANY(CAST(:profiles AS uuid[]))",
    f"DELETE FROM identities WHERE {_MINE}",
    f"DELETE FROM consents WHERE {_MINE}",
    f"DELETE FROM static_segments WHERE {_MINE}",
    f"DELETE FROM rfm WHERE {_MINE}",
    f"DELETE FROM memberships WHERE {_MINE}",
    f"DELETE FROM membership_changes WHERE {_MINE}",
    f"DELETE FROM stages WHERE {_MINE}",
    f"DELETE FROM stage_changes WHERE {_MINE}",
    f"DELETE FROM tag_grants WHERE {_MINE}",
    f"DELETE FROM rechecks WHERE {_MINE}",
    f"DELETE FROM entry_states WHERE {_MINE}",
    f"DELETE FROM crowd_members WHERE {_MINE}",
    f"DELETE FROM webhook_outbox WHERE {_MINE}",
    f"DELETE FROM heard h USING {_IDENTITIES} WHERE {_HEARD}",
    f"DELETE FROM audience_changes WHERE {_MINE}",
    # What the provider was told stays until they were taken off there.
    f"UPDATE audience_members SET recheck = true WHERE {_MINE}",
    # Ids that clients chose may say more than they should; ours takes their place.
    f"""UPDATE events SET properties = '{{}}', message_id = CAST(event_id AS text), error = NULL,
        routed_at = coalesce(routed_at, now()) WHERE {_MINE}""",
    f"""UPDATE enrolments SET trigger = '{{}}', answers = '{{}}', one_per = 'erased', exit_detail = NULL,
        profile_key = 'erased' WHERE {_MINE}""",
    f"DELETE FROM message_links WHERE {_OWN}",
    f"UPDATE deliveries SET raw = NULL, provider_id = NULL, address_digest = NULL WHERE {_OWN}",
    f"UPDATE effects SET answer = NULL, error = NULL WHERE {_OWN}",
    f"DELETE FROM outbox_messages WHERE {_OWN} OR address = ANY(CAST(:values AS text[]))",
    f"DELETE FROM pool_rows WHERE {_OWN}",
    f"DELETE FROM start_outbox WHERE {_OWN} AND (done_at IS NOT NULL OR kind <> 'control')",
    "DELETE FROM profiles WHERE id = ANY(CAST(:profiles AS uuid[]))",
)
"""What goes, and what stays as a number: rows of events, enrolments and deliveries without their contents."""


async def hold(connection: AsyncConnection, profile_id: str) -> list[str]:
    """The profile and all that were merged into it, locked; empty if there is none."""
    result = await connection.execute(
        sa.text("SELECT id FROM profiles WHERE id = :id OR merged_into = :id ORDER BY id FOR UPDATE").columns(
            id=_ID
        ),
        {"id": profile_id},
    )
    return [row.id for row in result]


async def enrolments_of(connection: AsyncConnection, profile_ids: Sequence[str]) -> list[str]:
    """Ids of all their enrolments, live and ended."""
    result = await connection.execute(
        sa.text(f"SELECT id FROM enrolments WHERE {_MINE}").columns(id=_ID), {"profiles": list(profile_ids)}
    )
    return [row.id for row in result]


async def open_sends(connection: AsyncConnection, enrolment_ids: Sequence[str]) -> int:
    """How many of their messages are being sent: whatever is only claimed will find no address."""
    result = await connection.execute(
        sa.text(f"SELECT count(*) FROM deliveries WHERE {_OWN} AND state = 'sending'"),
        {"enrolments": list(enrolment_ids)},
    )
    return int(result.scalar_one())


async def erase(
    connection: AsyncConnection,
    profile_ids: Sequence[str],
    enrolment_ids: Sequence[str],
    own: Sequence[Identity],
) -> dict[str, int]:
    """Erases what these profiles have; returns how many rows of each table were touched.

    The same again is harmless.
    """
    values: dict[str, Any] = {
        "profiles": list(profile_ids),
        "enrolments": list(enrolment_ids),
        "kinds": [kind for kind, _ in own],
        "values": [value for _, value in own],
    }
    touched: dict[str, int] = {}
    for statement in _ERASE:
        used = {name: value for name, value in values.items() if f":{name}" in statement}
        result = await connection.execute(sa.text(statement), used)
        words = statement.split()
        table = words[1] if words[0] == "UPDATE" else words[2]
        touched[table] = touched.get(table, 0) + result.rowcount
    return touched


async def note(
    connection: AsyncConnection,
    profile_ids: Sequence[str],
    enrolment_ids: Sequence[str],
    at: datetime,
    by: str | None,
) -> None:
    """Keeps that somebody was erased, by ids that lead to nobody any more."""
    await connection.execute(
        sa.text("""
            INSERT INTO erasures (profile_id, enrolments, at, erased_by)
            SELECT unnest(CAST(:profiles AS uuid[])), CAST(:enrolments AS jsonb), :at, :by
            ON CONFLICT DO NOTHING
        """),
        {
            "profiles": list(profile_ids),
            "enrolments": jsonb.dumps(list(enrolment_ids)),
            "at": at,
            "by": by,
        },
    )


async def recent(connection: AsyncConnection) -> list[tuple[str, list[str]]]:
    """Who was erased within a day, of wall time: the profile's id, and those of its enrolments."""
    statement = sa.text(
        "SELECT profile_id, enrolments FROM erasures "
        "WHERE erased_at > now() - interval '1 day' ORDER BY erased_at"
    ).columns(profile_id=_ID, enrolments=JSONB)
    return [(row.profile_id, row.enrolments) for row in await connection.execute(statement)]


_EXPORT: Final = {
    "profile": "SELECT to_jsonb(p) FROM profiles p WHERE id = ANY(CAST(:profiles AS uuid[])) ORDER BY id",
    "identities": f"SELECT to_jsonb(i) FROM identities i WHERE {_MINE} ORDER BY kind, value",
    "links": f"""SELECT DISTINCT to_jsonb(l) FROM identity_links l JOIN {_IDENTITIES}
        ON (l.kind = r.kind AND l.value = r.value) OR (l.to_kind = r.kind AND l.to_value = r.value)""",
    "reviews": f"""SELECT DISTINCT to_jsonb(v) FROM identity_reviews v JOIN {_IDENTITIES}
        ON (v.one_kind = r.kind AND v.one_value = r.value) OR (v.two_kind = r.kind AND v.two_value = r.value)
        OR (v.via_kind = r.kind AND v.via_value = r.value)""",
    "merges": """SELECT to_jsonb(m) FROM merges m WHERE survivor = ANY(CAST(:profiles AS uuid[]))
        OR loser = ANY(CAST(:profiles AS uuid[])) ORDER BY id""",
    "consents": f"SELECT to_jsonb(c) FROM consents c WHERE {_MINE} ORDER BY at, id",
    "segments": f"SELECT to_jsonb(s) FROM static_segments s WHERE {_MINE} ORDER BY segment",
    "rfm": f"SELECT to_jsonb(r) FROM rfm r WHERE {_MINE}",
    "events": f"SELECT to_jsonb(e) FROM events e WHERE {_MINE} ORDER BY occurred_at, sequence",
    "memberships": f"SELECT to_jsonb(m) FROM memberships m WHERE {_MINE} ORDER BY segment",
    "membership_changes": f"SELECT to_jsonb(m) FROM membership_changes m WHERE {_MINE} ORDER BY at, id",
    "stages": f"SELECT to_jsonb(s) FROM stages s WHERE {_MINE}",
    "stage_changes": f"SELECT to_jsonb(s) FROM stage_changes s WHERE {_MINE} ORDER BY at, id",
    "tag_grants": f"SELECT to_jsonb(g) FROM tag_grants g WHERE {_MINE} ORDER BY tag",
    "audiences": f"SELECT to_jsonb(a) FROM audience_members a WHERE {_MINE} ORDER BY audience",
    "audience_changes": f"SELECT to_jsonb(a) FROM audience_changes a WHERE {_MINE} ORDER BY id",
    "webhooks": f"SELECT to_jsonb(w) FROM webhook_outbox w WHERE {_MINE} ORDER BY id",
    "heard": f"SELECT DISTINCT to_jsonb(h) FROM heard h JOIN {_IDENTITIES} ON {_HEARD}",
    "enrolments": f"SELECT to_jsonb(e) FROM enrolments e WHERE {_MINE} ORDER BY entered_at, id",
    "traces": f"SELECT to_jsonb(t) FROM traces t WHERE {_OWN} ORDER BY enrolment_id, seq",
    "deliveries": f"SELECT to_jsonb(d) FROM deliveries d WHERE {_OWN} ORDER BY at, step",
    "message_links": f"SELECT to_jsonb(l) FROM message_links l WHERE {_OWN} ORDER BY created_at, code",
    "effects": f"SELECT to_jsonb(e) FROM effects e WHERE {_OWN} ORDER BY at, step",
    "messages": f"""SELECT to_jsonb(m) FROM outbox_messages m WHERE {_OWN}
        OR address = ANY(CAST(:values AS text[])) ORDER BY id""",
}


async def export(
    connection: AsyncConnection,
    profile_ids: Sequence[str],
    enrolment_ids: Sequence[str],
    own: Sequence[Identity],
) -> dict[str, list[Any]]:
    """Everything that is kept about these profiles, by what it is; rows as they are stored."""
    values: dict[str, Any] = {
        "profiles": list(profile_ids),
        "enrolments": list(enrolment_ids),
        "kinds": [kind for kind, _ in own],
        "values": [value for _, value in own],
    }
    found = {}
    for name, statement in _EXPORT.items():
        used = {key: value for key, value in values.items() if f":{key}" in statement}
        result = await connection.execute(sa.text(statement).columns(to_jsonb=JSONB), used)
        found[name] = [row[0] for row in result]
    return found
