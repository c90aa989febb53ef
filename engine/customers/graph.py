"""Which identities are one person: a pure function of what was ever said to belong together.

Every message that names two identities is a link between them, at the earliest instant at which it was said.
Profiles are the parts of that graph. Links are taken in an order of their own, never in that of arrival, so
that the same messages in any order come to the same profiles:

1. what people decided, and what was together before links were kept;
2. links between two strong identities, the earliest first. One that would give a person two identifiers of a
   kind of which everybody has one is not taken: that is a conflict, for people to look at;
3. all other links, the earliest first. One that would join two persons who both have strong identities is not
   taken: a device in two hands.

Where nothing is in conflict that is what a union of all links comes to, and a new link only ever joins.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from engine.language.installation import Identities
from engine.store.identities import Identity
from engine.store.links import Link


@dataclass(frozen=True, slots=True)
class Conflict:
    """A link that was not taken, since both sides have an identifier of this kind, and not the same."""

    link: Link
    kind: str
    one: str = field(repr=False)
    two: str = field(repr=False)


@dataclass(slots=True)
class Parts:
    """`of` gives the number of each identity's part."""

    of: dict[Identity, int]
    conflicts: list[Conflict]

    def listed(self) -> list[list[Identity]]:
        """The identities of each part, by its number."""
        found: list[list[Identity]] = [[] for _ in range(max(self.of.values(), default=-1) + 1)]
        for identity, number in self.of.items():
            found[number].append(identity)
        return found


def most_telling(identities: Iterable[Identity], rules: Identities) -> Identity:
    """The identity that speaks for all of them. A visitor's anonymous id is the last to."""
    ranks = rules.ranks
    return min(identities, key=lambda i: (i[0] == "anonymous_id", ranks.get(i[0], len(ranks)), i))


def links_of(identities: Sequence[Identity], at: datetime, rules: Identities) -> list[Link]:
    """What a message that names these identities says: each belongs to the most telling one."""
    if len(identities) < 2:
        return []
    first = most_telling(identities, rules)
    return [Link.between(first, other, at) for other in identities if other != first]


def partition(nodes: Iterable[Identity], links: Iterable[Link], rules: Identities) -> Parts:
    """The parts of the graph, numbered in the order of their smallest identity."""
    joining = _Joining(sorted(set(nodes)), rules)
    strong = frozenset(rules.strong)
    listed = sorted(set(links), key=lambda link: (link.at, link.one, link.two))
    for link in listed:
        if link.verdict == "apart":
            joining.keep_apart(link.one, link.two)
    usable = [link for link in listed if link.verdict in (None, "together")]
    for link in usable:
        if link.verdict == "together":
            joining.join(link.one, link.two)
    told = [link for link in usable if link.verdict is None]
    conflicts = []
    for link in told:
        if link.one[0] in strong and link.two[0] in strong:
            found = joining.clash(link.one, link.two)
            if found is None:
                joining.join(link.one, link.two)
            elif found[0]:
                conflicts.append(Conflict(link, *found))
    for link in told:
        if not (link.one[0] in strong and link.two[0] in strong) and joining.may_attach(link.one, link.two):
            joining.join(link.one, link.two)
    return joining.parts(conflicts)


class _Joining:
    """Disjoint sets that know what each holds."""

    def __init__(self, nodes: Sequence[Identity], rules: Identities) -> None:
        self._up = {node: node for node in nodes}
        self._size = dict.fromkeys(nodes, 1)
        self._single: dict[Identity, dict[str, set[str]]] = {}
        self._strong = {node: node[0] in rules.strong for node in nodes}
        self._apart: dict[Identity, set[Identity]] = {}
        for kind, value in nodes:
            self._single[(kind, value)] = {kind: {value}} if kind in rules.single else {}

    def root(self, node: Identity) -> Identity:
        while self._up[node] != node:
            self._up[node] = self._up[self._up[node]]
            node = self._up[node]
        return node

    def keep_apart(self, one: Identity, two: Identity) -> None:
        if one in self._up and two in self._up:
            self._apart.setdefault(one, set()).add(two)
            self._apart.setdefault(two, set()).add(one)

    def clash(self, one: Identity, two: Identity) -> tuple[str, str, str] | None:
        """Why the two may not be one person: a kind with its two values, or an empty kind for a decision."""
        a, b = self.root(one), self.root(two)
        if a == b:
            return None
        if self._forbidden(a, b):
            return ("", "", "")
        for kind in sorted(self._single[a].keys() & self._single[b].keys()):
            if self._single[a][kind] != self._single[b][kind]:
                first, second = sorted((min(self._single[a][kind]), min(self._single[b][kind])))
                return (kind, first, second)
        return None

    def may_attach(self, one: Identity, two: Identity) -> bool:
        a, b = self.root(one), self.root(two)
        return a != b and not (self._strong[a] and self._strong[b]) and not self._forbidden(a, b)

    def _forbidden(self, a: Identity, b: Identity) -> bool:
        return any(
            self.root(other) == b
            for node, others in self._apart.items()
            if self.root(node) == a
            for other in others
        )

    def join(self, one: Identity, two: Identity) -> None:
        a, b = self.root(one), self.root(two)
        if a == b:
            return
        if self._size[a] < self._size[b]:
            a, b = b, a
        self._up[b] = a
        self._size[a] += self._size[b]
        self._strong[a] = self._strong[a] or self._strong[b]
        for kind, values in self._single[b].items():
            self._single[a][kind] = self._single[a].get(kind, set()) | values

    def parts(self, conflicts: list[Conflict]) -> Parts:
        numbers: dict[Identity, int] = {}
        of = {node: numbers.setdefault(self.root(node), len(numbers)) for node in self._up}
        return Parts(of, conflicts)
