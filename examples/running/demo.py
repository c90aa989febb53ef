"""A demo: what happened to a real shop, live on Temporal, and compared with `kairos simulate`.

Exit code 0: the live run and the simulation agree in every enrolment. 1: they differ. 2: it could not be run.
"""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from io import StringIO
from pathlib import Path
from typing import NoReturn
from urllib.parse import quote

from rich.console import Console, Group, RenderableType
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
from examples.running import live, records, report
from examples.running.differences import Difference, compare
from examples.running.live import Counts, DemoError, Lag, Pace
from examples.running.records import Records
from examples.running.replay import Message, ReplayFailed
from workers.dev import API_PORT, Servers, run_workers, servers

INTERRUPTED = 130
GRACE = 2.0


async def _nothing(found: Servers, say: Callable[[str], None]) -> None:
    """There is no time before."""


@dataclass(frozen=True, slots=True)
class Story:
    """What a demo tells. `hours` of it pass in a second; it lasts `days`, of at most `most_days`."""

    command: str
    folder: Path
    """The project."""
    source: str
    """Of its events: ids are made of it, so the simulation is told the same."""
    start: datetime
    days: float
    most_days: float
    hours: float
    of: str
    """Whose time passes: `the shop`."""
    people: str
    messages: Callable[[float], list[Message]]
    """What is sent in so many days, in order."""
    look_at: str
    """The journey to look at in Temporal's UI."""
    before: Callable[[Servers, Callable[[str], None]], Awaitable[None]] = _nothing
    """Brings in what was there before `start`, once the project is applied."""
    history: Callable[[], list[Message]] = list
    """The same for the simulation."""
    after: Callable[[Records, datetime], RenderableType | None] = lambda live, at: None
    """What else is to be told of the live run."""


