"""Customers whom nobody knows yet, as rows of our tables: nearly all of a first import.

What comes of them is what `resolve` and `apply_traits` would come to; a property test compares the two. So
nothing is decided here that is decided there.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from datetime import datetime
from typing import Any

from engine.customers.graph import links_of
from engine.customers.importing.people import Person
from engine.customers.making import first_record, new_key
from engine.customers.profiles import Traits, change_of, consents_of, segments_of
from engine.language.catalogue import Catalogue
from engine.language.installation import Identities
from engine.store import jsonb
from engine.store.identities import Identity
from engine.store.imports import NewRows
from engine.store.provenance import say, stamp

_NOTHING = Catalogue()


def shown_of(person: Person) -> frozenset[Identity]:
    """Identities that become current addresses by themselves; those that traits name do by the traits."""
    return frozenset(identity for identity in person.identities if identity[0] not in person.traits)


def traits_of(person: Person, profile_id: str, source: str) -> Traits:
    """What is said of the customer, as `apply_traits` takes it."""
    return Traits(profile_id, person.traits, person.at, source, None, person.via, person.identities)


def alone(
    people: Sequence[Person], rules: Identities, known: Collection[Identity] = ()
) -> tuple[list[Person], list[Person]]:
    """People with whom no other of these shares an identity, none of which is known; and the others."""
    if len({identity for one in people for identity in one.identities}) == sum(
        len(one.identities) for one in people
    ):
        shared: set[Identity] = set()
    else:
        seen = Counter(identity for one in people for identity in one.identities)
        shared = {identity for identity, count in seen.items() if count > 1}
    fresh, rest = [], []
    for one in people:
        if any(identity in shared or identity in known for identity in one.identities) or _doubled(
            one, rules
        ):
            rest.append(one)
        else:
            fresh.append(one)
    return fresh, rest


def _doubled(one: Person, rules: Identities) -> bool:
    """Whether it names two identifiers of a kind of which everybody has one: that is for `resolve`."""
    if len(one.identities) < 2:
        return False
    kinds = [kind for kind, _ in one.identities if kind in rules.single]
    return len(kinds) != len(set(kinds))


def rows_of(
    people: Sequence[Person], rules: Identities, source: str, catalogue: Catalogue = _NOTHING
) -> NewRows:
    """Rows of these people, who are `alone`."""
    rows = NewRows()
    for one, profile_id in zip(people, _ids(len(people)), strict=True):
        _profile(rows, one, profile_id, rules, source, catalogue)
        rows.identities += [(kind, value, profile_id) for kind, value in one.identities]
        rows.links += [(*link.one, *link.two, link.at) for link in links_of(one.identities, one.at, rules)]
    return rows


def _ids(count: int) -> Iterator[str]:
    """Random ids, as `uuid4` makes them, with one call to the system for all."""
    drawn = os.urandom(16 * count).hex()
    for start in range(0, 32 * count, 32):
        text = drawn[start : start + 32]
        kind = "89ab"[int(text[16], 16) & 3]
        yield f"{text[:8]}-{text[8:12]}-4{text[13:16]}-{kind}{text[17:20]}-{text[20:]}"


def _profile(
    rows: NewRows, one: Person, profile_id: str, rules: Identities, source: str, catalogue: Catalogue
) -> None:
    traits = traits_of(one, profile_id, source)
    change = change_of(traits, rules, catalogue)
    record = first_record(one.identities, shown_of(one), one.at, rules.sources)
    values, provenance = record.values, record.provenance
    at, via = stamp(one.at), one.via
    changed = []
    for name, value in change.words():
        if value is not None:
            changed.append(name.removeprefix("@"))
        if name in provenance or name in values:
            say(record, name, value, at=at, via=via, source=source, sources=rules.sources)
        else:
            values[name] = value
            provenance[name] = {via: [at, source, None]}
    attributes: dict[str, Any] = {}
    addresses: dict[str, Any] = {}
    for name, value in values.items():
        if value is None:
            continue
        if name.startswith("@") and not name.startswith("@@"):
            addresses[name[1:]] = value
        else:
            attributes[name[1:] if name.startswith("@@") else name] = value
    zone, locale = addresses.pop("time_zone", None), addresses.pop("locale", None)
    external = next((value for kind, value in one.identities if kind == "external_id"), None)
    tags = sorted(set(change.add_tags))
    rows.profiles.append(
        (
            profile_id,
            new_key(one.identities[0], 0),
            external,
            jsonb.dumps(addresses),
            jsonb.dumps(attributes),
            jsonb.dumps(provenance),
            tags,
            zone,
            locale,
            min(change.expire.values(), default=None),
        )
    )
    rows.grants += [(profile_id, tag, source, one.at, change.expire.get(tag)) for tag in tags]
    rows.segments += [(segment, profile_id) for segment in dict.fromkeys(segments_of(traits))]
    rows.consents += consents_of(traits)
    if tags:
        changed.append("tags")
    rows.changed.append((profile_id, changed, one.at))


def said_at(people: Sequence[Person]) -> datetime:
    """The last instant at which any of it was said."""
    return max(one.at for one in people)
