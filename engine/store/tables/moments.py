"""How far the moments of each journey were looked at."""

from __future__ import annotations

import sqlalchemy as sa

from engine.store.columns import Uuid, instant, metadata, text

moment_ticks = sa.Table(
    "moment_ticks",
    metadata,
    sa.Column("journey", sa.Text, primary_key=True),
    instant("ticked_until"),  # logical; every moment up to here is recorded
    text("digest", nullable=True),  # the plan that `after` is about
    sa.Column("after", Uuid, nullable=True),  # the last event or profile of a slice that was not the last
    instant("until", nullable=True),  # logical; where the slices under way end
    sa.Column("recorded", sa.BigInteger, nullable=False, server_default=sa.text("0")),
    instant("looked_at", nullable=True),  # wall
)
