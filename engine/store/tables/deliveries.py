"""Messages and other effects: the record of getting them there."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from engine.store.columns import Uuid, count, instant, json_list, json_object, metadata, text, wall

DELIVERY_STATES = (
    "claimed",  # owned by a worker, nothing sent yet: safe to repeat
    "sending",  # committed just before the call
    "accepted",  # the provider took it
    "delivered",
    "bounced",
    "complained",
    "rejected",  # the provider refused it for good
    "skipped",  # a policy or the content said no; `reason` is a skip reason
    "deferred",  # to be tried again at `due_at`
    "failed",  # gave up after retries
    "unknown",  # nobody can say whether it went out
)
OPEN_STATES = ("claimed", "sending")
EFFECT_STATES = ("claimed", "sending", "done", "skipped", "failed", "unknown")

deliveries = sa.Table(
    "deliveries",
    metadata,
    sa.Column("enrolment_id", Uuid, primary_key=True),
    sa.Column("step", sa.Text, primary_key=True),
    sa.Column("entry_month", sa.Date, primary_key=True),
    sa.Column("id", Uuid, nullable=False),
    text("key"),  # idempotency key given to the provider
    text("journey"),
    sa.Column("profile_id", Uuid, nullable=False),
    text("category", default="marketing"),
    text("channel", nullable=True),
    text("template", nullable=True),
    text("template_digest", nullable=True),
    text("template_variant", nullable=True),  # folder below the message's own, such as vip/zh-Hant
    text("state"),
    text("reason", nullable=True),
    json_list("passed_over"),
    count("attempts"),
    text("owner", nullable=True),
    wall("created_at"),
    instant("claimed_at", nullable=True),
    instant("sending_at", nullable=True),
    instant("settled_at", nullable=True),
    instant("at"),  # logical instant of the step
    instant("due_at", nullable=True),  # logical, of a deferral
    text("provider", nullable=True),  # which of the channel's several
    text("provider_id", nullable=True),
    text("address_digest", nullable=True),  # of the address that it last went to
    sa.Column("raw", pg.JSONB, nullable=True),
    instant("handed_at", nullable=True),  # logical: when it was last handed to a provider, for caps
    text("quota", nullable=True),  # the provider's quota that it draws on
    sa.Column("units", sa.Integer, nullable=True),  # of its channel's budget
    sa.Column("why", pg.JSONB, nullable=True),  # what rules said: each deferral, then the last word
    sa.CheckConstraint(f"state IN ({', '.join(repr(s) for s in DELIVERY_STATES)})", name="state"),
    sa.Index(None, "profile_id", "at"),
    sa.Index(None, "journey", "at"),
    sa.Index("ix_deliveries_open", "claimed_at", postgresql_where=sa.text("state IN ('claimed', 'sending')")),
    sa.Index("ix_deliveries_provider_id", "provider_id", postgresql_where=sa.text("provider_id IS NOT NULL")),
    sa.Index("ix_deliveries_unknown", "key", postgresql_where=sa.text("state = 'unknown'")),
    postgresql_partition_by="RANGE (entry_month)",
)

effects = sa.Table(
    "effects",
    metadata,
    sa.Column("enrolment_id", Uuid, primary_key=True),
    sa.Column("step", sa.Text, primary_key=True),
    text("verb"),
    text("state"),
    sa.Column("answer", pg.JSONB, nullable=True),
    text("error", nullable=True),
    text("key"),
    text("owner", nullable=True),
    count("attempts"),
    instant("at"),
    wall("created_at"),
    instant("claimed_at", nullable=True),
    instant("sending_at", nullable=True),
    instant("settled_at", nullable=True),
    sa.CheckConstraint(f"state IN ({', '.join(repr(s) for s in EFFECT_STATES)})", name="state"),
    sa.Index("ix_effects_open", "claimed_at", postgresql_where=sa.text("state IN ('claimed', 'sending')")),
)

outbox_messages = sa.Table(
    "outbox_messages",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    text("key"),
    text("channel"),
    text("address"),
    json_object("parts"),
    text("template", nullable=True),
    sa.Column("enrolment_id", Uuid, nullable=True),
    text("step", nullable=True),
    instant("at", nullable=True),
    wall("created_at"),
    sa.UniqueConstraint("key"),
    sa.Index(None, "enrolment_id"),
)
