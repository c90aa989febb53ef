"""What is applied: journeys that can be entered, their plans and words, kept between batches.

A router looks before each batch whether something changed, so that an apply or a pause counts from the
next event on; parsing happens only when it did.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from engine.core.codec import plan_from_json
from engine.core.plan import Plan
from engine.customers.followed import Meaning, meaning_of
from engine.ingest.entry import LiveJourney
from engine.language.catalogue import Catalogue, read_catalogue
from engine.language.installation import Installation, read_installation
from engine.language.loader import load
from engine.store import journeys, plans, project
from engine.store.journeys import Status

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection


_DEFAULT_GOAL: Final = timedelta(days=90)


@dataclass(frozen=True, slots=True)
class Edition:
    """What is applied at one moment."""

    journeys: tuple[LiveJourney, ...] = ()
    catalogue: Catalogue = field(default_factory=Catalogue)
    installation: Installation = field(default_factory=Installation)
    longest_goal: timedelta | None = None
    """The longest `within` of any goal known: how far back an enrolment can still convert."""

    meaning: Meaning = field(default_factory=Meaning)
    """What can be followed."""

    def unless(self, journey: str) -> tuple[str, ...]:
        """The names of events that drop a pending entry of this journey."""
        for one in self.journeys:
            if one.name == journey and one.plan.trigger.unless is not None:
                return (one.plan.trigger.unless.event,)
        return ()


class Book:
    """The current edition, and every plan that an enrolment was ever found to follow."""

    def __init__(self) -> None:
        self._edition = Edition()
        self._seen: tuple[str | None, dict[str, tuple[Status, str | None]]] | None = None
        self._digest: str | None = None
        self._plans: dict[str, Plan] = {}

    async def edition(self, connection: AsyncConnection) -> Edition:
        """The edition that is in force in this transaction."""
        seen = (await project.load_digest(connection), await journeys.standing(connection))
        if seen != self._seen:
            self._edition = await self._read(connection, *seen)
            self._seen = seen
        return self._edition

    async def plans(self, connection: AsyncConnection, digests: Iterable[str]) -> dict[str, Plan]:
        """Plans by digest; unknown ones are left out."""
        wanted = set(digests)
        missing = wanted - self._plans.keys()
        if missing:
            found = await plans.by_digest(connection, missing)
            self._plans |= {digest: plan_from_json(plan) for digest, plan in found.items()}
        return {digest: self._plans[digest] for digest in wanted if digest in self._plans}

    async def _read(
        self,
        connection: AsyncConnection,
        digest: str | None,
        standing: Mapping[str, tuple[Status, str | None]],
    ) -> Edition:
        catalogue, installation = self._edition.catalogue, self._edition.installation
        if digest is not None and digest != self._digest:
            stored = await project.load(connection)
            if stored is not None:
                catalogue = read_catalogue(load("journeys/catalog.yaml", stored.catalogue)[0])
                installation = read_installation(load("kairos.yaml", stored.installation)[0])
        self._digest = digest
        open_ = {name: (status, live) for name, (status, live) in standing.items() if live is not None}
        known = await self.plans(connection, (live for _, live in open_.values()))
        enterable = tuple(
            LiveJourney(name, live, known[live], paused=status == "paused")
            for name, (status, live) in open_.items()
            if status in ("live", "paused") and live in known
        )
        same = digest is not None and catalogue is self._edition.catalogue
        meaning = self._edition.meaning if same else meaning_of(catalogue)
        return Edition(enterable, catalogue, installation, _longest_goal(self._plans.values()), meaning)


def _longest_goal(known: Iterable[Plan]) -> timedelta | None:
    """At least the default: an enrolment may be on a plan that is not known here yet."""
    lengths = [plan.goal.within for plan in known if plan.goal is not None]
    return max(*lengths, _DEFAULT_GOAL) if lengths else None
