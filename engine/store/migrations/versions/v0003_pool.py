"""Enrolments as rows: what the pool driver works on."""

from alembic import op

revision = "0003"
down_revision = "0002"

CHANGES = """
ALTER TABLE journeys ADD COLUMN number INTEGER GENERATED ALWAYS AS IDENTITY;
ALTER TABLE journeys ADD CONSTRAINT uq_journeys_number UNIQUE (number);

CREATE TABLE pool_rows (
    enrolment_id UUID NOT NULL,
    wake_at TIMESTAMP WITH TIME ZONE,
    journey INTEGER NOT NULL,
    called INTEGER DEFAULT 0 NOT NULL,
    version INTEGER DEFAULT 0 NOT NULL,
    shard SMALLINT NOT NULL,
    state BYTEA,
    inbox JSONB,
    CONSTRAINT pk_pool_rows PRIMARY KEY (enrolment_id)
);

CREATE INDEX ix_pool_rows_due ON pool_rows (journey, shard, wake_at) WHERE wake_at IS NOT NULL
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
