"""What is worked out about customers over all of them."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from engine.store.columns import Uuid, instant, json_object, metadata, text

rfm = sa.Table(
    "rfm",
    metadata,
    sa.Column("profile_id", Uuid, primary_key=True),
    sa.Column("recency", sa.SmallInteger, nullable=False),
    sa.Column("frequency", sa.SmallInteger, nullable=False),
    sa.Column("monetary", sa.SmallInteger, nullable=False),
    text("segment", nullable=True),
    instant("computed_at"),
)

rfm_cuts = sa.Table(
    "rfm_cuts",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    json_object("definition"),  # event, money, within, quantiles
    sa.Column("base", sa.BigInteger, nullable=False),  # customers that were scored
    sa.Column("recency", pg.ARRAY(sa.DateTime(timezone=True)), nullable=False),
    sa.Column("frequency", pg.ARRAY(sa.BigInteger), nullable=False),
    sa.Column("monetary", pg.ARRAY(sa.Double), nullable=False),
    instant("computed_at"),
    sa.CheckConstraint("id = 1", name="single"),
)
