"""`make demo`: a month of a shop, live on Temporal, and compared with `kairos simulate`.

    make demo              the month of May in about three minutes
    make demo KEEP=1       the same, and everything stays up until Ctrl-C
    DRIVER=pool            the journeys run as rows in batches, not as a workflow each
    DEMO_DAYS=3            only the first days of May
    DEMO_HOURS=8           so many hours of the shop pass in a second
    DEMO_GRACE=2           so many seconds later than they are due do timers fire
    DEMO_PICTURE=FILE      keep the report as a picture (SVG)

Exit code 0: the live run and the simulation agree in every enrolment. 1: they differ. 2: it could not be run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from urllib.parse import quote

from rich.console import Console, Group
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text
from temporalio.runtime import LoggingConfig, Runtime, TelemetryConfig, TelemetryFilter

from engine.cli.check import check_folder
from engine.cli.project_folder import read_project
from engine.cli.worker import log_to_stderr, stop_on_signals
from engine.language.project import Project, check_project
from engine.simulator import simulate
from engine.store.database import DatabaseError
from engine.store.embedded import EmbeddedPostgresError, data_folder
from engine.temporal.client import TemporalUnreachable
from engine.temporal.found import TemporalNotFound
from engine.temporal.server import TemporalServerError, port_near
from examples.shop import live, records, report
from examples.shop.differences import Difference, compare
from examples.shop.live import Counts, DemoError, Lag, Pace
from examples.shop.records import Records
from examples.shop.replay import ReplayFailed
from examples.shop.stream import DAYS, MAY, Message, messages
from workers.dev import API_PORT, Servers, run_workers, servers

FOLDER = Path(__file__).parent
INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class Options:
    days: float = DAYS
    hours: float = 8.0
    """Logical hours a wall second."""
    grace: float = 2.0
    """Wall seconds that timers fire after they are due."""
    keep: bool = False
    picture: Path | None = None
    pool: bool = False
    """Whether the journeys run as rows instead of as workflows."""

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Options:
        """The options of `make demo`, from the environment.

        Raises:
            DemoError: one of them means nothing.
        """
        driver = environment.get("DRIVER", "workflow")
        if driver not in ("workflow", "pool"):
            raise DemoError(f"DRIVER={driver}: there is no such driver; say DRIVER=workflow or DRIVER=pool")
        default = cls()
        return cls(
            days=_number(environment, "DEMO_DAYS", default.days, 31),
            hours=_number(environment, "DEMO_HOURS", default.hours, 24),
            grace=_number(environment, "DEMO_GRACE", default.grace, 120),
            keep=environment.get("KEEP", "") not in ("", "0", "no"),
            picture=Path(environment["DEMO_PICTURE"]) if environment.get("DEMO_PICTURE") else None,
            pool=driver == "pool",
        )


def _number(environment: Mapping[str, str], name: str, default: float, most: float) -> float:
    text = environment.get(name, "")
    try:
        value = float(text) if text else default
    except ValueError:
        value = -1.0
    if not 0 < value <= most:
        raise DemoError(f"{name}={text}: expected a number above 0 and at most {most:g}")
    return value


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the live run and the simulation came to."""

    live: Records
    simulated: Records
    differences: list[Difference]
    lag: Lag


