"""The bare loop: what somebody writes who has one mailing to send, and no journey engine.

Batches of 1,000 by `SKIP LOCKED`, sandboxed Jinja2, `COPY` of deliveries, asyncpg alone; no policy, no core,
no trace, no record that anybody could explain. Two of them:

    rows    the same rows as ours: tables of the same columns with the same indexes
    lean    as little as will do: a list of ids and a list of what was sent, one index each

    python -m benchmarks.pool_bare --url URL       works whenever it is told to, by NOTIFY
"""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
import uuid
from collections.abc import Sequence
from typing import Any

import asyncpg
from jinja2.sandbox import SandboxedEnvironment

from benchmarks.pool import TEXTS, directly, emptied
from engine.store.tables import POOL_SHARDS, SHARDS
from tests.integration.processes import Child, Processes

BATCH = 1_000
CHANNEL = "bare_go"
KINDS = ("rows", "lean")
MAKE = """
    CREATE TABLE bare_enrolments (LIKE enrolments INCLUDING ALL);
    CREATE TABLE bare_rows (LIKE pool_rows INCLUDING ALL);
    CREATE TABLE bare_deliveries (LIKE deliveries INCLUDING ALL);
    CREATE TABLE lean_rows (id uuid PRIMARY KEY, profile_id uuid NOT NULL, done_at timestamptz);
    CREATE INDEX ON lean_rows (id) WHERE done_at IS NULL;
    CREATE TABLE lean_sent (id uuid PRIMARY KEY, profile_id uuid NOT NULL, template text NOT NULL,
                            channel text NOT NULL, at timestamptz NOT NULL);
"""
CLEAR = "TRUNCATE bare_enrolments, bare_rows, bare_deliveries, lean_rows, lean_sent"
SEEN = "seen AS MATERIALIZED (SELECT id, key FROM profiles ORDER BY id LIMIT $1)"
ENTER = {
    "rows": f"""
        WITH {SEEN}, e AS (
            INSERT INTO bare_enrolments (id, journey, digest, profile_id, profile_key, shard, one_per,
                                         trigger, holdout, entered_at, entry_month, driver)
            SELECT uuidv7(), 'spring', repeat('0', 64), id, key, get_byte(uuid_send(id), 15) % {SHARDS},
                   'null', '{{"id": "00000000-0000-0000-0000-000000000000"}}', false, now(),
                   date_trunc('month', now())::date, 'pool'
            FROM seen RETURNING id, shard)
        INSERT INTO bare_rows (enrolment_id, journey, shard, wake_at)
        SELECT id, 1, shard % {POOL_SHARDS}, '-infinity' FROM e
    """,
    "lean": f"WITH {SEEN} INSERT INTO lean_rows (id, profile_id) SELECT uuidv7(), id FROM seen",
}
LEFT = {"rows": ("bare_rows", "true"), "lean": ("lean_rows", "done_at IS NULL")}
SENT = {"rows": "bare_deliveries", "lean": "lean_sent"}

# --- from the benchmark's side --------------------------------------------------------------------------


def loops(parts: Processes, count: int) -> list[Child]:
    """So many processes of the loop, to be started."""
    words = ["benchmarks.pool_bare", "--url", parts.database_url]
    return [parts.program(f"bare-{number}", words, "bare: ready") for number in range(1, count + 1)]


async def play(raw: asyncpg.Connection, kind: str, count: int) -> float:
    """Seconds from the entry of so many customers to the last delivery."""
    await raw.execute(CLEAR)
    began = time.perf_counter()
    await raw.execute(ENTER[kind], count)
    await raw.execute(f"NOTIFY {CHANNEL}, '{kind}'")
    took = await emptied(raw, *LEFT[kind]) - began
    sent = await raw.fetchval(f"SELECT count(*) FROM {SENT[kind]}")
    if sent != count:
        raise AssertionError(f"{count} entered, {sent} were sent")
    return took


# --- the loop -------------------------------------------------------------------------------------------

