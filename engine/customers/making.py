"""Making profiles, and letting identities lead to them."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from engine.core.identity import profile_key
from engine.store import identities, profiles
from engine.store.connection import AsyncConnection
from engine.store.identities import Identity
from engine.store.profiles import NewProfile
from engine.store.provenance import BEFORE, Record, stamp


def new_key(first: Identity, turn: int) -> str:
    """The key of a profile first seen with this identity; another one where its own is taken already by a
    profile that the identity has left."""
    kind, value = first
    return profile_key(kind, value if turn < 2 else f"{value}\x00{turn}")


def first_record(
    identities: Sequence[Identity], shown: Collection[Identity], at: datetime, sources: Sequence[str]
) -> Record:
    """What is known of somebody first seen with these identities: the addresses that are shown."""
    linked = len(identities) > 1
    said: dict[str, dict[str, list[Any]]] = {}
    for kind, value in identities:
        if kind != "external_id" and (kind, value) in shown:
            entry = [stamp(at) if linked else BEFORE, None, None, value]
            said.setdefault(f"@{kind}", {})[f"{kind}:{value}"] = entry
    record = Record({}, {})
    for name, entries in said.items():
        record.put(name, entries, sources)
    return record


async def write_new(
    connection: AsyncConnection,
    new: Sequence[NewProfile],
    owned: Sequence[tuple[Identity, str]],
    made: set[str],
    awaited: Collection[str] = (),
) -> bool:
    """Writes new profiles and lets identities lead to them. False after a surprise.

    `awaited` are profiles that identities will move to: they stay, though nothing leads to them yet.
    """
    behind = await profiles.make_batch(connection, new)
    fresh = {p.id for p in new if behind[p.key] == p.id}
    wanted = dict(owned)
    got = await identities.attach_batch(
        connection, [(i, p) for i, p in wanted.items() if p in fresh or p not in {n.id for n in new}]
    )
    # All identities of a profile just made may have gone to another's: then nothing leads to it.
    strays = fresh - set(got.values()) - set(awaited)
    await profiles.delete_batch(connection, strays)
    made.update(fresh - strays)
    return len(fresh) == len(new) and all(got.get(i) == p for i, p in wanted.items())
