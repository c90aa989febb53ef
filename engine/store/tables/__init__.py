"""Every table of Kairos, as SQLAlchemy Core metadata.

The migrations write the same tables out by hand; a test compares the two. Two tables are partitioned:
`events` by hash of the event's id, `deliveries` by the month in which the enrolment was entered.
`profiles` has its id as only lookup of other tables, so that it can be hash-partitioned the same way.

There are no foreign keys between busy tables: rows arrive in batches from transactions that own their
consistency, and partitions of another server could not keep them.
"""

from engine.language.addresses import KINDS
from engine.store.columns import metadata
from engine.store.tables.audiences import (
    AUDIENCE_CAUSES,
    AUDIENCE_CHANGE_STATES,
    audience_changes,
    audience_members,
    audience_work,
)
from engine.store.tables.budgets import budgets
from engine.store.tables.callbacks import HEARD_CHANNEL, HEARD_STATES, access_tokens, heard
from engine.store.tables.customers import consents, identities, profiles, static_segments
from engine.store.tables.deliveries import (
    DELIVERY_STATES,
    EFFECT_STATES,
    OPEN_STATES,
    deliveries,
    effects,
    outbox_messages,
)
from engine.store.tables.derived import (
    followed,
    membership_changes,
    memberships,
    rechecks,
    stage_changes,
    stages,
    tag_grants,
)
from engine.store.tables.enrolments import enrolments, entry_states, traces
from engine.store.tables.events import EVENT_PARTITIONS, events, events_sequence, undeclared
from engine.store.tables.identity import (
    erasures,
    identity_links,
    identity_problems,
    identity_reviews,
    merges,
    suppressions,
)
from engine.store.tables.installation import api_keys, clock, workers
from engine.store.tables.jobs import (
    JOB_KINDS,
    JOB_STATES,
    JOBS_CHANNEL,
    job_parts,
    job_rejects,
    jobs,
    webhook_outbox,
    webhooks,
)
from engine.store.tables.journeys import applies, journeys, missed_entries, plans, project
from engine.store.tables.knowledge import rfm, rfm_cuts
from engine.store.tables.links import link_secrets, message_links
from engine.store.tables.moments import moment_ticks
from engine.store.tables.pool import (
    CROWD_STATES,
    POOL_CHANNEL,
    POOL_SHARDS,
    crowd_events,
    crowd_members,
    crowds,
    paces,
    pool_rows,
)
from engine.store.tables.starts import start_outbox

SHARDS = 64
"""Shards of the router. A profile's shard never changes: `engine.store.shards.shard_of`."""

PROFILE_KINDS = KINDS

# Channels of LISTEN/NOTIFY. Payloads are hints (a shard number, a journey's name): the truth is in rows.
EVENTS_CHANNEL = "kairos_events"
STARTS_CHANNEL = "kairos_starts"
PROJECT_CHANNEL = "kairos_project"
CLOCK_CHANNEL = "kairos_clock"

__all__ = [
    "AUDIENCE_CAUSES",
    "AUDIENCE_CHANGE_STATES",
    "CLOCK_CHANNEL",
    "CROWD_STATES",
    "DELIVERY_STATES",
    "EFFECT_STATES",
    "EVENTS_CHANNEL",
    "EVENT_PARTITIONS",
    "HEARD_CHANNEL",
    "HEARD_STATES",
    "JOBS_CHANNEL",
    "JOB_KINDS",
    "JOB_STATES",
    "OPEN_STATES",
    "POOL_CHANNEL",
    "POOL_SHARDS",
    "PROFILE_KINDS",
    "PROJECT_CHANNEL",
    "SHARDS",
    "STARTS_CHANNEL",
    "access_tokens",
    "api_keys",
    "applies",
    "audience_changes",
    "audience_members",
    "audience_work",
    "budgets",
    "clock",
    "consents",
    "crowd_events",
    "crowd_members",
    "crowds",
    "deliveries",
    "effects",
    "enrolments",
    "entry_states",
    "erasures",
    "events",
    "events_sequence",
    "followed",
    "heard",
    "identities",
    "identity_links",
    "identity_problems",
    "identity_reviews",
    "job_parts",
    "job_rejects",
    "jobs",
    "journeys",
    "link_secrets",
    "membership_changes",
    "memberships",
    "merges",
    "message_links",
    "metadata",
    "missed_entries",
    "moment_ticks",
    "outbox_messages",
    "paces",
    "plans",
    "pool_rows",
    "profiles",
    "project",
    "rechecks",
    "rfm",
    "rfm_cuts",
    "stage_changes",
    "stages",
    "start_outbox",
    "static_segments",
    "suppressions",
    "tag_grants",
    "traces",
    "undeclared",
    "webhook_outbox",
    "webhooks",
    "workers",
]
