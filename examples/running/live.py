"""One live run: servers of its own, the project applied, the clock scaled, the messages replayed."""

from __future__ import annotations

import asyncio
import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import httpx
import sqlalchemy as sa

from engine.cli.applying import apply_project
from engine.language.project import Project
from engine.store import clock, keys
from engine.store.clock import ScaledClock
from engine.store.connection import AsyncEngine
from engine.store.embedded import EmbeddedPostgres
from examples.running.replay import Message, replay
from workers.dev import Servers

LEAD: Final = 5.0
"""Wall seconds from setting the clock to the instant it begins at."""
CALM: Final = 1.0
"""Wall seconds without a stall that show that the workers have started."""
STILL: Final = 1e-9
"""Speed of a clock that stands still."""
PATIENCE: Final = 60.0
"""Wall seconds after the end without anything moving before the run counts as stuck."""


class DemoError(Exception):
    """The demo cannot go on; the text says why and what to do."""


@contextmanager
def fresh_folder(home: Path) -> Iterator[Path]:
    """`home/demo`, emptied, for this process alone.

    Raises:
        DemoError: another demo is running.
    """
    home.mkdir(parents=True, exist_ok=True)
    folder = home / "demo"
    with (home / "demo.lock").open("a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DemoError(
                f"another demo is running in {folder}; stop it, or set KAIROS_HOME to another folder"
            ) from None
        if (folder / "postgres").exists():  # of a demo that was killed
            EmbeddedPostgres(folder).stop("immediate")
        for path in folder.glob("*"):
            if path.name != "temporal":
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        for path in (folder / "temporal").glob("temporal.db*"):  # its lock leads to a server left behind
            path.unlink()
        yield folder


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast time passes. `grace` is how much lag of the machine is forgiven, in wall seconds."""

    speed: float
    """Logical seconds a wall second."""
    grace: float

    def clock(self, start: datetime, wall: datetime) -> ScaledClock:
        """The clock that shows `start` at the wall instant `wall`."""
        return ScaledClock(start, wall, self.speed, timedelta(seconds=self.grace))


@dataclass(slots=True)
class Counts:
    """How far a run is."""

    sent: int = 0
    entered: int = 0
    waiting: int = 0
    messages: int = 0
    outstanding: int = 0
    """Events not routed, entries settling, starts and wakes not played."""

    @property
    def over(self) -> bool:
        return self.waiting == 0 and self.outstanding == 0


_COUNTS = sa.text("""
    SELECT (SELECT count(*) FROM enrolments) AS entered,
           (SELECT count(*) FROM enrolments WHERE status = 'live') AS waiting,
           (SELECT count(*) FROM outbox_messages) AS messages,
           (SELECT count(*) FROM events WHERE routed_at IS NULL)
           + (SELECT count(*) FROM entry_states WHERE due_at IS NOT NULL)
           + (SELECT count(*) FROM start_outbox WHERE done_at IS NULL) AS outstanding
""")


async def count(database: AsyncEngine) -> Counts:
    """How far the run is, but for `sent`."""
    async with database.connect() as connection:
        row = (await connection.execute(_COUNTS)).one()
    return Counts(0, row.entered, row.waiting, row.messages, row.outstanding)


@dataclass(frozen=True, slots=True)
class Lag:
    """How far the machine was behind the clock at worst, in wall seconds from the instant of an event.

    No timer runs ahead of what the replay has sent, so lag makes a run longer and changes no outcome.
    """

    received: float
    routed: float
    handed_over: float
    """To the enrolment that the event concerns."""

    def __str__(self) -> str:
        return (
            f"received {self.received:.1f} s, routed {self.routed:.1f} s, "
            f"handed over {self.handed_over:.1f} s after their time"
        )


_WALL = "extract(epoch FROM {0} - CAST(:epoch AS timestamptz)) / :speed"
_LAG = sa.text(f"""
    SELECT (SELECT max({_WALL.format("received_at")} - {_WALL.format("occurred_at")})
            FROM events WHERE source = :source AND occurred_at >= :epoch) AS received,
           (SELECT max(extract(epoch FROM routed_at - CAST(:wall AS timestamptz))
                       - {_WALL.format("occurred_at")})
            FROM events WHERE source = :source AND occurred_at >= :epoch) AS routed,
           (SELECT max(extract(epoch FROM done_at - CAST(:wall AS timestamptz))
                       - {_WALL.format("CAST(payload->>'occurred_at' AS timestamptz)")})
            FROM start_outbox WHERE kind = 'wake') AS handed_over
