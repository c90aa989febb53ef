"""Links: which two identities were ever said to belong together, and since when.

They are the evidence from which `engine.customers.graph` tells who is one person. A pair has one row, whoever
says it how often. `verdict` is null for what messages say; `together` and `apart` are people's decisions;
`refused` are links that were over the limit and count for nothing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple

import sqlalchemy as sa
from sqlalchemy.ext.asyncio import AsyncConnection

from engine.store import batch
from engine.store.identities import Identity

Verdict = Literal["together", "apart", "refused"]
Pair = tuple[Identity, Identity]


@dataclass(frozen=True, slots=True)
class Link:
    """Two identities, the smaller first. `at` is logical, the earliest at which it was said."""

    one: Identity = field(repr=False)
    two: Identity = field(repr=False)
    at: datetime
    verdict: Verdict | None = None

    @classmethod
    def between(cls, one: Identity, two: Identity, at: datetime, verdict: Verdict | None = None) -> Link:
        first, second = sorted((one, two))
        return cls(first, second, at, verdict)

    @property
    def pair(self) -> Pair:
        return (self.one, self.two)


class Known(NamedTuple):
    at: datetime
    verdict: Verdict | None


_PAIRS = """unnest(CAST(:k1 AS text[]), CAST(:v1 AS text[]), CAST(:k2 AS text[]), CAST(:v2 AS text[]))
    AS r(kind, value, to_kind, to_value)"""
_SAME = "l.kind = r.kind AND l.value = r.value AND l.to_kind = r.to_kind AND l.to_value = r.to_value"
_KNOWN = sa.text(f"""
    SELECT l.kind, l.value, l.to_kind, l.to_value, l.at, l.verdict
    FROM {_PAIRS} JOIN identity_links l ON {_SAME}
""")


def _arrays(pairs: Sequence[Pair]) -> dict[str, list[str]]:
    return {
        "k1": [one[0] for one, _ in pairs],
        "v1": [one[1] for one, _ in pairs],
        "k2": [two[0] for _, two in pairs],
        "v2": [two[1] for _, two in pairs],
    }


async def known(connection: AsyncConnection, pairs: Iterable[Pair]) -> dict[Pair, Known]:
    """What is known of these pairs; unknown ones are left out."""
    wanted = sorted(set(pairs))
    if not wanted:
        return {}
    result = await connection.execute(_KNOWN, _arrays(wanted))
    return {((r[0], r[1]), (r[2], r[3])): Known(r[4], r[5]) for r in result}


_TOUCHING = sa.text("""
    SELECT l.kind, l.value, l.to_kind, l.to_value, l.at, l.verdict
    FROM unnest(CAST(:kinds AS text[]), CAST(:values AS text[])) AS r(kind, value)
    JOIN identity_links l ON l.kind = r.kind AND l.value = r.value
    UNION
    SELECT l.kind, l.value, l.to_kind, l.to_value, l.at, l.verdict
    FROM unnest(CAST(:kinds AS text[]), CAST(:values AS text[])) AS r(kind, value)
    JOIN identity_links l ON l.to_kind = r.kind AND l.to_value = r.value
""")


async def touching(connection: AsyncConnection, identities: Iterable[Identity]) -> set[Link]:
    """Every link at one of these identities."""
    wanted = sorted(set(identities))
    if not wanted:
        return set()
    values = {"kinds": [kind for kind, _ in wanted], "values": [value for _, value in wanted]}
    result = await connection.execute(_TOUCHING, values)
    return {Link((r[0], r[1]), (r[2], r[3]), r[4], r[5]) for r in result}


_ADD = sa.text(f"""
    INSERT INTO identity_links AS l (kind, value, to_kind, to_value, at, verdict)
    SELECT kind, value, to_kind, to_value, at, verdict
    FROM {
    batch.records(
        kind="text", value="text", to_kind="text", to_value="text", at="timestamptz", verdict="text"
    )
}
    ORDER BY kind, value, to_kind, to_value
    ON CONFLICT (kind, value, to_kind, to_value) DO UPDATE SET
        at = least(l.at, excluded.at), verdict = coalesce(excluded.verdict, l.verdict)
        WHERE excluded.at < l.at OR excluded.verdict IS NOT NULL
""")


async def add_batch(connection: AsyncConnection, new: Iterable[Link]) -> None:
    """Keeps these links: the earlier instant stays, a verdict replaces the one before."""
    merged: dict[Pair, Link] = {}
    for link in new:
        before = merged.get(link.pair)
        if before is not None:
            link = Link(link.one, link.two, min(link.at, before.at), link.verdict or before.verdict)
        merged[link.pair] = link
    if not merged:
        return
    values: list[Mapping[str, object]] = [
        {
            "kind": link.one[0],
            "value": link.one[1],
            "to_kind": link.two[0],
            "to_value": link.two[1],
            "at": link.at,
            "verdict": link.verdict,
        }
        for link in merged.values()
    ]
    await connection.execute(_ADD, batch.rows(values))
