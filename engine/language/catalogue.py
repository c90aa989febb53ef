"""`journeys/catalog.yaml`: the words that journeys may use."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import cache

from engine.language.addresses import KINDS
from engine.language.channel_events import CHANNEL_EVENTS, PERSONAL
from engine.language.knowledge import RFM_SCORES, RFM_SEGMENT, Rfm, Score, read_rfm, read_scores
from engine.language.lengths import parse_length
from engine.language.loader import Mapping, Node, Scalar, Sequence, plain_data, text_of


@dataclass(frozen=True, slots=True)
class Property:
    """A property of an event or an attribute of the profile.

    `computed` is an expression. `kept`: the engine keeps it by itself, in a table of its own.
    """

    type: str
    personal: bool = False
    one_of: tuple[object, ...] = ()
    computed: str | None = None
    kept: bool = False
    longest: int | None = None
    """Characters of a text, items of a list."""

    @property
    def derived(self) -> bool:
        """Whether nobody can set it."""
        return self.kept or self.computed is not None


@dataclass(frozen=True, slots=True)
class EventType:
    name: str
    properties: dict[str, Property] = field(default_factory=dict)
    also_called: tuple[str, ...] = ()
    about: str | None = None


@dataclass(frozen=True, slots=True)
class Stage:
    """A stage of the customer's life; without `where` it is the one to begin with."""

    name: str
    where: str | None = None


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag: how long it lasts after it was given, or the rule that keeps it."""

    name: str
    expires: timedelta | None = None
    where: str | None = None


def _builtin() -> dict[str, EventType]:
    text, about = Property("text"), {"step": "text", "template": "text", "channel": "text"}
    message = {name: Property(kind) for name, kind in about.items()}
    events = {
        f"message.{what}": dict(message)
        for what in ("sent", "delivered", "opened", "clicked", "bounced", "complained", "replied", "failed")
    }
    events["message.clicked"]["link"] = text
    events["message.opened"]["proxy"] = Property("boolean")
    events |= {
        "task.done": {"step": text},
        "task.overdue": {"step": text},
        "stage.changed": {"stage": text, "before": text},
        "segment.entered": {"segment": text},
        "segment.left": {"segment": text},
        "consent.changed": {"channel": text, "purpose": text, "granted": Property("boolean")},
        "journey.exited": {"journey": text, "exit": text},
    }
    return {name: EventType(name, properties) for name, properties in events.items()}


BUILT_IN_EVENTS: dict[str, EventType] = _builtin()
"""Events that the engine makes itself."""


def _properties(told: tuple[str, ...]) -> dict[str, Property]:
    return {name: Property("text", personal=name in PERSONAL) for name in told}


@cache
def _channel_events() -> dict[str, EventType]:
    return {name: EventType(name, _properties(told)) for name, told in CHANNEL_EVENTS.items()}


EVENT_FIELDS: dict[str, str] = {"name": "text", "id": "text", "occurred_at": "datetime"}
"""What every event has beside its properties."""

PERSONALISE = "personalise"
"""True unless it was set to false."""

BUILT_IN_ATTRIBUTES: dict[str, Property] = {
    **{name: Property("text", personal=True) for name in KINDS},
    "time_zone": Property("text"),
    "locale": Property("text"),
    PERSONALISE: Property("boolean"),
}
"""Attributes that every profile can have: identifiers, time zone, locale, and whether it is written to
personally."""


@dataclass(frozen=True, slots=True)
class Catalogue:
    events: dict[str, EventType] = field(default_factory=dict)
    profile: dict[str, Property] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    segments: dict[str, str | None] = field(default_factory=dict)
    """Name to expression; None is a static list."""
    stages: tuple[Stage, ...] = ()
    scores: dict[str, Score] = field(default_factory=dict)
    """Each is a computed attribute of `profile` too."""
    rfm: Rfm | None = None
    """Its values are kept attributes of `profile` too."""
    about_tags: dict[str, Tag] = field(default_factory=dict)
    """Tags of which more is said than the name."""
    histories: dict[str, bool] = field(default_factory=dict)
    """Segments that say whether their history is kept."""

    @property
    def rules(self) -> dict[str, str]:
        """Tags that are kept by a rule, to their conditions."""
        return {name: tag.where for name, tag in self.about_tags.items() if tag.where is not None}

    @property
    def lifetimes(self) -> dict[str, timedelta]:
        """Tags that expire, to how long they last."""
        return {name: tag.expires for name, tag in self.about_tags.items() if tag.expires is not None}

    @property
    def beginning(self) -> str | None:
        """The stage of whom no rule holds for; None where there is none."""
        return self.stages[0].name if self.stages and self.stages[0].where is None else None

    def event(self, name: str) -> EventType | None:
        """A declared event, one of the engine's, or one of a channel, by its own name.

        One of a channel that is declared too has the properties of both.
        """
        declared, told = self.events.get(name), CHANNEL_EVENTS.get(name)
        if declared is not None and told is not None:
            return replace(declared, properties={**_properties(told), **declared.properties})
        if declared is not None or name in BUILT_IN_EVENTS:
            return declared or BUILT_IN_EVENTS[name]
        # Where a catalogue gives one of a channel a name of its own, events come under that name.
        return _channel_events().get(name) if self.canonical(name) == name else None

    def canonical(self, name: str) -> str:
        """The declared name of an event that a client may send under another one."""
        if name in self.events:
            return name
        for event in self.events.values():
            if name in event.also_called:
                return event.name
        return name

    def attribute(self, name: str) -> Property | None:
        return self.profile.get(name) or BUILT_IN_ATTRIBUTES.get(name)

    def event_names(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys((*self.events, *BUILT_IN_EVENTS, *CHANNEL_EVENTS)))

    def attribute_names(self) -> tuple[str, ...]:
        return (*self.profile, *BUILT_IN_ATTRIBUTES)


def read_catalogue(root: Node | None) -> Catalogue:
    """The catalogue of a node; parts of the wrong shape (reported by `conform`) are left out."""
    if not isinstance(root, Mapping):
        return Catalogue()
    events = {name: _event(name, node) for name, node in _entries(root.get("events"))}
    scores, rfm = read_scores(root.get("scores")), read_rfm(root.get("rfm"))
    profile = {name: _property(node) for name, node in _entries(root.get("profile"))}
    profile |= {name: Property("number", computed=score.expression) for name, score in scores.items()}
    if rfm is not None:
        profile |= {name: Property("number", kept=True) for name in RFM_SCORES}
        names = tuple(dict.fromkeys(segment.name for segment in rfm.segments))
        profile[RFM_SEGMENT] = Property("text", one_of=names, kept=True)
    segments = {name: text_of(_where(node)) for name, node in _entries(root.get("segments"))}
    histories = {
        name: found.value is True
        for name, node in _entries(root.get("segments"))
        if isinstance(node, Mapping) and isinstance(found := node.get("history"), Scalar)
    }
    stages = tuple(
        Stage(name, text_of(node.get("where")))
        for node in _items(root.get("stages"))
        if isinstance(node, Mapping) and (name := text_of(node.get("name"))) is not None
    )
    tags = [tag for node in _items(root.get("tags")) if (tag := _tag(node)) is not None]
    told = {tag.name: tag for tag in tags if tag != Tag(tag.name)}
    names = tuple(tag.name for tag in tags)
    return Catalogue(events, profile, names, segments, stages, scores, rfm, told, histories)


def _where(node: Node | None) -> Node | None:
    return node.get("where") if isinstance(node, Mapping) else node


def _tag(node: Node) -> Tag | None:
    if not isinstance(node, Mapping):
        return None if (own := text_of(node)) is None else Tag(own)
    name = text_of(node.get("name"))
    if name is None:
        return None
    return Tag(name, parse_length(text_of(node.get("expires")) or ""), text_of(node.get("where")))


def _entries(node: Node | None) -> Iterable[tuple[str, Node]]:
    return node.values.items() if isinstance(node, Mapping) else ()


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else ()


def _texts(node: Node | None) -> Iterator[str]:
    for item in _items(node):
        text = text_of(item)
        if text is not None:
            yield text


def _event(name: str, node: Node) -> EventType:
    if not isinstance(node, Mapping):
        return EventType(name)
    properties = {key: _property(value) for key, value in _entries(node.get("properties"))}
    return EventType(name, properties, tuple(_texts(node.get("also_called"))), text_of(node.get("about")))


def _property(node: Node) -> Property:
    if not isinstance(node, Mapping):
        return Property(text_of(node) or "text")
    personal = node.get("personal")
    return Property(
        text_of(node.get("type")) or "text",
        isinstance(personal, Scalar) and personal.value is True,
        tuple(plain_data(item) for item in _items(node.get("one_of"))),
        text_of(node.get("computed")),
        longest=_whole(node.get("longest")),
    )


def _whole(node: Node | None) -> int | None:
    value = node.value if isinstance(node, Scalar) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
