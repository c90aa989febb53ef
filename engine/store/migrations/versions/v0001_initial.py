"""Everything the first version keeps.

The tables are written out as they were then: a migration must not change when `engine.store.tables` does.
"""

from alembic import op

revision = "0001"
down_revision = None

TABLES = """
CREATE SEQUENCE events_sequence AS BIGINT;

CREATE TABLE api_keys (
    id UUID NOT NULL,
    name TEXT NOT NULL,
    scope TEXT NOT NULL,
    source TEXT,
    hash TEXT NOT NULL,
    prefix TEXT NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    revoked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_api_keys PRIMARY KEY (id),
    CONSTRAINT uq_api_keys_hash UNIQUE (hash),
    CONSTRAINT ck_api_keys_scope CHECK (scope IN ('ingest', 'read', 'manage'))
);

CREATE TABLE applies (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    digest TEXT NOT NULL,
    applied_by TEXT,
    changes JSONB DEFAULT '{}'::jsonb NOT NULL,
    applied_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_applies PRIMARY KEY (id)
);

CREATE TABLE clock (
    id SMALLINT NOT NULL,
    epoch_logical TIMESTAMP WITH TIME ZONE NOT NULL,
    epoch_wall TIMESTAMP WITH TIME ZONE NOT NULL,
    speed DOUBLE PRECISION NOT NULL,
    grace_seconds DOUBLE PRECISION NOT NULL,
    complete_until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_clock PRIMARY KEY (id),
    CONSTRAINT ck_clock_single CHECK (id = 1),
    CONSTRAINT ck_clock_speed CHECK (speed > 0)
);

CREATE TABLE consents (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    profile_id UUID NOT NULL,
    channel TEXT NOT NULL,
    category TEXT NOT NULL,
    granted BOOLEAN NOT NULL,
    source TEXT,
    text_version TEXT,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    recorded_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_consents PRIMARY KEY (id)
);

CREATE INDEX ix_consents_profile_id_channel_category_at_id ON consents (profile_id, channel,
        category, at, id);

CREATE TABLE deliveries (
    enrolment_id UUID NOT NULL,
    step TEXT NOT NULL,
    entry_month DATE NOT NULL,
    id UUID NOT NULL,
    key TEXT NOT NULL,
    journey TEXT NOT NULL,
    profile_id UUID NOT NULL,
    category TEXT DEFAULT 'marketing' NOT NULL,
    channel TEXT,
    template TEXT,
    template_digest TEXT,
    state TEXT NOT NULL,
    reason TEXT,
    passed_over JSONB DEFAULT '[]'::jsonb NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    owner TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    claimed_at TIMESTAMP WITH TIME ZONE,
    sending_at TIMESTAMP WITH TIME ZONE,
    settled_at TIMESTAMP WITH TIME ZONE,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE,
    provider_id TEXT,
    raw JSONB,
    CONSTRAINT pk_deliveries PRIMARY KEY (enrolment_id, step, entry_month),
    CONSTRAINT ck_deliveries_state CHECK (state IN ('claimed', 'sending', 'accepted', 'delivered',
        'bounced', 'complained', 'rejected', 'skipped', 'deferred', 'failed', 'unknown'))
)
 PARTITION BY RANGE (entry_month);

CREATE INDEX ix_deliveries_journey_at ON deliveries (journey, at);

CREATE INDEX ix_deliveries_open ON deliveries (claimed_at) WHERE state IN ('claimed', 'sending');

CREATE INDEX ix_deliveries_profile_id_at ON deliveries (profile_id, at);

CREATE INDEX ix_deliveries_provider_id ON deliveries (provider_id) WHERE provider_id IS NOT NULL;

CREATE TABLE effects (
    enrolment_id UUID NOT NULL,
    step TEXT NOT NULL,
    verb TEXT NOT NULL,
    state TEXT NOT NULL,
    answer JSONB,
    error TEXT,
    key TEXT NOT NULL,
    owner TEXT,
    attempts INTEGER DEFAULT 0 NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    claimed_at TIMESTAMP WITH TIME ZONE,
    sending_at TIMESTAMP WITH TIME ZONE,
    settled_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_effects PRIMARY KEY (enrolment_id, step),
    CONSTRAINT ck_effects_state CHECK (state IN ('claimed', 'sending', 'done', 'skipped', 'failed',
        'unknown'))
);

CREATE INDEX ix_effects_open ON effects (claimed_at) WHERE state IN ('claimed', 'sending');

CREATE TABLE enrolments (
    id UUID NOT NULL,
    journey TEXT NOT NULL,
    digest TEXT NOT NULL,
    profile_id UUID NOT NULL,
    profile_key TEXT NOT NULL,
    shard SMALLINT NOT NULL,
    one_per TEXT DEFAULT '' NOT NULL,
    trigger_event_id UUID,
    trigger JSONB DEFAULT '{}'::jsonb NOT NULL,
    holdout BOOLEAN NOT NULL,
    entered_at TIMESTAMP WITH TIME ZONE NOT NULL,
    entry_month DATE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    driver TEXT DEFAULT 'workflow' NOT NULL,
    workflow_id TEXT,
    status TEXT DEFAULT 'live' NOT NULL,
    exit TEXT,
    exit_detail TEXT,
    ended_at TIMESTAMP WITH TIME ZONE,
    closed_at TIMESTAMP WITH TIME ZONE,
    converted_at TIMESTAMP WITH TIME ZONE,
    answers JSONB DEFAULT '{}'::jsonb NOT NULL,
    variants JSONB DEFAULT '{}'::jsonb NOT NULL,
    moved_by UUID,
    step TEXT,
    CONSTRAINT pk_enrolments PRIMARY KEY (id),
    CONSTRAINT ck_enrolments_status CHECK (status IN ('live', 'ended')),
    CONSTRAINT ck_enrolments_exit_when_ended CHECK ((status = 'ended') = (exit IS NOT NULL)),
    CONSTRAINT ck_enrolments_driver CHECK (driver IN ('workflow', 'pool'))
);

CREATE INDEX ix_enrolments_digest_live ON enrolments (digest) WHERE status = 'live';

CREATE INDEX ix_enrolments_journey_entered_at_id ON enrolments (journey, entered_at, id);

CREATE INDEX ix_enrolments_profile_id ON enrolments (profile_id);

CREATE UNIQUE INDEX uq_enrolments_live ON enrolments (journey, profile_id, one_per) WHERE status = 'live';

CREATE TABLE entry_states (
    journey TEXT NOT NULL,
    profile_id UUID NOT NULL,
    one_per TEXT NOT NULL,
    shard SMALLINT NOT NULL,
    pending_id UUID,
    pending_at TIMESTAMP WITH TIME ZONE,
    pending_order BIGINT DEFAULT 0 NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE,
    live_id UUID,
    entered_at TIMESTAMP WITH TIME ZONE,
    entered INTEGER DEFAULT 0 NOT NULL,
    ended_at TIMESTAMP WITH TIME ZONE,
    contested JSONB DEFAULT '[]'::jsonb NOT NULL,
    CONSTRAINT pk_entry_states PRIMARY KEY (journey, profile_id, one_per)
);

CREATE INDEX ix_entry_states_due ON entry_states (shard, due_at) WHERE due_at IS NOT NULL;

CREATE INDEX ix_entry_states_profile_id ON entry_states (profile_id);

CREATE TABLE events (
    event_id UUID NOT NULL,
    sequence BIGINT DEFAULT nextval('events_sequence') NOT NULL,
    profile_id UUID NOT NULL,
    shard SMALLINT NOT NULL,
    name TEXT NOT NULL,
    type TEXT DEFAULT 'track' NOT NULL,
    properties JSONB DEFAULT '{}'::jsonb NOT NULL,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    source TEXT NOT NULL,
    message_id TEXT NOT NULL,
    routed_at TIMESTAMP WITH TIME ZONE,
    error TEXT,
    CONSTRAINT pk_events PRIMARY KEY (event_id)
)
 PARTITION BY HASH (event_id);

CREATE INDEX ix_events_profile_id_name_occurred_at ON events (profile_id, name, occurred_at);

CREATE INDEX ix_events_unrouted ON events (shard, occurred_at, sequence) WHERE routed_at IS NULL;

CREATE TABLE identities (
    kind TEXT NOT NULL,
    value TEXT NOT NULL,
    profile_id UUID NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_identities PRIMARY KEY (kind, value)
);

CREATE INDEX ix_identities_profile_id ON identities (profile_id);

CREATE TABLE journeys (
    name TEXT NOT NULL,
    status TEXT NOT NULL,
    live_digest TEXT,
    paused_at TIMESTAMP WITH TIME ZONE,
    source TEXT NOT NULL,
    version INTEGER DEFAULT 1 NOT NULL,
    applied_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_journeys PRIMARY KEY (name),
    CONSTRAINT ck_journeys_status CHECK (status IN ('draft', 'live', 'paused', 'archived'))
);

CREATE TABLE missed_entries (
    journey TEXT NOT NULL,
    day DATE NOT NULL,
    reason TEXT NOT NULL,
    missed BIGINT NOT NULL,
    CONSTRAINT pk_missed_entries PRIMARY KEY (journey, day, reason)
);

CREATE TABLE outbox_messages (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    key TEXT NOT NULL,
    channel TEXT NOT NULL,
    address TEXT NOT NULL,
    parts JSONB DEFAULT '{}'::jsonb NOT NULL,
    template TEXT,
    enrolment_id UUID,
    step TEXT,
    at TIMESTAMP WITH TIME ZONE,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_outbox_messages PRIMARY KEY (id),
    CONSTRAINT uq_outbox_messages_key UNIQUE (key)
);

CREATE INDEX ix_outbox_messages_enrolment_id ON outbox_messages (enrolment_id);

CREATE TABLE plans (
    digest TEXT NOT NULL,
    journey TEXT NOT NULL,
    plan JSONB NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_plans PRIMARY KEY (digest)
);

CREATE INDEX ix_plans_journey ON plans (journey);

CREATE TABLE profiles (
    id UUID NOT NULL,
    key TEXT NOT NULL,
    external_id TEXT,
    addresses JSONB DEFAULT '{}'::jsonb NOT NULL,
    attributes JSONB DEFAULT '{}'::jsonb NOT NULL,
    tags TEXT[] DEFAULT '{}'::text[] NOT NULL,
    stage TEXT,
    time_zone TEXT,
    locale TEXT,
    merged_into UUID,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    updated_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_routed_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_profiles PRIMARY KEY (id),
    CONSTRAINT uq_profiles_key UNIQUE (key)
);

CREATE INDEX ix_profiles_external_id ON profiles (external_id) WHERE external_id IS NOT NULL;

CREATE TABLE project (
    id SMALLINT NOT NULL,
    catalogue TEXT NOT NULL,
    installation TEXT NOT NULL,
    templates JSONB DEFAULT '{}'::jsonb NOT NULL,
    files JSONB DEFAULT '{}'::jsonb NOT NULL,
    digest TEXT NOT NULL,
    applied_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_project PRIMARY KEY (id),
    CONSTRAINT ck_project_single CHECK (id = 1)
);

CREATE TABLE start_outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    kind TEXT NOT NULL,
    workflow_id TEXT NOT NULL,
    enrolment_id UUID NOT NULL,
    payload JSONB DEFAULT '{}'::jsonb NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    not_before TIMESTAMP WITH TIME ZONE,
    done_at TIMESTAMP WITH TIME ZONE,
    attempts INTEGER DEFAULT 0 NOT NULL,
    error TEXT,
    CONSTRAINT pk_start_outbox PRIMARY KEY (id),
    CONSTRAINT ck_start_outbox_kind CHECK (kind IN ('start', 'wake', 'control'))
);

CREATE INDEX ix_start_outbox_open ON start_outbox (id) WHERE done_at IS NULL;

CREATE TABLE static_segments (
    segment TEXT NOT NULL,
    profile_id UUID NOT NULL,
    added_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_static_segments PRIMARY KEY (segment, profile_id)
);

CREATE INDEX ix_static_segments_profile_id ON static_segments (profile_id);

CREATE TABLE traces (
    enrolment_id UUID NOT NULL,
    seq INTEGER NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    result TEXT NOT NULL,
    step TEXT,
    detail TEXT,
    passed_over JSONB DEFAULT '[]'::jsonb NOT NULL,
    CONSTRAINT pk_traces PRIMARY KEY (enrolment_id, seq)
);

CREATE TABLE undeclared (
    event TEXT NOT NULL,
    property TEXT NOT NULL,
    seen BIGINT NOT NULL,
    first_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_undeclared PRIMARY KEY (event, property)
);

CREATE TABLE workers (
    id TEXT NOT NULL,
    kind TEXT NOT NULL,
    started_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_workers PRIMARY KEY (id)
);
"""

EVENT_PARTITIONS = 16


def upgrade() -> None:
    for statement in TABLES.split(";\n"):
        if statement.strip():
            op.execute(statement)
    for number in range(EVENT_PARTITIONS):
        op.execute(
            f"CREATE TABLE events_p{number:02} PARTITION OF events "
            f"FOR VALUES WITH (MODULUS {EVENT_PARTITIONS}, REMAINDER {number})"
        )
    op.execute("CREATE TABLE deliveries_default PARTITION OF deliveries DEFAULT")
