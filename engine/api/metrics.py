"""Metrics for Prometheus. Counted here: what this process does. Read from tables: how things stand.

Labels are routes, journeys, channels and closed vocabularies only: no id and nothing personal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from engine.ingest.intake import Accepted, Rejected

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"
_BUCKETS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class Metrics:
    """The metrics of one app, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.accepted = Counter("kairos_events_accepted", "Events kept.", registry=self.registry)
        self.duplicates = Counter(
            "kairos_events_duplicate", "Events that had been kept before.", registry=self.registry
        )
        self.rejected = Counter("kairos_events_rejected", "Events refused.", registry=self.registry)
        self.latency = Histogram(
            "kairos_http_request_seconds",
            "Time to answer a request.",
            ("method", "route", "status"),
            buckets=_BUCKETS,
            registry=self.registry,
        )

    def count(self, results: Sequence[Accepted | Rejected]) -> None:
        """Counts what became of the messages of one request."""
        rejected = sum(isinstance(result, Rejected) for result in results)
        duplicates = sum(isinstance(result, Accepted) and result.duplicate for result in results)
        self.rejected.inc(rejected)
        self.duplicates.inc(duplicates)
        self.accepted.inc(len(results) - rejected - duplicates)

    def text(self) -> bytes:
        return generate_latest(self.registry)
