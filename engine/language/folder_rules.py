"""The meaning of the catalogue, of `kairos.yaml`, and of the folder as a whole."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from collections.abc import Mapping as Map
from datetime import UTC, datetime

from engine.language.adapter_settings import SettingChecker, check_settings, written_out
from engine.language.audience_rules import AudienceAdapters, check_audiences
from engine.language.callback_rules import check_callback_secret
from engine.language.catalogue import BUILT_IN_EVENTS, EVENT_FIELDS, Catalogue
from engine.language.diagnostics import Diagnostic, Mark, Reporter, listed, nearest
from engine.language.expressing import base_scope, report
from engine.language.expressions import Definitions, check_definitions, parse
from engine.language.expressions.sql import NotInSql, Setting, condition
from engine.language.identity_rules import check_identities
from engine.language.knowledge_rules import check_knowledge
from engine.language.link_rules import check_links
from engine.language.loader import Mapping, Node, Scalar, Sequence, text_of
from engine.language.route_rules import check_routes, routes_of
from engine.language.tag_rules import check_rules, check_segment_forms, check_tags
from engine.language.webhook_rules import check_webhooks
from engine.language.words import Words

_SECRET = re.compile(
    r"passw|secret|token|api_?key|private_?key|access_?key|credential|auth_?key", re.IGNORECASE
)
_ANY_DAY = datetime(2026, 1, 1, tzinfo=UTC)
_FROM_OUTSIDE = re.compile(r"\$\{[A-Za-z_][A-Za-z0-9_]*\}")


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else ()


def _entries(node: Node | None) -> Iterable[tuple[str, Scalar, Node]]:
    if isinstance(node, Mapping):
        for name, key in node.keys.items():
            yield name, key, node.values[name]


def _part(node: Node | None, *keys: str) -> Node | None:
    for key in keys:
        node = node.get(key) if isinstance(node, Mapping) else None
    return node


def definitions_of(catalogue: Catalogue) -> Definitions:
    """The catalogue's own expressions, as the evaluator takes them."""
    return Definitions(
        segments={name: text for name, text in catalogue.segments.items() if text is not None},
        computed={
            name: found.computed for name, found in catalogue.profile.items() if found.computed is not None
        },
        stages=tuple((stage.name, stage.where) for stage in catalogue.stages),
        tags=catalogue.rules,
    )


def check_catalogue(root: Node, words: Words, reporter: Reporter) -> None:
    """Names declared twice, and the expressions of segments, computed attributes and stages."""
    _events(root, reporter)
    stages = [node for node in _items(_part(root, "stages")) if isinstance(node, Mapping)]
    _twice([found for node in stages if (found := node.get("name")) is not None], "stage", reporter)
    for number, node in enumerate(stages):
        if number == 0 and "where" in node.keys:
            reporter.warning(
                "J217",
                node.keys["where"].mark,
                "the first stage needs no `where`: who is in no other is in it",
            )
        elif number > 0 and "where" not in node.keys:
            reporter.error(
                "J202",
                node.mark,
                "`where` is missing from the stage",
                expected="a condition: only the first has none",
            )
    if isinstance(root, Mapping):
        check_knowledge(root, words, reporter)
    definitions = definitions_of(words.catalogue)
    mistaken = check_definitions(definitions, base_scope(words))
    if isinstance(root, Mapping):
        check_segment_forms(root, reporter)
        check_tags(root, reporter)
        if not mistaken:
            check_rules(root, words, definitions, reporter)
    for place, problems in mistaken.items():
        found = _definition(root, place, stages)
        for problem in problems:
            # What a score is made of is looked at where it stands.
            written = place[1] not in words.catalogue.scores or problem.code in ("nesting", "too-long")
            if found is not None and written:
                report(problem, found, reporter)
    if not mistaken:
        _for_everybody(root, words, definitions, reporter)


def _for_everybody(root: Node, words: Words, definitions: Definitions, reporter: Reporter) -> None:
    """Segments are asked of all customers at once, so each must have its SQL."""
    setting = Setting(words.catalogue, words.installation.time_zone)
    for name, text in definitions.segments.items():
        try:
            condition(parse(text), setting, _ANY_DAY)
        except NotInSql as error:
            node = _definition(root, ("segment", name), [])
            if node is not None:
                reporter.error("J513", node.at(error.offset), error.message)


def _definition(root: Node, place: tuple[str, str], stages: list[Mapping]) -> Scalar | None:
    kind, name = place
    node: Node | None = None
    if kind == "segment":
        node = _part(root, "segments", name, "where") or _part(root, "segments", name)
    elif kind == "computed":
        node = _part(root, "profile", name, "computed") or _key(root, "scores", name)
    else:
        node = next((stage.get("where") for stage in stages if text_of(stage.get("name")) == name), None)
    return node if isinstance(node, Scalar) else None


def _key(root: Node, section: str, name: str) -> Node | None:
    node = _part(root, section)
    return node.keys.get(name) if isinstance(node, Mapping) else None


