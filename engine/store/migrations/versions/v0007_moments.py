"""Moments: how far each journey was looked at; when a campaign was to be launched."""

from alembic import op

revision = "0007"
down_revision = "0006"

CHANGES = """
CREATE TABLE moment_ticks (
    journey TEXT NOT NULL,
    ticked_until TIMESTAMP WITH TIME ZONE NOT NULL,
    digest TEXT,
    after UUID,
    until TIMESTAMP WITH TIME ZONE,
    recorded BIGINT DEFAULT 0 NOT NULL,
    looked_at TIMESTAMP WITH TIME ZONE,
    CONSTRAINT pk_moment_ticks PRIMARY KEY (journey)
);

ALTER TABLE crowds ADD COLUMN due_at TIMESTAMP WITH TIME ZONE
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
