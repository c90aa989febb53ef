"""Management API: imports and exports, as jobs to be asked about."""

from __future__ import annotations

import asyncio
import csv
import io
import json
import uuid
from collections.abc import AsyncIterator
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal
from uuid import UUID

from fastapi import Depends, Query, Request
from fastapi.responses import StreamingResponse
from pydantic import ValidationError

from engine.api import examples, paging, shapes
from engine.api.body import READING_SECONDS, read_json
from engine.api.job_shapes import ExportRequest, Job
from engine.api.problems import BODY_READ, Problem, invalid
from engine.api.secured import managing, requires
from engine.api.segments import named
from engine.api.services import services
from engine.customers import segments
from engine.customers.applied import applied
from engine.customers.exporting import CannotExport, fields_of
from engine.customers.segments import SegmentError
from engine.store import clock, jobs
from engine.store.jobs import PART
from engine.store.keys import ApiKey

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

router = managing("jobs")

LARGEST: Final = 2 << 30
"""Bytes of an upload."""
_IMPORTS: Final[list[jobs.Kind]] = ["import_customers", "import_events"]
_TOO_LARGE = examples.problem("Content Too Large", "too-large", 413, "the file is larger than 2 GB")
_NOT_READY = examples.problem("Conflict", "not-ready", 409, "the export is waiting")
_FILE_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}
_EXPORT_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/ExportRequest"}}},
    }
}
_CSV: dict[int | str, dict[str, Any]] = {
    200: {"description": "The file.", "content": {"text/csv": {}, "application/x-ndjson": {}}}
}


async def _wanted(request: Request) -> ExportRequest:
    # Read by hand: FastAPI reads a body of any size before it looks at the key.
    try:
        return ExportRequest.model_validate(await read_json(request))
    except ValidationError as error:
        raise invalid(error.errors(), "body") from None


@router.post(
    "/imports",
    summary="Import a file",
    status_code=202,
    openapi_extra=_FILE_BODY,
    responses={
        408: examples.problem("Request Timeout", "too-slow", 408, "nothing came for 30 seconds"),
        413: _TOO_LARGE,
    },
)
async def import_file(
    request: Request,
    key: Annotated[ApiKey, Depends(requires("manage"))],
    kind: Annotated[Literal["customers", "events"], Query(description="What is in the file.")],
    name: Annotated[shapes.Name | None, Query(description="The file's name, for people.")] = None,
    source: Annotated[shapes.Name, Query(description="Who says it.")] = "import",
    at: Annotated[datetime | None, Query(description="When it was said; else now.")] = None,
    encoding: Annotated[
        shapes.Name | None, Query(description="Such as gb18030; else told by its bytes.")
    ] = None,
    delimiter: Annotated[
        str | None, Query(min_length=1, max_length=1, pattern=r"^[^\x00\r\n]$", description="Of CSV.")
    ] = None,
    columns: Annotated[
        str | None,
        Query(max_length=20_000, description="JSON: column to what it becomes, or null; else it is guessed."),
    ] = None,
    event: Annotated[shapes.Name | None, Query(description="Of events: the name of them all.")] = None,
    trigger: Annotated[bool, Query(description="Of events: show them to journeys.")] = False,
    again: Annotated[bool, Query(description="Also if this file was imported before.")] = False,
) -> Job:
    """Takes the file (the body: CSV, JSON lines or Parquet, packed with gzip or not) and imports it moments
    later. `GET /imports/{id}` says how far it is."""
    if at is not None and at.tzinfo is None:
        raise Problem(422, "invalid", "query.at: expected an offset")
    options: dict[str, Any] = {"source": source, "trigger": trigger, "again": again}
    given = {"encoding": encoding, "delimiter": delimiter, "columns": _columns(columns), "event": event}
    options |= {each: value for each, value in given.items() if value is not None}
    database = services(request).database
    job_id = str(uuid.uuid4())
    async with database.begin() as connection:
        made = await jobs.make(
            connection,
            job_id,
            "import_customers" if kind == "customers" else "import_events",
            at or (await clock.load(connection)).now(),
            options,
            name=name,
            created_by=key.name,
            remote=True,
            complete=False,
        )
    try:
        await _upload(request, database, job_id)
    except Problem as problem:
        async with database.begin() as connection:
            await jobs.drop_parts(connection, job_id)
            await jobs.change(connection, job_id, state="failed", error=problem.detail)
        raise
    async with database.begin() as connection:
        await jobs.change(connection, job_id, complete=True)
    return _shown(made)


