"""Who is whom: evidence, merges, reviews, and what is left of those who were erased."""

from __future__ import annotations

import sqlalchemy as sa

from engine.store.columns import Uuid, instant, json_list, json_object, metadata, text, wall

# Two identities that were said to belong together, the smaller first: the evidence of who is one person.
identity_links = sa.Table(
    "identity_links",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("value", sa.Text, primary_key=True),
    sa.Column("to_kind", sa.Text, primary_key=True),
    sa.Column("to_value", sa.Text, primary_key=True),
    instant("at"),  # logical, the earliest
    text("verdict", nullable=True),  # together | apart: people's decision; refused: over the limit
    sa.CheckConstraint("verdict IN ('together', 'apart', 'refused')", name="verdict"),
    sa.Index(None, "to_kind", "to_value"),
)

merges = sa.Table(
    "merges",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(always=True), primary_key=True),
    sa.Column("survivor", Uuid, nullable=False),
    sa.Column("loser", Uuid, nullable=False),
    instant("at"),  # logical
    wall("merged_at"),
    json_object("before"),  # both profiles as they were, and what moved
    instant("undone_at", nullable=True),  # wall
    text("undone_by", nullable=True),
    sa.Index(None, "survivor"),
    sa.Index(None, "loser"),
)

# What people have to look at: two customers who look like one, too many identifiers on one profile.
identity_reviews = sa.Table(
    "identity_reviews",
    metadata,
    sa.Column("id", Uuid, primary_key=True),  # of reason and identities: the same thing is one row
    text("reason"),
    sa.Column("kind", sa.Text, nullable=False),
    text("one_kind"),
    text("one_value"),
    text("two_kind", nullable=True),
    text("two_value", nullable=True),
    text("via_kind", nullable=True),  # what connects them
    text("via_value", nullable=True),
    sa.Column("seen", sa.BigInteger, nullable=False, server_default=sa.text("1")),
    instant("at"),  # logical
    wall("found_at"),
    text("decision", nullable=True),
    text("decided_by", nullable=True),
    instant("decided_at", nullable=True),  # wall
    sa.CheckConstraint("reason IN ('two_of_a_kind', 'too_many')", name="reason"),
    sa.CheckConstraint("decision IN ('same', 'apart')", name="decision"),
    sa.Index("ix_identity_reviews_open", "at", "id", postgresql_where=sa.text("decision IS NULL")),
)

# Digests of addresses that nothing is sent to any more: engine.store.suppressions.
suppressions = sa.Table(
    "suppressions", metadata, sa.Column("digest", sa.Text, primary_key=True), wall("created_at")
)

erasures = sa.Table(
    "erasures",
    metadata,
    sa.Column("profile_id", Uuid, primary_key=True),  # leads to nobody any more
    json_list("enrolments"),  # their ids
    instant("at"),  # logical
    wall("erased_at"),
    text("erased_by", nullable=True),
)

# Identifiers that could not be brought into the shape of their kind; reasons hold no values.
identity_problems = sa.Table(
    "identity_problems",
    metadata,
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("source", sa.Text, primary_key=True),
    sa.Column("reason", sa.Text, primary_key=True),
    sa.Column("seen", sa.BigInteger, nullable=False),
    wall("first_seen_at"),
    wall("last_seen_at"),
)
