"""Jobs asked for over the API: a worker takes them in hand, and takes them up again after a crash."""

from __future__ import annotations

import asyncio
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.customers import segments
from engine.customers.applied import applied
from engine.customers.exporting import export, head, lines
from engine.customers.importing.columns import Column, Mapped, What, guess, missing
from engine.customers.importing.encodings import Unreadable
from engine.customers.importing.mapping import mapping_data
from engine.customers.importing.reading import Source, open_source
from engine.customers.segments import Group, SegmentError
from engine.ingest.importing import CannotImport, Elsewhere, Importer
from engine.store import jobs
from engine.store.database import in_transaction
from engine.store.jobs import PART, Job

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

SIZE = 2_000
"""Rows of a slice: a worker has other things to do as well."""


async def work_off(database: AsyncEngine, job_id: str) -> None:
    """Does a job, or goes on with it. Nothing happens if another worker is at it, or it is over."""
    async with database.connect() as connection:
        job = await jobs.get(connection, job_id)
    if job is None or job.over:
        return
    try:
        await (_export(database, job) if job.kind == "export" else _import(database, job))
    except (Unreadable, CannotImport, SegmentError) as error:
        await _fail(database, job_id, str(error))


async def _fail(database: AsyncEngine, job_id: str, why: str) -> None:
    async def work(connection: AsyncConnection) -> None:
        found = await jobs.get(connection, job_id, lock=True)
        if found is not None and not found.over:
            await jobs.change(connection, job_id, state="failed", error=why)
            await jobs.drop_parts(connection, job_id)

    await in_transaction(database, work)


# --- in -------------------------------------------------------------------------------------------------


async def _import(database: AsyncEngine, job: Job) -> None:
    with tempfile.TemporaryDirectory(prefix="kairos-import-") as folder:
        path = Path(folder) / "file"
        await _fetch(database, job.id, path)
        given = job.options
        file = await asyncio.to_thread(
            open_source, path, given.get("encoding"), given.get("delimiter"), given.get("layout")
        )
        if "mapping" not in given:
            job = await _mapped(database, job, file)
        try:
            await Importer(database, file, size=SIZE).run(job)
        except Elsewhere:
            return
    async with database.begin() as connection:
        await jobs.drop_parts(connection, job.id)


async def _fetch(database: AsyncEngine, job_id: str, path: Path) -> None:
    number = 0
    with path.open("wb") as file:
        while True:
            async with database.connect() as connection:
                data = await jobs.part(connection, job_id, number)
            if data is None:
                return
            await asyncio.to_thread(file.write, data)
            number += 1


async def _mapped(database: AsyncEngine, job: Job, file: Source) -> Job:
    """Settles what the columns become, once: from then on it stands in the job."""
    what: What = "customers" if job.kind == "import_customers" else "events"

    async def work(connection: AsyncConnection) -> Job:
        before = await jobs.last_of(connection, job.kind, file.digest)
        if (
            before is not None
            and before.id != job.id
            and before.state == "done"
            and not job.options.get("again")
        ):
            raise CannotImport("this file was imported already: `again` does it once more")
        known = await applied(connection)
        mapped = _mapping(
            job.options, what, file, guess(what, file.columns, known.catalogue, job.options.get("event"))
        )
        if lacks := missing(mapped):
            raise CannotImport(lacks)
        options = {**job.options, "mapping": mapping_data(mapped)}
        await jobs.change(connection, job.id, options=options, digest=file.digest, total=file.total)
        found = await jobs.get(connection, job.id)
        assert found is not None
        return found

    return await in_transaction(database, work)


def _mapping(options: dict[str, Any], what: What, file: Source, guessed: Mapped) -> Mapped:
    given = options.get("columns")
    if given is None:
        return guessed
    if lost := next((name for name in given if name not in file.columns), None):
        raise CannotImport(f"there is no column `{lost[:60]}` in the file")
    columns = tuple(Column(name, to) for name, to in given.items() if to)
    left = tuple(name for name in file.columns if not given.get(name))
    return Mapped(what, columns, left, options.get("event"))


# --- out ------------------------------------------------------------------------------------------------


async def _export(database: AsyncEngine, job: Job) -> None:
    """Begins anew after a crash: who is in it is asked at one moment."""
    async with jobs.holding(database, job.id) as mine:
        if not mine:
            return
        async with database.begin() as connection:
            await jobs.drop_parts(connection, job.id)
            await jobs.change(connection, job.id, state="running")
            group = await _group(connection, job.options)
        layout, fields = job.options["layout"], job.options["fields"]
        count = number = 0
        waiting = head(layout, fields).encode()
        async for some in export(database, group, fields):
            waiting += lines(layout, fields, some).encode()
            count += len(some)
            while len(waiting) >= PART:
                await _put(database, job.id, number, waiting[:PART])
                number, waiting = number + 1, waiting[PART:]
        await _put(database, job.id, number, waiting)
        async with database.begin() as connection:
            await _still(connection, job.id)
            await jobs.change(
                connection, job.id, state="done", done=count, total=count, counts={"rows": count}
            )


async def _put(database: AsyncEngine, job_id: str, number: int, data: bytes) -> None:
    async with database.begin() as connection:
        await _still(connection, job_id)
        await jobs.put_part(connection, job_id, number, data)


async def _still(connection: AsyncConnection, job_id: str) -> None:
    """The job is still to be done: somebody may have been erased who is in what was read."""
    found = await jobs.get(connection, job_id, lock=True)
    if found is None or found.over:
        raise Elsewhere("the job is over")


async def _group(connection: AsyncConnection, options: dict[str, Any]) -> Group:
    if options.get("segment") is not None:
        return await segments.named(connection, options["segment"])
    return await segments.of_condition(connection, options.get("where") or "true")
