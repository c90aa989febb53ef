"""The installation: its workers, its keys, its clock."""

from __future__ import annotations

import sqlalchemy as sa

from engine.store.columns import Uuid, instant, metadata, text, wall

workers = sa.Table(
    "workers",
    metadata,
    sa.Column("id", sa.Text, primary_key=True),  # the `owner` of deliveries and effects
    text("kind"),
    wall("started_at"),
    wall("seen_at"),
)

api_keys = sa.Table(
    "api_keys",
    metadata,
    sa.Column("id", Uuid, primary_key=True),
    text("name"),
    text("scope"),
    text("source", nullable=True),  # the `source` of events that come in with it
    text("hash"),
    text("prefix"),
    wall("created_at"),
    instant("revoked_at", nullable=True),
    sa.UniqueConstraint("hash"),
    sa.CheckConstraint("scope IN ('ingest', 'read', 'manage')", name="scope"),
)

clock = sa.Table(
    "clock",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    instant("epoch_logical"),
    instant("epoch_wall"),
    sa.Column("speed", sa.Double, nullable=False),
    sa.Column("grace_seconds", sa.Double, nullable=False),
    instant("complete_until", nullable=True),  # logical; a replay has handed in every event up to here
    sa.CheckConstraint("id = 1", name="single"),
    sa.CheckConstraint("speed > 0", name="speed"),
)
