"""One slice of a crowd: the next profiles, who of them may enter, and their rows, in one statement.

The rules are those of `engine.core.consider` for an entry by hand, over sets. Past entries are read from
enrolments alone: every entry leaves one. Of two that enter one customer at once, the unique index of live
enrolments lets one pass, so what counts as entered is what was written.

An enrolment made here has no event (`trigger_event_id` is null) and no row in `entry_states`: the router
works out what it would say (`engine.store.entries.with_crowds`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from functools import lru_cache
from typing import Any, Final, Literal

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.core.assignment import WHOLE
from engine.core.identity import crowd_salt, one_per_text
from engine.language.expressions.sql import Condition
from engine.store import jsonb
from engine.store.crowds import Crowd, What
from engine.store.enrolments import entry_month
from engine.store.tables import POOL_SHARDS, SHARDS
from engine.store.tags import TAGGED

SLICE: Final = 20_000
"""Profiles that one transaction looks at."""

ONE_PER: Final = one_per_text(None)
_FIRST: Final = "00000000-0000-0000-0000-000000000000"


@dataclass(frozen=True, slots=True)
class Rules:
    """What the plan says about entry. `holdout` in units of 1/10,000; `acts` as `acts_at_once` says."""

    run_as: Literal["workflow", "pool"]
    reenter: Literal["never", "after_exit", "restart"] | timedelta
    holdout: int = 0
    acts: bool = False
    scale: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Sliced:
    """What a slice came to. `seen` are the profiles that were gone through, `cursor` is the last of them.

    `again`: who is live in a journey with `reenter: restart`, and has to be entered one by one.
    """

    seen: int
    cursor: str | None
    looked: int = 0
    entered: int = 0
    refused: dict[str, int] = field(default_factory=dict)
    again: tuple[str, ...] = ()


async def enter_slice(
    connection: AsyncConnection,
    crowd: Crowd,
    rules: Rules,
    *,
    limit: int = SLICE,
    paused: bool = False,
    condition: Condition | None = None,
) -> Sliced:
    """Lets in those of the next `limit` profiles whom the rules let in. The caller holds the crowd
    (`crowds.hold`).

    `paused`: nobody enters, and everybody counts as refused. `condition` is that of a segment, at the
    instant of entry, written to look at each profile for itself.
    """
    assert crowd.entered_at is not None
    restart = rules.reenter == "restart"
    every = rules.reenter if isinstance(rules.reenter, timedelta) else None
    rule = "every" if isinstance(rules.reenter, timedelta) else rules.reenter
    asked = ("", "") if condition is None else (condition.joins, condition.where)
    statement, names = _statement(crowd.what, rules.run_as, rule, rules.holdout > 0, paused, *asked)
    values = {
        **({} if condition is None else condition.parameters),
        "crowd": crowd.id,
        "head": f"{crowd.id[:13]}-8",
        "cursor": crowd.cursor or _FIRST,
        "limit": limit,
        "tag": crowd.tag,
        "journey": crowd.journey,
        "digest": crowd.digest,
        "at": crowd.entered_at,
        "month": entry_month(crowd.entered_at),
        "trigger": jsonb.dumps(trigger_of(crowd)),
        "salt": crowd_salt(crowd.journey, ONE_PER, crowd.id),
        "every": every,
        "drawn": f"1:{crowd.journey}/holdout:".encode(),
        "holdout": rules.holdout,
        "acts": rules.acts,
        "entered_at": crowd.entered_at.isoformat(),
        "scale": jsonb.dumps({} if rules.scale is None else {"scale": dict(rules.scale)}),
    }
    row = (await connection.execute(statement, {name: values[name] for name in names})).one()
    refused = dict(jsonb.loads(row.refused)) if row.refused is not None else {}
    again: tuple[str, ...] = ()
    if restart and not paused:
        again = tuple(str(one) for one in row.again or ())
        refused.pop("again", None)
    elif row.meant > row.entered:  # somebody else was first
        refused["live"] = refused.get("live", 0) + row.meant - row.entered
    cursor = None if row.cursor is None else str(row.cursor)
    return Sliced(row.seen, cursor, row.looked, row.entered, refused, again)


def trigger_of(crowd: Crowd) -> dict[str, Any]:
    """What rows keep as their trigger: little, since it is the same in each. Readers know the rest
    (`engine.ingest.conditions.trigger_facts`)."""
    kept = {k: v for k, v in crowd.given.items() if k not in ("name", "id", "occurred_at")}
    return {**kept, "id": crowd.id}


# --- the statement --------------------------------------------------------------------------------------

_SEEN: Final[dict[What, str]] = {
    "all": """
        seen AS MATERIALIZED (
            SELECT id, key FROM profiles WHERE id > CAST(:cursor AS uuid) AND merged_into IS NULL
            ORDER BY id LIMIT :limit),
        looked AS (SELECT id, key FROM seen)""",
    "tag": f"""
        seen AS MATERIALIZED (
            SELECT id, key, tags, tags_expire_at FROM profiles
            WHERE id > CAST(:cursor AS uuid) AND merged_into IS NULL ORDER BY id LIMIT :limit),
        looked AS MATERIALIZED (SELECT p.id, p.key FROM seen p WHERE {TAGGED})""",
    "segment": """
        seen AS MATERIALIZED (
            SELECT * FROM profiles WHERE id > CAST(:cursor AS uuid) AND merged_into IS NULL
            ORDER BY id LIMIT :limit),
        looked AS MATERIALIZED (SELECT p.id, p.key FROM seen p {joins} WHERE {where} ORDER BY p.id)""",
    # Somebody who was merged since the list was read enters as whom they were merged into.
    "list": """
        seen AS MATERIALIZED (
            SELECT profile_id AS id FROM crowd_members
            WHERE crowd_id = CAST(:crowd AS uuid) AND profile_id > CAST(:cursor AS uuid)
            ORDER BY profile_id LIMIT :limit),
        looked AS MATERIALIZED (
            SELECT DISTINCT s.id, s.key FROM seen JOIN profiles p ON p.id = seen.id
            JOIN profiles s ON s.id = coalesce(p.merged_into, p.id)
            ORDER BY s.id)""",
}
_GONE_THROUGH: Final = """
    (SELECT count(*) FROM seen) AS seen, (SELECT id FROM seen ORDER BY id DESC LIMIT 1) AS cursor"""

# By customer, whatever the statistics say: they know nothing yet of a journey that a crowd is entering, and
# an index that begins with the journey would be read from end to end for each customer.
_BEFORE: Final = f"""
    SELECT count(*) AS entered, max(e.entered_at) AS last_at, bool_or(e.status = 'live') AS live,
        bool_or(e.ended_at > CAST(:at AS timestamptz)) AS was_live,
        bool_or(e.trigger ->> 'id' = CAST(CAST(:crowd AS uuid) AS text)) AS in_it
    FROM (SELECT * FROM enrolments WHERE profile_id = l.id OFFSET 0) e
    WHERE e.journey = CAST(:journey AS text) AND e.one_per = '{ONE_PER}'"""
_RULES: Final = {
    "never": "WHEN b.entered > 0 THEN 'never_again'",
    "after_exit": "WHEN b.live OR b.was_live THEN 'live'",
    "restart": "WHEN b.live THEN 'again'",
    "every": """WHEN b.live OR b.was_live THEN 'live'
        WHEN b.last_at + CAST(:every AS interval) > CAST(:at AS timestamptz) THEN 'too_soon'""",
}
"""As `consider` judges, and in its order."""

_ID: Final = """CAST(CAST(:head AS text) || left(CAST(j.id AS text), 3) || '-8'
    || substr(CAST(j.id AS text), 4, 3) || '-'
    || left(encode(sha256(CAST(:salt AS bytea) || convert_to(j.key, 'UTF8')), 'hex'), 12) AS uuid)"""
"""`engine.core.identity.crowd_enrolment_id`."""

# The first 8 bytes of the hash are a signed number here: below zero it lacks 2^64, or 1,616 modulo 10,000.
_HELD_OUT: Final = f"""(
    SELECT CASE WHEN h.n < 0 THEN (h.n % {WHOLE} + {2**64 % WHOLE + WHOLE}) % {WHOLE}
        ELSE h.n % {WHOLE} END < CAST(:holdout AS integer)
    FROM (SELECT CAST(CAST('x' || left(encode(sha256(
        CAST(:drawn AS bytea) || convert_to(j.key, 'UTF8')), 'hex'), 16) AS bit(64)) AS bigint) AS n) h)"""
"""`engine.core.assignment.held_out`."""

_WORKFLOW: Final = {
    "pool": "NULL",
    "workflow": "CAST(:journey AS text) || '/' || CAST(j.enrolment_id AS text)",
}
_STARTED: Final = {
    "pool": f"""
        INSERT INTO pool_rows (enrolment_id, journey, shard, wake_at)
        SELECT n.id, (SELECT number FROM journeys WHERE name = CAST(:journey AS text)),
            n.shard % {POOL_SHARDS}, now()
        FROM new n""",
    # The payload is that of `engine.ingest.routing.start_payload`.
    "workflow": """
        INSERT INTO start_outbox (kind, workflow_id, enrolment_id, payload, journey, acts)
        SELECT 'start', n.workflow_id, n.id, jsonb_build_object(
                'journey', CAST(:journey AS text), 'digest', CAST(:digest AS text), 'enrolment_id', n.id,
                'key', n.profile_key, 'trigger_event_id', n.id, 'entered_at', CAST(:entered_at AS text),
                'holdout', n.holdout) || CAST(:scale AS jsonb),
            CAST(:journey AS text), CAST(:acts AS boolean) AND NOT n.holdout
        FROM new n ORDER BY n.id""",
}
_AGAIN: Final = """, (SELECT array_agg(a.id) FROM (
    SELECT id FROM judged WHERE refused = 'again'
    UNION ALL (SELECT id FROM judged WHERE refused IS NULL EXCEPT SELECT profile_id FROM new)) a) AS again"""


@lru_cache(maxsize=64)
def _statement(
    what: What, run_as: str, rule: str, holdout: bool, paused: bool, joins: str = "", where: str = ""
) -> tuple[sa.TextClause, frozenset[str]]:
    """The statement, and the names of its parameters."""
    seen = _SEEN[what].replace("{joins}", joins).replace("{where}", where)
    if paused:
        text = f"""
            WITH {seen}
            SELECT {_GONE_THROUGH}, l.looked, 0 AS entered, 0 AS meant, CASE WHEN l.looked > 0
                THEN CAST(jsonb_build_object('paused', l.looked) AS text) END AS refused
            FROM (SELECT count(*) AS looked FROM looked) l
        """
    else:
        text = f"""
            WITH {seen},
            judged AS MATERIALIZED (
                SELECT l.id, l.key, CASE WHEN b.entered = 0 THEN NULL WHEN b.in_it THEN 'live'
                    {_RULES[rule]} END AS refused
                FROM looked l LEFT JOIN LATERAL ({_BEFORE}) b ON true),
            new AS (
                INSERT INTO enrolments (id, journey, digest, profile_id, profile_key, shard, one_per, trigger,
                                        holdout, entered_at, entry_month, driver, workflow_id)
                SELECT j.enrolment_id, CAST(:journey AS text), CAST(:digest AS text), j.id, j.key,
                    get_byte(uuid_send(j.id), 15) % {SHARDS}, '{ONE_PER}', CAST(:trigger AS jsonb), j.holdout,
                    CAST(:at AS timestamptz), CAST(:month AS date), '{run_as}', {_WORKFLOW[run_as]}
                FROM (
                    SELECT j.id, j.key, {_ID} AS enrolment_id, {_HELD_OUT if holdout else "false"} AS holdout
                    FROM judged j WHERE j.refused IS NULL OFFSET 0) j
                ON CONFLICT (journey, profile_id, one_per) WHERE status = 'live' DO NOTHING
                RETURNING id, profile_id, profile_key, shard, holdout, workflow_id),
            started AS ({_STARTED[run_as]})
            SELECT {_GONE_THROUGH}, (SELECT count(*) FROM judged) AS looked,
                (SELECT count(*) FROM new) AS entered,
                (SELECT count(*) FROM judged WHERE refused IS NULL) AS meant,
                (SELECT CAST(jsonb_object_agg(r.refused, r.n) AS text) FROM (
                    SELECT refused, count(*) AS n FROM judged WHERE refused IS NOT NULL GROUP BY 1) r
                ) AS refused {_AGAIN if rule == "restart" else ""}
        """
    return sa.text(text), frozenset(re.findall(r"(?<![:\w]):(\w+)", text))