@dataclass(frozen=True, slots=True)
class Options:
    days: float
    hours: float
    """Logical hours a wall second."""
    grace: float = GRACE
    """Wall seconds that timers fire after they are due."""
    keep: bool = False
    picture: Path | None = None
    pool: bool = False
    """Whether the journeys run as rows instead of as workflows."""

    @classmethod
    def read(cls, environment: Mapping[str, str], story: Story) -> Options:
        """The options of a demo, from the environment.

        Raises:
            DemoError: one of them means nothing.
        """
        driver = environment.get("DRIVER", "workflow")
        if driver not in ("workflow", "pool"):
            raise DemoError(f"DRIVER={driver}: there is no such driver; say DRIVER=workflow or DRIVER=pool")
        return cls(
            days=_number(environment, "DEMO_DAYS", story.days, story.most_days),
            hours=_number(environment, "DEMO_HOURS", story.hours, 3 * story.hours),
            grace=_number(environment, "DEMO_GRACE", GRACE, 120),
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
    def __init__(self, story: Story, options: Options, console: Console) -> None:
        self.story = story
        self.options = options
        self.console = console
        self.files = read_project(story.folder)
        self.project: Project = check_folder(story.folder)
        if options.pool:
            self.files = {path: _in_pool(path, text) for path, text in self.files.items()}
            self.project = check_project(self.files)
        self.messages: list[Message] = story.messages(options.days)

    async def run(self) -> int:
        """Everything; returns the exit code."""
        stop = stop_on_signals()
        passed_over = live.own_servers_only()
        for name in passed_over:
            self.say(f"{name} is passed over: the demo has servers of its own")
        with live.fresh_folder(data_folder()) as folder:
            async with servers(self.say, folder=folder) as found:
                key = await live.prepare(found, self.project, self.files, self.story.source, self.story.start)
                await self.story.before(found, self.say)
                return await beside_workers(
                    found,
                    port_near(API_PORT),
                    self.story.folder,
                    lambda base_url: self._show(found, base_url, key, stop),
                )

    async def _show(self, found: Servers, base_url: str, key: str, stop: asyncio.Event) -> int:
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
            paper.save_svg(str(self.options.picture), title=self.story.command)
        if self.options.keep and not stop.is_set():
            self._where_to_look(found, base_url)
            await stop.wait()
        return 1 if outcome.differences else 0

    def _report(self, outcome: Outcome) -> Group:
        at = self.story.start + timedelta(days=self.options.days)
        lag = f"  events were at worst {outcome.lag}; timers wait for them"
        return Group(
            report.journeys(outcome.live, self.project.plans, at),
            *([more] if (more := self.story.after(outcome.live, at)) is not None else []),
            report.verdict(outcome.differences, outcome.simulated),
            Text(lag, style="dim"),
        )

    async def play(self, found: Servers, base_url: str, key: str, stop: asyncio.Event) -> Outcome | None:
        """The live run and its comparison; None if it was interrupted."""
        dry = await asyncio.to_thread(
            simulate,
            self.project,
            None,
            [*self.story.history(), *self.messages],
            None,
            self.story.source,
            since=None if self.story.history is list else self.story.start,
        )
        wanted = records.simulated(dry)
        assert dry.ended_at is not None
        await live.warmed_up(base_url)
        pace = Pace(self.options.hours * 3600, self.options.grace)
        start, end = self.story.start, dry.ended_at
        ticking = await live.set_clock(found.database, pace, start)
        minutes = (end - start).total_seconds() / pace.speed / 60
        self.say(
            f"{len(self.messages):,} messages of {dry.people:,} {self.story.people}; {self.options.hours:g} "
            f"hours of {self.story.of} pass in a second, so this takes {minutes:.1f} minutes"
        )
        with self._progress() as bar:
            task = bar.add_task("", total=(end - start).total_seconds())

            shown, told = start, ""

            def progress(counts: Counts, now: datetime) -> None:
                nonlocal shown, told
                done = max(0.0, (now - start).total_seconds())
                line = _line(counts, min(max(now, start), end))
                bar.update(task, completed=done, description=line)
                if not self.console.is_terminal and now >= shown and line != told:  # a log has no bar
                    shown, told = now + timedelta(days=5), line
                    self.console.print(line, highlight=False)

            await live.run(found.database, base_url, key, self.messages, ticking, end, stop, progress)
        if stop.is_set():
            return None
        got = await records.live(found.database)
        lag = await live.lag(found.database, ticking, self.story.source)
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
        query = quote(f'KairosJourney="{self.story.look_at}"')
        self.say("")
        self.say(f"  API           {base_url}/docs")
        self.say(f"  messages      {base_url}/outbox")
        if found.temporal.ui_url:
            self.say(f"  Temporal      {found.temporal.ui_url}/namespaces/default/workflows?query={query}")
        self.say("  stop          Ctrl-C")


async def beside_workers(
    found: Servers, port: int, folder: Path, show: Callable[[str], Awaitable[int]]
) -> int:
    """What `show` returns, told the API's address once all workers run; they are stopped afterwards.

    Raises:
        DemoError: a worker ended.
    """
    over, ready = asyncio.Event(), asyncio.get_running_loop().create_future()

    async def shown() -> int:
        return await show(await ready)

    working = asyncio.create_task(run_workers(found, over, port=port, project=folder, ready=ready.set_result))
    showing = asyncio.create_task(shown())
    try:
        await asyncio.wait({working, showing}, return_when=asyncio.FIRST_COMPLETED)
        if not showing.done():
            raise DemoError(f"a worker ended: {_causes(working.exception())}")
        return showing.result()
    finally:
        over.set()
        showing.cancel()
        await asyncio.gather(working, showing, return_exceptions=True)


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


def play(begin: Callable[[Console], Awaitable[int]]) -> int:
    """Runs a demo; returns the exit code. What it cannot go on without is said in words."""
    console = Console()
    log_to_stderr()
    logging.getLogger().setLevel(logging.WARNING)
    # A machine under load makes Temporal's core warn of slow tasks, right through the progress bar.
    quiet = LoggingConfig(filter=TelemetryFilter(core_level="ERROR", other_level="ERROR"))
    Runtime.set_default(Runtime(telemetry=TelemetryConfig(logging=quiet)))

    async def played() -> int:
        return await begin(console)

    try:
        return asyncio.run(played())
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


def end(code: int) -> NoReturn:
    """Ends the process with this exit code."""
    sys.stdout.flush()
    sys.stderr.flush()
    # Temporal's SDK now and then crashes while Python ends, after all work is done, and spoils the exit code.
    os._exit(code)


def run(story: Story) -> NoReturn:
    """Runs a demo that tells a story, and ends the process with its exit code."""

    async def begin(console: Console) -> int:
        return await Demo(story, Options.read(os.environ, story), console).run()

    end(play(begin))
