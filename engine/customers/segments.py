"""Segments: the catalogue's names for customers, and conditions that people type, asked of everybody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal

from engine.customers.applied import Applied, applied, catalogue_of
from engine.customers.frozen import frozen_meaning, thawed_meaning
from engine.language.expressing import base_scope
from engine.language.expressions import ExpressionError, Problem, Tree, check, normal, parse
from engine.language.expressions.errors import did_you_mean
from engine.language.expressions.sql import Condition, NotInSql, Setting, condition, conjuncts, fixed_part
from engine.language.expressions.tree import Logic
from engine.language.words import Words
from engine.store import populations

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection
    from engine.store.profiles import Profile


class SegmentError(ValueError):
    """There is no such segment, or a condition has mistakes. The text says which."""


class NoSuchSegment(SegmentError):
    """The catalogue that was applied has no segment of this name."""


@dataclass(frozen=True, slots=True)
class Group:
    """Customers as somebody asked for them: a segment by `name`, or a condition of its own.

    `where` is what is asked of each of them, `text` what the catalogue says: None for a list.
    """

    name: str | None
    where: str
    text: str | None
    setting: Setting

    @property
    def tree(self) -> Tree:
        return parse(self.where)

    @property
    def frozen(self) -> dict[str, Any]:
        """All that the condition means, as JSON: for later, whatever is applied by then."""
        return {
            "where": self.where,
            "meaning": frozen_meaning(self.where, self.setting.catalogue),
            "time_zone": self.setting.time_zone,
            "consent": self.setting.consent_rule,
            "address_kinds": sorted(self.setting.address_kinds),
        }


@dataclass(frozen=True, slots=True)
class Part:
    """One part of a condition: how many it holds for alone, and together with all parts before it."""

    text: str
    alone: int
    together: int


@dataclass(frozen=True, slots=True)
class Explained:
    """What the parts of a condition keep. `joined_by` says how they are held together."""

    everybody: int
    parts: tuple[Part, ...]
    joined_by: Literal["and", "or"]

    @property
    def count(self) -> int:
        return self.parts[-1].together


async def named(connection: AsyncConnection, name: str) -> Group:
    """The customers of a segment.

    Raises:
        NoSuchSegment: none is applied by this name.
    """
    found = await applied(connection)
    segments = found.catalogue.segments
    if not found.text:
        raise NoSuchSegment(
            f"there is no segment `{name[:80]}`: nothing was applied yet; `kairos apply` does it"
        )
    if name not in segments:
        known = ", ".join(sorted(segments)) or "none is declared"
        hint = did_you_mean(name, segments)
        raise NoSuchSegment(
            f"there is no segment `{name[:80]}` in the catalogue that was applied"
            + (f": {hint}" if hint else f"; there are: {known}")
        )
    text = segments[name]
    where = f"in_segment({json.dumps(name, ensure_ascii=False)})" if text is None else text
    return Group(name, where, text, await setting_of(connection, found))


async def of_condition(connection: AsyncConnection, where: str) -> Group:
    """The customers for whom a condition holds.

    Raises:
        SegmentError: it has mistakes; all of them are named.
    """
    found = await applied(connection)
    words = Words(found.catalogue, found.installation, {}, {}, {})
    try:
        tree = parse(where)
        problems = check(tree, base_scope(words), condition=True)
    except ExpressionError as error:
        problems = [error.problem()]
    if problems:
        raise SegmentError("; ".join(_said(problem) for problem in problems))
    group = Group(None, where, where, await setting_of(connection, found))
    try:
        condition(tree, group.setting, datetime.min.replace(tzinfo=UTC))
    except NotInSql as error:
        raise SegmentError(f"column {error.offset + 1}: {error.message}") from None
    return group


def _said(problem: Problem) -> str:
    hint = f" ({problem.hint})" if problem.hint else ""
    return f"column {problem.offset + 1}: {problem.message}{hint}"


async def setting_of(connection: AsyncConnection, found: Applied) -> Setting:
    """What the SQL of an expression depends on, by what is applied."""
    kinds = await populations.kinds_among(connection, found.catalogue.profile)
    installation = found.installation
    return Setting(found.catalogue, installation.time_zone, installation.consent["marketing"], kinds)


def thawed(frozen: Mapping[str, Any]) -> tuple[Tree, Setting]:
    """What `Group.frozen` kept; once that was the whole text of the catalogue."""
    whole, meaning = frozen.get("catalogue"), frozen.get("meaning")
    setting = Setting(
        thawed_meaning(meaning) if whole is None else catalogue_of(whole),
        frozen["time_zone"],
        frozen["consent"],
        frozenset(frozen["address_kinds"]),
    )
    return parse(frozen["where"]), setting


async def asked(connection: AsyncConnection, group: Group, now: datetime) -> Condition:
    """The condition of a group at a logical instant, the quickest way for all customers."""
    return await best_condition(connection, group.tree, group.setting, now)


async def best_condition(
    connection: AsyncConnection, tree: Tree, setting: Setting, now: datetime
) -> Condition:
    """A condition for a query over all customers."""
    parts = conjuncts(tree)
    found = condition(parts, setting, now)
    if not found.joins:
        return found
    way = await populations.best_way(connection, fixed_part(parts, setting, now))
    return found if way == "all" else condition(parts, setting, now, way)


async def count(connection: AsyncConnection, group: Group, now: datetime) -> int:
    """How many customers are in it at a logical instant."""
    return await populations.count(connection, await asked(connection, group, now))


async def preview(
    connection: AsyncConnection, group: Group, now: datetime, limit: int, after: str | None = None
) -> list[Profile]:
    """Some of its customers, by id."""
    return await populations.preview(connection, await asked(connection, group, now), limit, after)


async def explain(connection: AsyncConnection, group: Group, now: datetime) -> Explained:
    """What each part of its condition keeps."""
    tree = group.tree
    joined_by: Literal["and", "or"] = "and"
    pieces = conjuncts(tree)
    if isinstance(tree, Logic) and tree.operator == "or":
        joined_by, pieces = "or", tree.operands
    everybody, numbers = await populations.parts(
        connection, condition(pieces, group.setting, now), joined_by.upper()
    )
    parts = [Part(_text(piece), *each) for piece, each in zip(pieces, numbers, strict=True)]
    return Explained(everybody, tuple(parts), joined_by)


def _text(piece: Tree) -> str:
    return f"({normal(piece)})" if isinstance(piece, Logic) else normal(piece)
