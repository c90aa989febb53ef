"""The way to Temporal: starts, wakes and controls that are still to be played."""

from __future__ import annotations

import sqlalchemy as sa

from engine.store.columns import Uuid, count, instant, json_object, metadata, text, wall

start_outbox = sa.Table(
    "start_outbox",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    text("kind"),
    text("workflow_id"),
    sa.Column("enrolment_id", Uuid, nullable=False),
    json_object("payload"),
    wall("created_at"),
    instant("not_before", nullable=True),  # wall; set after a failed try
    instant("done_at", nullable=True),
    count("attempts"),
    text("error", nullable=True),
    text("journey", default=""),
    sa.Column("acts", sa.Boolean, nullable=False, server_default=sa.false()),  # a start: work comes at once
    sa.CheckConstraint("kind IN ('start', 'wake', 'control')", name="kind"),
    sa.Index("ix_start_outbox_open", "id", postgresql_where=sa.text("done_at IS NULL")),
    sa.Index("ix_start_outbox_open_of", "workflow_id", "id", postgresql_where=sa.text("done_at IS NULL")),
    sa.Index(
        "ix_start_outbox_starts",
        "journey",
        "id",
        postgresql_where=sa.text("done_at IS NULL AND kind = 'start'"),
    ),
    sa.Index("ix_start_outbox_wakes", "id", postgresql_where=sa.text("done_at IS NULL AND kind <> 'start'")),
)
