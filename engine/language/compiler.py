"""A checked journey → its plan.

Nesting is resolved here: the last step of an arm goes where the step that holds the arm goes next, and an
empty arm goes there at once. Only for journeys without mistakes.
"""

from __future__ import annotations

import json
from datetime import timedelta
from decimal import Decimal
from typing import Any, Literal, cast
from zoneinfo import ZoneInfo

from engine.core.plan import (
    Arm,
    Branch,
    Case,
    Category,
    Condition,
    Effect,
    Goal,
    Goto,
    Message,
    OnFailure,
    Plan,
    Split,
    Step,
    Stop,
    Trigger,
    Variant,
    WaitEvent,
    WaitInstant,
    WaitLength,
    WaitTime,
    WaitWindow,
)
from engine.language import expressions
from engine.language.loader import Mapping, Node, Scalar, Sequence, text_of
from engine.language.scalars import DAYS, read_date, read_instant, read_length, read_percentage, read_time
from engine.language.schema import VERBS
from engine.language.words import segment_event

DEFAULT_MAX_AGE = timedelta(days=90)
DEFAULT_MAX_LATENESS = timedelta(hours=24)
DEFAULT_RETRY_FOR = timedelta(hours=1)


def compile_journey(root: Mapping, zone: str) -> Plan:
    """The plan of a journey without mistakes. `zone` is the installation's, for instants without offset."""
    return _Compiler(root, zone).plan()


def _text(node: Node | None) -> str:
    text = text_of(node)
    assert text is not None
    return text


def _normal(text: str) -> str:
    return expressions.normal(expressions.parse(text))


def _expression(node: Node | None) -> str | None:
    text = text_of(node)
    return None if text is None else _normal(text)


def _value(node: Node) -> str:
    """An entry of `set`, `with` or `body` as expression text."""
    assert isinstance(node, Scalar)
    return _normal(node.value) if isinstance(node.value, str) else json.dumps(node.value)


def _length(node: Node | None, default: timedelta) -> timedelta:
    text = text_of(node)
    length = None if text is None else read_length(text, signed=True)
    return default if length is None else length


def _items(node: Node | None) -> tuple[Node, ...]:
    return node.items if isinstance(node, Sequence) else ()


def _mappings(node: Node | None) -> list[Mapping]:
    return [item for item in _items(node) if isinstance(item, Mapping)]


def _days(node: Node | None) -> tuple[int, ...]:
    return tuple(sorted({DAYS[_text(item)] for item in _items(node)}))


def _true(node: Node | None) -> bool:
    return isinstance(node, Scalar) and node.value is True


