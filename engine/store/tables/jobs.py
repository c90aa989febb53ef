"""Jobs that take customers in and hand them out, and what other systems are told."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from engine.store.columns import Uuid, count, instant, json_object, metadata, text, wall

JOB_KINDS = ("import_customers", "import_events", "export")
JOB_STATES = (
    "waiting",  # asked for; its file may still be coming in
    "running",
    "done",
    "failed",  # `error` says why
)
JOBS_CHANNEL = "kairos_jobs"

jobs = sa.Table(
    "jobs",
    metadata,
    sa.Column("id", Uuid, primary_key=True),
    text("kind"),
    text("state", default="waiting"),
    text("name", nullable=True),  # of the file
    text("digest", nullable=True),  # of the file: what makes the same file the same job
    json_object("options"),
    instant("at"),  # logical: when what the file says was said
    sa.Column("done", sa.BigInteger, nullable=False, server_default=sa.text("0")),  # rows; where it goes on
    sa.Column("total", sa.BigInteger, nullable=True),
    json_object("counts"),
    text("error", nullable=True),
    text("created_by", nullable=True),
    sa.Column("remote", sa.Boolean, nullable=False, server_default=sa.text("false")),  # a worker does it
    sa.Column("complete", sa.Boolean, nullable=False, server_default=sa.text("true")),  # all parts are there
    wall("created_at"),
    wall("touched_at"),
    instant("finished_at", nullable=True),  # wall
    sa.CheckConstraint(f"kind IN ({', '.join(repr(k) for k in JOB_KINDS)})", name="kind"),
    sa.CheckConstraint(f"state IN ({', '.join(repr(s) for s in JOB_STATES)})", name="state"),
    sa.Index(None, "kind", "digest"),
    sa.Index("ix_jobs_open", "created_at", postgresql_where=sa.text("state IN ('waiting', 'running')")),
)

# Lines of a file that were left out, or of which something was; reasons hold no values.
job_rejects = sa.Table(
    "job_rejects",
    metadata,
    sa.Column("job_id", Uuid, primary_key=True),
    sa.Column("line", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("kept", sa.Boolean, nullable=False),  # the rest of the line is in
    text("reason"),
)

# What was uploaded until it is in, and what is to be fetched until it is old.
job_parts = sa.Table(
    "job_parts",
    metadata,
    sa.Column("job_id", Uuid, primary_key=True),
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("data", sa.LargeBinary, nullable=False),
)

# The webhooks of the project that was applied, without their secrets: which change concerns whom.
webhooks = sa.Table(
    "webhooks",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    sa.Column("events", pg.ARRAY(sa.Text), nullable=False),
    sa.Column("include", pg.ARRAY(sa.Text), nullable=False),
)

# What they are to be told, written with the change itself and gone once it was told.
webhook_outbox = sa.Table(
    "webhook_outbox",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    text("webhook"),
    text("event"),
    sa.Column("profile_id", Uuid, nullable=False),
    json_object("data"),
    instant("at", nullable=True),  # logical; null: the moment at which it was written
    text("state", default="waiting"),
    wall("created_at"),
    wall("due_at"),
    count("attempts"),
    text("error", nullable=True),
    sa.CheckConstraint("state IN ('waiting', 'failed')", name="state"),
    sa.Index(
        "ix_webhook_outbox_order",
        "webhook",
        "profile_id",
        "id",
        postgresql_where=sa.text("state = 'waiting'"),
    ),
    sa.Index("ix_webhook_outbox_due", "due_at", postgresql_where=sa.text("state = 'waiting'")),
    sa.Index(None, "profile_id"),
)
