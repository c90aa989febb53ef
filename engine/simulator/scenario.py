"""Runs one scenario: its customer, its script and its stand-ins, on a virtual clock, to the end."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from engine.core import describe
from engine.core.identity import event_id, profile_key
from engine.core.plan import Plan, Split
from engine.language.catalogue import Catalogue
from engine.language.expressions import evaluate
from engine.language.installation import Installation
from engine.language.scenarios import Person as Described
from engine.language.scenarios import Scenario, ScriptEntry
from engine.language.variants import Variants
from engine.simulator.changes import identify
from engine.simulator.person import Change, Enrolment, Happening, Person, SentMessage
from engine.simulator.settings import Renderer, StandIns, Surroundings
from engine.simulator.simulation import Simulation

SOURCE = "scenario"


@dataclass(slots=True)
class ScenarioRun:
    """What happened. `start` is the scenario's, in UTC."""

    scenario: Scenario
    plan: Plan
    start: datetime
    person: Person
    enrolments: list[Enrolment]
    refused: dict[str, int]
    """Reason to how many entries were refused for it."""
    warnings: list[str]
    simulation: Simulation

    def value(self, attribute: str) -> Any:
        """The customer's attribute at the end, computed ones too."""
        facts = self.simulation.facts_of(self.person, self.simulation.now or self.start, None, None)
        return evaluate(f"profile[{json.dumps(attribute)}]", facts)

    @property
    def messages(self) -> list[SentMessage]:
        return sorted((m for e in self.enrolments for m in e.messages), key=lambda message: message.at)

    @property
    def counts_from(self) -> datetime:
        """What `at` counts from: the first entry, or the start if there is none."""
        return self.enrolments[0].entered_at if self.enrolments else self.start


def run_scenario(
    scenario: Scenario,
    plan: Plan,
    *,
    catalogue: Catalogue | None = None,
    installation: Installation | None = None,
    render: Renderer | None = None,
    variants: Variants | None = None,
) -> ScenarioRun:
    """Plays the whole script and goes on until every enrolment has ended (or is held for ever by a pause)."""
    found = installation or Installation()
    surroundings = Surroundings(
        {plan.journey: plan},
        catalogue or Catalogue(),
        found,
        render,
        variants or {},
        stand_ins=StandIns(
            dict(scenario.variant), scenario.holdout, dict(scenario.answers), frozenset(scenario.fails)
        ),
        policies={} if scenario.policy is None else {plan.journey: found.policy(scenario.policy)},
    )
    run = Simulation(surroundings, (plan.journey,), goes_on=True)
    start = scenario.start.astimezone(UTC)
    person = Person(_key(scenario))
    identify(run, person, described(scenario.profile))
    happenings = [_happening(run, plan, entry, start, place) for place, entry in enumerate(scenario.script)]
    # Controls before events of the same instant; apart from that the order of the file.
    happenings.sort(key=lambda each: (each.at, not _is_control(each), each.order))
    person.script.extend(happenings)
    run.add(person, start)
    run.run()
    result = ScenarioRun(scenario, plan, start, person, person.enrolments, run.refused[plan.journey], [], run)
    result.warnings = _warnings(result)
    return result


def described(about: Described) -> dict[str, Any]:
    """A profile as scenarios give it, in the form that `Simulation.identify` takes."""
    data: dict[str, Any] = {**about.attributes, **about.identifiers}
    data.update(tags=about.tags, consents=about.consents, segments=about.segments)
    if about.time_zone is not None:
        data["time_zone"] = about.time_zone
    if about.locale is not None:
        data["locale"] = about.locale
    return data


def _key(scenario: Scenario) -> str:
    for kind, value in scenario.profile.identifiers.items():
        return profile_key(kind, value)
    return profile_key("scenario", scenario.name)


def _is_control(happening: Happening) -> bool:
    return isinstance(happening, Change) and happening.kind in ("pause", "resume")


def _happening(run: Simulation, plan: Plan, entry: ScriptEntry, start: datetime, place: int) -> Happening:
    at = start + entry.offset
    id = event_id(SOURCE, entry.event_id or str(place))
    match entry.kind:
        case "event":
            event = run.event(entry.name or "", at, entry.properties, id)
            return event
        case "identify":
            return Change("identify", at, described(entry.person), order=run.next_order())
        case "consent":
            return Change("consent", at, dict(entry.consent), order=run.next_order())
        case "enter":
            return Change("enter", at, dict(entry.properties), plan.journey, id, run.next_order())
    return Change(entry.kind, at, order=run.next_order())


def _warnings(result: ScenarioRun) -> list[str]:
    warnings = []
    plan, forced = result.plan, result.scenario.variant
    drawn = {
        line.step
        for enrolment in result.enrolments
        for line in enrolment.trace
        if line.result == "took" and line.step is not None and isinstance(plan.steps[line.step], Split)
    }
    for step in plan.steps:
        if step in drawn and step not in forced:
            took = [e.state.variants[step] for e in result.enrolments if step in e.state.variants]
            warnings.append(
                f"split `{step}` was left to chance and took `{took[-1]}`: "
                f"say `variant: {{{step}: {took[-1]}}}`"
            )
    for step, name in forced.items():
        split = plan.steps.get(step)
        if not isinstance(split, Split) or all(variant.name != name for variant in split.variants):
            warnings.append(f"`variant: {{{step}: {name}}}` does nothing: there is no such variant")
    trigger = plan.trigger
    if trigger.kind not in ("manual", "audience") and any(
        entry.kind == "enter" for entry in result.scenario.script
    ):
        warnings.append(f"`enter` does nothing here: `{plan.journey}` is entered {describe.trigger(trigger)}")
    return warnings
