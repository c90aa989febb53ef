"""What a run over a stream of events came to, journey by journey and enrolment by enrolment."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from datetime import datetime, tzinfo
from typing import Any

from engine.core.plan import Plan, Split
from engine.core.wire import to_json
from engine.simulator.person import Enrolment
from engine.simulator.stream import Unreadable


@dataclass(slots=True)
class Tally:
    """How many of a group entered, and how many of them reached the goal in time."""

    entered: int = 0
    converted: int = 0

    def count(self, enrolment: Enrolment) -> None:
        self.entered += 1
        self.converted += enrolment.converted_at is not None


@dataclass(slots=True)
class JourneyReport:
    journey: str
    entered: int = 0
    live: int = 0
    """Still under way at the end of the run."""
    converted: int = 0
    """Of those who entered, the holdout too."""
    refused: dict[str, int] = field(default_factory=dict)
    """Why entries were refused: reason to count."""
    steps: dict[str, int] = field(default_factory=dict)
    """How often each step began, in file order."""
    sent: dict[str, int] = field(default_factory=dict)
    """Messages by channel."""
    hours: dict[str, list[int]] = field(default_factory=dict)
    """Channel to 24 counts: messages by hour of the day in the installation's time zone."""
    skipped: dict[str, int] = field(default_factory=dict)
    """Messages not sent, by reason."""
    exits: dict[str, int] = field(default_factory=dict)
    variants: dict[str, dict[str, Tally]] = field(default_factory=dict)
    """Split to variant to its tally, without the holdout."""
    holdout: Tally = field(default_factory=Tally)
    treated: Tally = field(default_factory=Tally)
    """Everybody who is not held out."""


@dataclass(slots=True)
class Report:
    """The whole run. `enrolments` are in order of entry."""

    journeys: dict[str, JourneyReport]
    enrolments: list[Enrolment]
    messages: int
    """How many messages of the stream were read."""
    people: int
    unreadable: list[Unreadable]
    message_ids: dict[str, str]
    """Event id to the message id of the stream."""
    ended_at: datetime | None = None
    """The instant up to which the run went."""

    def to_json(self) -> dict[str, Any]:
        """JSON data: the counts, and every enrolment with its trace."""
        return {
            "messages": self.messages,
            "people": self.people,
            "unreadable": [asdict(each) for each in self.unreadable],
            "ended_at": None if self.ended_at is None else self.ended_at.isoformat(),
            "journeys": {name: asdict(report) for name, report in self.journeys.items()},
            "enrolments": [self.enrolment_json(enrolment) for enrolment in self.enrolments],
        }

    def enrolment_json(self, enrolment: Enrolment) -> dict[str, Any]:
        """One enrolment, named by what other records of it have too: external id and trigger message id."""
        state, person = enrolment.state, enrolment.person
        return {
            "id": enrolment.id,
            "journey": enrolment.journey.name,
            "external_id": person.external_id,
            "anonymous_id": person.attributes.get("anonymous_id"),
            "profile_key": person.key,
            "trigger_event_id": enrolment.trigger.id,
            "trigger_message_id": self.message_ids.get(enrolment.trigger.id),
            "entered_at": enrolment.entered_at.isoformat(),
            "holdout": state.holdout,
            "exit": state.exit,
            "ended_at": None if state.ended_at is None else state.ended_at.isoformat(),
            "converted": enrolment.converted_at is not None,
            "converted_at": None if enrolment.converted_at is None else enrolment.converted_at.isoformat(),
            "variants": {step: name for step, name in state.variants.items() if _took(enrolment, step)},
            "messages": [
                {
                    "at": message.at.isoformat(),
                    "step": message.step,
                    "channel": message.channel,
                    "template": message.template,
                    "passed_over": [list(pair) for pair in message.passed_over],
                }
                for message in enrolment.messages
            ],
            "trace": [to_json(line) for line in enrolment.trace],
        }


def _took(enrolment: Enrolment, step: str) -> bool:
    return any(line.result == "took" and line.step == step for line in enrolment.trace)


def report_on(
    plan: Plan, enrolments: Iterable[Enrolment], refused: dict[str, int], zone: tzinfo
) -> JourneyReport:
    """The counts of one journey."""
    report = JourneyReport(plan.journey, refused=dict(refused))
    report.steps = dict.fromkeys(plan.steps, 0)
    report.variants = {
        step.id: {variant.name: Tally() for variant in step.variants}
        for step in plan.steps.values()
        if isinstance(step, Split)
    }
    sent: Counter[str] = Counter()
    exits: Counter[str] = Counter()
    skipped: Counter[str] = Counter()
    for enrolment in enrolments:
        _count(report, enrolment, zone, skipped)
        sent.update(message.channel for message in enrolment.messages)
        exits[enrolment.state.exit or ""] += 1
    report.live = exits.pop("", 0)
    report.sent, report.exits, report.skipped = dict(sent), dict(exits), dict(skipped)
    return report


def _count(report: JourneyReport, enrolment: Enrolment, zone: tzinfo, skipped: Counter[str]) -> None:
    report.entered += 1
    report.converted += enrolment.converted_at is not None
    (report.holdout if enrolment.state.holdout else report.treated).count(enrolment)
    for line in enrolment.trace:
        if line.result == "began" and line.step is not None:
            report.steps[line.step] += 1
        elif line.result == "took" and line.step in report.variants and not enrolment.state.holdout:
            report.variants[line.step][line.detail or ""].count(enrolment)
    skipped.update(line.detail or "" for line in enrolment.skipped())
    for message in enrolment.messages:
        hours = report.hours.setdefault(message.channel, [0] * 24)
        hours[message.at.astimezone(zone).hour] += 1
