"""What Kairos has on record, held against what the providers took and the people did."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from rich.table import Table

from engine.store.connection import AsyncEngine
from examples.cart.world import World

_DELIVERIES = sa.text("""
    SELECT d.channel, d.state, d.reason, d.step, d.enrolment_id::text AS enrolment_id, p.external_id
    FROM deliveries AS d JOIN profiles AS p ON p.id = d.profile_id
""")
_EVENTS = sa.text("SELECT name, count(*) AS number FROM events GROUP BY name")
OPEN = sa.text("""
    SELECT (SELECT count(*) FROM enrolments WHERE status = 'live')
           + (SELECT count(*) FROM events WHERE routed_at IS NULL)
           + (SELECT count(*) FROM entry_states WHERE due_at IS NOT NULL)
           + (SELECT count(*) FROM start_outbox WHERE done_at IS NULL)
""")
_EXITS = sa.text("SELECT exit, count(*) AS number FROM enrolments GROUP BY exit")
SENT = ("accepted", "delivered", "bounced", "complained", "unknown")


@dataclass(slots=True)
class Ledger:
    deliveries: list[dict[str, Any]]
    events: Counter[str]
    exits: Counter[str]

    @classmethod
    async def read(cls, database: AsyncEngine) -> Ledger:
        async with database.connect() as connection:
            deliveries = [dict(row._mapping) for row in await connection.execute(_DELIVERIES)]
            events = Counter({row.name: row.number for row in await connection.execute(_EVENTS)})
            exits = Counter({row.exit: row.number for row in await connection.execute(_EXITS)})
        return cls(deliveries, events, exits)

    def sent(self, channel: str) -> list[dict[str, Any]]:
        return [d for d in self.deliveries if d["channel"] == channel and d["state"] in SENT]

    def differences(self, world: World) -> Iterator[str]:
        """Where the two disagree; nothing if they tell the same."""
        arrived = world.providers.arrived()
        taken = Counter(message.channel for message in arrived)
        for channel in ("wechat", "sms", "email"):
            if taken[channel] != len(self.sent(channel)):
                yield f"{channel}: {taken[channel]} taken, {len(self.sent(channel))} on record as sent"
        states = Counter(d["state"] for d in self.sent("sms"))
        for state in ("delivered", "bounced"):
            if states[state] != world.did[state]:
                yield f"sms {state}: reported {world.did[state]}, on record {states[state]}"
        for name, deed in (
            ("wechat.followed", "followed"),
            ("message.clicked", "clicked"),
            ("message.scanned", "scanned"),
            ("message.delivered", "delivered"),
            ("consent.changed", "stopped"),
        ):
            known = self.events[name] - (self._granted(world) if deed == "stopped" else 0)
            if known != world.did[deed]:
                yield f"{name}: {world.did[deed]} of it were done, {known} are on record"
        had = Counter(message.address for message in arrived)
        for address, before in world.stopped.items():
            if had[address] > before:
                yield f"{had[address] - before} messages went to somebody who wanted no more"
        yield from world.failures

    def _granted(self, world: World) -> int:
        return len(world.people)

    def table(self, world: World) -> Table:
        """By channel: what went out, what came back."""
        table = Table(box=None, padding=(0, 2), header_style="dim")
        for name in ("", "sent", "delivered", "bounced", "skipped"):
            table.add_column(name, justify="left" if not name else "right")
        for channel in ("wechat", "sms", "email"):
            states = Counter(d["state"] for d in self.sent(channel))
            table.add_row(
                channel,
                str(len(self.sent(channel))),
                str(states["delivered"] or "–"),
                str(states["bounced"] or "–"),
                str(len([d for d in self.deliveries if d["channel"] == channel and d["state"] == "skipped"])),
            )
        return table
