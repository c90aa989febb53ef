"""What identify calls, `update` steps and imports write into profiles."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from engine.customers.identifiers import Unusable, normalise
from engine.language.addresses import KINDS
from engine.language.catalogue import Catalogue
from engine.language.consents import Word, read
from engine.language.installation import Identities
from engine.language.types import parse_datetime
from engine.store import consents, identities, profiles, segments
from engine.store.connection import AsyncConnection
from engine.store.consents import Consent
from engine.store.profiles import Change

ADDRESSES = frozenset(KINDS) - {"external_id", "anonymous_id"}
"""Kinds that a trait or an `update` step may set."""
_DEFAULT = Identities()
_NOTHING = Catalogue()
_ZONE_NAMES = ("time_zone", "timezone", "timeZone")


@dataclass(frozen=True, slots=True)
class Traits:
    """Traits of one profile, as the client sent them, at the logical instant `at`. Null clears.

    Reserved: the kinds of identity (`email phone wechat …`), `time_zone` (also `timezone`),
    `locale`, `tags` (a list to add), `consents` (a list of channels granted, or channel to boolean, or to
    `granted purpose source text_version at`; a channel may have its purpose behind a colon) and
    `segments` (a list of static segments to join). Everything else is an attribute, declared or not; its
    type is looked at when it is read, so that declaring it later brings it to life.
    """

    profile_id: str
    traits: Mapping[str, Any] = field(repr=False)
    at: datetime
    source: str | None = None
    confidence: float | None = None
    """How sure the source is, from 0 to 1; None for what it does not say."""
    via: str | None = field(default=None, repr=False)
    """The identity that spoke for the customer, `kind:value`, where all identities of the traits were
    resolved with it; None attaches those that lead nowhere yet."""
    shaped: Collection[identities.Identity] = field(default=(), repr=False)
    """Identifiers that are known to be in the shape of their kind."""


async def apply_traits(
    connection: AsyncConnection,
    batch: Sequence[Traits],
    rules: Identities = _DEFAULT,
    catalogue: Catalogue = _NOTHING,
) -> list[Consent]:
    """Writes traits into profiles; of two on one attribute the newer counts.

    Returns the consents recorded, for `consent.changed` events.

    A value that a reserved trait cannot take (an unknown time zone) is passed over. An identifier that cannot
    be brought into the shape of its kind is kept as an attribute of that name, as it came. A tag that a rule
    of the catalogue keeps is not given.
    """
    changes: list[Change] = []
    attached: list[tuple[identities.Identity, str]] = []
    granted: list[Consent] = []
    joined: list[tuple[str, str]] = []
    for item in batch:
        change = change_of(item, rules, catalogue)
        changes.append(change)
        if item.via is None:
            attached += [((kind, v), item.profile_id) for kind, v in change.addresses.items() if v]
        granted += consents_of(item)
        joined += [(segment, item.profile_id) for segment in segments_of(item)]
    said = [change for change in changes if _says_something(change)]
    await profiles.change_batch(connection, said, rules.sources)
    await identities.attach_batch(connection, attached)
    await segments.add_batch(connection, joined)
    await consents.add_batch(connection, granted)
    return granted


def expiry(catalogue: Catalogue, tags: Iterable[str], at: datetime) -> dict[str, datetime]:
    """Those of the tags that expire, given at `at`, and when."""
    return {tag: at + catalogue.lifetimes[tag] for tag in tags if tag in catalogue.lifetimes}


def change_of(item: Traits, rules: Identities, catalogue: Catalogue = _NOTHING) -> Change:
    """What traits change in the profile itself. A tag that a rule of the catalogue keeps is not given."""
    change = Change(item.profile_id, at=item.at, source=item.source, confidence=item.confidence, via=item.via)
    for name, value in item.traits.items():
        if name in ADDRESSES:
            if (name, value) in item.shaped:
                change.addresses[name] = value
                continue
            set_address(change, name, value, rules.phone_region)
        elif name in _ZONE_NAMES:
            change.time_zone = _zone(value) or change.time_zone
        elif name == "locale":
            change.locale = value if isinstance(value, str) and value else None
        elif name == "tags":
            change.add_tags = tuple(tag for tag in _texts(value) if tag not in catalogue.rules)
            change.expire = expiry(catalogue, change.add_tags, item.at)
        elif name not in ("consents", "segments", "external_id", "anonymous_id", "userId", "anonymousId"):
            change.attributes[name] = value
    return change


def set_address(change: Change, kind: str, value: Any, region: str | None) -> None:
    """Sets the current address of a kind, in its shape. Null clears it and what was kept in its place."""
    if isinstance(value, str) and not value.strip():
        return
    if value is None:
        change.addresses[kind] = change.attributes[kind] = None
        return
    try:
        change.addresses[kind] = normalise(kind, value, region)
    except Unusable:
        change.attributes[kind] = value


def _says_something(change: Change) -> bool:
    return bool(change.attributes or change.addresses or change.add_tags or change.time_zone or change.locale)


def segments_of(item: Traits) -> list[str]:
    """The lists that traits put somebody on."""
    return _texts(item.traits.get("segments"))


def consents_of(item: Traits) -> list[Consent]:
    """What traits say of consents."""
    return [_consent(item, word) for word in read(item.traits.get("consents"))]


def _consent(item: Traits, word: Word) -> Consent:
    stated = word.about.get("at")
    at = parse_datetime(stated) if isinstance(stated, str) else None
    return Consent(
        item.profile_id,
        word.channel,
        word.granted,
        item.at if at is None else min(at, item.at),
        source=_label(word.about.get("source")) or item.source,
        text_version=_label(word.about.get("text_version")),
        purpose=word.purpose,
    )


def _label(value: Any) -> str | None:
    return value[:200] if isinstance(value, str) and value else None


def _texts(value: Any) -> list[str]:
    return [v for v in value if isinstance(v, str) and v] if isinstance(value, list | tuple) else []


def _zone(value: Any) -> str | None:
    if not isinstance(value, str) or not value:
        return None
    try:
        ZoneInfo(value)
    except (ValueError, OSError, ZoneInfoNotFoundError):  # unknown, or no name at all
        return None
    return value
