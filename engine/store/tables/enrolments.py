"""Who may enter, who is on the way, and what happened to them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from engine.store.columns import Uuid, count, instant, json_list, json_object, metadata, text, wall

entry_states = sa.Table(
    "entry_states",
    metadata,
    sa.Column("journey", sa.Text, primary_key=True),
    sa.Column("profile_id", Uuid, primary_key=True),
    sa.Column("one_per", sa.Text, primary_key=True),
    sa.Column("shard", sa.SmallInteger, nullable=False),
    sa.Column("pending_id", Uuid, nullable=True),
    instant("pending_at", nullable=True),
    sa.Column("pending_order", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    instant("due_at", nullable=True),
    sa.Column("live_id", Uuid, nullable=True),
    instant("entered_at", nullable=True),
    count("entered"),
    instant("ended_at", nullable=True),
    json_list("contested"),
    sa.Index("ix_entry_states_due", "shard", "due_at", postgresql_where=sa.text("due_at IS NOT NULL")),
    sa.Index(None, "profile_id"),
)

enrolments = sa.Table(
    "enrolments",
    metadata,
    sa.Column("id", Uuid, primary_key=True),
    text("journey"),
    text("digest"),
    sa.Column("profile_id", Uuid, nullable=False),
    text("profile_key"),
    sa.Column("shard", sa.SmallInteger, nullable=False),
    text("one_per", default=""),
    sa.Column("trigger_event_id", Uuid, nullable=True),
    json_object("trigger"),
    sa.Column("holdout", sa.Boolean, nullable=False),
    instant("entered_at"),
    sa.Column("entry_month", sa.Date, nullable=False),  # first day of the month of `entered_at`, in UTC
    wall("created_at"),
    text("driver", default="workflow"),
    text("workflow_id", nullable=True),
    text("status", default="live"),
    text("exit", nullable=True),
    text("exit_detail", nullable=True),
    instant("ended_at", nullable=True),
    instant("closed_at", nullable=True),
    instant("converted_at", nullable=True),
    json_object("answers"),
    json_object("variants"),  # split step id -> variant
    sa.Column("moved_by", Uuid, nullable=True),  # the event that last moved it
    text("step", nullable=True),  # where it stands, for people
    sa.CheckConstraint("status IN ('live', 'ended')", name="status"),
    sa.CheckConstraint("(status = 'ended') = (exit IS NOT NULL)", name="exit_when_ended"),
    sa.CheckConstraint("driver IN ('workflow', 'pool')", name="driver"),
    sa.Index(
        "uq_enrolments_live",
        "journey",
        "profile_id",
        "one_per",
        unique=True,
        postgresql_where=sa.text("status = 'live'"),
    ),
    sa.Index(None, "profile_id"),
    sa.Index(None, "journey", "entered_at", "id"),
    sa.Index("ix_enrolments_digest_live", "digest", postgresql_where=sa.text("status = 'live'")),
)

# Lines of a trace as they were written together: a row for each line would cost more than all else.
traces = sa.Table(
    "traces",
    metadata,
    sa.Column("enrolment_id", Uuid, primary_key=True),
    sa.Column("seq", sa.Integer, primary_key=True, autoincrement=False),  # number of the first line
    sa.Column("lines", pg.JSONB, nullable=False),  # [[at, result, step, detail, [[channel, reason], …]], …]
)
