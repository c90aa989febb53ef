"""Lists: segments whose customers are put there by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Literal

from engine.customers.applied import identity_rules
from engine.customers.lookup import sought
from engine.customers.segments import SegmentError, named
from engine.store import crowd_members, segments
from engine.store.crowd_members import Named

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection

Change = Literal["add", "remove", "replace"]


@dataclass(frozen=True, slots=True)
class Changed:
    """What became of a list. `not_one`: places (from 0) of what was given that lead to no customer (0), or to
    how many; they changed nothing."""

    added: int = 0
    removed: int = 0
    members: int = 0
    not_one: dict[int, int] = field(default_factory=dict)


async def change(
    connection: AsyncConnection,
    name: str,
    customers: Iterable[Named],
    how: Change = "add",
    heard: Callable[[int], None] = lambda count: None,
) -> Changed:
    """Puts customers on a list, takes them off, or makes them all who are on it.

    Args:
        heard: told how many were looked up.

    Raises:
        SegmentError: there is no such segment, it is no list, or nobody would be left on it by `replace`.
    """
    if (await named(connection, name)).text is not None:
        raise SegmentError(
            f"`{name}` is an expression: who is in it follows from what is known of them. "
            "A list is declared as `{list: true}`"
        )
    before = await segments.clear(connection, name) if how == "replace" else 0
    work = segments.remove_named if how == "remove" else segments.add_named
    rules = await identity_rules(connection)
    rest = (sought(each, rules) for each in customers)
    place, count, not_one = 0, 0, dict[int, int]()
    while part := list(islice(rest, crowd_members.SLICE)):
        found = await work(connection, name, part)
        not_one |= {place + each: many for each, many in found.not_one.items()}
        count += found.added
        place += len(part)
        heard(place)
    members = await segments.members(connection, name)
    if how == "replace" and not members:
        raise SegmentError(f"nobody would be left in `{name}`: not one of those given is known")
    if how == "remove":
        return Changed(0, count, members, not_one)
    return Changed(count, before, members, not_one)
