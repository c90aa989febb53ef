"""Advertising audiences; which of several providers a delivery went to."""

from alembic import op

revision = "0014"
down_revision = "0013"

CHANGES = """
CREATE TABLE audience_changes (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    audience TEXT NOT NULL,
    profile_id UUID NOT NULL,
    adds BOOLEAN NOT NULL,
    cause TEXT NOT NULL,
    enrolment_id UUID,
    step TEXT,
    at TIMESTAMP WITH TIME ZONE NOT NULL,
    state TEXT DEFAULT 'waiting' NOT NULL,
    reason TEXT,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    settled_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_audience_changes PRIMARY KEY (id),
    CONSTRAINT ck_audience_changes_cause CHECK (cause IN ('step', 'no_consent', 'erased')),
    CONSTRAINT ck_audience_changes_state CHECK (state IN (
        'waiting', 'done', 'superseded', 'skipped', 'failed'))
);

CREATE INDEX ix_audience_changes_waiting ON audience_changes (audience, id) WHERE state = 'waiting';

CREATE INDEX ix_audience_changes_profile_id ON audience_changes (profile_id);

CREATE TABLE audience_members (
    audience TEXT NOT NULL,
    profile_id UUID NOT NULL,
    digests TEXT[] NOT NULL,
    since_at TIMESTAMP WITH TIME ZONE NOT NULL,
    recheck BOOLEAN DEFAULT false NOT NULL,
    CONSTRAINT pk_audience_members PRIMARY KEY (audience, profile_id)
);

CREATE INDEX ix_audience_members_profile_id ON audience_members (profile_id);

CREATE INDEX ix_audience_members_recheck ON audience_members (audience) WHERE recheck;

CREATE TABLE audience_work (
    audience TEXT NOT NULL,
    owner TEXT,
    leased_until TIMESTAMP WITH TIME ZONE,
    due_at TIMESTAMP WITH TIME ZONE,
    attempts INTEGER DEFAULT 0 NOT NULL,
    error TEXT,
    called_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_audience_work PRIMARY KEY (audience)
);

ALTER TABLE deliveries ADD COLUMN provider TEXT;
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
