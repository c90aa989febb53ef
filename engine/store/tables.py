"""Every table of Kairos, as SQLAlchemy Core metadata.

The migrations write the same tables out by hand; a test compares the two. Two tables are partitioned:
`events` by hash of the event's id, `deliveries` by the month in which the enrolment was entered.
`profiles` has its id as only lookup of other tables, so that it can be hash-partitioned the same way.

There are no foreign keys between busy tables: rows arrive in batches from transactions that own their
consistency, and partitions of another server could not keep them.
"""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from engine.language.addresses import KINDS
from engine.store.columns import Uuid, count, instant, json_list, json_object, text, wall
from engine.store.columns import metadata as metadata

SHARDS = 64
"""Shards of the router. A profile's shard never changes: `engine.store.shards.shard_of`."""

EVENT_PARTITIONS = 16
PROFILE_KINDS = KINDS

# Channels of LISTEN/NOTIFY. Payloads are hints (a shard number, a journey's name): the truth is in rows.
EVENTS_CHANNEL = "kairos_events"
STARTS_CHANNEL = "kairos_starts"
PROJECT_CHANNEL = "kairos_project"
CLOCK_CHANNEL = "kairos_clock"

# --- customers ------------------------------------------------------------------------------------------

profiles = sa.Table(
    "profiles",
    metadata,
    sa.Column("id", Uuid, primary_key=True),
    text("key"),  # SHA-256 hex of the first identity; immutable
    text("external_id", nullable=True),
    json_object("addresses"),  # current address by kind: email, phone, wechat, …
    json_object("attributes"),
    json_object("provenance"),  # who said what of each attribute, and when: engine.store.provenance
    sa.Column("tags", pg.ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'::text[]")),
    text("stage", nullable=True),
    text("time_zone", nullable=True),
    text("locale", nullable=True),
    sa.Column("merged_into", Uuid, nullable=True),
    wall("created_at"),
    wall("updated_at"),
    instant("last_routed_at", nullable=True),
    sa.UniqueConstraint("key"),
    sa.Index("ix_profiles_external_id", "external_id", postgresql_where=sa.text("external_id IS NOT NULL")),
    sa.Index("ix_profiles_merged", "id", "merged_into", postgresql_where=sa.text("merged_into IS NOT NULL")),
)

identities = sa.Table(
    "identities",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, primary_key=True),
    sa.Column("profile_id", Uuid, nullable=False),
    wall("created_at"),
    sa.Index(None, "profile_id"),
)

# Two identities that were said to belong together, the smaller first: the evidence of who is one person.
identity_links = sa.Table(
    "identity_links",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, primary_key=True),
    sa.Column("to_kind", sa.Text, primary_key=True),
    sa.Column("to_value", sa.Text, primary_key=True),
    instant("at"),  # logical, the earliest
    text("verdict", nullable=True),  # together | apart: people's decision; refused: over the limit
    sa.CheckConstraint("verdict IN ('together', 'apart', 'refused')", name="verdict"),
    sa.Index(None, "to_kind", "to_value"),
)

merges = sa.Table(
    "merges",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("survivor", Uuid, nullable=False),
    sa.Column("loser", Uuid, nullable=False),
    instant("at"),  # logical
    wall("merged_at"),
    json_object("before"),  # both profiles as they were, and what moved
    instant("undone_at", nullable=True),  # wall
    text("undone_by", nullable=True),
    sa.Index(None, "survivor"),
    sa.Index(None, "loser"),
)

