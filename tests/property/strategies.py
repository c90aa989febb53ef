"""Generated journeys, customers and event streams. Every driver is held against the same ones.

Plans come straight as plans, with all verbs nested up to `MOST_STEPS` steps. Times are whole minutes and
event names few, so that races at one instant are common and not an accident.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

from hypothesis import strategies as st

from engine.core.inputs import EventSeen, Exit
from engine.core.plan import (
    Arm,
    Branch,
    Case,
    Condition,
    Effect,
    Goal,
    Goto,
    Message,
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
from engine.core.state import Phase, State

MOST_STEPS = 15
START = datetime(2026, 3, 27, 8, 0, tzinfo=UTC)
"""Two days before the clocks go forward in Berlin."""
EVENTS = ("cart.updated", "order.paid", "page.viewed", "message.clicked")
CHANNELS = ("sms", "email", "push")
ZONES = ("Asia/Shanghai", "Europe/Berlin", "America/St_Johns", "UTC")
TAGS = ("a", "b")

conditions = st.sampled_from(
    [
        "event.n > 2",
        'event.k == "x"',
        "event.n >= trigger.n",
        'has_tag("a")',
        'exists(profile.colour) and not has_tag("b")',
        'count("page.viewed", "1d") > 1',
        "profile.points + event.n > 3",
        "answers.reply == 1",
        "true",
        "false",
    ]
)
lengths = st.sampled_from([timedelta(minutes=m) for m in (0, 1, 5, 30, 60, 90, 1440, 4320)])
positive_lengths = st.sampled_from([timedelta(minutes=m) for m in (1, 5, 30, 60, 90, 1440, 4320)])
zones = st.sampled_from(["profile", "installation", *ZONES])
days = st.sampled_from([(), (1,), (6, 7), (1, 2, 3, 4, 5)])
categories: st.SearchStrategy[Literal["marketing", "transactional"]] = st.sampled_from(
    ["marketing", "transactional"]
)
failures: st.SearchStrategy[Literal["continue", "stop"]] = st.sampled_from(["continue", "stop"])
verbs: st.SearchStrategy[Literal["update", "webhook", "ad_audience", "enter", "action"]] = st.sampled_from(
    ["update", "webhook", "ad_audience", "enter", "action"]
)
subjects: st.SearchStrategy[Literal["profile", "enrolment"]] = st.sampled_from(["profile", "enrolment"])
clocks = st.sampled_from(["00:00", "02:30", "09:00", "21:00", "23:59"])


@dataclass
class _Node:
    """A step before it is linked: `build` takes its successor and the first step of each arm."""

    id: str
    build: Callable[[Goto, list[Goto]], Step]
    arms: list[list[_Node]]


class _Author:
    """Draws nested steps, in file order, no more than `most`."""

    def __init__(self, draw: st.DrawFn, most: int) -> None:
        self.draw = draw
        self.left = draw(st.integers(0, most))
        self.made = 0

    def sequence(self, depth: int = 0) -> list[_Node]:
        nodes = []
        for _ in range(self.draw(st.integers(0 if depth else 1, 4))):
            if self.left:
                nodes.append(self.node(depth))
        return nodes

    def node(self, depth: int) -> _Node:
        self.left -= 1
        id = f"s{self.made}"
        self.made += 1
        kinds = ["length", "time", "instant", "window", "message", "message", "effect", "effect", "stop"]
        if depth < 3:
            kinds += ["event", "event", "branch", "split"]
        return getattr(self, self.draw(st.sampled_from(kinds)))(id, depth)  # type: ignore[no-any-return]

    def length(self, id: str, depth: int) -> _Node:
        length = self.draw(lengths)
        return _Node(id, lambda next, _: WaitLength(id, next, length), [])

    def time(self, id: str, depth: int) -> _Node:
        clock, on, zone = self.draw(clocks), self.draw(days), self.draw(zones)
        return _Node(id, lambda next, _: WaitTime(id, next, clock, on, zone), [])

    def window(self, id: str, depth: int) -> _Node:
        opens, closes = self.draw(clocks), self.draw(clocks)
        on, zone = self.draw(days), self.draw(zones)
        return _Node(id, lambda next, _: WaitWindow(id, next, opens, closes, on, zone), [])

    def instant(self, id: str, depth: int) -> _Node:
        offset, zone = self.draw(lengths), self.draw(zones)
        text = self.draw(st.none() | st.sampled_from(["profile.due_at", "event.due_at", "now"]))
        fixed = "2026-03-29T02:30" if text is None else None
        return _Node(id, lambda next, _: WaitInstant(id, next, text, fixed, -offset, zone), [])

    def message(self, id: str, depth: int) -> _Node:
        channels = tuple(self.draw(st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=3, unique=True)))
        category, failure = self.draw(categories), self.draw(failures)
        return _Node(id, lambda next, _: Message(id, next, f"t-{id}", channels, category, failure), [])

    def effect(self, id: str, depth: int) -> _Node:
        verb = self.draw(verbs)
        specs: dict[str, dict[str, Any]] = {
            "update": {
                "set": {"points": "profile.points + 1"},
                "add_tags": [self.draw(st.sampled_from(TAGS))],
                "remove_tags": [],
            },
            "ad_audience": {"add_to": "vip"},
            "enter": {"journey": "other", "with": {"n": "event.n"}},
            "webhook": {"url": "https://sink.example/x", "method": "POST", "body": None, "retry_for": 60},
            "action": {"name": "grant", "with": {}},
        }
        save_as, failure = ("reply" if verb in ("webhook", "action") else None), self.draw(failures)
        return _Node(id, lambda next, _: Effect(id, next, verb, specs[verb], save_as, failure), [])

    def stop(self, id: str, depth: int) -> _Node:
        reason = self.draw(st.sampled_from([None, "enough"]))
        return _Node(id, lambda next, _: Stop(id, next, reason), [])

    def event(self, id: str, depth: int) -> _Node:
        whens = [self.condition(f"{id}.{place}") for place in range(self.draw(st.integers(1, 3)))]
        limit = self.draw(st.none() | positive_lengths)
        arms = [self.sequence(depth + 1) for _ in whens]
        arms.append(self.sequence(depth + 1) if limit is not None else [])

        def build(next: Goto, firsts: list[Goto]) -> Step:
            pairs = tuple(Arm(when, first) for when, first in zip(whens, firsts, strict=False))
            return WaitEvent(id, next, pairs, limit, firsts[-1])

        return _Node(id, build, arms)

    def condition(self, id: str) -> Condition:
        any_message = self.draw(st.booleans())
        return Condition(
            id, self.draw(st.sampled_from(EVENTS)), self.draw(st.none() | conditions), any_message
        )

    def branch(self, id: str, depth: int) -> _Node:
        wheres = self.draw(st.lists(conditions, min_size=1, max_size=3))
        arms = [self.sequence(depth + 1) for _ in range(len(wheres) + 1)]

        def build(next: Goto, firsts: list[Goto]) -> Step:
            cases = tuple(Case(where, first) for where, first in zip(wheres, firsts, strict=False))
            return Branch(id, next, cases, firsts[-1])

        return _Node(id, build, arms)

    def split(self, id: str, depth: int) -> _Node:
        share, by = self.draw(st.integers(0, 10_000)), self.draw(subjects)
        arms = [self.sequence(depth + 1), self.sequence(depth + 1)]

        def build(next: Goto, firsts: list[Goto]) -> Step:
            variants = (Variant("one", share, firsts[0]), Variant("two", 10_000 - share, firsts[1]))
            return Split(id, next, variants, by)

        return _Node(id, build, arms)


def _link(nodes: list[_Node], after: Goto, steps: dict[str, Step]) -> Goto:
    """Adds the steps in file order; the first of them, or `after` for none."""
    following = [*(node.id for node in nodes[1:]), after]
    for node, next in zip(nodes, following, strict=False):
        steps[node.id] = Stop(node.id)  # holds its place before its arms
        firsts = [_link(arm, next, steps) for arm in node.arms]
        steps[node.id] = node.build(next, firsts)
    return nodes[0].id if nodes else after


@st.composite
def plans(draw: st.DrawFn, most_steps: int = MOST_STEPS) -> Plan:
    """A journey of all verbs, triggered by `cart.updated`."""
    steps: dict[str, Step] = {}
    first = _link(_Author(draw, most_steps).sequence(), None, steps)
    goal = None
    if draw(st.booleans()):
        when = Condition("goal", "order.paid", draw(st.none() | conditions))
        goal = Goal(when, draw(positive_lengths))
    exits: tuple[Condition, ...] = ()
    rules: tuple[tuple[int, str], ...] = ()
    if draw(st.booleans()):
        exits = (Condition("exit.0", draw(st.sampled_from(EVENTS[1:])), draw(conditions)),)
    if draw(st.integers(0, 3)) == 0:
        rules = ((1, draw(conditions)),)
    settle = draw(st.none() | positive_lengths)
    unless = None
    if settle is not None and draw(st.booleans()):
        unless = Condition("unless", "order.paid", draw(st.none() | st.just("event.k == trigger.k")))
    trigger = Trigger(
        "event",
        event="cart.updated",
        where=draw(st.none() | st.sampled_from(["event.n > 0", 'not has_tag("b")'])),
        one_per=draw(st.none() | st.just("event.k")),
        reenter=draw(st.sampled_from(["never", "after_exit", "restart", timedelta(hours=2)])),
        settle=settle,
        unless=unless,
    )
    return Plan(
        journey="generated",
        trigger=trigger,
        steps=steps,
        first=first,
        goal=goal,
        exit_events=exits,
        exit_rules=rules,
        holdout=draw(st.sampled_from([0, 0, 5_000])),
        category=draw(categories),
        max_age=draw(st.sampled_from([timedelta(minutes=5), timedelta(days=2), timedelta(days=30)])),
    )


@dataclass(frozen=True)
class Moment:
    """Something that a customer does. `kind` is an event's name, `consent`, `pause` or `resume`."""

    at: datetime
    kind: str
    properties: dict[str, Any]


