"""Metrics for Prometheus. Counted here: what this process does. Read from tables: how things stand.

Labels are routes, journeys, channels and closed vocabularies only: no id and nothing personal.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from engine.ingest.intake import Accepted, Rejected
from engine.store import counts

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
REMEMBERED_SECONDS: Final = 5.0
"""How long counts of tables are remembered at least: each costs a scan, and anybody may ask."""
SHARE: Final = 0.05
"""Of the time at most: the larger the tables, the longer their counts are remembered."""
_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one app, in a registry of their own."""

    def __init__(self) -> None:
        registry = self._registry = CollectorRegistry()
        self._accepted = Counter("kairos_events_accepted", "Events kept.", registry=registry)
        self._duplicates = Counter(
            "kairos_events_duplicate", "Events that had been kept before.", registry=registry
        )
        self._rejected = Counter("kairos_events_rejected", "Events refused.", registry=registry)
        self.latency = Histogram(
            "kairos_http_request_seconds",
            "Time to answer a request.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._unrouted = Gauge("kairos_events_unrouted", "Events still to be routed.", registry=registry)
        self._open_starts = Gauge(
            "kairos_starts_open", "Starts and wakes still to be played to Temporal.", registry=registry
        )
        self._live = Gauge("kairos_enrolments_live", "Enrolments under way.", ("journey",), registry=registry)
        self._late = Gauge(
            "kairos_pool_late", "Rows of the pool due for over ten seconds.", ("journey",), registry=registry
        )
        self._deliveries = Gauge(
            "kairos_deliveries", "Deliveries in each state.", ("channel", "state"), registry=registry
        )
        self.callbacks = Counter(
            "kairos_callbacks", "Calls of providers.", ("channel", "result"), registry=registry
        )
        self._heard = Gauge(
            "kairos_heard",
            "Receipts and inbound events that wait or are parked.",
            ("channel", "kind", "state"),
            registry=registry,
        )
        self._look_again_at = time.monotonic()
        self._lock = asyncio.Lock()

    def count(self, results: Sequence[Accepted | Rejected]) -> None:
        """Counts what became of the messages of one request."""
        rejected = sum(isinstance(result, Rejected) for result in results)
        duplicates = sum(isinstance(result, Accepted) and result.duplicate for result in results)
        self._rejected.inc(rejected)
        self._duplicates.inc(duplicates)
        self._accepted.inc(len(results) - rejected - duplicates)

    async def text(self, database: AsyncEngine) -> bytes:
        """All of them in Prometheus' text format; counts of tables may be a few seconds old, of large ones
        minutes."""
        async with self._lock:
            began = time.monotonic()
            if began >= self._look_again_at:
                await self._look(database)
                ended = time.monotonic()
                self._look_again_at = ended + max(REMEMBERED_SECONDS, (ended - began) / SHARE)
        return generate_latest(self._registry)

    async def _look(self, database: AsyncEngine) -> None:
        async with database.connect() as connection:
            waiting = await counts.waiting(connection)
            live = await counts.live_enrolments(connection)
            late = await counts.late_rows(connection)
            states = await counts.delivery_states(connection)
            heard = await counts.heard(connection)
        self._unrouted.set(waiting.unrouted)
        self._open_starts.set(waiting.open_starts)
        self._live.clear()
        for journey, number in live.items():
            self._live.labels(journey).set(number)
        self._late.clear()
        for journey in live:
            self._late.labels(journey).set(late.get(journey, 0))
        self._deliveries.clear()
        for (channel, state), number in states.items():
            self._deliveries.labels(channel, state).set(number)
        self._heard.clear()
        for (channel, kind, state), number in heard.items():
            self._heard.labels(channel, kind, state).set(number)