def _events(root: Node, reporter: Reporter) -> None:
    owners: dict[str, str] = {name: name for name, _, _ in _entries(_part(root, "events"))}
    for name, key, node in _entries(_part(root, "events")):
        if name in BUILT_IN_EVENTS:
            reporter.error("J319", key.mark, f"`{name}` is an event that the engine makes itself")
        for other in _items(_part(node, "also_called")):
            called = text_of(other)
            if called is None:
                continue
            if called in BUILT_IN_EVENTS or (called in owners and owners[called] != name):
                owner = owners.get(called, called)
                reporter.error("J319", other.mark, f"`{called}` already is a name of the event `{owner}`")
            owners.setdefault(called, name)
        for property_name, property_key, _ in _entries(_part(node, "properties")):
            if property_name in EVENT_FIELDS:
                reporter.warning(
                    "J319",
                    property_key.mark,
                    f"every event already has `{property_name}`: this property cannot be read",
                    hint="give it another name",
                )


def _twice(nodes: Iterable[Node], what: str, reporter: Reporter) -> None:
    seen: set[str] = set()
    for node in nodes:
        name = text_of(node)
        if name is not None and name in seen:
            reporter.error("J319", node.mark, f"{what} `{name}` is declared twice")
        seen.add(name or "")


def check_installation(
    root: Node,
    reporter: Reporter,
    adapters: Collection[str] | None = None,
    setting_checker: SettingChecker | None = None,
    attributes: Collection[str] = (),
    audience_adapters: AudienceAdapters | None = None,
) -> None:
    """Secrets only as `${NAME}`, adapters and their settings, identities and webhooks."""
    for name, key, channel in _entries(_part(root, "channels")):
        secrets = set(_secrets(_part(channel, "settings"), reporter))
        check_callback_secret(_part(channel, "callback_secret"), reporter)
        if adapters is not None:
            _adapter(_part(channel, "adapter"), adapters, reporter)
        check_routes(channel, reporter)
        routes = list(routes_of(channel))
        if setting_checker is not None and not routes:
            check_settings(name, key, channel, setting_checker, reporter, secrets)
        for route in routes:
            secrets = set(_secrets(route.get("settings"), reporter))
            if adapters is not None:
                _adapter(route.get("adapter"), adapters, reporter)
            if setting_checker is not None:
                check_settings(name, key, route, setting_checker, reporter, secrets)
    check_audiences(_part(root, "audiences"), reporter, _secrets, _adapter, audience_adapters)
    check_identities(_part(root, "identities"), reporter)
    check_webhooks(_part(root, "webhooks"), reporter, attributes)
    check_links(_part(root, "links"), reporter)


def _adapter(node: Node | None, adapters: Collection[str], reporter: Reporter) -> None:
    name = text_of(node) if node is not None else None
    # With a colon it is a class of the project's own.
    if node is None or name is None or ":" in name or name in adapters:
        return
    # A warning: this machine checks, another one sends.
    hint = nearest(name, adapters) or f"installed are {listed(sorted(adapters))}"
    reporter.warning("J320", node.mark, f"no adapter `{name[:60]}` is installed here", hint=hint)


def _secrets(node: Node | None, reporter: Reporter, name: str = "") -> Iterator[Mark]:
    """Reports secrets that are written out; yields their places."""
    if isinstance(node, Mapping):
        for key, value in node.values.items():
            yield from _secrets(value, reporter, key)
    elif isinstance(node, Sequence):
        for item in node.items:
            yield from _secrets(item, reporter, name)
    elif isinstance(node, Scalar) and _is_secret(name) and _is_literal(node.value):
        written_out(name, node, reporter)
        yield node.mark


def _is_literal(value: object) -> bool:
    return value not in (None, "") and not _FROM_OUTSIDE.search(str(value))


def _is_secret(name: str) -> bool:
    return _SECRET.search(name) is not None and not name.endswith(("_url", "_file", "_path", "_id"))


def check_cycles(journeys: Map[str, tuple[Mapping, Reporter]], words: Words) -> None:
    """No journey enters itself, also not through others."""
    targets = {name: [target for target, _ in found.enters] for name, found in words.journeys.items()}
    for name, (_, reporter) in journeys.items():
        for target, node in words.journeys[name].enters:
            way = _way(target, name, targets)
            if way is not None:
                shown = " → ".join(f"`{each}`" for each in (name, *way))
                what = (
                    "a journey cannot enter itself"
                    if target == name
                    else "journeys enter each other in a circle"
                )
                reporter.error("J404", node.mark, f"{what}: {shown}", hint="a journey always ends")


def _way(start: str, goal: str, targets: Map[str, list[str]]) -> list[str] | None:
    """The shortest way from one journey to another, both included."""
    ways = [[start]]
    seen = {start}
    for way in ways:
        if way[-1] == goal:
            return way
        for target in targets.get(way[-1], ()):
            if target not in seen:
                seen.add(target)
                ways.append([*way, target])
    return None


def strays(paths: Iterable[str]) -> Iterator[Diagnostic]:
    """Files that look as if they were meant to be read, but are not."""
    for path in paths:
        hint = None
        if re.fullmatch(r"journeys/(?!tests/)([^/]+/)*[^/]+\.ya?ml", path):
            if path.count("/") > 1:
                hint = "journeys lie directly in `journeys/`"
            elif path.endswith(".yml"):
                hint = "its name must end in `.yaml`"
        elif re.fullmatch(r"journeys/tests/.*\.ya?ml", path) and not path.endswith(".test.yaml"):
            hint = "scenarios are called `<name>.test.yaml`"
        if hint is not None:
            at = Mark()
            yield Diagnostic(path, at.line, at.col, "J219", "this file is not read", "warning", None, hint)
