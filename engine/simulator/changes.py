"""What happens to a customer besides events: identified, consent given or withdrawn, entered, paused."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from engine.core.inputs import Control
from engine.language.consents import named, read
from engine.simulator.person import EVERY_CHANNEL, Change, Person

if TYPE_CHECKING:
    from engine.simulator.simulation import Simulation


def change(run: Simulation, person: Person, given: Change) -> None:
    """Applies one change at its instant."""
    at = given.at
    if given.kind == "identify":
        said = given.data.get("consents")
        identify(run, person, {name: value for name, value in given.data.items() if name != "consents"}, at)
        for channel, granted in answers_of(said).items():
            _consent(run, person, channel, granted, at)
    elif given.kind == "consent":
        for channel, granted in given.data.items():
            _consent(run, person, channel, granted, at)
    elif given.kind == "enter":
        journey = run.journeys.get(given.journey or "")
        if journey is not None and journey.plan.trigger.kind in ("manual", "audience"):
            run.enter(person, journey, given.data, at, given.id)
    elif given.kind in ("pause", "resume"):
        for journey in run.journeys.values():
            if given.journey in (None, journey.name):
                journey.paused = given.kind == "pause"
        for enrolment in tuple(person.live):
            if given.journey in (None, enrolment.journey.name):
                run.advance(enrolment, Control("pause" if given.kind == "pause" else "resume", at))


def identify(run: Simulation, person: Person, data: Mapping[str, Any], at: datetime | None = None) -> None:
    """Writes a profile as scenarios give it: attributes, identifiers, `tags consents segments`.

    Tags given at an instant expire as the catalogue says; those that were there before stay.
    """
    rest = dict(data)
    tags = rest.pop("tags", None) or ()
    person.retag(add=tags, expire={} if at is None else run.expiry(tags, at))
    for channel, granted in answers_of(rest.pop("consents", None)).items():
        person.grant(channel, granted)
    person.segments |= frozenset(rest.pop("segments", None) or ())
    person.set(run.typed_attributes(rest))


def answers_of(consents: Any) -> dict[str, bool]:
    """Consents as profiles give them: word to answer."""
    return {word.name: word.granted for word in read(consents)}


def _consent(run: Simulation, person: Person, channel: str, granted: bool, at: datetime) -> None:
    person.grant(channel, granted)
    if not granted and not _may_market(run, person):
        for enrolment in tuple(person.live):
            if enrolment.journey.plan.category == "marketing":
                run.advance(enrolment, Control("end", at, "unsubscribed"))
    name, purpose = named(channel)
    about = {"channel": name, "granted": granted}
    if purpose != EVERY_CHANNEL:
        about["purpose"] = purpose
        name = f"{name}/{purpose}"
    run.emit(person, "consent.changed", at, about, f"{person.key}/consent/{name}/{at.isoformat()}")


def _may_market(run: Simulation, person: Person) -> bool:
    if any(person.words()):
        return True
    return bool(run.presumed) and EVERY_CHANNEL not in person.consents