_TAKE = {
    "rows": f"""
        SELECT r.enrolment_id AS id, e.profile_id, e.entry_month, e.entered_at, p.attributes, p.addresses
        FROM (SELECT enrolment_id FROM bare_rows WHERE journey = 1 AND wake_at <= now()
              ORDER BY shard, wake_at LIMIT {BATCH} FOR UPDATE SKIP LOCKED) r
        JOIN bare_enrolments e ON e.id = r.enrolment_id JOIN profiles p ON p.id = e.profile_id
    """,
    "lean": f"""
        SELECT r.id, r.profile_id, p.attributes, p.addresses
        FROM (SELECT id, profile_id FROM lean_rows WHERE done_at IS NULL
              ORDER BY id LIMIT {BATCH} FOR UPDATE SKIP LOCKED) r
        JOIN profiles p ON p.id = r.profile_id
    """,
}
_DELIVERY = [
    "enrolment_id",
    "step",
    "entry_month",
    "id",
    "key",
    "journey",
    "profile_id",
    "category",
    "channel",
    "template",
    "state",
    "attempts",
    "claimed_at",
    "sending_at",
    "settled_at",
    "at",
]
_LEAN = ["id", "profile_id", "template", "channel", "at"]
_PLANNING = "SET enable_seqscan = off; SET enable_hashjoin = off; SET enable_mergejoin = off"
"""The tables have just been filled, and the server does not know yet how large they are."""


class Loop:
    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection
        environment = SandboxedEnvironment()
        self._templates = {name: environment.from_string(text) for name, text in TEXTS.items()}

    async def run(self, kind: str) -> None:
        """Sends until nothing is left."""
        await self._connection.execute(_PLANNING)
        while True:
            async with self._connection.transaction():
                rows = await self._connection.fetch(_TAKE[kind])
                if not rows:
                    return
                await (self._rows(rows) if kind == "rows" else self._lean(rows))

    def _render(self, rows: Sequence[Any]) -> list[str]:
        """The names of the templates, once the texts are made and given away."""
        names = []
        for row in rows:
            name = "spring-tea" if row["id"].int % 2 else "spring-cup"
            text = self._templates[name].render(profile=row["attributes"])
            if not (text and row["addresses"].get("phone")):
                raise AssertionError("nothing to send")
            names.append(name)
        return names

    async def _rows(self, rows: Sequence[Any]) -> None:
        names = self._render(rows)
        now = await self._connection.fetchval("SELECT now()")
        records = [
            (
                row["id"],
                name,
                row["entry_month"],
                uuid.uuid4(),
                f"{row['id']}/{name}",
                "spring",
                row["profile_id"],
                "marketing",
                "sms",
                name,
                "accepted",
                1,
                now,
                now,
                now,
                row["entered_at"],
            )
            for row, name in zip(rows, names, strict=True)
        ]
        await self._connection.copy_records_to_table("bare_deliveries", records=records, columns=_DELIVERY)
        ids = [row["id"] for row in rows]
        await self._connection.execute("DELETE FROM bare_rows WHERE enrolment_id = ANY($1)", ids)
        await self._connection.execute(
            "UPDATE bare_enrolments SET status = 'ended', exit = 'completed', ended_at = entered_at, "
            "closed_at = now() WHERE id = ANY($1)",
            ids,
        )

    async def _lean(self, rows: Sequence[Any]) -> None:
        names = self._render(rows)
        now = await self._connection.fetchval("SELECT now()")
        records = [
            (row["id"], row["profile_id"], name, "sms", now) for row, name in zip(rows, names, strict=True)
        ]
        await self._connection.copy_records_to_table("lean_sent", records=records, columns=_LEAN)
        await self._connection.execute(
            "UPDATE lean_rows SET done_at = now() WHERE id = ANY($1)", [row["id"] for row in rows]
        )


async def _serve(url: str) -> None:
    import orjson

    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    told: asyncio.Queue[str] = asyncio.Queue()
    async with directly(url) as listening, directly(url) as working:
        await working.set_type_codec(
            "jsonb",
            schema="pg_catalog",
            encoder=lambda value: b"\x01" + orjson.dumps(value),
            decoder=lambda data: orjson.loads(data[1:]),
            format="binary",
        )
        await listening.add_listener(CHANNEL, lambda *given: told.put_nowait(str(given[-1])))
        loop = Loop(working)
        print("bare: ready", flush=True)
        stopping = asyncio.create_task(stop.wait())
        while not stop.is_set():
            getting = asyncio.create_task(told.get())
            await asyncio.wait({getting, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if getting.done():
                await loop.run(getting.result())


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.pool_bare", description="Sends without us.")
    parser.add_argument("--url", required=True)
    asyncio.run(_serve(parser.parse_args().url))
    os._exit(0)


if __name__ == "__main__":
    main()
