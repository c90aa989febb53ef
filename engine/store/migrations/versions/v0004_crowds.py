"""Crowds: many who enter a journey at once, as a job."""

from alembic import op

revision = "0004"
down_revision = "0003"

CHANGES = """
CREATE TABLE crowds (
    id UUID NOT NULL,
    journey TEXT NOT NULL,
    digest TEXT NOT NULL,
    what TEXT NOT NULL,
    tag TEXT,
    given JSONB DEFAULT '{}'::jsonb NOT NULL,
    status TEXT DEFAULT 'waiting' NOT NULL,
    cursor UUID,
    total BIGINT,
    looked BIGINT DEFAULT 0 NOT NULL,
    entered BIGINT DEFAULT 0 NOT NULL,
    restarted BIGINT DEFAULT 0 NOT NULL,
    refused JSONB DEFAULT '{}'::jsonb NOT NULL,
    unknown BIGINT DEFAULT 0 NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    entered_at TIMESTAMP WITH TIME ZONE,
    touched_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    finished_at TIMESTAMP WITH TIME ZONE,
    error TEXT,
    CONSTRAINT pk_crowds PRIMARY KEY (id),
    CONSTRAINT ck_crowds_status CHECK (status IN ('waiting', 'entering', 'entered', 'cancelled', 'failed')),
    CONSTRAINT ck_crowds_what CHECK (what IN ('all', 'tag', 'list'))
);

CREATE INDEX ix_crowds_journey ON crowds (journey);

CREATE INDEX ix_crowds_open ON crowds (status) WHERE status IN ('waiting', 'entering');

CREATE TABLE crowd_members (
    crowd_id UUID NOT NULL,
    profile_id UUID NOT NULL,
    CONSTRAINT pk_crowd_members PRIMARY KEY (crowd_id, profile_id)
);

CREATE TABLE crowd_events (
    crowd_id UUID NOT NULL,
    event_id UUID NOT NULL,
    CONSTRAINT pk_crowd_events PRIMARY KEY (crowd_id, event_id)
)
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
