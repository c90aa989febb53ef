"""`kairos api`: the HTTP side, as a process of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import Annotated

import typer

from engine.store.database import DatabaseError, check, current_revision, head_revision, open_database
from workers.api import DEFAULT_HOST, DEFAULT_PORT, LOOPBACK, PortTaken, run_api


def api(
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0 for all.")] = DEFAULT_HOST,
    port: Annotated[int, typer.Option(help="Port to listen on; 0 for a free one.")] = DEFAULT_PORT,
    open_pages: Annotated[
        bool, typer.Option(help="Show the pages without a key. Only on a loopback address.")
    ] = False,
) -> None:
    """Take events, answer the management API and show the pages, until stopped.

    The address of Temporal's web interface, for links to it, is read from TEMPORAL_UI_URL.
    Exit code 0: stopped. 2: the database or the address cannot be used.
    """
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s: %(message)s")
    if open_pages and host not in LOOPBACK:
        typer.echo(f"kairos api: --open-pages needs a loopback address, not {host}", err=True)
        raise typer.Exit(2)
    try:
        asyncio.run(_serve(host, port, open_pages))
    except (DatabaseError, PortTaken) as error:
        typer.echo(f"kairos api: {error}", err=True)
        raise typer.Exit(2) from None


async def _serve(host: str, port: int, open_pages: bool) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for each in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(each, stop.set)
    database = open_database()
    try:
        await check(database)
        if await current_revision(database) != head_revision():
            raise DatabaseError(
                "the database has not the tables of this version of Kairos; run `kairos db upgrade`"
            )
        await run_api(
            database,
            host,
            port,
            temporal_ui=os.environ.get("TEMPORAL_UI_URL"),
            open_pages=open_pages,
            stop=stop,
            ready=lambda address: typer.echo(f"Kairos listens on {address}; API docs at {address}/docs"),
        )
    finally:
        await database.dispose()


def register(app: typer.Typer) -> None:
    app.command("api")(api)
