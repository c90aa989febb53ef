"""What delivery and effects are handed, and what they answer."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Literal, Protocol

from channels.message import Attachment
from channels.port import Adapter
from engine.content import TemplateSet
from engine.core.commands import Trace
from engine.core.inputs import Settled
from engine.core.plan import Plan
from engine.customers.link_tokens import LinkKey
from engine.ingest.heeded import Heeded
from engine.language.catalogue import Catalogue
from engine.language.installation import Installation
from engine.language.variants import Variants

if TYPE_CHECKING:
    from engine.store.connection import AsyncEngine

Place = tuple[str, str]
"""(enrolment id, step)."""


@dataclass(slots=True, kw_only=True)
class Order:
    """Do the `Send` or `Perform` of one step. `at` and `event_id` are those of the command.

    `channel_hint` names the channel whose queue this came by, after a `Redirect`. `attempt` counts the tries
    that a policy deferred. `trace` holds the trace lines up to here, the first of them number `trace_from`;
    they are stored when the step is claimed. `recorded` says that the
    driver keeps the record of where the enrolment stands itself.
    """

    enrolment_id: str
    journey: str
    digest: str
    step: str
    at: datetime
    event_id: str | None = None
    channel_hint: str | None = None
    attempt: int = 1
    trace: tuple[Trace, ...] = ()
    trace_from: int = 0
    recorded: bool = False

    @property
    def place(self) -> Place:
        return self.enrolment_id, self.step


@dataclass(frozen=True, slots=True)
class Redirect:
    """This worker does not serve the channel that was chosen. Nothing was sent; hand the order on to it."""

    channel: str
    kind: Literal["redirect"] = "redirect"


@dataclass(frozen=True, slots=True)
class Retry:
    """Not settled yet: give the same order again `after` this long, on the wall."""

    after: timedelta
    reason: str
    kind: Literal["retry"] = "retry"


Answer = Settled | Redirect | Retry


class Clock(Protocol):
    """Logical time. `scaled` is true in demos and tests that run faster than the wall."""

    @property
    def scaled(self) -> bool: ...

    def now(self) -> datetime: ...


@dataclass(frozen=True, slots=True)
class LiveProject:
    """What is live at once, without a new version of a journey."""

    templates: TemplateSet
    catalogue: Catalogue
    installation: Installation
    variants: Variants = field(default_factory=dict)
    attachments: Mapping[str, tuple[Attachment, ...]] = field(default_factory=dict, repr=False)
    """Message to what its e-mails carry."""


@dataclass(slots=True, kw_only=True)
class DeliveryPorts:
    """`worker_id` is this process's row in `workers`; a restarted process has another one.

    `adapters` holds an open adapter for each channel that this process serves; `channels_here` says which it
    may send by (None: all). `project` and `plan` may cache: a plan by its digest never changes.
    """

    database: AsyncEngine
    adapters: Mapping[str, Adapter]
    project: Callable[[], Awaitable[LiveProject]]
    plan: Callable[[str], Awaitable[Plan]]
    worker_id: str
    clock: Clock
    channels_here: frozenset[str] | None = None
    heeded: Heeded = field(default_factory=Heeded)
    link_key: LinkKey = field(default_factory=LinkKey)
    patience: timedelta = timedelta(seconds=10)
    """How long a message may wait here for its turn at a channel with a rate. What would have to wait longer
    is given back. Without any, crowds take only what those who wait leave over."""
    audiences: dict[str, tuple[float, tuple[int, ...]]] = field(default_factory=dict)
    """Journey to when (monotonic) and at which hours its audience was found to open and click."""
    in_hand: set[Place] = field(default_factory=set)
    """What this process works on now: an order for one of them comes too early."""

    def serves(self, channel: str) -> bool:
        return self.channels_here is None or channel in self.channels_here

    def at(self, order_at: datetime) -> datetime:
        """The instant to give with an answer: scaled clocks know no lag."""
        return order_at if self.clock.scaled else max(order_at, self.clock.now())