@dataclass(frozen=True)
class Customer:
    """A customer: a profile as scenarios give it, and everything that happens, by time."""

    profile: dict[str, Any]
    moments: tuple[Moment, ...]


@st.composite
def moments(draw: st.DrawFn) -> Moment:
    minute = draw(st.integers(0, 12) | st.integers(0, 6 * 1440))
    kind = draw(st.sampled_from([*EVENTS, "cart.updated", "order.paid", "consent", "pause", "resume"]))
    at = START + timedelta(minutes=minute)
    if kind == "consent":
        return Moment(at, kind, {draw(st.sampled_from(CHANNELS)): draw(st.booleans())})
    if kind in ("pause", "resume"):
        return Moment(at, kind, {})
    properties: dict[str, Any] = {"n": draw(st.integers(0, 4)), "k": draw(st.sampled_from(["x", "y"]))}
    if draw(st.integers(0, 4)) == 0:
        properties["due_at"] = (START + timedelta(hours=draw(st.integers(-5, 100)))).isoformat()
    return Moment(at, kind, properties)


@st.composite
def customers(draw: st.DrawFn) -> Customer:
    """A customer who begins with the trigger more often than not."""
    addresses = {"phone": "+49301", "email": "a@example.com", "push": "token"}
    profile: dict[str, Any] = {
        "external_id": f"c{draw(st.integers(0, 9))}",
        "tags": draw(st.lists(st.sampled_from(TAGS), unique=True)),
        "consents": draw(st.lists(st.sampled_from(CHANNELS), unique=True)),
        **{name: addresses[name] for name in draw(st.lists(st.sampled_from(list(addresses)), unique=True))},
    }
    for name, values in (("time_zone", ZONES), ("points", (0, 3)), ("colour", ("red",))):
        if draw(st.booleans()):
            profile[name] = draw(st.sampled_from(values))
    first = Moment(START, "cart.updated", {"n": 3, "k": "x"})
    rest = draw(st.lists(moments(), max_size=14))
    return Customer(profile, tuple(sorted([first, *rest], key=lambda moment: moment.at)))