def _columns(text: str | None) -> dict[str, str | None] | None:
    if text is None:
        return None
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict) or not all(v is None or isinstance(v, str) for v in found.values()):
        raise Problem(422, "invalid", "query.columns: expected a JSON object of column to what it becomes")
    if "\x00" in json.dumps(found, ensure_ascii=False) or "\\u0000" in text or "\\ud" in text.lower():
        raise Problem(422, "invalid", "query.columns: holds what is no text")
    return found


async def _upload(request: Request, database: AsyncEngine, job_id: str) -> None:
    number = size = 0
    waiting = bytearray()
    chunks = request.stream().__aiter__()
    while True:
        try:
            chunk = await asyncio.wait_for(anext(chunks, None), READING_SECONDS)
        except TimeoutError:
            raise Problem(408, "too-slow", f"nothing came for {READING_SECONDS:.0f} seconds") from None
        if chunk is not None:
            size += len(chunk)
            waiting += chunk
        if size > LARGEST:
            raise Problem(413, "too-large", f"the file is larger than {LARGEST >> 30} GB")
        if waiting and (chunk is None or len(waiting) >= PART):
            async with database.begin() as connection:
                await jobs.put_part(connection, job_id, number, bytes(waiting))
            number += 1
            waiting.clear()
        if chunk is None:
            break
    request.scope[BODY_READ] = True
    if not number:
        raise Problem(422, "invalid", "body: expected a file, got nothing")


@router.get("/imports", summary="List imports")
async def list_imports(
    request: Request, limit: paging.Limit = paging.DEFAULT, next: paging.Next = None
) -> shapes.Page[Job]:
    """Imports, the last first; those of the command line too."""
    return await _page(request, _IMPORTS, limit, next)


@router.get("/imports/{job_id}", summary="Get an import")
async def get_import(request: Request, job_id: UUID) -> Job:
    """How far an import is, and what it came to."""
    return _shown(await _job(request, job_id, _IMPORTS))


@router.get("/imports/{job_id}/rejects", summary="Get what was left out", responses=_CSV)
async def get_rejects(request: Request, job_id: UUID) -> StreamingResponse:
    """CSV: each line of the file that was left out, in part or in whole, and why."""
    job = await _job(request, job_id, _IMPORTS)
    return StreamingResponse(_rejects(services(request).database, job.id), media_type="text/csv")


@router.post("/exports", summary="Export profiles", status_code=202, openapi_extra=_EXPORT_BODY, responses={
    413: examples.problem("Content Too Large", "too-large", 413, "the body is larger than 500 KB"),
    415: examples.problem("Unsupported Media Type", "unknown-encoding", 415, "only gzip is understood"),
})  # fmt: skip
async def export_profiles(
    request: Request,
    key: Annotated[ApiKey, Depends(requires("manage"))],
    wanted: Annotated[ExportRequest, Depends(_wanted)],
) -> Job:
    """Writes a file of profiles, moments later; it can be fetched for a day."""
    async with services(request).database.begin() as connection:
        if wanted.segment is not None:
            await named(connection, wanted.segment)
        elif wanted.where is not None:
            try:
                await segments.of_condition(connection, wanted.where)
            except SegmentError as error:
                raise Problem(422, "invalid", f"body.where: {error}") from None
        catalogue = (await applied(connection)).catalogue
        try:
            fields = fields_of(catalogue, wanted.fields, wanted.personal)
        except CannotExport as error:
            raise Problem(422, "invalid", f"body.fields: {error}") from None
        options = {
            "segment": wanted.segment,
            "where": wanted.where,
            "fields": list(fields),
            "layout": wanted.layout,
        }
        now = (await clock.load(connection)).now()
        made = await jobs.make(
            connection, str(uuid.uuid4()), "export", now, options, created_by=key.name, remote=True
        )
    return _shown(made)


