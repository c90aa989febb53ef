"""`kairos worker router|journeys|send|pool`: one process of a production set-up."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from channels import ConfigurationError
from engine.cli.project_folder import NoProject, find_project
from engine.cli.session import ProjectOption, on_database, refuse
from engine.sdk import ActionMistake
from engine.store.connection import AsyncEngine
from engine.temporal.client import TemporalRunner, TemporalStarter, TemporalUnreachable, connect
from engine.temporal.codec import KeyMistake
from engine.temporal.local import local_address

if TYPE_CHECKING:
    from temporalio.client import Client

    Run = Callable[[AsyncEngine, Client, asyncio.Event], Awaitable[None]]
ALIVE_FILE = "KAIROS_ALIVE_FILE"
TemporalOption = Annotated[
    str | None,
    typer.Option(
        "--temporal", help="Address of Temporal, HOST:PORT; else TEMPORAL_ADDRESS, else this machine."
    ),
]


def register(app: typer.Typer) -> None:
    """Adds the group `worker`."""
    group = typer.Typer(help="Runs one process of a production set-up.", no_args_is_help=True)
    group.command("router")(router)
    group.command("journeys")(journeys)
    group.command("send")(send)
    group.command("pool")(pool)
    app.add_typer(group, name="worker")


def router(temporal: TemporalOption = None) -> None:
    """Routes events to journeys, starts and wakes enrolments in Temporal, looks for moments that came."""
    from engine.pool.waker import Waker
    from workers.moments import run_moments
    from workers.router import run_router

    async def run(database: AsyncEngine, client: Client, stop: asyncio.Event) -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(
                run_router(
                    database,
                    TemporalStarter(client),
                    runner=TemporalRunner(client),
                    waker=Waker(database, client),
                    stop=stop,
                )
            )
            group.create_task(run_moments(database, client, stop))

    _process("worker router", temporal, run)


def journeys(temporal: TemporalOption = None, project: ProjectOption = None) -> None:
    """Runs enrolments: their steps, questions, updates and actions.

    Actions are those of the project's folder, if there is one here, and of installed packages.
    """
    from workers.journeys import run_journeys

    folder = _folder("worker journeys", project)

    async def run(database: AsyncEngine, client: Client, stop: asyncio.Event) -> None:
        await run_journeys(database, client, stop, folder)

    _process("worker journeys", temporal, run)


def send(
    channel: Annotated[list[str], typer.Option("--channel", help="A channel to serve; may be repeated.")],
    temporal: TemporalOption = None,
) -> None:
    """Sends the messages of one channel (or of several)."""
    from workers.send import run_send

    async def run(database: AsyncEngine, client: Client, stop: asyncio.Event) -> None:
        await run_send(database, client, stop, channel)

    _process("worker send", temporal, run)


def pool(temporal: TemporalOption = None, project: ProjectOption = None) -> None:
    """Runs enrolments of journeys with `run_as: pool`: everything that they do, messages included.

    Actions are those of the project's folder, if there is one here, and of installed packages.
    """
    from workers.pool import run_pool

    folder = _folder("worker pool", project)

    async def run(database: AsyncEngine, client: Client, stop: asyncio.Event) -> None:
        await run_pool(database, client, stop, folder)

    _process("worker pool", temporal, run)


def _folder(command: str, project: Path | None) -> Path | None:
    """The project's folder, if there is one here."""
    try:
        return find_project(project)
    except NoProject as error:
        if project is not None:
            refuse(command, error)
        return None


def log_to_stderr() -> None:
    """One line a thing, in plain words."""
    logging.basicConfig(
        level=os.environ.get("KAIROS_LOG", "INFO").upper(),
        format="%(asctime)s %(name)s: %(message)s",
        datefmt="%H:%M:%S",
    )
    for chatty in ("httpx", "httpcore", "temporalio", "alembic", "uvicorn.access"):
        logging.getLogger(chatty).setLevel(logging.WARNING)


def stop_on_signals() -> asyncio.Event:
    """An event that Ctrl-C and SIGTERM set; to be called inside the loop."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    return stop


def _process(command: str, temporal: str | None, run: Run) -> None:
    log_to_stderr()
    address = temporal or os.environ.get("TEMPORAL_ADDRESS") or local_address()

    async def work(database: AsyncEngine) -> None:
        stop = stop_on_signals()
        client = await connect(address, wait=60)
        beating = asyncio.create_task(_beat(os.environ.get(ALIVE_FILE)))
        try:
            await run(database, client, stop)
        finally:
            beating.cancel()

    try:
        on_database(command, work)
    except* (TemporalUnreachable, KeyMistake, ConfigurationError, ActionMistake) as group:
        refuse(command, "; ".join(str(error) for error in _flat(group)))


async def _beat(path: str | None) -> None:
    """Touches the file every few seconds while this process gets to work: a health check looks at its age."""
    while path is not None:
        Path(path).touch()  # noqa: ASYNC240 - a health check of this very loop
        await asyncio.sleep(5)


def _flat(group: BaseException) -> list[BaseException]:
    if isinstance(group, BaseExceptionGroup):
        return [error for inner in group.exceptions for error in _flat(inner)]
    return [group]
