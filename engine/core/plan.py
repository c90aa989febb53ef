"""A plan: one journey compiled, immutable, known by its digest.

Steps are a flat table. Every step knows which step follows it (`next`, already resolved out of any
nesting) and every arm knows its first step (`goto`; an empty arm goes where its step's `next` goes), so
"where am I" is one step id. `None` as a target is the end of the journey. The graph has no cycles.

Expressions stay text here: the core never evaluates one, it asks (`commands.Ask`). Lengths are
`timedelta`. `path` gives a step's place in the authored file, for diagrams, reports and differences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Literal

Expression = str
"""Source text of one expression in the journey language, in `ast.unparse` normal form."""

StepId = str
Goto = StepId | None
Category = Literal["marketing", "transactional"]
OnFailure = Literal["continue", "stop"]


@dataclass(frozen=True, slots=True)
class Condition:
    """An event that the plan cares about, with what must hold for it.

    `id` names it in `EventSeen.held`: `goal`, `exit.0`, `exit.1`, … for the journey's own, `STEP.0`,
    `STEP.1`, … for the arms of a wait. `any` lifts the rule that `message.*` events reach only the
    enrolment that sent the message.
    """

    id: str
    event: str
    where: Expression | None = None
    any: bool = False


@dataclass(frozen=True, slots=True)
class Goal:
    when: Condition
    within: timedelta


@dataclass(frozen=True, slots=True)
class Trigger:
    """What lets a customer enter. `reenter` is `never`, `after_exit`, `restart` or a length (`{every: 7d}`).

    `event` and `segment` are told by an event that happens (of a segment `event` is `segment.entered` or
    `segment.left`). `quiet` and `date` are moments that no event tells of, `audience` is a campaign.
    """

    kind: Literal["event", "manual", "segment", "quiet", "date", "audience"]
    event: str | None = None
    where: Expression | None = None
    one_per: Expression | None = None
    reenter: Literal["never", "after_exit", "restart"] | timedelta = "after_exit"
    settle: timedelta | None = None
    unless: Condition | None = None
    properties: dict[str, str] = field(default_factory=dict)
    """Declared by `manual: {plan: text}`: property name to type."""
    segment: str | None = None
    """Of `segment` and `audience`."""
    quiet_for: timedelta | None = None
    """Since the last event named `since` for which `where` holds when so long has passed."""
    since: str | None = None
    attribute: str | None = None
    """Whose date comes round, `offset` later, `every` year, month, or once."""
    offset: timedelta = timedelta(0)
    every: Literal["year", "month", "once"] = "year"
    at: str | None = None
    """Of `date` the time of day `HH:MM`; of `audience` the instant (ISO text) of the launch."""
    cron: str | None = None
    """When an `audience` is launched, in the installation's time zone. Neither: by hand."""


# --- steps: every one has `id`, `next` and a `kind` that tells it apart --------------------------------


@dataclass(frozen=True, slots=True)
class WaitLength:
    id: StepId
    next: Goto
    length: timedelta
    kind: Literal["wait_length"] = "wait_length"


@dataclass(frozen=True, slots=True)
class WaitTime:
    """`until: "10:00"` with `days`: the next such moment, strictly later than now.

    `time` is `HH:MM` or `HH:MM:SS`; `days` are ISO weekdays (Monday is 1), empty for all.
    `zone` is `profile`, `installation` or an IANA name.
    """

    id: StepId
    next: Goto
    time: str
    days: tuple[int, ...] = ()
    zone: str = "profile"
    kind: Literal["wait_time"] = "wait_time"


@dataclass(frozen=True, slots=True)
class WaitInstant:
    """`until:` a date or instant. Exactly one of `expression` and `instant` (ISO text) is set."""

    id: StepId
    next: Goto
    expression: Expression | None = None
    instant: str | None = None
    offset: timedelta = timedelta(0)
    zone: str = "profile"
    kind: Literal["wait_instant"] = "wait_instant"


@dataclass(frozen=True, slots=True)
class WaitWindow:
    """`between: ["09:00", "21:00"]`: goes on at once inside the window, which may cross midnight."""

    id: StepId
    next: Goto
    opens: str
    closes: str
    days: tuple[int, ...] = ()
    zone: str = "profile"
    kind: Literal["wait_window"] = "wait_window"


@dataclass(frozen=True, slots=True)
class Arm:
    when: Condition
    goto: Goto