# What people have to look at: two customers who look like one, too many identifiers on one profile.
identity_reviews = sa.Table(
    "identity_reviews",
    metadata,
    sa.Column("id", Uuid, primary_key=True),  # of reason and identities: the same thing is one row
    text("reason"),
    sa.Column("kind", sa.Text, nullable=False),
    text("one_kind"),
    text("one_value"),
    text("two_kind", nullable=True),
    text("two_value", nullable=True),
    text("via_kind", nullable=True),  # what connects them
    text("via_value", nullable=True),
    sa.Column("seen", sa.BigInteger, nullable=False, server_default=sa.text("1")),
    instant("at"),  # logical
    wall("found_at"),
    text("decision", nullable=True),
    text("decided_by", nullable=True),
    instant("decided_at", nullable=True),  # wall
    sa.CheckConstraint("reason IN ('two_of_a_kind', 'too_many')", name="reason"),
    sa.CheckConstraint("decision IN ('same', 'apart')", name="decision"),
    sa.Index("ix_identity_reviews_open", "at", "id", postgresql_where=sa.text("decision IS NULL")),
)

# Digests of addresses that nothing is sent to any more: engine.store.suppressions.
suppressions = sa.Table(
    "suppressions", metadata, sa.Column("digest", sa.Text, primary_key=True), wall("created_at")
)

erasures = sa.Table(
    "erasures",
    metadata,
    sa.Column("profile_id", Uuid, primary_key=True),  # leads to nobody any more
    json_list("enrolments"),  # their ids
    instant("at"),  # logical
    wall("erased_at"),
    text("erased_by", nullable=True),
)

# Identifiers that could not be brought into the shape of their kind; reasons hold no values.
identity_problems = sa.Table(
    "identity_problems",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, primary_key=True),
    sa.Column("seen", sa.BigInteger, nullable=False),
    wall("first_seen_at"),
    wall("last_seen_at"),
)

consents = sa.Table(
    "consents",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("profile_id", Uuid, nullable=False),
    text("channel"),  # `*` for every channel
    text("category"),  # marketing | transactional
    sa.Column("granted", sa.Boolean, nullable=False),
    text("source", nullable=True),
    text("text_version", nullable=True),
    instant("at"),
    wall("recorded_at"),
    sa.Index(None, "profile_id", "channel", "category", "at", "id"),
)

static_segments = sa.Table(
    "static_segments",
    metadata,
    sa.Column("segment", sa.Text, primary_key=True),
    sa.Column("profile_id", Uuid, primary_key=True),
    wall("added_at"),
    sa.Index(None, "profile_id"),
)

# --- events ---------------------------------------------------------------------------------------------

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

# --- plans and journeys ---------------------------------------------------------------------------------

plans = sa.Table(
    "plans",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    text("journey"),
    sa.Column("plan", pg.JSONB, nullable=False),
    wall("created_at"),
    sa.Index(None, "journey"),
)

journeys = sa.Table(
    "journeys",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    text("status"),
    text("live_digest", nullable=True),
    instant("paused_at", nullable=True),
    text("source"),
    count("version", 1),
    wall("applied_at"),
    sa.Column("number", sa.Integer, sa.Identity(always=True), nullable=False),
    sa.UniqueConstraint("number"),
    sa.CheckConstraint("status IN ('draft', 'live', 'paused', 'archived')", name="status"),
)

project = sa.Table(
    "project",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    text("catalogue"),
    text("installation"),
    json_object("templates"),  # path -> text
    json_object("files"),  # every other file of the project: path -> text
    text("digest"),
    wall("applied_at"),
    sa.CheckConstraint("id = 1", name="single"),
)

applies = sa.Table(
    "applies",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    text("digest"),
    text("applied_by", nullable=True),
    json_object("changes"),  # journey -> digest made live
    wall("applied_at"),
)

missed_entries = sa.Table(
    "missed_entries",
    metadata,
    sa.Column("journey", sa.Text, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),  # logical
    sa.Column("reason", sa.Text, primary_key=True),
    sa.Column("missed", sa.BigInteger, nullable=False),
)

# --- enrolments -----------------------------------------------------------------------------------------

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

# --- deliveries and effects -----------------------------------------------------------------------------

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
    text("provider_id", nullable=True),
    sa.Column("raw", pg.JSONB, nullable=True),
    sa.CheckConstraint(f"state IN ({', '.join(repr(s) for s in DELIVERY_STATES)})", name="state"),
    sa.Index(None, "profile_id", "at"),
    sa.Index(None, "journey", "at"),
    sa.Index("ix_deliveries_open", "claimed_at", postgresql_where=sa.text("state IN ('claimed', 'sending')")),
    sa.Index("ix_deliveries_provider_id", "provider_id", postgresql_where=sa.text("provider_id IS NOT NULL")),
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

