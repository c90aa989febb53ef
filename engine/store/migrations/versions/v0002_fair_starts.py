"""The outbox knows the journey of a start and whether it acts at once, so that starts can take turns."""

from alembic import op

revision = "0002"
down_revision = "0001"

CHANGES = """
ALTER TABLE start_outbox ADD COLUMN journey TEXT DEFAULT '' NOT NULL;
ALTER TABLE start_outbox ADD COLUMN acts BOOLEAN DEFAULT false NOT NULL;
UPDATE start_outbox SET journey = split_part(workflow_id, '/', 1) WHERE done_at IS NULL;
CREATE INDEX ix_start_outbox_open_of ON start_outbox (workflow_id, id) WHERE done_at IS NULL;
CREATE INDEX ix_start_outbox_starts ON start_outbox (journey, id) WHERE done_at IS NULL AND kind = 'start';
CREATE INDEX ix_start_outbox_wakes ON start_outbox (id) WHERE done_at IS NULL AND kind <> 'start'
"""


def upgrade() -> None:
    for statement in CHANGES.split(";\n"):
        op.execute(statement)
