"""Where benchmarks run: one PostgreSQL for all, a database and a Temporal server for each, a way to wait."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.cli.applying import apply_project
from engine.language.project import check_project
from engine.store import keys
from engine.store.database import open_database, upgrade
from engine.store.embedded import EmbeddedPostgres
from engine.temporal.server import RunningServer, start_server


@dataclass
class Lab:
    """`scale` makes every size smaller or larger; `pairs` is how often a comparison is made; `full` asks for
    crowds of a million."""

    folder: Path
    postgres: EmbeddedPostgres
    scale: float = 1.0
    pairs: int = 10
    full: bool = False
    say: Callable[[str], None] = lambda _: None
    _names: Counter[str] = field(default_factory=Counter)

    def sized(self, full: int, least: int = 1) -> int:
        """`full`, made smaller by the scale."""
        return max(least, round(full * self.scale))

    def place(self, name: str) -> Path:
        """A fresh folder of that name."""
        self._names[name] += 1
        folder = self.folder / f"{name}-{self._names[name]}"
        folder.mkdir()
        return folder

    async def database(self, name: str) -> str:
        """URL of a fresh migrated database."""
        self._names["database"] += 1
        url = await asyncio.to_thread(
            self.postgres.create_database, f"bench_{name}_{self._names['database']}"
        )
        async with opened(url) as database:
            await upgrade(database)
        return url

    async def kept(self, name: str) -> tuple[str, bool]:
        """URL of the database of this name, and whether it was made just now: one for all who ask."""
        fresh = not await asyncio.to_thread(self.postgres.has_database, name)
        if fresh:
            await asyncio.to_thread(self.postgres.create_database, name)
        return self.postgres.url(name), fresh

    @contextlib.asynccontextmanager
    async def temporal(self, name: str, *, in_memory: bool = False) -> AsyncIterator[RunningServer]:
        """A Temporal server with a file, WAL and synchronous=1, gone with the block."""
        server = await start_server(None if in_memory else self.place(name) / "temporal", say=self.say)
        try:
            yield server
        finally:
            await asyncio.to_thread(server.stop)


@contextlib.asynccontextmanager
async def opened(url: str) -> AsyncIterator[AsyncEngine]:
    database = open_database(url)
    try:
        yield database
    finally:
        await database.dispose()


async def apply(database: AsyncEngine, files: Mapping[str, str]) -> None:
    """Applies a project that must have no mistakes."""
    project = check_project(files)
    if project.errors:
        raise AssertionError(project.errors)
    await apply_project(database, project, files)


async def ingest_key(database: AsyncEngine) -> str:
    """A key that may send events."""
    async with database.begin() as connection:
        return (await keys.create(connection, "bench", "ingest")).token


class Counted:
    """Counts things as they happen, so that a measurement ends with the last of them and polls nothing."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._waiting: dict[str, tuple[int, asyncio.Event]] = {}

    def add(self, name: str) -> None:
        self._counts[name] += 1
        if name in self._waiting:
            wanted, event = self._waiting[name]
            if self._counts[name] >= wanted:
                event.set()

    def count(self, name: str) -> int:
        return self._counts[name]

    async def reached(self, name: str, wanted: int, seconds: float = 300.0) -> float:
        """Waits until there are that many; returns `time.perf_counter()` then."""
        if self._counts[name] < wanted:
            event = asyncio.Event()
            self._waiting[name] = (wanted, event)
            try:
                await asyncio.wait_for(event.wait(), seconds)
            except TimeoutError:
                told = f"waited {seconds:.0f} s for {wanted} {name}; there are {self._counts[name]}"
                raise AssertionError(told) from None
        return time.perf_counter()


async def until(what: str, done: Callable[[], bool], seconds: float = 300.0, every: float = 0.05) -> None:
    """Waits until `done()`, looking now and then."""
    deadline = time.monotonic() + seconds
    while not done():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for {what}")
        await asyncio.sleep(every)


async def until_no_row(database: AsyncEngine, query: sa.TextClause, seconds: float = 300.0) -> None:
    """Waits until the query gives no row, looking now and then."""
    deadline = time.monotonic() + seconds
    while True:
        async with database.connect() as connection:
            if (await connection.execute(query)).first() is None:
                return
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:.0f} s for no row of {query.text.strip()}")
        await asyncio.sleep(0.1)