class Demo:
    def __init__(self, options: Options, console: Console) -> None:
        self.options = options
        self.console = console
        self.files = read_project(FOLDER)
        self.project: Project = check_folder(FOLDER)
        if options.pool:
            self.files = {path: _in_pool(path, text) for path, text in self.files.items()}
            self.project = check_project(self.files)
        self.messages: list[Message] = messages(MAY, options.days)

    async def run(self) -> int:
        """Everything; returns the exit code."""
        stop = stop_on_signals()
        passed_over = live.own_servers_only()
        for name in passed_over:
            self.say(f"{name} is passed over: the demo has servers of its own")
        with live.fresh_folder(data_folder()) as folder:
            async with servers(self.say, folder=folder) as found:
                key = await live.prepare(found, self.project, self.files)
                over, ready = asyncio.Event(), asyncio.get_running_loop().create_future()
                port = port_near(API_PORT)
                working = asyncio.create_task(
                    run_workers(found, over, port=port, project=FOLDER, ready=ready.set_result)
                )
                showing = asyncio.create_task(self._show(found, ready, key, stop))
                try:
                    await asyncio.wait({working, showing}, return_when=asyncio.FIRST_COMPLETED)
                    if not showing.done():
                        raise DemoError(f"a worker ended: {_causes(working.exception())}")
                    return showing.result()
                finally:
                    over.set()
                    showing.cancel()
                    await asyncio.gather(working, showing, return_exceptions=True)

    async def _show(self, found: Servers, ready: asyncio.Future[str], key: str, stop: asyncio.Event) -> int:
        base_url = await ready
        self.say(f"API: ready at {base_url}")
        outcome = await self.play(found, base_url, key, stop)
        if outcome is None:
            self.say("stopped")
            return INTERRUPTED
        shown = self._report(outcome)
        self.console.print(shown)
        if self.options.picture is not None:
            paper = Console(record=True, width=96, file=StringIO())
            paper.print(shown)
            paper.save_svg(str(self.options.picture), title="make demo")
        if self.options.keep and not stop.is_set():
            self._where_to_look(found, base_url)
            await stop.wait()
        return 1 if outcome.differences else 0

    def _report(self, outcome: Outcome) -> Group:
        at = MAY + timedelta(days=self.options.days)
        lag = f"  events were at worst {outcome.lag}; timers wait for them"
        return Group(
            report.journeys(outcome.live, self.project.plans, at),
            report.verdict(outcome.differences, outcome.simulated),
            Text(lag, style="dim"),
        )

    async def play(self, found: Servers, base_url: str, key: str, stop: asyncio.Event) -> Outcome | None:
        """The live run and its comparison; None if it was interrupted."""
        dry = await asyncio.to_thread(simulate, self.project, None, self.messages, None, live.SOURCE)
        wanted = records.simulated(dry)
        assert dry.ended_at is not None
        await live.warmed_up(base_url)
        pace = Pace(self.options.hours * 3600, self.options.grace)
        start, end = MAY, dry.ended_at
        ticking = await live.set_clock(found.database, pace, start)
        minutes = (end - start).total_seconds() / pace.speed / 60
        self.say(
            f"{len(self.messages):,} messages of {dry.people} visitors; {self.options.hours:g} hours of the "
            f"shop pass in a second, so this takes {minutes:.1f} minutes"
        )
        with self._progress() as bar:
            task = bar.add_task("", total=(end - start).total_seconds())

            shown = start

            def progress(counts: Counts, now: datetime) -> None:
                nonlocal shown
                done = max(0.0, (now - start).total_seconds())
                line = _line(counts, min(max(now, start), end))
                bar.update(task, completed=done, description=line)
                if not self.console.is_terminal and now >= shown:  # a log has no bar
                    shown = now + timedelta(days=5)
                    self.console.print(line, highlight=False)

            await live.run(found.database, base_url, key, self.messages, ticking, end, stop, progress)
        if stop.is_set():
            return None
        got = await records.live(found.database)
        lag = await live.lag(found.database, ticking)
        return Outcome(got, wanted, compare(got, wanted), lag)

    def say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            TimeElapsedColumn(),
            console=self.console,
        )

    def _where_to_look(self, found: Servers, base_url: str) -> None:
        query = quote('KairosJourney="unpaid-cart"')
        self.say("")
        self.say(f"  API           {base_url}/docs")
        self.say(f"  messages      {base_url}/outbox")
        if found.temporal.ui_url:
            self.say(f"  Temporal      {found.temporal.ui_url}/namespaces/default/workflows?query={query}")
        self.say("  stop          Ctrl-C")


def _in_pool(path: str, text: str) -> str:
    """A journey as it stands, but run by the other driver."""
    is_journey = path.startswith("journeys/") and path.count("/") == 1 and path != "journeys/catalog.yaml"
    return f"{text.rstrip()}\nrun_as: pool\n" if is_journey else text


def _causes(error: BaseException | None) -> str:
    if isinstance(error, BaseExceptionGroup):
        return "; ".join(_causes(inner) for inner in error.exceptions)
    return f"{type(error).__name__}: {error}"


def _line(counts: Counts, now: datetime) -> str:
    return (
        f"[bold]{now:%d %b}[/]  {counts.sent:,} sent in · {counts.entered} entered · "
        f"{counts.waiting} waiting · {counts.messages} messages"
    )


def main() -> int:
    """Runs the demo; returns the exit code."""
    console = Console()
    log_to_stderr()
    logging.getLogger().setLevel(logging.WARNING)
    # A machine under load makes Temporal's core warn of slow tasks, right through the progress bar.
    quiet = LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR"))
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=quiet)))
    try:
        demo = Demo(Options.read(os.environ), console)
        return asyncio.run(demo.run())
    except (
        DemoError,
        ReplayFailed,
        DatabaseError,
        EmbeddedPostgresError,
        TemporalNotFound,
        TemporalServerError,
        TemporalUnreachable,
    ) as error:
        console.print(f"demo: {error}", style="red", markup=False)
        return 2
    except KeyboardInterrupt:
        return INTERRUPTED


if __name__ == "__main__":
    code = main()
    sys.stdout.flush()
    sys.stderr.flush()
    # Temporal's SDK now and then crashes while Python ends, after all work is done, and spoils the exit code.
    os._exit(code)
