"""Finding customers by what people type: any spelling of an identifier leads to whom it belongs to."""

from __future__ import annotations

from collections.abc import Iterable

from engine.customers.identifiers import Unusable, normalise
from engine.language.addresses import KINDS
from engine.language.installation import Identities
from engine.store import identities
from engine.store.connection import AsyncConnection
from engine.store.crowd_members import Named, Sought
from engine.store.identities import Identity


def spellings(kind: str, value: str, rules: Identities) -> list[Identity]:
    """The identity as it is kept, and as it was typed, where that differs."""
    found = [(kind, value)]
    try:
        shaped = normalise(kind, value, rules.phone_region)
    except Unusable:
        return found
    return found if shaped == value else [(kind, shaped), *found]


def of_any_kind(value: str, rules: Identities) -> list[Identity]:
    """What the value could be: an identifier of each kind, and `KIND:VALUE` of one."""
    kind, colon, rest = value.partition(":")
    found = [identity for each in KINDS for identity in spellings(each, value, rules)]
    return [*found, *spellings(kind, rest, rules)] if colon and kind and rest else found


def sought(named: Named, rules: Identities) -> Sought:
    """Every way to find whom somebody named."""
    found: list[Identity] = []
    if named.anyhow is not None:
        found += [identity for kind in KINDS for identity in spellings(kind, named.anyhow, rules)]
    if named.kind is not None and named.value is not None:
        found += spellings(named.kind, named.value, rules)
    return Sought(found, named.profile_id)


async def find(connection: AsyncConnection, wanted: Iterable[Identity]) -> list[str]:
    """The profiles behind these identities, each once."""
    listed = list(wanted)
    found = await identities.find_batch(connection, listed)
    return list(dict.fromkeys(found[i] for i in listed if i in found))
