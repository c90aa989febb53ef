"""The driver: takes what happens to each customer in order, instant by instant, and runs the reducers.

At one instant of one customer: controls, then events by order of arrival, then timers (of enrolments and of
settling entries), all drained before a command is run; then one command, and round again for what it caused.
An event meets live enrolments first (in order of entry), then entries. A message is accepted at once and
settles at the same instant. Customers do not touch each other, so their order within an instant is of no
consequence; they share one heap so that a run goes forward in time as a whole.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime, tzinfo
from typing import Any

from engine.core.advance import advance, begin, overtaken
from engine.core.calendar import zone_of
from engine.core.commands import Ask, Decision, Enter, Exited, Refused, Send, Settle, Trace
from engine.core.consider import consider
from engine.core.convert import converts
from engine.core.identity import event_id, one_per_text
from engine.core.inputs import (
    Answered,
    Control,
    Due,
    Ended,
    Entered,
    EntryInput,
    EventSeen,
    Exit,
    Input,
    Settled,
    Triggered,
    UnlessSeen,
)
from engine.language.expressions import Definitions, Facts, compile_expression, event_facts
from engine.language.types import to_json, typed
from engine.simulator.changes import change
from engine.simulator.journey import SimulatedJourney
from engine.simulator.moments import MANUAL, Moments
from engine.simulator.person import EVERY_CHANNEL, Enrolment, EntryRow, Person, SimulatedEvent
from engine.simulator.settings import Surroundings
from engine.simulator.spending import Spending
from engine.simulator.work import perform, send


class Simulation:
    """One run. Add people and what happens to them, then `run`."""

    def __init__(
        self,
        surroundings: Surroundings,
        journeys: Iterable[str],
        *,
        goes_on: bool = False,
        since: datetime | None = None,
    ) -> None:
        """Only `journeys` run. Every one of them must be among the plans of `surroundings`.

        `goes_on`: to the next moment of those whom nothing has let in by the end of their script.
        `since`: when the journeys went live; what happened before is history.
        """
        self.surroundings = surroundings
        self.journeys = {name: SimulatedJourney(surroundings.plans[name]) for name in journeys}
        self.definitions = surroundings.definitions()
        self._definitions: dict[frozenset[str], Definitions] = {}
        self.attribute_types = surroundings.attribute_types()
        self._rules = surroundings.catalogue.rules
        self._lifetimes = surroundings.catalogue.lifetimes
        self.zone: tzinfo = surroundings.zone()
        self.policy = surroundings.policy_settings()
        self.spending = Spending(surroundings, self.policy)
        opt_in = surroundings.installation.consent.get("marketing") == "opt_in"
        self.presumed: dict[str, bool] = {} if opt_in else {EVERY_CHANNEL: True}
        """What silence means for marketing."""
        self.enrolments: list[Enrolment] = []
        self.refused: dict[str, dict[str, int]] = {name: {} for name in self.journeys}
        """Journey to reason to how many entries were refused for it."""
        self._event_types: dict[str, dict[str, str]] = {}
        self._triggers: dict[str, list[SimulatedJourney]] = {}
        self._spoken = repr([journey.plan for journey in self.journeys.values()]) + repr(self.definitions)
        self._heard: dict[str, bool] = {}
        for journey in self.journeys.values():
            trigger = journey.plan.trigger
            if trigger.event is not None:
                self._triggers.setdefault(trigger.event, []).append(journey)
        self.now: datetime | None = None
        """The last instant at which anything happened."""
        self._heap: list[tuple[datetime, int, Person]] = []
        self._orders = 0
        self.goes_on = goes_on
        self.since = since
        self._moments = Moments(self)

    # --- from outside -----------------------------------------------------------------------------------

    def event(
        self,
        name: str,
        at: datetime,
        properties: Mapping[str, Any],
        id: str,
        enrolment_id: str | None = None,
    ) -> SimulatedEvent:
        """An event in the form that the simulation keeps, next in order of arrival."""
        types = self._event_types.get(name)
        if types is None:
            types = self._event_types[name] = self.surroundings.event_types(name)
        facts = event_facts(name, id, at, properties, types, self.zone)
        return SimulatedEvent(id, name, at, self.next_order(), facts, enrolment_id)

    def next_order(self) -> int:
        """The next place in the order of arrival."""
        self._orders += 1
        return self._orders

    def typed_attributes(self, values: Mapping[str, Any]) -> dict[str, Any]:
        return typed(values, self.attribute_types, self.zone)

    def add(self, person: Person, since: datetime | None = None, until: datetime | None = None) -> None:
        """Takes the person in; its script must be sorted by time.

        `since`: when we begin to look at them, if before anything happens; `until`: the end of what is told.
        """
        script = person.script
        person.script_ends_at = until or (script[-1].at if script else since)
        if self._moments.any and (since is not None or script):
            self._moments.begin(person, since or script[0].at)
        self._schedule(person, len(self._heap))

    def run(self, until: datetime | None = None) -> None:
        """Goes on until nothing is to happen any more, or up to and with `until`."""
        heap = self._heap
        while heap and (until is None or heap[0][0] <= until):
            at, number, person = heapq.heappop(heap)
            self.now = at
            self._instant(person, at)
            self._schedule(person, number)

    def _schedule(self, person: Person, number: int) -> None:
        at = person.next_at()
        if at is not None:
            heapq.heappush(self._heap, (at, number, person))

    # --- one instant ------------------------------------------------------------------------------------

    def _instant(self, person: Person, at: datetime) -> None:
        moments = self._moments
        while True:
            self._drain(person, at)
            if moments.any and moments.fire(person, at):
                continue
            if self._fire(person, at):
                continue
            if not person.open:
                if not moments.any:
                    return
                if moments.look(person, at):
                    continue
                return moments.plan_ahead(person, at)
            enrolment, command = person.open.popleft()
            if not enrolment.live:
                continue
            if isinstance(command, Ask):
                self.advance(enrolment, self._answer(enrolment, command))
            elif overtaken(enrolment.state):
                self.advance(enrolment, Settled(command.step, "skipped", at, reason="exit_seen"))
            elif isinstance(command, Send):
                self.advance(enrolment, send(self, enrolment, command))
            else:
                self.advance(enrolment, perform(self, enrolment, command))

    def _drain(self, person: Person, at: datetime) -> None:
        script, pending = person.script, person.pending
        while True:
            if script and script[0].at <= at:
                happening = script.popleft()
                if isinstance(happening, SimulatedEvent):
                    self._route(person, happening)
                else:
                    change(self, person, happening)
            elif pending:
                self._route(person, pending.popleft())
            else:
                return

    def _fire(self, person: Person, at: datetime) -> bool:
        # A restart ends what is under way: like any order from outside, before the timers of its instant.
        fired = bool(person.settling) and self._settle(person, at, restarts=True)
        for enrolment in tuple(person.live):
            wake_at = enrolment.state.wake_at
            if wake_at is not None and wake_at <= at:
                self.advance(enrolment, Due(at))
                fired = True
        return (bool(person.settling) and self._settle(person, at, restarts=False)) or fired

    def _settle(self, person: Person, at: datetime, *, restarts: bool) -> bool:
        settled = False
        for row in tuple(person.settling):
            due_at = row.state.due_at
            restart = row.journey.plan.trigger.reenter == "restart"
            if due_at is not None and due_at <= at and restart is restarts:
                self.consider(person, row, Due(at))
                settled = True
        return settled

    # --- events -----------------------------------------------------------------------------------------

    def _route(self, person: Person, event: SimulatedEvent) -> None:
        name, at = event.name, event.at
        of_message = name.startswith("message.")
        if of_message and event.enrolment_id is None:
            self._of_last_message(person, event)
        person.remember(event)
        if self._moments.any:
            self._moments.saw(person, event)
        for enrolment in tuple(person.live):
            self._see(enrolment, event)
        if person.measured:
            self._measure_ended(person, event, of_message)
        for row in tuple(person.settling):
            journey = row.journey
            if journey.unless_event == name and row.state.pending_id is not None:
                facts = self.facts_of(person, at, event, person.events.get(row.state.pending_id))
                if journey.unless is None or journey.unless(facts) is True:
                    self.consider(person, row, UnlessSeen(event.id, at, at))
        triggered = self._triggers.get(name)
        if triggered and (self.since is None or at >= self.since):
            for journey in triggered:
                self._trigger(person, journey, event)

    def _see(self, enrolment: Enrolment, event: SimulatedEvent) -> None:
        own = not event.name.startswith("message.") or event.enrolment_id == enrolment.id
        conditions = enrolment.journey.conditions(event.name, own)
        if conditions:
            facts = self.facts(enrolment, event.at, event)
            held = tuple(id for id, where in conditions if where is None or where(facts) is True)
            if held:
                if "goal" in held:
                    self._measure(enrolment, event.at)
                self.advance(
                    enrolment, EventSeen(event.id, event.name, event.at, event.at, event.order, held)
                )

    def _see_what_followed(self, enrolment: Enrolment) -> None:
        """It enters after all, once another one has ended: it sees what came after its trigger meanwhile."""
        trigger = enrolment.trigger
        if enrolment.journey.plan.trigger.settle is not None:
            return  # its turn came after all events of its instant
        followed = []
        for event in reversed(enrolment.person.events.values()):
            if event.at < trigger.at:
                break
            if (event.at, event.order) > (trigger.at, trigger.order):
                followed.append(event)
        for event in reversed(followed):
            if enrolment.live:
                self._see(enrolment, event)

    def _of_last_message(self, person: Person, event: SimulatedEvent) -> None:
        """A `message.*` event from outside belongs to the last message sent."""
        message = person.last_message
        if message is not None:
            event.enrolment_id = message.enrolment_id
            about = {"step": message.step, "template": message.template, "channel": message.channel}
            event.facts = {**about, **event.facts}

    def _measure(self, enrolment: Enrolment, at: datetime) -> None:
        if enrolment.converted_at is None and converts(enrolment.journey.plan, enrolment.entered_at, at):
            enrolment.converted_at = at

    def _measure_ended(self, person: Person, event: SimulatedEvent, of_message: bool) -> None:
        """A goal that comes after the end is still a conversion, if it comes in time."""
        for enrolment in tuple(person.measured):
            goal = enrolment.journey.plan.goal
            if (
                goal is None
                or enrolment.converted_at is not None
                or event.at > enrolment.entered_at + goal.within
            ):
                person.measured.remove(enrolment)
            elif not enrolment.live and goal.when.event == event.name:
                if of_message and event.enrolment_id != enrolment.id and not goal.when.any:
                    continue
                where = goal.when.where
                facts = self.facts(enrolment, event.at, event)
                if where is None or compile_expression(where)(facts) is True:
                    self._measure(enrolment, event.at)

    def _trigger(self, person: Person, journey: SimulatedJourney, event: SimulatedEvent) -> None:
        facts = self.facts_of(person, event.at, event, None)
        if journey.where is not None and journey.where(facts) is not True:
            return
        value = None if journey.one_per is None else to_json(journey.one_per(facts))
        row = self.row(person, journey, value)
        self.consider(person, row, Triggered(event.id, event.at, event.at, event.order))

    def row(self, person: Person, journey: SimulatedJourney, value: Any = None) -> EntryRow:
        """The entry of this customer for this `one_per` value."""
        one_per = one_per_text(value)
        row = person.rows.get((journey.name, one_per))
        if row is None:
            row = person.rows[journey.name, one_per] = EntryRow(journey, one_per)
        return row

    def emit(
        self,
        person: Person,
        name: str,
        at: datetime,
        properties: Mapping[str, Any],
        id: str,
        enrolment_id: str | None = None,
    ) -> None:
        """An event that the engine itself makes. Left out where no journey could notice it."""
        if self.heard(name):
            event = self.event(name, at, properties, event_id("engine", id), enrolment_id)
            event.made = True
            person.pending.append(event)

    def heard(self, *names: str) -> bool:
        """Whether any journey could notice an event of one of these names."""
        for name in names:
            if name not in self._heard:
                self._heard[name] = name in self._spoken
        return any(self._heard[name] for name in names)

    def enter(
        self,
        person: Person,
        journey: SimulatedJourney,
        properties: Mapping[str, Any],
        at: datetime,
        id: str,
    ) -> None:
        """Puts the customer into a `manual` journey, or launches a campaign for them alone, that lets them in
        if they are in its segment; `properties` become those of `trigger`."""
        if journey.plan.trigger.kind == "audience" and not self._moments.in_audience(person, journey, at):
            return
        types = journey.plan.trigger.properties
        facts = event_facts(MANUAL, id, at, properties, types, self.zone)
        event = SimulatedEvent(id, MANUAL, at, self.next_order(), facts)
        person.remember(event, counted=False)
        self._trigger(person, journey, event)

    # --- reducers ---------------------------------------------------------------------------------------

    def advance(self, enrolment: Enrolment, given: Input) -> None:
        """Hands one input to an enrolment and takes its commands."""
        enrolment.state, commands = advance(enrolment.journey.plan, enrolment.state, given)
        for command in commands:
            if isinstance(command, Trace):
                enrolment.trace.append(command)
            elif isinstance(command, Exited):
                self._ended(enrolment, command.exit, command.at, command.detail)
            else:
                enrolment.person.open.append((enrolment, command))

    def _ended(self, enrolment: Enrolment, exit: Exit, at: datetime, detail: str | None) -> None:
        person = enrolment.person
        enrolment.exit_detail = detail
        person.live.remove(enrolment)
        self.emit(
            person,
            "journey.exited",
            at,
            {"journey": enrolment.journey.name, "exit": exit},
            f"{enrolment.id}/exited",
        )
        self.consider(person, enrolment.row, Ended(enrolment.id, at))

    def consider(self, person: Person, row: EntryRow, given: EntryInput) -> None:
        """Hands one input to an entry and takes what is decided."""
        journey = row.journey
        row.state, decisions = consider(
            journey.plan,
            person.key,
            row.one_per,
            row.state,
            given,
            paused=journey.paused,
            holdout=self.surroundings.stand_ins.holdout,
        )
        waits = row.state.due_at is not None
        if waits and row not in person.settling:
            person.settling.append(row)
        elif not waits and row in person.settling:
            person.settling.remove(row)
        for decision in decisions:
            self._decided(person, row, decision)
            if isinstance(decision, Enter) and isinstance(given, Ended):
                self._see_what_followed(person.enrolments[-1])

    def _decided(self, person: Person, row: EntryRow, decision: Decision) -> None:
        if isinstance(decision, Settle):
            return
        if isinstance(decision, Refused):
            counts = self.refused[row.journey.name]
            counts[decision.reason] = counts.get(decision.reason, 0) + 1
            return
        self._enrol(person, row, decision)

    def _enrol(self, person: Person, row: EntryRow, decision: Enter) -> None:
        if decision.supersedes is not None:
            for old in tuple(person.live):
                if old.id == decision.supersedes:
                    self.advance(old, Control("end", decision.at, "superseded"))
        id = row.state.live_id
        assert id is not None, "an entry makes its enrolment live"
        state = begin(
            id,
            person.key,
            decision.event_id,
            holdout=decision.holdout,
            variants=self.surroundings.stand_ins.variants,
        )
        trigger = person.events[decision.event_id]
        enrolment = Enrolment(id, row.journey, person, row, trigger, decision.at, state)
        person.enrolments.append(enrolment)
        person.live.append(enrolment)
        self.enrolments.append(enrolment)
        if row.journey.plan.goal is not None:
            person.measured.append(enrolment)
        self.advance(enrolment, Entered(decision.at))

    # --- facts ------------------------------------------------------------------------------------------

    def facts(self, enrolment: Enrolment, now: datetime, event: SimulatedEvent | None) -> Facts:
        """What an expression of this enrolment is evaluated on."""
        found = self.facts_of(enrolment.person, now, event, enrolment.trigger)
        found.answers = enrolment.answers
        return found

    def facts_of(
        self,
        person: Person,
        now: datetime,
        event: SimulatedEvent | None,
        trigger: SimulatedEvent | None,
    ) -> Facts:
        zone = person.time_zone
        return Facts(
            now=now,
            key=person.key,
            profile=person.attributes,
            tags=person.tags_at(now),
            segments=person.segments,
            stage=person.stage,
            consents={**self.presumed, **person.consents} if self.presumed else person.consents,
            trigger=None if trigger is None else trigger.facts,
            event=None if event is None else event.facts,
            history=person.history,
            definitions=self._meant(person) if person.segments else self.definitions,
            zone=self.zone if zone is None else zone_of(zone),
        )

    def _meant(self, person: Person) -> Definitions:
        """The definitions, less those of segments that the customer is said to be in."""
        if person.segments.isdisjoint(self.definitions.segments):
            return self.definitions
        known = self._definitions.get(person.segments)
        if known is None:
            own = {n: text for n, text in self.definitions.segments.items() if n not in person.segments}
            known = self._definitions[person.segments] = replace(self.definitions, segments=own)
        return known

    def tags_of(self, person: Person) -> frozenset[str]:
        """The tags of this customer at the last instant, those that rules keep among them."""
        if self.now is None:
            return person.tags
        known = self.facts_of(person, self.now, None, None)
        held = (name for name, where in self._rules.items() if compile_expression(where)(known) is True)
        return known.tags.union(held)

    def expiry(self, tags: Iterable[str], at: datetime) -> dict[str, datetime]:
        """Those of the tags that expire, given at `at`, and when."""
        return {tag: at + self._lifetimes[tag] for tag in tags if tag in self._lifetimes}

    def moved_by(self, enrolment: Enrolment, event_id: str | None) -> SimulatedEvent:
        """The event that last moved the enrolment; at first its trigger."""
        if event_id is None:
            return enrolment.trigger
        return enrolment.person.events.get(event_id, enrolment.trigger)

    def _answer(self, enrolment: Enrolment, ask: Ask) -> Answered:
        facts = self.facts(enrolment, ask.at, self.moved_by(enrolment, ask.event_id))
        installation = self.surroundings.installation.time_zone
        values: list[Any] = []
        for question in ask.questions:
            if question.kind == "expression":
                values.append(to_json(compile_expression(question.text)(facts)))
            elif question.text == "profile":
                values.append(enrolment.person.time_zone or installation)
            else:
                values.append(installation)
        return Answered(ask.ask_id, tuple(values), ask.at)
