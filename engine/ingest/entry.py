"""Who enters, for the customers of one batch: feeds `consider` and gathers what it decides.

Nothing is written here: `Entry` works on entry states loaded before and keeps what changed. Order of one
event: settlings that ended before it, then the end of an enrolment it tells of, then `unless`, then
triggers, so that an event never drops the entry that it begins itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime
from typing import Any

from engine.core.commands import Enter, Refused
from engine.core.consider import consider
from engine.core.identity import one_per_text, workflow_id
from engine.core.inputs import Due, Ended, EntryInput, EntryState, Triggered, UnlessSeen
from engine.core.plan import Plan
from engine.ingest.conditions import MANUAL_ENTRY, MOMENT, Judge, trigger_row
from engine.store.entries import EntryKey
from engine.store.events import Event

Position = tuple[datetime, float]
"""(occurred_at, order): an enrolment sees events after its own position."""
AFTER_ALL = float("inf")
"""Order of a timer among events of the same instant."""


@dataclass(frozen=True, slots=True)
class LiveJourney:
    """A journey that can be entered, or that is paused and counts who would have."""

    name: str
    digest: str
    plan: Plan
    paused: bool = False


@dataclass(frozen=True, slots=True)
class Entrance:
    """A decided entry, to be written."""

    key: EntryKey
    enrolment_id: str
    digest: str
    plan: Plan
    profile_key: str
    trigger: Event
    entered_at: datetime
    holdout: bool
    supersedes: str | None

    @property
    def journey(self) -> str:
        return self.key.journey

    @property
    def profile_id(self) -> str:
        return self.key.profile_id

    @property
    def workflow_id(self) -> str:
        return workflow_id(self.journey, self.enrolment_id)

    @property
    def position(self) -> Position:
        return position(self.plan, self.trigger.occurred_at, self.trigger.sequence)

    def trigger_row(self) -> dict[str, Any]:
        return trigger_row(self.trigger)


def position(plan: Plan, occurred_at: datetime, order: float) -> Position:
    """Where among the events of a customer the enrolment with this trigger begins."""
    settle = plan.trigger.settle
    return (occurred_at, order) if settle is None else (occurred_at + settle, AFTER_ALL)


def trigger_keys(
    journeys: Sequence[LiveJourney],
    events: Iterable[Event],
    judge: Judge,
    instant: Callable[[datetime], datetime],
) -> dict[str, list[EntryKey]]:
    """Which entries each event triggers, by event id: the one place that judges `where` and `one_per`."""
    by_event: dict[str, list[LiveJourney]] = {}
    by_name: dict[tuple[str, str], LiveJourney] = {}
    for journey in journeys:
        if journey.plan.trigger.event is not None:
            by_event.setdefault(journey.plan.trigger.event, []).append(journey)
        elif journey.plan.trigger.kind in ("manual", "audience"):
            by_name[MANUAL_ENTRY, journey.name] = journey
        else:
            by_name[MOMENT, journey.name] = journey
    found: dict[str, list[EntryKey]] = {}
    for event in events:
        now = instant(event.occurred_at)
        for journey in by_event.get(event.name, ()):
            trigger = journey.plan.trigger
            if judge.holds(trigger.where, event, now):
                one_per = None if trigger.one_per is None else judge.value(trigger.one_per, event, now)
                key = EntryKey(journey.name, event.profile_id, one_per_text(one_per))
                found.setdefault(event.event_id, []).append(key)
        if (event.name, named := str(event.properties.get("journey"))) in by_name:
            key = EntryKey(named, event.profile_id, one_per_text(None))
            found.setdefault(event.event_id, []).append(key)
    return found


def ended_key(event: Event) -> EntryKey | None:
    """The entry whose enrolment a `journey.exited` event says has ended."""
    journey, one_per = event.properties.get("journey"), event.properties.get("one_per")
    if event.name != "journey.exited" or not isinstance(journey, str) or not isinstance(one_per, str):
        return None
    return EntryKey(journey, event.profile_id, one_per)


class Entry:
    """Entry into all journeys, for the customers of one batch.

    Args:
        keys: profile id to profile key.
        triggers: as `trigger_keys` gives them.
        states: those of `triggers`, of enrolments that have ended, and all that are settling.
        events: by id, whatever `states` mention (pending and contested triggers).
        stored: events already routed that occurred later than some of this batch, by profile.
        given_at: the instant at which something that happened at its argument is given to the core.
        instant: the logical instant of it, for expressions.
    """

    def __init__(
        self,
        journeys: Iterable[LiveJourney],
        keys: Mapping[str, str],
        triggers: Mapping[str, Sequence[EntryKey]],
        states: Mapping[EntryKey, EntryState],
        events: Mapping[str, Event],
        stored: Mapping[str, list[Event]],
        judge: Judge,
        given_at: Callable[[datetime], datetime],
        instant: Callable[[datetime], datetime],
    ) -> None:
        self._journeys = {journey.name: journey for journey in journeys}
        self._keys = keys
        self._states = dict(states)
        self._of_profile: dict[str, list[EntryKey]] = {}
        for key in self._states:
            self._of_profile.setdefault(key.profile_id, []).append(key)
        self._triggers = triggers
        self._events = dict(events)
        self._stored = stored
        self._judge = judge
        self._given_at = given_at
        self._instant = instant
        self.changed: dict[EntryKey, EntryState] = {}
        self.entrances: list[Entrance] = []
        self.refused: Counter[tuple[str, date, str]] = Counter()
        """(journey, logical day, reason) to how many."""

    # --- what happens ---------------------------------------------------------------------------------

    def settle_before(self, profile_id: str, instant: datetime) -> None:
        """Judges every settling of this customer that ended before `instant`."""
        self.settle(key for key in self._pending(profile_id) if _due(self._states[key]) < instant)

    def settle(self, keys: Iterable[EntryKey]) -> None:
        """Judges the settlings of these keys, the one due first first."""
        for key in sorted(keys, key=lambda key: (_due(self._states[key]), key)):
            state = self._states[key]
            if state.due_at is not None:
                self._consider(key, Due(self._given_at(state.due_at)))

    def due_by(self, limit: Callable[[str], tuple[datetime, bool]]) -> list[EntryKey]:
        """Keys whose settling ends before the instant of `limit` for their profile, or at it where true."""
        found = []
        for profile_id in self._of_profile:
            pending = self._pending(profile_id)
            if pending:
                instant, including = limit(profile_id)
                for key in pending:
                    due = _due(self._states[key])
                    if due < instant or (including and due == instant):
                        found.append(key)
        return found

    def take(self, event: Event) -> None:
        """One event of one customer, after the live enrolments have seen it."""
        self._ended(event)
        for key in self._pending(event.profile_id):
            self._unless(key, event)
        for key in self._triggers.get(event.event_id, ()):
            self._triggered(key, event)

    def end(self, key: EntryKey, at: datetime) -> None:
        """The enrolment that is held for live has ended."""
        if (live_id := self._states[key].live_id) is not None:
            self._consider(key, Ended(live_id, at))

    # --- inputs ---------------------------------------------------------------------------------------

    def _triggered(self, key: EntryKey, event: Event) -> None:
        self._events[event.event_id] = event
        at = self._given_at(event.occurred_at)
        self._consider(key, Triggered(event.event_id, event.occurred_at, at, event.sequence))
        # An event that came in late may have been followed already by one that drops its entry.
        after = (event.occurred_at, event.sequence)
        for later in self._stored.get(event.profile_id, ()):
            if (later.occurred_at, later.sequence) > after and self._states[key].due_at is not None:
                self._unless(key, later)

    def _unless(self, key: EntryKey, event: Event) -> None:
        journey, state = self._journeys.get(key.journey), self._states[key]
        unless = journey.plan.trigger.unless if journey is not None else None
        pending = self._events.get(state.pending_id or "")
        if unless is None or unless.event != event.name or pending is None:
            return
        now = self._instant(event.occurred_at)
        if self._judge.holds(unless.where, event, now, self._judge.event(pending)):
            at = self._given_at(event.occurred_at)
            self._consider(key, UnlessSeen(event.event_id, event.occurred_at, at))

    def _ended(self, event: Event) -> None:
        key = ended_key(event)
        if key is not None and key in self._states:
            enrolment_id = str(event.properties.get("enrolment_id"))
            self._consider(key, Ended(enrolment_id, event.occurred_at))

    # --- decisions ------------------------------------------------------------------------------------

    def _consider(self, key: EntryKey, given: EntryInput) -> None:
        before = self._states.get(key) or EntryState()
        journey = self._journeys.get(key.journey)
        if journey is None:  # archived, or back to a draft: nobody enters any more
            live_id = None if isinstance(given, Ended) else before.live_id
            nothing = replace(before, pending_id=None, pending_at=None, due_at=None, contested=())
            return self._keep(key, replace(nothing, live_id=live_id))
        after, decisions = consider(
            journey.plan, self._keys[key.profile_id], key.one_per, before, given, paused=journey.paused
        )
        if after != before:
            self._keep(key, after)
        for decision in decisions:
            if isinstance(decision, Enter):
                self._enter(key, journey, after, decision)
            elif isinstance(decision, Refused):
                self.refused[key.journey, decision.at.date(), decision.reason] += 1

    def _enter(self, key: EntryKey, journey: LiveJourney, state: EntryState, decision: Enter) -> None:
        assert state.live_id is not None
        self.entrances.append(
            Entrance(
                key=key,
                enrolment_id=state.live_id,
                digest=journey.digest,
                plan=journey.plan,
                profile_key=self._keys[key.profile_id],
                trigger=self._events[decision.event_id],
                entered_at=decision.at,
                holdout=decision.holdout,
                supersedes=decision.supersedes,
            )
        )

    def _keep(self, key: EntryKey, state: EntryState) -> None:
        if key not in self._states:
            self._of_profile.setdefault(key.profile_id, []).append(key)
        self._states[key] = state
        self.changed[key] = state

    def _pending(self, profile_id: str) -> list[EntryKey]:
        return [key for key in self._of_profile.get(profile_id, ()) if self._states[key].due_at is not None]


def _due(state: EntryState) -> datetime:
    assert state.due_at is not None
    return state.due_at
