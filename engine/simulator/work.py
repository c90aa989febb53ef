"""What a simulation does for `Send` and `Perform`: the work that the durable drivers hand to activities."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

from engine.content.errors import RenderError
from engine.content.linking import sample_links
from engine.core.commands import Perform, Send
from engine.core.identity import delivery_key, event_id
from engine.core.inputs import Settled
from engine.core.limits import NO_POLICY, Use
from engine.core.plan import Effect, Message
from engine.language.addresses import own_address
from engine.language.expressions import Facts, compile_expression, with_computed
from engine.language.types import to_json
from engine.language.variants import holding
from engine.policy import LOOKS, Held, Profile, Request, Skip, decide, looks_by_hour
from engine.policy import Send as SendVerdict
from engine.simulator.person import Enrolment, Person, SentMessage

if TYPE_CHECKING:
    from engine.simulator.simulation import Simulation


def send(run: Simulation, enrolment: Enrolment, command: Send) -> Settled:
    """Chooses the channel, renders if the run renders, and counts as accepted at once."""
    step = enrolment.journey.plan.steps[command.step]
    assert isinstance(step, Message), "only a message step sends"
    person, at = enrolment.person, command.at
    profile = _policy_profile(run, person, step)
    request = _request(run, enrolment, step, at)
    verdict = decide((request,), {person.profile_id: profile}, run.policy)[0]
    if isinstance(verdict, Skip):
        return Settled(step.id, "skipped", at, reason=verdict.reason, passed_over=verdict.passed_over)
    if not isinstance(verdict, SendVerdict):
        return Settled(
            step.id,
            "deferred",
            at,
            reason=verdict.reason,
            until=verdict.until,
            passed_over=verdict.passed_over,
        )
    closed = dict(verdict.closed)
    for channel in verdict.channels:
        passed_over = _before(step, channel, closed)
        parts: dict[str, str] = {}
        if run.surroundings.render is not None:
            try:
                context, variants = _context(run, enrolment, command, step.template)
                parts = dict(run.surroundings.render(step.template, channel, context, variants))
            except RenderError as error:
                enrolment.render_errors[step.id] = str(error)
                return Settled(step.id, "skipped", at, reason="render", passed_over=passed_over)
        found = run.spending.spend(request, channel, parts, profile.addresses[channel])
        if found is None:
            break
        if isinstance(found, Held) and found.until is not None:
            passed_over = _before(step, None, closed)
            return Settled(
                step.id, "deferred", at, reason=found.reason, until=found.until, passed_over=passed_over
            )
        closed[channel] = found.reason
        if isinstance(found, Held):
            return _none_left(step, at, closed)
    else:
        return _none_left(step, at, closed)
    message = SentMessage(
        at, step.id, step.template, channel, enrolment.id, enrolment.journey.name, passed_over, parts
    )
    enrolment.messages.append(message)
    person.last_message = message
    person.uses.append(Use(at, channel, step.category, enrolment.journey.name))
    run.emit(
        person,
        "message.sent",
        at,
        {"step": step.id, "template": step.template, "channel": channel},
        f"{enrolment.id}/{step.id}/sent",
        enrolment.id,
    )
    return Settled(step.id, "sent", at, channel=channel, passed_over=passed_over)


def _none_left(step: Message, at: datetime, closed: dict[str, str]) -> Settled:
    passed_over = _before(step, None, closed)
    return Settled(step.id, "skipped", at, reason=passed_over[0][1], passed_over=passed_over)


def _before(step: Message, channel: str | None, closed: dict[str, str]) -> tuple[tuple[str, str], ...]:
    """The closed channels before this one (None: all), in the author's order."""
    listed = step.channels if channel is None else step.channels[: step.channels.index(channel)]
    return tuple((each, closed[each]) for each in listed if each in closed)


def _request(run: Simulation, enrolment: Enrolment, step: Message, at: datetime) -> Request:
    name = enrolment.journey.name
    return Request(
        enrolment.person.profile_id,
        step.channels,
        step.category,
        at,
        enrolment.state.holdout,
        step.purpose,
        policy=run.surroundings.policies.get(name, NO_POLICY),
        journey=name,
        since=enrolment.state.begun_at,
        best_time=step.send_at == "best_time",
    )


