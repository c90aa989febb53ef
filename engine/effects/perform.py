"""Effects: claimed, worked out, done, settled; a batch at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from engine.core.identity import delivery_key
from engine.core.inputs import Settled
from engine.core.plan import Effect, Plan
from engine.delivery.exits import exit_seen
from engine.delivery.facts import load_facts
from engine.delivery.hands import BUSY, take_in_hand
from engine.delivery.ports import Answer, LiveProject, Order, Place, Retry
from engine.delivery.record import moved, store_traces
from engine.delivery.sight import Enrolment, seen
from engine.effects import call
from engine.effects.audience import change_audience
from engine.effects.enter import enter
from engine.effects.job import Job, Turn, look_of, outcome_of
from engine.effects.ports import EffectPorts
from engine.effects.update import stage_events, update
from engine.ingest.recording import record_events
from engine.store import audiences, events, journeys, profiles
from engine.store import effects as rows
from engine.store import enrolments as enrolment_rows
from engine.store.database import in_transaction
from engine.store.effects import NewEffect

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

CALLS: Final = ("webhook", "action")
"""Verbs whose work leaves our database."""
AT_ONCE: Final = 50
"""Calls of one batch at the same time."""


async def perform(
    ports: EffectPorts, orders: Sequence[Order], known: Mapping[str, Enrolment] | None = None
) -> list[Answer]:
    """Do each order's effect; one answer per order, in order.

    Safe to repeat at any time and by any worker. Raises only what the database raises; then nothing is lost
    and the same orders may be given again. `known` are their enrolments, if the caller has just read them.
    """

    async def work(
        project: LiveProject, plans: dict[str, Plan], fresh: dict[Place, Order]
    ) -> dict[Place, Answer]:
        answers: dict[Place, Answer] = {}
        waiting, seen_before = fresh, known
        while waiting:
            answers |= await _Batch(ports, project, plans, waiting, seen_before).run()
            seen_before = None  # what was done may have changed the customer
            waiting = {place: order for place, order in waiting.items() if place not in answers}
        return answers

    return await take_in_hand(ports, orders, work)


class _Batch:
    def __init__(
        self,
        ports: EffectPorts,
        project: LiveProject,
        plans: dict[str, Plan],
        orders: dict[Place, Order],
        known: Mapping[str, Enrolment] | None,
    ) -> None:
        self.ports = ports
        self.project = project
        self.plans = plans
        self.orders = orders
        self.known = known

    async def run(self) -> dict[Place, Answer]:
        answers, jobs = await in_transaction(self.ports.database, self.prepare)
        if not jobs:
            return answers
        gate = asyncio.Semaphore(AT_ONCE)
        results = await asyncio.gather(*(self.call(job, gate) for job in jobs))

        async def settle(connection: AsyncConnection) -> dict[Place, Answer]:
            turn = Turn(self.ports, self.project)
            for job, result in zip(jobs, results, strict=True):
                if isinstance(result, Retry):
                    turn.answers[job.order.place] = result
                elif isinstance(result, call.Failed):
                    turn.settle(job, "failed", result.reason)
                else:
                    turn.settle(job, "done", answer=result.answer)
            await _write(connection, turn)
            return turn.answers

        return answers | await in_transaction(self.ports.database, settle)

    async def call(self, job: Job, gate: asyncio.Semaphore) -> call.Result:
        async with gate:
            if job.step.verb == "webhook":
                return await call.webhook(self.ports, job)
            return await call.action(self.ports, job)

    def step(self, order: Order) -> Effect:
        step = self.plans[order.digest].steps[order.step]
        if not isinstance(step, Effect):
            raise TypeError(f"step {order.step} of {order.journey} is no effect")
        return step

    async def prepare(self, connection: AsyncConnection) -> tuple[dict[Place, Answer], list[Job]]:
        """Everything but the calls. May run again from the start: it keeps nothing in `self`."""
        turn = Turn(self.ports, self.project)
        ids = {order.enrolment_id for order in self.orders.values()}
        found = await seen(connection, ids, self.known)
        orders = {place: order for place, order in self.orders.items() if order.enrolment_id in found}
        for place in self.orders.keys() - orders.keys():
            order, reason = self.orders[place], "the database has no such enrolment"
            turn.answers[place] = Settled(order.step, "failed", turn.at(order), reason=reason)
        await store_traces(connection, orders.values())
        claims = [
            NewEffect(*place, verb := self.step(order).verb, delivery_key(*place), order.at, verb in CALLS)
            for place, order in orders.items()
        ]
        # What is under way is taken over: every call carries its key, so that twice is once.
        claimed = await rows.claim_batch(connection, claims, self.ports.worker_id, repeat=True)
        for key, row in claimed.others.items():
            turn.answers[key] = outcome_of(row, turn.at(orders[key]))
        jobs = await self.jobs(connection, claimed.mine, orders, found)
        calls = await self.decide(connection, turn, jobs, found)
        await _write(connection, turn, calls)
        return turn.answers, calls

    async def jobs(
        self,
        connection: AsyncConnection,
        mine: dict[rows.EffectKey, rows.Effect],
        orders: dict[Place, Order],
        found: dict[str, Enrolment],
    ) -> list[Job]:
        held = [orders[key] for key in mine]
        changed = {found[o.enrolment_id].profile_id for o in held if self.step(o).verb == "update"}
        if changed:
            # Held until the end: nobody changes what the new values are worked out from.
            await profiles.get_batch(connection, changed, lock=True)
        looks = [look_of(o, self.step(o), self.plans[o.digest], found[o.enrolment_id]) for o in held]
        facts = await load_facts(connection, self.project, looks, afresh=bool(changed))
        return [
            Job(order, self.step(order), look.plan, look.enrolment, row, given)
            for order, look, row, given in zip(held, looks, mine.values(), facts, strict=True)
        ]

    async def decide(
        self, connection: AsyncConnection, turn: Turn, jobs: list[Job], found: dict[str, Enrolment]
    ) -> list[Job]:
        """Does what stays in our database; returns what is to be called."""
        over = await exit_seen(
            connection, self.ports, self.project, [job.order for job in jobs], self.plans, found
        )
        begun_by = {j.enrolment.trigger_event_id for j in jobs if j.step.verb == "enter"} - {None}
        triggers = await events.get_batch(connection, [i for i in begun_by if i]) if begun_by else {}
        enterable: set[str] = set()
        if any(job.step.verb == "enter" for job in jobs):
            standing = await journeys.standing(connection)
            enterable = {name for name, (status, _) in standing.items() if status in ("live", "paused")}
        calls: list[Job] = []
        updated: set[str] = set()
        for job in jobs:
            if job.order.place in over:
                turn.settle(job, "skipped", "exit_seen")
            elif job.enrolment.holdout:
                turn.settle(job, "skipped", "holdout")
            elif job.step.verb == "update":
                if job.enrolment.profile_id not in updated:
                    updated.add(job.enrolment.profile_id)
                    update(turn, job)
                # else: it must see what the other one writes, and is left for the next round.
            elif job.step.verb == "ad_audience":
                change_audience(turn, job)
            elif job.step.verb == "enter":
                enter(turn, job, triggers.get(job.enrolment.trigger_event_id or ""), enterable)
            else:
                calls.append(job)
        return calls


async def _write(connection: AsyncConnection, turn: Turn, calls: Sequence[Job] = ()) -> None:
    """Writes what a turn decided, and where those stand that are to be called.

    A row that another worker has settled meanwhile changes nothing.
    """
    kept = {tuple(key) for key in await rows.settle_batch(connection, turn.settlements)}
    for settlement in turn.settlements:
        place = (settlement.key.enrolment_id, settlement.key.step)
        if place not in kept:
            turn.answers[place] = Retry(BUSY, "another worker took it over")
    settled = {enrolment for enrolment, _ in kept}
    await profiles.change_batch(connection, [change for place, change in turn.changes if place in kept])
    await audiences.note(connection, [change for place, change in turn.audience_changes if place in kept])
    new = [event for place, event in turn.events if place in kept]
    new += await stage_events(connection, turn, {place for place, _ in turn.changes if place in kept})
    if new:
        await record_events(connection, new, datetime.now(UTC))
    saved = [progress for progress in turn.progress if progress.enrolment_id in settled]
    begun = [moved(job.order, job.plan, job.enrolment, None) for job in calls]
    saved += [progress for progress in begun if progress is not None]
    await enrolment_rows.progress_batch(connection, saved)
