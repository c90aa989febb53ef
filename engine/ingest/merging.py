"""What a merge means for the journeys that both customers were in.

Everything a customer has goes over with the merge itself. Only where both are under way in the same journey
(with the same `one_per`) one has to go: the enrolment that was entered first stays, the other ends as
`superseded`, told in the same way as by the router.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from engine.core.identity import workflow_id
from engine.core.inputs import Control
from engine.core.wire import to_json
from engine.customers.applied import identity_rules
from engine.customers.review import decide, undo
from engine.customers.rfm import rescore, rescore_merged
from engine.ingest.close import end_enrolments
from engine.ingest.wakes import Wake, calls_of, starts_of
from engine.store import clock, duplicates, pool, starts
from engine.store.database import in_transaction
from engine.store.enrolments import End, Enrolment
from engine.store.merging import Merge
from engine.store.reviews import Decision

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine


async def follow(connection: AsyncConnection, merges: Sequence[int], at: datetime) -> int:
    """Leaves one enrolment of each journey under way after these merges; returns how many ended.

    `at` is the logical instant. For the transaction of the merges, after them.
    """
    if not merges:
        return 0
    await rescore_merged(connection, merges, at)
    twice = await duplicates.live_twice(connection, merges)
    going = [each for group in twice for each in group[1:]]
    ends = [End(each.id, "superseded", max(at, each.entered_at)) for each in going]
    await end_enrolments(connection, ends, datetime.now(UTC))
    wakes = list(_controls(going, at))
    await starts.add_batch(connection, starts_of(wakes))
    await pool.call_batch(connection, calls_of(wakes))
    await duplicates.bring_over(connection, merges, {group[0].id for group in twice})
    return len(going)


async def settle_review(
    database: AsyncEngine, review_id: str, decision: Decision, by: str | None = None
) -> list[int]:
    """Settles a finding of the review list, in one transaction; returns the merges that follow.

    Raises:
        CannotDecide: there is no such finding.
    """

    async def work(connection: AsyncConnection) -> list[int]:
        rules = await identity_rules(connection)
        merges = await decide(connection, review_id, decision, by, rules)
        await follow(connection, merges, (await clock.load(connection)).now())
        return merges

    return await in_transaction(database, work)


async def undo_merge(database: AsyncEngine, merge_id: int, by: str | None = None) -> Merge:
    """Takes a merge back, in one transaction.

    Raises:
        CannotDecide: there is no such merge, it was undone, or a later one stands on it.
    """

    async def work(connection: AsyncConnection) -> Merge:
        done = await undo(connection, merge_id, by, await identity_rules(connection))
        now = (await clock.load(connection)).now()
        await rescore(connection, (done.survivor, done.loser), now)
        return done

    return await in_transaction(database, work)


def _controls(going: Iterable[Enrolment], at: datetime) -> Iterable[Wake]:
    for each in going:
        control = to_json(Control("end", max(at, each.entered_at), "superseded"))
        workflow = each.workflow_id or workflow_id(each.journey, each.id)
        yield Wake(each.id, workflow, "control", control, each.driver)
