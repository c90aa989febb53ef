"""`kairos dev`: everything in one terminal, stopped with Ctrl-C."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.applying import NotApplied, apply_project
from engine.cli.check import check_folder
from engine.cli.project_folder import NoProject, find_project, read_project
from engine.cli.session import ProjectOption, refuse
from engine.cli.worker import log_to_stderr, stop_on_signals
from engine.store import keys
from engine.store.database import DatabaseError
from engine.store.embedded import EmbeddedPostgresError
from engine.temporal.codec import KeyMistake
from engine.temporal.found import TemporalNotFound
from engine.temporal.server import TemporalServerError, port_near

if TYPE_CHECKING:
    from workers.dev import Servers

KEY_NAME = "kairos dev"


def register(app: typer.Typer) -> None:
    app.command("dev")(dev)


def dev(
    project: ProjectOption = None,
    host: Annotated[str, typer.Option(help="Address that the API listens at.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="Port of the API; another one is taken if it is in use.")] = 8000,
    apply: Annotated[bool, typer.Option(help="Apply the project's folder at the start.")] = True,
) -> None:
    """Starts PostgreSQL, Temporal with its UI, the API and all workers; Ctrl-C stops them.

    The folder's journeys are applied at the start, if they have no mistakes. `kairos apply` in another
    terminal makes later changes live.
    """
    log_to_stderr()
    folder: Path | None
    try:
        folder = find_project(project)
    except NoProject as error:
        if project is not None:
            refuse("dev", error)
        folder = None
    try:
        asyncio.run(_run(folder, host, port, apply))
    except (
        DatabaseError,
        EmbeddedPostgresError,
        TemporalNotFound,
        TemporalServerError,
        KeyMistake,
    ) as error:
        refuse("dev", error)


async def _run(folder: Path | None, host: str, port: int, apply: bool) -> None:
    from workers.dev import run_workers, servers
    from workers.links import VARIABLE

    stop = stop_on_signals()
    async with servers(_say, database_url=os.environ.get("DATABASE_URL")) as found:
        if folder is not None and apply:
            await _apply(found, folder)
        token = await _write_key(found)

        def ready(base: str) -> None:
            _say("")
            _say(f"  events in     {base}/v1/track     write key {token}")
            _say(f"  API           {base}/docs")
            _say(f"  messages      {base}/outbox")
            if found.temporal.ui_url:
                _say(f"  Temporal      {found.temporal.ui_url}")
            _say("  stop          Ctrl-C")
            _say("")

        free = port_near(port)
        os.environ.setdefault(VARIABLE, f"http://{host}:{free}")
        await run_workers(found, stop, host=host, port=free, project=folder, ready=ready)
        _say("stopping")


async def _apply(found: Servers, folder: Path) -> None:
    project = check_folder(folder)
    try:
        applied = await apply_project(found.database, project, read_project(folder), applied_by="kairos dev")
    except NotApplied as error:
        _say(f"{folder}: {error}; `kairos check` lists them")
        return
    live = sorted(applied.live)
    _say(
        f"{folder}: {'made live: ' + ', '.join(live) if live else 'nothing has changed since the last apply'}"
    )


async def _write_key(found: Servers) -> str:
    async with found.database.begin() as connection:
        for old in await keys.all_keys(connection):
            if old.name == KEY_NAME and old.revoked_at is None:
                await keys.revoke(connection, old.id)
        return (await keys.create(connection, KEY_NAME, "ingest", source="dev")).token


def _say(text: str) -> None:
    typer.echo(text, err=True)
