"""A crowd in the pool, and the ledger of what came of it: every customer is accounted for, by a message, by a
call, or by the reason why there was none."""

from __future__ import annotations

import asyncio
import uuid
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from channels.testing.sink import FakeHttpSink
from channels.testing.smtp_server import FakeSmtpServer
from engine.core.codec import plan_from_json
from engine.core.identity import enrolment_id, profile_key, workflow_id
from engine.store import consents, enrolments, identities, journeys, plans, pool, profiles
from engine.store.consents import Consent
from engine.store.database import is_outage
from engine.store.enrolments import Enrolment
from engine.store.pool import NewRow
from engine.store.profiles import NewProfile

JOURNEY = "crowd"
SLICE = 2_500
NAMES = uuid.UUID(int=20_000)


def project(sink_url: str, smtp_port: int) -> dict[str, str]:
    """A split into every way out: kept in the outbox, by mail, and to the sink as a message and as a call.

    A mail carries no key that its server would honour, so nobody can say whether one was sent when its
    worker dies; the sink knows a call that comes again by its `webhook-id`.
    """
    message = "message: {template: note, channels: [%s]}"
    arms = {
        "text": (92, message % "sms"),
        "mail": (2, message % "email"),
        "note": (2, message % "webhook"),
        "call": (4, f'webhook: {{url: "{sink_url}/call"}}'),
    }
    variants = "\n".join(
        f"        - {{name: {name}, weight: {weight}, steps: [{{id: {name}-one, {verb}}}]}}"
        for name, (weight, verb) in arms.items()
    )
    return {
        "kairos.yaml": f"""version: 1
channels:
  webhook:
    adapter: webhook
    settings: {{url: "{sink_url}/note", secret: "${{SINK_SECRET}}"}}
  email:
    adapter: smtp
    on_unknown: assume_sent
    settings: {{host: 127.0.0.1, port: {smtp_port}, tls: none, from: hello@example.com, timeout: 60}}
""",
        "journeys/catalog.yaml": "events:\n  crowd.joined: {properties: {number: number}}\n",
        "templates/note/webhook.json.j2": '{"number": "{{ profile.external_id }}"}\n',
        "templates/note/email.subject.j2": "Hello\n",
        "templates/note/email.text.j2": "Hello, {{ profile.external_id }}\n",
        "templates/note/sms.text.j2": "Hello, {{ profile.external_id }}\n",
        f"journeys/{JOURNEY}.yaml": f"""journey: {JOURNEY}
run_as: pool
trigger: {{event: crowd.joined}}
steps:
  - id: ways
    split:
      variants:
{variants}
""",
    }


async def enter_crowd(database: AsyncEngine, first: int, size: int) -> None:
    """Puts customers number `first` and on into the journey, some thousands in a transaction.

    One in twenty has no address, and another one in ten has consented to nothing. A slice that was cut off is
    entered again, and nobody twice: all ids follow from the number.
    """
    async with database.connect() as connection:
        digest = (await journeys.standing(connection))[JOURNEY][1]
        assert digest is not None
        plan = plan_from_json((await plans.by_digest(connection, [digest]))[digest])
    assert plan.run_as == "pool"
    for start in range(first, first + size, SLICE):
        numbers = range(start, min(start + SLICE, first + size))
        while True:
            try:
                await _enter(database, digest, numbers)
                break
            except Exception as error:
                if not is_outage(error):
                    raise
                await asyncio.sleep(0.2)


async def _enter(database: AsyncEngine, digest: str, numbers: range) -> None:
    now = datetime.now(UTC)
    new, agreed, found = [], [], []
    for number in numbers:
        user = f"p{number}"
        key = profile_key("external_id", user)
        profile_id, trigger_id = (str(uuid.uuid5(NAMES, f"{what} {user}")) for what in ("person", "trigger"))
        addresses = {} if number % 20 == 0 else {"phone": f"+49{number:010}", "email": f"{user}@example.com"}
        new.append(NewProfile(profile_id, key, user, addresses))
        if number % 10 != 1:
            agreed.append(Consent(profile_id, "*", True, now))
        id = enrolment_id(JOURNEY, key, "", trigger_id)
        found.append(
            Enrolment(
                id=id,
                journey=JOURNEY,
                digest=digest,
                profile_id=profile_id,
                profile_key=key,
                one_per="",
                trigger_event_id=None,
                trigger={"name": "crowd.joined", "id": trigger_id, "occurred_at": now.isoformat()},
                holdout=False,
                entered_at=now,
                driver="pool",
                workflow_id=workflow_id(JOURNEY, id),
            )
        )
    async with database.begin() as connection:
        await profiles.make_batch(connection, new)
        await identities.attach_batch(connection, [(("external_id", p.external_id or ""), p.id) for p in new])
        await consents.add_batch(connection, agreed)
        entered = await enrolments.insert_batch(connection, found)
        rows = [NewRow(e.id, JOURNEY, e.profile_id) for e in found if e.id in entered]
        await pool.add_batch(connection, rows)


async def ended(database: AsyncEngine) -> int:
    async with database.connect() as connection:
        found = await connection.scalar(sa.text("SELECT count(*) FROM enrolments WHERE status = 'ended'"))
    return int(found or 0)


async def settled(database: AsyncEngine) -> int:
    """How many customers have had their message or call, or the reason for none."""
    async with database.connect() as connection:
        found = await connection.scalar(
            sa.text(
                "SELECT (SELECT count(*) FROM deliveries WHERE settled_at IS NOT NULL)"
                " + (SELECT count(*) FROM effects WHERE settled_at IS NOT NULL)"
            )
        )
    return int(found or 0)


