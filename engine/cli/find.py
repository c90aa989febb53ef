"""`kairos find`: everything about one customer on one page."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from engine.cli.enrolments import enrolment_data, enrolment_lines
from engine.cli.lookup import find_profiles
from engine.cli.session import (
    Format,
    FormatOption,
    ProjectOption,
    instant,
    on_database,
    print_json,
    say,
    table,
)
from engine.core.identity import customer_token
from engine.core.words import reason_in_words
from engine.store import consents, deliveries, derived, enrolments, events, identities, merging, tags
from engine.store.deliveries import Delivery
from engine.store.enrolments import Enrolment, Filter
from engine.store.events import Event
from engine.store.identities import Identity
from engine.store.merging import Merge
from engine.store.profiles import Profile
from engine.store.tags import Grant

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine


@dataclass(frozen=True, slots=True)
class Person:
    """What is known of one customer; lists newest first."""

    profile: Profile
    identities: list[Identity]
    consents: dict[str, bool]
    enrolments: list[Enrolment]
    deliveries: list[Delivery]
    events: list[Event]
    merges: list[Merge]
    segments: dict[str, datetime]
    """Those that are followed, and since when it is in them."""
    stage: tuple[str | None, datetime | None]
    """As it is, by hand or by rule, and since when, if that is known."""
    grants: list[Grant]


def find(
    customer: Annotated[str, typer.Argument(help="Any identifier, KIND:VALUE, or a profile id.")],
    limit: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many of each list.")] = 10,
    project: ProjectOption = None,
    format: FormatOption = Format.text,
) -> None:
    """Show a customer: profile, consents, enrolments, last messages and events. Exit code 1: nobody."""

    async def work(database: AsyncEngine) -> list[Person]:
        async with database.connect() as connection:
            return [await _person(connection, p, limit) for p in await find_profiles(connection, customer)]

    found = on_database("find", work)
    if format is Format.json:
        print_json([_data(person) for person in found])
    else:
        for place, person in enumerate(found):
            say(["", *person_lines(person)] if place else person_lines(person))
    if not found:
        typer.echo(f"kairos find: nobody is known as {customer}", err=True)
        raise typer.Exit(1)


async def _person(connection: AsyncConnection, profile: Profile, limit: int) -> Person:
    current = (await consents.current(connection, [profile.id]))[profile.id]
    own = await enrolments.find(connection, Filter(profile_id=profile.id), limit=limit)
    return Person(
        profile,
        (await identities.of_profiles(connection, [profile.id])).get(profile.id, []),
        current.channels(),
        own,
        await deliveries.find(connection, profile_id=profile.id, limit=limit),
        await events.of_profile(connection, profile.id, limit),
        await merging.of_profile(connection, profile.id, limit),
        (await derived.memberships(connection, [profile.id])).get(profile.id, {}),
        (await derived.stages(connection, [profile.id])).get(profile.id, (profile.stage, None)),
        (await tags.of_profiles(connection, [profile.id])).get(profile.id, []),
    )


def _data(person: Person) -> dict[str, Any]:
    profile = person.profile
    return {
        "profile_id": profile.id,
        "temporal_customer": customer_token(profile.key),
        "external_id": profile.external_id,
        "addresses": profile.addresses,
        "attributes": profile.attributes,
        "tags": profile.tags,
        "grants": [
            {"tag": g.tag, "source": g.source, "at": g.at, "expires_at": g.expires_at} for g in person.grants
        ],
        "stage": person.stage[0],
        "stage_since": person.stage[1],
        "segments": person.segments,
        "time_zone": profile.time_zone,
        "locale": profile.locale,
        "identities": [{"kind": kind, "value": value} for kind, value in person.identities],
        "consents": person.consents,
        "enrolments": [enrolment_data(each) for each in person.enrolments],
        "deliveries": [delivery_data(each) for each in person.deliveries],
        "merges": [
            {"merge_id": m.id, "survivor": m.survivor, "loser": m.loser, "at": m.at, "undone_at": m.undone_at}
            for m in person.merges
        ],
        "events": [
            {
                "event_id": event.event_id,
                "name": event.name,
                "occurred_at": event.occurred_at,
                "properties": event.properties,
                "routed": event.routed_at is not None,
            }
            for event in person.events
        ],
    }


def delivery_data(found: Delivery) -> dict[str, Any]:
    """A delivery as JSON data."""
    return {
        "enrolment_id": found.enrolment_id,
        "journey": found.journey,
        "step": found.step,
        "template": found.template,
        "channel": found.channel,
        "state": found.state,
        "reason": found.reason,
        "passed_over": found.passed_over,
        "at": found.at,
        "provider": found.provider,
        "provider_id": found.provider_id,
    }


def person_lines(person: Person) -> Iterator[str]:
    """The page about one customer."""
    profile = person.profile
    yield f"profile {profile.id}, since {instant(profile.created_at)}"
    rows = [
        ("identities", ", ".join(f"{kind}:{value}" for kind, value in person.identities)),
        ("attributes", ", ".join(f"{name}={_shown(value)}" for name, value in profile.attributes.items())),
        ("tags", ", ".join(_tag(name, person.grants) for name in profile.tags)),
        ("stage", _since(*person.stage)),
        ("segments", ", ".join(_since(*each) for each in person.segments.items())),
        ("time zone", profile.time_zone or ""),
        ("locale", profile.locale or ""),
        ("consents", ", ".join(_consent(*each) for each in sorted(person.consents.items()))),
        ("merges", ", ".join(_merge(each) for each in person.merges)),
        ("in Temporal", f'KairosCustomer = "{customer_token(profile.key)}"'),
    ]
    for name, text in rows:
        if text:
            yield f"  {name:<11} {text}"
    yield from _section("enrolments", list(enrolment_lines(person.enrolments)), person.enrolments)
    yield from _section("messages", list(delivery_lines(person.deliveries)), person.deliveries)
    events_seen = [(instant(e.occurred_at), e.name, _shown(e.properties)) for e in person.events]
    yield from _section("events", list(table(("at (UTC)", "name", ""), events_seen)), person.events)


def _section(title: str, lines: list[str], found: list[Any]) -> Iterator[str]:
    yield ""
    if not found:
        yield f"no {title}"
        return
    yield title
    for line in lines:
        yield f"  {line}"


def delivery_lines(found: list[Delivery]) -> Iterator[str]:
    """Deliveries as a table for people."""
    rows = [
        (
            instant(each.at),
            each.journey,
            each.step,
            each.template or "-",
            each.channel or "-",
            f"{each.state}: {reason_in_words(each.reason)}" if each.reason else each.state,
        )
        for each in found
    ]
    yield from table(("at (UTC)", "journey", "step", "template", "channel", "state"), rows)


def _consent(channel: str, granted: bool) -> str:
    name = "marketing" if channel == consents.EVERY_CHANNEL else channel
    return name if granted else f"not {name}"


def _tag(name: str, grants: list[Grant]) -> str:
    """A tag with where it is from and until when it stays, as far as that is known."""
    for grant in grants:
        if grant.tag == name:
            said = [grant.source] if grant.source else []
            said += [f"until {instant(grant.expires_at)}"] if grant.expires_at else []
            return f"{name} ({', '.join(said)})" if said else name
    return name


def _since(name: str | None, at: datetime | None) -> str:
    return f"{name} since {instant(at)}" if name and at is not None else name or ""


def _merge(done: Merge) -> str:
    return f"{done.id} (with {done.loser}{', undone' if done.undone_at else ''})"


def _shown(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def register(app: typer.Typer) -> None:
    app.command("find")(find)
