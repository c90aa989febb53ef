"""RFM: scores of customers, and the cut points they were scored by. Consent: a purpose."""

from alembic import op

revision = "0009"
down_revision = "0008"

CHANGES = """
ALTER TABLE consents ADD COLUMN purpose TEXT DEFAULT '*' NOT NULL;

CREATE TABLE rfm (
    profile_id UUID NOT NULL,
    recency SMALLINT NOT NULL,
    frequency SMALLINT NOT NULL,
    monetary SMALLINT NOT NULL,
    segment TEXT,
    computed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_rfm PRIMARY KEY (profile_id)
);

CREATE TABLE rfm_cuts (
    id SMALLINT NOT NULL,
    definition JSONB DEFAULT '{}'::jsonb NOT NULL,
    base BIGINT NOT NULL,
    recency TIMESTAMP WITH TIME ZONE[] NOT NULL,
    frequency BIGINT[] NOT NULL,
    monetary DOUBLE PRECISION[] NOT NULL,
    computed_at TIMESTAMP WITH TIME ZONE NOT NULL,
    CONSTRAINT pk_rfm_cuts PRIMARY KEY (id),
    CONSTRAINT ck_rfm_cuts_single CHECK (id = 1)
)
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
