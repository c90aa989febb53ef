"""A small world for tests of ingest: a database, journeys that are live, customers and their events."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncEngine

from engine.core.codec import digest, plan_to_json
from engine.core.identity import event_id
from engine.core.plan import Plan
from engine.customers.resolve import resolve_batch
from engine.ingest.moments import Ticked, Ticker, has_moments
from engine.ingest.router import Router
from engine.language.project import check_project
from engine.store import entries, events, journeys, moments, plans, profiles, project
from engine.store.enrolments import Enrolment, Filter, find
from engine.store.events import NewEvent
from engine.store.journeys import Status

START = datetime(2026, 11, 11, 10, 0, tzinfo=UTC)

CATALOGUE = """
events:
  cart.updated:
    also_called: ["Cart Updated"]
    properties: {cart_id: text, total: number}
  cart.emptied:
    properties: {cart_id: text}
  order.paid:
    properties: {cart_id: text, total: number}
profile:
  tier: text
tags: [staff]
"""


@dataclass
class World:
    """`now` is the router's clock; it starts at `START` and moves only when told."""

    database: AsyncEngine
    now: datetime = START
    router: Router = field(init=False)
    _sent: int = 0

    def __post_init__(self) -> None:
        self.router = Router(self.database, wall=lambda: self.now)

    async def apply(self, *texts: str, catalogue: str = CATALOGUE) -> dict[str, Plan]:
        """Makes journeys live, as `kairos apply` does."""
        files = {"journeys/catalog.yaml": catalogue}
        for text in texts:
            name = text.strip().splitlines()[0].partition(":")[2].strip()
            files[f"journeys/{name}.yaml"] = text
        checked = check_project(files)
        assert not checked.errors, checked.errors
        async with self.database.begin() as connection:
            stored = {digest(p): (p.journey, plan_to_json(p)) for p in checked.plans.values()}
            await plans.put_batch(connection, stored)
            live = {journey: (d, "") for d, (journey, _) in stored.items()}
            await journeys.apply_batch(connection, live)
            timed = [plan.journey for plan in checked.plans.values() if has_moments(plan)]
            await moments.begin(connection, timed, self.now)
            await project.save(
                connection,
                catalogue=catalogue,
                installation="",
                templates={},
                files={},
                digest=uuid.uuid4().hex,
                changes={},
            )
        return dict(checked.plans)

    async def profile(self, name: str = "c1", tags: tuple[str, ...] = ()) -> str:
        """The customer with this external id, made if need be."""
        async with self.database.begin() as connection:
            (resolved,) = await resolve_batch(connection, [[("external_id", name)]])
            profile_id = resolved.profile_id
            if tags:
                await profiles.change_batch(connection, [profiles.Change(profile_id, add_tags=tags)])
        return profile_id

    async def event(
        self,
        name: str,
        after: timedelta = timedelta(0),
        *,
        of: str = "c1",
        message_id: str | None = None,
        **properties: Any,
    ) -> str:
        """An event that occurred `after` the start; gives back its id. It is stored, not routed."""
        self._sent += 1
        message_id = message_id or f"m{self._sent}"
        new = NewEvent(
            event_id=event_id("test", message_id),
            profile_id=await self.profile(of),
            name=name,
            occurred_at=START + after,
            received_at=self.now,
            source="test",
            message_id=message_id,
            properties=properties,
        )
        async with self.database.begin() as connection:
            await events.insert_batch(connection, [new])
        return new.event_id

    async def route(self, until: timedelta | None = None) -> None:
        """Lets the router work through all there is, at `until` after the start if given."""
        if until is not None:
            self.now = START + until
        while await self.router.sweep():
            pass

    async def tick(self, journey: str, until: timedelta | None = None, *, limit: int = 2_000) -> Ticked:
        """Looks at the moments of a journey, at `until` after the start if given, and routes them."""
        if until is not None:
            self.now = START + until
        done = await Ticker(self.database, limit, wall=lambda: self.now).tick(journey)
        await self.route()
        return done

    async def moments(self, journey: str) -> list[tuple[str, datetime]]:
        """The moments that are recorded: profile id and instant, by instant."""
        async with self.database.connect() as connection:
            rows = await connection.execute(
                sa.text(
                    "SELECT profile_id, occurred_at FROM events WHERE name = 'journey.moment' "
                    "AND properties ->> 'journey' = :journey ORDER BY occurred_at, profile_id"
                ),
                {"journey": journey},
            )
            return [(str(row.profile_id), row.occurred_at) for row in rows]

    async def set_status(self, journey: str, status: Status) -> None:
        async with self.database.begin() as connection:
            await journeys.set_status(connection, [journey], status, self.now)

    async def enrolments(self, journey: str = "unpaid-cart") -> list[Enrolment]:
        """All enrolments, the first entered first."""
        async with self.database.connect() as connection:
            return list(reversed(await find(connection, Filter(journey=journey), limit=1000)))

    async def outbox(self) -> list[tuple[str, str, dict[str, Any]]]:
        """Rows to be played: kind, enrolment id, payload."""
        async with self.database.connect() as connection:
            rows = await connection.execute(
                sa.text("SELECT kind, enrolment_id, payload FROM start_outbox ORDER BY id")
            )
            return [(row.kind, str(row.enrolment_id), row.payload) for row in rows]

    async def wakes(self, enrolment_id: str | None = None) -> list[dict[str, Any]]:
        return [
            payload
            for kind, enrolment, payload in await self.outbox()
            if kind == "wake" and enrolment_id in (None, enrolment)
        ]

    async def missed(self, journey: str = "unpaid-cart") -> dict[str, int]:
        async with self.database.connect() as connection:
            return await entries.missed(connection, journey)
