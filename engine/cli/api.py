"""`kairos api`: the HTTP side, as a process of its own."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from typing import TYPE_CHECKING, Annotated

import typer

from engine.cli.session import CommandError, on_database, refuse
from workers.api import DEFAULT_HOST, DEFAULT_PORT, LOOPBACK, PortTaken, run_api

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine


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
        refuse("api", f"--open-pages needs an address of this machine only, not {host}")

    async def work(database: AsyncEngine) -> None:
        stop, loop = asyncio.Event(), asyncio.get_running_loop()
        for each in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(each, stop.set)
        try:
            await run_api(
                database,
                host,
                port,
                temporal_ui=os.environ.get("TEMPORAL_UI_URL"),
                open_pages=open_pages,
                stop=stop,
                ready=lambda address: typer.echo(f"Kairos listens on {address}; API docs at {address}/docs"),
            )
        except PortTaken as error:
            raise CommandError(str(error)) from None

    on_database("api", work)


def register(app: typer.Typer) -> None:
    app.command("api")(api)
