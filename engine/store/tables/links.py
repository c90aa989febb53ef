"""Links in messages: where each short code leads, and the secret that codes and tokens are made with."""

from __future__ import annotations

import sqlalchemy as sa

from engine.store.columns import Instant, Uuid, metadata, text, wall

message_links = sa.Table(
    "message_links",
    metadata,
    sa.Column("code", sa.Text, primary_key=True),
    text("kind"),  # link | open: the picture that tells of an open
    sa.Column("enrolment_id", Uuid, nullable=False),
    text("step"),
    sa.Column("entry_month", sa.Date, nullable=False),  # with the two before it the delivery's key
    text("channel"),
    text("url"),  # where it leads, parameters included; empty for an open
    text("name"),  # what `message.clicked` calls it: the author's name, or the address as written
    wall("created_at"),
    sa.Column("expires_at", Instant, nullable=False),  # of the wall
    sa.CheckConstraint("kind IN ('link', 'open')", name="kind"),
    sa.Index(None, "enrolment_id"),
    sa.Index(None, "expires_at"),
)

link_secrets = sa.Table(
    "link_secrets",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("secret", sa.LargeBinary, nullable=False),
    wall("created_at"),
    sa.CheckConstraint("id = 1", name="single"),
)