@dataclass(frozen=True, slots=True)
class WaitEvent:
    """`for_event` and `first_of`: arms in file order, and a limit counted from the wait's beginning."""

    id: StepId
    next: Goto
    arms: tuple[Arm, ...]
    up_to: timedelta | None = None
    otherwise: Goto = None
    kind: Literal["wait_event"] = "wait_event"


@dataclass(frozen=True, slots=True)
class Message:
    id: StepId
    next: Goto
    template: str
    channels: tuple[str, ...]
    category: Category = "marketing"
    on_failure: OnFailure = "continue"
    purpose: str | None = None
    """Of several that a category has: whose consent is asked for."""
    send_at: Literal["now", "best_time"] = "now"
    kind: Literal["message"] = "message"


@dataclass(frozen=True, slots=True)
class Case:
    where: Expression
    goto: Goto


@dataclass(frozen=True, slots=True)
class Branch:
    id: StepId
    next: Goto
    cases: tuple[Case, ...]
    otherwise: Goto = None
    """Target when no case holds: the `otherwise` arm, or the same as `next`."""
    kind: Literal["branch"] = "branch"


@dataclass(frozen=True, slots=True)
class Variant:
    name: str
    weight: int
    """In units of 1/10,000; the weights of a split add up to 10,000."""
    goto: Goto


@dataclass(frozen=True, slots=True)
class Split:
    id: StepId
    next: Goto
    variants: tuple[Variant, ...]
    by: Literal["profile", "enrolment"] = "profile"
    kind: Literal["split"] = "split"


@dataclass(frozen=True, slots=True)
class Effect:
    """`update`, `webhook`, `ad_audience`, `enter`, `action`: work outside the core, settled with an answer.

    `spec` is the verb's own fields as JSON data, expressions as text:
    update  `{"set": {attr: EXPR}, "add_tags": [..], "remove_tags": [..], "stage": NAME|null}`
    webhook `{"url", "method", "body": {key: EXPR} | null, "retry_for": seconds}`
    ad_audience `{"add_to": NAME}` or `{"remove_from": NAME}`
    enter   `{"journey", "with": {key: EXPR}}`
    action  `{"name", "with": {key: EXPR}}`
    """

    id: StepId
    next: Goto
    verb: Literal["update", "webhook", "ad_audience", "enter", "action"]
    spec: dict[str, Any] = field(default_factory=dict)
    save_as: str | None = None
    on_failure: OnFailure = "continue"
    kind: Literal["effect"] = "effect"


@dataclass(frozen=True, slots=True)
class Stop:
    id: StepId
    next: Goto = None
    reason: str | None = None
    kind: Literal["stop"] = "stop"


Step = WaitLength | WaitTime | WaitInstant | WaitWindow | WaitEvent | Message | Branch | Split | Effect | Stop


@dataclass(frozen=True, slots=True)
class Plan:
    """One version of one journey. `first` is the step that an enrolment begins with."""

    journey: str
    trigger: Trigger
    steps: dict[StepId, Step]
    """In file order, nested steps directly after the step that holds them."""
    first: Goto
    title: str | None = None
    goal: Goal | None = None
    exit_events: tuple[Condition, ...] = ()
    """`exit_when` entries with an event; ids `exit.N` with N the entry's place in the file."""
    exit_rules: tuple[tuple[int, Expression], ...] = ()
    """`exit_when` entries without an event: (place in the file, expression)."""
    holdout: int = 0
    """In units of 1/10,000."""
    category: Category = "marketing"
    policy: str = "default"
    max_age: timedelta = timedelta(days=90)
    max_lateness: timedelta = timedelta(hours=24)
    run_as: Literal["workflow", "pool"] = "workflow"
    path: dict[StepId, str] = field(default_factory=dict)
    """Place in the authored file: `steps.0`, `steps.0.variants.1.steps.0`, …"""

    def conditions(self) -> Iterator[Condition]:
        """Every event condition of a live enrolment: goal, exits in file order, arms in file order."""
        if self.goal is not None:
            yield self.goal.when
        yield from self.exit_events
        for step in self.steps.values():
            if isinstance(step, WaitEvent):
                for arm in step.arms:
                    yield arm.when

    def conditions_for(self, event: str, own: bool) -> tuple[Condition, ...]:
        """The conditions that an event of this name can meet.

        `own` is false for a `message.*` event about a message that another enrolment sent.
        """
        return tuple(c for c in self.conditions() if c.event == event and (own or c.any))

    def event_names(self) -> frozenset[str]:
        """Names of all events that a live enrolment of this plan cares about."""
        return frozenset(c.event for c in self.conditions())
