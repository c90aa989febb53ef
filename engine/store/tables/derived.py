"""What follows from what is known: who is in which segment, stages, the tags' grants, and their histories.

`profiles.tags` and `profiles.stage` stay what expressions read; what stands here was seen last, so that a
change can be told.
"""

from __future__ import annotations

import sqlalchemy as sa

from engine.store.columns import Uuid, instant, metadata, text, wall

followed = sa.Table(
    "followed",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),  # segment | stage | tag
    sa.Column("name", sa.Text, primary_key=True),  # '' for the stage
    text("digest"),  # of its text and all that it uses
    sa.Column("filled", sa.Boolean, nullable=False),  # everybody was looked at since it means this
    instant("since_at"),
    instant("as_of"),  # when everybody was looked at last
    sa.CheckConstraint("kind IN ('segment', 'stage', 'tag')", name="kind"),
)

memberships = sa.Table(
    "memberships",
    metadata,
    sa.Column("segment", sa.Text, primary_key=True),
    sa.Column("profile_id", Uuid, primary_key=True),
    instant("since_at"),
    sa.Index(None, "profile_id"),
)

membership_changes = sa.Table(
    "membership_changes",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    text("segment"),
    sa.Column("profile_id", Uuid, nullable=False),
    sa.Column("entered", sa.Boolean, nullable=False),  # false: left
    instant("at"),
    sa.Column("quiet", sa.Boolean, nullable=False),  # noted without an event
    wall("recorded_at"),
    sa.Index(None, "segment", "at", "id"),
    sa.Index(None, "profile_id", "at"),
)

stages = sa.Table(
    "stages",
    metadata,
    sa.Column("profile_id", Uuid, primary_key=True),  # none: still in the first
    text("stage", nullable=True),
    instant("since_at"),
)

stage_changes = sa.Table(
    "stage_changes",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("profile_id", Uuid, nullable=False),
    text("before", nullable=True),
    text("stage", nullable=True),
    instant("at"),
    sa.Column("quiet", sa.Boolean, nullable=False),
    wall("recorded_at"),
    sa.Index(None, "profile_id", "at"),
    sa.Index(None, "at"),
)

tag_grants = sa.Table(
    "tag_grants",
    metadata,
    sa.Column("profile_id", Uuid, primary_key=True),
    sa.Column("tag", sa.Text, primary_key=True),
    text("source", nullable=True),  # `journey NAME`, `rule`, whoever sent the trait, who gave it by hand
    instant("at"),
    instant("expires_at", nullable=True),
)

rechecks = sa.Table(
    "rechecks",
    metadata,
    # No key of the profile: whoever adds one must never wait for another.
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("shard", sa.SmallInteger, nullable=False),
    sa.Column("profile_id", Uuid, nullable=False),
    instant("at", nullable=True),
    sa.Column("quiet", sa.Boolean, nullable=False),
    sa.Index(None, "shard", "id"),
)
