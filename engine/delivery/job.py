"""One message on its way, while its batch is worked on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from channels.message import Message as Outgoing
from engine.core.inputs import Outcome, Settled
from engine.core.plan import Message, Plan
from engine.delivery.ports import Answer, DeliveryPorts, LiveProject, Order, Place
from engine.delivery.record import Said
from engine.delivery.sight import Enrolment
from engine.policy import Profile, Request
from engine.store.consents import Consent
from engine.store.deliveries import Delivery
from engine.store.delivery_states import Sending, Settlement
from engine.store.message_links import NewLink

REFUSED: Final = "rejected"
"""How the reason of a channel begins whose provider refused this message for good."""
PERHAPS_SENT: Final = "unknown"
"""How the reason of a row begins that is tried again although a call of it may have gone through."""


@dataclass(slots=True)
class Job:
    order: Order
    step: Message
    enrolment: Enrolment
    row: Delivery
    profile: Profile
    context: Mapping[str, Any] = field(default_factory=dict, repr=False)
    closed: dict[str, str] = field(default_factory=dict)
    """Channels that are out, with the reason."""
    channels: tuple[str, ...] = ()
    """Those that are open, the next one first."""
    dead: list[list[str]] = field(default_factory=list)
    """[channel, digest] of addresses that a provider called dead."""
    message: Outgoing | None = None
    """Set while it says `sending`."""
    wait: timedelta = timedelta(0)
    """Until its turn at a channel with a rate."""
    variants: tuple[str, ...] = ()
    """Of its template, those that hold for the customer."""
    attempts: int = 0
    """Those of its row; 0 before the row is written."""
    why: list[dict[str, Any]] | None = None
    """What rules said, for its row, until that is written."""
    request: Request | None = None
    """What the rules were asked about it."""
    quota: str | None = None
    """The provider's quota that its message draws on."""
    spent: tuple[str, datetime, int] | None = None
    """Channel, beginning of the period and units that its message took of a budget."""
    tried: frozenset[str] = frozenset()
    """Providers of its channel that surely did not take it."""

    def copied(self) -> Job:
        """A copy whose decisions can be thrown away."""
        return Job(
            self.order,
            self.step,
            self.enrolment,
            self.row,
            self.profile,
            self.context,
            dict(self.closed),
            self.channels,
            list(self.dead),
            self.message,
            self.wait,
            self.variants,
            self.attempts,
            self.why,
            self.request,
            self.quota,
            self.spent,
            self.tried,
        )

    @property
    def bound(self) -> str | None:
        """The only channel that may be used: an earlier call by it may have gone through."""
        return self.row.channel if (self.row.reason or "").startswith(PERHAPS_SENT) else None

    def passed_over(self, until: str | None = None) -> tuple[tuple[str, str], ...]:
        """Channels that did not reach this customer, in the author's order; those before `until`."""
        listed = self.step.channels
        before = listed[: listed.index(until)] if until in listed else listed
        return tuple((channel, self.closed[channel]) for channel in before if channel in self.closed)

    def refused(self) -> str | None:
        """The last provider's word, if any provider refused this message for good."""
        words = [reason for reason in self.closed.values() if reason.startswith(REFUSED)]
        return words[-1] if words else None


@dataclass(slots=True)
class Turn:
    """One transaction's worth of decisions on a batch, thrown away if the transaction must run again."""

    ports: DeliveryPorts
    project: LiveProject
    plans: dict[str, Plan]
    answers: dict[Place, Answer] = field(default_factory=dict)
    said: list[Said] = field(default_factory=list)
    settlements: list[Settlement] = field(default_factory=list)
    sending: list[Sending] = field(default_factory=list)
    opted_out: list[Consent] = field(default_factory=list)
    links: dict[Place, dict[str, NewLink]] = field(default_factory=dict)
    """Where the short links of messages that are to be sent lead, by code."""
    looks: tuple[int, ...] = ()
    """Opens and clicks of the audience by hour, where a message waits for the best one."""
    back: list[tuple[str, datetime, int]] = field(default_factory=list)
    """What is given back to budgets."""

    def at(self, order: Order) -> datetime:
        return self.ports.at(order.at)

    def answer(self, job: Job, result: Outcome, channel: str | None = None, **values: Any) -> None:
        passed_over = job.passed_over(channel)
        self.answers[job.order.place] = Settled(
            job.order.step, result, self.at(job.order), channel, passed_over=passed_over, **values
        )

    def write(
        self,
        job: Job,
        state: str,
        channel: str | None = None,
        raw: dict[str, Any] | None = None,
        **values: Any,
    ) -> None:
        """The row's next state. One that is given back keeps what providers refused, for its next claim."""
        passed_over = job.passed_over(None if state == "claimed" else channel)
        if job.dead:
            raw = {**(raw or {}), "dead_addresses": job.dead}
        key, attempts, why, job.why = job.row.row_key, job.attempts, job.why, None
        self.settlements.append(
            Settlement(key, attempts, state, channel, passed_over=passed_over, raw=raw, why=why, **values)
        )

    def give_back(self, job: Job) -> None:
        """Its message does not go out after all: what it took of a budget is free again."""
        if job.spent is not None:
            self.back.append(job.spent)
            job.spent = None

    def say(self, event: str, job: Job, channel: str | None, **more: Any) -> None:
        """A `message.*` event of this job."""
        at, profile_id = self.at(job.order), job.enrolment.profile_id
        self.said.append(Said(event, job.order, profile_id, job.step.template, channel, at, more))