""")


async def lag(database: AsyncEngine, ticking: ScaledClock, source: str) -> Lag:
    """The worst of the whole run."""
    values = {
        "epoch": ticking.epoch_logical,
        "wall": ticking.epoch_wall,
        "speed": ticking.speed,
        "source": source,
    }
    async with database.connect() as connection:
        row = (await connection.execute(_LAG, values)).one()
    return Lag(float(row.received or 0), float(row.routed or 0), float(row.handed_over or 0))


async def prepare(
    found: Servers, project: Project, files: dict[str, str], source: str, start: datetime
) -> str:
    """Applies the project at the logical instant `start`, where time stands still; returns a write key."""
    async with found.database.begin() as connection:
        await clock.save(connection, ScaledClock(start, datetime.now(UTC), STILL))
    await apply_project(found.database, project, files, applied_by="the demo")
    async with found.database.begin() as connection:
        return (await keys.create(connection, source, "ingest", source=source)).token


async def warmed_up(base_url: str) -> None:
    """Waits until the workers of this process have started: they take its time in one piece.

    A machine that never comes to rest is not waited for longer than ten seconds.
    """
    calm_since = begun = time.monotonic()
    async with httpx.AsyncClient(base_url=base_url, timeout=30, trust_env=False) as client:
        await client.get("/healthz")
    while (now := time.monotonic()) - calm_since < CALM and now - begun < 10:
        await asyncio.sleep(0.05)
        if time.monotonic() - now > 0.15:
            calm_since = time.monotonic()


async def set_clock(database: AsyncEngine, pace: Pace, start: datetime) -> ScaledClock:
    """Sets the clock so that `start` comes in a few seconds."""
    ticking = pace.clock(start, datetime.now(UTC) + timedelta(seconds=LEAD))
    async with database.begin() as connection:
        await clock.save(connection, ticking)
    return ticking


async def run(
    database: AsyncEngine,
    base_url: str,
    write_key: str,
    messages: Sequence[Message],
    ticking: ScaledClock,
    end: datetime,
    stop: asyncio.Event,
    progress: Callable[[Counts, datetime], None],
) -> Counts:
    """Replays the messages and waits until nothing is under way any more; returns the last counts.

    Gives up, without an error, when nothing has moved for `PATIENCE` after the logical instant `end`.
    """
    sent, found, moved_at = 0, Counts(), datetime.now(UTC)

    async def complete(until: datetime) -> None:
        async with database.begin() as connection:
            await clock.complete(connection, until)

    def taken(number: int) -> None:
        nonlocal sent
        sent += number

    sending = asyncio.create_task(replay(base_url, write_key, messages, ticking, stop, taken, complete))
    end_at, patience = ticking.fires_at(end), timedelta(seconds=PATIENCE)
    try:
        while not stop.is_set():
            now = datetime.now(UTC)
            before, found = found, await count(database)
            found.sent = sent
            if found != before:
                moved_at = now
            progress(found, ticking.logical(now))
            # Moments may still come after the last message, up to the end.
            over = found.over and now > end_at
            if sending.done() and (
                sending.exception() is not None or over or now > max(end_at, moved_at) + patience
            ):
                break
            with suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), 0.5)
    finally:
        if not sending.done():
            sending.cancel()
        with suppress(asyncio.CancelledError):
            await sending
    return found


def own_servers_only() -> list[str]:
    """Makes the process forget servers that are not the demo's; returns the settings passed over."""
    return [name for name in ("DATABASE_URL", "TEMPORAL_ADDRESS") if os.environ.pop(name, None)]
