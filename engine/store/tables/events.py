"""Events, and what clients sent that the catalogue does not know."""

from __future__ import annotations

import sqlalchemy as sa

from engine.store.columns import Uuid, instant, json_object, metadata, text, wall

EVENT_PARTITIONS = 16


# The id is UUIDv5 of (source, message_id), so its primary key is what makes an event unique by source and
# message id, with one index instead of two, and a key that hash partitions can hold.
#
# `sequence` is the order of arrival. Not an identity column: PostgreSQL 16 has none in partitioned tables.
events_sequence = sa.Sequence("events_sequence", data_type=sa.BigInteger, metadata=metadata)
events = sa.Table(
    "events",
    metadata,
    sa.Column("event_id", Uuid, primary_key=True),
    sa.Column("sequence", sa.BigInteger, server_default=events_sequence.next_value(), nullable=False),
    sa.Column("profile_id", Uuid, nullable=False),
    sa.Column("shard", sa.SmallInteger, nullable=False),
    text("name"),
    text("type", default="track"),  # track | identify | page | screen | group | alias | internal
    json_object("properties"),
    instant("occurred_at"),
    wall("received_at"),
    text("source"),
    text("message_id"),
    instant("routed_at", nullable=True),
    text("error", nullable=True),  # why it could not be routed
    sa.Index(None, "profile_id", "name", "occurred_at"),
    sa.Index(
        "ix_events_unrouted",
        "shard",
        "occurred_at",
        "sequence",
        postgresql_where=sa.text("routed_at IS NULL"),
    ),
    postgresql_partition_by="HASH (event_id)",
)

undeclared = sa.Table(
    "undeclared",
    metadata,
    sa.Column("event", sa.Text, primary_key=True),
    sa.Column("property", sa.Text, primary_key=True),  # '' for the event itself
    sa.Column("seen", sa.BigInteger, nullable=False),
    wall("first_seen_at"),
    wall("last_seen_at"),
)