class _Compiler:
    def __init__(self, root: Mapping, zone: str) -> None:
        self._root = root
        self._zone = ZoneInfo(zone)
        self._category = cast(Category, text_of(root.get("category")) or "marketing")
        self._steps: dict[str, Step] = {}
        self._path: dict[str, str] = {}

    def plan(self) -> Plan:
        root = self._root
        max_age = _length(root.get("max_age"), DEFAULT_MAX_AGE)
        first = self._list(root.get("steps"), None, "steps")
        exits = _mappings(root.get("exit_when"))
        holdout = text_of(root.get("holdout"))
        return Plan(
            journey=_text(root.get("journey")),
            trigger=self._trigger(),
            steps=self._steps,
            first=first,
            title=text_of(root.get("title")),
            goal=self._goal(max_age),
            exit_events=tuple(
                self._condition(f"exit.{place}", entry)
                for place, entry in enumerate(exits)
                if "event" in entry.keys
            ),
            exit_rules=tuple(
                (place, _normal(_text(entry.get("where"))))
                for place, entry in enumerate(exits)
                if "event" not in entry.keys
            ),
            holdout=(read_percentage(holdout) or 0) if holdout is not None else 0,
            category=self._category,
            policy=text_of(root.get("policy")) or "default",
            max_age=max_age,
            max_lateness=_length(root.get("max_lateness"), DEFAULT_MAX_LATENESS),
            run_as=cast(Literal["workflow", "pool"], text_of(root.get("run_as")) or self._driver()),
            path=self._path,
        )

    def _trigger(self) -> Trigger:
        node = self._root.get("trigger")
        assert isinstance(node, Mapping)
        if "manual" in node.keys:
            declared = node.get("manual")
            properties = (
                {name: _text(kind) for name, kind in declared.values.items()}
                if isinstance(declared, Mapping)
                else {}
            )
            return Trigger("manual", properties=properties, reenter=_reenter(node))
        if "event" not in node.keys:
            return self._moment(node, _reenter(node))
        unless = node.get("unless")
        settle = node.get("settle")
        return Trigger(
            "event",
            event=_text(node.get("event")),
            where=_expression(node.get("where")),
            one_per=_expression(node.get("one_per")),
            reenter=_reenter(node),
            settle=_length(settle, timedelta(0)) if settle is not None else None,
            unless=self._condition("unless", unless) if isinstance(unless, Mapping) else None,
        )

    def _driver(self) -> str:
        """Audiences are for the pool, if the journey does not say otherwise."""
        node = self._root.get("trigger")
        return "pool" if isinstance(node, Mapping) and "audience" in node.keys else "workflow"

    def _moment(self, node: Mapping, reenter: Any) -> Trigger:
        if "segment" in node.keys:
            name = _text(node.get("segment"))
            return Trigger(
                "segment",
                event=segment_event(text_of(node.get("change"))),
                where=_normal(f"event.segment == {json.dumps(name, ensure_ascii=False)}"),
                reenter=reenter,
                segment=name,
            )
        if "quiet_for" in node.keys:
            return Trigger(
                "quiet",
                where=_expression(node.get("where")),
                reenter=reenter,
                quiet_for=_length(node.get("quiet_for"), timedelta(0)),
                since=_text(node.get("since")),
            )
        if "date" in node.keys:
            return Trigger(
                "date",
                reenter=reenter,
                attribute=_text(node.get("date")).removeprefix("profile."),
                offset=_length(node.get("offset"), timedelta(0)),
                every=cast(Literal["year", "month", "once"], text_of(node.get("every")) or "year"),
                at=text_of(node.get("at")),
            )
        schedule = node.get("schedule")
        said = schedule if isinstance(schedule, Mapping) else Mapping(node.mark)
        at, cron = text_of(said.get("at")), text_of(said.get("cron"))
        return Trigger(
            "audience",
            reenter=reenter,
            segment=_text(node.get("audience")),
            at=None if at is None else self._instant(at),
            cron=None if cron is None else " ".join(cron.split()),
        )

    def _goal(self, max_age: timedelta) -> Goal | None:
        node = self._root.get("goal")
        if not isinstance(node, Mapping):
            return None
        return Goal(self._condition("goal", node), _length(node.get("within"), max_age))

    @staticmethod
    def _condition(name: str, node: Mapping, event: str = "event", any_: bool = False) -> Condition:
        return Condition(name, _text(node.get(event)), _expression(node.get("where")), any_)

    # --- steps ---

    def _list(self, node: Node | None, after: Goto, place: str) -> Goto:
        """Compile a list of steps that is followed by `after`; the id of the first, `after` if empty."""
        nodes = _mappings(node)
        names = [_text(each.get("id")) for each in nodes]
        for number, (step, name) in enumerate(zip(nodes, names, strict=True)):
            following = names[number + 1] if number + 1 < len(names) else after
            self._step(step, name, following, f"{place}.{number}")
        return names[0] if names else after

    def _step(self, node: Mapping, name: str, after: Goto, place: str) -> None:
        verb = next(key for key in node.keys if key in VERBS)
        spec = node.values[verb]
        self._path[name] = place
        # The step takes its place before its arms do: file order, each step before those it holds.
        self._steps[name] = Stop(name)
        if verb == "branch":
            self._steps[name] = self._branch(name, after, spec, place)
            return
        if not isinstance(spec, Mapping):
            self._steps[name] = Stop(name, None, text_of(spec))
            return
        match verb:
            case "wait":
                self._steps[name] = self._wait(name, after, spec, place)
            case "message":
                self._steps[name] = Message(
                    name,
                    after,
                    _text(spec.get("template")),
                    tuple(_text(item) for item in _items(spec.get("channels"))),
                    cast(Category, text_of(spec.get("category")) or self._category),
                    _on_failure(spec),
                    text_of(spec.get("purpose")) or text_of(self._root.get("purpose")),
                    "best_time" if text_of(spec.get("send_at")) == "best_time" else "now",
                )
            case "split":
                self._steps[name] = self._split(name, after, spec, place)
            case "stop":
                self._steps[name] = Stop(name, None, text_of(spec.get("reason")))
            case "update" | "webhook" | "ad_audience" | "enter" | "action":
                self._steps[name] = Effect(
                    name, after, verb, _effect(verb, spec), text_of(spec.get("save_as")), _on_failure(spec)
                )

    def _wait(self, name: str, after: Goto, spec: Mapping, place: str) -> Step:
        zone = text_of(spec.get("zone")) or "profile"
        days = _days(spec.get("days"))
        if "for" in spec.keys:
            return WaitLength(name, after, _length(spec.get("for"), timedelta(0)))
        if "between" in spec.keys:
            opens, closes = (_text(item) for item in _items(spec.get("between")))
            return WaitWindow(name, after, opens, closes, days, zone)
        if "until" in spec.keys:
            text = _text(spec.get("until"))
            if read_time(text) is not None:
                return WaitTime(name, after, text, days, zone)
            offset = _length(spec.get("offset"), timedelta(0))
            fixed = self._instant(text)
            if fixed is not None:
                return WaitInstant(name, after, None, fixed, offset, zone)
            return WaitInstant(name, after, _normal(text), None, offset, zone)
        return self._wait_event(name, after, spec, place)

    def _wait_event(self, name: str, after: Goto, spec: Mapping, place: str) -> WaitEvent:
        any_ = _true(spec.get("any"))
        if "for_event" in spec.keys:
            when = self._condition(f"{name}.0", spec, "for_event", any_)
            arms = [Arm(when, self._list(spec.get("then"), after, f"{place}.then"))]
        else:
            arms = [
                Arm(
                    self._condition(f"{name}.{number}", entry, any_=any_),
                    self._list(entry.get("steps"), after, f"{place}.first_of.{number}.steps"),
                )
                for number, entry in enumerate(_mappings(spec.get("first_of")))
            ]
        up_to = spec.get("up_to")
        otherwise = self._list(spec.get("otherwise"), after, f"{place}.otherwise")
        return WaitEvent(
            name,
            after,
            tuple(arms),
            _length(up_to, timedelta(0)) if up_to is not None else None,
            otherwise,
        )

    def _instant(self, text: str) -> str | None:
        """A plain date stays one; an instant without offset is read in the installation's zone."""
        if read_date(text) is not None:
            return text
        instant = read_instant(text)
        if instant is None:
            return None
        return (instant if instant.tzinfo is not None else instant.replace(tzinfo=self._zone)).isoformat()

    def _branch(self, name: str, after: Goto, spec: Node, place: str) -> Branch:
        cases: list[Case] = []
        otherwise = after
        for number, case in enumerate(_mappings(spec)):
            if "otherwise" in case.keys:
                otherwise = self._list(case.get("otherwise"), after, f"{place}.branch.{number}.otherwise")
            else:
                goto = self._list(case.get("steps"), after, f"{place}.branch.{number}.steps")
                cases.append(Case(_normal(_text(case.get("where"))), goto))
        return Branch(name, after, tuple(cases), otherwise)

    def _split(self, name: str, after: Goto, spec: Mapping, place: str) -> Split:
        variants = []
        for number, variant in enumerate(_mappings(spec.get("variants"))):
            weight = variant.get("weight")
            assert isinstance(weight, Scalar)
            variants.append(
                Variant(
                    _text(variant.get("name")),
                    int(Decimal(weight.text) * 100),
                    self._list(variant.get("steps"), after, f"{place}.variants.{number}.steps"),
                )
            )
        by = cast(Literal["profile", "enrolment"], text_of(spec.get("by")) or "profile")
        return Split(name, after, tuple(variants), by)


