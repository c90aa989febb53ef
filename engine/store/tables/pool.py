"""The pool: enrolments that are advanced in batches; crowds: many who enter a journey at once."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from engine.store.columns import Uuid, count, instant, json_object, metadata, text, wall

POOL_SHARDS = 8
"""Shards of each journey in the pool: how many workers can be at one journey at the same time."""
POOL_CHANNEL = "kairos_pool"

# Beside an enrolment's own row: narrow, since it is written at every wait. Gone when the enrolment ends.
pool_rows = sa.Table(
    "pool_rows",
    metadata,
    sa.Column("enrolment_id", Uuid, primary_key=True),
    instant("wake_at", nullable=True),  # wall; null: only an event can wake it
    sa.Column("journey", sa.Integer, nullable=False),  # `journeys.number`
    count("called"),  # how much has ever come into its inbox
    count("version"),
    sa.Column("shard", sa.SmallInteger, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=True),  # null: not begun
    sa.Column("inbox", pg.JSONB, nullable=True),
    sa.Index(
        "ix_pool_rows_due", "journey", "shard", "wake_at", postgresql_where=sa.text("wake_at IS NOT NULL")
    ),
)

paces = sa.Table(
    "paces",
    metadata,
    sa.Column("channel", sa.Text, primary_key=True),
    instant("free_at"),  # wall; `engine.store.paces` says what it means
)


CROWD_STATES = (
    "waiting",  # asked for
    "entering",
    "entered",  # everybody was looked at
    "cancelled",  # those who were in stay in
    "failed",
)

crowds = sa.Table(
    "crowds",
    metadata,
    sa.Column("id", Uuid, primary_key=True),
    text("journey"),
    text("digest"),  # the plan, fixed when it was asked for
    text("what"),  # all | tag | list | segment
    text("tag", nullable=True),
    json_object("given"),  # what `trigger` has
    text("status", default="waiting"),
    sa.Column("cursor", Uuid, nullable=True),  # the last profile that was looked at
    sa.Column("total", sa.BigInteger, nullable=True),  # who is to be looked at
    sa.Column("looked", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("entered", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("restarted", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    json_object("refused"),  # reason -> how many
    sa.Column("unknown", sa.BigInteger, nullable=False, server_default=sa.text("0")),  # lines of a list
    wall("created_at"),
    instant("entered_at", nullable=True),  # one instant for all
    wall("touched_at"),
    instant("finished_at", nullable=True),  # wall
    text("error", nullable=True),
    text("segment", nullable=True),  # its name; null for a condition that somebody typed
    sa.Column("condition", pg.JSONB, nullable=True),  # what it meant when it was asked for
    instant("due_at", nullable=True),  # logical; when a campaign that has a schedule was to be launched
    sa.CheckConstraint(f"status IN ({', '.join(repr(s) for s in CROWD_STATES)})", name="status"),
    sa.CheckConstraint("what IN ('all', 'tag', 'list', 'segment')", name="what"),
    sa.Index(None, "journey"),
    sa.Index("ix_crowds_open", "status", postgresql_where=sa.text("status IN ('waiting', 'entering')")),
)

# Of a list, until everybody was looked at.
crowd_members = sa.Table(
    "crowd_members",
    metadata,
    sa.Column("crowd_id", Uuid, primary_key=True),
    sa.Column("profile_id", Uuid, primary_key=True),
)

# Events that were routed while a crowd was entering, and may concern somebody who was not in yet.
crowd_events = sa.Table(
    "crowd_events",
    metadata,
    sa.Column("crowd_id", Uuid, primary_key=True),
    sa.Column("event_id", Uuid, primary_key=True),
)
