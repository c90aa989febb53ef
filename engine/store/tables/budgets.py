"""What channels have used of their budgets."""

from __future__ import annotations

import sqlalchemy as sa

from engine.store.columns import Instant, metadata

budgets = sa.Table(
    "budgets",
    metadata,
    sa.Column("channel", sa.Text, primary_key=True),
    sa.Column("begins_at", Instant, primary_key=True),  # logical: of the hour, day or week
    sa.Column("used", sa.BigInteger, nullable=False),
)