# --- the way to Temporal --------------------------------------------------------------------------------

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

# --- the pool: enrolments that are advanced in batches -------------------------------------------------

POOL_SHARDS = 8
"""Shards of each journey in the pool: how many workers can be at one journey at the same time."""
POOL_CHANNEL = "kairos_pool"

# Beside an enrolment's own row: narrow, since it is written at every wait. Gone when the enrolment ends.
pool_rows = sa.Table(
    "pool_rows",
    metadata,
    sa.Column("enrolment_id", Uuid, primary_key=True),
    instant("wake_at", nullable=True),  # wall; null: only an event can wake it
    sa.Column("journey", sa.Integer, nullable=False),  # `journeys.number`
    count("called"),  # how much has ever come into its inbox
    count("version"),
    sa.Column("shard", sa.SmallInteger, nullable=False),
    sa.Column("state", sa.LargeBinary, nullable=True),  # null: not begun
    sa.Column("inbox", pg.JSONB, nullable=True),
    sa.Index(
        "ix_pool_rows_due", "journey", "shard", "wake_at", postgresql_where=sa.text("wake_at IS NOT NULL")
    ),
)

paces = sa.Table(
    "paces",
    metadata,
    sa.Column("channel", sa.Text, primary_key=True),
    instant("free_at"),  # wall; `engine.store.paces` says what it means
)

# --- crowds: many who enter a journey at once -----------------------------------------------------------

CROWD_STATES = (
    "waiting",  # asked for
    "entering",
    "entered",  # everybody was looked at
    "cancelled",  # those who were in stay in
    "failed",
)

crowds = sa.Table(
    "crowds",
    metadata,
    sa.Column("id", Uuid, primary_key=True),
    text("journey"),
    text("digest"),  # the plan, fixed when it was asked for
    text("what"),  # all | tag | list | segment
    text("tag", nullable=True),
    json_object("given"),  # what `trigger` has
    text("status", default="waiting"),
    sa.Column("cursor", Uuid, nullable=True),  # the last profile that was looked at
    sa.Column("total", sa.BigInteger, nullable=True),  # who is to be looked at
    sa.Column("looked", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("entered", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    sa.Column("restarted", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    json_object("refused"),  # reason -> how many
    sa.Column("unknown", sa.BigInteger, nullable=False, server_default=sa.text("0")),  # lines of a list
    wall("created_at"),
    instant("entered_at", nullable=True),  # one instant for all
    wall("touched_at"),
    instant("finished_at", nullable=True),  # wall
    text("error", nullable=True),
    text("segment", nullable=True),  # its name; null for a condition that somebody typed
    sa.Column("condition", pg.JSONB, nullable=True),  # what it meant when it was asked for
    sa.CheckConstraint(f"status IN ({', '.join(repr(s) for s in CROWD_STATES)})", name="status"),
    sa.CheckConstraint("what IN ('all', 'tag', 'list', 'segment')", name="what"),
    sa.Index(None, "journey"),
    sa.Index("ix_crowds_open", "status", postgresql_where=sa.text("status IN ('waiting', 'entering')")),
)

# Of a list, until everybody was looked at.
crowd_members = sa.Table(
    "crowd_members",
    metadata,
    sa.Column("crowd_id", Uuid, primary_key=True),
    sa.Column("profile_id", Uuid, primary_key=True),
)

# Events that were routed while a crowd was entering, and may concern somebody who was not in yet.
crowd_events = sa.Table(
    "crowd_events",
    metadata,
    sa.Column("crowd_id", Uuid, primary_key=True),
    sa.Column("event_id", Uuid, primary_key=True),
)

# --- the installation -----------------------------------------------------------------------------------

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