@router.get("/exports", summary="List exports")
async def list_exports(
    request: Request, limit: paging.Limit = paging.DEFAULT, next: paging.Next = None
) -> shapes.Page[Job]:
    """Exports, the last first."""
    return await _page(request, ["export"], limit, next)


@router.get("/exports/{job_id}", summary="Get an export")
async def get_export(request: Request, job_id: UUID) -> Job:
    """How far an export is."""
    return _shown(await _job(request, job_id, ["export"]))


@router.get("/exports/{job_id}/file", summary="Fetch an export", responses={**_CSV, 409: _NOT_READY})
async def get_file(request: Request, job_id: UUID) -> StreamingResponse:
    """The file of an export that is done. It is kept for a day, and goes when somebody is erased."""
    job = await _job(request, job_id, ["export"])
    if job.state != "done":
        raise Problem(409, "not-ready", f"the export is {job.state}")
    database = services(request).database
    async with database.connect() as connection:
        if await jobs.part(connection, job.id, 0) is None:
            raise Problem(404, "no-such-file", "the file is gone; ask for another export")
    kind = "text/csv" if job.options["layout"] == "csv" else "application/x-ndjson"
    return StreamingResponse(_parts(database, job.id), media_type=kind)


class FileGone(Exception):
    """The connection ends here."""


async def _parts(database: AsyncEngine, job_id: str) -> AsyncIterator[bytes]:
    async with database.connect() as connection:
        count = await jobs.parts(connection, job_id)
    for number in range(count):
        async with database.connect() as connection:
            data = await jobs.part(connection, job_id, number)
        if data is None:  # somebody was erased: half a file must not look like a whole one
            raise FileGone("the file went while it was fetched")
        yield data


async def _rejects(database: AsyncEngine, job_id: str) -> AsyncIterator[bytes]:
    yield b"line,what,reason\r\n"
    after = 0
    while True:
        async with database.connect() as connection:
            found = await jobs.rejects(connection, job_id, after=after)
        if not found:
            return
        out = io.StringIO()
        rows = ((r.line, "taken but for this" if r.kept else "left out", r.reason) for r in found)
        csv.writer(out).writerows(rows)
        yield out.getvalue().encode()
        after = found[-1].line


async def _page(request: Request, kinds: list[jobs.Kind], limit: int, next: str | None) -> shapes.Page[Job]:
    after = paging.unmark(next, datetime, UUID)
    async with services(request).database.connect() as connection:
        found = await jobs.listed(connection, kinds, limit + 1, (after[0], after[1]) if after else None)
    page = found[:limit]
    more = paging.mark(page[-1].created_at, page[-1].id) if len(found) > limit else None
    return shapes.Page[Job](items=[_shown(each) for each in page], next=more)


async def _job(request: Request, job_id: UUID, kinds: list[jobs.Kind]) -> jobs.Job:
    async with services(request).database.connect() as connection:
        found = await _get(connection, str(job_id))
    if found is None or found.kind not in kinds:
        raise Problem(404, "no-such-job", f"there is no such job {job_id}")
    return found


async def _get(connection: AsyncConnection, job_id: str) -> jobs.Job | None:
    return await jobs.get(connection, job_id)


def _shown(job: jobs.Job) -> Job:
    return Job(
        id=UUID(job.id),
        kind=job.kind,
        state=job.state,
        name=job.name,
        at=job.at,
        rows=job.done,
        total=job.total,
        counts=job.counts,
        error=job.error,
        created_by=job.created_by,
        created_at=job.created_at,
        finished_at=job.finished_at,
    )
