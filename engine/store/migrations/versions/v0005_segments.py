"""Crowds by segment: what was asked, as it was meant when it was asked for."""

from alembic import op

revision = "0005"
down_revision = "0004"

CHANGES = """
ALTER TABLE crowds ADD COLUMN segment TEXT;

ALTER TABLE crowds ADD COLUMN condition JSONB;

ALTER TABLE crowds DROP CONSTRAINT ck_crowds_what;

ALTER TABLE crowds ADD CONSTRAINT ck_crowds_what CHECK (what IN ('all', 'tag', 'list', 'segment'))
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        if statement.strip():
            op.execute(statement)
