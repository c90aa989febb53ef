"""The project as it was last applied: catalogue, installation, templates; and every apply before it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import insert
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.language.installation import read_installation
from engine.language.loader import load as load_yaml
from engine.store import journeys, tables, webhooks


@dataclass(frozen=True, slots=True)
class StoredProject:
    """Texts of the files. `catalogue` and `installation` are YAML; `templates` and `files` path to text."""

    catalogue: str = field(repr=False)
    installation: str = field(repr=False)
    templates: dict[str, str] = field(repr=False)
    files: dict[str, str] = field(repr=False)
    digest: str
    applied_at: datetime


@dataclass(frozen=True, slots=True)
class Apply:
    """One apply: `changes` is journey to the digest made live."""

    id: int
    digest: str
    applied_by: str | None
    changes: dict[str, str]
    applied_at: datetime


async def save(
    connection: AsyncConnection,
    *,
    catalogue: str,
    installation: str,
    templates: Mapping[str, str],
    files: Mapping[str, str],
    digest: str,
    changes: Mapping[str, str],
    applied_by: str | None = None,
) -> None:
    """Puts the project in place of the one before and adds it to the history of applies."""
    new = {
        "catalogue": catalogue,
        "installation": installation,
        "templates": dict(templates),
        "files": dict(files),
        "digest": digest,
    }
    statement = insert(tables.project).values(id=1, **new)
    await connection.execute(
        statement.on_conflict_do_update(index_elements=["id"], set_={**new, "applied_at": sa.func.now()})
    )
    await connection.execute(
        tables.applies.insert().values(digest=digest, applied_by=applied_by, changes=dict(changes))
    )
    root, _ = load_yaml("kairos.yaml", installation)
    await webhooks.declare(connection, read_installation(root).webhooks)
    await journeys.notify(connection)


async def load(connection: AsyncConnection) -> StoredProject | None:
    """The project as last applied; None before the first apply."""
    row = (await connection.execute(sa.select(tables.project))).one_or_none()
    if row is None:
        return None
    return StoredProject(
        row.catalogue, row.installation, row.templates, row.files, row.digest, row.applied_at
    )


async def load_digest(connection: AsyncConnection) -> str | None:
    """The digest of the project in place: cheap, to see whether it changed."""
    found: str | None = (await connection.execute(sa.select(tables.project.c.digest))).scalar_one_or_none()
    return found


async def history(connection: AsyncConnection, limit: int = 20) -> list[Apply]:
    """The last applies, newest first."""
    statement = sa.select(tables.applies).order_by(tables.applies.c.id.desc()).limit(limit)
    return [
        Apply(row.id, row.digest, row.applied_by, row.changes, row.applied_at)
        for row in await connection.execute(statement)
    ]
