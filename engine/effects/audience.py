"""`ad_audience`: notes who is to be on an advertising audience, and makes what was noted.

The step is done when the change is noted, in the transaction that settles it: whatever becomes of it at the
provider holds up no journey. `work_off` makes what waits, many persons a call. Who may not be shown to an
advertiser is not put on: nobody without marketing consent. Who withdraws it all, or is erased, is taken off.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from channels.audiences import AudienceAdapter, Member
from channels.errors import Rejected, Throttled, Unavailable, Unknown
from channels.pacing import Outcome
from channels.receipt import Accepted, Reason
from engine.customers.consent import all_withdrawn
from engine.effects.job import Job, Turn
from engine.store import audiences, consents, profiles
from engine.store.audiences import Change, NewChange, Settled
from engine.store.consents import CurrentConsents
from engine.store.database import in_transaction
from engine.store.profiles import Profile

if TYPE_CHECKING:
    from engine.delivery.ports import Clock
    from engine.store.connection import AsyncConnection, AsyncEngine

log = logging.getLogger(__name__)

LEASE: Final = timedelta(minutes=3)
"""Longer than the two calls of a batch may take."""
MOST: Final = 10_000
"""Changes of one batch."""
LONGEST_PAUSE: Final = timedelta(minutes=15)
FIRST_PAUSE: Final = timedelta(seconds=5)
_OURS: Final = (Reason.CREDENTIALS, Reason.QUOTA)
"""Refusals that say nothing of the members: they wait until an operator has mended it."""


def change_audience(turn: Turn, job: Job) -> None:
    """Notes the change that a step asks for."""
    spec = job.step.spec
    name = spec.get("add_to") or spec.get("remove_from") or ""
    if name not in turn.project.installation.audiences:
        return turn.settle(job, "failed", f"audience {name} is not declared")
    profile_id, order = job.enrolment.profile_id, job.order
    change = NewChange(name, profile_id, "add_to" in spec, order.enrolment_id, order.step, order.at)
    turn.audience_changes.append((order.place, change))
    turn.settle(job, "done")


@dataclass(frozen=True, slots=True)
class Keeper:
    """What keeps audiences: where, who we are, what silence about consent means, and by which clock."""

    database: AsyncEngine
    owner: str
    consent: str
    clock: Clock


@dataclass(frozen=True, slots=True)
class _Work:
    attempts: int
    additions: list[tuple[Change, Member]]
    removals: list[tuple[Change, Member]]

    def __bool__(self) -> bool:
        return bool(self.additions or self.removals)


async def work_off(keeper: Keeper, adapter: AudienceAdapter) -> int:
    """Makes one batch of what waits for this audience; how many changes were handed over.

    A worker that dies on the way leaves the same changes to be made again, which makes no difference.
    """
    audience = adapter.audience
    await in_transaction(keeper.database, lambda c: _look(c, keeper, audience))
    work = await in_transaction(keeper.database, lambda c: _prepare(c, keeper, adapter))
    if not work:
        return 0
    changes = [change for change, _ in (*work.additions, *work.removals)]
    additions, removals = [m for _, m in work.additions], [m for _, m in work.removals]
    outcomes: Sequence[Outcome]
    try:
        outcomes = await adapter.change(additions, removals, max(change.id for change in changes))
    except Exception as fault:  # adapters promise not to
        log.error("the adapter of audience %s failed: %s", audience, type(fault).__name__)
        outcomes = [Unknown(f"adapter fault: {type(fault).__name__}")] * len(changes)
    pairs = list(zip(changes, outcomes, strict=True))
    trouble = next((o for _, o in pairs if not _settles(o)), None)
    settled = [_settled(change, outcome) for change, outcome in pairs]
    pause = None if trouble is None else _pause(trouble, work.attempts)
    error = None if trouble is None else str(trouble)

    async def settle(connection: AsyncConnection) -> None:
        await audiences.settle(connection, audience, settled)
        await audiences.release(connection, audience, keeper.owner, error, pause)

    await in_transaction(keeper.database, settle)
    if error is not None:
        log.warning("audience %s: %d changes wait: %s", audience, len(changes), error)
    return len(changes)


async def _look(connection: AsyncConnection, keeper: Keeper, audience: str) -> None:
    """Has those leave who may not be on it any more."""
    found = await audiences.to_look_at(connection, audience, MOST)
    if not found:
        return
    there = [profile_id for profile_id, exists in found if exists]
    said = await consents.current(connection, there)
    leave = {profile_id: "erased" for profile_id, exists in found if not exists}
    leave |= {i: "no_consent" for i in there if all_withdrawn(said[i], keeper.consent)}
    await audiences.looked_at(connection, audience, leave, set(there) - leave.keys(), keeper.clock.now())


async def _prepare(connection: AsyncConnection, keeper: Keeper, adapter: AudienceAdapter) -> _Work:
    """What is to be handed over; what is not is settled."""
    audience = adapter.audience
    limit = min(MOST, adapter.batch)
    attempts, changes = await audiences.claim(connection, audience, keeper.owner, limit, LEASE)
    work, skipped = _Work(attempts, [], []), []
    if not changes:
        return work
    people = await profiles.surviving(connection, {change.profile_id for change in changes})
    said = await consents.current(connection, {person.id for person in people.values()})
    for change in changes:
        person = people.get(change.profile_id)
        own = [] if person is None else _written(adapter.digests(identifiers_of(person)))
        known = sorted({*own, *change.digests})
        reason = None
        if change.adds and (person is None or not _may(said[person.id], keeper.consent)):
            reason = "no_consent"
        elif not known:
            reason = "no_identifier"
        if reason is not None:
            skipped.append(Settled(change, "skipped", reason))
            continue
        member = Member(change.profile_id, _read(known))
        (work.additions if change.adds else work.removals).append((change, member))
    await audiences.going_on(
        connection,
        audience,
        [(change.profile_id, _written_all(member), change.at) for change, member in work.additions],
    )
    await audiences.settle(connection, audience, skipped)
    if not work:
        await audiences.release(connection, audience, keeper.owner, None, None)
    return work


def identifiers_of(person: Profile) -> dict[str, str]:
    """What an audience can know a customer by."""
    own = {} if person.external_id is None else {"external_id": person.external_id}
    return {**person.addresses, **own}


def _may(said: CurrentConsents, rule: str) -> bool:
    """Whether somebody may be shown to an advertiser: any marketing consent, where silence is no word."""
    if rule == "opt_in":
        return any(said.answers().values())
    return not all_withdrawn(said, rule)


def _settles(outcome: Outcome) -> bool:
    return isinstance(outcome, Accepted) or (isinstance(outcome, Rejected) and outcome.reason not in _OURS)


def _settled(change: Change, outcome: Outcome) -> Settled:
    if isinstance(outcome, Accepted):
        return Settled(change, "done")
    return Settled(change, "failed" if _settles(outcome) else "waiting", str(outcome))


def _pause(outcome: Outcome, attempts: int) -> timedelta:
    named = outcome.retry_after if isinstance(outcome, Throttled | Unavailable) else None
    doubled: int = 2 ** min(attempts, 20)
    return named or min(LONGEST_PAUSE, FIRST_PAUSE * doubled)


def _written(digests: Mapping[str, str]) -> list[str]:
    return [f"{kind}:{digest}" for kind, digest in digests.items()]


def _written_all(member: Member) -> list[str]:
    return [f"{kind}:{digest}" for kind, digests in member.digests.items() for digest in digests]


def _read(written: Sequence[str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for each in written:
        kind, _, digest = each.partition(":")
        found.setdefault(kind, []).append(digest)
    return found
