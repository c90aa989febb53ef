"""From identities to a profile: find it, make it, link identities that turn out to be one person.

The identities of one request belong together. Rules:

- A profile has at most one external id. The external id of a request decides which profile it is about.
- An identity leads to one profile and stays there, until its profile is merged.
- A profile without external id that meets an external id becomes that customer: it gets the external id, or
  is merged with the profile that has it. The older of the two stays, with its key, so that variants do not
  change under the customer. Two profiles with different external ids are never merged: a phone in two hands.
- Requests without an external id link what is new and merge nothing.

Merging by e-mail or phone, and undoing a merge, are not done here.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass

from engine.core.identity import profile_key
from engine.store import identities, jsonb, merging, profiles
from engine.store.connection import AsyncConnection
from engine.store.identities import Identity, Owner
from engine.store.profiles import Change, NewProfile

_RANK = {"external_id": 0, "phone": 1, "email": 2, "anonymous_id": 9}
"""Which identity speaks for a profile that several identities make at once; others come between."""

_ROUNDS = 5


class IdentityError(ValueError):
    """A request without any usable identity."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The profile behind a request. `made`: this call made it."""

    profile_id: str
    key: str
    made: bool = False


async def resolve_batch(
    connection: AsyncConnection, requests: Sequence[Sequence[Identity]]
) -> list[Resolved]:
    """The profile of each request, made where there was none; requests are taken in order.

    Safe against other transactions that do the same at once: they end with the same profile.

    Raises:
        IdentityError: a request has no identity with a value.
    """
    ordered = [_ordered(request) for request in requests]
    if not ordered:
        return []
    made: set[str] = set()
    for _ in range(_ROUNDS):
        round_ = await _Round.begin(connection, ordered)
        answers = [round_.answer(request) for request in ordered]
        if await round_.write(connection, made):
            answers = [round_.stands_for(answer) for answer in answers]
            if not round_.merges:
                return [Resolved(a, round_.known[a].key, a in made) for a in answers]
            keys = await profiles.surviving(connection, answers)
            return [Resolved(keys[a].id, keys[a].key, keys[a].id in made) for a in answers]
    raise RuntimeError("identities kept changing under this batch; try it again")


def _ordered(request: Sequence[Identity]) -> tuple[Identity, ...]:
    # As PostgreSQL will store them, or what comes back would not be found again.
    cleaned = ((kind, jsonb.clean_text(value)) for kind, value in dict.fromkeys(request))
    usable = [(kind, value) for kind, value in cleaned if kind and value]
    if not usable:
        raise IdentityError(
            "expected at least one identity with a value, such as an external or anonymous id"
        )
    return tuple(sorted(usable, key=lambda identity: _RANK.get(identity[0], 5)))


@dataclass(slots=True)
class _Known:
    """A profile as this round sees it."""

    id: str
    key: str
    external_id: str | None
    age: tuple[float, str]
    """Sorts older profiles first."""
    new: NewProfile | None = None


