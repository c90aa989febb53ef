"""Enrolments as rows, for the pool driver; the lines of a trace that came together stand in one row."""

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

CREATE INDEX ix_pool_rows_due ON pool_rows (journey, shard, wake_at) WHERE wake_at IS NOT NULL;

CREATE TABLE paces (
    channel TEXT NOT NULL,
    free_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_paces PRIMARY KEY (channel)
);

ALTER TABLE traces RENAME TO trace_lines;
ALTER TABLE trace_lines RENAME CONSTRAINT pk_traces TO pk_trace_lines;
CREATE TABLE traces (
    enrolment_id UUID NOT NULL,
    seq INTEGER NOT NULL,
    lines JSONB NOT NULL,
    CONSTRAINT pk_traces PRIMARY KEY (enrolment_id, seq)
);
INSERT INTO traces (enrolment_id, seq, lines)
    SELECT enrolment_id, min(seq),
        jsonb_agg(jsonb_build_array(at, result, step, detail, passed_over) ORDER BY seq)
    FROM trace_lines GROUP BY enrolment_id;
DROP TABLE trace_lines
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
