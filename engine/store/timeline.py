"""What happened with one customer, newest first: events, messages, consents, enrolments, merges."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

What = Literal["event", "message", "entered", "exited", "merged", "consent", "segment", "stage"]
Mark = tuple[datetime, str]


@dataclass(frozen=True, slots=True)
class Moment:
    """One thing that happened at the logical instant `at`. `ref` names its row, and sorts within an instant.

    `name`: the event, the template, the journey, the profile that was merged, the consent's channel, the
    segment or the stage.
    """

    at: datetime
    what: What
    ref: str
    name: str
    details: dict[str, Any] = field(repr=False)


_PARTS = (
    """SELECT occurred_at AS at, 'event' AS what, 'event/' || event_id AS ref, name,
            jsonb_build_object('properties', properties, 'source', source) AS details
        FROM events WHERE profile_id = :id AND name <> 'consent.changed'""",
    """SELECT at, 'consent', 'consent/' || id, channel,
            jsonb_build_object('granted', granted, 'category', category, 'purpose', purpose, 'source', source,
                               'text_version', text_version)
        FROM consents WHERE profile_id = :id""",
    """SELECT at, 'message', 'message/' || enrolment_id || '/' || step, coalesce(template, step),
            jsonb_build_object('journey', journey, 'step', step, 'channel', channel, 'state', state,
                               'reason', reason, 'enrolment_id', enrolment_id)
        FROM deliveries WHERE profile_id = :id""",
    """SELECT entered_at, 'entered', 'entered/' || id, journey,
            jsonb_build_object('enrolment_id', id, 'holdout', holdout, 'digest', digest)
        FROM enrolments WHERE profile_id = :id""",
    """SELECT ended_at, 'exited', 'exited/' || id, journey,
            jsonb_build_object('enrolment_id', id, 'exit', exit, 'detail', exit_detail)
        FROM enrolments WHERE profile_id = :id AND ended_at IS NOT NULL""",
    """SELECT at, 'merged', 'merged/' || id, CAST(loser AS text),
            jsonb_build_object('merge_id', id, 'survivor', survivor, 'undone_at', undone_at)
        FROM merges WHERE survivor = :id OR loser = :id""",
    """SELECT at, 'segment', 'segment/' || id, segment,
            jsonb_build_object('entered', entered, 'quiet', quiet)
        FROM membership_changes WHERE profile_id = :id""",
    """SELECT at, 'stage', 'stage/' || id, coalesce(stage, ''),
            jsonb_build_object('stage', stage, 'before', before, 'quiet', quiet)
        FROM stage_changes WHERE profile_id = :id""",
)


async def of_profile(
    connection: AsyncConnection, profile_id: str, *, limit: int = 50, after: Mark | None = None
) -> list[Moment]:
    """A page of one customer's timeline. `after` is (at, ref) of the last one seen."""
    values: dict[str, Any] = {"id": profile_id, "limit": limit}
    clause = ""
    if after is not None:
        clause, values["after_at"], values["after_ref"] = (
            "WHERE (at, ref) < (:after_at, CAST(:after_ref AS text))",
            *after,
        )
    # Each part gives no more than a page, so that a long history costs no more than a short one.
    parts = " UNION ALL ".join(
        f"(SELECT * FROM ({part}) AS p(at, what, ref, name, details) {clause} "
        "ORDER BY at DESC, ref DESC LIMIT :limit)"
        for part in _PARTS
    )
    statement = sa.text(f"SELECT * FROM ({parts}) AS t ORDER BY at DESC, ref DESC LIMIT :limit").columns(
        details=JSONB
    )
    return [Moment(*row) for row in await connection.execute(statement, values)]
