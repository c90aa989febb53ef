"""One `identify` that merges: a visitor with a history turns out to be a customer with a history.

Called in process, one after the other, each in its own transaction on the real database: what an API process
does between reading a request and answering it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa

from benchmarks.customers import NOW
from benchmarks.findings import Finding, figure
from benchmarks.lab import Lab, apply, opened
from benchmarks.statistics import percentile
from engine.ingest.intake import Accepted, accept

PAIRS: Final = 1_000
EVENTS: Final = 10
SLICE: Final = 1_000
FILES: Final = {
    "kairos.yaml": "version: 1\nidentities: {phone_region: CN}\n",
    "journeys/catalog.yaml": "events: {page.viewed: {}}\nprofile: {tier: text, city: text, points: number}\n",
}


async def run(lab: Lab) -> list[Finding]:
    """Milliseconds of each, beside those of an `identify` of somebody known that merges nothing."""
    pairs = lab.sized(PAIRS, 50)
    merging: list[float] = []
    plain: list[float] = []
    async with opened(await lab.database("identify")) as database:
        await apply(database, FILES)
        known = [message for number in range(pairs) for message in _both(number)]
        for start in range(0, len(known), SLICE):
            await accept(database, "bench", known[start : start + SLICE], NOW)
        async with database.execution_options(isolation_level="AUTOCOMMIT").connect() as connection:
            await connection.execute(sa.text("VACUUM (ANALYZE) profiles, events, identities"))
        for number in range(pairs):
            for took, visitor in ((plain, None), (merging, f"a-{number}")):
                message = _identify(number, visitor, city="Huzhou")
                began = time.perf_counter()
                (answer,) = await accept(database, "bench", [message], NOW + timedelta(hours=1))
                took.append(1_000 * (time.perf_counter() - began))
                assert isinstance(answer, Accepted), answer
        async with database.connect() as connection:
            merged = await connection.execute(sa.text("SELECT count(*) FROM merges"))
            assert merged.scalar_one() == pairs
    notes = [
        f"{pairs:,} one after the other, {EVENTS} events, an address and three attributes on either side",
        f"one that merges nothing: {_told(plain)}",
    ]
    return [Finding("one `identify` that merges", "", _told(merging), notes=tuple(notes))]


def _told(took: Sequence[float]) -> str:
    p50, p99 = (percentile(took, share) for share in (0.5, 0.99))
    return f"p50 {figure(p50)} ms, p99 {figure(p99)} ms"


def _both(number: int) -> list[dict[str, Any]]:
    """What was known of a visitor and of a customer before they met."""
    visitor = {"anonymousId": f"a-{number}"}
    customer = {"userId": f"c-{number}"}
    traits = {"tier": "gold", "city": "Hangzhou", "points": number % 100}
    return [
        {"type": "identify", **visitor, "traits": {**traits, "email": f"v{number}@example.com"}},
        _identify(number, None, **traits, phone=f"138{number:08}"),
        *(
            {"type": "track", **who, "event": "page.viewed", "messageId": f"{number}/{place}/{turn}"}
            for place, who in enumerate((visitor, customer))
            for turn in range(EVENTS)
        ),
    ]


def _identify(number: int, visitor: str | None, **traits: Any) -> dict[str, Any]:
    who = {"userId": f"c-{number}"} | ({} if visitor is None else {"anonymousId": visitor})
    return {"type": "identify", **who, "traits": traits}