async def under_way(database: AsyncEngine) -> int:
    """Messages and calls that say `sending`."""
    async with database.connect() as connection:
        found = await connection.scalar(
            sa.text(
                "SELECT (SELECT count(*) FROM deliveries WHERE state = 'sending')"
                " + (SELECT count(*) FROM effects WHERE state = 'sending')"
            )
        )
    return int(found or 0)


@dataclass
class Ledger:
    """What came of the crowd. `ways` counts customers by step and how it came out."""

    crowd: int
    exits: dict[str, int] = field(default_factory=dict)
    ways: dict[str, int] = field(default_factory=dict)
    left: int = 0
    """Rows of the pool that are still there."""
    tries: int = 0
    """Claims beyond the first."""
    repeats: int = 0
    """Calls that the sink had taken before, by the same id."""
    wrong: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        return [
            f"crowd      {self.crowd:,}",
            f"exits      {_listed(self.exits)}",
            f"came of it {_listed(self.ways)}",
            f"repeats    {self.repeats:,} at the sink by the same id, {self.tries:,} tries beyond the first",
            *(f"WRONG      {each}" for each in self.wrong),
        ]

    @property
    def unknown(self) -> int:
        return sum(count for way, count in self.ways.items() if way.endswith("unknown"))


def _listed(counts: dict[str, int]) -> str:
    return ", ".join(f"{count:,} {name}" for name, count in sorted(counts.items())) or "none"


_ROWS = """
    SELECT enrolment_id::text AS enrolment, step, state, reason, key, channel, attempts FROM deliveries
    UNION ALL
    SELECT enrolment_id::text, step, state, NULL, key, NULL, attempts FROM effects
"""


async def take_stock(database: AsyncEngine, crowd: int, sink: FakeHttpSink, server: FakeSmtpServer) -> Ledger:
    """Counts everything twice: what the record says, and what arrived. What does not agree is `wrong`."""
    ledger = Ledger(crowd)
    async with database.connect() as connection:
        rows = [dict(row) for row in (await connection.execute(sa.text(_ROWS))).mappings()]
        exits = await connection.execute(
            sa.text("SELECT coalesce(exit, status) AS name, count(*) AS n FROM enrolments GROUP BY 1")
        )
        ledger.exits = {row.name: row.n for row in exits}
        ledger.left = int(await connection.scalar(sa.text("SELECT count(*) FROM pool_rows")) or 0)
        kept = [row.key for row in await connection.execute(sa.text("SELECT key FROM outbox_messages"))]
        told = await connection.execute(_LAST_LINES)
        last = Counter(row.result for row in told)
    ways = Counter(
        f"{row['step']} {row['state']}" + (f" ({row['reason']})" if row["state"] == "skipped" else "")
        for row in rows
    )
    ledger.ways = dict(ways)
    ledger.tries = sum(row["attempts"] - 1 for row in rows)
    ledger.repeats = sink.ledger.repeats
    wrong = ledger.wrong
    _expect(wrong, "enrolments that completed", ledger.exits, {"completed": crowd})
    _expect(wrong, "rows left in the pool", ledger.left, 0)
    _expect(wrong, "traces that end with the exit", last, Counter({"exited": crowd}))
    places = Counter((row["enrolment"], row["step"]) for row in rows)
    customers = Counter(row["enrolment"] for row in rows)
    _expect(wrong, "customers with a record", len(customers), crowd)
    _expect(wrong, "steps with two records", sum(n > 1 for n in places.values()), 0)
    _expect(wrong, "customers with two steps", sum(n > 1 for n in customers.values()), 0)
    final = {"accepted", "skipped", "unknown", "done"}
    _expect(wrong, "states that say nothing", {row["state"] for row in rows} - final, set[str]())
    _arrived(wrong, rows, kept, sink, server)
    _expect(wrong, "calls that changed when they came again", sink.ledger.changed, 0)
    if ledger.repeats > ledger.tries:
        wrong.append(f"{ledger.repeats} repeats at the sink, but only {ledger.tries} tries in the record")
    return ledger


_LAST_LINES = sa.text("""
    SELECT DISTINCT ON (enrolment_id) lines->-1->>1 AS result FROM traces ORDER BY enrolment_id, seq DESC
""")


def _arrived(
    wrong: list[str],
    rows: list[dict[str, Any]],
    kept: list[str],
    sink: FakeHttpSink,
    server: FakeSmtpServer,
) -> None:
    def keys(step: str, *states: str) -> set[str]:
        return {row["key"] for row in rows if row["step"] == step and row["state"] in states}

    _same(wrong, "the outbox", set(kept), keys("text-one", "accepted"))
    _expect(wrong, "messages kept twice", len(kept) - len(set(kept)), 0)
    called = keys("note-one", "accepted") | keys("call-one", "done")
    _same(wrong, "the sink", set(sink.ledger.ids), called)
    mails = Counter(str(mail.message["Message-ID"]) for mail in server.mails)
    # One is sent once, whatever happens: where nobody knows, `assume_sent` says to leave it at that.
    _expect(wrong, "mails sent twice", sum(n > 1 for n in mails.values()), 0)
    sent, perhaps = len(keys("mail-one", "accepted")), len(keys("mail-one", "unknown"))
    if not sent <= len(mails) <= sent + perhaps:
        wrong.append(f"{len(mails)} mails arrived; {sent} were accepted and {perhaps} are unknown")


def _expect(wrong: list[str], what: str, found: object, wanted: object) -> None:
    if found != wanted:
        wrong.append(f"{what}: {found}, not {wanted}")


def _same(wrong: list[str], where: str, arrived: set[str], recorded: set[str]) -> None:
    if lost := recorded - arrived:
        wrong.append(f"{len(lost)} are recorded as sent and never came to {where}")
    if stray := arrived - recorded:
        wrong.append(f"{len(stray)} came to {where} and are not recorded as sent")
