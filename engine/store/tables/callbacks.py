"""What providers called us with until it is worked off, and the access tokens that processes share."""

from __future__ import annotations

import sqlalchemy as sa

from engine.store.columns import count, instant, json_object, metadata, text, wall

HEARD_CHANNEL = "kairos_heard"
HEARD_STATES = ("waiting", "parked")

# Written before the provider is answered, gone with the work itself.
heard = sa.Table(
    "heard",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    text("channel"),
    text("adapter"),
    text("kind"),
    text("message_id", nullable=True),  # of something inbound: the same whenever the provider tells of it
    json_object("payload"),
    text("state", default="waiting"),
    wall("received_at"),
    wall("due_at"),
    count("attempts"),
    text("reason", nullable=True),  # why it is parked, or waits
    sa.CheckConstraint("kind IN ('receipt', 'inbound')", name="kind"),
    sa.CheckConstraint(f"state IN ({', '.join(repr(s) for s in HEARD_STATES)})", name="state"),
    # Kinds in the order of the alphabet: what people do is never behind a flood of receipts.
    sa.Index("ix_heard_waiting", "kind", "due_at", "id", postgresql_where=sa.text("state = 'waiting'")),
    sa.Index(
        "uq_heard_message_id",
        "channel",
        "adapter",
        "message_id",
        unique=True,
        postgresql_where=sa.text("message_id IS NOT NULL"),
    ),
)

# One row a token; `version` counts changes, so that of two that change it one passes.
access_tokens = sa.Table(
    "access_tokens",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("version", sa.BigInteger, nullable=False),
    text("value", nullable=True),  # a secret
    instant("ends_at", nullable=True),  # wall
    instant("fetching_until", nullable=True),  # wall
)
