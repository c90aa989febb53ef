"""What no event tells of: quiet for so long, a date that comes round, a campaign, who is in a segment.

At one instant of a customer all that happens to them goes first; then moments, which let in like events of
that instant; then timers. When nothing is left to do at an instant, membership of segments is looked at, and
once more each full hour if time alone can change it: what has changed becomes `segment.entered` and
`segment.left`.

A run ends when all that it was given has happened and every enrolment has ended. Moments would come round for
ever, so after the end of the script they go on only as far as this: who was never in gets the first moment of
a journey that had none before, and quiet counts from events of the script.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Iterator
from datetime import datetime, timedelta
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from engine.core.identity import event_id
from engine.core.inputs import Triggered
from engine.core.moments import next_moment
from engine.language.expressions import compile_expression
from engine.language.schedules import next_launch
from engine.simulator.journey import SimulatedJourney
from engine.simulator.membership import Membership, in_segment
from engine.simulator.person import Person, SimulatedEvent

if TYPE_CHECKING:
    from engine.simulator.simulation import Simulation

MOMENT: Final = "journey.moment"
MANUAL: Final = "journey.enter"
_place = attrgetter("at", "order")
_A_MOMENT = timedelta(microseconds=1)
LONGEST: Final = timedelta(days=400)
"""How long after the script segments are looked at, for those who were never in."""


class Moments:
    """Moments of all customers of a run."""

    def __init__(self, run: Simulation) -> None:
        self._run = run
        by_kind: dict[str, list[SimulatedJourney]] = {}
        for journey in run.journeys.values():
            by_kind.setdefault(journey.plan.trigger.kind, []).append(journey)
        self._quiet: dict[str, list[SimulatedJourney]] = {}
        for journey in by_kind.get("quiet", ()):
            self._quiet.setdefault(journey.plan.trigger.since or "", []).append(journey)
        self._dated = by_kind.get("date", [])
        self._launched = [
            journey
            for journey in by_kind.get("audience", ())
            if journey.plan.trigger.cron is not None or journey.plan.trigger.at is not None
        ]
        heard = run.heard("segment.entered", "segment.left", "stage.changed")
        self._membership = Membership(run) if heard else None
        self.any = bool(self._quiet or self._dated or self._launched or self._membership)

    # --- what happens to a customer ---------------------------------------------------------------------

    def begin(self, person: Person, at: datetime) -> None:
        """The customer is there from `at` on: whatever they are in already they do not enter."""
        if self._membership is not None:
            person.awaited.inside = self._membership.inside(person, at)
            person.awaited.stage = self._membership.stage(person, at)
        person.awaited.next_at = at

    def saw(self, person: Person, event: SimulatedEvent) -> None:
        """Some journey may count from this event."""
        journeys = self._quiet.get(event.name)
        if journeys is None:
            return
        known = person.awaited.since.setdefault(event.name, [])
        insort(known, event, key=_place)
        if event.made and self._over(person, event.at):
            return
        for journey in journeys:
            length = journey.plan.trigger.quiet_for
            assert length is not None
            if self._before(event.at + length):
                continue
            insort(person.awaited.quiet, (event.at + length, event.order, journey, event), key=_due)

    def fire(self, person: Person, at: datetime) -> bool:
        """The moments that come at this instant; whether there was one."""
        fired = False
        quiet = person.awaited.quiet
        while quiet and quiet[0][0] <= at:
            _, _, journey, event = quiet.pop(0)
            fired = self._still_quiet(person, journey, event, at) or fired
        for journey, moment_at, facts in self._due(person, at):
            person.awaited.fired[journey.name] = moment_at
            self._enter(person, journey, moment_at, facts, f"{person.key}/{moment_at.isoformat()}")
            fired = True
        return fired

    def look(self, person: Person, at: datetime) -> bool:
        """Notices who has entered or left a segment, or is in another stage; whether there was anything."""
        awaited, membership = person.awaited, self._membership
        if membership is None:
            return False
        before = frozenset[str]() if awaited.inside is None else awaited.inside
        awaited.inside = now = membership.inside(person, at)
        was, awaited.stage = awaited.stage, membership.stage(person, at)
        if self._run.since is not None and at < self._run.since:
            return False
        moved = awaited.stage != was and awaited.stage is not None
        if moved:
            self._run.emit(
                person,
                "stage.changed",
                at,
                {"stage": awaited.stage, "before": was},
                f"{person.key}/stage/{awaited.stage}/{at.isoformat()}",
            )
        for name, segments in (("segment.left", before - now), ("segment.entered", now - before)):
            for segment in sorted(segments):
                self._run.emit(
                    person, name, at, {"segment": segment}, f"{person.key}/{name}/{segment}/{at.isoformat()}"
                )
        return before != now or moved

    def plan_ahead(self, person: Person, at: datetime) -> None:
        """Works out when to look at this customer again, after all of `at`."""
        found = [each[0] for each in person.awaited.quiet[:1]]
        found += [when for journey in self._dated if (when := self._next(person, journey, at)) is not None]
        found += [when for journey in self._launched if (when := self._next(person, journey, at)) is not None]
        if self._membership is not None:
            looked = self._membership.next_look(person, at)
            if looked is not None and self._looks(person, looked):
                found.append(looked)
        person.awaited.next_at = min(found, default=None)

    # --- moments ----------------------------------------------------------------------------------------

    def _still_quiet(
        self, person: Person, journey: SimulatedJourney, event: SimulatedEvent, at: datetime
    ) -> bool:
        counted = (
            each
            for each in reversed(person.awaited.since[event.name])
            if each.at <= at and self._counts(person, journey, each, at)
        )
        if next(counted, None) is not event:
            return False
        self._enter(person, journey, at, event.facts, event.id)
        return True

    def _counts(self, person: Person, journey: SimulatedJourney, event: SimulatedEvent, at: datetime) -> bool:
        where = journey.where
        return where is None or where(self._run.facts_of(person, at, event, None)) is True

    def _due(
        self, person: Person, at: datetime
    ) -> Iterator[tuple[SimulatedJourney, datetime, dict[str, Any]]]:
        if self._before(at):
            return
        just_before = at - _A_MOMENT
        for journey in self._dated:
            if person.awaited.fired.get(journey.name) != at and self._allowed(person, at, journey):
                found = self._date(person, journey, at, just_before)
                if found is not None and found[0] == at:
                    yield journey, at, {"date": found[1]}
        for journey in self._launched:
            if (
                person.awaited.fired.get(journey.name) != at
                and self._launch(journey, just_before) == at
                and self._allowed(person, at, journey)
            ):
                person.awaited.fired[journey.name] = at
                if self.in_audience(person, journey, at):
                    yield journey, at, {}

    def _next(self, person: Person, journey: SimulatedJourney, at: datetime) -> datetime | None:
        if self._before(at) and self._run.since is not None:
            at = self._run.since
        if journey.plan.trigger.kind == "date":
            found = self._date(person, journey, at, at)
            when = None if found is None else found[0]
        else:
            when = self._launch(journey, at)
        return when if when is not None and self._allowed(person, when, journey) else None

    def _date(
        self, person: Person, journey: SimulatedJourney, at: datetime, after: datetime
    ) -> tuple[datetime, Any] | None:
        trigger = journey.plan.trigger
        facts = self._run.facts_of(person, at, None, None)
        value = compile_expression(f"profile.{trigger.attribute}")(facts)
        zone = person.time_zone or self._run.surroundings.installation.time_zone
        found = next_moment(value, trigger, zone, after)
        return None if found is None else (found.at, found.date)

    def _launch(self, journey: SimulatedJourney, after: datetime) -> datetime | None:
        trigger = journey.plan.trigger
        if trigger.cron is not None:
            return next_launch(trigger.cron, after, self._run.surroundings.zone())
        at = datetime.fromisoformat(trigger.at or "")
        return at if at > after else None

    def in_audience(self, person: Person, journey: SimulatedJourney, at: datetime) -> bool:
        """Whether a campaign that is launched now is for this customer."""
        condition = in_segment(journey.plan.trigger.segment or "")
        return condition(self._run.facts_of(person, at, None, None)) is True

    def _enter(
        self, person: Person, journey: SimulatedJourney, at: datetime, facts: dict[str, Any], about: str
    ) -> None:
        run, kind = self._run, journey.plan.trigger.kind
        id = event_id("kairos", f"moment/{journey.name}/{about}")
        if kind != "quiet":
            name = MANUAL if kind == "audience" else MOMENT
            facts = {**facts, "name": name, "id": id, "occurred_at": at}
        event = SimulatedEvent(id, MOMENT, at, run.next_order(), facts)
        person.remember(event, counted=False)
        row = run.row(person, journey)
        run.consider(person, row, Triggered(event.id, at, at, event.order))

    def _before(self, at: datetime) -> bool:
        """Whether the journeys were not live yet at `at`: they are looked at from then on."""
        return self._run.since is not None and at <= self._run.since

    # --- how far a run goes -----------------------------------------------------------------------------

    def _over(self, person: Person, at: datetime) -> bool:
        """Whether the script of this customer is behind them."""
        return person.script_ends_at is None or at > person.script_ends_at

    def _allowed(self, person: Person, at: datetime, journey: SimulatedJourney) -> bool:
        """Whether a moment may come at `at`: after the script the first, if there was none before."""
        if not self._over(person, at):
            return True
        none = journey.name not in person.awaited.fired
        return self._run.goes_on and none and not person.enrolments

    def _looks(self, person: Person, at: datetime) -> bool:
        """Whether segments are looked at at `at`, for time alone."""
        if not self._over(person, at) or person.live or person.settling:
            return True
        end = person.script_ends_at
        return self._run.goes_on and not person.enrolments and end is not None and at <= end + LONGEST


def _due(each: tuple[datetime, int, SimulatedJourney, SimulatedEvent]) -> tuple[datetime, int]:
    return each[0], each[1]
