"""Customers out: chosen fields of each, and files of them.

What is personal (identifiers but the external id, attributes that the catalogue marks) is handed out only
where that is asked for.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final, Literal

from engine.customers import consent, segments
from engine.customers.applied import Applied, applied
from engine.customers.facts import FactsRequest, definitions_of, load_facts
from engine.customers.importing.cells import guarded
from engine.customers.segments import Group
from engine.language.addresses import KINDS
from engine.language.catalogue import Catalogue
from engine.language.expressions import Facts, evaluate, requirements
from engine.language.types import to_json
from engine.store import clock, identities, populations
from engine.store.profiles import Profile

if TYPE_CHECKING:
    from engine.store.connection import AsyncConnection, AsyncEngine

Layout = Literal["csv", "jsonl"]
OWN: Final = ("profile_id", "external_id", "stage", "tags")
MORE: Final = ("segments", "consents", "time_zone", "locale", "created_at", "updated_at")
PERSONAL: Final = ("identities", "attributes", "addresses")
SLICE: Final = 500


class CannotExport(ValueError):
    """A field that there is not, or that is personal and was not asked for as such."""


def fields_of(
    catalogue: Catalogue, wanted: Sequence[str] | None = None, personal: bool = False
) -> tuple[str, ...]:
    """The fields to hand out: those wanted, or the usual ones.

    Raises:
        CannotExport: there is no such field, or it is personal and `personal` is false.
    """
    private = {*KINDS, *PERSONAL, *(name for name, about in catalogue.profile.items() if about.personal)}
    private -= {"external_id"}
    if wanted is None:
        usual = (*OWN, *catalogue.profile, *(kind for kind in KINDS if kind not in OWN))
        return tuple(dict.fromkeys(name for name in usual if personal or name not in private))
    known = {*OWN, *MORE, *PERSONAL, *KINDS, *catalogue.profile}
    for name in wanted:
        if name not in known:
            raise CannotExport(f"there is no field `{name[:60]}`: expected one of {', '.join(sorted(known))}")
        if name in private and not personal:
            raise CannotExport(f"`{name}` is personal: it is handed out only where `personal` is asked for")
    return tuple(dict.fromkeys(wanted))


async def values_of(
    connection: AsyncConnection,
    known: Applied,
    people: Sequence[Profile],
    fields: Sequence[str],
    now: datetime,
) -> list[dict[str, Any]]:
    """These fields of these customers, in order, as JSON."""
    if not people:
        return []
    catalogue, setup = known.catalogue, known.installation
    texts = [_text(name) for name in fields if name in catalogue.profile]
    if "stage" in fields:
        texts.append("stage()")
    if "segments" in fields:
        texts += [_member(name) for name in catalogue.segments]
    needs = requirements(texts, definitions_of(catalogue))
    rule = setup.consent["marketing"]
    loaded = await load_facts(
        connection,
        [FactsRequest(each.id, now, needs) for each in people],
        catalogue,
        setup.time_zone,
        rule,
        {each.id: each for each in people},
    )
    ids = [each.id for each in people]
    named = await identities.of_profiles(connection, ids) if "identities" in fields else {}
    agreed = await consent.granted(connection, ids, rule) if "consents" in fields else {}
    found = []
    for person, facts in zip(people, loaded, strict=True):
        extra = {
            "identities": [{"kind": k, "value": v} for k, v in named.get(person.id, ())],
            "consents": agreed.get(person.id, {}),
        }
        found.append({name: _value(name, person, facts, catalogue, extra) for name in fields})
    return found


def _value(name: str, person: Profile, facts: Facts, catalogue: Catalogue, extra: dict[str, Any]) -> Any:
    match name:
        case "profile_id":
            return person.id
        case "external_id" | "tags" | "time_zone" | "locale" | "attributes" | "addresses":
            return getattr(person, name)
        case "created_at" | "updated_at":
            return getattr(person, name).isoformat()
        case "stage":
            return evaluate("stage()", facts)
        case "segments":
            return [each for each in catalogue.segments if evaluate(_member(each), facts) is True]
        case "identities" | "consents":
            return extra[name]
    if name in catalogue.profile:
        return to_json(evaluate(_text(name), facts))
    return person.addresses.get(name)


def _text(name: str) -> str:
    return f"profile[{json.dumps(name)}]"


def _member(name: str) -> str:
    return f"in_segment({json.dumps(name, ensure_ascii=False)})"


async def export(
    database: AsyncEngine, group: Group, fields: Sequence[str]
) -> AsyncIterator[list[dict[str, Any]]]:
    """All customers of a group, some at a time, by id: who is in it at one moment, in constant memory."""
    async with database.connect() as asking, database.connect() as looking:
        known = await applied(asking)
        now = (await clock.load(asking)).now()
        condition = await segments.asked(asking, group, now)
        async for people in populations.stream(asking, condition, SLICE):
            yield await values_of(looking, known, people, fields, now)
            await looking.rollback()


def lines(layout: Layout, fields: Sequence[str], found: Iterable[dict[str, Any]]) -> str:
    """Rows as lines of a file."""
    if layout == "jsonl":
        return "".join(json.dumps(each, ensure_ascii=False, separators=(",", ":")) + "\n" for each in found)
    out = io.StringIO()
    csv.writer(out).writerows([_cell(each[name]) for name in fields] for each in found)
    return out.getvalue()


def head(layout: Layout, fields: Sequence[str]) -> str:
    """What stands before the first row. CSV begins with a mark of its encoding, or Excel reads it wrongly."""
    return "" if layout == "jsonl" else "\ufeff" + ",".join(fields) + "\r\n"


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list) and all(isinstance(each, str) for each in value):
        return guarded(";".join(value))
    if isinstance(value, list | dict):
        return json.dumps(value, ensure_ascii=False)
    return guarded(value)
