"""Jobs that take customers in and hand them out; webhooks that tell other systems of changes."""

from alembic import op

revision = "0010"
down_revision = "0009"

CHANGES = """
CREATE TABLE jobs (
    id UUID NOT NULL,
    kind TEXT NOT NULL,
    state TEXT DEFAULT 'waiting' NOT NULL,
    name TEXT,
    digest TEXT,
    options JSONB DEFAULT '{}'::jsonb NOT NULL,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    done BIGINT DEFAULT 0 NOT NULL,
    total BIGINT,
    counts JSONB DEFAULT '{}'::jsonb NOT NULL,
    error TEXT,
    created_by TEXT,
    remote BOOLEAN DEFAULT false NOT NULL,
    complete BOOLEAN DEFAULT true NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    touched_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_jobs PRIMARY KEY (id),
    CONSTRAINT ck_jobs_kind CHECK (kind IN ('import_customers', 'import_events', 'export')),
    CONSTRAINT ck_jobs_state CHECK (state IN ('waiting', 'running', 'done', 'failed'))
);

CREATE INDEX ix_jobs_kind_digest ON jobs (kind, digest);

CREATE INDEX ix_jobs_open ON jobs (created_at) WHERE state IN ('waiting', 'running');

CREATE TABLE job_rejects (
    job_id UUID NOT NULL,
    line BIGINT NOT NULL,
    kept BOOLEAN NOT NULL,
    reason TEXT NOT NULL,
    CONSTRAINT pk_job_rejects PRIMARY KEY (job_id, line)
);

CREATE TABLE job_parts (
    job_id UUID NOT NULL,
    number INTEGER NOT NULL,
    data BYTEA NOT NULL,
    CONSTRAINT pk_job_parts PRIMARY KEY (job_id, number)
);

CREATE TABLE webhooks (
    name TEXT NOT NULL,
    events TEXT[] NOT NULL,
    include TEXT[] NOT NULL,
    CONSTRAINT pk_webhooks PRIMARY KEY (name)
);

CREATE TABLE webhook_outbox (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    webhook TEXT NOT NULL,
    event TEXT NOT NULL,
    profile_id UUID NOT NULL,
    data JSONB DEFAULT '{}'::jsonb NOT NULL,
    at TIMESTAMP WITH TIME ZONE,
    state TEXT DEFAULT 'waiting' NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    error TEXT,
    CONSTRAINT pk_webhook_outbox PRIMARY KEY (id),
    CONSTRAINT ck_webhook_outbox_state CHECK (state IN ('waiting', 'failed'))
);

CREATE INDEX ix_webhook_outbox_order ON webhook_outbox (webhook, profile_id, id) WHERE state = 'waiting';

CREATE INDEX ix_webhook_outbox_due ON webhook_outbox (due_at) WHERE state = 'waiting';

CREATE INDEX ix_webhook_outbox_profile_id ON webhook_outbox (profile_id)
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
