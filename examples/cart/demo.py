"""`make demo-cart`: unpaid carts over WeChat, SMS and e-mail, with what comes back.

The adapters, the HTTP and SMTP sessions, the signatures and the calls of the providers are real; the
providers are the fakes of `channels.testing`, and the people are made up. It takes about half a minute.

    make demo-cart              what was sent, what came back, and that both sides tell the same
    make demo-cart KEEP=1       the same, and everything stays up until Ctrl-C
    CART_PEOPLE=6               so many people for each channel

Exit code 0: what Kairos has on record is what the providers took and the people did. 1: it is not. 2: it
could not be run.
"""

from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path
from typing import Final

import httpx
from rich.console import Console

from engine.cli.applying import apply_project
from engine.cli.check import check_folder
from engine.cli.explain_message import life_lines, read_life
from engine.cli.project_folder import read_project
from engine.cli.worker import stop_on_signals
from engine.store import keys
from engine.store.connection import AsyncEngine
from engine.store.embedded import data_folder
from engine.temporal.server import port_near
from examples.cart import ledger
from examples.cart.ledger import Ledger
from examples.cart.people import people
from examples.cart.providers import Providers, providers
from examples.cart.world import World
from examples.running import live
from examples.running.demo import INTERRUPTED, beside_workers, end, play
from examples.running.live import DemoError
from workers.dev import API_PORT, Servers, servers

FOLDER: Final = Path(__file__).parent
MOST_PEOPLE: Final = 200
MOST_SECONDS: Final = 120.0
"""Of wall time until everybody's enrolment must have ended."""


class CartDemo:
    def __init__(self, each_channel: int, keep: bool, console: Console) -> None:
        self.people = people(each_channel)
        self.keep = keep
        self.console = console

    async def run(self) -> int:
        stop = stop_on_signals()
        for name in live.own_servers_only():
            self.say(f"{name} is passed over: the demo has servers of its own")
        port = port_near(API_PORT)
        async with providers() as made:
            made.base_url = f"http://127.0.0.1:{port}"
            os.environ |= {**made.secrets, "KAIROS_LINK_URL": made.base_url}
            with live.fresh_folder(data_folder()) as folder:
                async with servers(self.say, folder=folder) as found:
                    return await self._with_servers(found, made, port, stop)

    async def _with_servers(self, found: Servers, made: Providers, port: int, stop: asyncio.Event) -> int:
        files, project = read_project(FOLDER), check_folder(FOLDER)
        await apply_project(found.database, project, files, applied_by="the demo")
        async with found.database.begin() as connection:
            key = (await keys.create(connection, "shop", "ingest", source="shop")).token
        return await beside_workers(
            found, port, FOLDER, lambda base_url: self._play(found, made, base_url, key, stop)
        )

    async def _play(
        self, found: Servers, made: Providers, base_url: str, key: str, stop: asyncio.Event
    ) -> int:
        await live.warmed_up(base_url)
        self.say(f"API: ready at {base_url}; {len(self.people)} people leave a cart")
        async with (
            httpx.AsyncClient(base_url=base_url, auth=(key, ""), timeout=30, trust_env=False) as shop,
            httpx.AsyncClient(timeout=30, trust_env=False) as web,
        ):
            world = World(made, self.people, shop, web)
            ended = asyncio.Event()
            watching = asyncio.create_task(world.watch(lambda: ended.is_set() or stop.is_set()))
            try:
                await world.begin()
                await self._until_over(found.database, stop)
            finally:
                ended.set()
                await watching
            if stop.is_set():
                self.say("stopped")
                return INTERRUPTED
            return await self._told(found.database, world, base_url, stop)

    async def _until_over(self, database: AsyncEngine, stop: asyncio.Event) -> None:
        begun, calm = time.monotonic(), 0
        while calm < 8 and not stop.is_set():
            if time.monotonic() - begun > MOST_SECONDS:
                raise DemoError(f"after {MOST_SECONDS:.0f} seconds somebody still waits")
            async with database.connect() as connection:
                left = (await connection.execute(ledger.OPEN)).scalar_one()
            calm = 0 if left else calm + 1
            await asyncio.sleep(0.5)

    async def _told(self, database: AsyncEngine, world: World, base_url: str, stop: asyncio.Event) -> int:
        kept = await Ledger.read(database)
        differences = list(kept.differences(world))
        self.console.print(kept.table(world))
        done = " · ".join(f"{count} {deed}" for deed, count in world.did.most_common())
        self.say(f"people: {done}")
        self.say("exits: " + " · ".join(f"{count} {exit_}" for exit_, count in kept.exits.most_common()))
        await self._one_life(database, kept)
        for difference in differences:
            self.console.print(f"✗ {difference}", style="red", markup=False)
        if not differences:
            self.say(
                f"✓ what the providers took and the people did is what is on record: "
                f"{len(world.providers.arrived())} messages, {world.providers.calls} calls of providers, "
                f"{world.did['clicked']} clicks, {world.did['stopped']} ways out"
            )
        if self.keep and not stop.is_set():
            self.say(f"\n  API           {base_url}/docs\n  stop          Ctrl-C")
            await stop.wait()
        return 1 if differences else 0

    async def _one_life(self, database: AsyncEngine, kept: Ledger) -> None:
        """What `kairos explain message` tells of one that somebody did most about."""
        longest: tuple[str, list[str]] = ("", [])
        async with database.connect() as connection:
            for each in (d for d in kept.deliveries if d["state"] == "delivered"):
                name = f"{each['enrolment_id']}/{each['step']}"
                told = list(life_lines(*await read_life(connection, name)))
                longest = max(longest, (name, told), key=lambda found: len(found[1]))
        self.say(f"\n$ kairos explain message {longest[0]}")
        for line in longest[1]:
            self.say(f"  {line}")
        self.say("")

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)


async def begin(console: Console) -> int:
    """The demo, as the environment wants it."""
    text = os.environ.get("CART_PEOPLE", "6")
    if not text.isdigit() or not 1 <= int(text) <= MOST_PEOPLE:
        raise DemoError(f"CART_PEOPLE={text}: expected a number from 1 to {MOST_PEOPLE}")
    keep = os.environ.get("KEEP", "") not in ("", "0", "no")
    return await CartDemo(int(text), keep, console).run()


if __name__ == "__main__":
    end(play(begin))