# --- states ---------------------------------------------------------------------------------------------

names = st.text("abcdefgh-", min_size=1, max_size=12)
ids = st.uuids().map(str)
steps = st.none() | names
phases: st.SearchStrategy[Phase] = st.sampled_from(
    ["new", "waiting", "asking", "sending", "performing", "held", "ended"]
)
ends: st.SearchStrategy[Exit | None] = st.sampled_from(
    [None, "completed", "goal", "exit_rule", "superseded", "expired", "cancelled", "failed"]
)
instants = st.timedeltas(timedelta(days=-2000), timedelta(days=3000)).map(lambda since: START + since)
some_events = st.lists(
    st.builds(
        EventSeen,
        id=ids,
        name=st.sampled_from(EVENTS),
        at=instants,
        occurred_at=instants,
        order=st.integers(0, 2**62),
        held=st.lists(names, max_size=3).map(tuple),
    ),
    max_size=3,
).map(tuple)


@st.composite
def states(draw: st.DrawFn, enrolment_id: str, key: str, holdout: bool, entered_at: datetime) -> State:
    """Any state of an enrolment, also such as no course of events leads to. One that has not begun has not
    entered."""
    phase = draw(phases)
    return State(
        enrolment_id,
        key,
        holdout,
        phase=phase,
        at=draw(st.none() | instants),
        entered_at=None if phase == "new" else entered_at,
        expires_at=draw(st.none() | instants | st.just(entered_at + timedelta(days=30))),
        step=draw(steps),
        begun_at=draw(st.none() | instants),
        before_at=draw(st.none() | instants),
        timer=draw(st.none() | instants),
        moved_by=draw(st.none() | ids),
        ask_id=draw(st.integers(0, 2**31)),
        asked=draw(st.sampled_from(["rules", "step"])),
        attempt=draw(st.integers(1, 1000)),
        late=draw(st.timedeltas(timedelta(0), timedelta(days=400))),
        paused=draw(st.booleans()),
        variants=draw(st.dictionaries(names, names, max_size=3)),
        inbox=draw(some_events),
        queue=draw(some_events),
        noted=draw(ends),
        seen=tuple(draw(st.lists(ids, max_size=4))),
        exit=draw(ends),
        ended_at=draw(st.none() | instants),
    )
