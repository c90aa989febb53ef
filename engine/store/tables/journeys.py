"""Plans, journeys, and what was applied."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from engine.store.columns import count, instant, json_object, metadata, text, wall

plans = sa.Table(
    "plans",
    metadata,
    sa.Column("digest", sa.Text, primary_key=True),
    text("journey"),
    sa.Column("plan", pg.JSONB, nullable=False),
    wall("created_at"),
    sa.Index(None, "journey"),
)

journeys = sa.Table(
    "journeys",
    metadata,
    sa.Column("name", sa.Text, primary_key=True),
    text("status"),
    text("live_digest", nullable=True),
    instant("paused_at", nullable=True),
    text("source"),
    count("version", 1),
    wall("applied_at"),
    sa.Column("number", sa.Integer, sa.Identity(always=True), nullable=False),
    sa.UniqueConstraint("number"),
    sa.CheckConstraint("status IN ('draft', 'live', 'paused', 'archived')", name="status"),
)

project = sa.Table(
    "project",
    metadata,
    sa.Column("id", sa.SmallInteger, primary_key=True, autoincrement=False),
    text("catalogue"),
    text("installation"),
    json_object("templates"),  # path -> text
    json_object("files"),  # every other file of the project: path -> text
    text("digest"),
    wall("applied_at"),
    sa.CheckConstraint("id = 1", name="single"),
)

applies = sa.Table(
    "applies",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    text("digest"),
    text("applied_by", nullable=True),
    json_object("changes"),  # journey -> digest made live
    wall("applied_at"),
)

missed_entries = sa.Table(
    "missed_entries",
    metadata,
    sa.Column("journey", sa.Text, primary_key=True),
    sa.Column("day", sa.Date, primary_key=True),  # logical
    sa.Column("reason", sa.Text, primary_key=True),
    sa.Column("missed", sa.BigInteger, nullable=False),
)
