"""Advertising audiences: who is to be put on one or taken off, who is on it, and how the work stands."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from engine.store.columns import Instant, Uuid, count, instant, metadata, text, wall

AUDIENCE_CAUSES = ("step", "no_consent", "erased")
AUDIENCE_CHANGE_STATES = (
    "waiting",
    "done",  # the provider took it
    "superseded",  # a later word about the same person came before it was handed over
    "skipped",  # nothing to hand over; `reason` says why
    "failed",  # the provider refused it for good
)

audience_changes = sa.Table(
    "audience_changes",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    text("audience"),
    sa.Column("profile_id", Uuid, nullable=False),
    sa.Column("adds", sa.Boolean, nullable=False),
    text("cause"),
    sa.Column("enrolment_id", Uuid, nullable=True),
    text("step", nullable=True),
    instant("at"),
    text("state", default="waiting"),
    text("reason", nullable=True),
    wall("created_at"),
    sa.Column("settled_at", Instant, nullable=True),
    sa.CheckConstraint(f"cause IN ({', '.join(repr(c) for c in AUDIENCE_CAUSES)})", name="cause"),
    sa.CheckConstraint(f"state IN ({', '.join(repr(s) for s in AUDIENCE_CHANGE_STATES)})", name="state"),
    sa.Index("ix_audience_changes_waiting", "audience", "id", postgresql_where=sa.text("state = 'waiting'")),
    sa.Index(None, "profile_id"),
)

audience_members = sa.Table(
    "audience_members",
    metadata,
    sa.Column("audience", sa.Text, primary_key=True),
    sa.Column("profile_id", Uuid, primary_key=True),
    sa.Column("digests", pg.ARRAY(sa.Text), nullable=False),  # `email:HASH`: what the provider has of them
    instant("since_at"),
    # Whether they may still be on it is to be asked again.
    sa.Column("recheck", sa.Boolean, nullable=False, server_default=sa.text("false")),
    sa.Index(None, "profile_id"),
    sa.Index("ix_audience_members_recheck", "audience", postgresql_where=sa.text("recheck")),
)

audience_work = sa.Table(
    "audience_work",
    metadata,
    sa.Column("audience", sa.Text, primary_key=True),
    text("owner", nullable=True),
    sa.Column("leased_until", Instant, nullable=True),
    sa.Column("due_at", Instant, nullable=True),  # of the wall: not before
    count("attempts"),  # calls in a row that came to nothing
    text("error", nullable=True),
    sa.Column("called_at", Instant, nullable=True),
)
