"""What new evidence comes to: which profiles merge, which identities change hands, what people must look at.

The evidence around a request is closed: every identity of every profile it touches, every link at those, and
on, until nothing is added. Over all of it `engine.customers.graph` tells the parts. A part takes the oldest
of the profiles whose most telling identity is in it; the others merge into that one. A part without a profile
gets a new one. An identity whose part has another profile than the one it led to moves there, with what was
said of it: that happens only where a message came late and shows who was first in a conflict.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from engine.customers.graph import Parts, most_telling, partition
from engine.customers.making import new_key, write_new
from engine.language.installation import Identities
from engine.store import identities, links, merging, profiles, rechecks, reviews
from engine.store.connection import AsyncConnection
from engine.store.identities import Identity, Owner
from engine.store.links import Link, Pair
from engine.store.profiles import Change, NewProfile
from engine.store.provenance import Record, joined, parted
from engine.store.reviews import Finding
from engine.store.routing import hold_shards
from engine.store.shards import shard_of

_ROOTS: Final = ("external_id", "anonymous_id")
"""Kinds of which every message has one: only these are ever all that is known of somebody."""
_AT_ALL: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Said:
    """One request: its identities, the most telling first; its links; which are shown as addresses."""

    identities: tuple[Identity, ...] = field(repr=False)
    links: tuple[Link, ...] = field(repr=False)
    shown: frozenset[Identity] = field(default=frozenset(), repr=False)


@dataclass(slots=True)
class _Closure:
    """All evidence around some identities."""

    owners: dict[Identity, Owner]
    links: set[Link]

    @property
    def profile_ids(self) -> set[str]:
        return {owner.profile_id for owner in self.owners.values()}


class Linking:
    """One try to bring the profiles around some requests in line with the evidence."""

    def __init__(self, rules: Identities, said: Sequence[Said], turn: int = 0) -> None:
        self._rules = rules
        self._said = said
        self._turn = turn
        self._findings: list[Finding] = []

    async def write(self, connection: AsyncConnection, made: set[str], merges: list[int]) -> bool:
        """Does it, and adds what was made and merged. False after a surprise: try again."""
        seeds = {identity for one in self._said for identity in one.identities}
        closure = await _close(connection, seeds)
        await profiles.records(connection, closure.profile_ids)  # locked: nobody else works on these
        again = await _close(connection, seeds)
        if again.profile_ids != closure.profile_ids:
            return False
        closure = again
        new = self._new_links(closure)
        kept, refused, parts = self._limited(closure, new)
        self._conflicts(parts)
        homes = await self._homes(connection, closure, parts, made)
        if homes is None:
            return False
        await self._move(connection, closure, parts, homes, merges)
        await links.add_batch(connection, [*kept, *refused])
        await reviews.add_batch(connection, self._findings)
        await self._describe(connection, closure, parts, homes, kept)
        return True

    # --- what it comes to -----------------------------------------------------------------------------

    def _new_links(self, closure: _Closure) -> list[Link]:
        """Links of the requests, each once, at its earliest instant; none that people have decided on."""
        decided = {link.pair for link in closure.links if link.verdict is not None}
        found: dict[Pair, Link] = {}
        for one in self._said:
            for link in one.links:
                before = found.get(link.pair)
                if link.pair not in decided and (before is None or link.at < before.at):
                    found[link.pair] = link
        return sorted(found.values(), key=lambda link: (link.at, link.pair))

    def _parts(self, closure: _Closure, new: Iterable[Link]) -> Parts:
        told: dict[Pair, Link] = {link.pair: link for link in closure.links}
        for link in new:
            before = told.get(link.pair)
            if before is None or (before.verdict is None and link.at < before.at):
                told[link.pair] = link
        nodes = {*closure.owners, *(i for one in self._said for i in one.identities)}
        nodes |= {i for link in told.values() for i in link.pair}
        return partition(nodes, [*told.values(), *_held(closure, told.values(), self._rules)], self._rules)

    def _limited(self, closure: _Closure, new: list[Link]) -> tuple[list[Link], list[Link], Parts]:
        """New links that may be taken, those with which too many identifiers would come to one profile, and
        the parts without them.

        That is counted in the order of arrival: a shared device sends more than anybody wants to weigh.
        """
        kept, refused = list(new), list[Link]()
        before: Parts | None = None
        while True:
            after = self._parts(closure, kept)
            if max(Counter((n, kind) for (kind, _), n in after.of.items()).values()) <= self._rules.most:
                return kept, refused, after
            before = before or self._parts(closure, [])
            over = self._over(before, after)
            if over is None:
                return kept, refused, after
            number, kind = over
            guilty = [
                link
                for link in kept
                if after.of[link.one] == number and before.of[link.one] != before.of[link.two]
            ]
            if not guilty:
                return kept, refused, after
            # The last link that brings one of the kind; if none does, the last of all.
            last = next((k for k in reversed(guilty) if kind in (k.one[0], k.two[0])), guilty[-1])
            kept.remove(last)
            refused.append(Link(last.one, last.two, last.at, "refused"))
            via = last.two if last.two[0] == kind else last.one
            owner = most_telling((i for i, n in after.of.items() if n == number and i != via), self._rules)
            self._findings.append(Finding("too_many", kind, owner, None, via, last.at))

    def _over(self, before: Parts, after: Parts) -> tuple[int, str] | None:
        """A part that has more identifiers of a kind than allowed, and than any that it is made of had."""
        had: dict[tuple[int, str], int] = Counter((number, kind) for (kind, _), number in before.of.items())
        has: dict[tuple[int, str], int] = Counter((number, kind) for (kind, _), number in after.of.items())
        largest: dict[tuple[int, str], int] = {}
        for identity, number in after.of.items():
            place = (number, identity[0])
            largest[place] = max(largest.get(place, 0), had[(before.of[identity], identity[0])])
        for place, count in sorted(has.items()):
            if count > self._rules.most and count > largest[place]:
                return place
        return None

    def _conflicts(self, parts: Parts) -> None:
        for each in parts.conflicts:
            one, two = (each.kind, each.one), (each.kind, each.two)
            via = next((i for i in each.link.pair if i not in (one, two)), None)
            self._findings.append(Finding("two_of_a_kind", each.kind, one, two, via, each.link.at))

    # --- writing --------------------------------------------------------------------------------------

    async def _homes(
        self, connection: AsyncConnection, closure: _Closure, parts: Parts, made: set[str]
    ) -> dict[int, list[str]] | None:
        """The profiles of each part, the one that stays first; made where there is none. None: a surprise."""
        of_profile: dict[str, list[Identity]] = {}
        ages: dict[str, tuple[datetime, str]] = {}
        for identity, owner in closure.owners.items():
            of_profile.setdefault(owner.profile_id, []).append(identity)
            ages[owner.profile_id] = (owner.created_at, owner.profile_id)
        homes: dict[int, list[str]] = {}
        for profile_id in sorted(of_profile, key=ages.__getitem__):
            anchor = most_telling(of_profile[profile_id], self._rules)
            homes.setdefault(parts.of[anchor], []).append(profile_id)
        new: dict[int, NewProfile] = {}
        for one in self._said:  # a part is made by the first request that needs it
            self._new(parts.of[one.identities[0]], one.identities[0], homes, new)
        alone = Counter(parts.of.values())
        spoke = {most_telling(link.pair, self._rules) for link in closure.links}
        dropped = []
        for identity in sorted(closure.owners):
            number = parts.of[identity]
            homeless = number not in homes and number not in new
            if homeless and alone[number] == 1 and identity not in spoke and identity[0] not in _ROOTS:
                dropped.append(identity)  # named only beside somebody whom it does not belong to: nobody's
            else:
                self._new(number, identity, homes, new)
        await identities.delete_batch(connection, dropped)
        owned = []
        for identity, number in parts.of.items():
            if identity in closure.owners or (number not in homes and number not in new):
                continue
            owned.append((identity, new[number].id if number in new else homes[number][0]))
        awaited = {new[number].id for i, number in parts.of.items() if i in closure.owners and number in new}
        if (new or owned) and not await write_new(connection, list(new.values()), owned, made, awaited):
            return None
        return homes | {number: [profile.id] for number, profile in new.items()}

    def _new(
        self, number: int, first: Identity, homes: dict[int, list[str]], new: dict[int, NewProfile]
    ) -> None:
        if number not in homes and number not in new:
            new[number] = NewProfile(str(uuid.uuid4()), new_key(first, self._turn))

    async def _move(
        self,
        connection: AsyncConnection,
        closure: _Closure,
        parts: Parts,
        homes: dict[int, list[str]],
        merges: list[int],
    ) -> None:
        joining = [(ids[0], other) for ids in homes.values() for other in ids[1:]]
        gone = {other: survivor for survivor, other in joining}
        moves = []
        for identity, owner in closure.owners.items():
            if parts.of[identity] not in homes:
                continue
            target = homes[parts.of[identity]][0]
            if gone.get(owner.profile_id, owner.profile_id) != target:
                moves.append((identity, owner.profile_id, target))
        if joining:
            # All at once, in one order: two transactions that merge must not wait for each other.
            await hold_shards(connection, {shard_of(i) for pair in joining for i in pair})
        await self._take_along(connection, moves)
        at = max((link.at for one in self._said for link in one.links), default=_AT_ALL)
        for survivor, other in joining:
            done = await merging.merge(connection, survivor, other, at, self._rules.sources)
            if done is not None:
                merges.append(done)

    async def _take_along(
        self, connection: AsyncConnection, moves: Sequence[tuple[Identity, str, str]]
    ) -> None:
        """Identities change hands, each with what was said of it."""
        if not moves:
            return
        await identities.move_batch(connection, [(identity, target) for identity, _, target in moves])
        kept = await profiles.records(connection, {i for _, *both in moves for i in both})
        names: dict[str, set[str]] = {i: set() for i in kept}
        for identity, owner, target in moves:
            stays, goes = parted(kept[owner].record, {f"{identity[0]}:{identity[1]}"}, self._rules.sources)
            names[owner] |= _names(kept[owner].record)
            names[target] |= _names(goes)
            kept[owner].record = stays
            kept[target].record = joined(kept[target].record, goes, self._rules.sources)
        await profiles.rewrite(connection, {i: (kept[i].record, names[i]) for i in kept})
        await rechecks.add(connection, kept)

    async def _describe(
        self,
        connection: AsyncConnection,
        closure: _Closure,
        parts: Parts,
        homes: dict[int, list[str]],
        kept: Sequence[Link],
    ) -> None:
        """External ids and current addresses, as the parts have them now."""
        changes = []
        listed = parts.listed()
        for number, ids in homes.items():
            external = sorted(value for kind, value in listed[number] if kind == "external_id")
            if external:
                changes.append(Change(ids[0], external_id=external[0]))
        shown = {identity for one in self._said for identity in one.shown}
        first: dict[Identity, datetime] = {}
        for link in kept:
            for identity in link.pair:
                first[identity] = min(link.at, first.get(identity, link.at))
        for identity, at in sorted(first.items(), key=lambda item: (item[1], item[0])):
            kind, value = identity
            number = parts.of[identity]
            if kind != "external_id" and identity in shown and number in homes:
                via = f"{kind}:{value}"
                changes.append(Change(homes[number][0], addresses={kind: value}, at=at, via=via, first=True))
        await profiles.change_batch(connection, changes, self._rules.sources)


def _names(record: Record) -> set[str]:
    return record.values.keys() | record.provenance.keys()


def _held(closure: _Closure, told: Iterable[Link], rules: Identities) -> list[Link]:
    """What one profile has had together without a link that says so, from before links were kept."""
    of_profile: dict[str, list[Identity]] = {}
    for identity, owner in closure.owners.items():
        of_profile.setdefault(owner.profile_id, []).append(identity)
    linked = {i for link in told if link.verdict in (None, "together") for i in link.pair}
    held = []
    for own in of_profile.values():
        first = most_telling(own, rules)
        for identity in own:
            if identity != first and identity not in linked:
                held.append(Link.between(first, identity, _AT_ALL, "together"))
    return held


async def _close(connection: AsyncConnection, seeds: Iterable[Identity]) -> _Closure:
    """Every identity, profile and link that hangs together with the seeds."""
    closure = _Closure({}, set())
    seen: set[Identity] = set()
    visited: set[str] = set()
    todo = set(seeds)
    while todo:
        seen |= todo
        found = await identities.owners(connection, todo)
        closure.owners |= found
        fresh = {owner.profile_id for owner in found.values()} - visited
        visited |= fresh
        own = await identities.of_profiles(connection, fresh) if fresh else {}
        more = {identity for listed in own.values() for identity in listed}
        touching = await links.touching(connection, todo)
        closure.links |= touching
        usable = (link for link in touching if link.verdict != "refused")
        todo = (more | {identity for link in usable for identity in link.pair}) - seen
    return closure
