"""Identities: evidence of what belongs together, merges, what people have to look at, provenance."""

from alembic import op

revision = "0006"
down_revision = "0004"

CHANGES = """
CREATE TABLE identity_problems (
    kind TEXT NOT NULL,
    source TEXT NOT NULL,
    reason TEXT NOT NULL,
    seen BIGINT NOT NULL,
    first_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    last_seen_at TIMESTAMP WITH TIME ZONE DEFAULT now() NOT NULL,
    CONSTRAINT pk_identity_problems PRIMARY KEY (kind, source, reason)
)
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
