"""What is known of customers and changes with time, beside the router: jobs for the schedules. Wiring only.

| job | how often, in logical time |
|---|---|
| `customers/follow` | every minute: begins to follow what is to be followed; tags that have expired go |
| `customers/look` | every hour: who is in which segment and stage, who has a tag by a rule |
| `customers/rfm` | every day: scores of everybody |
| `links/forget` | every day: links in messages that expired long ago go |

There is a job only for what the catalogue that is applied asks for.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from engine.customers.applied import applied
from engine.customers.rfm import recompute_rfm
from engine.ingest.clicking import forget_links
from engine.ingest.recomputing import Done, expire_tags, follow, recompute
from engine.store import clock, derived
from engine.store.connection import AsyncEngine
from engine.temporal.periodic import Job, Jobs

MINUTE: Final = timedelta(minutes=1)
HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)
UNHURRIED: Final = timedelta(seconds=20)
"""Wall time between two looks at everybody, however fast a scaled clock goes."""


def upkeep_of(database: AsyncEngine) -> Jobs:
    """The jobs that keep up what is known of customers."""

    async def brisk() -> str:
        begun = await follow(database)
        gone = await expire_tags(database)
        said = [] if begun is None else [_told(done) for done in begun.done]
        return "; ".join([*said, f"{gone:,} tags expired"])

    async def look() -> str:
        found = await recompute(database)
        return "; ".join(_told(done) for done in found.done) or "nothing is followed"

    async def score() -> str:
        async with database.connect() as connection:
            now = (await clock.load(connection)).now()
        found = await recompute_rfm(database, now)
        if found is None:
            return "nothing is declared"
        return f"{found.base:,} customers scored, {found.written:,} changed, {found.gone:,} without one now"

    async def forget() -> str:
        return f"{await forget_links(database):,} expired links gone"

    async def jobs() -> list[Job]:
        async with database.connect() as connection:
            known = await applied(connection)
            catalogue = known.catalogue
            followed = await derived.followed(connection)
        declared = catalogue.stages or catalogue.rules or any(catalogue.histories.values())
        found = []
        if followed or catalogue.about_tags or catalogue.stages or catalogue.segments:
            found.append(Job("customers/follow", MINUTE, brisk, "what is to be followed; tags that expire"))
        if followed or declared:
            about = "who is in which segment and stage, who has a tag by a rule"
            found.append(Job("customers/look", HOUR, look, about, UNHURRIED))
        if catalogue.rfm is not None:
            found.append(Job("customers/rfm", DAY, score, "RFM scores of everybody", UNHURRIED))
        if known.installation.links.base_url is not None:
            found.append(Job("links/forget", DAY, forget, "expired links of messages go", UNHURRIED))
        return found

    return jobs


def _told(done: Done) -> str:
    kind, name = done.place
    what = kind if kind == name else f"{kind} {name}"
    return f"{what}: {done.came:,} came, {done.went:,} went" + (" (noted only)" if done.quiet else "")
