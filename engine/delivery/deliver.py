"""Messages: claimed, judged, rendered, sent, settled.

One transaction claims the rows, decides, and writes every decision: what is skipped or deferred is settled in
it, the rest says `sending` when it commits, and only then are adapters called. A second transaction settles.
Where a provider refuses for good, that same transaction marks the next channel `sending`, and so on.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

from channels.errors import Unknown
from channels.message import Message as Outgoing
from channels.pacing import Outcome
from channels.routing import provider_of
from engine.core.identity import delivery_key
from engine.core.inputs import Settled
from engine.core.plan import Message, Plan
from engine.delivery import limits
from engine.delivery.asking import send_or_ask
from engine.delivery.choose import apply, request
from engine.delivery.exits import exit_seen
from engine.delivery.facts import Look, computed_in, conditions_in, load_facts, template_context, variants_for
from engine.delivery.hands import BUSY, take_in_hand
from engine.delivery.job import REFUSED, Job, Turn
from engine.delivery.leftover import Leftovers
from engine.delivery.linking import load_key
from engine.delivery.looks import with_looks
from engine.delivery.ports import Answer, DeliveryPorts, LiveProject, Order, Place, Retry
from engine.delivery.record import Said, assumed_sent, moved, record_said, store_traces
from engine.delivery.rendered import ask_rendered, hold_again
from engine.delivery.settle import may_repeat, outcome_of, settle
from engine.delivery.sight import Enrolment, policy_profiles, seen
from engine.ingest.recording import consent_changes, record_events
from engine.policy import decide
from engine.store import budgets, consents, delivery_states, message_links, paces
from engine.store import enrolments as enrolment_rows
from engine.store.database import in_transaction
from engine.store.deliveries import Delivery
from engine.store.delivery_states import NewDelivery, Sending, Settlement

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

log = logging.getLogger(__name__)

LONGEST_TURN: Final = 60.0
"""Seconds after which those who wait for a channel with a rate ask again."""


async def deliver(
    ports: DeliveryPorts, orders: Sequence[Order], known: Mapping[str, Enrolment] | None = None
) -> list[Answer]:
    """Bring each order's message to its customer, or to a reason why not; one answer per order, in order.

    Safe to repeat at any time and by any worker. Raises only what the database raises; then nothing is lost
    and the same orders may be given again. `known` are their enrolments, if the caller has just read them.
    """
    return await take_in_hand(
        ports,
        orders,
        lambda project, plans, fresh: _Batch(ports, project, plans, fresh, known).run(),
    )


class _Batch:
    def __init__(
        self,
        ports: DeliveryPorts,
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
        await load_key(self.ports.database, self.ports.link_key, self.project.installation.links)
        answers, sending = await in_transaction(self.ports.database, self.prepare)
        while sending:
            outcomes = await _call(self.ports, self.project, sending)
            settled, sending = await self.settle(sending, outcomes)
            answers |= settled
        return answers

    def turn(self) -> Turn:
        return Turn(self.ports, self.project, self.plans)

    async def prepare(self, connection: AsyncConnection) -> tuple[dict[Place, Answer], list[Job]]:
        """Everything up to the marks `sending`. May run again from the start: it keeps nothing in `self`."""
        turn = self.turn()
        ids = {order.enrolment_id for order in self.orders.values()}
        found = await seen(connection, ids, self.known)
        found = await limits.hold(connection, self.project, self.plans, self.orders.values(), found)
        orders = {place: order for place, order in self.orders.items() if order.enrolment_id in found}
        for place in self.orders.keys() - orders.keys():
            order, reason = self.orders[place], "the database has no such enrolment"
            turn.answers[place] = Settled(order.step, "failed", turn.at(order), reason=reason)
        await store_traces(connection, orders.values())
        claims = [self.claim(order, found[order.enrolment_id]) for order in orders.values()]
        claimed = await delivery_states.claim_batch(connection, claims, self.ports.worker_id)
        rows = {(row.enrolment_id, row.step): row for row in claimed.mine.values()}
        if claimed.others:
            again = await self.answer_others(connection, turn, list(claimed.others.values()))
            claims = [claim for claim in claims if (claim.enrolment_id, claim.step) in again]
            claimed = await delivery_states.claim_batch(connection, claims, self.ports.worker_id)
            rows |= {(row.enrolment_id, row.step): row for row in claimed.mine.values()}
        jobs = await self.jobs(connection, turn, rows, found)
        await self.decide(connection, turn, jobs, found)
        await ask_rendered(connection, turn, jobs)
        jobs = await self.paced(connection, turn, jobs)
        return turn.answers, await _write(connection, turn, jobs)

    def step(self, order: Order) -> Message:
        step = self.plans[order.digest].steps[order.step]
        if not isinstance(step, Message):
            raise TypeError(f"step {order.step} of {order.journey} is no message")
        return step

    def claim(self, order: Order, enrolment: Enrolment) -> NewDelivery:
        step = self.step(order)
        return NewDelivery(
            order.enrolment_id,
            order.step,
            enrolment.entry_month,
            delivery_key(order.enrolment_id, order.step),
            order.journey,
            enrolment.profile_id,
            order.at,
            step.category,
            step.template,
        )

    async def answer_others(
        self, connection: AsyncConnection, turn: Turn, rows: list[Delivery]
    ) -> frozenset[Place]:
        """Answers rows that could not be claimed; returns those left behind that may be claimed again."""
        leftovers = await Leftovers.find(connection, turn, rows)
        said: list[Said] = []
        for row in rows:
            place = (row.enrolment_id, row.step)
            order = self.orders[place]
            if row.row_key in leftovers.repeat:
                continue
            if row.row_key in leftovers.unknown:
                turn.answers[place] = outcome_of(row, turn.at(order), "unknown")
                said.append(assumed_sent(row, order, turn.at(order)))
            elif row.state == "sending":
                turn.answers[place] = Retry(BUSY, "another worker is sending it")
            else:
                turn.answers[place] = outcome_of(row, turn.at(order))
        await leftovers.write(connection)
        await record_said(connection, said, self.ports.heeded)
        return frozenset((key.enrolment_id, key.step) for key in leftovers.repeat)

    async def jobs(
        self,
        connection: AsyncConnection,
        turn: Turn,
        rows: dict[Place, Delivery],
        found: dict[str, Enrolment],
    ) -> list[Job]:
        if not rows:
            return []
        orders = [self.orders[place] for place in rows]
        customers = {found[order.enrolment_id].profile_id: found[order.enrolment_id] for order in orders}
        wanted = {channel for order in orders for channel in self.step(order).channels}
        profiles = await policy_profiles(connection, customers, wanted, self.project.installation)
        await limits.with_uses(connection, self.project, self.plans, orders, found, profiles)
        asking = [(order, self.step(order)) for order in orders]
        turn.looks = await with_looks(connection, self.ports, self.project, asking, found, profiles)
        computed = [computed_in(self.project, self.step(order).template) for order in orders]
        conditions = [conditions_in(self.project, self.step(order).template) for order in orders]
        looks = [
            Look(
                found[order.enrolment_id],
                self.plans[order.digest],
                order.at,
                order.event_id,
                (*texts, *asked),
            )
            for order, texts, asked in zip(orders, computed, conditions, strict=True)
        ]
        facts = await load_facts(connection, self.project, looks)
        jobs = []
        for order, given, texts in zip(orders, facts, computed, strict=True):
            enrolment, row = found[order.enrolment_id], rows[order.place]
            context = template_context(given, self.project, texts)
            refused = {channel: reason for channel, reason in row.passed_over if reason.startswith(REFUSED)}
            profile = profiles[enrolment.profile_id]
            job = Job(order, self.step(order), enrolment, row, profile, context, refused)
            job.variants = variants_for(given, self.project, job.step.template)
            job.attempts = row.attempts
            job.dead = list((row.raw or {}).get("dead_addresses", ()))
            jobs.append(job)
        return jobs

    async def decide(
        self, connection: AsyncConnection, turn: Turn, jobs: list[Job], found: dict[str, Enrolment]
    ) -> None:
        orders = [job.order for job in jobs]
        over = await exit_seen(connection, self.ports, self.project, orders, self.plans, found)
        profiles = {job.enrolment.profile_id: job.profile for job in jobs}
        requests = [
            request(turn, job, over=job.order.place in over, late=self.late(job.order)) for job in jobs
        ]
        settings = limits.settings(self.ports, self.project, turn.looks)
        verdicts = decide(requests, profiles, settings)
        for job, asked, verdict in zip(jobs, requests, verdicts, strict=True):
            job.request = asked
            apply(turn, job, verdict)

    async def paced(self, connection: AsyncConnection, turn: Turn, jobs: list[Job]) -> list[Job]:
        """Leaves out what would have to wait too long for its turn: its row does not say `sending`.

        Last, since it holds the channel's row until the transaction ends.
        """
        by_channel: dict[str, list[Job]] = {}
        for job in jobs:
            job.wait = timedelta(0)
            if job.message is not None:
                by_channel.setdefault(job.message.channel, []).append(job)
        held: set[Place] = set()
        for channel, going in sorted(by_channel.items()):
            rate = self.project.installation.channel(channel).rate
            if rate is None:
                continue
            share = await paces.reserve(connection, channel, rate, len(going), self.ports.patience)
            for job in going[: share.granted]:
                job.wait = share.wait
            for place, job in enumerate(going[share.granted :]):
                after = self.ports.patience + timedelta(seconds=min(1 + place / rate, LONGEST_TURN))
                turn.answers[job.order.place] = Retry(after, f"{channel} is at its rate")
                held.add(job.order.place)
                turn.give_back(job)
        turn.sending = [each for each in turn.sending if (each.key.enrolment_id, each.key.step) not in held]
        return [job for job in jobs if job.order.place not in held]

    def late(self, order: Order) -> bool:
        """After long retries. On a scaled clock lag does not count."""
        clock = self.ports.clock
        return not clock.scaled and clock.now() - order.at > self.plans[order.digest].max_lateness

    async def settle(
        self, jobs: list[Job], outcomes: Sequence[Outcome]
    ) -> tuple[dict[Place, Answer], list[Job]]:
        async def work(connection: AsyncConnection) -> tuple[dict[Place, Answer], list[Job]]:
            turn = self.turn()
            ours = [job.copied() for job in jobs]
            for job, outcome in zip(ours, outcomes, strict=True):
                settle(turn, job, outcome)
            await hold_again(connection, turn, ours)
            await ask_rendered(connection, turn, ours)
            ours = await self.paced(connection, turn, ours)
            return turn.answers, await _write(connection, turn, ours)

        return await in_transaction(self.ports.database, work)


async def _write(connection: AsyncConnection, turn: Turn, jobs: list[Job]) -> list[Job]:
    """Writes what a turn decided; returns the jobs to call adapters for once it has committed.

    A row that another worker has taken over meanwhile changes nothing and says nothing.
    """
    new = {job.row.row_key: job for job in jobs if not job.attempts}
    outcomes: list[Sending | Settlement] = [*turn.sending, *turn.settlements]
    decided = [(new[each.key].row, each) for each in outcomes if each.key in new]
    kept = await delivery_states.write_batch(connection, decided, turn.ports.worker_id)
    kept |= await delivery_states.settle_batch(connection, [s for s in turn.settlements if s.key not in new])
    kept |= await delivery_states.mark_sending(connection, [s for s in turn.sending if s.key not in new])
    ours = {(key.enrolment_id, key.step) for key in kept}
    for job in jobs:
        if job.order.place not in ours:
            turn.answers[job.order.place] = Retry(BUSY, "another worker took it over")
        elif not job.attempts:
            job.attempts = 1
    leading = (link for place, own in turn.links.items() if place in ours for link in own.values())
    await message_links.add_batch(connection, list(leading))
    await record_said(connection, [said for said in turn.said if said.place in ours], turn.ports.heeded)
    places = [
        moved(job.order, turn.plans[job.order.digest], job.enrolment, turn.answers.get(job.order.place))
        for job in jobs
        if job.order.place in ours
    ]
    await enrolment_rows.progress_batch(connection, [place for place in places if place is not None])
    await budgets.give_back(connection, turn.back)
    if turn.opted_out:
        await consents.add_batch(connection, turn.opted_out)
        await record_events(connection, consent_changes(turn.opted_out), datetime.now(UTC))
    return [job for job in jobs if job.message is not None and job.order.place in ours]


async def _call(ports: DeliveryPorts, project: LiveProject, jobs: Sequence[Job]) -> list[Outcome]:
    """Hands every job's message to the adapter of its channel; outcomes in the order of the jobs."""
    by_channel: dict[str, list[tuple[int, Outgoing]]] = {}
    for place, job in enumerate(jobs):
        assert job.message is not None
        by_channel.setdefault(job.message.channel, []).append((place, job.message))
    outcomes: dict[int, Outcome] = {}

    async def send(channel: str, numbered: list[tuple[int, Outgoing]]) -> None:
        await asyncio.sleep(max(jobs[place].wait for place, _ in numbered).total_seconds())
        messages = [message for _, message in numbered]
        answers: Sequence[Outcome]
        try:
            perhaps = [jobs[place].bound is not None for place, _ in numbered]
            again = [may_repeat(ports, project, channel, provider_of(each)) for each in messages]
            answers = await send_or_ask(ports.adapters[channel], messages, perhaps, again)
        except Exception as fault:  # adapters promise not to; then nobody knows how far it came
            log.error("the adapter of %s failed: %s", channel, type(fault).__name__)
            answers = [Unknown(f"adapter fault: {type(fault).__name__}") for _ in messages]
        outcomes.update((place, answer) for (place, _), answer in zip(numbered, answers, strict=True))

    await asyncio.gather(*(send(channel, numbered) for channel, numbered in by_channel.items()))
    return [outcomes[place] for place in range(len(jobs))]
