"""From identities to a profile: find it, make it, link identities that turn out to be one person.

The identities of one request belong together; `engine.customers.graph` says what follows from all requests
there ever were. A request that says nothing new is answered by its most telling identity: that is nearly
every one, and costs two reads. One whose identities are all new makes a profile. Everything else is new
evidence, and `engine.customers.linking` works out what it comes to: profiles merge, the older of two stays,
with its key, so that variants do not change under a customer.
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from engine.customers.graph import links_of, most_telling
from engine.customers.linking import Linking, Said
from engine.customers.making import first_record, new_key, write_new
from engine.language.installation import Identities
from engine.store import identities, jsonb, links
from engine.store.connection import AsyncConnection
from engine.store.identities import Identity, Owner
from engine.store.links import Known, Link, Pair
from engine.store.profiles import NewProfile

_ROUNDS: Final = 6
_DEFAULT: Final = Identities()
EVER: Final = datetime(1970, 1, 1, tzinfo=UTC)
"""The instant of what is said without one."""


class IdentityError(ValueError):
    """A request without any usable identity."""


@dataclass(frozen=True, slots=True)
class Request:
    """Identities that one message names together, at the logical instant `at`.

    `shown` are those that become the customer's current address of their kind.
    """

    identities: tuple[Identity, ...] = field(repr=False)
    at: datetime = EVER
    shown: frozenset[Identity] | None = field(default=None, repr=False)
    """None: all of them."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """The profile behind a request. `made`: this call made it."""

    profile_id: str
    key: str
    made: bool = False


@dataclass(frozen=True, slots=True)
class Resolution:
    """The profile of each request, in order, and the ids of the merges that were done."""

    profiles: list[Resolved]
    merges: list[int]


async def resolve_batch(
    connection: AsyncConnection, requests: Sequence[Sequence[Identity]], rules: Identities = _DEFAULT
) -> list[Resolved]:
    """`resolve` for identities alone."""
    listed = [Request(tuple(request)) for request in requests]
    return (await resolve(connection, listed, rules)).profiles


async def resolve(
    connection: AsyncConnection, requests: Sequence[Request], rules: Identities = _DEFAULT
) -> Resolution:
    """The profile of each request, made where there was none.

    Safe against other transactions that do the same at once: they end with the same profile. After a merge
    `engine.ingest.merging.follow` must be called in the same transaction.

    Raises:
        IdentityError: a request has no identity with a value.
    """
    asked = [_Asked.of(request, rules) for request in requests]
    made: set[str] = set()
    merges: list[int] = []
    for turn in range(_ROUNDS):
        evidence = await _Evidence.load(connection, asked)
        new = [one for one in asked if evidence.is_new(one)]
        if not new:
            answers = evidence.answers(asked, made)
            if answers is not None:
                return Resolution(answers, merges)
            new = asked
        fresh, rest = _fresh(new, evidence, rules)
        if not await _make(connection, fresh, made, turn, evidence, rules):
            continue
        if rest:
            said = [Said(one.identities, one.links, one.shown) for one in rest]
            await Linking(rules, said, turn).write(connection, made, merges)
        elif (answers := evidence.answers(asked, made)) is not None:
            return Resolution(answers, merges)
    raise RuntimeError("identities kept changing under this batch; try it again")


@dataclass(frozen=True, slots=True)
class _Asked:
    """A request as it is worked on: cleaned, the most telling identity first."""

    identities: tuple[Identity, ...]
    links: tuple[Link, ...]
    shown: frozenset[Identity]
    at: datetime

    @classmethod
    def of(cls, request: Request, rules: Identities) -> _Asked:
        if len(request.identities) == 1:  # nearly every message: nothing is said of what belongs together
            kind, value = request.identities[0]
            if kind and (value := jsonb.clean_text(value)):
                only = ((kind, value),)
                return cls(only, (), frozenset(only) if request.shown is None else request.shown, request.at)
        # As PostgreSQL will store them, or what comes back would not be found again.
        cleaned = ((kind, jsonb.clean_text(value)) for kind, value in dict.fromkeys(request.identities))
        usable = list(dict.fromkeys((kind, value) for kind, value in cleaned if kind and value))
        if not usable:
            raise IdentityError(
                "expected at least one identity with a value, such as an external or anonymous id"
            )
        first = most_telling(usable, rules)
        usable.sort(key=lambda identity: identity != first)
        shown = frozenset(usable) if request.shown is None else request.shown
        return cls(tuple(usable), tuple(links_of(usable, request.at, rules)), shown, request.at)


@dataclass(slots=True)
class _Evidence:
    """What the database knows of a batch."""

    owners: dict[Identity, Owner]
    known: dict[Pair, Known]

    @classmethod
    async def load(cls, connection: AsyncConnection, asked: Sequence[_Asked]) -> _Evidence:
        pairs = {link.pair for one in asked for link in one.links}
        return cls(
            await identities.owners(connection, {i for one in asked for i in one.identities}),
            await links.known(connection, pairs) if pairs else {},
        )

    def is_new(self, one: _Asked) -> bool:
        """Whether the request says anything that was not said before, or not so early."""
        if one.identities[0] not in self.owners:
            return True
        for link in one.links:
            known = self.known.get(link.pair)
            if known is None or (link.at < known.at and known.verdict is None):
                return True
        return False

    def answers(self, asked: Sequence[_Asked], made: set[str]) -> list[Resolved] | None:
        found = []
        for one in asked:
            owner = self.owners.get(one.identities[0])
            if owner is None:
                return None
            found.append(Resolved(owner.profile_id, owner.key, owner.profile_id in made))
        return found


def _fresh(
    new: Sequence[_Asked], evidence: _Evidence, rules: Identities
) -> tuple[list[_Asked], list[_Asked]]:
    """Requests that make a profile each, since nothing else knows their identities; and the others."""
    sharing: dict[Identity, set[tuple[Identity, ...]]] = {}
    for one in new:
        for identity in one.identities:
            sharing.setdefault(identity, set()).add(one.identities)
    fresh: dict[tuple[Identity, ...], _Asked] = {}
    rest = []
    for one in new:
        kinds = [kind for kind, _ in one.identities if kind in rules.single]
        alone = all(i not in evidence.owners and len(sharing[i]) == 1 for i in one.identities)
        if (
            alone
            and len(kinds) == len(set(kinds))
            and not evidence.known.keys() & {k.pair for k in one.links}
        ):
            before = fresh.get(one.identities)
            fresh[one.identities] = one if before is None or one.at < before.at else before
        else:
            rest.append(one)
    return list(fresh.values()), rest


async def _make(
    connection: AsyncConnection,
    fresh: Sequence[_Asked],
    made: set[str],
    turn: int,
    evidence: _Evidence,
    rules: Identities,
) -> bool:
    """Makes profiles whose identities are all new, and adds them to the evidence.

    False after a surprise: another transaction was first.
    """
    new: list[NewProfile] = []
    owned: list[tuple[Identity, str]] = []
    for one in fresh:
        external = next((value for kind, value in one.identities if kind == "external_id"), None)
        record = first_record(one.identities, one.shown, one.at, rules.sources)
        addresses = {name[1:]: value for name, value in record.values.items()}
        key = new_key(one.identities[0], turn)
        profile = NewProfile(str(uuid.uuid4()), key, external, addresses, record.provenance)
        new.append(profile)
        owned += [(identity, profile.id) for identity in one.identities]
    if not new:
        return True
    if not await write_new(connection, new, owned, made):
        return False
    await links.add_batch(connection, (link for one in fresh for link in one.links))
    by_id = {profile.id: profile for profile in new}
    now = datetime.now(UTC)
    evidence.owners |= {i: Owner(p, by_id[p].key, by_id[p].external_id, now) for i, p in owned}
    evidence.known |= {link.pair: Known(link.at, None) for one in fresh for link in one.links}
    return True
