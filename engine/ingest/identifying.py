"""Who a message speaks of: every identifier in it, by kind, in the shape of its kind.

They come from `userId`, `anonymousId` and `previousId`; from the traits of an `identify` call that are named
like a kind; from Segment's `context.externalIds` (segment.com/docs/unify/identity-resolution/externalids);
and from `context.device`. What has no shape of its kind identifies nobody: the message is kept, and whoever
sent it is told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from engine.customers.identifiers import Unusable, normalise
from engine.ingest.normalise import Incoming
from engine.language.addresses import KINDS
from engine.language.installation import Identities
from engine.store.identities import Identity

_TRAITS: Final = frozenset(KINDS) - {"external_id", "anonymous_id"}
_EXTERNAL: Final = {
    "user_id": "external_id",
    "phone_number": "phone",
    "ios.id": "device_id",
    "ios.idfa": "device_id",
    "android.id": "device_id",
    "android.idfa": "device_id",
    "device_id": "device_id",
    "ios.push_token": "push",
    "android.push_token": "push",
}
"""Types of Segment's external ids, where they differ from our kinds."""
_DEVICE: Final = (("id", "device_id"), ("token", "push"))
MOST: Final = 20
"""External ids of one message."""


@dataclass(frozen=True, slots=True)
class Problem:
    """An identifier that identifies nobody. Neither says its value."""

    kind: str
    where: str
    reason: str

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}; it is kept and identifies nobody"


@dataclass(frozen=True, slots=True)
class Identified:
    """What a message says of who it is about; the identities in the order of their finding, each once."""

    identities: tuple[Identity, ...] = field(repr=False)
    problems: tuple[Problem, ...] = ()


def identified(incoming: Incoming, rules: Identities) -> Identified:
    """The identities of a message, and what was meant to be one and is none."""
    found: dict[Identity, None] = {}
    for kind, value in (
        ("external_id", incoming.external_id),
        ("anonymous_id", incoming.anonymous_id),
        ("anonymous_id", incoming.previous_id),
    ):
        if value is not None:
            found[(kind, value)] = None
    if not incoming.traits and not incoming.context:
        return Identified(tuple(found))
    problems = []
    for kind, value, where in _given(incoming):
        try:
            found[(kind, normalise(kind, value, rules.phone_region))] = None
        except Unusable as why:
            problems.append(Problem(kind, where, str(why)))
    return Identified(tuple(found), tuple(problems))


def _given(incoming: Incoming) -> Iterator[tuple[str, Any, str]]:
    for name, value in incoming.traits.items():
        if name in _TRAITS and value is not None and value != "":
            yield name, value, f"traits.{name}"
    external = incoming.context.get("externalIds")
    if isinstance(external, list):
        for place, each in enumerate(external[:MOST]):
            if isinstance(each, Mapping) and isinstance(kind := each.get("type"), str):
                kind = _EXTERNAL.get(kind, kind)
                if kind in KINDS and each.get("id") not in (None, ""):
                    yield kind, each["id"], f"context.externalIds[{place}]"
    device = incoming.context.get("device")
    if isinstance(device, Mapping):
        for name, kind in _DEVICE:
            if device.get(name) not in (None, ""):
                yield kind, device[name], f"context.device.{name}"
