"""RFM: how recently, how often and for how much each customer bought, beside all others."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

from engine.customers.applied import applied
from engine.language.expressions import Facts, holds
from engine.language.knowledge import RFM_SCORES, Rfm
from engine.language.lengths import parse_length
from engine.store import merging, rfm
from engine.store.database import in_transaction
from engine.store.rfm import Cell, Cuts, Measured, Recomputed

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine
    from engine.store.events import Event


@dataclass(frozen=True, slots=True)
class Standing:
    """What the base looks like: cut points, and customers by recency, frequency and money."""

    declared: Rfm
    cuts: Cuts
    cells: dict[Cell, int]

    @property
    def segments(self) -> dict[str | None, int]:
        """Customers by segment, in the order of the catalogue; None for those in no segment."""
        of = measured(self.declared)
        found: dict[str | None, int] = {segment.name: 0 for segment in self.declared.segments}
        for cell, count in self.cells.items():
            name = of.cell(*cell)
            found[name] = found.get(name, 0) + count
        return found

    @property
    def grid(self) -> list[list[int]]:
        """Customers by frequency (rows, the best first) and money (columns, the least first)."""
        parts = self.declared.quantiles
        rows = [[0] * parts for _ in range(parts)]
        for (_, frequency, monetary), count in self.cells.items():
            if frequency <= parts and monetary <= parts:
                rows[parts - frequency][monetary - 1] += count
        return rows


def measured(declared: Rfm) -> Measured:
    """What the store measures for a declaration."""
    return _measured(
        declared.event,
        declared.money,
        declared.within,
        declared.quantiles,
        tuple((segment.name, segment.where) for segment in declared.segments),
    )


@lru_cache(maxsize=16)
def _measured(
    event: str, money: str, within: str | None, quantiles: int, segments: tuple[tuple[str, str], ...]
) -> Measured:
    scores = range(1, quantiles + 1)
    names = tuple(_segment(segments, cell) for cell in product(scores, repeat=3))
    return Measured(event, money, quantiles, parse_length(within) if within else None, names)


def _segment(segments: Iterable[tuple[str, str]], cell: tuple[int, ...]) -> str | None:
    """The first segment whose condition holds for these scores; an instant means nothing to it."""
    facts = Facts(datetime.min.replace(tzinfo=UTC), profile=dict(zip(RFM_SCORES, cell, strict=True)))
    return next((name for name, where in segments if holds(where, facts)), None)


async def recompute_rfm(database: AsyncEngine, at: datetime) -> Recomputed | None:
    """Scores all customers as of a logical instant, in one transaction; None where no `rfm` is applied.

    Only events up to then count. The same again writes nothing; after a crash nothing was written at all.
    """

    async def work(connection: AsyncConnection) -> Recomputed | None:
        declared = (await applied(connection)).catalogue.rfm
        return None if declared is None else await rfm.recompute(connection, measured(declared), at)

    return await in_transaction(database, work)


async def rescore(connection: AsyncConnection, profile_ids: Collection[str], at: datetime) -> int:
    """Scores some customers by the cut points that are kept; returns how many changed."""
    declared = (await applied(connection)).catalogue.rfm
    if declared is None or not profile_ids:
        return 0
    return await rfm.rescore(connection, measured(declared), profile_ids, at)


async def rescore_after(connection: AsyncConnection, batch: Sequence[Event], at: datetime) -> None:
    """Scores those again whom these events say something new of."""
    declared = (await applied(connection)).catalogue.rfm if batch else None
    if declared is not None and (ids := {e.profile_id for e in batch if e.name == declared.event}):
        await rfm.rescore(connection, measured(declared), ids, at)


async def rescore_merged(connection: AsyncConnection, merges: Sequence[int], at: datetime) -> None:
    """Scores the customers who are left after these merges: what both of them bought is theirs."""
    await rescore(connection, await merging.survivors(connection, merges), at)


async def standing(connection: AsyncConnection, at: datetime | None = None) -> Standing | None:
    """The base as it is kept, or as of a logical instant; None where nothing is declared, or nothing kept."""
    declared = (await applied(connection)).catalogue.rfm
    if declared is None:
        return None
    if at is not None:
        return Standing(declared, *await rfm.as_of(connection, measured(declared), at))
    found = await rfm.standing(connection)
    return None if found is None else Standing(declared, *found)
