"""Importing customers from CSV, against bare `COPY` of the same rows.

Ours is what `kairos import customers` does from the file to the last commit: encoding told, columns guessed,
identifiers brought into their shape, identities resolved, consents, provenance and evidence kept. What "the
same rows" are can be taken in three ways, each without an index: the profiles that it made; all rows that it
made, of four tables; and the rows of the file as they are, ten columns of text. The first has the target.
"""

from __future__ import annotations

import asyncio
import csv
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from benchmarks.findings import Finding, compared
from benchmarks.lab import Lab, apply, opened
from engine.customers.applied import applied
from engine.customers.importing.columns import guess
from engine.customers.importing.reading import open_source
from engine.ingest.importing import Asked, Importer, begin
from engine.store.tables import metadata
from workers.garbage import collect_less

PEOPLE: Final = 1_000_000
NOW: Final = datetime(2026, 11, 11, 12, tzinfo=UTC)
COLUMNS: Final = (
    "customer_id",
    "email",
    "phone",
    "first_name",
    "city",
    "tier",
    "points",
    "joined",
    "tags",
    "consents",
)
FILES: Final = {
    "kairos.yaml": "version: 1\nidentities: {phone_region: CN}\n",
    "journeys/catalog.yaml": """
profile:
  first_name: {type: text, personal: true}
  city: text
  tier: text
  points: number
  joined: date
tags: [newsletter, tea, vip]
""",
}
TABLES: Final = (
    "profiles, identities, identity_links, consents, static_segments, jobs, job_rejects, events, merges"
)


BARE: Final = {
    "profiles": "the profiles that it made",
    "all": "all rows that it made: profiles, identities, links, consents",
    "file": "the rows of the file, as text",
}
MADE: Final = ("profiles", "identities", "identity_links", "consents")


async def run(lab: Lab) -> list[Finding]:
    """Customers a second."""
    size = lab.sized(PEOPLE, 5_000)
    file = lab.place("imports") / "customers.csv"
    await asyncio.to_thread(_write, file, size)
    ours: list[float] = []
    theirs: dict[str, list[float]] = {name: [] for name in BARE}
    collect_less()
    async with opened(await lab.database("imports")) as database:
        await apply(database, FILES)
        for _ in range(lab.pairs):
            await _empty(database)
            ours.append(size / await _ours(database, file, size))
            # Right after it, since its rows are what is copied.
            for name, rates in theirs.items():
                rates.append(size / await _theirs(database, name, file))
    notes = [f"three identifiers, five attributes, tags, consents each; {file.stat().st_size:,} bytes"]
    return [
        compared(
            f"import of {size:,} customers from CSV, identities resolved",
            f"bare `COPY`, no index, of {about}",
            ours,
            theirs[name],
            0.15,
            "at least",
            unit="customers a second",
            notes=notes,
        )
        for name, about in BARE.items()
    ]


def _write(path: Path, size: int) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(COLUMNS)
        for n in range(size):
            writer.writerow(
                (
                    f"c-{n}",
                    f"customer{n}@example{n % 50}.com",
                    f"139{n:08d}" if n % 2 else f"+86 139 {n:08d}",
                    f"Name {n % 1013}",
                    f"City {n % 97}",
                    ("none", "silver", "gold")[n % 3],
                    n % 1000,
                    f"20{20 + n % 6}-{1 + n % 12:02d}-{1 + n % 28:02d}",
                    ("newsletter;tea;vip", "tea;vip", "newsletter")[n % 3],
                    "sms;email" if n % 2 else "sms",
                )
            )


async def _empty(database: AsyncEngine) -> None:
    async with database.begin() as connection:
        await connection.execute(sa.text(f"TRUNCATE {TABLES}"))
    async with database.connect() as connection:
        outside = await connection.execution_options(isolation_level="AUTOCOMMIT")
        await outside.execute(sa.text("CHECKPOINT"))


async def _ours(database: AsyncEngine, path: Path, size: int) -> float:
    began = time.perf_counter()
    file = open_source(path)
    async with database.connect() as connection:
        known = await applied(connection)
    asked = Asked(guess("customers", file.columns, known.catalogue), "bench", NOW)
    job, _ = await begin(database, file, asked)
    done = await Importer(database, file).run(job)
    took = time.perf_counter() - began
    if done.state != "done" or done.counts.get("new") != size:
        raise AssertionError(f"{done.state}: {done.counts}, {done.error}")
    return took


async def _theirs(database: AsyncEngine, name: str, path: Path) -> float:
    tables = {"profiles": MADE[:1], "all": MADE, "file": ()}[name]
    async with database.connect() as connection:
        raw: Any = (await connection.get_raw_connection()).driver_connection
        if not tables:
            columns = ", ".join(f"{each} text" for each in COLUMNS)
            await connection.execute(sa.text(f"CREATE TABLE bare_file ({columns})"))
            with path.open(encoding="utf-8", newline="") as file:
                records = [tuple(row) for row in csv.reader(file)][1:]
            began = time.perf_counter()
            await raw.copy_records_to_table("bare_file", records=records, columns=COLUMNS)
            took = time.perf_counter() - began
        else:
            took = sum([await _bare(connection, raw, table) for table in tables])
        await connection.rollback()
    return took


async def _bare(connection: AsyncConnection, raw: Any, table: str) -> float:
    """Seconds for the rows that the import has just made, into a table of the same columns."""
    table_columns = metadata.tables[table].columns
    columns = [column.name for column in table_columns if column.identity is None]
    listed = ", ".join(columns)
    await connection.execute(
        sa.text(f"CREATE TABLE bare_{table} AS SELECT {listed} FROM {table} WITH NO DATA")
    )
    as_text = (f"{c}::text" if isinstance(table_columns[c].type, JSONB) else c for c in columns)
    records = await raw.fetch(f"SELECT {', '.join(as_text)} FROM {table}")
    began = time.perf_counter()
    await raw.copy_records_to_table(f"bare_{table}", records=records, columns=columns)
    return time.perf_counter() - began
