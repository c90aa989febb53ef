"""A case: a project, and what happens in it. And what the simulator says of it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from random import Random
from typing import Any, Final

from engine.core.identity import profile_key
from engine.core.plan import Effect, Plan
from engine.language.project import Project, check_project
from engine.simulator import Report, StandIns, simulate
from engine.simulator.person import Change
from tests.integration.harness import SOURCE
from tests.integration.parity.authoring import RunAs, author_project, signatures
from tests.integration.parity.crowds import Burst, Operation, draw_crowd, draw_operations

UNREACHED: Final = "J402"
"""A step that no arm leads to."""

_URL: Final = re.compile(r"http://(?:127\.0\.0\.1:\d+|sink\.invalid)")
NOWHERE: Final = "http://sink.invalid"
"""Stands for the sink in files that are kept."""


@dataclass(frozen=True)
class Case:
    files: dict[str, str]
    bursts: list[Burst]
    operations: list[Operation] = field(default_factory=list)

    @property
    def customers(self) -> list[str]:
        return sorted({message["userId"] for burst in self.bursts for message in burst.messages})

    @property
    def people(self) -> dict[str, str]:
        """Profile key to external id."""
        return {profile_key("external_id", user): user for user in self.customers}

    def of(self, customer: str) -> list[dict[str, Any]]:
        """The messages of a customer, in order of arrival."""
        return [m for burst in self.bursts for m in burst.messages if m["userId"] == customer]


def draw_case(
    random: Random,
    url: str,
    *,
    journeys: int,
    customers: int,
    run_as: RunAs = "pool",
    offline: timedelta = timedelta(0),
    paused: bool = False,
    together: bool = False,
) -> Case:
    """A case from a seed. `offline`: how long customers may be out of reach; `paused`: journeys are paused
    and resumed in the middle; `together`: customers do what they do at few instants."""
    files = author_project(random, journeys, url, run_as, actions=run_as == "pool")
    while any(each.code == UNREACHED for each in check_project(files, signatures()).errors):
        # Every arm of a wait was drawn with a `stop` before another step: no author would get that past us.
        files = author_project(random, journeys, url, run_as, actions=run_as == "pool")
    bursts = draw_crowd(random, customers, offline=offline, whole_minutes=paused, together=together)
    names = [name.removeprefix("journeys/").removesuffix(".yaml") for name in files if "journeys/" in name]
    operations = draw_operations(random, [name for name in names if name != "catalog"]) if paused else []
    return Case(files, bursts, operations)


def checked(files: Mapping[str, str]) -> Project:
    project = check_project(files, signatures())
    assert not project.errors, project.errors
    return project


def simulated(case: Case) -> Report:
    project = checked(case.files)
    messages = [message for burst in case.bursts for message in burst.messages]
    controls = [Change(each.action, each.at, journey=each.journey) for each in case.operations]
    return simulate(
        project, None, messages, source=SOURCE, stand_ins=stand_ins(project.plans.values()), controls=controls
    )


def stand_ins(plans: Iterable[Plan]) -> StandIns:
    """What the sink and the actions of the tests answer."""
    effects = [step for plan in plans for step in plan.steps.values() if isinstance(step, Effect)]
    fails = {step.id for step in effects if fails_for_good(step)}
    return StandIns(answers={step.id: {"ok": True} for step in effects}, fails=frozenset(fails))


def fails_for_good(step: Effect) -> bool:
    return "/fail?" in str(step.spec.get("url")) or step.spec.get("name") == "decline"


def with_sink(files: Mapping[str, str], url: str) -> dict[str, str]:
    """The files with every call of a step going to this sink."""
    return {path: _URL.sub(url, text) for path, text in files.items()}