class _Round:
    """One try: plan in memory what the requests come to, then write it; a surprise asks for another."""

    def __init__(self, owners: dict[Identity, Owner]) -> None:
        self.owners = {identity: owner.profile_id for identity, owner in owners.items()}
        self.known = {
            o.profile_id: _Known(o.profile_id, o.key, o.external_id, (o.created_at.timestamp(), o.profile_id))
            for o in owners.values()
        }
        self.attached: list[tuple[Identity, str]] = []
        self.merges: list[tuple[str, str]] = []
        self.gained: dict[str, str] = {}
        self.replaced: dict[str, str] = {}

    @classmethod
    async def begin(cls, connection: AsyncConnection, requests: Sequence[Sequence[Identity]]) -> _Round:
        wanted = {identity for request in requests for identity in request}
        return cls(await identities.owners(connection, wanted))

    def answer(self, request: tuple[Identity, ...]) -> str:
        external = next((value for kind, value in request if kind == "external_id"), None)
        found = list(dict.fromkeys(self.owners[i] for i in request if i in self.owners))
        if external is None:
            chosen = self.known[found[0]] if found else self._make(request[0], None)
        else:
            chosen = self._customer(external, request[0], found)
        for identity in request:
            if identity not in self.owners:
                self.owners[identity] = chosen.id
                self.attached.append((identity, chosen.id))
        return chosen.id

    def _customer(self, external: str, first: Identity, found: list[str]) -> _Known:
        anonymous = [self.known[i] for i in found if self.known[i].external_id is None]
        holder = self.owners.get(("external_id", external))
        if holder is None:
            if not anonymous:
                return self._make(first, external)
            chosen = min(anonymous, key=lambda profile: profile.age)
            chosen.external_id = self.gained[chosen.id] = external
        else:
            chosen = self.known[holder]
        for other in anonymous:
            if other is not chosen:
                chosen = self._merge(chosen, other)
        return chosen

    def stands_for(self, profile_id: str) -> str:
        """The profile that took this one's place in the round."""
        while profile_id in self.replaced:
            profile_id = self.replaced[profile_id]
        return profile_id

    def _make(self, first: Identity, external: str | None) -> _Known:
        profile = NewProfile(str(uuid.uuid4()), profile_key(*first), external)
        made = _Known(profile.id, profile.key, external, (float("inf"), f"{len(self.known):09}"), profile)
        self.known[made.id] = made
        return made

    def _merge(self, one: _Known, two: _Known) -> _Known:
        survivor, loser = sorted((one, two), key=lambda profile: profile.age)
        if loser.new is not None:  # never written: the survivor simply takes its place
            loser.new = None
        else:
            self.merges.append((survivor.id, loser.id))
        self.replaced[loser.id] = survivor.id
        survivor.external_id = survivor.external_id or loser.external_id
        self.gained.pop(loser.id, None)
        if survivor.external_id is not None:
            self.gained[survivor.id] = survivor.external_id
        self.owners = {i: survivor.id if p == loser.id else p for i, p in self.owners.items()}
        self.attached = [(i, survivor.id if p == loser.id else p) for i, p in self.attached]
        return survivor

    async def write(self, connection: AsyncConnection, made: set[str]) -> bool:
        """Writes the plan. False after a surprise: another transaction was first with something."""
        new = [known.new for known in self.known.values() if known.new is not None]
        fresh = {profile.id: profile for profile in new}
        for (kind, value), profile_id in self.attached:
            if profile_id in fresh and kind != "external_id":
                fresh[profile_id].addresses[kind] = value
        behind = await profiles.make_batch(connection, new)
        instead = {p.id: behind[p.key] for p in new if behind[p.key] != p.id}
        made.update(p.id for p in new if p.id not in instead)
        wanted = {identity: instead.get(p, p) for identity, p in self.attached}
        got = await identities.attach_batch(connection, list(wanted.items()))
        # All identities of a profile just made may have gone to another's: then nothing leads to it.
        strays = {p.id for p in new if p.id not in instead} - set(got.values())
        await profiles.delete_batch(connection, strays)
        made.difference_update(strays)
        surprised = bool(instead) or any(got[identity] != p for identity, p in wanted.items())
        if surprised:
            return False
        for survivor, loser in self.merges:
            if not await merging.merge(connection, survivor, loser):
                return False
        await self._describe(connection, {p.id for p in new})
        return True

    async def _describe(self, connection: AsyncConnection, new: set[str]) -> None:
        changes: dict[str, Change] = {}
        for (kind, value), profile_id in self.attached:
            if profile_id not in new and kind != "external_id":
                changes.setdefault(profile_id, Change(profile_id)).addresses[kind] = value
        for profile_id, external in self.gained.items():
            changes.setdefault(profile_id, Change(profile_id)).external_id = external
        await profiles.change_batch(connection, list(changes.values()))
