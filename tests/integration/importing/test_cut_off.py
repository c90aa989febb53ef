"""Imports that are killed, that run twice at once, beside events that come in: nothing lost or twice."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.customers.importing.columns import guess
from engine.customers.importing.reading import open_source
from engine.ingest.importing import Asked, CannotImport, Importer, begin
from engine.ingest.intake import accept
from engine.language.catalogue import Catalogue
from engine.store import jobs
from engine.store.database import open_database
from tests.integration.processes import ROOT

NOON = datetime(2026, 11, 11, 12, tzinfo=UTC)
PEOPLE = 6_000
PROGRAM = """
import asyncio, os, sys
from pathlib import Path
from engine.customers.importing.columns import guess
from engine.customers.importing.reading import open_source
from engine.ingest.importing import Asked, Importer, begin
from engine.language.catalogue import Catalogue
from engine.store.database import open_database
async def main():
    what, path, url = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    database = open_database(url)
    file = open_source(path)
    asked = Asked(guess(what, file.columns, Catalogue(), "order.paid" if what == "events" else None), "file")
    job, _ = await begin(database, file, asked)
    done = await Importer(database, file, lambda n: print(n, flush=True), 200).run(job)
    print(done.state, done.error, flush=True)
asyncio.run(main())
"""


def people(path: Path) -> Path:
    lines = ["external_id,phone,tags,consents"]
    # Every tenth is about somebody who was there before, further up.
    lines += [f"c-{n - n % 10 // 9 * 9},+86138{n:08d},t{n % 7},sms" for n in range(PEOPLE)]
    path.write_text("\n".join(lines) + "\nnobody\n")
    return path


def events(path: Path) -> Path:
    lines = ["external_id,occurred_at,order_id"]
    lines += [f"c-{n % 500},2026-01-{1 + n % 28:02d},o-{n}" for n in range(PEOPLE)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.fixture
async def database(database_url: str) -> Any:
    engine = open_database(database_url)
    yield engine
    await engine.dispose()


async def count(database: AsyncEngine, what: str) -> int:
    async with database.connect() as connection:
        return int((await connection.execute(sa.text(f"SELECT count(*) FROM {what}"))).scalar_one())


def start(what: str, path: Path, url: str) -> subprocess.Popen[str]:
    words = [sys.executable, "-u", "-c", PROGRAM, what, str(path), url]
    return subprocess.Popen(
        words, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    )


def killed_after(child: subprocess.Popen[str], rows: int, later: float) -> int:
    """Kills the child a moment after it has said that it has done so many rows; what it said last."""
    assert child.stdout is not None
    said = 0
    for line in child.stdout:
        if not line.strip().isdigit():
            raise AssertionError(f"it was over before: {line}")
        said = int(line)
        if said >= rows:
            break
    time.sleep(later)
    child.send_signal(signal.SIGKILL)
    child.wait(30)
    return said


async def whole(database: AsyncEngine) -> None:
    assert await count(database, "profiles WHERE merged_into IS NULL") == PEOPLE - PEOPLE // 10
    assert await count(database, "identities WHERE kind = 'phone'") == PEOPLE
    assert await count(database, "consents") == PEOPLE
    assert await count(database, "job_rejects") == 1
    [job] = await every_job(database)
    assert (job.state, job.done, job.counts["new"]) == ("done", PEOPLE + 1, PEOPLE - PEOPLE // 10)
    assert (job.counts["rows"], job.counts["taken"], job.counts["rejected"]) == (PEOPLE + 1, PEOPLE, 1)


async def every_job(database: AsyncEngine) -> list[jobs.Job]:
    async with database.connect() as connection:
        return await jobs.listed(connection, ["import_customers", "import_events"])


async def test_an_import_that_is_killed_again_and_again_goes_on_where_it_was(
    database: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    path = people(tmp_path / "people.csv")
    for rows, later in ((200, 0.0), (1_000, 0.03), (2_600, 0.07), (4_000, 0.01)):
        said = await asyncio.to_thread(killed_after, start("customers", path, database_url), rows, later)
        [job] = await every_job(database)
        assert not job.over
        assert job.done >= said
        assert await count(database, "consents") == job.done
    child = start("customers", path, database_url)
    out, _ = await asyncio.to_thread(child.communicate, timeout=120)
    assert out.strip().endswith("done None")
    assert int(out.split()[0]) > 4_000, "it did not begin anew"
    await whole(database)


async def test_events_that_are_cut_off_come_in_once(
    database: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    path = events(tmp_path / "orders.csv")
    for rows in (200, 1_800):
        await asyncio.to_thread(killed_after, start("events", path, database_url), rows, 0.02)
    out, _ = await asyncio.to_thread(start("events", path, database_url).communicate, timeout=120)
    assert out.strip().endswith("done None")
    assert await count(database, "events") == PEOPLE
    assert await count(database, "profiles") == 500
    assert await count(database, "events WHERE routed_at IS NULL") == 0


async def test_two_imports_of_the_same_file_at_once_are_one(
    database: AsyncEngine, database_url: str, tmp_path: Path
) -> None:
    path = people(tmp_path / "people.csv")
    file = open_source(path)
    asked = Asked(guess("customers", file.columns, Catalogue()), "file", NOON)
    job, goes_on = await begin(database, file, asked)
    same, also = await begin(database, file, asked)
    assert (same.id, goes_on, also) == (job.id, False, True)
    ended = await asyncio.gather(
        *(Importer(database, file, size=200).run(job) for _ in range(2)), return_exceptions=True
    )
    assert sum(isinstance(each, CannotImport) for each in ended) == 1
    await whole(database)
    with pytest.raises(CannotImport, match="imported already"):
        await begin(database, file, asked)


async def test_two_files_about_the_same_people_and_events_that_come_in(
    database: AsyncEngine, tmp_path: Path
) -> None:
    """All of them make the same customers at once, in different orders."""
    one = people(tmp_path / "people.csv")
    lines = one.read_text().splitlines()
    two = tmp_path / "again.csv"
    two.write_text("\n".join([lines[0], *reversed(lines[1:-1]), lines[-1]]) + "\n")
    over = asyncio.Event()

    async def imported(path: Path) -> jobs.Job:
        file = open_source(path)
        asked = Asked(guess("customers", file.columns, Catalogue()), path.name, NOON)
        job, _ = await begin(database, file, asked)
        return await Importer(database, file, size=500).run(job)

    async def coming_in() -> int:
        sent = 0
        while not over.is_set():
            calls = [
                {"type": "identify", "userId": f"c-{n}", "traits": {"phone": f"+86138{n:08d}", "seen": True}}
                for n in range(sent % PEOPLE, PEOPLE, 997)
                if n % 10 != 9
            ]
            await accept(database, "shop", calls, NOON)
            sent += 13
        return sent

    events_in = asyncio.create_task(coming_in())
    done = await asyncio.gather(imported(one), imported(two))
    over.set()
    assert await events_in > 0
    assert [each.state for each in done] == ["done", "done"], [each.error for each in done]
    assert await count(database, "profiles WHERE merged_into IS NULL") == PEOPLE - PEOPLE // 10
    assert await count(database, "identities WHERE kind = 'phone'") == PEOPLE
    assert await count(database, "merges") == 0
