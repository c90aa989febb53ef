"""Customers: profiles, the identities that lead to them, consents, lists."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

from engine.store.columns import Uuid, instant, json_object, metadata, text, wall

profiles = sa.Table(
    "profiles",
    metadata,
    sa.Column("id", Uuid, primary_key=True),
    text("key"),  # SHA-256 hex of the first identity; immutable
    text("external_id", nullable=True),
    json_object("addresses"),  # current address by kind: email, phone, wechat, …
    json_object("attributes"),
    json_object("provenance"),  # who said what of each attribute, and when: engine.store.provenance
    sa.Column("tags", pg.ARRAY(sa.Text), nullable=False, server_default=sa.text("'{}'::text[]")),
    instant("tags_expire_at", nullable=True),  # the first instant at which one of them does
    text("stage", nullable=True),  # by hand: it wins over rules
    text("time_zone", nullable=True),
    text("locale", nullable=True),
    sa.Column("merged_into", Uuid, nullable=True),
    wall("created_at"),
    wall("updated_at"),
    instant("last_routed_at", nullable=True),
    sa.UniqueConstraint("key"),
    sa.Index("ix_profiles_external_id", "external_id", postgresql_where=sa.text("external_id IS NOT NULL")),
    sa.Index(
        "ix_profiles_tags_expire_at",
        "tags_expire_at",
        postgresql_where=sa.text("tags_expire_at IS NOT NULL"),
    ),
    sa.Index("ix_profiles_merged", "id", "merged_into", postgresql_where=sa.text("merged_into IS NOT NULL")),
)

identities = sa.Table(
    "identities",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, primary_key=True),
    sa.Column("profile_id", Uuid, nullable=False),
    wall("created_at"),
    sa.Index(None, "profile_id"),
)

consents = sa.Table(
    "consents",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("profile_id", Uuid, nullable=False),
    text("channel"),  # `*` for every channel
    text("category"),  # marketing | transactional
    sa.Column("purpose", sa.Text, nullable=False, server_default="*"),  # `*` for every purpose
    sa.Column("granted", sa.Boolean, nullable=False),
    text("source", nullable=True),
    text("text_version", nullable=True),
    instant("at"),
    wall("recorded_at"),
    sa.Index(None, "profile_id", "channel", "category", "at", "id"),
)

static_segments = sa.Table(
    "static_segments",
    metadata,
    sa.Column("segment", sa.Text, primary_key=True),
    sa.Column("profile_id", Uuid, primary_key=True),
    wall("added_at"),
    sa.Index(None, "profile_id"),
)
