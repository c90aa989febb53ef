"""deliveries: which variant of a template they used

Revision ID: 0015
Revises: 0010
"""

from __future__ import annotations

from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.execute("ALTER TABLE deliveries ADD COLUMN template_variant TEXT")
