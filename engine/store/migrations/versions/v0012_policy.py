"""Policies: what a message was judged by and counts for, and what channels have used of their budgets."""

from alembic import op

revision = "0012"
down_revision = "0011"

CHANGES = """
ALTER TABLE deliveries
    ADD COLUMN handed_at TIMESTAMP WITH TIME ZONE,
    ADD COLUMN quota TEXT,
    ADD COLUMN units INTEGER,
    ADD COLUMN why JSONB;

UPDATE deliveries SET handed_at = at WHERE sending_at IS NOT NULL;

CREATE TABLE budgets (
    channel TEXT NOT NULL,
    begins_at TIMESTAMP WITH TIME ZONE NOT NULL,
    used BIGINT NOT NULL,
    CONSTRAINT pk_budgets PRIMARY KEY (channel, begins_at)
)
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
