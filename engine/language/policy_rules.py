"""The meaning of policies: what can never be kept, and what says the same thing twice."""

from __future__ import annotations

from collections.abc import Collection

from engine.core.calendar import parse_time
from engine.language.diagnostics import Reporter, listed, nearest
from engine.language.loader import Mapping, Node, Sequence, plain_data, text_of
from engine.language.policies import read_policy
from engine.language.scalars import is_window_time, read_length
from engine.language.words import Lookup, Words


def check_policies(root: Node, words: Words, reporter: Reporter) -> None:
    """Report what is wrong with `policies`, `priorities` and what channels name, beyond their shape."""
    lookup = Lookup(words, reporter)
    for name, policy in _entries(_part(root, "policies")):
        if not isinstance(policy, Mapping):
            continue
        for cap in _items(policy.get("caps")):
            _cap(cap, reporter)
            lookup.channel(_part(cap, "channel"))
        _hours(policy.get("quiet_hours"), reporter)
        _deferring(name, policy, reporter)
        _best_time(policy.get("best_time"), reporter)
    for _, channel in _entries(_part(root, "channels")):
        _budget(_part(channel, "budget"), reporter)
        for _, quota in _entries(_part(channel, "quotas")):
            for opening in _items(_part(quota, "opened_by")):
                lookup.event(_part(opening, "event"))
    for node in _items(_part(_part(root, "links"), "channels")):
        lookup.channel(node)
    _priorities(root, words.journeys, reporter)


def _priorities(root: Node, journeys: Collection[str], reporter: Reporter) -> None:
    """Every journey that is named is there, once."""
    seen: set[str] = set()
    for node in _items(_part(root, "priorities")):
        name = text_of(node)
        if name is None:
            continue
        if name not in journeys:
            reporter.error(
                "J307",
                node.mark,
                f"unknown journey `{name[:60]}`",
                expected=f"one of {listed(journeys)}" if journeys else None,
                hint=nearest(name, journeys),
            )
        elif name in seen:
            reporter.error("J319", node.mark, f"journey `{name}` is listed twice")
        seen.add(name)


def _cap(node: Node, reporter: Reporter) -> None:
    if not isinstance(node, Mapping):
        return
    if "within" in node.keys and "calendar" in node.keys:
        reporter.error(
            "J702",
            node.keys["calendar"].mark,
            "a cap has either `within` or `calendar`",
            hint="make it two caps if both are to be kept",
        )


def _hours(node: Node | None, reporter: Reporter) -> None:
    if not isinstance(node, Mapping) or "days" in node.keys:
        return
    opens, closes = text_of(node.get("from")), text_of(node.get("to"))
    if opens is None or closes is None or not (is_window_time(opens) and is_window_time(closes)):
        return
    if parse_time(opens) == parse_time(closes):
        reporter.error(
            "J703",
            node.values["to"].mark,
            "quiet hours that end when they begin never end: nothing would be sent",
            hint='say which days: `days: [sun]` with `from: "00:00", to: "24:00"`',
        )


def _best_time(node: Node | None, reporter: Reporter) -> None:
    """The window holds at least an hour, and does not cross midnight."""
    if not isinstance(node, Mapping):
        return
    opens, closes = text_of(node.get("from")) or "09:00", text_of(node.get("to")) or "21:00"
    if not (is_window_time(opens) and is_window_time(closes)):
        return
    ends = 24 if closes == "24:00" else parse_time(closes).hour + bool(parse_time(closes).minute)
    if parse_time(opens).hour >= ends:
        reporter.error(
            "J706",
            node.mark,
            f"there is no hour from {opens} to {closes}",
            expected="`from` before `to`, on one day",
        )


def _budget(node: Node | None, reporter: Reporter) -> None:
    if isinstance(node, Mapping) and "segments" in node.keys and "messages" in node.keys:
        reporter.error(
            "J702",
            node.keys["messages"].mark,
            "a budget is of `segments` or of `messages`",
            hint="text messages cost segments",
        )


def _deferring(name: str, policy: Mapping, reporter: Reporter) -> None:
    """A cap that puts off for longer than `max_defer` skips most of what it stops."""
    read = read_policy(plain_data(policy))
    if read.on_capped != "defer":
        if "max_defer" in policy.keys:
            reporter.warning(
                "J704",
                policy.keys["max_defer"].mark,
                f"`max_defer` does nothing in policy `{name}`: nothing that a cap stops is put off",
                hint="add `on_capped: defer`",
            )
        return
    if not read.caps:
        reporter.warning(
            "J704", policy.keys["on_capped"].mark, f"`on_capped` does nothing in policy `{name}`: no caps"
        )
    for cap in _items(policy.get("caps")):
        within = text_of(cap.get("within")) if isinstance(cap, Mapping) else None
        length = None if within is None else read_length(within)
        if isinstance(cap, Mapping) and length is not None and length > read.max_defer:
            reporter.warning(
                "J705",
                cap.values["within"].mark,
                f"a place may be free only after {within}, and no message waits longer than `max_defer`",
                hint="raise `max_defer`, or say `on_capped: skip`",
            )


def _part(node: Node | None, key: str) -> Node | None:
    return node.get(key) if isinstance(node, Mapping) else None


def _entries(node: Node | None) -> list[tuple[str, Node]]:
    return list(node.values.items()) if isinstance(node, Mapping) else []


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else ()
