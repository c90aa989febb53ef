"""A customer of a simulation: profile, consents, history, entries and enrolments, all in memory."""

from __future__ import annotations

from bisect import insort
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, Literal

from engine.core.commands import Ask, Perform, Send, Trace
from engine.core.inputs import EntryState
from engine.core.limits import Use
from engine.core.plan import Message
from engine.core.state import State
from engine.language.addresses import ADDRESS_KINDS, IDENTIFIERS, address_kind
from engine.language.consents import EVERY, named
from engine.language.expressions import Occurrence
from engine.simulator.journey import SimulatedJourney

EVERY_CHANNEL = EVERY_PURPOSE = EVERY
_CHANNELS: Final = tuple((name, address_kind(name)) for name in (*IDENTIFIERS, *ADDRESS_KINDS))
"""Channels, each with the identifier that is its address."""
_ADDRESSING: Final = frozenset(IDENTIFIERS)
_at = attrgetter("at")
_NEVER: Final[Mapping[str, datetime]] = {}


@dataclass(slots=True, eq=False)
class SimulatedEvent:
    """One event. `facts` is what expressions see of it. `enrolment_id` is set for `message.*` events."""

    id: str
    name: str
    at: datetime
    order: int
    facts: dict[str, Any]
    enrolment_id: str | None = None
    made: bool = False
    """By the engine, not told from outside."""


@dataclass(slots=True, eq=False)
class Change:
    """Something other than an event that happens to a customer: data from a script or a stream.

    A pause or resume without a `journey` is one of every journey that runs.
    """

    kind: Literal["identify", "consent", "enter", "pause", "resume"]
    at: datetime
    data: dict[str, Any] = field(default_factory=dict)
    journey: str | None = None
    id: str = ""
    order: int = 0


Happening = SimulatedEvent | Change


@dataclass(slots=True, eq=False)
class SentMessage:
    """One message as it went out. `parts` is empty where a run does not render."""

    at: datetime
    step: str
    template: str
    channel: str
    enrolment_id: str
    journey: str
    passed_over: tuple[tuple[str, str], ...] = ()
    parts: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True, eq=False)
class EntryRow:
    """The entry state of one (journey, `one_per` value) of this customer."""

    journey: SimulatedJourney
    one_per: str
    state: EntryState = field(default_factory=EntryState)


@dataclass(slots=True, eq=False)
class Enrolment:
    """One enrolment of a simulation, live or ended."""

    id: str
    journey: SimulatedJourney
    person: Person
    row: EntryRow
    trigger: SimulatedEvent
    entered_at: datetime
    state: State
    answers: dict[str, Any] = field(default_factory=dict)
    trace: list[Trace] = field(default_factory=list)
    messages: list[SentMessage] = field(default_factory=list)
    followed: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    """Journeys that its `enter` steps named, with the trigger's properties."""
    audiences: list[tuple[str, bool]] = field(default_factory=list)
    """Advertising audiences that it was put on (true) or taken off."""
    render_errors: dict[str, str] = field(default_factory=dict)
    """Message step to why its template could not be rendered."""
    converted_at: datetime | None = None
    exit_detail: str | None = None

    @property
    def live(self) -> bool:
        return self.state.exit is None

    def skipped(self) -> list[Trace]:
        """The message steps that sent nothing, in order of time; `detail` is the reason."""
        steps = self.journey.plan.steps
        return [
            line
            for line in self.trace
            if line.result == "skipped" and line.step is not None and isinstance(steps[line.step], Message)
        ]


@dataclass(slots=True, eq=False)
class Awaited:
    """What a customer waits for beside enrolments: see `engine.simulator.moments`."""

    quiet: list[tuple[datetime, int, SimulatedJourney, SimulatedEvent]] = field(default_factory=list)
    """When so long has passed since an event, ascending."""
    since: dict[str, list[SimulatedEvent]] = field(default_factory=dict)
    """Events that some journey counts from, ascending."""
    fired: dict[str, datetime] = field(default_factory=dict)
    """Journey to its last moment."""
    inside: frozenset[str] | None = None
    """Segments that the customer is in; None before the first look."""
    stage: str | None = None
    """The stage that was seen last, by hand or by rule."""
    next_at: datetime | None = None


