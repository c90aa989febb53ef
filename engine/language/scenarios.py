"""`journeys/tests/*.test.yaml` → scenarios, with their places for messages."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal
from zoneinfo import ZoneInfo

from engine.language.addresses import IDENTIFIERS
from engine.language.catalogue import Catalogue
from engine.language.diagnostics import Mark
from engine.language.loader import Mapping, Node, Scalar, Sequence, plain_data, text_of
from engine.language.scalars import read_date, read_instant, read_length

ScriptKind = Literal["event", "identify", "consent", "enter", "pause", "resume"]
SCRIPT_KINDS: tuple[ScriptKind, ...] = ("event", "identify", "consent", "enter", "pause", "resume")
DEFAULT_START = "2026-01-01T09:00"


@dataclass(frozen=True, slots=True)
class Person:
    """What `profile` or `identify` says of a customer; None and empty say nothing."""

    identifiers: dict[str, str] = field(default_factory=dict)
    attributes: dict[str, Any] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    consents: tuple[str, ...] = ()
    """Channels, or `marketing`, that are consented to."""
    segments: tuple[str, ...] = ()
    """Static membership."""
    time_zone: str | None = None
    locale: str | None = None


@dataclass(frozen=True, slots=True)
class ScriptEntry:
    """Something that happens, `offset` after `start`.

    `event`: `name` (the declared one, also where a client's was written), `properties`, and `event_id` if
    an `id` is given. `enter`: `properties`. `identify`: `person`. `consent`: `consent`.
    """

    kind: ScriptKind
    offset: timedelta
    mark: Mark
    name: str | None = None
    properties: dict[str, Any] = field(default_factory=dict)
    event_id: str | None = None
    person: Person = Person()
    consent: dict[str, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ExpectedMessage:
    """None: not compared. `at` counts from the first entry, or from `start` if there is none."""

    mark: Mark
    at: timedelta | None = None
    channel: str | None = None
    template: str | None = None
    step: str | None = None


@dataclass(frozen=True, slots=True)
class ExpectedSkip:
    mark: Mark
    step: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Expect:
    """None: not compared. `marks` gives the place of every key that is given."""

    entered: bool | int | None = None
    messages: tuple[ExpectedMessage, ...] | None = None
    exit: str | tuple[str, ...] | None = None
    """Of the last enrolment; a tuple: of all enrolments, in order."""
    converted: bool | None = None
    tags_has: tuple[str, ...] = ()
    tags_lacks: tuple[str, ...] = ()
    attributes: dict[str, Any] = field(default_factory=dict)
    """None as a value: not set."""
    steps: tuple[str, ...] | None = None
    skipped: tuple[ExpectedSkip, ...] | None = None
    marks: dict[str, Mark] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Scenario:
    name: str
    start: datetime
    mark: Mark
    profile: Person = Person()
    script: tuple[ScriptEntry, ...] = ()
    """By instant; what happens at the same instant in file order."""
    variant: dict[str, str] = field(default_factory=dict)
    holdout: bool = False
    policy: str | None = None
    answers: dict[str, Any] = field(default_factory=dict)
    fails: tuple[str, ...] = ()
    expect: Expect = Expect()


@dataclass(frozen=True, slots=True)
class ScenarioFile:
    path: str
    journey: str
    scenarios: tuple[Scenario, ...] = ()


def read_scenarios(path: str, root: Mapping, catalogue: Catalogue, zone: str) -> ScenarioFile:
    """The scenarios of a file without mistakes. `zone` is for a `start` without offset."""
    entries = (node for node in _items(root.get("scenarios")) if isinstance(node, Mapping))
    scenarios = tuple(_scenario(node, catalogue, ZoneInfo(zone)) for node in entries)
    return ScenarioFile(path, text_of(root.get("journey")) or "", scenarios)


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else ()


def _texts(node: Node | None) -> tuple[str, ...]:
    return tuple(text for item in _items(node) if (text := text_of(item)) is not None)


def _data(node: Node | None) -> dict[str, Any]:
    return plain_data(node) if isinstance(node, Mapping) else {}


def _flag(node: Node | None) -> bool | None:
    return node.value if isinstance(node, Scalar) and isinstance(node.value, bool) else None


def _scenario(node: Mapping, catalogue: Catalogue, zone: ZoneInfo) -> Scenario:
    return Scenario(
        name=text_of(node.get("name")) or "",
        start=_start(text_of(node.get("start")) or DEFAULT_START, zone),
        mark=node.mark,
        profile=_person(node.get("profile")),
        script=tuple(_script(_items(node.get("script")), catalogue)),
        variant={key: str(value) for key, value in _data(node.get("variant")).items()},
        holdout=_flag(node.get("holdout")) is True,
        policy=text_of(node.get("policy")),
        answers=_data(node.get("answers")),
        fails=_texts(node.get("fails")),
        expect=_expect(node.get("expect")),
    )


def _start(text: str, zone: ZoneInfo) -> datetime:
    instant = read_instant(text)
    if instant is None:
        day = read_date(text)
        assert day is not None
        instant = datetime(day.year, day.month, day.day, tzinfo=zone)
    return instant if instant.tzinfo is not None else instant.replace(tzinfo=zone)


def _person(node: Node | None) -> Person:
    if not isinstance(node, Mapping):
        return Person()
    data = plain_data(node)
    lists = {key: _texts(node.get(key)) for key in ("tags", "consents", "segments")}
    identifiers = {key: str(data[key]) for key in IDENTIFIERS if data.get(key) is not None}
    known = {*IDENTIFIERS, *lists, "time_zone", "locale"}
    return Person(
        identifiers,
        {key: value for key, value in data.items() if key not in known},
        lists["tags"],
        lists["consents"],
        lists["segments"],
        text_of(node.get("time_zone")),
        text_of(node.get("locale")),
    )


def _script(nodes: Iterable[Node], catalogue: Catalogue) -> list[ScriptEntry]:
    entries: list[ScriptEntry] = []
    before = timedelta(0)
    for node in nodes:
        if not isinstance(node, Mapping):
            continue
        kind = next(kind for kind in SCRIPT_KINDS if kind in node.keys)
        at, after = text_of(node.get("at")), text_of(node.get("after"))
        if at is not None:
            before = read_length(at) or timedelta(0)
        elif after is not None:
            before += read_length(after) or timedelta(0)
        entries.append(_entry(kind, before, node.keys[kind].mark, node.values[kind], catalogue))
    return sorted(entries, key=lambda entry: entry.offset)


def _entry(kind: ScriptKind, offset: timedelta, mark: Mark, node: Node, catalogue: Catalogue) -> ScriptEntry:
    match kind:
        case "event":
            data = _data(node)
            name = catalogue.canonical(str(data.pop("name", "")))
            event_id = data.pop("id", None)
            under = data.pop("properties", None)
            properties = {**data, **(under if isinstance(under, dict) else {})}
            return ScriptEntry(
                kind, offset, mark, name, properties, None if event_id is None else str(event_id)
            )
        case "enter":
            return ScriptEntry(kind, offset, mark, properties=_data(node))
        case "identify":
            return ScriptEntry(kind, offset, mark, person=_person(node))
        case "consent":
            return ScriptEntry(kind, offset, mark, consent=_data(node))
    return ScriptEntry(kind, offset, mark)


def _expect(node: Node | None) -> Expect:
    if not isinstance(node, Mapping):
        return Expect()
    data = plain_data(node)
    tags = node.get("tags")
    ends = data.get("exit")
    messages, skipped = node.get("messages"), node.get("skipped")
    return Expect(
        entered=data.get("entered"),
        messages=None if messages is None else tuple(map(_message, _mappings(messages))),
        exit=tuple(ends) if isinstance(ends, list) else ends,
        converted=data.get("converted"),
        tags_has=_texts(tags.get("has")) if isinstance(tags, Mapping) else (),
        tags_lacks=_texts(tags.get("lacks")) if isinstance(tags, Mapping) else (),
        attributes=_data(node.get("attributes")),
        steps=None if node.get("steps") is None else _texts(node.get("steps")),
        skipped=None
        if skipped is None
        else tuple(
            ExpectedSkip(each.mark, text_of(each.get("step")), text_of(each.get("reason")))
            for each in _mappings(skipped)
        ),
        marks={key: scalar.mark for key, scalar in node.keys.items()},
    )


def _mappings(node: Node) -> list[Mapping]:
    return [item for item in _items(node) if isinstance(item, Mapping)]


def _message(node: Mapping) -> ExpectedMessage:
    at = text_of(node.get("at"))
    return ExpectedMessage(
        node.mark,
        None if at is None else read_length(at),
        text_of(node.get("channel")),
        text_of(node.get("template")),
        text_of(node.get("step")),
    )
