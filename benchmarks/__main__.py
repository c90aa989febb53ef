"""Compares speed with named baselines, and writes what came of it.

python -m benchmarks                      all of them, into docs/performance.md
python -m benchmarks driver simulator     these only, to the terminal
python -m benchmarks --scale 0.1 --pairs 2    smaller, to see that they work; writes nothing
BENCH_FULL=1 python -m benchmarks crowd   crowds of a million: hours, and some gigabytes of disk
BENCH_HOME=/var/bench python -m benchmarks segments    keeps the customers for the next run
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import shutil
import sys
import tempfile
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import sqlalchemy as sa

from benchmarks import (
    adapters,
    burst,
    callbacks,
    clicks,
    driver,
    first_minutes,
    identify,
    imports,
    intake,
    latency,
    memory,
    moments,
    policy,
    pool_burst,
    pool_crowd,
    pool_due,
    pool_http,
    pool_waiting,
    recompute,
    render,
    segments,
    simulator,
)
from benchmarks.findings import Finding
from benchmarks.lab import Lab, opened
from benchmarks.machine import machine, servers
from benchmarks.report import page, terminal
from engine.store.embedded import EmbeddedPostgres
from engine.temporal.found import find

SHOWN = ("shared_buffers", "max_wal_size", "work_mem", "fsync", "synchronous_commit", "full_page_writes")
"""Settings of PostgreSQL that decide something."""
PAGE = Path(__file__).resolve().parents[1] / "docs" / "performance-run.md"
"""The last full run as it was. `performance.md` is written by people: it compares runs and says why."""
BENCHMARKS: dict[str, tuple[str, Callable[[Lab], Awaitable[list[Finding]]]]] = {
    "render": ("Rendering", render.run),
    "simulator": ("Simulator", simulator.run),
    "policy": ("Verdicts in memory", policy.run),
    "intake": ("Intake in batches", intake.run),
    "track": ("Single events", intake.track),
    "clicks": ("Following links", clicks.run),
    "history": ("History of an enrolment", driver.history),
    "driver": ("The `workflow` driver", driver.run),
    "latency": ("From event to message", latency.run),
    "burst": ("A burst, and who waits beside it", burst.run),
    "memory": ("Memory of a journey worker", memory.run),
    "crowd": ("A crowd in the pool", pool_crowd.run),
    "crowd-entry": ("A crowd's entry", pool_crowd.entry),
    "crowd-http": ("A crowd by HTTP", pool_http.run),
    "pool-burst": ("A burst in the pool", pool_burst.run),
    "pool-trickle": ("From event to message, in the pool", latency.pool),
    "pool-due": ("Many waits over at once", pool_due.run),
    "adapters": ("One adapter's messages", adapters.run),
    "identify": ("Two profiles become one", identify.run),
    "imports": ("Importing customers", imports.run),
    "quiet": ("Who has gone quiet", moments.run),
    "segments": ("Counting a segment", segments.run),
    "recompute": ("Everybody looked at anew", recompute.run),
    "callbacks": ("Calls of providers", callbacks.run),
    "first-minutes": ("The first minutes", first_minutes.run),
    "pool-waiting": ("What waiting enrolments cost", pool_waiting.run),
}


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Speed against baselines.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHMARKS)}; all if none")
    parser.add_argument("--scale", type=float, default=1.0, help="makes every size smaller: 0.1 is a tenth")
    parser.add_argument("--pairs", type=int, default=10, help="how often a comparison is made")
    parser.add_argument(
        "--out", type=Path, help="where the page goes; a full run writes docs/performance-run.md"
    )
    parser.add_argument("--list", action="store_true", help="names the benchmarks")
    given = parser.parse_args(arguments)
    if given.list:
        for name, (title, _) in BENCHMARKS.items():
            print(f"{name:<13} {title}")
        return 0
    if unknown := set(given.names) - BENCHMARKS.keys():
        parser.error(f"no benchmark {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    full = not given.names and given.scale >= 1 and given.pairs >= 10
    out: Path | None = given.out or (PAGE if full else None)
    return asyncio.run(_run(given.names or list(BENCHMARKS), given.scale, given.pairs, out))


async def _run(names: Sequence[str], scale: float, pairs: int, out: Path | None) -> int:
    logging.basicConfig(level=logging.WARNING, format="%(name)s: %(message)s")
    began = time.monotonic()
    full = os.environ.get("BENCH_FULL") == "1"
    about = machine()
    home = os.environ.get("BENCH_HOME")
    folder = Path(tempfile.mkdtemp(prefix="kairos-bench-")) if home is None else Path(home)
    os.environ["KAIROS_HOME"] = str(folder)
    os.environ.pop("DATABASE_URL", None)
    os.environ.pop("TEMPORAL_ADDRESS", None)
    postgres = EmbeddedPostgres(folder)
    found: list[tuple[str, list[Finding]]] = []
    broken: list[str] = []
    try:
        await asyncio.to_thread(postgres.ensure)
        about += servers(await asyncio.to_thread(find), await _postgres(postgres.url("postgres")))
        about.append(
            f"{pairs} pairs a comparison, "
            + ("full sizes" if scale == 1 else f"sizes {scale:g} times the full ones: a trial, no verdict")
            + (", crowds of a million" if full else "")
        )
        print("\n".join(about), flush=True)
        lab = Lab(folder, postgres, scale, pairs, full, lambda line: print(f"    {line}", file=sys.stderr))
        for name in names:
            title, run = BENCHMARKS[name]
            print(f"\n{title}", flush=True)
            started = time.monotonic()
            try:
                found.append((title, await run(lab)))
            except Exception:
                broken.append(name)
                traceback.print_exc()
                continue
            for one in found[-1][1]:
                print("\n".join(terminal(one)), flush=True)
            print(f"    ({time.monotonic() - started:.0f} s)", flush=True)
    finally:
        await asyncio.to_thread(postgres.stop, "fast" if home else "immediate")
        if home is None:
            shutil.rmtree(folder, ignore_errors=True)
    if out is not None and not broken:
        text = page(about, found, time.monotonic() - began)
        await asyncio.to_thread(out.write_text, text, encoding="utf-8")
        print(f"\nwritten to {out}")
    if broken:
        print(f"\nnot measured: {', '.join(broken)}; nothing is written", file=sys.stderr)
    return 1 if broken else 0


async def _postgres(url: str) -> str:
    async with opened(url) as database, database.connect() as connection:

        async def show(name: str) -> str:
            return str((await connection.execute(sa.text(f"SHOW {name}"))).scalar_one())

        settings = ", ".join([f"{name} {await show(name)}" for name in SHOWN])
        return f"PostgreSQL {await show('server_version')}, embedded, on a Unix socket; {settings}"


if __name__ == "__main__":
    code = main(sys.argv[1:])
    sys.stdout.flush()
    sys.stderr.flush()
    # Temporal's SDK may crash while the interpreter takes itself down, which would spoil the exit code.
    os._exit(code)
