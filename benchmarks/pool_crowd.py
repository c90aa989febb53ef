"""A crowd: from `enter` to the last settled row, against the bare loop; and its entry alone.

The crowd is split in halves, each gets a text with the first name in it, consent is checked, and an adapter
accepts at once. Ours runs as operators run it: a router, and one worker process or two, whichever is quicker
here; the bare loop has the same choice. Comparisons are small crowds in turns; large ones run once, and tell
how the time grows.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from statistics import median

import asyncpg

from benchmarks import pool_bare
from benchmarks.findings import Finding, compared, figure, single
from benchmarks.lab import Lab
from benchmarks.pool import Crowd, crowding, let_in, project
from benchmarks.statistics import line
from tests.integration.processes import Child

PAIR = 20_000
LARGE = (10_000, 30_000, 100_000)
FULL = (100_000, 300_000, 1_000_000)
"""With `BENCH_FULL=1`."""
FAR = 10_000_000
"""Computed."""
ENTERING = 50_000
WARM = 2_000
TRIALS = 3
RATE = 5_000.0
Play = Callable[[int], Awaitable[float]]


async def run(lab: Lab) -> list[Finding]:
    """The rate of a crowd, and what it comes to with millions."""
    pair = lab.sized(PAIR, 500)
    sizes = [lab.sized(size, 500) for size in (FULL if lab.full else LARGE)]
    rates: dict[str, list[float]] = {"ours": [], **{kind: [] for kind in pool_bare.KINDS}}
    async with crowding(lab, "crowd", project(), max(pair, *sizes)) as crowd:
        await crowd.raw.execute(pool_bare.MAKE)
        ours, ours_told = await _best(crowd, pair)
        bare, bare_told = await _best_bare(crowd, pair)
        await crowd.staff(ours)
        loops = await _started(pool_bare.loops(crowd.parts, bare))
        players: dict[str, Play] = {
            "ours": crowd.play,
            **{kind: _bare(crowd.raw, kind) for kind in pool_bare.KINDS},
        }
        for play in players.values():
            await play(min(WARM, pair))
        order = list(players)
        for number in range(lab.pairs):
            for name in order[number % 3 :] + order[: number % 3]:
                rates[name].append(pair / await players[name](pair))
        took = {name: [(size, await play(size)) for size in sizes] for name, play in players.items()}
        _stop(loops)
    notes = [
        f"crowds of {pair:,}; ours with {ours} worker process(es) ({ours_told}), "
        f"the bare loop with {bare} ({bare_told})",
        _grown("ours", took["ours"]),
        *(_grown(f"bare loop, {kind}", took[kind]) for kind in pool_bare.KINDS),
    ]
    size, seconds = took["ours"][-1]
    return [
        compared(
            "a crowd, from `enter` to the last settled row",
            "the bare loop over the same rows with the same indexes; no policy, no core, no traces",
            rates["ours"],
            rates["rows"],
            0.25,
            "at least",
            unit="messages a second",
            notes=notes,
        ),
        compared(
            "the same",
            "the bare loop over narrow tables of its own, one index each",
            rates["ours"],
            rates["lean"],
            0.25,
            "at least",
            unit="messages a second",
        ),
        single(
            f"a crowd of {size:,}",
            size / seconds,
            RATE,
            "at least",
            unit="messages a second",
            notes=[_far(took["ours"])],
        ),
    ]


async def entry(lab: Lab) -> list[Finding]:
    """The rows of a crowd entering, nobody working on them."""
    size = lab.sized(ENTERING, 1_000)
    ours: list[float] = []
    theirs: list[float] = []
    async with crowding(lab, "entry", project(), size) as crowd:
        await crowd.raw.execute(pool_bare.MAKE)
        # Without it nobody opens shards for rows that nobody takes.
        await asyncio.to_thread(crowd.parts.children["router"].stop)
        for number in range(lab.pairs + 1):
            entered, copied = await _entered(crowd, size)
            if number:  # the first one warms up
                ours.append(size / entered)
                theirs.append(size / copied)
    return [
        compared(
            "the rows of a crowd entering",
            "`INSERT … SELECT` of the very rows into tables of the same columns with the same indexes",
            ours,
            theirs,
            0.5,
            "at least",
            unit="rows a second",
            notes=[f"{size:,} customers a run; enrolments and their rows in the pool"],
        )
    ]


async def _entered(crowd: Crowd, size: int) -> tuple[float, float]:
    """Seconds of our entry, and of copying the rows that it made."""
    await crowd.clear()
    await crowd.raw.execute(pool_bare.CLEAR)
    began = time.perf_counter()
    await let_in(crowd.database)
    between = time.perf_counter()
    async with crowd.raw.transaction():
        await crowd.raw.execute("INSERT INTO bare_enrolments SELECT * FROM enrolments")
        await crowd.raw.execute("INSERT INTO bare_rows SELECT * FROM pool_rows")
    ended = time.perf_counter()
    found = [await crowd.raw.fetchval(f"SELECT count(*) FROM {t}") for t in ("pool_rows", "bare_rows")]
    if found != [size, size]:
        raise AssertionError(f"{size} were to enter; (entered, copied) are {found}")
    return between - began, ended - between


# --- one process or two ---------------------------------------------------------------------------------


async def _best(crowd: Crowd, size: int) -> tuple[int, str]:
    """How many workers are quickest here, and what was tried."""
    rates = {}
    for count in (1, 2):
        await crowd.staff(count)
        rates[count] = await _rate(crowd.play, size)
    await crowd.dismiss()
    return max(rates, key=lambda count: rates[count]), _tried(rates)


async def _best_bare(crowd: Crowd, size: int) -> tuple[int, str]:
    rates = {}
    for count in (1, 2):
        loops = await _started(pool_bare.loops(crowd.parts, count))
        rates[count] = await _rate(_bare(crowd.raw, "rows"), size)
        _stop(loops)
    return max(rates, key=lambda count: rates[count]), _tried(rates)


async def _rate(play: Play, size: int) -> float:
    await play(min(WARM, size))
    return median([size / await play(size) for _ in range(TRIALS)])


def _tried(rates: dict[int, float]) -> str:
    return ", ".join(f"with {count} {figure(rate)} a second" for count, rate in rates.items())


def _bare(raw: asyncpg.Connection, kind: str) -> Play:
    return lambda size: pool_bare.play(raw, kind, size)


async def _started(children: Sequence[Child]) -> Sequence[Child]:
    for child in children:
        child.start(wait=False)
    for child in children:
        child.wait_until_ready()
    return children


def _stop(children: Sequence[Child]) -> None:
    for child in children:
        child.stop()


# --- how it grows ---------------------------------------------------------------------------------------


def _grown(who: str, took: Sequence[tuple[int, float]]) -> str:
    runs = ", ".join(
        f"{size:,} in {figure(seconds)} s ({figure(size / seconds)} a second)" for size, seconds in took
    )
    return f"{who}, one run each: {runs}"


def _far(took: Sequence[tuple[int, float]]) -> str:
    """What a far larger crowd would take, if the time goes on growing as it did."""
    seconds = line([(float(size), seconds) for size, seconds in took]).at(FAR)
    sizes = ", ".join(f"{size:,}" for size, _ in took)
    return (
        f"{FAR:,} would take {seconds / 60:,.0f} minutes, {figure(FAR / seconds)} a second: computed, "
        f"not measured, from the line through {sizes}"
    )
