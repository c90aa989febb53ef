"""What providers called us with, and access tokens that processes share."""

from alembic import op

revision = "0011"
down_revision = "0010"

CHANGES = """
CREATE TABLE heard (
    id BIGINT GENERATED ALWAYS AS IDENTITY,
    channel TEXT NOT NULL,
    adapter TEXT NOT NULL,
    kind TEXT NOT NULL,
    message_id TEXT,
    payload JSONB DEFAULT '{}'::jsonb NOT NULL,
    state TEXT DEFAULT 'waiting' NOT NULL,
    received_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    due_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    attempts INTEGER DEFAULT 0 NOT NULL,
    reason TEXT,
    CONSTRAINT pk_heard PRIMARY KEY (id),
    CONSTRAINT ck_heard_kind CHECK (kind IN ('receipt', 'inbound')),
    CONSTRAINT ck_heard_state CHECK (state IN ('waiting', 'parked'))
);

CREATE INDEX ix_heard_waiting ON heard (kind, due_at, id) WHERE state = 'waiting';

CREATE UNIQUE INDEX uq_heard_message_id ON heard (channel, adapter, message_id) WHERE message_id IS NOT NULL;

CREATE TABLE access_tokens (
    name TEXT NOT NULL,
    version BIGINT NOT NULL,
    value TEXT,
    ends_at TIMESTAMP WITH TIME ZONE,
    fetching_until TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_access_tokens PRIMARY KEY (name)
);

CREATE INDEX ix_deliveries_unknown ON deliveries (key) WHERE state = 'unknown';
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