def _policy_profile(run: Simulation, person: Person, step: Message) -> Profile:
    addresses, consents = person.addresses, {}
    for channel in step.channels:
        if channel == "webhook":
            addresses = {**addresses, channel: person.key}
        elif own := own_address(channel, person.attributes):
            addresses = {**addresses, channel: own}
        if step.category == "marketing":
            word = person.word(channel, step.purpose)
            if word is not None:
                consents[channel, "marketing"] = word
    zone = person.time_zone or run.surroundings.installation.time_zone
    looks: tuple[int, ...] = ()
    if step.send_at == "best_time":
        seen = (
            each.at
            for name in LOOKS
            for each in person.history.get(name, ())
            if each.properties.get("proxy") is not True
        )
        looks = looks_by_hour(tuple(seen), zone)
    return Profile(addresses, consents, time_zone=zone, uses=person.uses, looks=looks)


def _context(
    run: Simulation, enrolment: Enrolment, command: Send, template: str
) -> tuple[dict[str, Any], tuple[str, ...]]:
    """What the template sees, and the variants that hold."""
    facts = run.facts(enrolment, command.at, run.moved_by(enrolment, command.event_id))
    context = {
        "profile": with_computed(facts, run.definitions.computed),
        "trigger": facts.trigger,
        "event": facts.event,
        "answers": facts.answers,
        "now": command.at,
        "brand": run.surroundings.installation.brand,
        "links": sample_links(run.surroundings.installation.links.base_url),
    }
    return context, holding(run.surroundings.variants.get(template, ()), facts)


def perform(run: Simulation, enrolment: Enrolment, command: Perform) -> Settled:
    """Does an effect: `update` really, `enter` if the run follows it, `webhook` and `action` by stand-ins."""
    step = enrolment.journey.plan.steps[command.step]
    assert isinstance(step, Effect), "only an effect performs"
    at = command.at
    if step.verb == "update":
        facts = run.facts(enrolment, at, run.moved_by(enrolment, command.event_id))
        _update(run, enrolment, step, at, facts)
    elif step.verb == "enter":
        facts = run.facts(enrolment, at, run.moved_by(enrolment, command.event_id))
        given = {name: _value(text, facts) for name, text in (step.spec.get("with") or {}).items()}
        _enter(run, enrolment, step, at, given)
    elif step.verb == "ad_audience":
        name = step.spec.get("add_to") or step.spec.get("remove_from") or ""
        enrolment.audiences.append((name, "add_to" in step.spec))
    else:
        failed = step.id in run.surroundings.stand_ins.fails
        if step.save_as is not None:
            answer = None if failed else run.surroundings.stand_ins.answers.get(step.id)
            enrolment.answers = {**enrolment.answers, step.save_as: answer}
        if failed:
            return Settled(step.id, "failed", at, reason="the scenario says that it fails")
    return Settled(step.id, "done", at)


def _value(text: Any, facts: Facts) -> Any:
    """A value as plans keep it: expressions are text, everything else is itself."""
    return compile_expression(text)(facts) if isinstance(text, str) else text


def _update(run: Simulation, enrolment: Enrolment, step: Effect, at: datetime, facts: Facts) -> None:
    person, spec = enrolment.person, step.spec
    # All of a `set` is worked out before any of it is written.
    values = {name: _value(text, facts) for name, text in (spec.get("set") or {}).items()}
    person.set(run.typed_attributes({name: to_json(value) for name, value in values.items()}))
    given = spec.get("add_tags") or ()
    person.retag(given, spec.get("remove_tags") or (), run.expiry(given, at))
    stage = spec.get("stage")
    if stage is None:
        return
    before, person.stage = compile_expression("stage()")(facts), stage
    person.awaited.stage = stage
    if stage != before:
        run.emit(
            person, "stage.changed", at, {"stage": stage, "before": before}, f"{enrolment.id}/{step.id}/stage"
        )


def _enter(run: Simulation, enrolment: Enrolment, step: Effect, at: datetime, given: dict[str, Any]) -> None:
    name = str(step.spec.get("journey"))
    data = {key: to_json(value) for key, value in given.items()}
    enrolment.followed.append((name, data))
    journey = run.journeys.get(name)
    if run.surroundings.follow and journey is not None:
        id = event_id("kairos", f"enter/{delivery_key(enrolment.id, step.id)}")
        run.enter(enrolment.person, journey, data, at, id)
