"""Kinds of columns that the tables share, and how their keys and indexes are named."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql as pg

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Instant = sa.DateTime(timezone=True)
Uuid = sa.Uuid(as_uuid=False)
"""Ids are text in Python, as in the core, in JSON and in workflow inputs."""

_NOW = sa.text("now()")
_EMPTY_OBJECT = sa.text("'{}'::jsonb")
_EMPTY_LIST = sa.text("'[]'::jsonb")


def instant(name: str, *, nullable: bool = False) -> sa.Column[Any]:
    """A logical instant, given by the caller."""
    return sa.Column(name, Instant, nullable=nullable)


def wall(name: str) -> sa.Column[Any]:
    """A wall time, PostgreSQL's own."""
    return sa.Column(name, Instant, nullable=False, server_default=_NOW)


def json_object(name: str) -> sa.Column[Any]:
    return sa.Column(name, pg.JSONB, nullable=False, server_default=_EMPTY_OBJECT)


def json_list(name: str) -> sa.Column[Any]:
    return sa.Column(name, pg.JSONB, nullable=False, server_default=_EMPTY_LIST)


def text(name: str, *, nullable: bool = False, default: str | None = None) -> sa.Column[Any]:
    return sa.Column(name, sa.Text, nullable=nullable, server_default=default)


def count(name: str, start: int = 0) -> sa.Column[Any]:
    return sa.Column(name, sa.Integer, nullable=False, server_default=sa.text(str(start)))