class Person:
    """One customer. Written only by the simulation and the changes it applies."""

    def __init__(self, key: str, profile_id: str = "") -> None:
        self.key = key
        self.profile_id = profile_id or key
        self.attributes: dict[str, Any] = {}
        self.tags: frozenset[str] = frozenset()
        self.expiries: dict[str, datetime] = {}
        """Tags that go again, and when."""
        self.segments: frozenset[str] = frozenset()
        self.stage: str | None = None
        self.consents: dict[str, bool] = {}
        """Latest word for marketing by channel; `*` is every channel that has no later word of its own."""
        self._said: dict[tuple[str, str], tuple[int, bool]] = {}
        """Latest word by channel and purpose, with its place among all of them."""
        self._told = 0
        self.addresses: dict[str, str] = {}
        self.events: dict[str, SimulatedEvent] = {}
        self.history: dict[str, list[Occurrence]] = {}
        self.rows: dict[tuple[str, str], EntryRow] = {}
        self.settling: list[EntryRow] = []
        self.enrolments: list[Enrolment] = []
        self.live: list[Enrolment] = []
        self.measured: list[Enrolment] = []
        """Enrolments that can still convert."""
        self.script: deque[Happening] = deque()
        """What is to happen, in order of time."""
        self.pending: deque[SimulatedEvent] = deque()
        """Events that the engine itself made at this instant."""
        self.open: deque[tuple[Enrolment, Ask | Send | Perform]] = deque()
        self.last_message: SentMessage | None = None
        self.uses: list[Use] = []
        """What counts for caps."""
        self.awaited = Awaited()
        self.script_ends_at: datetime | None = None
        """When the last of what is told from outside happens."""

    @property
    def external_id(self) -> str | None:
        value = self.attributes.get("external_id")
        return value if isinstance(value, str) else None

    @property
    def time_zone(self) -> str | None:
        value = self.attributes.get("time_zone")
        return value if isinstance(value, str) else None

    def set(self, values: Mapping[str, Any]) -> None:
        """Writes attributes and identifiers; null clears."""
        for name, value in values.items():
            if value is None:
                self.attributes.pop(name, None)
            else:
                self.attributes[name] = value
        if not _ADDRESSING.isdisjoint(values):
            self.addresses = {
                channel: self.attributes[kind]
                for channel, kind in _CHANNELS
                if isinstance(self.attributes.get(kind), str)
            }

    def grant(self, word: str, granted: bool) -> None:
        """The latest word on marketing by this channel; `*` and `marketing` are a word on all of them.

        `channel:purpose` is a word on messages of that purpose only.
        """
        channel, purpose = named(word)
        self._told += 1
        self._said[channel, purpose] = self._told, granted
        if purpose != EVERY_PURPOSE:
            return
        if channel == EVERY_CHANNEL:
            self.consents = {EVERY_CHANNEL: granted}
        else:
            self.consents = {**self.consents, channel: granted}

    def word(self, channel: str, purpose: str | None = None) -> bool | None:
        """What this customer said about marketing by this channel (for a purpose); None for nothing."""
        wanted = {(c, p) for c in (channel, EVERY_CHANNEL) for p in (purpose or EVERY_PURPOSE, EVERY_PURPOSE)}
        said = [self._said[each] for each in wanted if each in self._said]
        return max(said)[1] if said else None

    def words(self) -> list[bool | None]:
        """What holds now of everything that was ever said."""
        return [self.word(channel, purpose) for channel, purpose in self._said]

    def retag(
        self, add: Iterable[str] = (), remove: Iterable[str] = (), expire: Mapping[str, datetime] = _NEVER
    ) -> None:
        """Gives tags and takes others away; `expire` says when those given go again."""
        given, taken = frozenset(add), frozenset(remove)
        self.tags = (self.tags | given) - taken
        for tag in given | taken:
            self.expiries.pop(tag, None)
        self.expiries |= {tag: at for tag, at in expire.items() if tag in self.tags}

    def tags_at(self, at: datetime) -> frozenset[str]:
        """The tags that are there at an instant."""
        if not self.expiries:
            return self.tags
        return self.tags - {tag for tag, until in self.expiries.items() if until <= at}

    def remember(self, event: SimulatedEvent, counted: bool = True) -> None:
        """Keeps the event for expressions; `counted` also as part of the history."""
        self.events[event.id] = event
        if counted:
            known = self.history.get(event.name)
            if known is None:
                self.history[event.name] = [Occurrence(event.at, event.facts)]
            elif known[-1].at <= event.at:
                known.append(Occurrence(event.at, event.facts))
            else:
                insort(known, Occurrence(event.at, event.facts), key=_at)

    def next_at(self) -> datetime | None:
        """The next instant at which something happens to this customer."""
        found = self.awaited.next_at
        if self.script and (found is None or self.script[0].at < found):
            found = self.script[0].at
        for row in self.settling:
            due_at = row.state.due_at
            if due_at is not None and (found is None or due_at < found):
                found = due_at
        for enrolment in self.live:
            wake_at = enrolment.state.wake_at
            if wake_at is not None and (found is None or wake_at < found):
                found = wake_at
        return found