def _reenter(trigger: Mapping) -> Any:
    again = trigger.get("reenter")
    if isinstance(again, Mapping):
        return _length(again.get("every"), timedelta(0))
    return text_of(again) or "after_exit"


def _on_failure(spec: Mapping) -> OnFailure:
    return "stop" if text_of(spec.get("on_failure")) == "stop" else "continue"


def _table(node: Node | None) -> dict[str, str]:
    return {key: _value(value) for key, value in node.values.items()} if isinstance(node, Mapping) else {}


def _effect(verb: str, spec: Mapping) -> dict[str, Any]:
    match verb:
        case "update":
            return {
                "set": _table(spec.get("set")),
                "add_tags": [_text(item) for item in _items(spec.get("add_tags"))],
                "remove_tags": [_text(item) for item in _items(spec.get("remove_tags"))],
                "stage": text_of(spec.get("stage")),
            }
        case "webhook":
            body = spec.get("body")
            return {
                "url": _text(spec.get("url")),
                "method": text_of(spec.get("method")) or "POST",
                "body": _table(body) if body is not None else None,
                "retry_for": int(_length(spec.get("retry_for"), DEFAULT_RETRY_FOR).total_seconds()),
            }
        case "ad_audience":
            return {key: _text(spec.get(key)) for key in ("add_to", "remove_from") if key in spec.keys}
        case "enter":
            return {"journey": _text(spec.get("journey")), "with": _table(spec.get("with"))}
    return {"name": _text(spec.get("name")), "with": _table(spec.get("with"))}
